/* The products of a branch as rows of their own: a weight w [C][hidden], here in the type of the streams, and its two
 * gradients. */
#include "kernels/branch.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return gpu_supports(c, why);
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    const struct gemm_forward_args *a = (const struct gemm_forward_args *)arg;
    return product(device_of(context), queue, c, T, H, C, a->a, C, a->w, H, a->product, H);
}

static int backward_input(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    const struct gemm_backward_input_args *a = (const struct gemm_backward_input_args *)arg;
    return product_back(device_of(context), queue, c, T, C, H, a->grad_product, H, a->w, H, a->grad_a, C);
}

static int backward_weight(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    int64_t T = c->T, C = c->C, H = c->hidden;
    const struct gemm_backward_weight_args *a = (const struct gemm_backward_weight_args *)arg;
    return product_weight(device_of(context), queue, c, C, H, T, a->a, C, a->grad_product, H, a->grad_w);
}

GPU_ROW(gemm_forward) = {MHC_OPERATION(gemm_forward), .supports = supports, .tolerance = gpu_tolerance, .run = forward};

GPU_ROW(gemm_backward_input) = {MHC_OPERATION(gemm_backward_input), .supports = supports, .tolerance = gpu_tolerance,
                                .run = backward_input};

GPU_ROW(gemm_backward_weight) = {MHC_OPERATION(gemm_backward_weight), .supports = supports, .tolerance = gpu_tolerance,
                                 .run = backward_weight};
