/* Branch `linear`: y = RMSNorm(u).w. Keeps nothing: the backward normalises again. */
#include "cpu_ref/branch.h"

RUN(linear_forward) {
    real *v = work, *r = v + c->T * c->C;
    NAME(normalise)(c, a->u, a->gain, r, v);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, c->T, c->C, c->C, 1, v, c->C, a->w, c->C, 0, a->y, c->C);
    return 0;
}

RUN(linear_backward) {
    const real *u = a->u, *gain = a->gain, *w = a->w, *grad_y = a->grad_y;
    int64_t T = c->T, C = c->C;
    real *v = work, *grad_v = v + T * C, *r = grad_v + T * C;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, C, T, 1, v, C, grad_y, C, 0, a->grad_w, C);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, C, 1, grad_y, C, w, C, 0, grad_v, C);
    NAME(normalise_backward)(c, u, gain, r, grad_v, NULL, a->grad_u, a->grad_gain);
    return 0;
}

static int64_t forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (c->C + 1);
}
static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (2 * c->C + 1);
}

const struct mhc_row NAME(linear_forward) = {
    MHC_OPERATION(linear_forward), .supports = NAME(supports), .work_bytes = forward_work,
    .tolerance = NAME(tolerance),  .run = linear_forward_run,
};

const struct mhc_row NAME(linear_backward) = {
    MHC_OPERATION(linear_backward), .supports = NAME(supports), .work_bytes = backward_work,
    .tolerance = NAME(tolerance),   .run = linear_backward_run,
};
