/* The products of a branch as rows of their own: a weight w [C][hidden], here in the type of the streams, and its two gradients. */
#include "kernels/branch.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return gpu_supports(c, why);
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    return product(device_of(context), queue, c, T, H, C, arg[0], C, arg[1], H, arg[2], H);
}

static int backward_input(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    return product_back(device_of(context), queue, c, T, C, H, arg[0], H, arg[1], H, arg[2], C);
}

static int backward_weight(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    return product_weight(device_of(context), queue, c, C, H, T, arg[0], C, arg[1], H, arg[2]);
}

static double flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)c->hidden;
}

GPU_ROW(gemm_forward) = {
    MHC_OPERATION(gemm_forward), .supports = supports,
    .tolerance = gpu_tolerance,
    .run = forward};

GPU_ROW(gemm_backward_input) = {MHC_OPERATION(gemm_backward_input), .supports = supports,
                                .tolerance = gpu_tolerance,
                                .run = backward_input};

GPU_ROW(gemm_backward_weight) = {MHC_OPERATION(gemm_backward_weight), .supports = supports,
                                 .tolerance = gpu_tolerance,
                                 .run = backward_weight};
