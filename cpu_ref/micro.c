/* The arrows of the paper's Table 2, one operation each, as the oracle of the kind `micro`: what the fused operations do in one go,
 * with every intermediate array where it can be looked at.
 *
 *   coefficients   x, params -> pre, post, res        apply_pre   u = pre.x             apply_post   mixed_i = post_i y
 *   apply_res      mixed_res = res.x                  merge       x_next = mixed + mixed_res
 *   residual_merge x_next = x + y, the ResNet's whole connection */
#include "cpu_ref/connection.h"
#include "cpu_ref/sinkhorn.h"

extern const struct mhc_row NAME(mhc_pre), NAME(hc_pre);

static int64_t rounded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}
static int64_t bytes_of(int64_t (*bytes)(const struct mhc_case *), const struct mhc_case *c) {
    return bytes ? rounded(bytes(c)) : 0;
}

/* `pre` of a kind without its u, which goes to scratch behind work; u is argument `at` of it. What it keeps is kept here too, so that the
 * kind's own backward can follow. */
static int64_t coefficients_work(const struct mhc_row *pre, const struct mhc_case *c) {
    return bytes_of(pre->work_bytes, c) + c->T * c->C * (int64_t)sizeof(real);
}
static int coefficients(const struct mhc_row *pre, int at, const struct mhc_case *c, void *const arg[], void *save,
                        void *work) {
    void *all[MHC_MAX_ARGS];
    memcpy(all, arg, (size_t)at * sizeof *all);
    all[at] = (char *)work + bytes_of(pre->work_bytes, c);
    memcpy(all + at + 1, arg + at, 3 * sizeof *all);
    return pre->run(NULL, NULL, c, all, save, work);
}

static int64_t mhc_work(const struct mhc_case *c) {
    return coefficients_work(&NAME(mhc_pre), c);
}
static int64_t hc_work(const struct mhc_case *c) {
    return coefficients_work(&NAME(hc_pre), c);
}
static int64_t mhc_save(const struct mhc_case *c) {
    return NAME(mhc_pre).save_bytes(c);
}
static int64_t hc_save(const struct mhc_case *c) {
    return NAME(hc_pre).save_bytes(c);
}
static int mhc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue;
    return coefficients(&NAME(mhc_pre), 4, c, arg, save, work);
}
static int hc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue;
    return coefficients(&NAME(hc_pre), 8, c, arg, save, work);
}

static int apply_post_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                          void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const real *y = arg[0], *post = arg[1];
    real *mixed = arg[2];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < c->T * c->n; row++)
        for (int64_t k = 0; k < c->C; k++)
            mixed[row * c->C + k] = post[row] * y[row / c->n * c->C + k];
    return 0;
}

/* A row of res weighs the streams as pre does. */
static int apply_res_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                         void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const real *x = arg[0], *res = arg[1];
    real *mixed_res = arg[2];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < c->T * c->n; row++)
        NAME(aggregate)(c->n, c->C, x + row / c->n * c->n * c->C, res + row * c->n, mixed_res + row * c->C);
    return 0;
}

static void add(int64_t count, const real *a, const real *b, real *sum) {
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < count; k++)
        sum[k] = a[k] + b[k];
}
static int merge_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    add(c->T * c->n * c->C, arg[0], arg[1], arg[2]);
    return 0;
}
static int residual_merge_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                              void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    add(c->T * c->C, arg[0], arg[1], arg[2]);
    return 0;
}

static double mhc_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(c->n * c->n + 2 * c->n + 1);
}
static double hc_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(c->n + 3);
}
static double apply_res_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)c->n;
}
static double element_flops(const struct mhc_case *c) {
    return (double)(c->T * c->n * c->C);
}
static double residual_merge_flops(const struct mhc_case *c) {
    return (double)(c->T * c->C);
}

const struct mhc_row NAME(micro_coefficients_mhc) = {
    MHC_OPERATION(micro_coefficients_mhc), .supports = NAME(sinkhorn_supports),
    .save_bytes = mhc_save,
    .work_bytes = mhc_work,
    .tolerance = NAME(tolerance),
    .run = mhc_run,
};

const struct mhc_row NAME(micro_coefficients_hc) = {
    MHC_OPERATION(micro_coefficients_hc), .supports = NAME(supports),
    .save_bytes = hc_save,
    .work_bytes = hc_work,
    .tolerance = NAME(tolerance),
    .run = hc_run,
};

/* u = pre.x and grad_y = post.grad_x_next are one function under two names. */
const struct mhc_row NAME(micro_apply_pre) = {
    MHC_OPERATION(micro_apply_pre), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = NAME(post_backward_y_run),
};

const struct mhc_row NAME(micro_apply_post) = {
    MHC_OPERATION(micro_apply_post), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = apply_post_run,
};

const struct mhc_row NAME(micro_apply_res) = {
    MHC_OPERATION(micro_apply_res), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = apply_res_run,
};

const struct mhc_row NAME(micro_merge) = {
    MHC_OPERATION(micro_merge), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = merge_run,
};

const struct mhc_row NAME(micro_residual_merge) = {
    MHC_OPERATION(micro_residual_merge), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = residual_merge_run,
};
