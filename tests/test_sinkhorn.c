/* Closed forms, exact data, Sinkhorn against a transcription of the equations in the log domain and in long double, extreme sizes. */
#include "tests/check.h"

static const struct mhc_library *const libraries[] = {&mhc_cpu64, &mhc_cpu32};
enum { LIBRARIES = 2 };

static struct mhc_case make_case(int l, int64_t T, int64_t n, int64_t C, int64_t t_max, int convention, double eps) {
    struct mhc_case c = {.T = T, .n = n, .C = C, .t_max = t_max, .convention = convention, .sinkhorn_eps = eps};
    set_types(&c, libraries[l]);
    return c;
}

/* --- Sinkhorn as the texts have it --- */

/* log M as a sum of two: `far` holds multiples of one huge number, exactly, and `near` the rest, so that differences of logits as
 * large as 1e30 lose nothing. */
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
    struct dictionary d = {0};
    double *logits = put(&d, "logits", c->T * size), *grad_res = put(&d, "grad_res", c->T * size);
    for (int64_t k = 0; k < c->T * size; k++) {
        logits[k] = (float)(std * mhc_normal(3, 0, 0, (uint64_t)k));
        grad_res[k] = (float)mhc_normal(3, 1, 0, (uint64_t)k);
    }
    run_named(libraries[l], "sinkhorn.forward", c, &d, &(void *){NULL});
    run_named(libraries[l], "sinkhorn.backward", c, &d, &(void *){NULL});
    const double *res = lookup(&d, "res"), *grad = lookup(&d, "grad_logits");
    double tolerance = l == 0 ? 1e-12 * fmax(1, std) : 2e-6 * fmax(1, std);
    for (int64_t t = 0; t < c->T; t++) {
        struct logarithm extended[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        long double exact[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        double want[MHC_MAX_STREAMS * MHC_MAX_STREAMS], direction[MHC_MAX_STREAMS * MHC_MAX_STREAMS], slope = 0, scale = 0;
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
        cr_assert(!(!(error <= allowed)), "%s token %lld: slope %.12g, differences %.12g, error %.3g > %.3g", what,
                  (long long)t, slope, numeric, error, allowed);
    }
    forget(&d);
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
                struct dictionary d = {0};
                run_named(libraries[l], "sinkhorn.forward", &c, &d, &(void *){NULL});
                sum_errors(lookup(&d, "res"), c.T, n, &row, &column);
                double rounding = (l == 0 ? 0x1p-52 : 0x1p-23) * 4 * (double)n;
                cr_assert(!(!(row <= rounding)), "%s n=%lld: row sums off by %g", libraries[l]->name, (long long)n, row);
                cr_assert(!(!(column <= fmax(before, rounding))), "%s n=%lld t_max=%lld: column sums off by %g, %g before",
                          libraries[l]->name, (long long)n, (long long)iterations[k], column, before);
                before = column;
                forget(&d);
            }
            cr_assert(!(!(column <= (l == 0 ? 1e-12 : 1e-5))), "%s n=%lld: columns off by %g after 1000 iterations",
                      libraries[l]->name, (long long)n, column);
        }
}

/* A constant added to all logits of one source changes nothing: the first step divides by the sum over its destinations. */
Test(sinkhorn, ignores_a_shift_of_a_source) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int convention = MHC_PAPER; convention <= MHC_V4; convention++) {
            struct mhc_case c = make_case(l, 11, 4, 1, 7, convention, convention == MHC_V4 ? 1e-6 : 0);
            struct dictionary d = {0}, shifted = {0};
            double *logits = put(&d, "logits", c.T * 16), *moved = put(&shifted, "logits", c.T * 16);
            for (int64_t k = 0; k < c.T * 16; k++) {
                int64_t source = convention == MHC_V4 ? k / 4 % 4 : k % 4;
                logits[k] = round(256 * mhc_normal(4, 0, 0, (uint64_t)k)) / 256; /* so that the shift is exact */
                moved[k] = logits[k] + 16 * (double)source - 24;
            }
            run_named(libraries[l], "sinkhorn.forward", &c, &d, &(void *){NULL});
            run_named(libraries[l], "sinkhorn.forward", &c, &shifted, &(void *){NULL});
            check_close(lookup(&shifted, "res"), lookup(&d, "res"), c.T * 16, 0, libraries[l]->name, "shifted res");
            forget(&d);
            forget(&shifted);
        }
}

