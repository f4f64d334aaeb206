/* The history of a library's speed: what each run of `mhcbench regress --record` found, in an HDF5 file of its own,
 * described in SCHEMA.md. An entry is a run, a row one of its cases. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "results/checkpoint.h"

typedef char history_text[CHECKPOINT_NAME];
typedef char history_line[CHECKPOINT_LINE];

struct history {
    char *verdicts; /* names of the verdicts, joined by commas, in the order of their numbers */
    int64_t entries, cases, rows;
    history_text *revision, *base, *machine, *time; /* [entries] of NEW and BASE; type of CPU; ISO 8601, UTC */
    history_line *name;                             /* [cases] */
    int64_t *entry, *of;                            /* [rows] which entry and which case */
    uint8_t *verdict;                               /* [rows] */
    double *ratio, *low, *high;                     /* [rows] time new / base, 99 % interval; NaN: not timed */
};

/* Memory for so many, zeroed; NULL: there is none. */
struct history *history_new(const char *verdicts, int64_t entries, int64_t cases, int64_t rows);
void history_release(struct history *);

/* Does the file say that it is one? */
bool history_is(const char *path);
/* NULL: it is none, or damaged. */
struct history *history_read(const char *path);

/* Adds the entries of `more` behind those of PATH, which need not exist. The new file takes the name when all of it is
 * on the disk: a kill or a full disk at any moment leaves what was there, and of several processes that add at once
 * none loses what another has added. false: PATH is as it was. */
bool history_append(const char *path, const struct history *more);

#endif
