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
    void (*tables)(struct record_reader *, struct tables *, bool account); /* `account`: with what explains each case */
    /* A few sentences that answer the study's question, and at most one table; `gains`: what headline_gains() has shown
     * already. false: there are none. */
    bool (*headline)(struct record_reader *, struct tables *, unsigned gains);
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

/* A table for all timed cases of study `kernels` that differ in operation and shape alone; and Table 2 of the paper. */
void show_kernels(struct record_reader *, struct tables *, bool account);
/* One line per L_r of study `recompute`. */
void show_recompute(struct record_reader *, struct tables *, bool account);
/* Study `train` over seeds and where each case ended; with `account` the course of each. */
void show_train(struct record_reader *, struct tables *, bool account);
/* The same over seeds: loss, gain, other t_max and quarters switched off, one row per group. */
void show_train_over_seeds(struct record_reader *, struct tables *);
/* One sentence: held-out losses against the residual. */
void show_train_losses(struct record_reader *, struct tables *);
/* Overheads of all timed cases of study `overhead`; with `account` the time of every part of a step. */
void show_overhead(struct record_reader *, struct tables *, bool account);

bool show_maps_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_propagate_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_kernels_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_recompute_headline(struct record_reader *, struct tables *, unsigned gains);
/* The overheads of the case that is nearest to the paper's. */
bool show_overhead_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_train_headline(struct record_reader *, struct tables *, unsigned gains);

#endif
