/* Which rows of which parts a merged record takes, and in which order. Private to results/. */
#ifndef MERGE_ROWS_H
#define MERGE_ROWS_H

#include "results/layout.h"

struct merge_row {
    char *key;
    int part;
    int64_t row, place; /* place: in the merged record, of one that is taken */
    bool done, taken;
};
struct merge_rows {
    struct merge_row *row; /* by part; those that are taken last, by place */
    int64_t count;
    const char **keys; /* that are in some part: those of the suite in its order, then others */
    int64_t cases, repeated;
};

/* Of a key that several parts have a row that is done is taken, else the first part's. false: rows that are done have
 * other values, or out of memory. */
bool merge_rows_find(struct merge_rows *, struct record_reader *const *parts, const char *const *paths, int count,
                     const char *suite);
/* The rows of a part that take a place from the first on and before the end; their number. */
int64_t merge_rows_of(const struct merge_rows *, int part, int64_t first, int64_t end, const struct merge_row **);
void merge_rows_free(struct merge_rows *);

#endif
