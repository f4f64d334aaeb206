/* Every tuned operation of the CPU that implements an equation of the paper, held to cpu_ref/paper.c. */
#include "cpu_ref/paper.h"
#include "tests/check.h"

enum { N = MHC_MAX_STREAMS };

static const struct mhc_case shapes[] = {
    {.T = 1, .n = 1, .C = 1, .t_max = 1, .rms_eps = 1e-20},   {.T = 5, .n = 1, .C = 33, .t_max = 20, .rms_eps = 1e-6},
    {.T = 1, .n = 2, .C = 7, .t_max = 3, .rms_eps = 0},       {.T = 67, .n = 3, .C = 5, .t_max = 5, .rms_eps = 0.5},
    {.T = 1, .n = 4, .C = 64, .t_max = 20, .rms_eps = 1e-20}, {.T = 131, .n = 4, .C = 9, .t_max = 20, .rms_eps = 1e-6},
    {.T = 3, .n = 7, .C = 13, .t_max = 3, .rms_eps = 1e-6},   {.T = 2, .n = 8, .C = 17, .t_max = 20, .rms_eps = 1e-6},
    {.T = 66, .n = 16, .C = 3, .t_max = 20, .rms_eps = 1e-6},
};
enum { NAMED_SHAPES = sizeof shapes / sizeof *shapes, SHAPES = NAMED_SHAPES + N };

/* The shapes above, and behind them every number of streams. */
static struct mhc_case shape(int k) {
    int64_t n = k - NAMED_SHAPES + 1;
    struct mhc_case behind = {.T = 67, .n = n, .C = 2 * n + 3, .t_max = 20, .rms_eps = 1e-6};
    return k < NAMED_SHAPES ? shapes[k] : behind;
}

static const char *const connections[] = {"hc", "hc-static", "mhc", "identity", "resnet"};
enum { CONNECTIONS = sizeof connections / sizeof *connections };

/* "mhc.pre" of identity HC too. */
static const char *rows_of(const char *connection) {
    return strcmp(connection, "identity") ? connection : "mhc";
}

static bool has(const char *connection, const struct mhc_case *c) {
    return strcmp(connection, "resnet") != 0 || c->n == 1;
}

static void in_every_case(void (*check)(const struct mhc_library *, const char *connection, const struct mhc_case *)) {
    for (int l = 0; l < LIBRARIES; l++)
        for (int s = 0; s < SHAPES; s++)
            for (int k = 0; k < CONNECTIONS; k++) {
                struct mhc_case c = shape(s);
                set_types(&c, libraries[l]);
                c.map = strcmp(connections[k], "identity") ? MHC_SINKHORN : MHC_IDENTITY;
                if (has(connections[k], &c))
                    check(libraries[l], connections[k], &c);
            }
}

/* Where an array of a token lies. void *, so that it becomes whatever shape paper.h asks for. */
static void *at(const struct arrays *d, const char *name, int64_t offset) {
    return arrays_get(d, name) + offset;
}

/* An error is a share of the largest element. One operation may lose the last digits of its type, far less than its row
 * allows. Every further layer multiplies the error so far; in float a stack may lose what the row allows. */
static void expect_paper(const struct mhc_library *library, const char *row_name, const struct mhc_case *c, int layers,
                         const char *array, const double *got, const double *want, int64_t count) {
    double allowed = mhc_row_find(library, row_name)->tolerance(c);
    double share = library == &mhc_cpu64 ? 1e-12 * layers : layers == 1 ? 1e-5 : allowed;
    cr_assert(share <= allowed);
    char what[120];
    snprintf(what, sizeof what, "%s %s T=%lld n=%lld C=%lld t_max=%lld", library->name, row_name, (long long)c->T,
             (long long)c->n, (long long)c->C, (long long)c->t_max);
    check_close(got, want, count, share * array_largest(want, count), what, array);
}

