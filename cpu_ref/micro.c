/* The arrows of the paper's Table 2, one operation each, as the oracle of the kind `micro`: what the fused operations
 * do in one go, with every intermediate array where it can be looked at.
 *
 *   coefficients   x, params -> pre, post, res        apply_pre   u = pre.x             apply_post   mixed_i = post_i y
 *   apply_res      mixed_res = res.x                  merge       x_next = mixed + mixed_res
 *   residual_merge x_next = x + y, the ResNet's whole connection */
#include "cpu_ref/connection.h"
#include "cpu_ref/maps/map.h"

extern const struct mhc_row NAME(mhc_pre), NAME(hc_pre);

static int64_t rounded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}
static int64_t bytes_of(int64_t (*bytes)(const struct mhc_case *), const struct mhc_case *c) {
    return bytes ? rounded(bytes(c)) : 0;
}

/* `pre` of a kind without its u, which goes to scratch behind work. What it keeps is kept here too, so that the
 * kind's own backward can follow. */
static int64_t coefficients_work(const struct mhc_row *pre, const struct mhc_case *c) {
    return bytes_of(pre->work_bytes, c) + c->T * c->C * (int64_t)sizeof(real);
}
static void *scratch(const struct mhc_row *pre, const struct mhc_case *c, void *work) {
    return (char *)work + bytes_of(pre->work_bytes, c);
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

static bool hc_supports(const struct mhc_case *c, const char **why) {
    return NAME(hc_pre).supports(c, why);
}

RUN(micro_coefficients_mhc) {
    const struct mhc_pre_args pre = {
        .x = a->x,
        .phi = a->phi,
        .b = a->b,
        .alpha = a->alpha,
        .u = scratch(&NAME(mhc_pre), c, work),
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
    };
    return RUN_ROW(mhc_pre, c, &pre, save, work);
}

RUN(micro_coefficients_hc) {
    const struct hc_pre_args pre = {
        .x = a->x,
        .theta_pre = a->theta_pre,
        .theta_post = a->theta_post,
        .theta_res = a->theta_res,
        .b_pre = a->b_pre,
        .b_post = a->b_post,
        .b_res = a->b_res,
        .alpha = a->alpha,
        .u = scratch(&NAME(hc_pre), c, work),
        .pre = a->pre,
        .post = a->post,
        .res = a->res,
    };
    return RUN_ROW(hc_pre, c, &pre, save, work);
}

RUN(micro_apply_pre) {
    NAME(weigh_streams)(c, a->x, a->pre, a->u);
    return 0;
}

RUN(micro_apply_post) {
    const real *y = a->y, *post = a->post;
    real *mixed = a->mixed;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < c->T * c->n; row++)
        for (int64_t k = 0; k < c->C; k++)
            mixed[row * c->C + k] = post[row] * y[row / c->n * c->C + k];
    return 0;
}

/* A row of res weighs the streams as pre does. */
RUN(micro_apply_res) {
    const real *x = a->x, *res = a->res;
    real *mixed_res = a->mixed_res;
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
RUN(micro_merge) {
    add(c->T * c->n * c->C, a->mixed, a->mixed_res, a->x_next);
    return 0;
}
RUN(micro_residual_merge) {
    add(c->T * c->C, a->x, a->y, a->x_next);
    return 0;
}

const struct mhc_row NAME(micro_coefficients_mhc) = {
    MHC_OPERATION(micro_coefficients_mhc),
    .supports = NAME(map_supports),
    .save_bytes = mhc_save,
    .work_bytes = mhc_work,
    .tolerance = NAME(tolerance),
    .run = micro_coefficients_mhc_run,
};

const struct mhc_row NAME(micro_coefficients_hc) = {
    MHC_OPERATION(micro_coefficients_hc),
    .supports = hc_supports,
    .save_bytes = hc_save,
    .work_bytes = hc_work,
    .tolerance = NAME(tolerance),
    .run = micro_coefficients_hc_run,
};

const struct mhc_row NAME(micro_apply_pre) = {
    MHC_OPERATION(micro_apply_pre),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = micro_apply_pre_run,
};

const struct mhc_row NAME(micro_apply_post) = {
    MHC_OPERATION(micro_apply_post),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = micro_apply_post_run,
};

const struct mhc_row NAME(micro_apply_res) = {
    MHC_OPERATION(micro_apply_res),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = micro_apply_res_run,
};

const struct mhc_row NAME(micro_merge) = {
    MHC_OPERATION(micro_merge),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = micro_merge_run,
};

const struct mhc_row NAME(micro_residual_merge) = {
    MHC_OPERATION(micro_residual_merge),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = micro_residual_merge_run,
};