/* Logits as far apart as they come: nothing overflows, and where the answer does not hang on digits the type cannot hold, it is found.
 * Even tokens hold 1e30 and -1e30 alone; odd ones ordinary logits among them. */
Test(sinkhorn, survives_extreme_logits) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 2; n <= 16; n++) {
            struct mhc_case c = make_case(l, 34, n, 1, 20, MHC_PAPER, 0);
            int64_t size = n * n;
            struct dictionary d = {0};
            double *logits = put(&d, "logits", c.T * size);
            for (int64_t k = 0; k < c.T * size; k++) {
                bool ordinary = k / size % 2 && mhc_bits(5, 0, 0, (uint64_t)k) % 3 == 0;
                double huge = mhc_bits(5, 1, 0, (uint64_t)k) & 1 ? 1e30f : -1e30f;
                logits[k] = ordinary ? (float)mhc_normal(5, 2, 0, (uint64_t)k) : huge;
            }
            run_named(libraries[l], "sinkhorn.forward", &c, &d, &(void *){NULL});
            run_named(libraries[l], "sinkhorn.backward", &c, &d, &(void *){NULL});
            const double *res = lookup(&d, "res"), *grad = lookup(&d, "grad_logits");
            for (int64_t t = 0; t < c.T; t++) {
                struct logarithm extended[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
                long double exact[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
                double want[MHC_MAX_STREAMS * MHC_MAX_STREAMS], row_error, column_error;
                for (int64_t k = 0; k < size; k++) {
                    extended[k] = logarithm_of(logits[t * size + k]);
                    cr_assert(isfinite(grad[t * size + k]), "%s n=%lld: grad_logits is %g", libraries[l]->name, (long long)n,
                              grad[t * size + k]);
                }
                sum_errors(res + t * size, 1, n, &row_error, &column_error);
                cr_assert(!(!(row_error <= (l == 0 ? 1e-14 : 1e-5))), "%s n=%lld: row sums off by %g", libraries[l]->name,
                          (long long)n, row_error);
                if (t % 2)
                    continue;
                sinkhorn_paper(n, c.t_max, extended, exact);
                for (int64_t k = 0; k < size; k++)
                    want[k] = (double)exact[k];
                check_close(res + t * size, want, size, l == 0 ? 1e-12 : 1e-5, libraries[l]->name, "res of extreme logits");
            }
            forget(&d);
        }
}

/* A NaN or an Inf makes its token NaN, and no other. */
Test(sinkhorn, keeps_a_nan_to_its_token) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int k = 0; k < 2; k++) {
                struct mhc_case c = make_case(l, 19, n, 1, 6, MHC_PAPER, 0);
                int64_t size = n * n;
                struct dictionary clean = {0}, d = {0};
                run_named(libraries[l], "sinkhorn.forward", &c, &clean, &(void *){NULL});
                memcpy(put(&d, "logits", c.T * size), lookup(&clean, "logits"), (size_t)(c.T * size) * sizeof(double));
                lookup(&d, "logits")[7 * size + size / 2] = k ? INFINITY : NAN;
                run_named(libraries[l], "sinkhorn.forward", &c, &d, &(void *){NULL});
                const double *res = lookup(&d, "res"), *want = lookup(&clean, "res");
                for (int64_t e = 0; e < c.T * size; e++)
                    cr_assert(e / size == 7 ? isnan(res[e]) : res[e] == want[e], "%s n=%lld: res of token %lld is %g",
                              libraries[l]->name, (long long)n, (long long)(e / size), res[e]);
                forget(&clean);
                forget(&d);
            }
}

