/* The operations of training against their formulas in plain double: embedding, head, loss, gradient norm, skip. */
#include <omp.h>

#include "tests/check.h"

static const struct mhc_case shapes[] = {
    {.T = 1, .S = 1, .C = 1, .vocabulary = 1, .weights = 1},
    {.T = 1, .C = 7, .vocabulary = 300, .weights = 255},
    {.T = 12, .S = 3, .C = 5, .vocabulary = 1, .weights = 256, .rms_eps = 1e-6},
    {.T = 66, .S = 11, .C = 70, .vocabulary = 9, .weights = 1000, .rms_eps = 0.5},
    {.T = 130, .S = 130, .C = 33, .vocabulary = 77, .weights = 20011, .rms_eps = 1e-6},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static struct mhc_case case_of(int shape, int library) {
    struct mhc_case c = shapes[shape];
    c.n = 1;
    set_types(&c, libraries[library]);
    return c;
}

/* To rounding of the library's type, as a share of the largest element. */
static void expect(const struct arrays *d, const char *name, const double *want, int64_t count, int library) {
    double scale = fmax(array_largest(want, count), 1e-300);
    check_close(arrays_get(d, name), want, count, scale * (library ? 3e-6 : 1e-13), libraries[library]->name, name);
}

/* --- formulas --- */

Test(training, embedding_is_its_formula) {
    for (int k = 0; k < SHAPES * LIBRARIES; k++) {
        struct mhc_case c = case_of(k / LIBRARIES, k % LIBRARIES);
        int64_t C = c.C, S = mhc_sequence(&c);
        struct arrays d = {0}, want = {0};
        run_named(libraries[k % LIBRARIES], "embedding.forward", &c, &d, NULL);
        run_named(libraries[k % LIBRARIES], "embedding.backward", &c, &d, NULL);
        double *x0 = put(&want, "x0", c.T * C), *table = put(&want, "table", c.vocabulary * C),
               *positions = put(&want, "positions", S * C);
        for (int64_t e = 0; e < c.T * C; e++) {
            int64_t token = (int64_t)arrays_get(&d, "tokens")[e / C] * C + e % C, place = e / C % S * C + e % C;
            x0[e] = arrays_get(&d, "table")[token] + arrays_get(&d, "positions")[place];
            table[token] += arrays_get(&d, "grad_x0")[e];
            positions[place] += arrays_get(&d, "grad_x0")[e];
        }
        expect(&d, "x0", x0, c.T * C, k % LIBRARIES);
        expect(&d, "grad_table", table, c.vocabulary * C, k % LIBRARIES);
        expect(&d, "grad_positions", positions, S * C, k % LIBRARIES);
        arrays_clear(&d);
        arrays_clear(&want);
    }
}

/* One token of the head: logits from u, and back. */
static void head_token(const struct mhc_case *c, const double *u, const double *gain, const double *w, const double *g,
                       double *logits, double *grad_u, double *grad_gain, double *grad_w) {
    double square = 0, dot = 0, *grad_v = calloc((size_t)c->C, sizeof *grad_v);
    for (int64_t i = 0; i < c->C; i++)
        square += u[i] * u[i];
    double r = sqrt(square / (double)c->C + c->rms_eps);
    for (int64_t i = 0; i < c->C; i++) {
        double v = gain[i] * u[i] / r;
        for (int64_t o = 0; o < c->vocabulary; o++) {
            logits[o] += v * w[i * c->vocabulary + o];
            grad_v[i] += g[o] * w[i * c->vocabulary + o];
            grad_w[i * c->vocabulary + o] += v * g[o];
        }
        grad_gain[i] += grad_v[i] * u[i] / r;
        dot += gain[i] * grad_v[i] * u[i];
    }
    for (int64_t i = 0; i < c->C; i++)
        grad_u[i] = gain[i] * grad_v[i] / r - u[i] * dot / ((double)c->C * r * r * r);
    free(grad_v);
}

Test(training, head_is_its_formula) {
    for (int k = LIBRARIES; k < SHAPES * LIBRARIES; k++) { /* of one channel grad_u is rounding alone */
        struct mhc_case c = case_of(k / LIBRARIES, k % LIBRARIES);
        int64_t C = c.C, V = c.vocabulary;
        struct arrays d = {0}, want = {0};
        run_named(libraries[k % LIBRARIES], "head.forward", &c, &d, NULL);
        run_named(libraries[k % LIBRARIES], "head.backward", &c, &d, NULL);
        double *logits = put(&want, "logits", c.T * V), *grad_u = put(&want, "grad_u", c.T * C),
               *grad_gain = put(&want, "grad_gain", C), *grad_w = put(&want, "grad_w", C * V);
        for (int64_t t = 0; t < c.T; t++)
            head_token(&c, arrays_get(&d, "u") + t * C, arrays_get(&d, "gain"), arrays_get(&d, "w"),
                       arrays_get(&d, "grad_logits") + t * V, logits + t * V, grad_u + t * C, grad_gain, grad_w);
        expect(&d, "logits", logits, c.T * V, k % LIBRARIES);
        expect(&d, "grad_u", grad_u, c.T * C, k % LIBRARIES);
        expect(&d, "grad_gain", grad_gain, C, k % LIBRARIES);
        expect(&d, "grad_w", grad_w, C * V, k % LIBRARIES);
        arrays_clear(&d);
        arrays_clear(&want);
    }
}

Test(training, skip_is_its_formula) {
    static const char *const parts[] = {"skip.pre", "skip.post", "skip.post_backward_y", "skip.backward"};
    for (int k = 0; k < SHAPES * LIBRARIES; k++) {
        struct mhc_case c = case_of(k / LIBRARIES, k % LIBRARIES);
        int64_t count = c.T * c.C;
        struct arrays d = {0}, want = {0};
        for (int part = 0; part < 4; part++)
            run_named(libraries[k % LIBRARIES], parts[part], &c, &d, NULL);
        const double *x = arrays_get(&d, "x"), *g = arrays_get(&d, "grad_x_next"), s = *arrays_get(&d, "scale");
        double *x_next = put(&want, "x_next", count), *grad_x = put(&want, "grad_x", count), grad_scale = 0, size = 0;
        for (int64_t e = 0; e < count; e++) {
            x_next[e] = s * x[e] + arrays_get(&d, "y")[e];
            grad_x[e] = s * g[e] + arrays_get(&d, "grad_u")[e];
            grad_scale += g[e] * x[e];
            size += fabs(g[e] * x[e]);
        }
        expect(&d, "u", x, count, k % LIBRARIES);
        expect(&d, "grad_y", g, count, k % LIBRARIES);
        expect(&d, "x_next", x_next, count, k % LIBRARIES);
        expect(&d, "grad_x", grad_x, count, k % LIBRARIES);
        for (int64_t t = 0; t < c.T; t++)
            cr_expect(arrays_get(&d, "res")[t] == s);
        cr_expect(fabs(*arrays_get(&d, "grad_scale") - grad_scale) <= size * (k % LIBRARIES ? 1e-6 : 1e-14));
        arrays_clear(&d);
        arrays_clear(&want);
    }
}

Test(training, norm_is_its_formula) {
    static const double sizes[] = {1, 1e-30, 1e30, 1e-200, 1e200};
    for (int k = 0; k < 5 * SHAPES * LIBRARIES; k++) {
        int library = k % LIBRARIES, size = k / LIBRARIES % 5;
        struct mhc_case c = case_of(k / LIBRARIES / 5, library);
        struct arrays d = {0};
        double *grad = put(&d, "grad", c.weights), sum = 0;
        if (library && size > 2) /* no float is so large, or so small */
            continue;
        for (int64_t e = 0; e < c.weights; e++) {
            double normal = mhc_normal(4, 1, 0, (uint64_t)e);
            grad[e] = library ? (float)(sizes[size] * normal) : sizes[size] * normal;
            sum += (grad[e] / sizes[size]) * (grad[e] / sizes[size]);
        }
        double want = sizes[size] * sqrt(sum);
        run_named(libraries[library], "gradient.norm", &c, &d, NULL);
        cr_expect(fabs(*arrays_get(&d, "norm") - want) <= 1e-13 * want, "%g, wanted %g", *arrays_get(&d, "norm"), want);
        arrays_clear(&d);
    }
}

/* A zero gradient has the norm 0; one element that is no number is enough for none. */
Test(training, norm_of_no_numbers) {
    static const double last[] = {0, NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 4 * LIBRARIES; k++) {
        struct mhc_case c = case_of(SHAPES - 1, k % LIBRARIES);
        struct arrays d = {0};
        put(&d, "grad", c.weights)[c.weights - 1] = last[k / LIBRARIES];
        run_named(libraries[k % LIBRARIES], "gradient.norm", &c, &d, NULL);
        double norm = *arrays_get(&d, "norm"), want = fabs(last[k / LIBRARIES]);
        cr_expect(isnan(want) ? isnan(norm) : norm == want, "%g of %g", norm, want);
        arrays_clear(&d);
    }
}

/* --- the loss --- */

/* By differences to the target, without a largest logit: sum_v exp(l_v - l_target). Fits while those are below 700. */
static double formula_loss(const struct mhc_case *c, const double *logits, const double *targets, double *grad) {
    double loss = 0;
    for (int64_t t = 0; t < c->T; t++) {
        const double *l = logits + t * c->vocabulary, own = l[(int64_t)targets[t]];
        double sum = 0;
        for (int64_t v = 0; v < c->vocabulary; v++)
            sum += exp(l[v] - own);
        for (int64_t v = 0; v < c->vocabulary; v++)
            grad[t * c->vocabulary + v] = (exp(l[v] - own) / sum - (v == (int64_t)targets[t])) / (double)c->T;
        loss += log(sum) / (double)c->T;
    }
    return loss;
}

Test(training, loss_is_its_formula) {
    static const double spreads[] = {0, 1, 20};
    for (int k = 0; k < 3 * SHAPES * LIBRARIES; k++) {
        int library = k % LIBRARIES;
        struct mhc_case c = case_of(k / LIBRARIES % SHAPES, library);
        int64_t count = c.T * c.vocabulary;
        struct arrays d = {0}, want = {0};
        double *logits = put(&d, "logits", count), *grad = put(&want, "grad", count);
        for (int64_t e = 0; e < count; e++)
            logits[e] = (float)(spreads[k / LIBRARIES / SHAPES] * mhc_normal(5, 1, 0, (uint64_t)e));
        run_named(libraries[library], "cross-entropy.forward", &c, &d, NULL);
        double loss = formula_loss(&c, logits, arrays_get(&d, "targets"), grad), got = *arrays_get(&d, "loss");
        cr_expect(fabs(got - loss) <= (library ? 1e-6 : 1e-13) * fmax(loss, 1e-3), "%.17g, wanted %.17g", got, loss);
        if (c.vocabulary > 1)
            expect(&d, "grad_logits", grad, count, library);
        else
            cr_expect(got == 0 && array_largest(arrays_get(&d, "grad_logits"), count) == 0);
        arrays_clear(&d);
        arrays_clear(&want);
    }
}

/* The slope of the loss along a random direction, by differences of fourth order, against <grad_logits, direction>. */
Test(training, gradient_of_the_loss_is_its_slope) {
    for (int k = 1; k < SHAPES; k++) {
        struct mhc_case c = case_of(k, 0);
        int64_t count = c.T * c.vocabulary;
        struct arrays d = {0};
        double value[5], slope = 0, size = 0;
        const double h = 1e-3;
        draw(&c, mhc_arg_find(mhc_row_find(&mhc_cpu64, "cross-entropy.forward"), "logits", MHC_IN), 6,
             put(&d, "logits", count));
        struct arrays moved = copy_of(&d);
        run_named(&mhc_cpu64, "cross-entropy.forward", &c, &d, NULL);
        for (int step = -2; step <= 2; step++) {
            for (int64_t e = 0; e < count; e++)
                arrays_get(&moved, "logits")[e] = arrays_get(&d, "logits")[e] +
                                                  step * h * mhc_normal(7, 2, 0, (uint64_t)e);
            run_named(&mhc_cpu64, "cross-entropy.forward", &c, &moved, NULL);
            value[step + 2] = *arrays_get(&moved, "loss");
        }
        for (int64_t e = 0; e < count; e++) {
            double term = arrays_get(&d, "grad_logits")[e] * mhc_normal(7, 2, 0, (uint64_t)e);
            slope += term;
            size += fabs(term);
        }
        double numeric = (8 * (value[3] - value[1]) - (value[4] - value[0])) / (12 * h);
        cr_expect(fabs(numeric - slope) <= 1e-9 * size + 1e-12, "%.12g, differences %.12g", slope, numeric);
        arrays_clear(&d);
        arrays_clear(&moved);
    }
}

/* Two logits `apart`, and the target is the upper or the lower one. */
static void expect_pair(int library, double apart, bool upper) {
    struct mhc_case c = {.T = 1, .n = 1, .C = 1, .vocabulary = 2};
    struct arrays d = {0};
    set_types(&c, libraries[library]);
    double *logits = put(&d, "logits", 2), few = exp(-apart), close = library ? 1e-6 : 1e-14;
    logits[0] = 3e3, logits[1] = 3e3 - apart;
    *put(&d, "targets", 1) = upper ? 0 : 1;
    run_named(libraries[library], "cross-entropy.forward", &c, &d, NULL);
    const double *grad = arrays_get(&d, "grad_logits"), loss = *arrays_get(&d, "loss");
    double want = log1p(few) + (upper ? 0 : apart), share = upper ? few / (1 + few) : 1 / (1 + few);
    cr_expect(fabs(loss - want) <= close * want, "%g apart: loss %.17g, wanted %.17g", apart, loss, want);
    cr_expect(fabs(grad[!upper] + share) <= close * share && fabs(grad[upper] - share) <= close * share,
              "%g apart: gradients %g, %g, wanted %g", apart, grad[0], grad[1], share);
    arrays_clear(&d);
}

/* A loss that is nearly 0, and one of 10^4: as good as any other. */
Test(training, loss_of_a_wide_spread) {
    static const double apart[] = {0, 1, 17, 50, 80, 1e4};
    for (int k = 0; k < 6 * LIBRARIES; k++) {
        expect_pair(k % LIBRARIES, apart[k / LIBRARIES], false);
        if (apart[k / LIBRARIES] < 100)
            expect_pair(k % LIBRARIES, apart[k / LIBRARIES], true);
    }
    for (int l = 0; l < LIBRARIES; l++) {
        struct mhc_case c = case_of(SHAPES - 1, l);
        struct arrays d = {0};
        for (int64_t e = 0; e < c.T * c.vocabulary; e++)
            put(&d, "logits", c.T * c.vocabulary)[e] = (float)(1e4 * mhc_normal(8, 1, 0, (uint64_t)e));
        run_named(libraries[l], "cross-entropy.forward", &c, &d, NULL);
        cr_expect(*arrays_get(&d, "loss") > 1e3 && *arrays_get(&d, "loss") < 1e5);
        for (int64_t t = 0; t < c.T; t++) {
            double sum = 0;
            for (int64_t v = 0; v < c.vocabulary; v++)
                sum += arrays_get(&d, "grad_logits")[t * c.vocabulary + v];
            cr_expect(fabs(sum) < 1e-8);
        }
        arrays_clear(&d);
    }
}

/* A logit of -Inf is a word that cannot come; one that is no number spoils the loss, and no other. */
Test(training, loss_of_no_numbers) {
    static const double odd[] = {-INFINITY, INFINITY, NAN};
    for (int k = 0; k < 3 * LIBRARIES; k++)
        for (int64_t place = 0; place < 9; place++) {
            struct mhc_case c = {.T = 2, .n = 1, .C = 1, .vocabulary = 11};
            struct arrays d = {0};
            set_types(&c, libraries[k % LIBRARIES]);
            put(&d, "targets", 2)[0] = 9;
            put(&d, "logits", 22)[place] = odd[k / LIBRARIES];
            run_named(libraries[k % LIBRARIES], "cross-entropy.forward", &c, &d, NULL);
            double loss = *arrays_get(&d, "loss"), want = (log(10) + log(11)) / 2;
            cr_expect(k < LIBRARIES ? fabs(loss - want) < 1e-6 : !isfinite(loss), "%g gives %g", odd[k / LIBRARIES],
                      loss);
            cr_expect(k >= LIBRARIES || arrays_get(&d, "grad_logits")[place] == 0);
            cr_expect(isfinite(arrays_get(&d, "grad_logits")[21]));
            arrays_clear(&d);
        }
}

/* --- threads, refusals --- */

/* The head's bits repeat for one number of threads, because BLAS makes its products; those of all others for any. */
Test(training, bits_do_not_depend_on_threads) {
    static const char *const names[] = {
        "embedding.forward", "embedding.backward",   "cross-entropy.forward", "gradient.norm", "skip.pre",
        "skip.post",         "skip.post_backward_y", "skip.backward",         "adamw.update",  "adamw.update_rounded"};
    for (int k = 0; k < 10 * LIBRARIES; k++) {
        const struct mhc_row *row = mhc_row_find(libraries[k % LIBRARIES], names[k / LIBRARIES]);
        struct mhc_case c = case_of(SHAPES - 1, k % LIBRARIES);
        struct arrays want = {0};
        for (int threads = 1; threads <= 7; threads++) {
            struct arrays d = {0};
            omp_set_num_threads(threads);
            run_row(row, &c, &d, 3, NULL);
            for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
                int64_t count = mhc_elements(&c, arg);
                double *first = put(&want, arg->name, count);
                if (threads == 1)
                    memcpy(first, arrays_get(&d, arg->name), (size_t)count * sizeof *first);
                cr_expect(!memcmp(first, arrays_get(&d, arg->name), (size_t)count * sizeof *first),
                          "%s %s: other bits of %s with %d threads", libraries[k % LIBRARIES]->name, row->name,
                          arg->name, threads);
            }
            arrays_clear(&d);
        }
        arrays_clear(&want);
    }
}