/* Whether rows have made an array that is not empty: identity HC has no res, a ResNet no coefficients. */
static bool has_array(const struct mhc_case *c, const struct arrays *d, const char *name) {
    return arrays_get(d, name) && (strcmp(name, "res") || mhc_extent(c, 'N') > 0);
}

/* --- a token's coefficients by the paper, of named arrays --- */

/* Columns `from` to `from + count` of a matrix with `columns` columns, as a matrix of its own. */
static double *columns_of(const double *matrix, int64_t rows, int64_t columns, int64_t from, int64_t count) {
    double *part = calloc((size_t)rows, (size_t)count * sizeof *part);
    for (int64_t r = 0; r < rows; r++)
        memcpy(part + r * count, matrix + r * columns + from, (size_t)count * sizeof *part);
    return part;
}

/* Eq. 7 of arrays that hold pre, post and, unless `identity`, res side by side. */
static void paper_logits(bool identity, const struct mhc_case *c, const struct arrays *d, int64_t t, double *pre,
                         double *post, double *res) {
    int64_t n = c->n, D = n * c->C, K = identity ? 2 * n : n * n + 2 * n;
    const double *phi = arrays_get(d, "phi"), *b = arrays_get(d, "b"), *alpha = arrays_get(d, "alpha");
    void *phi_pre = columns_of(phi, D, K, 0, n), *phi_post = columns_of(phi, D, K, n, n);
    void *phi_res = identity ? calloc((size_t)D, (size_t)(n * n) * sizeof(double))
                             : columns_of(phi, D, K, 2 * n, n * n);
    double none[N * N] = {0};
    void *b_res = identity ? none : at(d, "b", 2 * n), *out = res;
    paper_eq7_logits(n, c->C, at(d, "x", t * D), c->rms_eps, phi_pre, phi_post, phi_res, alpha[0], alpha[1],
                     identity ? 0 : alpha[2], b, b + n, b_res, pre, post, out);
    free(phi_pre);
    free(phi_post);
    free(phi_res);
}

static void paper_coefficients(const char *connection, const struct mhc_case *c, const struct arrays *d, int64_t t,
                               double *pre, double *post, void *res) {
    int64_t n = c->n, C = c->C;
    double logits_pre[N], logits_post[N], logits_res[N * N], no_theta[C], no_theta_res[n][C];
    bool identity = !strcmp(connection, "identity");
    void *logits = logits_res;
    memset(no_theta, 0, sizeof no_theta);
    memset(no_theta_res, 0, sizeof no_theta_res);
    if (!strcmp(connection, "hc")) {
        const double *alpha = arrays_get(d, "alpha");
        paper_eq5_hc(n, C, at(d, "x", t * n * C), c->rms_eps, at(d, "theta_pre", 0), at(d, "theta_post", 0),
                     at(d, "theta_res", 0), alpha[0], alpha[1], alpha[2], at(d, "b_pre", 0), at(d, "b_post", 0),
                     at(d, "b_res", 0), pre, post, res);
    } else if (!strcmp(connection, "hc-static")) {
        paper_eq5_hc(n, C, at(d, "x", t * n * C), c->rms_eps, no_theta, no_theta, no_theta_res, 0, 0, 0,
                     at(d, "b_pre", 0), at(d, "b_post", 0), at(d, "b_res", 0), pre, post, res);
    } else if (!strcmp(connection, "resnet")) {
        pre[0] = post[0] = *(double *)res = 1;
    } else {
        paper_logits(identity, c, d, t, logits_pre, logits_post, logits_res);
        paper_eq8_mhc(n, c->t_max, logits_pre, logits_post, logits, pre, post, res);
        for (int64_t e = 0; e < n * n && identity; e++)
            ((double *)res)[e] = e % (n + 1) == 0;
    }
}

/* --- forward --- */