/* --- closed forms of mHC --- */

/* With alpha = 0 the logits are b: a permutation, the identity and J/n come out exactly, pre and post are sigmoids of b. */
Test(closed_forms, mhc_coefficients) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int form = 0; form < 3; form++) {
                struct mhc_case c = make_case(l, 70, n, 3, 20, MHC_PAPER, 0);
                struct dictionary d = {0};
                double *b = put(&d, "b", n * n + 2 * n);
                put(&d, "alpha", 3);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = 0; j < n; j++)
                        b[2 * n + i * n + j] = form == 2 || j == (i + form) % n ? 3 : -2000;
                run_named(libraries[l], "mhc.pre", &c, &d, &(void *){NULL});
                const double *res = lookup(&d, "res"), *x = lookup(&d, "x"), *u = lookup(&d, "u");
                for (int64_t t = 0; t < c.T; t++)
                    for (int64_t i = 0; i < n; i++) {
                        cr_assert(lookup(&d, "pre")[t * n + i] == 0.5 && lookup(&d, "post")[t * n + i] == 1);
                        for (int64_t j = 0; j < n; j++) {
                            double want = form == 2 ? 1 / (double)n : j == (i + form) % n, got = res[(t * n + i) * n + j];
                            double allowed = form < 2 || !(n & (n - 1)) ? 0 : l == 0 ? 1e-15 : 1e-6;
                            cr_assert(!(!(fabs(got - want) <= allowed)), "%s n=%lld form %d: res[%lld][%lld] is %.17g",
                                      libraries[l]->name, (long long)n, form, (long long)i, (long long)j, got);
                        }
                    }
                for (int64_t k = 0; k < c.T * c.C; k++) {
                    double want = 0;
                    for (int64_t i = 0; i < n; i++)
                        want += 0.5 * x[(k / c.C * n + i) * c.C + k % c.C];
                    cr_assert(!(!(fabs(u[k] - want) <= (l == 0 ? 1e-14 : 1e-5))), "u is %.17g, wanted %.17g", u[k], want);
                }
                forget(&d);
            }
}

/* Small integers times powers of two: every sum is exact in float, in any order, so the result must be, to the bit. */
Test(closed_forms, exact_data) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int64_t C = 1; C <= 35; C += 17) {
                struct mhc_case c = make_case(l, 3, n, C, 1, MHC_PAPER, 0);
                struct dictionary d = {0};
                static const char *const names[] = {"x", "y", "post", "res", "grad_x_next"};
                const int64_t counts[] = {c.T * n * C, c.T * C, c.T * n, c.T * n * n, c.T * n * C};
                for (int a = 0; a < 5; a++)
                    for (int64_t k = 0; k < counts[a]; k++)
                        put(&d, names[a], counts[a])[k] =
                            ldexp((double)(mhc_bits(6, (uint32_t)a, 0, (uint64_t)k) % 15) - 7, a % 2 ? 20 : -3);
                run_named(libraries[l], "mhc.post", &c, &d, &(void *){NULL});
                run_named(libraries[l], "mhc.post_backward_y", &c, &d, &(void *){NULL});
                const double *x = lookup(&d, "x"), *y = lookup(&d, "y"), *post = lookup(&d, "post");
                const double *res = lookup(&d, "res"), *g = lookup(&d, "grad_x_next");
                for (int64_t t = 0; t < c.T; t++)
                    for (int64_t k = 0; k < C; k++) {
                        double grad_y = 0;
                        for (int64_t i = 0; i < n; i++) {
                            double want = post[t * n + i] * y[t * C + k];
                            for (int64_t j = 0; j < n; j++)
                                want += res[(t * n + i) * n + j] * x[(t * n + j) * C + k];
                            double got = lookup(&d, "x_next")[(t * n + i) * C + k];
                            cr_assert(got == want, "%s n=%lld: x_next is %.17g, wanted %.17g", libraries[l]->name,
                                      (long long)n, got, want);
                            grad_y += post[t * n + i] * g[(t * n + i) * C + k];
                        }
                        cr_assert(lookup(&d, "grad_y")[t * C + k] == grad_y);
                    }
                forget(&d);
            }
}

