/* Summaries over tokens and what is measured of streams, against closed forms. */
#include "tests/analysis_expect.h"

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

Test(summary, quantiles_and_means) {
    for (int64_t count = 1; count <= 60; count++) {
        double values[60], sorted[60];
        for (int64_t i = 0; i < count; i++)
            sorted[i] = count % 3 ? mhc_normal(1, 0, 0, (uint64_t)i) : round(mhc_normal(1, 0, 0, (uint64_t)i));
        memcpy(values, sorted, sizeof values);
        qsort(sorted, (size_t)count, sizeof *sorted, ascending);
        for (int k = 0; k <= 20; k++) {
            double q = k / 20.0, position = q * (double)(count - 1);
            int64_t low = (int64_t)floor(position), high = (int64_t)ceil(position);
            double want = sorted[low] + (position - (double)low) * (sorted[high] - sorted[low]);
            EXPECT(mhc_quantile(values, count, q), want, 1e-15, "quantile", count, k);
        }
        values[count / 2] = NAN;
        EXPECT(mhc_quantile(values, count, 0.1), NAN, 0, "quantile with a NaN", count, 0);
    }
    double infinite[4] = {INFINITY, 1, -INFINITY, 2};
    EXPECT(mhc_quantile(infinite, 4, 0.5), 1.5, 0, "median with Inf", 0, 0);
    EXPECT(mhc_quantile(infinite, 4, 1), INFINITY, 0, "maximum", 0, 0);

    struct mhc_curves c;
    cr_assert(mhc_curves_allocate(&c, 1, MHC_GROUP_GAIN | MHC_GROUP_STREAM, true));
    const double score[5] = {1.5, 0, 3, 1, 1}, large[3] = {DBL_MAX, DBL_MAX, DBL_MAX / 2};
    const int64_t exponent[5] = {5000, 90000, 4999, -70000, 4000};
    mhc_summarise(&c, MHC_composite_forward_sum, 0, score, exponent, 5);
    EXPECT(mean_of(&c, MHC_composite_forward_sum, 0), 5000 * log10(2) + log10(3.0 / 5), 1e-15, "scaled mean", 0, 0);
    EXPECT(c.curve[MHC_composite_forward_sum][MHC_Q50][0], 4000 * log10(2), 1e-15, "scaled median", 0, 0);
    EXPECT(c.curve[MHC_composite_forward_sum][MHC_Q10][0], LOG10_ZERO, 0, "zero sorts first", 0, 0);
    mhc_summarise(&c, MHC_x_rms, 0, large, NULL, 3);
    EXPECT(mean_of(&c, MHC_x_rms, 0) / DBL_MAX, 2.5 / 3, 1e-15, "mean of large values", 0, 0);
    mhc_curves_release(&c);
    const double curve[3] = {-1, -3, -2}, broken[3] = {-1, NAN, 2};
    EXPECT(mhc_curve_max(curve, 3), -1, 0, "curve max", 0, 0);
    EXPECT(mhc_curve_max(broken, 3), NAN, 0, "curve max", 0, 0);
}

/* One token of streams scale[i] e_(i % rank) * (1, 1, ..), C = 2n + 1, and what must come out. */
static void expect_streams(int64_t n, int64_t rank, double scale, double similarity, double tol) {
    const int64_t C = 2 * n + 1;
    double *x = calloc((size_t)(n * C), sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i * C + i % rank * 2] = x[i * C + i % rank * 2 + 1] = scale;
    struct mhc_curves c;
    cr_assert(mhc_curves_allocate(&c, 1, MHC_GROUP_STREAM, true));
    cr_assert_eq(mhc_measure_streams(x, 1, n, C, 0, &c), 0);
    EXPECT(mean_of(&c, MHC_x_rms, 0) / scale, sqrt(2.0 / (double)C), tol, "x_rms", n, rank);
    EXPECT(mean_of(&c, MHC_x_nonfinite, 0), 0, 0, "x_nonfinite", n, rank);
    EXPECT(mean_of(&c, MHC_stream_similarity, 0), similarity, tol, "similarity", n, rank);
    EXPECT(mean_of(&c, MHC_effective_rank, 0), (double)rank, tol, "effective rank", n, rank);
    cr_assert_eq(mhc_measure_gradient(x, 1, n, C, 0, &c), 0);
    EXPECT(mean_of(&c, MHC_grad_x_rms, 0) / scale, sqrt(2.0 / (double)C), tol, "grad_x_rms", n, rank);
    EXPECT(mhc_norm(x, n * C) / scale, sqrt(2.0 * (double)n), tol, "norm", n, rank);
    mhc_curves_release(&c);
    free(x);
}

