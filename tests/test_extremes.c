/* Analysis at the ends of the range of numbers: entries near its limits, products beyond it, what is not finite. */
#include "tests/depth_example.h"

enum { LAYERS = 7, TOKENS = 5 };

/* Entries at the ends of the range, and exact zeros. */
Test(extremes, extreme_entries) {
    const double huge[4] = {DBL_MAX, -DBL_MAX, DBL_MAX, DBL_MAX}, tiny[4] = {0x1p-1074, 0, 0x1p-1074, 0x1p-1074};
    double res[4][4];
    memcpy(res[0], huge, sizeof huge);
    memcpy(res[1], tiny, sizeof tiny);
    memcpy(res[2], huge, sizeof huge);
    memset(res[3], 0, sizeof res[3]);
    struct mhc_curves c;
    measure(&res[0][0], 4, 1, 2, &c);
    const double log10_max = log10(DBL_MAX), log10_min = -1074 * log10(2);
    EXPECT(mean_of(&c, MHC_single_forward_sum, 0), log10_max + log10(2), 1e-14, "huge", 0, 0);
    EXPECT(mean_of(&c, MHC_single_backward_sum, 0), log10_max + log10(2), 1e-14, "huge", 0, 0);
    EXPECT(mean_of(&c, MHC_single_forward_abs, 1), log10_min + log10(2), 1e-14, "tiny", 0, 0);
    /* tiny huge = 2^-1074 DBL_MAX [1 -1; 2 0]; huge tiny huge = 2^-1074 DBL_MAX^2 [-1 -1; 3 -1] */
    EXPECT(mean_of(&c, MHC_composite_forward_abs, 1), log10_min + log10_max + log10(2), 1e-14, "composite", 1, 0);
    EXPECT(mean_of(&c, MHC_composite_forward_sum, 2), log10_min + 2 * log10_max + log10(2), 1e-14, "composite", 2, 0);
    EXPECT(mean_of(&c, MHC_composite_forward_abs, 2), log10_min + 2 * log10_max + log10(4), 1e-14, "composite", 2, 0);
    for (int q = MHC_MEAN; q < MHC_STATISTICS; q++) {
        EXPECT(c.curve[MHC_composite_forward_abs][q][3], LOG10_ZERO, 0, "zero map", 3, q);
        EXPECT(c.curve[MHC_composite_backward_abs][q][0], LOG10_ZERO, 0, "zero map", 0, q);
    }
    for (int metric = 0; metric < MHC_METRICS; metric++)
        for (int64_t l = 0; l < 4 && c.curve[metric][0]; l++)
            if (metric != MHC_composite_smallest_singular && metric != MHC_composite_condition &&
                metric != MHC_single_row_error && metric != MHC_single_column_error)
                cr_expect(isfinite(mean_of(&c, metric, l)), "%s of finite maps", mhc_metric_info[metric].name);
    mhc_curves_release(&c);
}

/* Shares of entries, which are never NaN. */
static bool counts(int metric) {
    return metric == MHC_single_negative || metric == MHC_single_nonfinite;
}

static bool reached(int metric, int64_t l, int64_t planted) {
    const char *name = mhc_metric_info[metric].name;
    bool backward = metric == MHC_composite_log_column_sum || strstr(name, "composite_backward");
    return strstr(name, "single") ? l == planted : backward ? l <= planted : l >= planted;
}

Test(extremes, non_finite_reaches_exactly_its_composites) {
    const double bad[3] = {NAN, INFINITY, -INFINITY};
    FOR_ALL_N(n) {
        for (int k = 0; k < 9; k++) {
            const int64_t planted = k / 3 * 3, token = TOKENS - 1;
            double *res = random_maps(9, LAYERS, TOKENS, n, 0.1), sigma[TOKENS * LARGEST], spectrum[LAYERS * LARGEST];
            res[((planted * TOKENS + token) * n + n - 1) * n] = bad[k % 3];
            struct mhc_curves c;
            measure(res, LAYERS, TOKENS, n, &c);
            for (int metric = 0; metric < MHC_METRICS; metric++)
                for (int64_t l = 0; l < LAYERS && c.curve[metric][MHC_MEAN] && !counts(metric); l++)
                    cr_expect_eq(isfinite(mean_of(&c, metric, l)) != 0, !reached(metric, l, planted),
                                 "%s of layer %d is %g, n %d, %g planted at %d", mhc_metric_info[metric].name, (int)l,
                                 mean_of(&c, metric, l), (int)n, bad[k % 3], (int)planted);
            EXPECT(mean_of(&c, MHC_single_forward_abs, planted), fabs(bad[k % 3]), 0, "abs keeps Inf", n, k);
            for (int64_t l = 0; l < LAYERS; l++) {
                const double *layer = res + l * TOKENS * n * n;
                int64_t negative = 0;
                for (int64_t e = 0; e < TOKENS * n * n; e++)
                    negative += layer[e] < 0;
                EXPECT(mean_of(&c, MHC_single_negative, l), (double)negative / (double)(TOKENS * n * n), 1e-15,
                       "share below 0", n, l);
                EXPECT(mean_of(&c, MHC_single_nonfinite, l), (l == planted) / (double)(TOKENS * n * n), 1e-15,
                       "share not finite", n, l);
            }
            mhc_total_singular_values(res, LAYERS, TOKENS, n, sigma);
            mhc_qr_spectrum(res, LAYERS, TOKENS, n, spectrum);
            for (int64_t i = 0; i < n; i++) {
                cr_expect(isnan(sigma[token * n + i]) && isfinite(sigma[(token - 1) * n + i]));
                for (int64_t l = 0; l < LAYERS; l++)
                    cr_expect_eq(isfinite(spectrum[l * n + i]) != 0, l < planted, "QR spectrum of layer %d", (int)l);
            }
            mhc_curves_release(&c);
            free(res);
        }
    }
}

