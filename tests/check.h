/* What several tests share: a comparator that says where, rows run over named arrays. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/operation.h"
#include "cpu_ref/philox.h"
#include "suites/rows/array_error.h"
#include "suites/rows/guarded.h"

/* --- numbers --- */

/* |got - want| <= tolerance for every element; NaN and Inf only where the same is wanted. */
static inline void check_close(const double *got, const double *want, int64_t count, double tolerance, const char *what,
                               const char *name) {
    for (int64_t k = 0; k < count; k++) {
        bool same = got[k] == want[k] || (isnan(got[k]) && isnan(want[k]));
        double error = same ? 0 : fabs(got[k] - want[k]);
        cr_assert(error <= tolerance, "%s: %s[%lld] is %.17g, wanted %.17g, error %.3g > %.3g", what, name,
                  (long long)k, got[k], want[k], error, tolerance);
    }
}

/* --- rows run over named arrays in float64 --- */

/* The array of a name, zeros at first. */
static inline double *put(struct arrays *d, const char *name, int64_t count) {
    double *values = arrays_get(d, name);
    if (values)
        return values;
    values = arrays_put(d, name, count);
    cr_assert(values);
    return memset(values, 0, (size_t)count * sizeof *values);
}

static inline struct arrays copy_of(const struct arrays *d) {
    struct arrays copy = {0};
    for (int k = 0; k < d->count; k++)
        memcpy(put(&copy, d->entry[k].name, d->entry[k].count), d->entry[k].values,
               (size_t)d->entry[k].count * sizeof(double));
    return copy;
}

/* An input that no row computed, which a float holds exactly. */
static inline void draw(const struct mhc_case *c, const struct mhc_arg *arg, uint64_t seed, double *values) {
    int64_t count = mhc_elements(c, arg);
    for (int64_t k = 0; k < count; k++)
        values[k] = (float)mhc_natural(c, arg, k, mhc_normal(seed, mhc_what(arg->name), 0, (uint64_t)k));
}

static inline void set_types(struct mhc_case *c, const struct mhc_library *library) {
    c->stream = c->coef = c->param = library == &mhc_cpu64 ? MHC_F64 : MHC_F32;
}

static const struct mhc_library *const libraries[] = {&mhc_cpu64, &mhc_cpu32};
enum { LIBRARIES = sizeof libraries / sizeof *libraries };

static inline struct mhc_case make_case(int library, int64_t T, int64_t n, int64_t C, int64_t t_max, int convention,
                                        double eps) {
    struct mhc_case c = {.T = T, .n = n, .C = C, .t_max = t_max, .convention = convention, .sinkhorn_eps = eps};
    set_types(&c, libraries[library]);
    return c;
}

/* Runs a row in poisoned memory: inputs from the arrays (drawn where absent), outputs into them. What a row keeps
 * goes to `save`, whose bytes are the caller's to free, where the other rows find it; NULL: nothing is kept. */
static inline void run_poisoned(const struct mhc_row *row, const struct mhc_case *c, struct arrays *d, uint64_t seed,
                                struct save *save, const struct poison *poison) {
    struct outcome o = {.save = save ? *save : (struct save){0}};
    char why[MAX_FAILURE];
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == MHC_IN && !arrays_get(d, arg->name))
            draw(c, arg, seed, put(d, arg->name, mhc_elements(c, arg)));
    arrays_alias_all(&o.made, d);
    bool good = run_guarded(&backend_host, row, c, poison, &o, why);
    cr_assert(good, "%s T=%lld n=%lld C=%lld: %s", row->name, (long long)c->T, (long long)c->n, (long long)c->C, why);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == MHC_OUT)
            memcpy(put(d, arg->name, mhc_elements(c, arg)), arrays_get(&o.made, arg->name),
                   (size_t)mhc_elements(c, arg) * sizeof(double));
    if (save) {
        *save = o.save;
        o.save = (struct save){0};
    }
    outcome_clear(&o);
}

/* Without bands: many of these are small and quick. */
static inline void run_row(const struct mhc_row *row, const struct mhc_case *c, struct arrays *d, uint64_t seed,
                           struct save *save) {
    run_poisoned(row, c, d, seed, save, &(struct poison){.pattern = 0xffff, .tight = true});
}

static inline void run_named(const struct mhc_library *library, const char *name, const struct mhc_case *c,
                             struct arrays *d, struct save *save) {
    const struct mhc_row *row = mhc_row_find(library, name);
    cr_assert(row, "%s has no row %s", library->name, name);
    run_row(row, c, d, 1, save);
}

#endif
