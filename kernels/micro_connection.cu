/* The streaming arrows, a block a token, and the forward half of the kinds made of them.
 *
 * In the kinds an intermediate stays float, and apply_res continues the sum that apply_post began, so that x_next is rounded once and has
 * the bits of the fused post. The rows of kind micro stand alone: each rounds its result to the type of the streams.
 *
 *   traffic a token, n = 4, bf16     apply_pre 10C bytes     apply_post 10C     apply_res 16C     merge 24C     residual_merge 6C
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

static int pre_run(struct device *d, void *queue, const struct micro *m, void *const a[], int outputs, void *save) {
    return micro_coefficients(d, queue, m, a[0], a + 1, save, (float *)a[outputs + 1], (float *)a[outputs + 2],
                              (float *)a[outputs + 3]) ||
           gpu_aggregate(d, queue, m->c, a[0], (const float *)a[outputs + 1], a[outputs]);
}
static int mhc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *) {
    struct micro m = micro_of(c, false);
    return pre_run(device_of(context), queue, &m, a, 4, save);
}
static int hc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *) {
    struct micro m = micro_of(c, true);
    return pre_run(device_of(context), queue, &m, a, 8, save);
}

static int post_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *work) {
    struct device *d = device_of(context);
#define CALL(T, W)                                                   \
    (start_apply_post<T, float, W>(d, queue, c, a[1], a[2], work) || \
     start_apply_res<T, W>(d, queue, c, a[0], a[3], work, a[4]))
    return FOR_WIDTH(c, CALL);
#undef CALL
}

static int apply_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *) {
    return gpu_aggregate(device_of(context), queue, c, a[0], (const float *)a[1], a[2]);
}
static int apply_post_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *) {
#define CALL(T, W) start_apply_post<T, T, W>(device_of(context), queue, c, a[0], a[1], a[2])
    return FOR_WIDTH(c, CALL);
#undef CALL
}
static int apply_res_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *) {
#define CALL(T, W) start_apply_res<T, W>(device_of(context), queue, c, a[0], a[1], NULL, a[2])
    return FOR_WIDTH(c, CALL);
#undef CALL
}
static int merge_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *) {
#define CALL(T, W) start_merge<T, W>(device_of(context), queue, c, c->n * c->C, a[0], a[1], a[2])
    return FOR_WIDTH(c, CALL);
#undef CALL
}
static int residual_merge_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *) {
#define CALL(T, W) start_merge<T, W>(device_of(context), queue, c, c->C, a[0], a[1], a[2])
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

static double mhc_pre_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(column_count((int)c->n, false) + 2);
}
static double hc_pre_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(c->n + 4);
}
static double apply_post_flops(const struct mhc_case *c) {
    return (double)(c->T * c->n * c->C);
}
static double apply_res_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)c->n;
}
static double residual_merge_flops(const struct mhc_case *c) {
    return (double)(c->T * c->C);
}

GPU_ROW(mhc_micro_pre) = {MHC_OPERATION(mhc_micro_pre), .variant = "a kernel an arrow",
                          .supports = gpu_supports_sinkhorn,
                          .save_bytes = mhc_save,
                          .tolerance = gpu_tolerance,
                          .run = mhc_pre_run};

GPU_ROW(hc_micro_pre) = {MHC_OPERATION(hc_micro_pre), .variant = "a kernel an arrow",
                         .supports = gpu_supports,
                         .save_bytes = hc_save,
                         .tolerance = gpu_tolerance,
                         .run = hc_pre_run};

#define MICRO_POST_ROWS(id, kind)                                                 \
    GPU_ROW(id##_micro_post) = {.name = kind "-micro.post",                       \
                                .variant = "a kernel an arrow",                   \
                                .args = POST_ARGS,                                \
                                .supports = gpu_supports,                         \
                                .work_bytes = post_work,                          \
                                .flops = gpu_post_flops,                          \
                                .tolerance = gpu_tolerance,                       \
                                .run = post_run};                                 \
    GPU_ROW(id##_micro_post_backward_y) = {.name = kind "-micro.post_backward_y", \
                                           .args = POST_BACKWARD_Y_ARGS,          \
                                           .supports = gpu_supports,              \
                                           .flops = gpu_aggregate_flops,          \
                                           .tolerance = gpu_tolerance,            \
                                           .run = gpu_post_backward_y}

MICRO_POST_ROWS(mhc, "mhc");
MICRO_POST_ROWS(hc, "hc");

/* One arrow: arguments behind the function that runs it. */
#define ARROW(id, text, run_arrow, count_flops, ...)   \
    GPU_ROW(micro_##id) = {.name = "micro." text,      \
                           .args = {__VA_ARGS__},      \
                           .supports = gpu_supports,   \
                           .flops = count_flops,       \
                           .tolerance = gpu_tolerance, \
                           .run = run_arrow}

ARROW(apply_pre, "apply_pre", apply_pre_run, gpu_aggregate_flops, {"x", "TnC", MHC_STREAM, MHC_IN},
      {"pre", "Tn", MHC_COEF, MHC_IN}, {"u", "TC", MHC_STREAM, MHC_OUT});
ARROW(apply_post, "apply_post", apply_post_run, apply_post_flops, {"y", "TC", MHC_STREAM, MHC_IN},
      {"post", "Tn", MHC_COEF, MHC_IN}, {"mixed", "TnC", MHC_STREAM, MHC_OUT});
ARROW(apply_res, "apply_res", apply_res_run, apply_res_flops, {"x", "TnC", MHC_STREAM, MHC_IN},
      {"res", "Tnn", MHC_COEF, MHC_IN}, {"mixed_res", "TnC", MHC_STREAM, MHC_OUT});
ARROW(merge, "merge", merge_run, apply_post_flops, {"mixed", "TnC", MHC_STREAM, MHC_IN},
      {"mixed_res", "TnC", MHC_STREAM, MHC_IN}, {"x_next", "TnC", MHC_STREAM, MHC_OUT});
ARROW(residual_merge, "residual_merge", residual_merge_run, residual_merge_flops, {"x", "TC", MHC_STREAM, MHC_IN},
      {"y", "TC", MHC_STREAM, MHC_IN}, {"x_next", "TC", MHC_STREAM, MHC_OUT});
