/* Analysis of maps against closed forms, and against its definitions, word for word in long double. */
#include <omp.h>

#include "tests/analysis_expect.h"

enum { LAYERS = 7, TOKENS = 5 };

static void expect_gains(const struct mhc_curves *c, int64_t L, double step_log10, double tol) {
    for (int64_t l = 0; l < L; l++) {
        for (int metric = MHC_single_forward_sum; metric <= MHC_single_backward_abs; metric++)
            EXPECT(mean_of(c, metric, l), step_log10, tol, mhc_metric_info[metric].name, l, 0);
        for (int q = MHC_MEAN; q < MHC_STATISTICS; q++) {
            for (int metric = MHC_composite_forward_sum; metric <= MHC_composite_forward_abs; metric++)
                EXPECT(c->curve[metric][q][l], (double)(l + 1) * step_log10, tol, mhc_metric_info[metric].name, l, q);
            for (int metric = MHC_composite_backward_sum; metric <= MHC_composite_backward_abs; metric++)
                EXPECT(c->curve[metric][q][l], (double)(L - l) * step_log10, tol, mhc_metric_info[metric].name, l, q);
        }
    }
}

Test(analysis, permutation_times_power_of_two) {
    FOR_ALL_N(n) {
        for (int power = -900; power <= 900; power += 300) {
            double map[LARGEST * LARGEST] = {0};
            for (int64_t i = 0; i < n; i++)
                map[i * n + (i + 1) % n] = ldexp(1, power);
            double *res = repeat(map, LAYERS, TOKENS, n);
            struct mhc_curves c;
            measure(res, LAYERS, TOKENS, n, &c);
            expect_gains(&c, LAYERS, log10(2) * power, 1e-15);
            for (int64_t l = 0; l < LAYERS; l++) {
                double log10_size = log10(2) * power * (double)(l + 1);
                EXPECT(mean_of(&c, MHC_composite_spectral_norm, l), log10_size, 1e-14, "norm", n, 0);
                EXPECT(mean_of(&c, MHC_composite_smallest_singular, l), log10_size, 1e-14, "min", n, 0);
                EXPECT(mean_of(&c, MHC_composite_condition, l), 0, 1e-14, "condition", n, 0);
                EXPECT(mean_of(&c, MHC_composite_unresolved, l), 0, 0, "unresolved", n, 0);
                EXPECT(mean_of(&c, MHC_composite_log10_det, l), (double)n * log10_size, 1e-14, "det", n, 0);
                EXPECT(mean_of(&c, MHC_composite_lambda2, l), n == 1 ? LOG10_ZERO : log10_size, 1e-14, "lambda2", n, l);
                EXPECT(mean_of(&c, MHC_composite_dobrushin, l), n == 1 ? LOG10_ZERO : log10_size, 1e-15, "dobrushin", n,
                       l);
                EXPECT(mean_of(&c, MHC_single_log_column_sum, l), fabs(log(2) * power), 1e-15, "log column sum", n, l);
                EXPECT(mean_of(&c, MHC_single_row_error, l), fabs(ldexp(1, power) - 1), 1e-15, "row", n, 0);
                EXPECT(mean_of(&c, MHC_composite_uniform_distance, l),
                       power > 0    ? log10_size + log10(n) / 2
                       : power == 0 ? (n == 1 ? LOG10_ZERO : log10(n - 1) / 2)
                                    : 0,
                       1e-14, "distance", n, l);
            }
            mhc_curves_release(&c);
            free(res);
        }
    }
}

