/* Singular spectrum by accumulated QR: H_l Q_(l-1) = Q_l R_l with Q_0 = I, so that H_l...H_1 = Q_l (R_l...R_1), and the
 * i-th exponent is the sum of log10|r_ii|: never lost to rounding, however far apart they are. */
#include <math.h>
#include <stdlib.h>

#include "analysis/maps.h"

/* Householder QR of the column-major n x n matrix a: the diagonal of R, and q (column-major). */
static void householder(int64_t n, double *a, double *diagonal, double *q) {
    double v[MHC_MAX_STREAMS][MHC_MAX_STREAMS], scale[MHC_MAX_STREAMS];
    for (int64_t k = 0; k < n; k++) {
        double norm = mhc_norm(a + k * n + k, n - k), head = a[k * n + k];
        diagonal[k] = norm;
        scale[k] = 0; /* 2 / |v|^2 = 1 / |v_k|, or no reflection at all */
        if (norm == 0)
            continue;
        for (int64_t i = k; i < n; i++)
            v[k][i] = a[k * n + i] / norm;
        v[k][k] += copysign(1, head);
        scale[k] = 1 / fabs(v[k][k]);
        for (int64_t j = k + 1; j < n; j++) {
            double dot = 0;
            for (int64_t i = k; i < n; i++)
                dot += v[k][i] * a[j * n + i];
            for (int64_t i = k; i < n; i++)
                a[j * n + i] -= scale[k] * dot * v[k][i];
        }
    }
    for (int64_t j = 0; j < n; j++) {
        double *column = q + j * n;
        for (int64_t i = 0; i < n; i++)
            column[i] = i == j;
        for (int64_t k = n - 1; k >= 0; k--) {
            double dot = 0;
            for (int64_t i = k; i < n && scale[k] != 0; i++)
                dot += v[k][i] * column[i];
            for (int64_t i = k; i < n && scale[k] != 0; i++)
                column[i] -= scale[k] * dot * v[k][i];
        }
    }
}

/* One layer of one token: q becomes Q_l, sums [n] grow by log10|r_ii|. */
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
    householder(n, product, diagonal, q);
    for (int64_t i = 0; i < n; i++)
        sums[i] += scaled_log10((struct scaled){diagonal[i], map->exponent});
}

static void sort_descending(double *x, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        for (int64_t j = i; j > 0 && x[j] > x[j - 1]; j--) {
            double swap = x[j];
            x[j] = x[j - 1];
            x[j - 1] = swap;
        }
    }
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
        double descending[MHC_MAX_STREAMS];
        bool finite = map_of_lane(&map, n, m, &exponent, k);
        if (finite)
            advance(&map, q + t * n * n, sums + t * n);
        for (int64_t i = 0; i < n; i++) {
            if (!finite)
                sums[t * n + i] = NAN;
            descending[i] = sums[t * n + i];
        }
        sort_descending(descending, n);
        for (int64_t i = 0; i < n; i++)
            sorted[i * T + t] = descending[i];
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