/* The row fails before it has written anything. */
static void expect_refused(const struct mhc_row *row, const struct mhc_case *c, const char *indices, int32_t index) {
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++, count++) {
        arrays[count] = (struct array){arg->name, aligned_alloc(64, ((size_t)mhc_arg_bytes(c, arg) + 127) / 64 * 64)};
        memset(arrays[count].pointer, arg->direction == MHC_IN ? 0 : 0x5a, (size_t)mhc_arg_bytes(c, arg));
        if (!strcmp(arg->name, indices))
            ((int32_t *)arrays[count].pointer)[c->T - 1] = index;
    }
    void *work = malloc((size_t)(row->work_bytes ? row->work_bytes(c) : 0) + 1);
    cr_expect(backend_run(&backend_host, row, c, arrays, count, NULL, work), "%s takes %d", row->name, index);
    for (int a = 0; a < count; a++) {
        const unsigned char *bytes = arrays[a].pointer;
        for (int64_t k = 0; k < mhc_arg_bytes(c, &row->args[a]) && row->args[a].direction == MHC_OUT; k++)
            cr_expect(bytes[k] == 0x5a, "%s wrote %s", row->name, row->args[a].name);
        free(arrays[a].pointer);
    }
    free(work);
}

Test(training, indices_outside_the_vocabulary_are_refused) {
    static const char *const names[] = {"embedding.forward", "embedding.backward", "cross-entropy.forward"};
    for (int k = 0; k < 3 * LIBRARIES; k++) {
        struct mhc_case c = case_of(3, k % LIBRARIES);
        const struct mhc_row *row = mhc_row_find(libraries[k % LIBRARIES], names[k / LIBRARIES]);
        const char *indices = k / LIBRARIES == 2 ? "targets" : "tokens";
        expect_refused(row, &c, indices, -1);
        expect_refused(row, &c, indices, INT32_MIN);
        expect_refused(row, &c, indices, (int32_t)c.vocabulary);
        expect_refused(row, &c, indices, INT32_MAX);
    }
}

static void expect_no(const char *name, struct mhc_case c, const char *word) {
    const char *why = "";
    cr_expect(!mhc_row_find(&mhc_cpu64, name)->supports(&c, &why) && strstr(why, word), "%s: %s", name, why);
}

Test(training, cases_that_do_not_exist) {
    struct mhc_case c = case_of(3, 0);
    const char *why;
    cr_expect(mhc_row_find(&mhc_cpu64, "embedding.forward")->supports(&c, &why));
    c.S = 12;
    expect_no("embedding.forward", c, "multiple of S");
    expect_no("embedding.backward", c, "multiple of S");
    c = case_of(3, 0), c.vocabulary = 0;
    expect_no("embedding.forward", c, "vocabulary");
    expect_no("head.forward", c, "vocabulary");
    expect_no("head.backward", c, "vocabulary");
    expect_no("cross-entropy.forward", c, "vocabulary");
    c = case_of(3, 0), c.weights = 0;
    expect_no("gradient.norm", c, "weights");
    c = case_of(3, 0), c.n = 2;
    expect_no("skip.post", c, "one stream");
}
