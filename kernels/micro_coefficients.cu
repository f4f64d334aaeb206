/* From streams to coefficients: norm, product, coefficients, Sinkhorn, a kernel each.
 *
 *   r = sqrt(mean(x^2) + rms_eps)     product = x.weights / r     then kernels/coefficients.h
 *
 *   traffic per token, n = 4, bf16     norm 8C bytes     product 8C and the weights, from L2, for every
 * MICRO_ROWS rows */
#include "kernels/micro.h"

/* One warp per row. The largest element is taken out first: no square over- or underflows. */
template <typename T> static __global__ void norm_kernel(int64_t rows, int64_t K, float eps, const T *x, float *r) {
    int64_t row = (int64_t)blockIdx.x * MICRO_WARPS + threadIdx.x / WARP;
    if (row >= rows)
        return;
    x += row * K;
    float largest = 0, sum = 0;
    for (int64_t k = threadIdx.x % WARP; k < K; k += WARP) {
        float size = fabsf(to_float(x[k]));
        largest = size > largest || size != size ? size : largest; /* a NaN stays */
    }
    for (int step = WARP / 2; step; step /= 2) {
        float other = shuffle_xor(largest, step);
        largest = other > largest || other != other ? other : largest;
    }
    for (int64_t k = threadIdx.x % WARP; k < K; k += WARP) {
        float part = largest == 0 ? 0 : to_float(x[k]) / largest;
        sum = fmaf(part, part, sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        r[row] = hypotf(largest * sqrtf(sum / (float)K), sqrtf(eps));
}

/* A block MICRO_ROWS rows and 32 columns: lane = column, each warp a share of the channels, the shares
 * summed in order. */
template <typename T>
static __global__ void product_kernel(int64_t rows, int64_t K, struct weights weights, const T *x, const float *r,
                                      float *product) {
    float *share = (float *)shared_memory(); /* [warp][row][lane] */
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, column = (int)blockIdx.y * WARP + lane;
    int64_t first = (int64_t)blockIdx.x * MICRO_ROWS;
    float sum[MICRO_ROWS] = {};
    for (int64_t k = warp; k < K; k += MICRO_WARPS) {
        float w = column < weights.columns ? *weight_at(&weights, k, column) : 0;
#pragma unroll
        for (int row = 0; row < MICRO_ROWS; row++)
            if (first + row < rows)
                sum[row] = fmaf(to_float(x[(first + row) * K + k]), w, sum[row]);
    }
#pragma unroll
    for (int row = 0; row < MICRO_ROWS; row++)
        share[(warp * MICRO_ROWS + row) * WARP + lane] = sum[row];
    __syncthreads();
    int64_t row = first + warp; /* as many warps as rows */
    if (row >= rows || column >= weights.columns)
        return;
    float total = share[warp * WARP + lane];
    for (int k = 1; k < MICRO_WARPS; k++)
        total += share[(k * MICRO_ROWS + warp) * WARP + lane];
    product[row * weights.columns + column] = normalised(total, r[row]);
}

/* A thread a coefficient; of res only the logits. */
static __global__ void mhc_kernel(struct coefficients s, int64_t count, const float *product, const float *b,
                                  const float *alpha, float *pre, float *post, float *logits) {
    int64_t at = (int64_t)blockIdx.x * MICRO_THREADS + threadIdx.x;
    if (at >= count)
        return;
    int n = s.n, columns = column_count<sinkhorn_map>(n), k = (int)(at % columns);
    int64_t t = at / columns;
    product += t * columns;
    if (k < n)
        pre[t * n + k] = mhc_pre_of(s, k, product[k], b, alpha);
    else if (k < 2 * n)
        post[t * n + k - n] = mhc_post_of(s, k - n, product[k], b, alpha);
    else
        logits[t * n * n + k - 2 * n] = mhc_res_logit(s, k - 2 * n, product, b, alpha);
}

static __global__ void logits_kernel(struct coefficients s, int64_t count, const float *product, const float *b,
                                     const float *alpha, float *logits) {
    int64_t at = (int64_t)blockIdx.x * MICRO_THREADS + threadIdx.x, matrix = s.n * s.n;
    if (at < count)
        logits[at] = mhc_res_logit(s, (int)(at % matrix), product + at / matrix * column_count<sinkhorn_map>(s.n), b,
                                   alpha);
}

/* One thread per stream of a token. */
static __global__ void hc_kernel(int n, int64_t rows, const float *product, const float *b_pre, const float *b_post,
                                 const float *b_res, const float *alpha, float *pre, float *post, float *res) {
    int64_t row = (int64_t)blockIdx.x * MICRO_THREADS + threadIdx.x, t = row / n;
    if (row < rows)
        hc_coefficients(n, (int)(row % n), product + row * (n + 2), b_pre, b_post, b_res, alpha, pre + t * n,
                        post + t * n, res + t * n * n);
}

/* --- host --- */

template <typename T>
static int start_products(struct device *d, void *queue, const struct micro *m, const void *x, struct weights weights,
                          float *product, float *r) {
    dim3 grid((unsigned)blocks_of(m->rows, MICRO_ROWS), (unsigned)blocks_of(m->columns, WARP));
    return CHECKED(d, LAUNCH((norm_kernel<T>), (unsigned)blocks_of(m->rows, MICRO_WARPS), MICRO_THREADS, 0, queue,
                             m->rows, m->K, (float)m->c->rms_eps, (const T *)x, r)) ||
           CHECKED(d, LAUNCH((product_kernel<T>), grid, MICRO_THREADS, MICRO_WARPS * MICRO_ROWS * WARP * sizeof(float),
                             queue, m->rows, m->K, weights, (const T *)x, (const float *)r, product));
}

int micro_logits(struct device *d, void *queue, const struct micro *m, const float *product, const float *b,
                 const float *alpha, float *logits) {
    int64_t count = m->c->T * m->n * m->n;
    return CHECKED(d, LAUNCH(logits_kernel, (unsigned)blocks_of(count, MICRO_THREADS), MICRO_THREADS, 0, queue, m->s,
                             count, product, b, alpha, logits));
}

int micro_coefficients(struct device *d, void *queue, const struct micro *m, const void *x,
                       const struct micro_params *params, void *save, void *pre_to, void *post_to, void *res_to) {
    float *pre = (float *)pre_to, *post = (float *)post_to, *res = (float *)res_to;
    float *product = (float *)save, *r = micro_norms(m, save);
#define CALL(T) start_products<T>(d, queue, m, x, params->weights, product, r)
    if (FOR_TYPE(m->c, CALL))
        return 1;
#undef CALL
    int64_t count = m->hc ? m->rows : m->rows * m->columns;
    unsigned blocks = (unsigned)blocks_of(count, MICRO_THREADS);
    if (m->hc)
        return CHECKED(d, LAUNCH(hc_kernel, blocks, MICRO_THREADS, 0, queue, m->n, count, (const float *)product,
                                 params->b, params->b_post, params->b_res, params->alpha, pre, post, res));
    return CHECKED(d, LAUNCH(mhc_kernel, blocks, MICRO_THREADS, 0, queue, m->s, count, (const float *)product,
                             params->b, params->alpha, pre, post, res)) ||
           gpu_sinkhorn(d, queue, m->c, res, res);
}

/* --- rows --- */

static int mhc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    const struct micro_coefficients_mhc_args *a = (const struct micro_coefficients_mhc_args *)arg;
    struct micro m = micro_of(c, false);
    struct micro_params params = mhc_params(&m, a);
    return micro_coefficients(device_of(context), queue, &m, a->x, &params, work, a->pre, a->post, a->res);
}
static int hc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    const struct micro_coefficients_hc_args *a = (const struct micro_coefficients_hc_args *)arg;
    struct micro m = micro_of(c, true);
    struct micro_params params = hc_params(&m, a);
    return micro_coefficients(device_of(context), queue, &m, a->x, &params, work, a->pre, a->post, a->res);
}

static int64_t mhc_work(const struct mhc_case *c) {
    struct micro m = micro_of(c, false);
    return micro_save_bytes(&m);
}
static int64_t hc_work(const struct mhc_case *c) {
    struct micro m = micro_of(c, true);
    return micro_save_bytes(&m);
}

GPU_ROW(micro_coefficients_mhc) = {MHC_OPERATION(micro_coefficients_mhc),
                                   .implementation = "one kernel per arrow",
                                   .supports = micro_supports_mhc,
                                   .work_bytes = mhc_work,
                                   .tolerance = gpu_tolerance,
                                   .run = mhc_run};

GPU_ROW(micro_coefficients_hc) = {MHC_OPERATION(micro_coefficients_hc), .implementation = "one kernel per arrow",
                                  .supports = gpu_supports_res,         .work_bytes = hc_work,
                                  .tolerance = gpu_tolerance,           .run = hc_run};
