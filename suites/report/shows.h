/* The tables of `mhcbench show`, by study. They are here and not in struct study because they are made from records
 * alone. */
#ifndef SHOWS_H
#define SHOWS_H

#include <math.h>

#include "results/record.h"
#include "results/table.h"
#include "suites/case/params.h"
#include "suites/report/groups.h"

/* Ways of showing: every row of a table; with what explains each case. */
enum { SHOW_ALL = 1, SHOW_ACCOUNT = 2 };

/* Either prints nothing where the record has no such case, either may be NULL: curves are tables by group, which
 * show.c makes of all studies that have them. */
struct show {
    void (*tables)(struct record_reader *, struct tables *, unsigned how);
    /* A few sentences that answer the study's question, and at most one table; `gains`: what headline_gains() has shown
     * already. false: there are none. */
    bool (*headline)(struct record_reader *, struct tables *, unsigned gains);
};
extern const struct show shows[STUDIES];

/* What stands above a table that has computed times. */
#define SHOW_MODEL                                                                                             \
    "MODEL: these times are computed from the bytes and flops of every operation and the data sheet of a GPU " \
    "(mhcbench doctor --backend model:GPU). Nothing was run, measured or checked, so there is no interval.\n"

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

/* One row per case of study `maps` whose maps are those of a file. */
void show_given(struct record_reader *, struct tables *, unsigned how);
/* A table for all timed cases of study `kernels` that differ in operation and shape alone; and Table 2 of the paper. */
void show_kernels(struct record_reader *, struct tables *, unsigned how);
/* One line per L_r of study `recompute`. */
void show_recompute(struct record_reader *, struct tables *, unsigned how);
/* Study `train` over seeds and where each case ended; with SHOW_ACCOUNT the course of each. */
void show_train(struct record_reader *, struct tables *, unsigned how);
/* The same over seeds: loss, gain, other t_max and quarters switched off, one row per group. */
void show_train_over_seeds(struct record_reader *, struct tables *);
/* One sentence: held-out losses against the residual. */
void show_train_losses(struct record_reader *, struct tables *);
/* Overheads of all timed cases of study `overhead`; with SHOW_ACCOUNT the time of every part of a step. */
void show_overhead(struct record_reader *, struct tables *, unsigned how);

/* What each connection of the groups [from, to) costs and does, `rows` of them; nothing where they have one connection
 * or no reach. */
void show_costs(struct record_reader *, const struct groups *, int64_t from, int64_t to, int64_t rows, struct tables *);

bool show_maps_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_propagate_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_kernels_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_recompute_headline(struct record_reader *, struct tables *, unsigned gains);
/* The overheads of the case that is nearest to the paper's. */
bool show_overhead_headline(struct record_reader *, struct tables *, unsigned gains);
bool show_train_headline(struct record_reader *, struct tables *, unsigned gains);

#endif
