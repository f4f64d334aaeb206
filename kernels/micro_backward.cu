/* Backward of the kinds mhc-micro and hc-micro, one kernel per arrow. g = grad_x_next, du = grad_u, z = dL/dlogit.
 *
 *   dpre_i = <x_i, du>    dpost_i = <y, g_i>    dres_ij = <g_i, x_j>          inner products, three times one kernel
 *   mHC: logits -> Sinkhorn backward -> z, q       HC: q
 *   q = gradient of the products before the norm
 *   mixed = res^T g    mixed += pre du    dx = mixed + q.weights^T - through_norm x / (K r)
 *   grad_weights = sum over rows of x^T q          grad_b, grad_alpha         sums over tokens, in order
 *
 *   traffic per token, n = 4, bf16     10C + 10C + 16C bytes, then 24C + 34C + 32C, then 8C */
#include "kernels/connection_backward.h"
#include "kernels/micro.h"

/* out[t][i m + j] = <a_i, b_j>, `pitch` floats from token to token: one block per token, one warp per inner product
 * at a time. */
template <typename T>
static __global__ void inner_kernel(int n, int m, int C, int pitch, const T *a, const T *b, float *out) {
    int64_t t = blockIdx.x;
    int lane = (int)threadIdx.x % WARP;
    for (int k = (int)threadIdx.x / WARP; k < n * m; k += MICRO_WARPS) {
        const T *left = a + (t * n + k / m) * C, *right = b + (t * m + k % m) * C;
        float sum = 0;
        for (int c = lane; c < C; c += WARP)
            sum = fmaf(to_float(left[c]), to_float(right[c]), sum);
        sum = warp_sum(sum);
        if (lane == 0)
            out[t * pitch + k] = sum;
    }
}

/* z, q and norm of a token: what the gates let through, joined with the gradient of the logits of res. */
static __global__ void mhc_chain_kernel(struct coefficients s, int64_t T, float inverse_K, const float *grad_gates,
                                        const float *grad_logits, const float *pre, const float *post,
                                        const float *product, const float *norms, const float *alpha, float *z,
                                        float *q, float2 *norm) {
    int64_t t = (int64_t)blockIdx.x * MICRO_THREADS + threadIdx.x;
    int n = s.n, columns = column_count<sinkhorn_map>(n);
    if (t >= T)
        return;
    pre_logit_gradient<0>(s, pre + t * n, grad_gates + t * 2 * n, z + t * columns);
    post_logit_gradient<0>(s, post + t * n, grad_gates + t * 2 * n + n, z + t * columns);
    for (int k = 0; k < n * n; k++)
        z[t * columns + 2 * n + k] = grad_logits[t * n * n + k];
    float r = norms[t];
    float through_norm = mhc_through_norm<0, sinkhorn_map>(s, z + t * columns, product + t * columns, alpha, r,
                                                           q + t * columns);
    norm[t] = make_float2(through_norm * inverse_K, r == 0 ? 0 : 1 / r);
}

/* One thread per stream of a token. */
static __global__ void hc_chain_kernel(int n, int64_t rows, float inverse_K, const float *grad_coef,
                                       const float *product, const float *norms, const float *alpha, float *q,
                                       float2 *norm) {
    int64_t row = (int64_t)blockIdx.x * MICRO_THREADS + threadIdx.x, t = row / n;
    if (row >= rows)
        return;
    float r = norms[row];
    float through_norm = hc_coefficients_backward(n, (int)(row % n), grad_coef + t * n * (n + 2),
                                                  product + row * (n + 2), r, alpha, q + row * (n + 2));
    norm[row] = make_float2(through_norm * inverse_K, r == 0 ? 0 : 1 / r);
}

/* mixed_j = sum_i res_ij g_i */
template <typename T>
static __global__ void apply_res_backward_kernel(int n, int C, const T *g, const float *res, float *mixed) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x; c < C; c += (int)blockDim.x)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int i = 0; i < n; i++)
                sum = fmaf(res[(t * n + i) * n + j], to_float(g[(t * n + i) * C + c]), sum);
            mixed[(t * n + j) * C + c] = sum;
        }
}