Test(streams, scores) {
    FOR_ALL_N(n) {
        for (int power = -980; power <= 1000; power += 396) {
            double scale = ldexp(1, power);
            expect_streams(n, n, scale, n == 1, 1e-14);
            expect_streams(n, 1, scale, 1, 1e-14);
        }
    }
    /* Streams 2^-600 (1, 0), 2^600 (1, 1) and 0: one pair of three has a cosine, 1/sqrt(2). */
    double x[2][3][2] = {{{0x1p-600, 0}, {0x1p600, 0x1p600}, {0, 0}}, {{0}}};
    double one[3][3] = {{3, 0, 0}, {0, 4, 0}, {0, 0, NAN}};
    struct mhc_curves c;
    cr_assert(mhc_curves_allocate(&c, 3, MHC_GROUP_STREAM | MHC_GROUP_LOGIT, false));
    mhc_measure_streams(&x[0][0][0], 1, 3, 2, 0, &c);
    EXPECT(mean_of(&c, MHC_stream_similarity, 0), 1 / sqrt(2) / 3, 1e-15, "similarity", 0, 0);
    EXPECT(mean_of(&c, MHC_effective_rank, 0), 1, 1e-15, "effective rank", 0, 0);
    mhc_measure_streams(&x[1][0][0], 1, 3, 2, 1, &c);
    EXPECT(mean_of(&c, MHC_effective_rank, 1), 0, 0, "effective rank of zero", 0, 0);
    EXPECT(mean_of(&c, MHC_stream_similarity, 1), 0, 0, "similarity of zero", 0, 0);
    mhc_measure_streams(&one[0][0], 3, 1, 3, 2, &c);
    EXPECT(mean_of(&c, MHC_x_nonfinite, 2), 1.0 / 3, 1e-16, "share of tokens with a NaN", 0, 0);
    for (int metric = MHC_x_rms; metric <= MHC_effective_rank; metric++)
        if (metric != MHC_grad_x_rms && metric != MHC_x_nonfinite)
            EXPECT(mean_of(&c, metric, 2), NAN, 0, mhc_metric_info[metric].name, 2, 0);
    mhc_measure_streams(&one[0][0], 1, 3, 3, 2, &c);
    cr_expect(isnan(mean_of(&c, MHC_stream_similarity, 2)), "a NaN stream among others");
    mhc_measure_streams(&one[0][0], 1, 2, 3, 2, &c); /* singular values 4 and 3 */
    EXPECT(log(mean_of(&c, MHC_effective_rank, 2)), log(7) - (3 * log(3) + 4 * log(4)) / 7, 1e-14, "rank", 0, 0);
    const double logits[2][4] = {{1, -2, 5, 0}, {-1, -1, -1, -1}}, broken[4] = {1, NAN, 2, 3};
    mhc_measure_logits(&logits[0][0], 2, 2, 0, &c);
    mhc_measure_logits(broken, 1, 2, 1, &c);
    EXPECT(mean_of(&c, MHC_logit_range, 0), 3.5, 0, "logit range", 0, 0);
    EXPECT(mean_of(&c, MHC_logit_range, 1), NAN, 0, "logit range", 1, 0);
    mhc_curves_release(&c);
    const double far[3] = {3e300, -4e300, 1e-300}, infinite[2] = {1, -INFINITY};
    EXPECT(mhc_norm(far, 3), 5e300, 1e-15, "norm", 0, 0);
    EXPECT(mhc_norm(infinite, 2), INFINITY, 0, "norm", 1, 0);
    EXPECT(mhc_norm(broken, 4), NAN, 0, "norm", 2, 0);
    EXPECT(mhc_norm(far, 0), 0, 0, "norm of nothing", 3, 0);
}
