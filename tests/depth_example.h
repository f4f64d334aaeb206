/* A stack whose maps and coefficients are drawn, and what is measured of its depth mixing. */
#ifndef DEPTH_EXAMPLE_H
#define DEPTH_EXAMPLE_H

#include "tests/analysis_expect.h"

struct drawn {
    struct mhc_depth d;
    double *res, *pre, *post;
};

static inline struct drawn draw(int64_t L, int64_t T, int64_t n, double spread) {
    struct drawn x = {.res = random_maps(11, L, T, n, spread)};
    x.pre = malloc((size_t)(L * T * n) * sizeof *x.pre);
    x.post = malloc((size_t)(L * T * n) * sizeof *x.post);
    for (int64_t k = 0; k < L * T * n; k++) {
        x.pre[k] = mhc_normal(11, 2, 0, (uint64_t)k);
        x.post[k] = 1 + mhc_normal(11, 3, 0, (uint64_t)k);
    }
    x.d = (struct mhc_depth){L, T, n, x.res, x.pre, x.post};
    return x;
}

static inline void release(struct drawn *x) {
    free(x->res);
    free(x->pre);
    free(x->post);
}

static inline void reach(const struct mhc_depth *d, struct mhc_curves *c) {
    cr_assert(mhc_curves_allocate(c, d->L, MHC_GROUP_REACH, true));
    cr_assert_eq(mhc_measure_reach(d, c), 0);
}

static inline double *matrix(const struct mhc_depth *d) {
    double *m = malloc((size_t)(mhc_depth_rows(d->L) * mhc_depth_rows(d->L)) * sizeof *m);
    mhc_depth_matrix(d, m);
    return m;
}

#endif