static void check_pre(const struct mhc_library *library, const char *connection, const struct mhc_case *c) {
    int64_t n = c->n, C = c->C, D = n * C;
    char name[32];
    snprintf(name, sizeof name, "%s.pre", rows_of(connection));
    struct arrays d = {0}, want = {0};
    run_named(library, name, c, &d, NULL);
    double *pre = put(&want, "pre", c->T * n), *post = put(&want, "post", c->T * n);
    double *res = put(&want, "res", c->T * n * n), *u = put(&want, "u", c->T * C);
    for (int64_t t = 0; t < c->T; t++) {
        paper_coefficients(connection, c, &d, t, pre + t * n, post + t * n, res + t * n * n);
        paper_eq3_pre(n, C, at(&d, "x", t * D), pre + t * n, u + t * C);
    }
    for (int a = 0; a < want.count; a++)
        if (has_array(c, &d, want.entry[a].name))
            expect_paper(library, name, c, 1, want.entry[a].name, arrays_get(&d, want.entry[a].name),
                         want.entry[a].values, want.entry[a].count);
    arrays_clear(&d);
    arrays_clear(&want);
}

Test(paper, coefficients_and_pre) {
    in_every_case(check_pre);
}

/* A branch whose result is already there. */
static void given(int64_t C, const double *u, const void *weights, double *y) {
    (void)u;
    memcpy(y, weights, (size_t)C * sizeof *y);
}

/* Eq. 1 for a ResNet, else Eq. 3, of any coefficients. */
static void check_layer(const struct mhc_library *library, const char *connection, const struct mhc_case *c) {
    int64_t n = c->n, C = c->C, D = n * C;
    char name[32];
    snprintf(name, sizeof name, "%s.post", rows_of(connection));
    struct arrays d = {0};
    run_named(library, name, c, &d, NULL);
    double *want = calloc((size_t)(c->T * D), sizeof *want), u[C], y[C], ones[N], unit[N * N];
    for (int64_t e = 0; e < n * n; e++) {
        ones[e / n] = 1;
        unit[e] = e % (n + 1) == 0;
    }
    void *one = unit;
    for (int64_t t = 0; t < c->T; t++) {
        const double *x = at(&d, "x", t * D), *branch = at(&d, "y", t * C);
        if (!strcmp(connection, "resnet"))
            paper_eq1_residual(C, x, given, branch, y, want + t * D);
        else
            paper_eq3_layer(n, C, at(&d, "x", t * D), ones, at(&d, "post", t * n),
                            has_array(c, &d, "res") ? at(&d, "res", t * n * n) : one, given, branch, u, y,
                            (void *)(want + t * D));
    }
    expect_paper(library, name, c, 1, "x_next", arrays_get(&d, "x_next"), want, c->T * D);
    free(want);
    arrays_clear(&d);
}

Test(paper, layer) {
    in_every_case(check_layer);
}

/* Eq. 14 to 16, the order of the kernels, give the logits of Eq. 7; and so does the row for them. */
Test(paper, logits) {
    for (int s = 0; s < SHAPES * LIBRARIES; s++) {
        const struct mhc_library *library = libraries[s % LIBRARIES];
        struct mhc_case c = shape(s / LIBRARIES);
        int64_t n = c.n, D = n * c.C, K = n * n + 2 * n;
        struct arrays d = {0};
        set_types(&c, library);
        run_named(library, "mhc.logits", &c, &d, NULL);
        const double *alpha = arrays_get(&d, "alpha");
        for (int64_t t = 0; t < c.T; t++) {
            double want[N * N + 2 * N], got[N * N + 2 * N], product[N * N + 2 * N];
            const double *x = at(&d, "x", t * D);
            paper_logits(false, &c, &d, t, want, want + n, want + 2 * n);
            paper_eq14_product(n, c.C, x, at(&d, "phi", 0), product);
            double r = paper_eq15_norm(n, c.C, x, c.rms_eps);
            paper_eq16_logits(n, product, r, alpha[0], alpha[1], alpha[2], at(&d, "b", 0), got);
            check_close(got, want, K, 1e-13 * array_largest(want, K), "Eq. 14-16", "logits");
            expect_paper(library, "mhc.logits", &c, 1, "logits", at(&d, "logits", t * n * n), want + 2 * n, n * n);
        }
        arrays_clear(&d);
    }
}

