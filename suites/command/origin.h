/* Where a case comes from: build, machine and files. Every case of a record says so in columns of its own, because
 * another machine may continue a record; `run --resume` continues only if they agree. With several jobs every case has
 * one thread. So another --jobs agrees unless it gives a case another number of threads. */
#ifndef ORIGIN_H
#define ORIGIN_H

#include "results/record.h"
#include "suites/case/params.h"

enum { ORIGINS = 7 };

/* The columns, which stand behind those of the parameters. */
void origin_columns(struct record_column columns[ORIGINS]);
/* Bytes of the longest text of each. */
void origin_bytes(int bytes[ORIGINS]);
/* The values of these columns for a case of this process; texts are valid until the next call. Files are read again if
 * they changed. */
void origin_values(const struct params *, union record_value values[ORIGINS]);

/* An agrees() of a record_schema: would this process compute the finished cases with the same result? */
bool origin_agrees(void *unused, struct record_reader *earlier, char *why, size_t why_size);

/* Takes --resume and --resume=anyway. */
struct resume {
    bool wanted, anyway;
};
struct resume origin_take_resume(int *argc, char **argv);

#endif