/* mixed_i += pre_i du */
template <typename T>
static __global__ void apply_pre_backward_kernel(int n, int C, const T *du, const float *pre, float *mixed) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x; c < C; c += (int)blockDim.x)
        for (int i = 0; i < n; i++) {
            int64_t at = (t * n + i) * C + c;
            mixed[at] = fmaf(pre[t * n + i], to_float(du[t * C + c]), mixed[at]);
        }
}

/* dx = mixed + sum_m q_m W_m - factor (x inverse), norm = (factor, inverse): a block MICRO_ROWS rows, a thread a
 * channel of all. Two factors, because through_norm / r^2 would overflow for small x, and x / r does not. */
template <typename T>
static __global__ void product_backward_kernel(int64_t rows, int64_t K, struct weights weights, const float *mixed,
                                               const T *x, const float *q, const float2 *norm, T *dx) {
    float *share = (float *)shared_memory(); /* [row][column] */
    int64_t first = (int64_t)blockIdx.x * MICRO_ROWS;
    int columns = weights.columns;
    for (int k = (int)threadIdx.x; k < MICRO_ROWS * columns; k += MICRO_THREADS)
        share[k] = first + k / columns < rows ? q[first * columns + k] : 0;
    __syncthreads();
    for (int64_t k = (int64_t)blockIdx.y * MICRO_THREADS + threadIdx.x; k < K;
         k += (int64_t)gridDim.y * MICRO_THREADS) {
        float sum[MICRO_ROWS] = {};
        for (int m = 0; m < columns; m++) {
            float w = *weight_at(&weights, k, m);
#pragma unroll
            for (int row = 0; row < MICRO_ROWS; row++)
                sum[row] = fmaf(share[row * columns + m], w, sum[row]);
        }
#pragma unroll
        for (int row = 0; row < MICRO_ROWS; row++)
            if (first + row < rows) {
                int64_t at = (first + row) * K + k;
                float2 f = norm[first + row];
                dx[at] = from_float<T>(fmaf(-f.x, to_float(x[at]) * f.y, sum[row] + mixed[at]));
            }
    }
}

/* grad_W: a block 32 channels and as many columns as warps; each warp walks over a share of the rows in order, then
 * sums the shares of one column in order. */
template <typename T>
static __global__ void weights_backward_kernel(int64_t rows, int64_t K, struct weights weights, const T *x,
                                               const float *q) {
    float *share = (float *)shared_memory(); /* [warp][column][lane] */
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, column = (int)blockIdx.y * MICRO_WARPS;
    int64_t k = (int64_t)blockIdx.x * WARP + lane;
    float sum[MICRO_WARPS] = {};
    for (int64_t row = warp; row < rows && k < K; row += MICRO_WARPS) {
        float in = to_float(x[row * K + k]);
#pragma unroll
        for (int m = 0; m < MICRO_WARPS; m++)
            if (column + m < weights.columns)
                sum[m] = fmaf(in, q[row * weights.columns + column + m], sum[m]);
    }
#pragma unroll
    for (int m = 0; m < MICRO_WARPS; m++)
        share[(warp * MICRO_WARPS + m) * WARP + lane] = sum[m];
    __syncthreads();
    if (k >= K || column + warp >= weights.columns)
        return;
    float total = share[warp * WARP + lane];
    for (int w = 1; w < MICRO_WARPS; w++)
        total += share[(w * MICRO_WARPS + warp) * WARP + lane];
    *weight_at(&weights, k, column + warp) = total;
}

/* --- host --- */

/* One call: arguments under their names, and scratch. */
struct call {
    struct micro m;
    const void *g, *x, *y, *du;
    const float *pre, *post, *res, *b, *alpha, *product, *r; /* b: mHC */
    void *dx;
    struct weights weights, grad_weights;
    float *db[3], *dalpha;
    /* [T][2n] of mHC or [T][n(n+2)] of HC; of mHC alone [T][n][n] twice; [rows][columns] of mHC alone and of both;
     * [rows]; [T][n][C] */
    float *grad_coef, *grad_res, *logits, *z, *q;
    float2 *norm;
    float *mixed;
    void *rest;
    int64_t work_bytes;
};

