/* Sinkhorn against a transcription of its equations in long double, in the log domain; its invariants; extreme logits.
 */
#include "tests/check.h"

/* --- Sinkhorn as the texts have it --- */

/* log M as a sum of two: `far` holds multiples of one huge number, exactly, and `near` the rest, so that differences of
 * logits as large as 1e30 lose nothing. */
struct logarithm {
    long double far, near;
};

static struct logarithm logarithm_of(double x) {
    return fabs(x) > 1e20 ? (struct logarithm){x, 0} : (struct logarithm){0, x};
}

/* log M - log sum exp(log M) of n elements */
static void normalise_log(struct logarithm *m, int64_t n, int64_t stride) {
    struct logarithm largest = m[0];
    long double sum = 0;
    for (int64_t k = 1; k < n; k++) {
        struct logarithm other = m[k * stride];
        if (other.far > largest.far || (other.far == largest.far && other.near > largest.near))
            largest = other;
    }
    for (int64_t k = 0; k < n; k++)
        sum += expl(m[k * stride].far - largest.far + (m[k * stride].near - largest.near));
    for (int64_t k = 0; k < n; k++) {
        m[k * stride].far -= largest.far;
        m[k * stride].near -= largest.near + logl(sum);
    }
}

/* mHC Eq. 9: t_max times columns, then rows. */
static void sinkhorn_paper(int64_t n, int64_t t_max, const struct logarithm *logits, long double *res) {
    struct logarithm m[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
    memcpy(m, logits, (size_t)(n * n) * sizeof *m);
    for (int64_t t = 0; t < t_max; t++) {
        for (int64_t j = 0; j < n; j++)
            normalise_log(m + j, n, n);
        for (int64_t i = 0; i < n; i++)
            normalise_log(m + i * n, n, 1);
    }
    for (int64_t k = 0; k < n * n; k++)
        res[k] = expl(m[k].far + m[k].near);
}

/* DeepSeek-V4: comb[j][k], j source, k destination. */
static void sinkhorn_v4(int64_t n, int64_t t_max, long double eps, const struct logarithm *logits, long double *res) {
    long double comb[MHC_MAX_STREAMS][MHC_MAX_STREAMS];
    for (int64_t j = 0; j < n; j++) {
        struct logarithm row[MHC_MAX_STREAMS];
        memcpy(row, logits + j * n, (size_t)n * sizeof *row);
        normalise_log(row, n, 1);
        for (int64_t k = 0; k < n; k++)
            comb[j][k] = expl(row[k].far + row[k].near) + eps;
    }
    for (int64_t step = 0; step < 2 * t_max - 1; step++)
        for (int64_t a = 0; a < n; a++) {
            bool columns = step % 2 == 0; /* of comb: sums over j */
            long double sum = eps;
            for (int64_t b = 0; b < n; b++)
                sum += columns ? comb[b][a] : comb[a][b];
            for (int64_t b = 0; b < n; b++)
                *(columns ? &comb[b][a] : &comb[a][b]) /= sum;
        }
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = 0; k < n; k++)
            res[k * n + j] = comb[j][k];
}

static void sinkhorn_reference(const struct mhc_case *c, const struct logarithm *logits, long double *res) {
    if (c->convention == MHC_V4)
        sinkhorn_v4(c->n, c->t_max, c->sinkhorn_eps, logits, res);
    else
        sinkhorn_paper(c->n, c->t_max, logits, res);
}

/* <grad_res, res> of one token, at logits moved by `step` along `direction`. */
static long double token_loss(const struct mhc_case *c, const double *logits, const double *grad_res,
                              const double *direction, long double step) {
    enum { SIZE = MHC_MAX_STREAMS * MHC_MAX_STREAMS };
    struct logarithm moved[SIZE];
    long double res[SIZE], sum = 0;
    for (int64_t k = 0; k < c->n * c->n; k++)
        moved[k] = (struct logarithm){0, logits[k] + step * direction[k]};
    sinkhorn_reference(c, moved, res);
    for (int64_t k = 0; k < c->n * c->n; k++)
        sum += res[k] * grad_res[k];
    return sum;
}

