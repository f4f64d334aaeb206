/* Sinkhorn forward and backward (mHC Eq. 9), one thread per token; the arithmetic is kernels/maps/sinkhorn.h. Both read
 * and write each matrix once and are bound by their chain of divisions. */
#include "kernels/maps/sinkhorn.h"

enum { THREADS = 64 };

template <int N>
static __global__ void __launch_bounds__(THREADS)
    forward_kernel(int n_any, int64_t T, int64_t t_max, int v4, float eps, const float *logits, float *res) {
    const int n = STREAMS(N, n_any);
    int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (t >= T)
        return;
    float m[MATRIX(N)];
#pragma unroll
    for (int k = 0; k < n * n; k++)
        m[k] = logits[t * n * n + k];
    sinkhorn<N>(n, m, t_max, v4, eps);
#pragma unroll
    for (int k = 0; k < n * n; k++)
        res[t * n * n + k] = m[k];
}

template <int N>
static __global__ void __launch_bounds__(THREADS)
    backward_kernel(int n_any, int64_t T, int64_t t_max, int v4, float eps, const float *logits, const float *grad_res,
                    float *grad_logits) {
    const int n = STREAMS(N, n_any);
    int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (t < T)
        sinkhorn_backward<N>(n, logits + t * n * n, grad_res + t * n * n, grad_logits + t * n * n, t_max, v4, eps);
}

template <int N>
static int start_forward(struct device *d, void *queue, const struct mhc_case *c, const float *logits, float *res) {
    return CHECKED(d, LAUNCH((forward_kernel<N>), (unsigned)blocks_of(c->T, THREADS), THREADS, 0, queue, (int)c->n,
                             c->T, c->t_max, c->convention == MHC_V4, (float)c->sinkhorn_eps, logits, res));
}

template <int N>
static int start_backward(struct device *d, void *queue, const struct mhc_case *c, const float *logits,
                          const float *grad_res, float *grad_logits) {
    return CHECKED(d,
                   LAUNCH((backward_kernel<N>), (unsigned)blocks_of(c->T, THREADS), THREADS, 0, queue, (int)c->n, c->T,
                          c->t_max, c->convention == MHC_V4, (float)c->sinkhorn_eps, logits, grad_res, grad_logits));
}

int gpu_sinkhorn(struct device *d, void *queue, const struct mhc_case *c, const float *logits, float *res) {
#define CALL(T, N) start_forward<N>(d, queue, c, logits, res)
    return FOR_COUNT(c, float, CALL);
#undef CALL
}

int gpu_sinkhorn_backward(struct device *d, void *queue, const struct mhc_case *c, const float *logits,
                          const float *grad_res, float *grad_logits) {
#define CALL(T, N) start_backward<N>(d, queue, c, logits, grad_res, grad_logits)
    return FOR_COUNT(c, float, CALL);
#undef CALL
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