Test(analysis, uniform_and_diagonal_maps) {
    FOR_ALL_N(n) {
        double uniform[LARGEST * LARGEST], diagonal[LARGEST * LARGEST] = {0}, spectrum[LAYERS * LARGEST];
        for (int64_t e = 0; e < n * n; e++)
            uniform[e] = 1.0 / (double)n;
        for (int64_t i = 0; i < n; i++)
            diagonal[i * n + i] = ldexp(i % 2 ? -1 : 1, (int)-i);
        double *res = repeat(uniform, LAYERS, TOKENS, n);
        struct mhc_curves c;
        measure(res, LAYERS, TOKENS, n, &c);
        expect_gains(&c, LAYERS, 0, 1e-15);
        for (int64_t l = 0; l < LAYERS; l++) {
            cr_expect(n == 1 || !(mean_of(&c, MHC_composite_lambda2, l) > -14), "n %ld: lambda2 of J/n", (long)n);
            cr_expect(!(mean_of(&c, MHC_composite_uniform_distance, l) > -14.5), "n %ld: distance of J/n", (long)n);
            EXPECT(mean_of(&c, MHC_composite_dobrushin, l), LOG10_ZERO, 0, "Dobrushin of J/n", n, 0);
            EXPECT(mean_of(&c, MHC_composite_unresolved, l), n > 1, 0, "unresolved", n, l);
            EXPECT(mean_of(&c, MHC_composite_condition, l), n > 1 ? NAN : 0, 1e-15, "condition", n, 0);
        }
        mhc_curves_release(&c);
        free(res);
        res = repeat(diagonal, LAYERS, TOKENS, n);
        measure(res, LAYERS, TOKENS, n, &c);
        expect_gains(&c, LAYERS, 0, 0);
        cr_assert_eq(mhc_qr_spectrum(res, LAYERS, TOKENS, n, spectrum), 0);
        for (int64_t l = 0; l < LAYERS; l++) {
            double condition = log10(2) * (double)((n - 1) * (l + 1)), step = -log10(2) * (double)(l + 1);
            bool resolved = condition < -log10(64 * (double)n * DBL_EPSILON);
            EXPECT(mean_of(&c, MHC_composite_condition, l), resolved ? condition : NAN, 1e-14, "condition", n, l);
            EXPECT(mean_of(&c, MHC_composite_lambda2, l), n > 1 ? step : LOG10_ZERO, 1e-14, "lambda2", n, 0);
            for (int64_t i = 0; i < n; i++)
                EXPECT(spectrum[l * n + i], step * (double)i, 1e-14, "QR spectrum", n, i);
        }
        mhc_curves_release(&c);
        free(res);
    }
}

/* (I + cJ)^l = I + ((1 + cn)^l - 1) J/n: 3^2000 is beyond 1e308. */
Test(analysis, gain_beyond_the_range_of_doubles) {
    enum { L = 2000, T = 3, N = 4 };
    double map[N * N], sigma[T * N], panel[6 * N * N], scale[6];
    for (int e = 0; e < N * N; e++)
        map[e] = 0.5 + (e % (N + 1) == 0);
    double *res = repeat(map, L, T, N), *spectrum = malloc(L * N * sizeof *spectrum);
    struct mhc_curves c;
    measure(res, L, T, N, &c);
    expect_gains(&c, L, log10(3), 1e-14);
    for (int64_t l = 0; l < L; l++) {
        double largest = (double)(l + 1) * log10(3);
        EXPECT(mean_of(&c, MHC_composite_spectral_norm, l), largest, 1e-13, "norm", l, 0);
        EXPECT(mean_of(&c, MHC_composite_log10_det, l), largest, 1e-13, "det", l, 0);
        if (largest < 12)
            EXPECT(mean_of(&c, MHC_composite_smallest_singular, l), 0, 1e-3, "smallest", l, 0);
    }
    EXPECT(mean_of(&c, MHC_composite_unresolved, L - 1), 1, 0, "unresolved", 0, 0);
    cr_assert_eq(mhc_total_singular_values(res, L, T, N, sigma), 0);
    for (int t = 0; t < T; t++)
        EXPECT(sigma[t * N], INFINITY, 0, "singular value", t, 0);
    cr_assert_eq(mhc_qr_spectrum(res, L, T, N, spectrum), 0);
    EXPECT(spectrum[(L - 1) * N], L * log10(3), 1e-3, "QR spectrum", 0, 0);
    EXPECT(spectrum[L * N - 1] + spectrum[L * N - 2] + spectrum[L * N - 3] + spectrum[L * N - 4], L * log10(3), 1e-13,
           "sum of the QR spectrum", 0, 0);
    cr_assert_eq(mhc_composite_panels(res, L, T, N, panel, scale), 0);
    for (int e = 0; e < N * N; e++) {
        EXPECT(panel[e], map[e], 0, "panel 0", e, 0);
        EXPECT(log10(panel[3 * N * N + e]) + scale[3], 1000 * log10(3) - log10(4), 1e-14, "panel 3", e, 0);
        EXPECT(log10(panel[5 * N * N + e]) + scale[5], L * log10(3) - log10(4), 1e-14, "panel 5", e, 0);
    }
    cr_expect(scale[0] == 0 && scale[1] == 0 && scale[2] == 0 && scale[5] > 900);
    mhc_curves_release(&c);
    free(spectrum);
    free(res);
}

