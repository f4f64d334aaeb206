/* Singular spectrum by accumulated QR: H_l Q_(l-1) = Q_l R_l with Q_0 = I, so that H_l...H_1 = Q_l (R_l...R_1), and the
 * i-th exponent is the sum of log10|r_ii|: never lost to rounding, however far apart they are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/lapack.h"
#include "analysis/maps.h"

/* QR of the n x n matrix in q (column-major): the diagonal of R; q becomes Q. */
static void factorise(int n, double *q, double *diagonal) {
    enum { WORK = 32 * MHC_MAX_STREAMS }; /* for LAPACK's blocks of columns */
    double tau[MHC_MAX_STREAMS], work[WORK];
    int lwork = WORK, info;
    dgeqrf_(&n, &n, q, &n, tau, work, &lwork, &info);
    for (int i = 0; i < n; i++)
        diagonal[i] = q[i * n + i];
    dorgqr_(&n, &n, &n, q, &n, tau, work, &lwork, &info);
}

/* One layer of one token: q [n][n], column-major, becomes Q_l, sums [n] grow by log10|r_ii|. */
static void advance(const struct map *map, double *q, double *sums) {
    int64_t n = map->n;
    double product[MAP_SIZE], diagonal[MHC_MAX_STREAMS];
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t p = 0; p < n; p++)
                sum += map->m[i * n + p] * q[j * n + p];
            product[j * n + i] = sum;
        }
    }
    memcpy(q, product, (size_t)(n * n) * sizeof *q);
    factorise((int)n, q, diagonal);
    for (int64_t i = 0; i < n; i++)
        sums[i] += scaled_log10((struct scaled){fabs(diagonal[i]), map->exponent});
}

static int descending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The tokens of one tile: one layer further, and their exponents in order to sorted [n][T]. */
static void advance_tile(const double *res, int64_t layer, int64_t T, int64_t n, int64_t tile, double *q, double *sums,
                         double *sorted) {
    lanes m[MAP_SIZE];
    lanes_int exponent;
    compose(res, T, n, layer, layer, tile, m, &exponent);
    for (int k = 0; k < LANES && tile * LANES + k < T; k++) {
        int64_t t = tile * LANES + k;
        struct map map;
        double ordered[MHC_MAX_STREAMS];
        bool finite = map_of_lane(&map, n, m, &exponent, k);
        if (finite)
            advance(&map, q + t * n * n, sums + t * n);
        for (int64_t i = 0; i < n; i++) {
            if (!finite)
                sums[t * n + i] = NAN;
            ordered[i] = sums[t * n + i];
        }
        qsort(ordered, (size_t)n, sizeof *ordered, descending);
        for (int64_t i = 0; i < n; i++)
            sorted[i * T + t] = ordered[i];
    }
}

int mhc_qr_spectrum(const double *res, int64_t L, int64_t T, int64_t n, double *out) {
    double *q = maps_allocate(T * n * n, sizeof *q); /* [T][n][n] column-major */
    double *sums = maps_allocate(T * n, sizeof *sums), *sorted = maps_allocate(n * T, sizeof *sorted);
    int failed = q && sums && sorted ? 0 : -1;
    for (int64_t t = 0; t < T && !failed; t++)
        for (int64_t i = 0; i < n; i++)
            q[(t * n + i) * n + i] = 1;
    for (int64_t layer = 0; layer < L && !failed; layer++) {
#pragma omp parallel for schedule(static)
        for (int64_t tile = 0; tile < (T + LANES - 1) / LANES; tile++)
            advance_tile(res, layer, T, n, tile, q, sums, sorted);
        for (int64_t i = 0; i < n; i++)
            out[layer * n + i] = scaled_linear(scaled_mean(sorted + i * T, NULL, T));
    }
    free(sorted);
    free(sums);
    free(q);
    return failed;
}