Test(paper, sinkhorn) {
    static const double spreads[] = {0.1, 1, 5, 30};
    static const int64_t iterations[] = {1, 3, 20};
    for (int l = 0; l < LIBRARIES; l++)
        for (int64_t n = 1; n <= N; n++)
            for (int k = 0; k < 4 * 3; k++) {
                struct mhc_case c = make_case(l, n == 4 ? 131 : 3, n, 1, iterations[k % 3], MHC_PAPER, 0);
                struct arrays d = {0};
                double *logits = put(&d, "logits", c.T * n * n), *want = put(&d, "want", c.T * n * n);
                for (int64_t e = 0; e < c.T * n * n; e++)
                    logits[e] = (float)(spreads[k / 3] * mhc_normal(3, mhc_what("logits"), 0, (uint64_t)e));
                run_named(libraries[l], "sinkhorn.forward", &c, &d, NULL);
                for (int64_t t = 0; t < c.T; t++)
                    paper_eq9_sinkhorn(n, c.t_max, at(&d, "logits", t * n * n), at(&d, "want", t * n * n));
                expect_paper(libraries[l], "sinkhorn.forward", &c, 1, "res", arrays_get(&d, "res"), want, c.T * n * n);
                arrays_clear(&d);
            }
}

/* --- a few layers, one after the other --- */

/* Some branch: a difference of neighbours, bounded. */
static void branch(int64_t C, const double *u, const void *weights, double *y) {
    (void)weights;
    for (int64_t k = 0; k < C; k++)
        y[k] = tanh(u[k] - 0.5 * u[(k + 1) % C]);
}

/* The same stack twice, with new parameters in every layer: through pre, branch and post, and through the paper. */
static void check_stack(const struct mhc_library *library, const char *connection, const struct mhc_case *c) {
    enum { LAYERS = 5 };
    int64_t n = c->n, C = c->C, D = n * C;
    char pre_name[32], post_name[32];
    snprintf(pre_name, sizeof pre_name, "%s.pre", rows_of(connection));
    snprintf(post_name, sizeof post_name, "%s.post", rows_of(connection));
    struct arrays entry = {0};
    double *x = put(&entry, "x", c->T * D), *want = put(&entry, "want", c->T * D);
    draw(c, mhc_arg_find(mhc_row_find(library, pre_name), "x", MHC_IN), 2, x);
    memcpy(want, x, (size_t)(c->T * D) * sizeof *x);
    for (int layer = 0; layer < LAYERS; layer++) {
        struct arrays d = {0};
        memcpy(put(&d, "x", c->T * D), x, (size_t)(c->T * D) * sizeof *x);
        run_row(mhc_row_find(library, pre_name), c, &d, 100 + (uint64_t)layer, NULL);
        put(&d, "y", c->T * C);
        for (int64_t t = 0; t < c->T; t++)
            branch(C, at(&d, "u", t * C), NULL, at(&d, "y", t * C));
        run_named(library, post_name, c, &d, NULL);
        memcpy(x, arrays_get(&d, "x_next"), (size_t)(c->T * D) * sizeof *x);
        memcpy(arrays_get(&d, "x"), want, (size_t)(c->T * D) * sizeof *x);
        for (int64_t t = 0; t < c->T; t++) {
            double pre[N], post[N], res[N * N], u[C], y[C];
            void *map = res;
            paper_coefficients(connection, c, &d, t, pre, post, res);
            paper_eq3_layer(n, C, at(&d, "x", t * D), pre, post, map, branch, NULL, u, y, (void *)(want + t * D));
        }
        arrays_clear(&d);
    }
    expect_paper(library, post_name, c, LAYERS, "x after five layers", x, want, c->T * D);
    arrays_clear(&entry);
}

Test(paper, stack_of_layers) {
    in_every_case(check_stack);
}

/* --- backward: finite differences of the paper's forward --- */