/* res and grad_logits of both precisions against the transcription, logits of standard deviation `std`. */
static void check_sinkhorn(int l, const struct mhc_case *c, double std) {
    int64_t n = c->n, size = c->n * c->n;
    char what[128];
    snprintf(what, sizeof what, "%s n=%lld t_max=%lld std=%g eps=%g %s", libraries[l]->name, (long long)n,
             (long long)c->t_max, std, c->sinkhorn_eps, c->convention == MHC_V4 ? "v4" : "paper");
    struct arrays d = {0};
    double *logits = put(&d, "logits", c->T * size), *grad_res = put(&d, "grad_res", c->T * size);
    for (int64_t k = 0; k < c->T * size; k++) {
        logits[k] = (float)(std * mhc_normal(3, 0, 0, (uint64_t)k));
        grad_res[k] = (float)mhc_normal(3, 1, 0, (uint64_t)k);
    }
    run_named(libraries[l], "sinkhorn.forward", c, &d, NULL);
    run_named(libraries[l], "sinkhorn.backward", c, &d, NULL);
    const double *res = arrays_get(&d, "res"), *grad = arrays_get(&d, "grad_logits");
    double tolerance = l == 0 ? 1e-12 * fmax(1, std) : 2e-6 * fmax(1, std);
    for (int64_t t = 0; t < c->T; t++) {
        struct logarithm extended[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        long double exact[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        double want[MHC_MAX_STREAMS * MHC_MAX_STREAMS], direction[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        double slope = 0, scale = 0;
        for (int64_t k = 0; k < size; k++)
            extended[k] = logarithm_of(logits[t * size + k]);
        sinkhorn_reference(c, extended, exact);
        for (int64_t k = 0; k < size; k++) {
            want[k] = (double)exact[k];
            direction[k] = mhc_normal(3, 2, 0, (uint64_t)(t * size + k));
            slope += grad[t * size + k] * direction[k];
            scale += fabs(grad_res[t * size + k] * want[k] * direction[k]);
        }
        check_close(res + t * size, want, size, tolerance, what, "res");
        const long double h = 1e-3L;
        long double differences = 0;
        static const int weight[4] = {1, -8, 8, -1}, at[4] = {-2, -1, 1, 2};
        for (int k = 0; k < 4; k++)
            differences += weight[k] * token_loss(c, logits + t * size, grad_res + t * size, direction, at[k] * h);
        double numeric = (double)(differences / (12 * h)), error = fabs(numeric - slope);
        double allowed = (l == 0 ? 1e-9 : 1e-5) * fmax(1, std) * fmax(scale, 1);
        cr_assert(error <= allowed, "%s token %lld: slope %.12g, differences %.12g, error %.3g > %.3g", what,
                  (long long)t, slope, numeric, error, allowed);
    }
    arrays_clear(&d);
}

Test(sinkhorn, follows_its_equations) {
    static const int64_t streams[] = {1, 2, 3, 4, 5, 8, 16}, iterations[] = {1, 2, 4, 5, 6, 20, 33};
    for (int l = 0; l < LIBRARIES; l++)
        for (size_t s = 0; s < sizeof streams / sizeof *streams; s++)
            for (size_t i = 0; i < sizeof iterations / sizeof *iterations; i++)
                for (int k = 0; k < 4; k++) {
                    static const double eps[] = {0, 0, 1e-6, 1e-2};
                    struct mhc_case c = make_case(l, 21, streams[s], 1, iterations[i], k ? MHC_V4 : MHC_PAPER, eps[k]);
                    check_sinkhorn(l, &c, 1.5);
                    check_sinkhorn(l, &c, 60);
                }
    for (int l = 0; l < LIBRARIES; l++) {
        struct mhc_case c = make_case(l, 5, 4, 1, 1000, MHC_PAPER, 0);
        check_sinkhorn(l, &c, 1);
        check_sinkhorn(l, &c, 60);
    }
}

/* Largest |column sum - 1| and |row sum - 1| over the tokens. */
static void sum_errors(const double *res, int64_t T, int64_t n, double *row_error, double *column_error) {
    *row_error = *column_error = 0;
    for (int64_t t = 0; t < T; t++)
        for (int64_t a = 0; a < n; a++) {
            double row = 0, column = 0;
            for (int64_t b = 0; b < n; b++) {
                row += res[(t * n + a) * n + b];
                column += res[(t * n + b) * n + a];
            }
            *row_error = fmax(*row_error, fabs(row - 1));
            *column_error = fmax(*column_error, fabs(column - 1));
        }
}

Test(sinkhorn, rows_are_exact_and_columns_converge) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 2; n <= 16; n *= 2) {
            static const int64_t iterations[] = {1, 3, 10, 30, 100, 1000};
            double before = INFINITY, row, column = 0;
            for (int k = 0; k < 6; k++) {
                struct mhc_case c = make_case(l, 40, n, 1, iterations[k], MHC_PAPER, 0);
                struct arrays d = {0};
                run_named(libraries[l], "sinkhorn.forward", &c, &d, NULL);
                sum_errors(arrays_get(&d, "res"), c.T, n, &row, &column);
                double rounding = (l == 0 ? 0x1p-52 : 0x1p-23) * 4 * (double)n;
                cr_assert(row <= rounding, "%s n=%lld: row sums off by %g", libraries[l]->name, (long long)n, row);
                cr_assert(column <= fmax(before, rounding), "%s n=%lld t_max=%lld: column sums off by %g, %g before",
                          libraries[l]->name, (long long)n, (long long)iterations[k], column, before);
                before = column;
                arrays_clear(&d);
            }
            cr_assert(column <= (l == 0 ? 1e-12 : 1e-5), "%s n=%lld: columns off by %g after 1000 iterations",
                      libraries[l]->name, (long long)n, column);
        }
}

/* A constant added to all logits of one source changes nothing: the first step divides by the sum over its
 * destinations. */
Test(sinkhorn, ignores_a_shift_of_a_source) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int convention = MHC_PAPER; convention <= MHC_V4; convention++) {
            struct mhc_case c = make_case(l, 11, 4, 1, 7, convention, convention == MHC_V4 ? 1e-6 : 0);
            struct arrays d = {0}, shifted = {0};
            double *logits = put(&d, "logits", c.T * 16), *moved = put(&shifted, "logits", c.T * 16);
            for (int64_t k = 0; k < c.T * 16; k++) {
                int64_t source = convention == MHC_V4 ? k / 4 % 4 : k % 4;
                logits[k] = round(256 * mhc_normal(4, 0, 0, (uint64_t)k)) / 256; /* so that the shift is exact */
                moved[k] = logits[k] + 16 * (double)source - 24;
            }
            run_named(libraries[l], "sinkhorn.forward", &c, &d, NULL);
            run_named(libraries[l], "sinkhorn.forward", &c, &shifted, NULL);
            check_close(arrays_get(&shifted, "res"), arrays_get(&d, "res"), c.T * 16, 0, libraries[l]->name,
                        "shifted res");
            arrays_clear(&d);
            arrays_clear(&shifted);
        }
}

