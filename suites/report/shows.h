/* The tables of `mhcbench show`, by study. They are here and not in struct study because they are made from records
 * alone. */
#ifndef SHOWS_H
#define SHOWS_H

#include <math.h>

#include "results/record.h"
#include "results/table.h"
#include "suites/case/params.h"

/* Either prints nothing where the record has no such case, either may be NULL: curves are tables by group, which
 * show.c makes of all studies that have them. */
struct show {
    void (*tables)(struct record_reader *, struct tables *,
                   bool all); /* `all`: of every case, where the first alone would do */
    bool (*headline)(struct record_reader *, struct tables *); /* false: there is none */
};
extern const struct show shows[STUDIES];

/* A scalar of /timing of a case; NaN where the file lacks it. */
static inline double timing(struct record_reader *r, const char *name, int64_t index) {
    const double *values = record_timing_value(r, name);
    return values ? values[index] : NAN;
}

/* Half the interval of a median as a share of it; NaN of too few rounds for one. */
static inline double timing_half(struct record_reader *r, int64_t index) {
    double half = (timing(r, "high", index) - timing(r, "low", index)) / 2 / timing(r, "median", index);
    return isfinite(half) ? half : NAN;
}

/* A row for each case of study `maps` whose maps are those of a file. */
void show_given(struct record_reader *, struct tables *, bool all);
/* A table for all timed cases of study `kernels` that differ in operation and shape alone; and Table 2 of the paper. */
void show_kernels(struct record_reader *, struct tables *, bool all);
/* A line for every L_r of study `recompute`. */
void show_recompute(struct record_reader *, struct tables *, bool all);
/* Where each case of study `train` ended, then the course of the first, or with `all` of each. */
void show_train(struct record_reader *, struct tables *, bool all);
/* The same over seeds: loss, gain, other t_max and quarters switched off, a row a group. */
void show_train_over_seeds(struct record_reader *, struct tables *);
/* Overheads of all timed cases of study `overhead`, then the account of the first, or with `all` of each. */
void show_overhead(struct record_reader *, struct tables *, bool all);
/* The overheads of the case that is nearest to the paper's. */
bool show_overhead_headline(struct record_reader *, struct tables *);

#endif
