/* The streaming arrows, one block per token, and the forward half of the kinds made of them.
 *
 * In the kinds an intermediate stays float, and apply_res continues the sum that apply_post began, so that x_next is
 * rounded once and has the bits of the fused post. The rows of kind micro stand alone: each rounds its result to the
 * type of the streams.
 *
 *   traffic per token, n = 4, bf16     apply_pre 10C bytes     apply_post 10C     apply_res 16C     merge 24C
 *   residual_merge 6C
 *   within a kind: apply_post 18C     apply_res and merge 32C */
#include "kernels/micro.h"

/* mixed_i = post_i y */
template <typename T, typename M, int W>
static __global__ void apply_post_kernel(int n, int C, const T *y, const float *post, M *mixed) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float in[W], out[W];
        load_channels<W>(y + t * C + c, in);
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int w = 0; w < W; w++)
                out[w] = post[t * n + i] * in[w];
            store_channels<W>(mixed + (t * n + i) * C + c, out);
        }
    }
}

/* mixed_res_i = [begun_i +] sum_j res_ij x_j, j in order */
template <typename T, int W>
static __global__ void apply_res_kernel(int n, int C, const T *x, const float *res, const float *begun, T *mixed_res) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W)
        for (int i = 0; i < n; i++) {
            float in[W], sum[W] = {};
            if (begun)
                load_channels<W>(begun + (t * n + i) * C + c, sum);
            for (int j = 0; j < n; j++) {
                load_channels<W>(x + (t * n + j) * C + c, in);
#pragma unroll
                for (int w = 0; w < W; w++)
                    sum[w] = fmaf(res[(t * n + i) * n + j], in[w], sum[w]);
            }
            store_channels<W>(mixed_res + (t * n + i) * C + c, sum);
        }
}

/* sum = a + b; a block `width` elements, those of a token */
template <typename T, int W> static __global__ void merge_kernel(int64_t width, const T *a, const T *b, T *sum) {
    int64_t first = blockIdx.x * width;
    for (int64_t k = threadIdx.x * W; k < width; k += (int64_t)blockDim.x * W) {
        float left[W], right[W];
        load_channels<W>(a + first + k, left);
        load_channels<W>(b + first + k, right);
#pragma unroll
        for (int w = 0; w < W; w++)
            left[w] += right[w];
        store_channels<W>(sum + first + k, left);
    }
}

/* --- host --- */

template <typename T, typename M, int W>
static int start_apply_post(struct device *d, void *queue, const struct mhc_case *c, const void *y, const void *post,
                            void *mixed) {
    return CHECKED(d, LAUNCH((apply_post_kernel<T, M, W>), (unsigned)c->T, token_threads(c->C, W), 0, queue, (int)c->n,
                             (int)c->C, (const T *)y, (const float *)post, (M *)mixed));
}

template <typename T, int W>
static int start_apply_res(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *res,
                           const void *begun, void *mixed_res) {
    return CHECKED(d, LAUNCH((apply_res_kernel<T, W>), (unsigned)c->T, token_threads(c->C, W), 0, queue, (int)c->n,
                             (int)c->C, (const T *)x, (const float *)res, (const float *)begun, (T *)mixed_res));
}

template <typename T, int W>
static int start_merge(struct device *d, void *queue, const struct mhc_case *c, int64_t width, const void *a,
                       const void *b, void *sum) {
    return CHECKED(d, LAUNCH((merge_kernel<T, W>), (unsigned)c->T, token_threads(width, W), 0, queue, width,
                             (const T *)a, (const T *)b, (T *)sum));
}

/* Arguments of a pre, with its parameters. */
template <typename A>
static int pre_run(struct device *d, void *queue, const struct micro *m, const A *a, const struct micro_params *params,
                   void *save) {
    return micro_coefficients(d, queue, m, a->x, params, save, a->pre, a->post, a->res) ||
           gpu_aggregate(d, queue, m->c, a->x, a->pre, a->u);
}
static int mhc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *) {
    const struct mhc_micro_pre_args *a = (const struct mhc_micro_pre_args *)arg;
    struct micro m = micro_of(c, false);
    struct micro_params params = mhc_params(&m, a);
    return pre_run(device_of(context), queue, &m, a, &params, save);
}
static int hc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *) {
    const struct hc_micro_pre_args *a = (const struct hc_micro_pre_args *)arg;
    struct micro m = micro_of(c, true);
    struct micro_params params = hc_params(&m, a);
    return pre_run(device_of(context), queue, &m, a, &params, save);
}

