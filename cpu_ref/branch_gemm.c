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
    MHC_OPERATION(gemm_forward), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = forward,
};

const struct mhc_row NAME(gemm_backward_input) = {
    MHC_OPERATION(gemm_backward_input), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = backward_input,
};

const struct mhc_row NAME(gemm_backward_weight) = {
    MHC_OPERATION(gemm_backward_weight), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = backward_weight,
};
