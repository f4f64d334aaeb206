/* The reference and the comparison with it, in a process that never opens the library under test. A library may
 * write anywhere, leave the floating-point unit in any mode and replace any function: the answers, the comparison
 * and the record of what was wrong are out of its reach. */
#ifndef JUDGE_H
#define JUDGE_H

#include "suites/rows/examine.h"

/* What the judge found, in memory that the library's process has no part in. */
struct ruling {
    int64_t compared, wrong; /* answers that it compared; those that were wrong, */
    char first[MAX_FAILURE]; /* and the first of them */
    int64_t faults;          /* faults that judge_fault() reported */
    int64_t rows;            /* rows that judge_expect() announced */
    int64_t settled, hidden; /* rows that judge_settle() reported; those that kept quiet about a wrong answer */
};

/* Splits the process, which has opened no library and has no threads. From here on examine_reference(),
 * examine_join() and examine_compare() ask the other process. false: there can be none, and nothing has changed.
 * `ruling` is shared memory of `size` bytes. */
bool judge_start(struct ruling *, size_t size);

/* Announces how many rows are to come, before the first of them. A later call counts for nothing. */
void judge_expect(int64_t rows);

/* Reports a fault of another kind than a wrong answer, found in the library's process. It is reported at once,
 * because that process may forget it. */
void judge_fault(void);

/* Reports that a row is over, with so many cases compared and so many failures. The row is hidden if it reports no
 * failure and was wrong, had a fault or was not compared. */
void judge_settle(const char *row, int64_t cases, int64_t failures);

#endif
