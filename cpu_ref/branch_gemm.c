/* The products of a branch as rows of their own: a weight w [C][hidden], here in the type of the streams, and its two gradients. */
#include "cpu_ref/real.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, arg[0], C, arg[1], H, 0, arg[2], H);
    return 0;
}

static int backward_input(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                          void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, arg[0], H, arg[1], H, 0, arg[2], C);
    return 0;
}

static int backward_weight(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                           void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    int64_t T = c->T, C = c->C, H = c->hidden;
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, arg[0], C, arg[1], H, 0, arg[2], H);
    return 0;
}

static double flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)c->hidden;
}

const struct mhc_row NAME(gemm_forward) = {
    .name = "gemm.forward",
    .args = {{"a", "TC", MHC_STREAM, MHC_IN}, {"w", "CH", MHC_STREAM, MHC_IN}, {"product", "TH", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = flops,
    .tolerance = NAME(tolerance),
    .run = forward,
};

const struct mhc_row NAME(gemm_backward_input) = {
    .name = "gemm.backward_input",
    .args = {{"grad_product", "TH", MHC_STREAM, MHC_IN},
             {"w", "CH", MHC_STREAM, MHC_IN},
             {"grad_a", "TC", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = flops,
    .tolerance = NAME(tolerance),
    .run = backward_input,
};

const struct mhc_row NAME(gemm_backward_weight) = {
    .name = "gemm.backward_weight",
    .args = {{"a", "TC", MHC_STREAM, MHC_IN},
             {"grad_product", "TH", MHC_STREAM, MHC_IN},
             {"grad_w", "CH", MHC_PARAM, MHC_OUT}},
    .supports = supports,
    .flops = flops,
    .tolerance = NAME(tolerance),
    .run = backward_weight,
};
