/* The matrices of the paper's Fig. 8: token means of single maps and of composites. */
#include <math.h>
#include <stdlib.h>

#include "analysis/maps.h"

/* Token mean of H_last...H_first, entry by entry; the caller's arrays hold [n*n][T] scores. */
static void mean_composite(const double *res, int64_t T, int64_t n, int64_t first, int64_t last, double *value,
                           int64_t *exponents, struct scaled *mean) {
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < (T + LANES - 1) / LANES; tile++) {
        lanes m[MAP_SIZE];
        lanes_int exponent;
        compose(res, T, n, first, last, tile, m, &exponent);
        for (int64_t t = tile * LANES; t < T && t < (tile + 1) * LANES; t++) {
            exponents[t] = exponent[t % LANES];
            for (int64_t e = 0; e < n * n; e++)
                value[e * T + t] = m[e][t % LANES];
        }
    }
    for (int64_t e = 0; e < n * n; e++)
        mean[e] = scaled_mean(value + e * T, exponents, T);
}

/* One exponent for the whole panel: 0 where doubles can hold it. */
static double write_panel(const struct scaled *mean, int64_t n, double *panel) {
    int64_t largest = INT64_MIN;
    for (int64_t e = 0; e < n * n; e++)
        if (mean[e].value != 0 && isfinite(mean[e].value) && mean[e].exponent > largest)
            largest = mean[e].exponent;
    bool representable = largest == INT64_MIN || llabs(largest) < 1000;
    int64_t scale = representable ? 0 : largest;
    for (int64_t e = 0; e < n * n; e++)
        panel[e] = scaled_linear((struct scaled){mean[e].value, mean[e].exponent - scale});
    return (double)scale * LOG10_2;
}

int mhc_composite_panels(const double *res, int64_t L, int64_t T, int64_t n, double *panel, double log10_scale[6]) {
    const int64_t h = (L + 1) / 2;
    const int64_t span[6][2] = {{0, 0}, {h - 1, h - 1}, {L - 1, L - 1}, {0, h - 1}, {h, L - 1}, {0, L - 1}};
    double *value = maps_allocate(n * n * T, sizeof *value);
    int64_t *exponents = maps_allocate(T, sizeof *exponents);
    int failed = value && exponents ? 0 : -1;
    for (int p = 0; p < 6 && !failed; p++) {
        struct scaled mean[MAP_SIZE];
        mean_composite(res, T, n, span[p][0], span[p][1], value, exponents, mean);
        log10_scale[p] = write_panel(mean, n, panel + p * n * n);
    }
    free(exponents);
    free(value);
    return failed;
}
