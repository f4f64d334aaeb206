/* Groups: cases of a record that differ in the seed alone. Statistics over seeds are taken of them. */
#ifndef GROUPS_H
#define GROUPS_H

#include "results/record.h"
#include "suites/case/params.h"

struct group {
    char *label;    /* the key without its seed */
    int64_t *cases; /* indices of the finished cases */
    int64_t count;
    struct params p; /* parameters of the first of them */
};

struct groups {
    struct group *group;
    int64_t count;
    bool varies[PARAMS_MOST]; /* by position in params_table: the groups differ in it */
};

/* Groups in the order of their first case. false: one line in `why`. */
bool groups_read(struct record_reader *, struct groups *, char *why, size_t why_size);
void groups_release(struct groups *);

/* Drops the cases that are not wanted, and the groups that have none then; `wanted` has one entry per case
 * of the record. */
void groups_keep(struct groups *, const bool *wanted);

/* Parameters of a case from the columns; one that an older file lacks keeps its default. */
void groups_params(struct record_reader *, int64_t index, struct params *);

/* What the device of a backend says it is, by the record; false, and "": the backend ran on the host. */
bool groups_device(struct record_reader *, const char *backend, char *text, size_t size);

/* "--study overhead --depth 8 ...": what a table says above it, of a case: the options of its study but those that
 * are columns, if their value is not the default or they are shown always. Lists end with NULL. */
void groups_case_constants(const struct params *, const char *const *columns, const char *const *always, char *text,
                           size_t size);

struct spread {
    double q10, median, q90;
};

/* Quantiles of values, one per seed; reorders them. NaN if there are none or one is NaN. */
struct spread groups_spread(double *values, int64_t count);

/* Quantiles over a group's seeds of a summary, e.g. "composite_forward_sum_max"; linear where the curve is stored as
 * log10. NaN where not recorded. */
struct spread groups_summary(struct record_reader *, const struct group *, const char *summary);

/* The same of one layer (0-based) of a curve. */
struct spread groups_curve(struct record_reader *, const struct group *, const char *curve, int64_t layer);

/* The parameters in which a group differs from the others, e.g. "hc w=0.35". */
void groups_label(const struct groups *, int64_t index, char *text, size_t size);

/* The same among the groups [from, to) only, which differ in what `varies`; and the options they have in common: study,
 * depth, t-max and what is not the default. */
void groups_variation(const struct groups *, int64_t from, int64_t to, bool varies[PARAMS_MOST]);
void groups_label_within(const struct groups *, const bool varies[PARAMS_MOST], int64_t index, char *text, size_t size);
void groups_constants(const struct groups *, int64_t from, int64_t to, char *text, size_t size);

#endif
