/* The residual maps as operations of their own: map.* of any map, sinkhorn.* of Sinkhorn-Knopp (mHC Eq. 9). */
#include "kernels/maps/sinkhorn.h"

int gpu_sinkhorn(struct device *d, void *queue, const struct mhc_case *c, const float *logits, float *res) {
    return sinkhorn_kernels.forward(d, queue, c, logits, res);
}

int gpu_sinkhorn_backward(struct device *d, void *queue, const struct mhc_case *c, const float *logits,
                          const float *grad_res, float *grad_logits) {
    return sinkhorn_kernels.backward(d, queue, c, logits, grad_res, grad_logits);
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct sinkhorn_forward_args *a = (const struct sinkhorn_forward_args *)arg;
    return gpu_sinkhorn(device_of(context), queue, c, (const float *)a->logits, (float *)a->res);
}
static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct sinkhorn_backward_args *a = (const struct sinkhorn_backward_args *)arg;
    return gpu_sinkhorn_backward(device_of(context), queue, c, (const float *)a->logits, (const float *)a->grad_res,
                                 (float *)a->grad_logits);
}

/* Coefficients are float whatever the streams are. */
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return 1e-3;
}

/* A matrix has no channels. */
static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case matrices = *c;
    matrices.C = 1;
    return gpu_supports_sinkhorn(&matrices, why);
}

GPU_ROW(sinkhorn_row_forward) = {MHC_OPERATION(sinkhorn_forward), .supports = supports, .tolerance = tolerance,
                                 .run = forward};

GPU_ROW(sinkhorn_row_backward) = {MHC_OPERATION(sinkhorn_backward), .supports = supports, .tolerance = tolerance,
                                  .run = backward};

static int forward_of_map(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct map_forward_args *a = (const struct map_forward_args *)arg;
    return gpu_map_of(c)->forward(device_of(context), queue, c, (const float *)a->logits, (float *)a->res);
}
static int backward_of_map(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct map_backward_args *a = (const struct map_backward_args *)arg;
    return gpu_map_of(c)->backward(device_of(context), queue, c, (const float *)a->logits, (const float *)a->grad_res,
                                   (float *)a->grad_logits);
}

static bool supports_map(const struct mhc_case *c, const char **why) {
    struct mhc_case matrices = *c;
    matrices.C = 1;
    if (c->map == MHC_IDENTITY)
        return *why = "the identity has no logits and stands nowhere: there is nothing to compute", false;
    return gpu_supports_mhc(&matrices, why);
}

GPU_ROW(map_row_forward) = {MHC_OPERATION(map_forward), .supports = supports_map, .tolerance = tolerance,
                            .run = forward_of_map};

GPU_ROW(map_row_backward) = {MHC_OPERATION(map_backward), .supports = supports_map, .tolerance = tolerance,
                             .run = backward_of_map};