/* A permutation times 2^power: M[l][i] = 2^(power (l - 1 - i)), far beyond any floating-point number. */
Test(extremes, no_overflow_at_any_depth) {
    enum { L = 512, N = 3, T = 2 };
    double pre[L * T * N], post[L * T * N], map[N * N] = {0};
    for (int k = 0; k < L * T * N; k++)
        pre[k] = 1.0 / N, post[k] = 1;
    for (int power = -900; power <= 900; power += 1800) {
        for (int i = 0; i < N; i++)
            map[i * N + (i + 1) % N] = ldexp(1, power);
        double *res = repeat(map, L, T, N), step = power * log10(2);
        const struct mhc_depth d = {L, T, N, res, pre, post};
        struct mhc_curves c;
        reach(&d, &c);
        double *m = matrix(&d);
        const int64_t rows = mhc_depth_rows(L), stride = mhc_depth_stride(L);
        for (int64_t q = 0; q < rows; q++)
            for (int64_t k = 0; k < rows; k++) {
                const int64_t l = L - (rows - 1 - q) * stride, i = k * stride - 1;
                EXPECT(m[q * rows + k], i < l ? (double)(l - 1 - i) * step : NAN, 1e-14, "matrix", l, i);
            }
        for (int64_t l = 1; l <= L; l++) { /* one entry of a row outweighs all others by 2^900 */
            const double most = power > 0 ? (double)l * step : 0, first = power > 0, sum = log10((double)(l + 1));
            EXPECT(mean_of(&c, MHC_reach_forward_max, l - 1), most, 1e-14, "max", power, l);
            EXPECT(mean_of(&c, MHC_reach_forward_mean, l - 1), most - sum, 1e-14, "mean", power, l);
            EXPECT(mean_of(&c, MHC_reach_sources, l - 1), 1, 1e-14, "sources", power, l);
            EXPECT(mean_of(&c, MHC_reach_embedding, l - 1), first, 1e-14, "embedding", power, l);
            EXPECT(mean_of(&c, MHC_reach_newest, l - 1), 1 - first, 1e-14, "newest", power, l);
            EXPECT(mean_of(&c, MHC_reach_rank, l - 1), 1, 1e-7, "rank", power, l);
            const double heard = power > 0 ? (double)(L - l) * step : 0, inputs = log10((double)(L - l + 1));
            EXPECT(mean_of(&c, MHC_reach_backward, l - 1), heard - inputs, 1e-14, "backward", power, l);
        }
        free(m);
        mhc_curves_release(&c);
        free(res);
    }
}

/* Coefficients at the ends of the range of doubles, and rows of zeros. */
Test(extremes, extreme_coefficients) {
    const double pre[] = {DBL_MAX, 0x1p-1074, 0}, post[] = {DBL_MAX, 0x1p-1074, 1}, res[] = {DBL_MAX, 0x1p-1074, 1};
    const struct mhc_depth d = {3, 1, 1, res, pre, post};
    struct mhc_curves c;
    reach(&d, &c);
    const double huge = log10(DBL_MAX), tiny = -1074 * log10(2);
    EXPECT(mean_of(&c, MHC_reach_forward_max, 0), huge + tiny, 1e-12, "tiny times huge", 0, 0);
    EXPECT(mean_of(&c, MHC_reach_forward_max, 1), log10(DBL_MIN), 0, "nothing is read", 1, 0);
    EXPECT(mean_of(&c, MHC_reach_sources, 1), 0, 0, "no source", 1, 0);
    EXPECT(mean_of(&c, MHC_reach_newest, 1), 0, 0, "no share", 1, 0);
    EXPECT(mean_of(&c, MHC_reach_forward_max, 2), 0, 1e-12, "exit", 2, 0);
    mhc_curves_release(&c);
}

/* What is not a number reaches the rows behind it and the sources in front of it, and nothing else. */
Test(extremes, nonfinite_maps_reach_what_they_reach) {
    enum { AT = 4, N = 3 };
    struct drawn x = draw(LAYERS, 2, N, 0.2);
    struct mhc_curves c;
    x.res[(AT * 2 + 1) * N * N] = NAN; /* of one token */
    reach(&x.d, &c);
    double *m = matrix(&x.d);
    for (int64_t l = 0; l < LAYERS; l++) {
        for (int metric = MHC_reach_forward_max; metric <= MHC_reach_rank; metric++) {
            bool reached = metric == MHC_reach_backward ? l < AT : l >= AT;
            cr_expect(isnan(mean_of(&c, metric, l)) == reached, "%s of layer %ld", mhc_metric_info[metric].name,
                      (long)l);
        }
        for (int64_t i = -1; i <= l; i++)
            cr_expect(isnan(m[(l + 1) * (LAYERS + 1) + i + 1]) == (i < AT && l >= AT), "entry %ld %ld", (long)l,
                      (long)i);
    }
    free(m);
    mhc_curves_release(&c);
    release(&x);
}
