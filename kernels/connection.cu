/* x_next = res.x + post^T.y and grad_y = post.grad_x_next: streams pass through once.
 * One block handles one token, and a load takes 16 bytes.
 *
 *   traffic per token, n = 4, bf16     post 18C bytes     aggregate, post_backward_y 10C */
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

int gpu_aggregate(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *pre, void *u) {
#define CALL(T, N) start_aggregate<T, N>(d, queue, c, x, (const float *)pre, u)
    return FOR_STREAMS(c, CALL);
#undef CALL
}

int gpu_post(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *y, const void *post,
             const void *res, void *x_next) {
#define CALL(T, N)                                                                          \
    (c->map == MHC_IDENTITY ? start_post<T, N, true>(d, queue, c, x, y, post, NULL, x_next) \
                            : start_post<T, N, false>(d, queue, c, x, y, post, res, x_next))
    return FOR_STREAMS(c, CALL);
#undef CALL
}

/* Every connection with coefficients has these two rows. */
#define CONNECTION_ROWS(id, fits)                                                                                \
    static int id##_post_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,    \
                             void *) {                                                                           \
        const struct id##_post_args *a = (const struct id##_post_args *)arg;                                     \
        return gpu_post(device_of(context), queue, c, a->x, a->y, a->post, a->res, a->x_next);                   \
    }                                                                                                            \
    static int id##_post_backward_y_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], \
                                        void *, void *) {                                                        \
        const struct id##_post_backward_y_args *a = (const struct id##_post_backward_y_args *)arg;               \
        return gpu_aggregate(device_of(context), queue, c, a->grad_x_next, a->post, a->grad_y);                  \
    }                                                                                                            \
    GPU_ROW(id##_post) = {MHC_OPERATION(id##_post), .supports = fits, .tolerance = gpu_tolerance,                \
                          .run = id##_post_run};                                                                 \
    GPU_ROW(id##_post_backward_y) = {MHC_OPERATION(id##_post_backward_y), .supports = gpu_supports,              \
                                     .tolerance = gpu_tolerance, .run = id##_post_backward_y_run}

CONNECTION_ROWS(mhc, gpu_supports);
CONNECTION_ROWS(hc, gpu_supports_res);
CONNECTION_ROWS(static, gpu_supports_res);