static struct call call_of(const struct mhc_case *c, bool hc, void *work) {
    struct call a = {};
    a.m = micro_of(c, hc);
    struct room room = {(char *)work, 0};
    int64_t T = c->T, n = c->n, F = (int64_t)sizeof(float), matrices = T * n * n * F;
    int64_t products = a.m.rows * a.m.columns * F;
    a.grad_coef = (float *)take_room(&room, T * (hc ? n * (n + 2) : 2 * n) * F);
    a.grad_res = (float *)take_room(&room, hc ? 0 : matrices);
    a.logits = (float *)take_room(&room, hc ? 0 : matrices);
    a.z = (float *)take_room(&room, hc ? 0 : products);
    a.q = (float *)take_room(&room, products);
    a.norm = (float2 *)take_room(&room, a.m.rows * (int64_t)sizeof(float2));
    a.mixed = (float *)take_room(&room, T * n * c->C * F);
    a.rest = take_room(&room, gpu_small_gradients_work_bytes(c, column_count<sinkhorn_map>((int)n)));
    a.work_bytes = room.used;
    return a;
}

template <typename T>
static int start_inner(struct device *d, void *queue, const struct mhc_case *c, int n, int m, int64_t pitch,
                       const void *a, const void *b, float *out) {
    return CHECKED(d, LAUNCH((inner_kernel<T>), (unsigned)c->T, MICRO_THREADS, 0, queue, n, m, (int)c->C, (int)pitch,
                             (const T *)a, (const T *)b, out));
}

/* Gradients of the coefficients: HC's one behind the other, mHC's without those of res, which Sinkhorn wants alone. */
template <typename T> static int start_inner_products(struct device *d, void *queue, const struct call *a) {
    const struct mhc_case *c = a->m.c;
    int n = a->m.n, pitch = a->m.hc ? n * (n + 2) : 2 * n;
    return start_inner<T>(d, queue, c, n, 1, pitch, a->x, a->du, a->grad_coef) ||
           start_inner<T>(d, queue, c, n, 1, pitch, a->g, a->y, a->grad_coef + n) ||
           start_inner<T>(d, queue, c, n, n, a->m.hc ? pitch : n * n, a->g, a->x,
                          a->m.hc ? a->grad_coef + 2 * n : a->grad_res);
}

static int start_chain(struct device *d, void *queue, const struct call *a) {
    const struct micro *m = &a->m;
    float inverse_K = 1 / (float)m->K;
    unsigned blocks = (unsigned)blocks_of(m->rows, MICRO_THREADS);
    if (m->hc)
        return CHECKED(d, LAUNCH(hc_chain_kernel, blocks, MICRO_THREADS, 0, queue, m->n, m->rows, inverse_K,
                                 (const float *)a->grad_coef, a->product, a->r, a->alpha, a->q, a->norm));
    return micro_logits(d, queue, m, a->product, a->b, a->alpha, a->logits) ||
           gpu_sinkhorn_backward(d, queue, m->c, a->logits, a->grad_res, a->grad_res) ||
           CHECKED(d, LAUNCH(mhc_chain_kernel, blocks, MICRO_THREADS, 0, queue, m->s, m->rows, inverse_K,
                             (const float *)a->grad_coef, (const float *)a->grad_res, a->pre, a->post, a->product, a->r,
                             a->alpha, a->z, a->q, a->norm));
}

template <typename T> static int start_streams(struct device *d, void *queue, const struct call *a) {
    const struct micro *m = &a->m;
    int C = (int)m->c->C;
    unsigned threads = token_threads(C, 1), tokens = (unsigned)m->c->T;
    int64_t channels = blocks_of(m->K, MICRO_THREADS), most = 64;
    dim3 grid((unsigned)blocks_of(m->rows, MICRO_ROWS), (unsigned)(channels < most ? channels : most));
    size_t shared = MICRO_ROWS * (size_t)m->columns * sizeof(float);
    return CHECKED(d, LAUNCH((apply_res_backward_kernel<T>), tokens, threads, 0, queue, m->n, C, (const T *)a->g,
                             a->res, a->mixed)) ||
           CHECKED(d, LAUNCH((apply_pre_backward_kernel<T>), tokens, threads, 0, queue, m->n, C, (const T *)a->du,
                             a->pre, a->mixed)) ||
           CHECKED(d, LAUNCH((product_backward_kernel<T>), grid, MICRO_THREADS, shared, queue, m->rows, m->K,
                             a->weights, (const float *)a->mixed, (const T *)a->x, (const float *)a->q,
                             (const float2 *)a->norm, (T *)a->dx));
}

