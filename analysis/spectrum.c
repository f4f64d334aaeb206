/* Singular values and determinants of composites. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/lapack.h"
#include "analysis/maps.h"

/* A smallest singular value means something when it stands clear of rounding and was never lost on the way. The first:
 * every product adds at most n eps of its norm, with random signs, so that l of them leave n eps sqrt(l) sigma_max, and
 * 64 n eps is eight times that at l = 64. The second: a map that shrinks the dominant direction lifts older rounding
 * into view; then the product of all singular values misses |det|, known independently as a sum over layers, by as much
 * as the smallest is wrong. */
static const double resolution = 64 * DBL_EPSILON;
static const double log10_det_agreement = 0.02; /* 5 % */

/* Singular values of the mantissas, descending; false when LAPACK does not converge. */
static bool singular_values(const struct map *map, double *sigma) {
    enum { WORK = 8 * MHC_MAX_STREAMS };
    int n = (int)map->n, lwork = WORK, one = 1, info;
    double a[MAP_SIZE], work[WORK], unused;
    for (int e = 0; e < n * n; e++)
        a[e] = map->m[e];
    dgesvd_("N", "N", &n, &n, a, &n, sigma, &unused, &one, &unused, &one, work, &lwork, &info, 1, 1);
    return info == 0;
}

/* log10 |det| by elimination with pivoting; a zero pivot counts as the smallest normal double. */
static double log10_determinant(const struct map *map) {
    int n = (int)map->n, pivot[MHC_MAX_STREAMS], info;
    double a[MAP_SIZE], sum = 0;
    for (int e = 0; e < n * n; e++)
        a[e] = map->m[e];
    dgetrf_(&n, &n, a, &n, pivot, &info);
    for (int k = 0; k < n; k++)
        sum += scaled_log10((struct scaled){fabs(a[k * n + k]), map->exponent});
    return sum;
}

void maps_spectrum(struct maps *w, int64_t t, const struct map *single, const struct map *composite) {
    /* The sum over the layers so far: right even where the product itself has lost its small singular values. */
    double *log10_det = (double *)w->value[MHC_composite_log10_det];
    log10_det[t] += single ? log10_determinant(single) : NAN;
    double sigma[MHC_MAX_STREAMS], log10_product = 0;
    struct scaled norm = {NAN, 0}, smallest = {NAN, 0}, condition = {NAN, 0}, unresolved = {NAN, 0};
    if (composite && singular_values(composite, sigma)) {
        double last = sigma[w->n - 1];
        norm = (struct scaled){sigma[0], composite->exponent};
        smallest = (struct scaled){last, composite->exponent};
        condition.value = sigma[0] / last;
        for (int64_t i = 0; i < w->n; i++)
            log10_product += scaled_log10((struct scaled){sigma[i], composite->exponent});
        bool resolved = last > resolution * (double)w->n * sigma[0] &&
                        fabs(log10_product - log10_det[t]) < log10_det_agreement;
        unresolved.value = resolved ? 0 : 1;
    }
    maps_store(w, MHC_composite_spectral_norm, t, norm);
    maps_store(w, MHC_composite_smallest_singular, t, smallest);
    maps_store(w, MHC_composite_condition, t, condition);
    maps_store(w, MHC_composite_unresolved, t, unresolved);
}

int mhc_total_singular_values(const double *res, int64_t L, int64_t T, int64_t n, double *out) {
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < (T + LANES - 1) / LANES; tile++) {
        lanes m[MAP_SIZE];
        lanes_int exponent;
        compose(res, T, n, 0, L - 1, tile, m, &exponent);
        for (int k = 0; k < LANES && tile * LANES + k < T; k++) {
            double *sigma = out + (tile * LANES + k) * n;
            struct map map;
            bool good = map_of_lane(&map, n, m, &exponent, k) && singular_values(&map, sigma);
            for (int64_t i = 0; i < n; i++)
                sigma[i] = good ? scaled_linear((struct scaled){sigma[i], map.exponent}) : NAN;
        }
    }
    return 0;
}
