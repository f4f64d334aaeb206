/* Trained stacks over the seeds of a group: what figures and tables of training are made of. */
#ifndef TRAINED_SEEDS_H
#define TRAINED_SEEDS_H

#include <stddef.h>

#include "suites/report/groups.h"

/* The groups that trained and were measured, in memory of their own; their cases and labels stay those of `all`.
 * Release with free(). */
bool trained_groups(struct record_reader *, const struct groups *all, struct groups *trained);

/* Over seeds: the smallest, the median and the largest. A seed that has no number, because its loss or its streams
 * left the range, counts as larger than any other; NaN: not measured. */
struct range {
    double least, median, most;
};
struct range trained_range(double *values, int64_t count); /* reorders them */

/* A number of a case, NaN where it has none, and its range over the seeds of a group. */
typedef double trained_number(struct record_reader *, int64_t index, const struct params *, const void *what);
struct range trained_over_seeds(struct record_reader *, const struct group *, trained_number *, const void *what);

/* The largest value over layers of a curve (`what`: its name) at the end, as it is stored; of a run that ended early
 * none. */
trained_number trained_end;
/* Held-out loss without the branches of a quarter (`what`: an int, from 0) minus the loss with all. */
trained_number trained_without_quarter;

/* What is followed: a curve, of which the largest over layers is taken, or else a field of struct record_training. */
struct quantity {
    const char *column, *curve;
    size_t field;
};

/* [quantities][points][seeds] of a group; a seed whose run ended early has NaN at the points that it lacks. */
struct course {
    int64_t points, seeds, ended; /* seeds whose run ended with a loss that is no number */
    int64_t *step;                /* [points] */
    double *value;
};
bool course_read(struct record_reader *, const struct group *, const struct quantity *, int quantities,
                 struct course *);
void course_release(struct course *);
/* A curve that is stored as log10 comes back as what it is the logarithm of. */
struct range course_range(const struct course *, const struct quantity *, int quantity, int64_t point);

#endif
