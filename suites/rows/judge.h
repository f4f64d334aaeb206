/* The reference and the comparison with it, in a process that never opens the library under test: whatever a library
 * writes to, however it leaves the floating-point unit, whatever it puts in the place of a function, the answers, the
 * comparison and the record of what was wrong are out of its reach. */
#ifndef JUDGE_H
#define JUDGE_H

#include "suites/rows/examine.h"

/* What the judge found; memory that the process with the library has no part in. */
struct ruling {
    int64_t compared, wrong; /* answers; those that were not right, */
    char first[MAX_FAILURE]; /* and the first of them */
    int64_t faults;          /* that judge_fault() told of */
    int64_t rows;            /* that judge_expect() told of */
    int64_t settled, hidden; /* rows that judge_settle() told of; those that kept quiet about a wrong answer */
};

/* Splits the process, which has opened no library and has no threads: examine_reference(), examine_join() and
 * examine_compare() of the process that goes on ask the other one from here on. false: there can be none, and nothing
 * has changed. `ruling` is shared memory of `size` bytes. */
bool judge_start(struct ruling *, size_t size);

/* So many rows are to come: said once, before the first of them; what is said later counts for nothing. */
void judge_expect(int64_t rows);

/* Something other than an answer is wrong, found in the process of the library: told at once, as that process may
 * forget it. */
void judge_fault(void);

/* A row is over, with so many cases compared and so many failures told. One that was wrong or had a fault without a
 * failure, or was not compared, is hidden. */
void judge_settle(const char *row, int64_t cases, int64_t failures);

#endif
