/* Where a case comes from: build, machine and files. Every case of a record says so in columns of its own, because a
 * record may be gone on with elsewhere; `run --resume` goes on only where they agree. With several jobs every case has
 * one thread, however many jobs there are: so another --jobs agrees unless it gives a case another number of
 * threads. */
#ifndef ORIGIN_H
#define ORIGIN_H

#include "results/record.h"
#include "suites/case/params.h"

enum { ORIGINS = 7 };

/* The columns, to be put behind those of the parameters. */
void origin_columns(struct record_column columns[ORIGINS]);
/* What they say of a case of this process; texts are valid until the next call. Files are read again when they
 * changed. */
/* Bytes of the longest text of each. */
void origin_bytes(int bytes[ORIGINS]);
void origin_values(const struct params *, union record_value values[ORIGINS]);

/* An agrees() of a record_schema: would the cases that are done come out of this process as well? */
bool origin_agrees(void *unused, struct record_reader *earlier, char *why, size_t why_size);

/* Takes --resume and --resume=anyway. */
struct resume {
    bool wanted, anyway;
};
struct resume origin_take_resume(int *argc, char **argv);

#endif
