/* Operations whose result is known in closed form, exact data, and streams at the ends of the type's range. */
#include "tests/check.h"

/* --- closed forms of mHC --- */

/* With alpha = 0 the logits are b: a permutation, the identity and J/n come out exactly, pre and post are sigmoids of
 * b. */
Test(closed_forms, mhc_coefficients) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int form = 0; form < 3; form++) {
                struct mhc_case c = make_case(l, 70, n, 3, 20, MHC_PAPER, 0);
                struct arrays d = {0};
                double *b = put(&d, "b", n * n + 2 * n);
                put(&d, "alpha", 3);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = 0; j < n; j++)
                        b[2 * n + i * n + j] = form == 2 || j == (i + form) % n ? 3 : -2000;
                run_named(libraries[l], "mhc.pre", &c, &d, NULL);
                const double *res = arrays_get(&d, "res"), *x = arrays_get(&d, "x"), *u = arrays_get(&d, "u");
                for (int64_t t = 0; t < c.T; t++)
                    for (int64_t i = 0; i < n; i++) {
                        cr_assert(arrays_get(&d, "pre")[t * n + i] == 0.5 && arrays_get(&d, "post")[t * n + i] == 1);
                        for (int64_t j = 0; j < n; j++) {
                            double want = form == 2 ? 1 / (double)n : j == (i + form) % n,
                                   got = res[(t * n + i) * n + j];
                            double allowed = form < 2 || !(n & (n - 1)) ? 0 : l == 0 ? 1e-15 : 1e-6;
                            cr_assert(fabs(got - want) <= allowed, "%s n=%lld form %d: res[%lld][%lld] is %.17g",
                                      libraries[l]->name, (long long)n, form, (long long)i, (long long)j, got);
                        }
                    }
                for (int64_t k = 0; k < c.T * c.C; k++) {
                    double want = 0;
                    for (int64_t i = 0; i < n; i++)
                        want += 0.5 * x[(k / c.C * n + i) * c.C + k % c.C];
                    cr_assert(fabs(u[k] - want) <= (l == 0 ? 1e-14 : 1e-5), "u is %.17g, wanted %.17g", u[k], want);
                }
                arrays_clear(&d);
            }
}

/* --- coefficients of v4; tests/test_paper.c has those of the paper --- */

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* mHC Eq. 7, 8 with V4's epsilon on pre, token by token; res is Sinkhorn of the logits. */
static void check_v4(int l, const struct mhc_case *c) {
    int64_t n = c->n, C = c->C, K = n * n + 2 * n;
    double eps = c->sinkhorn_eps, tolerance = l == 0 ? 1e-13 : 1e-5;
    struct arrays d = {0};
    run_named(libraries[l], "mhc.pre", c, &d, NULL);
    run_named(libraries[l], "mhc.logits", c, &d, NULL);
    struct arrays maps = {0};
    memcpy(put(&maps, "logits", c->T * n * n), arrays_get(&d, "logits"), (size_t)(c->T * n * n) * sizeof(double));
    run_named(libraries[l], "sinkhorn.forward", c, &maps, NULL);
    check_close(arrays_get(&d, "res"), arrays_get(&maps, "res"), c->T * n * n, tolerance, libraries[l]->name, "res");
    const double *x = arrays_get(&d, "x"), *phi = arrays_get(&d, "phi"), *b = arrays_get(&d, "b"),
                 *alpha = arrays_get(&d, "alpha");
    for (int64_t t = 0; t < c->T; t++) {
        double square = 0, want[MHC_MAX_STREAMS * (MHC_MAX_STREAMS + 2)];
        for (int64_t k = 0; k < n * C; k++)
            square += x[t * n * C + k] * x[t * n * C + k];
        for (int64_t k = 0; k < K; k++) {
            double product = 0;
            for (int64_t e = 0; e < n * C; e++)
                product += x[t * n * C + e] * phi[e * K + k];
            product /= sqrt(square / (double)(n * C) + c->rms_eps);
            double logit = alpha[k < n ? 0 : k < 2 * n ? 1 : 2] * product + b[k];
            want[k] = k < n ? sigmoid(logit) + eps : k < 2 * n ? 2 * sigmoid(logit) : logit;
        }
        check_close(arrays_get(&d, "pre") + t * n, want, n, tolerance, libraries[l]->name, "pre");
        check_close(arrays_get(&d, "post") + t * n, want + n, n, tolerance, libraries[l]->name, "post");
        check_close(arrays_get(&d, "logits") + t * n * n, want + 2 * n, n * n, 10 * tolerance, libraries[l]->name,
                    "logits");
    }
    arrays_clear(&maps);
    arrays_clear(&d);
}

Test(closed_forms, coefficients_of_v4) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++) {
            struct mhc_case c = make_case(l, 67, n, 2 * n + 3, 20, MHC_V4, 1e-3);
            c.rms_eps = 1e-2;
            check_v4(l, &c);
        }
}

