/* Which rows of which parts a merged record takes, and in which order. Private to results/. */
#ifndef MERGE_ROWS_H
#define MERGE_ROWS_H

#include "results/layout.h"

struct merge_row {
    char *key;
    int part;
    int64_t row;
    bool done, taken;
};
struct merge_rows {
    struct merge_row *row; /* by key; of one key the one that is taken first */
    int64_t count;
    const char **keys; /* that are in some part: those of the suite in its order, then others */
    int64_t cases, repeated;
};

/* Of a key that several parts have a row that is done is taken, else the first part's. false: rows that are done have
 * other values, or out of memory. */
bool merge_rows_find(struct merge_rows *, struct record_reader *const *parts, const char *const *paths, int count,
                     const char *suite);
/* Marks the rows of a part that are taken, `wanted` [its cases]. */
void merge_rows_of(const struct merge_rows *, int part, bool *wanted);
void merge_rows_free(struct merge_rows *);

#endif
