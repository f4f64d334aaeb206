/* For the tests of analysis/: comparison of a number with what it should be, and a long-double eigensolver. */
#ifndef ANALYSIS_EXPECT_H
#define ANALYSIS_EXPECT_H

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "cpu_ref/philox.h"

#define LOG10_ZERO log10(DBL_MIN)

enum { LARGEST = 16 };
static const int64_t all_n[] = {1, 2, 3, 4, 8, LARGEST};
#define FOR_ALL_N(n) for (int64_t index_ = 0, n = 1; index_ < 6 && (n = all_n[index_]); index_++)

/* Equal, both NaN, or within tol of max(1, |want|); i and j say where. */
#define EXPECT(got, want, tol, what, i, j)                                                                   \
    do {                                                                                                     \
        double got_ = (got), want_ = (want), error_ = fabs(got_ - want_), tol_ = (tol)*fmax(1, fabs(want_)); \
        bool same_ = got_ == want_ || (isnan(got_) && isnan(want_));                                         \
        if (!same_ && !(error_ <= tol_))                                                                     \
            cr_expect(false, "%s at %lld %lld: got %.17g, want %.17g, error %g > %g", what, (long long)(i),  \
                      (long long)(j), got_, want_, error_, tol_);                                            \
    } while (0)

static inline double mean_of(const struct mhc_curves *c, enum mhc_metric metric, int64_t layer) {
    return c->curve[metric][MHC_MEAN][layer];
}

/* All groups of maps, with quantiles. */
static inline void measure(const double *res, int64_t L, int64_t T, int64_t n, struct mhc_curves *c) {
    cr_assert(mhc_curves_allocate(c, L, MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING, true));
    cr_assert_eq(mhc_measure_maps(res, L, T, n, c), 0);
}

/* L x T copies of one map. */
static inline double *repeat(const double *map, int64_t L, int64_t T, int64_t n) {
    double *res = malloc((size_t)(L * T * n * n) * sizeof *res);
    for (int64_t k = 0; k < L * T; k++)
        memcpy(res + k * n * n, map, (size_t)(n * n) * sizeof *map);
    return res;
}

static inline double *random_maps(uint64_t seed, int64_t L, int64_t T, int64_t n, double spread) {
    double *res = malloc((size_t)(L * T * n * n) * sizeof *res);
    for (int64_t i = 0; i < L * T * n * n; i++)
        res[i] = (i % (n * n) % (n + 1) == 0) + spread * mhc_normal(seed, 1, 0, (uint64_t)i);
    return res;
}

/* Eigenvalues of a symmetric matrix, ascending, by cyclic Jacobi in long double. */
static inline void jacobi(int64_t n, long double *a, long double *eigenvalue) {
    for (int sweep = 0; sweep < 20; sweep++) {
        for (int64_t p = 0; p < n; p++) {
            for (int64_t q = p + 1; q < n; q++) {
                long double angle = 0.5L * atan2l(2 * a[p * n + q], a[p * n + p] - a[q * n + q]);
                long double c = cosl(angle), s = sinl(angle);
                for (int64_t k = 0; k < n; k++) {
                    long double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x + s * y, a[k * n + q] = c * y - s * x;
                }
                for (int64_t k = 0; k < n; k++) {
                    long double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x + s * y, a[q * n + k] = c * y - s * x;
                }
            }
        }
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i;
        for (; k > 0 && eigenvalue[k - 1] > a[i * n + i]; k--)
            eigenvalue[k] = eigenvalue[k - 1];
        eigenvalue[k] = a[i * n + i];
    }
}

#endif
