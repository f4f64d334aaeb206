/* Which rows of which parts a merged record takes, and in which order. Private to results/. */
#ifndef MERGE_ROWS_H
#define MERGE_ROWS_H

#include <sys/stat.h>

#include "results/layout.h"

/* The parts, of which RECORD_PARTS_OPEN are open at most. */
struct merge_parts {
    const char *const *path;
    int count;
    struct record_reader **reader; /* NULL: not open */
    int64_t *used, uses;           /* used: when, counted in uses */
    struct stat *status;           /* of the file that was opened first */
    bool complete;                 /* all that were opened */
};
bool merge_parts_allocate(struct merge_parts *);
/* A part. The first stays open until the end, another one until the places of all others are needed. NULL: the error line says why. */
struct record_reader *merge_part(struct merge_parts *, int part);
/* Is the part's file the one that was opened first? false: the error line says that it is not. */
bool merge_part_is_same(struct merge_parts *, int part);
/* Closes those from that one on; from 0: and frees. */
void merge_parts_close(struct merge_parts *, int from);

struct merge_row {
    char *key;
    int part;
    int64_t row, place;         /* place: in the merged record, of one that is taken */
    bool done, taken, complete; /* complete: its part */
};
struct merge_rows {
    struct merge_row *row; /* by part; those that are taken last, by place */
    int64_t count, room;
    const char **keys; /* that are in some part: those of the suite in its order, then others */
    int64_t cases, repeated;
};

/* Adds the rows of a part; parts come in their order. */
bool merge_rows_add(struct merge_rows *, struct record_reader *, int part);
/* Is it still the row of that part, opened again? false: the error line says that it is not. */
bool merge_row_is_in(const struct merge_row *, struct record_reader *part, const char *path);
/* Of a key that several parts have a row that is done is taken, else the first part's. false: rows that are done have
 * other values, or out of memory. */
bool merge_rows_find(struct merge_rows *, struct merge_parts *, const char *suite);
/* The rows of a part that take a place from the first on and before the end; their number. */
int64_t merge_rows_of(const struct merge_rows *, int part, int64_t first, int64_t end, const struct merge_row **);
void merge_rows_free(struct merge_rows *);

#endif