/* m^T m */
static void gram(const long double *m, int64_t n, long double *out) {
    for (int64_t e = 0; e < n * n; e++) {
        out[e] = 0;
        for (int64_t p = 0; p < n; p++)
            out[e] += m[p * n + e / n] * m[p * n + e % n];
    }
}

/* H_last...H_first of token t. */
static void product(const double *res, int64_t T, int64_t n, int64_t first, int64_t last, int64_t t, long double *out) {
    long double next[LARGEST * LARGEST];
    for (int64_t e = 0; e < n * n; e++)
        out[e] = e % (n + 1) == 0;
    for (int64_t l = first; l <= last; l++) {
        for (int64_t e = 0; e < n * n; e++) {
            next[e] = 0;
            for (int64_t p = 0; p < n; p++)
                next[e] += res[(l * T + t) * n * n + e / n * n + p] * out[p * n + e % n];
        }
        memcpy(out, next, sizeof next);
    }
}

enum { ROW_SUM, ROW_ABS, COLUMN_SUM, COLUMN_ABS, DISTANCE, DOBRUSHIN, ROW_ERROR, COLUMN_ERROR, LOG_COLUMN, SCORES };

/* Every definition of one map, word for word. */
static void define(const long double *m, int64_t n, long double score[SCORES]) {
    memset(score, 0, SCORES * sizeof *score);
    for (int64_t i = 0; i < n; i++) {
        long double row = 0, row_abs = 0, column = 0, column_abs = 0;
        for (int64_t j = 0; j < n; j++) {
            row += m[i * n + j], row_abs += fabsl(m[i * n + j]);
            column += m[j * n + i], column_abs += fabsl(m[j * n + i]);
            score[DISTANCE] += powl(m[i * n + j] - 1.0L / n, 2);
            long double difference = 0;
            for (int64_t k = 0; k < n; k++)
                difference += fabsl(m[i * n + k] - m[j * n + k]);
            score[DOBRUSHIN] = fmaxl(score[DOBRUSHIN], difference / 2);
        }
        score[ROW_SUM] = fmaxl(score[ROW_SUM], fabsl(row));
        score[ROW_ABS] = fmaxl(score[ROW_ABS], row_abs);
        score[COLUMN_SUM] = fmaxl(score[COLUMN_SUM], fabsl(column));
        score[COLUMN_ABS] = fmaxl(score[COLUMN_ABS], column_abs);
        score[ROW_ERROR] = fmaxl(score[ROW_ERROR], fabsl(row - 1));
        score[COLUMN_ERROR] = fmaxl(score[COLUMN_ERROR], fabsl(column - 1));
        score[LOG_COLUMN] = fmaxl(score[LOG_COLUMN], fabsl(logl(fabsl(column))));
    }
    score[DISTANCE] = sqrtl(score[DISTANCE]);
}

/* kind: 0 H_l, 1 H_l...H_1, 2 H_L...H_l */
static const struct {
    enum mhc_metric metric;
    int kind, score;
} defined[] = {
    {MHC_single_forward_sum, 0, ROW_SUM},        {MHC_single_forward_abs, 0, ROW_ABS},
    {MHC_single_backward_sum, 0, COLUMN_SUM},    {MHC_single_backward_abs, 0, COLUMN_ABS},
    {MHC_composite_forward_sum, 1, ROW_SUM},     {MHC_composite_forward_abs, 1, ROW_ABS},
    {MHC_composite_backward_sum, 2, COLUMN_SUM}, {MHC_composite_backward_abs, 2, COLUMN_ABS},
    {MHC_single_uniform_distance, 0, DISTANCE},  {MHC_composite_uniform_distance, 1, DISTANCE},
    {MHC_single_dobrushin, 0, DOBRUSHIN},        {MHC_composite_dobrushin, 1, DOBRUSHIN},
    {MHC_single_row_error, 0, ROW_ERROR},        {MHC_single_column_error, 0, COLUMN_ERROR},
    {MHC_single_log_column_sum, 0, LOG_COLUMN},  {MHC_composite_log_column_sum, 2, LOG_COLUMN},
};

