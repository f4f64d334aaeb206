/* What several tests share: arrays with guard bands, a comparator that says where, rows run over a dictionary of named
 * arrays. */
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

/* --- memory that notices a write outside --- */

enum { GUARD_BYTES = 256, GUARD_PATTERN = 0xA5 };

struct guarded {
    unsigned char *block;
    void *data; /* 64-byte aligned, exactly `bytes` long, a band on either side */
    int64_t bytes;
};

static inline struct guarded guard_allocate(int64_t bytes, int fill) {
    size_t size = ((size_t)bytes + 2 * GUARD_BYTES + 63) / 64 * 64;
    struct guarded g = {.block = aligned_alloc(64, size), .bytes = bytes};
    cr_assert(g.block, "no memory for %lld bytes", (long long)bytes);
    memset(g.block, GUARD_PATTERN, size);
    g.data = g.block + GUARD_BYTES;
    memset(g.data, fill, (size_t)bytes);
    return g;
}

static inline void guard_check(const struct guarded *g, const char *what, const char *name) {
    const unsigned char *after = (const unsigned char *)g->data + g->bytes;
    for (int64_t k = 0; k < GUARD_BYTES; k++) {
        cr_assert(g->block[k] == GUARD_PATTERN, "%s: %s written %lld bytes before its start", what, name,
                  (long long)(GUARD_BYTES - k));
        cr_assert(after[k] == GUARD_PATTERN, "%s: %s written %lld bytes behind its end", what, name, (long long)k);
    }
}

/* --- numbers --- */

static inline double largest_of(const double *values, int64_t count) {
    double largest = 0;
    for (int64_t k = 0; k < count; k++)
        largest = isfinite(values[k]) && fabs(values[k]) > largest ? fabs(values[k]) : largest;
    return largest;
}

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

/* --- named arrays in float64 and rows run over them --- */

enum { NAMED_ARRAYS = 48 };

struct named {
    const char *name;
    double *values;
    int64_t count;
};

struct dictionary {
    struct named entry[NAMED_ARRAYS];
    int count;
};

static inline double *lookup(const struct dictionary *d, const char *name) {
    for (int k = 0; k < d->count; k++)
        if (!strcmp(d->entry[k].name, name))
            return d->entry[k].values;
    return NULL;
}

static inline double *put(struct dictionary *d, const char *name, int64_t count) {
    double *values = lookup(d, name);
    if (values)
        return values;
    cr_assert(d->count < NAMED_ARRAYS);
    values = calloc((size_t)(count > 0 ? count : 1), sizeof *values);
    d->entry[d->count++] = (struct named){name, values, count};
    return values;
}

static inline void forget(struct dictionary *d) {
    for (int k = 0; k < d->count; k++)
        free(d->entry[k].values);
    d->count = 0;
}

static inline struct dictionary copy_of(const struct dictionary *d) {
    struct dictionary copy = {0};
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

static inline void to_type(void *to, const double *from, int64_t count, int32_t type) {
    for (int64_t k = 0; k < count; k++)
        if (type == MHC_F64)
            ((double *)to)[k] = from[k];
        else
            ((float *)to)[k] = (float)from[k];
}

static inline void from_type(double *to, const void *from, int64_t count, int32_t type) {
    for (int64_t k = 0; k < count; k++)
        to[k] = type == MHC_F64 ? ((const double *)from)[k] : (double)((const float *)from)[k];
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

/* Runs a row: inputs from the dictionary (drawn where absent), outputs into it. What a row keeps goes to `save`, freed
 * by the caller, where the other rows find it; NULL: nobody needs it. */
static inline void run_row(const struct mhc_row *row, const struct mhc_case *c, struct dictionary *d, uint64_t seed,
                           void **save) {
    void *bound[MHC_MAX_ARGS] = {0};
    for (int a = 0; row->args[a].name; a++) {
        const struct mhc_arg *arg = &row->args[a];
        int64_t count = mhc_elements(c, arg);
        bound[a] = aligned_alloc(64, (size_t)(count * 8 + 127) / 64 * 64);
        if (!lookup(d, arg->name)) {
            double *values = put(d, arg->name, count);
            if (arg->direction == MHC_IN)
                draw(c, arg, seed, values);
        }
        to_type(bound[a], lookup(d, arg->name), count, mhc_arg_type(c, arg));
    }
    void *forgotten = NULL;
    void **kept = save ? save : &forgotten;
    if (row->save_bytes) {
        free(*kept);
        *kept = aligned_alloc(64, (size_t)(row->save_bytes(c) + 127) / 64 * 64);
    }
    void *work = aligned_alloc(64, (size_t)((row->work_bytes ? row->work_bytes(c) : 0) + 127) / 64 * 64);
    cr_assert(row->run(NULL, NULL, c, bound, *kept, work) == 0, "%s failed", row->name);
    for (int a = 0; row->args[a].name; a++) {
        if (row->args[a].direction == MHC_OUT)
            from_type(lookup(d, row->args[a].name), bound[a], mhc_elements(c, &row->args[a]),
                      mhc_arg_type(c, &row->args[a]));
        free(bound[a]);
    }
    free(work);
    free(forgotten);
}

static inline void run_named(const struct mhc_library *library, const char *name, const struct mhc_case *c,
                             struct dictionary *d, void **save) {
    const struct mhc_row *row = mhc_row_find(library, name);
    cr_assert(row, "%s has no row %s", library->name, name);
    run_row(row, c, d, 1, save);
}

#endif