/* --- sizes at the ends of the type --- */

/* Without rms_eps the coefficients do not see the size of x; every gradient stays finite as long as its value is. */
Test(extremes, scaled_streams) {
    static const char *const kinds[] = {"mhc", "identity", "hc", "linear", "mlp", "attention"};
    for (int l = 0; l < LIBRARIES; l++)
        for (int up = 0; up < 2; up++)
            for (int k = 0; k < 6; k++) {
                bool connection = k < 3;
                int exponent = (up ? 1 : -1) * (l == 0 ? 664 : 100); /* about 1e200 and 1e30 */
                struct mhc_case c = make_case(l, 5, 4, 19, 20, MHC_PAPER, 0);
                c.S = 5, c.heads = 2, c.head_dim = 3, c.hidden = 7, c.activation = MHC_SWIGLU;
                struct dictionary plain = {0}, scaled = {0};
                void *save = NULL, *scaled_save = NULL;
                char name[64];
                const char *stream = connection ? "x" : "u";
                int64_t count = connection ? c.T * c.n * c.C : c.T * c.C;
                draw(&c, &(struct mhc_arg){.name = stream, .extents = connection ? "TnC" : "TC"}, 1,
                     put(&plain, stream, count));
                for (int64_t e = 0; e < count; e++)
                    put(&scaled, stream, count)[e] = ldexp(lookup(&plain, stream)[e], exponent);
                static const char *const parts[2][5] = {{"forward", "backward"}, {"pre", "post", "post_backward_y", "backward"}};
                for (int o = 0; parts[connection][o]; o++) {
                    snprintf(name, sizeof name, "%s.%s", kinds[k], parts[connection][o]);
                    run_named(libraries[l], name, &c, &plain, &save);
                    run_named(libraries[l], name, &c, &scaled, &scaled_save);
                    const struct mhc_row *row = find_row(libraries[l], name);
                    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
                        int64_t elements = mhc_elements(&c, arg);
                        const double *got = lookup(&scaled, arg->name), *want = lookup(&plain, arg->name);
                        for (int64_t e = 0; e < elements; e++)
                            cr_assert(isfinite(got[e]), "%s %s at 2^%d: %s[%lld] is %g", libraries[l]->name, name, exponent,
                                      arg->name, (long long)e, got[e]);
                        if (arg->role == MHC_COEF || (!connection && o == 0 && arg->direction == MHC_OUT))
                            check_close(got, want, elements, row->tolerance(&c), name, arg->name);
                    }
                }
                free(save);
                free(scaled_save);
                forget(&plain);
                forget(&scaled);
            }
}

/* x = 0 without rms_eps: there is no direction to normalise; the product is taken as 0, and nothing becomes NaN. */
Test(extremes, zero_streams) {
    static const char *const rows[] = {"mhc.pre", "mhc.post", "mhc.backward", "hc.pre", "hc.backward", "linear.forward", "linear.backward"};
    for (int l = 0; l < LIBRARIES; l++) {
        struct mhc_case c = make_case(l, 3, 4, 9, 5, MHC_PAPER, 0);
        struct dictionary d = {0};
        void *save = NULL;
        for (int k = 0; k < 7; k++) {
            if (k == 0 || k == 3 || k == 5)
                forget(&d);
            if (!d.count) {
                put(&d, "x", c.T * c.n * c.C);
                put(&d, "u", c.T * c.C);
            }
            run_named(libraries[l], rows[k], &c, &d, &save);
            for (int a = 0; a < d.count; a++)
                for (int64_t e = 0; e < d.entry[a].count; e++)
                    cr_assert(isfinite(d.entry[a].values[e]), "%s %s: %s[%lld] is %g", libraries[l]->name, rows[k],
                              d.entry[a].name, (long long)e, d.entry[a].values[e]);
        }
        free(save);
        forget(&d);
    }
}