template <typename T> static int start_weights(struct device *d, void *queue, const struct call *a) {
    const struct micro *m = &a->m;
    dim3 grid((unsigned)blocks_of(m->K, WARP), (unsigned)blocks_of(m->columns, MICRO_WARPS));
    return CHECKED(d, LAUNCH((weights_backward_kernel<T>), grid, MICRO_THREADS,
                             MICRO_WARPS * MICRO_WARPS * WARP * sizeof(float), queue, m->rows, m->K, a->grad_weights,
                             (const T *)a->x, (const float *)a->q));
}

template <typename T> static int start_all(struct device *d, void *queue, const struct call *a) {
    struct small_gradients small = {a->m.hc ? a->grad_coef : a->z,      a->product,
                                    column_count<sinkhorn_map>(a->m.n), a->m.hc,
                                    {a->db[0], a->db[1], a->db[2]},     a->dalpha};
    return start_inner_products<T>(d, queue, a) || start_chain(d, queue, a) || start_streams<T>(d, queue, a) ||
           start_weights<T>(d, queue, a) || gpu_small_gradients(d, queue, a->m.c, &small, a->rest);
}

/* What rows of mHC and HC call alike. */
template <typename A> static void name_streams(struct call *a, const A *from, void *save) {
    a->g = from->grad_x_next, a->x = from->x, a->y = from->y, a->du = from->grad_u, a->dx = from->grad_x;
    a->pre = (const float *)from->pre, a->post = (const float *)from->post, a->res = (const float *)from->res;
    a->alpha = (const float *)from->alpha, a->dalpha = (float *)from->grad_alpha;
    a->product = (const float *)save, a->r = micro_norms(&a->m, save);
}

static int run(void *context, void *queue, const struct call *a) {
#define CALL(T) start_all<T>(device_of(context), queue, a)
    return FOR_TYPE(a->m.c, CALL);
#undef CALL
}

/* --- rows --- */

static int mhc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    const struct mhc_micro_backward_args *from = (const struct mhc_micro_backward_args *)arg;
    struct call a = call_of(c, false, work);
    name_streams(&a, from, save);
    a.weights = phi_weights(from->phi, a.m.columns), a.grad_weights = phi_weights(from->grad_phi, a.m.columns);
    a.b = (const float *)from->b;
    for (int part = 0; part < 3; part++)
        a.db[part] = (float *)from->grad_b + part * c->n;
    return run(context, queue, &a);
}
static int hc_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    const struct hc_micro_backward_args *from = (const struct hc_micro_backward_args *)arg;
    struct call a = call_of(c, true, work);
    name_streams(&a, from, save);
    a.weights = theta_weights(from->theta_pre, from->theta_post, from->theta_res, c->n, c->C);
    a.grad_weights = theta_weights(from->grad_theta_pre, from->grad_theta_post, from->grad_theta_res, c->n, c->C);
    a.db[0] = (float *)from->grad_b_pre, a.db[1] = (float *)from->grad_b_post, a.db[2] = (float *)from->grad_b_res;
    return run(context, queue, &a);
}
static int64_t mhc_work(const struct mhc_case *c) {
    return call_of(c, false, NULL).work_bytes;
}
static int64_t hc_work(const struct mhc_case *c) {
    return call_of(c, true, NULL).work_bytes;
}

GPU_ROW(mhc_micro_backward) = {MHC_OPERATION(mhc_micro_backward), .implementation = "one kernel per arrow",
                               .supports = micro_supports_mhc,    .work_bytes = mhc_work,
                               .tolerance = gpu_tolerance,        .run = mhc_run};

GPU_ROW(hc_micro_backward) = {MHC_OPERATION(hc_micro_backward), .implementation = "one kernel per arrow",
                              .supports = gpu_supports_res,     .work_bytes = hc_work,
                              .tolerance = gpu_tolerance,       .run = hc_run};
