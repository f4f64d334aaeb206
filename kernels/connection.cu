/* x_next = res.x + post^T.y and grad_y = post.grad_x_next: streams pass through once, a block a token, 16 bytes a load.
 *
 *   traffic a token, n = 4, bf16     post 18C bytes     aggregate, post_backward_y 10C */
#include "kernels/connection.h"

template <typename T, int N, int W, bool IDENTITY>
static __global__ void post_kernel(int n_any, int C, const T *x, const T *y, const float *post, const float *res,
                                   T *x_next) {
    int n = STREAMS(N, n_any);
    int64_t t = blockIdx.x;
    float p[ROOM(N)], m[ROOM(N) * ROOM(N)];
    for (int i = 0; i < n; i++)
        p[i] = post[t * n + i];
    for (int k = 0; k < n * n && !IDENTITY; k++)
        m[k] = res[t * n * n + k];
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float in[ROOM(N)][W], branch[W], next[W];
#pragma unroll
        for (int i = 0; i < ROOM(N); i++)
            if (i < n)
                load_channels<W>(x + (t * n + i) * C + c, in[i]);
        load_channels<W>(y + t * C + c, branch);
#pragma unroll
        for (int i = 0; i < ROOM(N); i++)
            if (i < n) {
                combine<N, W>(n, in, branch, p, IDENTITY ? NULL : m, i, next);
                store_channels<W>(x_next + (t * n + i) * C + c, next);
            }
    }
}

template <typename T, int N, int W>
static __global__ void aggregate_kernel(int n_any, int C, const T *x, const float *a, T *sum) {
    int n = STREAMS(N, n_any);
    int64_t t = blockIdx.x;
    float weight[ROOM(N)];
    for (int i = 0; i < n; i++)
        weight[i] = a[t * n + i];
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float in[ROOM(N)][W], out[W];
#pragma unroll
        for (int i = 0; i < ROOM(N); i++)
            if (i < n)
                load_channels<W>(x + (t * n + i) * C + c, in[i]);
        aggregate<N, W>(n, in, weight, out);
        store_channels<W>(sum + t * C + c, out);
    }
}

template <typename T, int N, bool IDENTITY>
static int start_post(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *y,
                      const void *post, const void *res, void *x_next) {
    int n = (int)c->n, C = (int)c->C;
    if (N && C % OCTET == 0)
        return CHECKED(d, LAUNCH((post_kernel<T, N, (N ? OCTET : 1), IDENTITY>), (unsigned)c->T,
                                 token_threads(C, OCTET), 0, queue, n, C, (const T *)x, (const T *)y,
                                 (const float *)post, (const float *)res, (T *)x_next));
    return CHECKED(d, LAUNCH((post_kernel<T, N, 1, IDENTITY>), (unsigned)c->T, token_threads(C, 1), 0, queue, n, C,
                             (const T *)x, (const T *)y, (const float *)post, (const float *)res, (T *)x_next));
}

template <typename T, int N>
static int start_aggregate(struct device *d, void *queue, const struct mhc_case *c, const void *x, const float *a,
                           void *sum) {
    int n = (int)c->n, C = (int)c->C;
    if (N && C % OCTET == 0)
        return CHECKED(d, LAUNCH((aggregate_kernel<T, N, (N ? OCTET : 1)>), (unsigned)c->T, token_threads(C, OCTET), 0,
                                 queue, n, C, (const T *)x, a, (T *)sum));
    return CHECKED(d, LAUNCH((aggregate_kernel<T, N, 1>), (unsigned)c->T, token_threads(C, 1), 0, queue, n, C,
                             (const T *)x, a, (T *)sum));
}

int gpu_aggregate(struct device *d, void *queue, const struct mhc_case *c, const void *x, const float *pre, void *u) {
#define CALL(T, N) start_aggregate<T, N>(d, queue, c, x, pre, u)
    return FOR_STREAMS(c, CALL);
#undef CALL
}

int gpu_post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
#define CALL(T, N) start_post<T, N, false>(device_of(context), queue, c, arg[0], arg[1], arg[2], arg[3], arg[4])
    return FOR_STREAMS(c, CALL);
#undef CALL
}

int gpu_post_identity(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
#define CALL(T, N) start_post<T, N, true>(device_of(context), queue, c, arg[0], arg[1], arg[2], NULL, arg[3])
    return FOR_STREAMS(c, CALL);
#undef CALL
}

int gpu_post_backward_y(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    return gpu_aggregate(device_of(context), queue, c, arg[0], (const float *)arg[1], arg[2]);
}

double gpu_post_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)(c->n * c->n + c->n);
}

double gpu_aggregate_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)c->n;
}

/* Every kind with coefficients has these rows under its own name. */
#define CONNECTION_ROWS(id, kind)                     \
    GPU_ROW(id##_post) = {.name = kind ".post",       \
                          .args = POST_ARGS,          \
                          .supports = gpu_supports,   \
                          .flops = gpu_post_flops,    \
                          .tolerance = gpu_tolerance, \
                          .run = gpu_post};           \
    BACKWARD_Y_ROW(id, kind)
#define BACKWARD_Y_ROW(id, kind)                                      \
    GPU_ROW(id##_post_backward_y) = {.name = kind ".post_backward_y", \
                                     .args = POST_BACKWARD_Y_ARGS,    \
                                     .supports = gpu_supports,        \
                                     .flops = gpu_aggregate_flops,    \
                                     .tolerance = gpu_tolerance,      \
                                     .run = gpu_post_backward_y}

CONNECTION_ROWS(mhc, "mhc");
CONNECTION_ROWS(hc, "hc");
CONNECTION_ROWS(hc_static, "hc-static");
BACKWARD_Y_ROW(identity, "identity");

GPU_ROW(identity_post) = {MHC_OPERATION(identity_post), .supports = gpu_supports,
                          .tolerance = gpu_tolerance,
                          .run = gpu_post_identity};