/* Logits as far apart as they come: nothing overflows, and where the answer does not hang on digits the type cannot
 * hold, it is found. Even tokens hold 1e30 and -1e30 alone; odd ones ordinary logits among them. */
Test(sinkhorn, survives_extreme_logits) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 2; n <= 16; n++) {
            struct mhc_case c = make_case(l, 34, n, 1, 20, MHC_PAPER, 0);
            int64_t size = n * n;
            struct arrays d = {0};
            double *logits = put(&d, "logits", c.T * size);
            for (int64_t k = 0; k < c.T * size; k++) {
                bool ordinary = k / size % 2 && mhc_bits(5, 0, 0, (uint64_t)k) % 3 == 0;
                double huge = mhc_bits(5, 1, 0, (uint64_t)k) & 1 ? 1e30f : -1e30f;
                logits[k] = ordinary ? (float)mhc_normal(5, 2, 0, (uint64_t)k) : huge;
            }
            run_named(libraries[l], "sinkhorn.forward", &c, &d, NULL);
            run_named(libraries[l], "sinkhorn.backward", &c, &d, NULL);
            const double *res = arrays_get(&d, "res"), *grad = arrays_get(&d, "grad_logits");
            for (int64_t t = 0; t < c.T; t++) {
                struct logarithm extended[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
                long double exact[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
                double want[MHC_MAX_STREAMS * MHC_MAX_STREAMS], row_error, column_error;
                for (int64_t k = 0; k < size; k++) {
                    extended[k] = logarithm_of(logits[t * size + k]);
                    cr_assert(isfinite(grad[t * size + k]), "%s n=%lld: grad_logits is %g", libraries[l]->name,
                              (long long)n, grad[t * size + k]);
                }
                sum_errors(res + t * size, 1, n, &row_error, &column_error);
                cr_assert(row_error <= (l == 0 ? 1e-14 : 1e-5), "%s n=%lld: row sums off by %g", libraries[l]->name,
                          (long long)n, row_error);
                if (t % 2)
                    continue;
                sinkhorn_paper(n, c.t_max, extended, exact);
                for (int64_t k = 0; k < size; k++)
                    want[k] = (double)exact[k];
                check_close(res + t * size, want, size, l == 0 ? 1e-12 : 1e-5, libraries[l]->name,
                            "res of extreme logits");
            }
            arrays_clear(&d);
        }
}

/* A NaN or an Inf makes its token NaN, and no other. */
Test(sinkhorn, keeps_a_nan_to_its_token) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int k = 0; k < 2; k++) {
                struct mhc_case c = make_case(l, 19, n, 1, 6, MHC_PAPER, 0);
                int64_t size = n * n;
                struct arrays clean = {0}, d = {0};
                run_named(libraries[l], "sinkhorn.forward", &c, &clean, NULL);
                memcpy(put(&d, "logits", c.T * size), arrays_get(&clean, "logits"),
                       (size_t)(c.T * size) * sizeof(double));
                arrays_get(&d, "logits")[7 * size + size / 2] = k ? INFINITY : NAN;
                run_named(libraries[l], "sinkhorn.forward", &c, &d, NULL);
                const double *res = arrays_get(&d, "res"), *want = arrays_get(&clean, "res");
                for (int64_t e = 0; e < c.T * size; e++)
                    cr_assert(e / size == 7 ? isnan(res[e]) : res[e] == want[e], "%s n=%lld: res of token %lld is %g",
                              libraries[l]->name, (long long)n, (long long)(e / size), res[e]);
                arrays_clear(&clean);
                arrays_clear(&d);
            }
}