/* Small integers times powers of two: every sum is exact in float, in any order, so the result must be, to the bit. */
Test(closed_forms, exact_data) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= 16; n++)
            for (int64_t C = 1; C <= 35; C += 17) {
                struct mhc_case c = make_case(l, 3, n, C, 1, MHC_PAPER, 0);
                struct arrays d = {0};
                static const char *const names[] = {"x", "y", "post", "res", "grad_x_next"};
                const int64_t counts[] = {c.T * n * C, c.T * C, c.T * n, c.T * n * n, c.T * n * C};
                for (int a = 0; a < 5; a++)
                    for (int64_t k = 0; k < counts[a]; k++)
                        put(&d, names[a], counts[a])[k] = ldexp(
                            (double)(mhc_bits(6, (uint32_t)a, 0, (uint64_t)k) % 15) - 7, a % 2 ? 20 : -3);
                run_named(libraries[l], "mhc.post", &c, &d, NULL);
                run_named(libraries[l], "mhc.post_backward_y", &c, &d, NULL);
                const double *x = arrays_get(&d, "x"), *y = arrays_get(&d, "y"), *post = arrays_get(&d, "post");
                const double *res = arrays_get(&d, "res"), *g = arrays_get(&d, "grad_x_next");
                for (int64_t t = 0; t < c.T; t++)
                    for (int64_t k = 0; k < C; k++) {
                        double grad_y = 0;
                        for (int64_t i = 0; i < n; i++) {
                            double want = post[t * n + i] * y[t * C + k];
                            for (int64_t j = 0; j < n; j++)
                                want += res[(t * n + i) * n + j] * x[(t * n + j) * C + k];
                            double got = arrays_get(&d, "x_next")[(t * n + i) * C + k];
                            cr_assert(got == want, "%s n=%lld: x_next is %.17g, wanted %.17g", libraries[l]->name,
                                      (long long)n, got, want);
                            grad_y += post[t * n + i] * g[(t * n + i) * C + k];
                        }
                        cr_assert(arrays_get(&d, "grad_y")[t * C + k] == grad_y);
                    }
                arrays_clear(&d);
            }
}

/* --- sizes at the ends of the type --- */

/* Without rms_eps the coefficients do not see the size of x; every gradient stays finite as long as its value is. */
Test(extremes, scaled_streams) {
    static const char *const kinds[] = {"mhc", "mhc", "hc", "linear", "mlp", "attention"};
    for (int l = 0; l < LIBRARIES; l++)
        for (int up = 0; up < 2; up++)
            for (int k = 0; k < 6; k++) {
                bool connection = k < 3;
                int exponent = (up ? 1 : -1) * (l == 0 ? 664 : 100); /* about 1e200 and 1e30 */
                struct mhc_case c = make_case(l, 5, 4, 19, 20, MHC_PAPER, 0);
                c.map = k == 1 ? MHC_IDENTITY : MHC_SINKHORN;
                c.S = 5, c.heads = 2, c.head_dim = 3, c.hidden = 7, c.activation = MHC_SWIGLU;
                struct arrays plain = {0}, scaled = {0};
                struct save save = {0}, scaled_save = {0};
                char name[64];
                const char *stream = connection ? "x" : "u";
                int64_t count = connection ? c.T * c.n * c.C : c.T * c.C;
                draw(&c, &(struct mhc_arg){.name = stream, .extents = connection ? "TnC" : "TC"}, 1,
                     put(&plain, stream, count));
                for (int64_t e = 0; e < count; e++)
                    put(&scaled, stream, count)[e] = ldexp(arrays_get(&plain, stream)[e], exponent);
                static const char *const parts[2][5] = {{"forward", "backward"},
                                                        {"pre", "post", "post_backward_y", "backward"}};
                for (int o = 0; parts[connection][o]; o++) {
                    snprintf(name, sizeof name, "%s.%s", kinds[k], parts[connection][o]);
                    run_named(libraries[l], name, &c, &plain, &save);
                    run_named(libraries[l], name, &c, &scaled, &scaled_save);
                    const struct mhc_row *row = mhc_row_find(libraries[l], name);
                    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
                        int64_t elements = mhc_elements(&c, arg);
                        const double *got = arrays_get(&scaled, arg->name), *want = arrays_get(&plain, arg->name);
                        for (int64_t e = 0; e < elements; e++)
                            cr_assert(isfinite(got[e]), "%s %s at 2^%d: %s[%lld] is %g", libraries[l]->name, name,
                                      exponent, arg->name, (long long)e, got[e]);
                        if (arg->role == MHC_COEF || (!connection && o == 0 && arg->direction == MHC_OUT))
                            check_close(got, want, elements, row->tolerance(&c), name, arg->name);
                    }
                }
                free(save.bytes);
                free(scaled_save.bytes);
                arrays_clear(&plain);
                arrays_clear(&scaled);
            }
}

/* x = 0 without rms_eps: there is no direction to normalise; the product is taken as 0, and nothing becomes NaN. */
Test(extremes, zero_streams) {
    static const char *const rows[] = {"mhc.pre",     "mhc.post",       "mhc.backward",   "hc.pre",
                                       "hc.backward", "linear.forward", "linear.backward"};
    for (int l = 0; l < LIBRARIES; l++) {
        struct mhc_case c = make_case(l, 3, 4, 9, 5, MHC_PAPER, 0);
        struct arrays d = {0};
        struct save save = {0};
        for (int k = 0; k < 7; k++) {
            if (k == 0 || k == 3 || k == 5)
                arrays_clear(&d);
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
        free(save.bytes);
        arrays_clear(&d);
    }
}