Test(analysis, definitions_by_brute_force) {
    FOR_ALL_N(n) {
        double *res = random_maps(7, LAYERS, TOKENS, n, 0.4);
        struct mhc_curves c;
        measure(res, LAYERS, TOKENS, n, &c);
        long double det = 0;
        for (int64_t l = 0; l < LAYERS; l++) {
            long double mean[3][SCORES] = {{0}}, norm = 0;
            for (int64_t t = 0; t < TOKENS; t++) {
                long double m[LARGEST * LARGEST], square[LARGEST * LARGEST], score[SCORES], eigenvalue[LARGEST];
                for (int kind = 0; kind < 3; kind++) {
                    product(res, TOKENS, n, kind == 1 ? 0 : l, kind == 2 ? LAYERS - 1 : l, t, m);
                    define(m, n, score);
                    for (int k = 0; k < SCORES; k++)
                        mean[kind][k] += score[k] / TOKENS;
                    if (kind == 2)
                        continue;
                    gram(m, n, square);
                    jacobi(n, square, eigenvalue);
                    norm += kind == 1 ? sqrtl(eigenvalue[n - 1]) / TOKENS : 0;
                    for (int64_t i = 0; i < n; i++)
                        det += kind == 0 ? log10l(eigenvalue[i]) / 2 / TOKENS : 0;
                }
            }
            for (size_t k = 0; k < sizeof defined / sizeof *defined; k++) {
                bool logarithmic = mhc_metric_info[defined[k].metric].scale == MHC_LOG10;
                long double want = mean[defined[k].kind][defined[k].score];
                want = want == 0 ? LOG10_ZERO : logarithmic ? log10l(want) : want;
                EXPECT(mean_of(&c, defined[k].metric, l), (double)want, defined[k].score == LOG_COLUMN ? 1e-10 : 1e-13,
                       mhc_metric_info[defined[k].metric].name, n, l);
            }
            EXPECT(mean_of(&c, MHC_composite_spectral_norm, l), (double)log10l(norm), 1e-13, "norm", n, l);
            EXPECT(mean_of(&c, MHC_composite_log10_det, l), (double)det, 1e-9, "det", n, l);
        }
        mhc_curves_release(&c);
        free(res);
    }
}

Test(analysis, singular_values_and_panels_by_brute_force) {
    FOR_ALL_N(n) {
        double *res = random_maps(8, LAYERS, TOKENS, n, 0.4);
        double sigma[TOKENS * LARGEST], panel[6 * LARGEST * LARGEST], scale[6];
        cr_assert_eq(mhc_total_singular_values(res, LAYERS, TOKENS, n, sigma), 0);
        cr_assert_eq(mhc_composite_panels(res, LAYERS, TOKENS, n, panel, scale), 0);
        const int64_t span[6][2] = {{0, 0}, {3, 3}, {6, 6}, {0, 3}, {4, 6}, {0, 6}};
        long double mean[6][LARGEST * LARGEST] = {{0}}, m[LARGEST * LARGEST], square[LARGEST * LARGEST];
        for (int64_t t = 0; t < TOKENS; t++) {
            for (int p = 0; p < 6; p++) {
                product(res, TOKENS, n, span[p][0], span[p][1], t, m);
                for (int64_t e = 0; e < n * n; e++)
                    mean[p][e] += m[e] / TOKENS;
            }
            gram(m, n, square);
            long double eigenvalue[LARGEST];
            jacobi(n, square, eigenvalue);
            for (int64_t i = 0; i < n; i++)
                EXPECT(sigma[t * n + i] / sigma[t * n], (double)sqrtl(eigenvalue[n - 1 - i] / eigenvalue[n - 1]), 1e-9,
                       "singular value", n, i);
        }
        for (int p = 0; p < 6; p++)
            for (int64_t e = 0; e < n * n; e++)
                EXPECT(panel[p * n * n + e], (double)mean[p][e], 1e-13, "panel", p, e);
        free(res);
    }
}