/* Many iterations lift entries that a float has long lost; cpu32 must not lose them. */
Test(sinkhorn, float32_keeps_up_at_large_logits) {
    enum { T = 21 };
    for (int64_t n = 4; n <= 16; n += 12) {
        int64_t count = T * n * n;
        struct mhc_case wide = {.T = T, .n = n, .t_max = 100};
        struct mhc_case narrow = {.T = T, .n = n, .t_max = 100, .stream = MHC_F32, .coef = MHC_F32, .param = MHC_F32};
        const struct mhc_row *forward[2] = {mhc_row_find(&mhc_cpu64, "sinkhorn.forward"),
                                            mhc_row_find(&mhc_cpu32, "sinkhorn.forward")};
        const struct mhc_row *backward[2] = {mhc_row_find(&mhc_cpu64, "sinkhorn.backward"),
                                             mhc_row_find(&mhc_cpu32, "sinkhorn.backward")};
        double *d[4];
        float *f[4];
        for (int a = 0; a < 4; a++) { /* logits, grad_res, res, grad_logits */
            d[a] = malloc((size_t)count * sizeof(double));
            f[a] = malloc((size_t)count * sizeof(float));
            for (int64_t k = 0; k < count; k++) {
                f[a][k] = (float)((a == 0 ? 60 : 1) * mhc_normal(60, (uint32_t)a, 0, (uint64_t)k));
                d[a][k] = f[a][k];
            }
        }
        void *work = aligned_alloc(
            64, (size_t)(backward[1]->work_bytes(&narrow) + backward[0]->work_bytes(&wide) + 63) / 64 * 64);
        forward[0]->run(NULL, NULL, &wide, (void *const[]){d[0], d[2]}, NULL, NULL);
        forward[1]->run(NULL, NULL, &narrow, (void *const[]){f[0], f[2]}, NULL, NULL);
        backward[0]->run(NULL, NULL, &wide, (void *const[]){d[0], d[1], d[3]}, NULL, work);
        backward[1]->run(NULL, NULL, &narrow, (void *const[]){f[0], f[1], f[3]}, NULL, work);
        for (int64_t k = 0; k < count; k++) {
            d[0][k] = f[2][k];
            d[1][k] = f[3][k];
        }
        check_close(d[0], d[2], count, 1e-6, "sinkhorn.forward", "res");
        check_close(d[1], d[3], count, 1e-6 * array_largest(d[3], count), "sinkhorn.backward", "grad_logits");
        free(work);
        for (int a = 0; a < 4; a++) {
            free(d[a]);
            free(f[a]);
        }
    }
}
