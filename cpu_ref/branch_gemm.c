/* The products of a branch as rows of their own: a weight w [C][hidden], here in the type of the streams, and its two
 * gradients. */
#include "cpu_ref/real.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

RUN(gemm_forward) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, a->a, C, a->w, H, 0, a->product, H);
    return 0;
}

RUN(gemm_backward_input) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, a->grad_product, H, a->w, H, 0, a->grad_a, C);
    return 0;
}

RUN(gemm_backward_weight) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, a->a, C, a->grad_product, H, 0, a->grad_w, H);
    return 0;
}

const struct mhc_row NAME(gemm_forward) = {
    MHC_OPERATION(gemm_forward),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = gemm_forward_run,
};

const struct mhc_row NAME(gemm_backward_input) = {
    MHC_OPERATION(gemm_backward_input),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = gemm_backward_input_run,
};

const struct mhc_row NAME(gemm_backward_weight) = {
    MHC_OPERATION(gemm_backward_weight),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = gemm_backward_weight_run,
};