/* With n = 2 the condition is sigma_max^2 / |det|, both known however ill-conditioned the composite becomes. */
Test(analysis, what_is_called_resolved_is_right) {
    enum { L = 150, SEEDS = 30 };
    int64_t resolved = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double *res = random_maps(seed, L, 1, 2, 0.3);
        struct mhc_curves c;
        measure(res, L, 1, 2, &c);
        long double m[LARGEST * LARGEST], det = 1;
        for (int64_t l = 0; l < L; l++) {
            const double *h = res + l * 4;
            det *= (long double)h[0] * h[3] - (long double)h[1] * h[2];
            if (mean_of(&c, MHC_composite_unresolved, l) == 1)
                continue;
            product(res, 1, 2, 0, l, 0, m);
            long double frobenius = m[0] * m[0] + m[1] * m[1] + m[2] * m[2] + m[3] * m[3];
            long double square = (frobenius + sqrtl(frobenius * frobenius - 4 * det * det)) / 2;
            double log10_condition = (double)log10l(square / fabsl(det));
            EXPECT(mean_of(&c, MHC_composite_condition, l) - log10_condition, 0, 0.02, "condition", seed, l);
            resolved++;
        }
        mhc_curves_release(&c);
        free(res);
    }
    cr_expect(resolved > L * SEEDS / 20 && resolved < L * SEEDS, "%ld resolved", (long)resolved);
}

/* H = P D P^T with D upper triangular: eigenvalues are on its diagonal, for products too. */
Test(analysis, second_eigenvalue) {
    FOR_ALL_N(n) {
        double map[LARGEST * LARGEST] = {0};
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < n; j++)
                map[(i + 1) % n * n + (j + 1) % n] = i == j ? (i % 2 ? -1 : 1) * (1 + 0.25 * (double)i) : 0.01;
        double *res = repeat(map, LAYERS, TOKENS, n);
        struct mhc_curves c;
        measure(res, LAYERS, TOKENS, n, &c);
        for (int64_t l = 0; l < LAYERS; l++) {
            double second = n == 1 ? DBL_MIN : 1 + 0.25 * (double)(n - 2);
            EXPECT(mean_of(&c, MHC_single_lambda2, l), log10(second), 1e-12, "single lambda2", n, l);
            EXPECT(mean_of(&c, MHC_composite_lambda2, l), n == 1 ? LOG10_ZERO : (double)(l + 1) * log10(second), 1e-11,
                   "composite lambda2", n, l);
        }
        mhc_curves_release(&c);
        free(res);
    }
    const double rotation[9] = {0, -0.5, 0, 0.5, 0, 0, 0, 0, 0.25};
    struct mhc_curves c;
    measure(rotation, 1, 1, 3, &c);
    EXPECT(mean_of(&c, MHC_single_lambda2, 0), log10(0.5), 1e-15, "a complex pair", 0, 0);
    mhc_curves_release(&c);
}

Test(analysis, number_of_threads_changes_no_bit) {
    enum { L = 5, T = 203, N = 4 };
    double *res = random_maps(10, L, T, N, 0.5), sigma[3][T * N], spectrum[3][L * N];
    struct mhc_curves c[3];
    for (int k = 0; k < 3; k++) {
        omp_set_num_threads((const int[]){1, 2, 5}[k]);
        measure(res, L, T, N, &c[k]);
        mhc_total_singular_values(res, L, T, N, sigma[k]);
        mhc_qr_spectrum(res, L, T, N, spectrum[k]);
        for (int metric = 0; metric < MHC_METRICS; metric++)
            for (int q = MHC_MEAN; q < MHC_STATISTICS && c[k].curve[metric][q]; q++)
                cr_expect_arr_eq(c[k].curve[metric][q], c[0].curve[metric][q], L * sizeof(double), "%s%s",
                                 mhc_metric_info[metric].name, mhc_statistic_suffix[q]);
        cr_expect(!memcmp(sigma[k], sigma[0], sizeof *sigma) && !memcmp(spectrum[k], spectrum[0], sizeof *spectrum));
    }
    for (int k = 0; k < 3; k++)
        mhc_curves_release(&c[k]);
    free(res);
}