/* mixed goes through `work`. */
static int micro_post(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *y,
                      const void *post, const void *res, void *x_next, void *work) {
#define CALL(T, W)                                                \
    (start_apply_post<T, float, W>(d, queue, c, y, post, work) || \
     start_apply_res<T, W>(d, queue, c, x, res, work, x_next))
    return FOR_WIDTH(c, CALL);
#undef CALL
}

static int apply_post(struct device *d, void *queue, const struct mhc_case *c, const void *y, const void *post,
                      void *mixed) {
#define CALL(T, W) start_apply_post<T, T, W>(d, queue, c, y, post, mixed)
    return FOR_WIDTH(c, CALL);
#undef CALL
}
static int apply_res(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *res,
                     void *mixed_res) {
#define CALL(T, W) start_apply_res<T, W>(d, queue, c, x, res, NULL, mixed_res)
    return FOR_WIDTH(c, CALL);
#undef CALL
}
static int merge(struct device *d, void *queue, const struct mhc_case *c, int64_t width, const void *a, const void *b,
                 void *sum) {
#define CALL(T, W) start_merge<T, W>(d, queue, c, width, a, b, sum)
    return FOR_WIDTH(c, CALL);
#undef CALL
}

/* --- rows --- */

static int64_t mhc_save(const struct mhc_case *c) {
    struct micro m = micro_of(c, false);
    return micro_save_bytes(&m);
}
static int64_t hc_save(const struct mhc_case *c) {
    struct micro m = micro_of(c, true);
    return micro_save_bytes(&m);
}
static int64_t post_work(const struct mhc_case *c) { /* mixed */
    return c->T * c->n * c->C * (int64_t)sizeof(float);
}

GPU_ROW(mhc_micro_pre) = {MHC_OPERATION(mhc_micro_pre),   .implementation = "one kernel per arrow",
                          .supports = micro_supports_mhc, .save_bytes = mhc_save,
                          .tolerance = gpu_tolerance,     .run = mhc_pre_run};

GPU_ROW(hc_micro_pre) = {MHC_OPERATION(hc_micro_pre),  .implementation = "one kernel per arrow",
                         .supports = gpu_supports_res, .save_bytes = hc_save,
                         .tolerance = gpu_tolerance,   .run = hc_pre_run};

/* What an operation does with its arguments. */
#define ARROW(id, text, fits, work, does)                                                                \
    static int id##_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, \
                        void *mixed) {                                                                   \
        struct device *d = device_of(context);                                                           \
        const struct id##_args *a = (const struct id##_args *)arg;                                       \
        (void)mixed;                                                                                     \
        return does;                                                                                     \
    }                                                                                                    \
    GPU_ROW(id) = {MHC_OPERATION(id),  .implementation = text,     .supports = fits,                     \
                   .work_bytes = work, .tolerance = gpu_tolerance, .run = id##_run}

#define MICRO_POST_ROWS(id)                                                        \
    ARROW(id##_post, "one kernel per arrow", gpu_supports_res, post_work,          \
          micro_post(d, queue, c, a->x, a->y, a->post, a->res, a->x_next, mixed)); \
    ARROW(id##_post_backward_y, NULL, gpu_supports, NULL,                          \
          gpu_aggregate(d, queue, c, a->grad_x_next, a->post, a->grad_y))

MICRO_POST_ROWS(mhc_micro);
MICRO_POST_ROWS(hc_micro);
ARROW(micro_apply_pre, NULL, gpu_supports, NULL, gpu_aggregate(d, queue, c, a->x, a->pre, a->u));
ARROW(micro_apply_post, NULL, gpu_supports, NULL, apply_post(d, queue, c, a->y, a->post, a->mixed));
ARROW(micro_apply_res, NULL, gpu_supports, NULL, apply_res(d, queue, c, a->x, a->res, a->mixed_res));
ARROW(micro_merge, NULL, gpu_supports, NULL, merge(d, queue, c, c->n * c->C, a->mixed, a->mixed_res, a->x_next));
ARROW(micro_residual_merge, NULL, gpu_supports, NULL, merge(d, queue, c, c->C, a->x, a->y, a->x_next));