/* <grad_x_next, x_next> + <grad_u, u>, where y is an input of its own. */
static double paper_loss(const char *connection, const struct mhc_case *c, const struct arrays *d) {
    int64_t n = c->n, C = c->C, D = n * C;
    double loss = 0;
    for (int64_t t = 0; t < c->T; t++) {
        double pre[N], post[N], res[N * N], u[C], y[C], x_next[D];
        void *map = res, *next = x_next;
        paper_coefficients(connection, c, d, t, pre, post, res);
        paper_eq3_layer(n, C, at(d, "x", t * D), pre, post, map, given, at(d, "y", t * C), u, y, next);
        for (int64_t k = 0; k < D; k++)
            loss += arrays_get(d, "grad_x_next")[t * D + k] * x_next[k];
        for (int64_t k = 0; k < C; k++)
            loss += arrays_get(d, "grad_u")[t * C + k] * u[k];
    }
    return loss;
}

/* Every element of an array: its slope by differences of fourth order. */
static void check_slopes(const char *connection, const struct mhc_case *c, struct arrays *d, const char *grad) {
    const char *name = grad + strlen("grad_");
    double *input = arrays_get(d, name), *got = arrays_get(d, grad);
    int64_t count = 0;
    for (int a = 0; a < d->count; a++)
        count = d->entry[a].values == got ? d->entry[a].count : count;
    double *want = calloc((size_t)count, sizeof *want), value[5];
    const double h = 1e-3;
    for (int64_t k = 0; k < count; k++) {
        double kept = input[k];
        for (int step = -2; step <= 2; step++) {
            input[k] = kept + step * h;
            value[step + 2] = step ? paper_loss(connection, c, d) : 0;
        }
        input[k] = kept;
        want[k] = (8 * (value[3] - value[1]) - (value[4] - value[0])) / (12 * h);
    }
    char what[80];
    snprintf(what, sizeof what, "%s n=%lld C=%lld t_max=%lld, gradients", connection, (long long)c->n, (long long)c->C,
             (long long)c->t_max);
    check_close(got, want, count, 1e-9 * fmax(1, array_largest(want, count)), what, grad);
    free(want);
}

/* Only float64: float32 is held to it elsewhere. */
Test(paper, gradients, .timeout = 1800) {
    static const struct mhc_case small[] = {
        {.T = 3, .n = 1, .C = 5, .t_max = 20, .rms_eps = 1e-6},
        {.T = 2, .n = 2, .C = 3, .t_max = 1, .rms_eps = 0.5},
        {.T = 3, .n = 4, .C = 3, .t_max = 20, .rms_eps = 1e-6},
        {.T = 1, .n = 7, .C = 2, .t_max = 3, .rms_eps = 1e-6},
    };
    static const char *const operations[] = {"pre", "post", "post_backward_y", "backward"};
    for (int k = 0; k < 4 * CONNECTIONS; k++) {
        const char *connection = connections[k % CONNECTIONS];
        struct mhc_case c = small[k / CONNECTIONS];
        if (!has(connection, &c))
            continue;
        c.map = strcmp(connection, "identity") ? MHC_SINKHORN : MHC_IDENTITY;
        struct arrays d = {0};
        struct save save = {0};
        int checked = 0;
        set_types(&c, &mhc_cpu64);
        for (int o = 0; o < 4; o++) {
            char name[48];
            snprintf(name, sizeof name, "%s.%s", rows_of(connection), operations[o]);
            run_named(&mhc_cpu64, name, &c, &d, &save);
        }
        for (int o = 2; o < 4; o++) {
            char name[48];
            snprintf(name, sizeof name, "%s.%s", rows_of(connection), operations[o]);
            for (const struct mhc_arg *arg = mhc_row_find(&mhc_cpu64, name)->args; arg->name; arg++)
                if (arg->direction == MHC_OUT) {
                    check_slopes(connection, &c, &d, arg->name);
                    checked++;
                }
        }
        cr_assert(checked >= 2, "%s: %d gradients were checked", connection, checked);
        free(save.bytes);
        arrays_clear(&d);
    }
}
