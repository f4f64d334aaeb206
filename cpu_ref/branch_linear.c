/* Branch `linear`: y = RMSNorm(u).w. Keeps nothing: the backward normalises again. */
#include "cpu_ref/branch.h"

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save;
    real *v = work, *r = v + c->T * c->C;
    NAME(normalise)(c, arg[0], arg[1], r, v);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, c->T, c->C, c->C, 1, v, c->C, arg[2], c->C, 0, arg[3], c->C);
    return 0;
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save;
    const real *u = arg[0], *gain = arg[1], *w = arg[2], *grad_y = arg[3];
    int64_t T = c->T, C = c->C;
    real *v = work, *grad_v = v + T * C, *r = grad_v + T * C;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, C, T, 1, v, C, grad_y, C, 0, arg[6], C);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, C, 1, grad_y, C, w, C, 0, grad_v, C);
    NAME(normalise_backward)(c, u, gain, r, grad_v, NULL, arg[4], arg[5]);
    return 0;
}

static int64_t forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (c->C + 1);
}
static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (2 * c->C + 1);
}
static double forward_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)(c->C + 2);
}
static double backward_flops(const struct mhc_case *c) {
    return 4.0 * (double)(c->T * c->C) * (double)(c->C + 3);
}

const struct mhc_row NAME(linear_forward) = {
    MHC_OPERATION(linear_forward), .supports = NAME(supports),
    .work_bytes = forward_work,
    .tolerance = NAME(tolerance),
    .run = forward,
};

const struct mhc_row NAME(linear_backward) = {
    MHC_OPERATION(linear_backward), .supports = NAME(supports),
    .work_bytes = backward_work,
    .tolerance = NAME(tolerance),
    .run = backward,
};
