/* mHC (Eq. 7-9, in the order of Eq. 14-19) and identity HC (the same with res = I, no third part), in two passes over x
 * each way.
 *
 *   r = sqrt(mean(x^2) + rms_eps) over all nC     product = x.phi / r     logits = alpha_part * product + b
 *   pre = sigmoid (+ sinkhorn_eps in v4)          post = 2 sigmoid        res = Sinkhorn
 *
 * Backward, z = dL/dlogits, q = alpha z / r: grad_b, grad_alpha, grad_phi = sum_t x^T q, and q.phi^T within grad_x.
 *
 *   traffic a token, n = 4, bf16     pre 18C bytes
 *                                    backward 54C: gradients of the coefficients 20C, grad_x 26C, grad_phi 8C */
#include "kernels/two_pass.h"

#include "kernels/coefficients.h"
#include "kernels/connection_backward.h"

enum { TOKENS_A_BLOCK = 32 }; /* a thread a token: a warp a block spreads few tokens over the multiprocessors */

/* Elements of a token's coefficients. */
#define COLUMNS(N, IDENTITY) ((IDENTITY) ? 2 * ROOM(N) : MATRIX(N) + 2 * ROOM(N))

/* --- coefficients: a thread a token --- */

template <int N, bool IDENTITY>
static __global__ void coefficients_kernel(struct coefficients s, int64_t T, const float *product, const float *b,
                                           const float *alpha, float *pre, float *post, float *res) {
    const int n = STREAMS(N, s.n), columns = column_count(n, IDENTITY);
    int64_t t = (int64_t)blockIdx.x * TOKENS_A_BLOCK + threadIdx.x;
    if (t >= T)
        return;
    product += t * columns;
    pre_coefficients<N>(s, product, b, alpha, pre + t * n);
    post_coefficients<N>(s, product, b, alpha, post + t * n);
    if (IDENTITY)
        return;
    float matrix[MATRIX(N)];
    res_coefficients<N>(s, product, b, alpha, matrix);
#pragma unroll
    for (int k = 0; k < n * n; k++)
        res[t * n * n + k] = matrix[k];
}

static __global__ void logits_kernel(struct coefficients s, int64_t count, const float *product, const float *b,
                                     const float *alpha, float *logits) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, matrix = s.n * s.n;
    if (at < count)
        logits[at] = mhc_res_logit(s, (int)(at % matrix), product + at / matrix * column_count(s.n, false), b, alpha);
}

/* What the backward of the coefficients reads and writes, [T][..]. */
struct chain {
    const float *grad_coef, *pre, *post, *product, *r, *b, *alpha;
    float *z, *q;
    float2 *norm;
};

template <int N, bool IDENTITY>
static __global__ void chain_kernel(struct coefficients s, int64_t T, float inverse_D, struct chain a) {
    const int n = STREAMS(N, s.n), columns = column_count(n, IDENTITY);
    int64_t t = (int64_t)blockIdx.x * TOKENS_A_BLOCK + threadIdx.x;
    if (t >= T)
        return;
    float r = a.r[t], through_norm;
    if constexpr (
        N ==
        0) { /* too many for registers: they stay where they lie, and not in local memory, which a device has to put by for all threads */
        through_norm = mhc_coefficients_backward<N, IDENTITY>(s, a.grad_coef + t * columns, a.pre + t * n,
                                                              a.post + t * n, a.product + t * columns, r, a.b, a.alpha,
                                                              a.z + t * columns, a.q + t * columns);
    } else {
        float grad[COLUMNS(N, IDENTITY)], z[COLUMNS(N, IDENTITY)], q[COLUMNS(N, IDENTITY)];
#pragma unroll
        for (int k = 0; k < columns; k++)
            grad[k] = a.grad_coef[t * columns + k];
        through_norm = mhc_coefficients_backward<N, IDENTITY>(s, grad, a.pre + t * n, a.post + t * n,
                                                              a.product + t * columns, r, a.b, a.alpha, z, q);
#pragma unroll
        for (int k = 0; k < columns; k++) {
            a.z[t * columns + k] = z[k];
            a.q[t * columns + k] = q[k];
        }
    }
    a.norm[t] = make_float2(through_norm * inverse_D, r == 0 ? 0 : 1 / r);
}

/* --- host --- */

static int columns_of(const struct mhc_case *c, bool identity) {
    return column_count((int)c->n, identity);
}
static struct product product_of(const struct mhc_case *c, const void *x, struct weights weights) {
    struct product p = {c->stream, c->T, c->n * c->C, x, weights};
    return p;
}
static unsigned token_blocks(const struct mhc_case *c) {
    return (unsigned)blocks_of(c->T, TOKENS_A_BLOCK);
}

template <int N>
static int start_coefficients(struct device *d, void *queue, const struct mhc_case *c, const float *product,
                              const float *b, const float *alpha, float *pre, float *post, float *res) {
    struct coefficients s = coefficients_of(c);
    return res ? CHECKED(d, LAUNCH((coefficients_kernel<N, false>), token_blocks(c), TOKENS_A_BLOCK, 0, queue, s, c->T,
                                   product, b, alpha, pre, post, res))
               : CHECKED(d, LAUNCH((coefficients_kernel<N, true>), token_blocks(c), TOKENS_A_BLOCK, 0, queue, s, c->T,
                                   product, b, alpha, pre, post, res));
}

template <int N>
static int start_chain(struct device *d, void *queue, const struct mhc_case *c, bool identity, const struct chain *a) {
    struct coefficients s = coefficients_of(c);
    float inverse_D = 1 / (float)(c->n * c->C);
    return identity ? CHECKED(d, LAUNCH((chain_kernel<N, true>), token_blocks(c), TOKENS_A_BLOCK, 0, queue, s, c->T,
                                        inverse_D, *a))
                    : CHECKED(d, LAUNCH((chain_kernel<N, false>), token_blocks(c), TOKENS_A_BLOCK, 0, queue, s, c->T,
                                        inverse_D, *a));
}

static int mhc_pre_two_pass(struct device *d, void *queue, const struct mhc_case *c, void *const a[], void *save,
                            void *work, bool identity) {
    int columns = columns_of(c, identity);
    struct product p = product_of(c, a[0], phi_weights((const float *)a[1], columns));
    float *product = (float *)save, *r = product + c->T * columns, *pre = (float *)a[5], *post = (float *)a[6];
    float *res = identity ? NULL : (float *)a[7];
    if (product_forward(d, queue, &p, c->rms_eps, product, r, work))
        return 1;
#define CALL(T, N) start_coefficients<N>(d, queue, c, product, (const float *)a[2], (const float *)a[3], pre, post, res)
    int failed = FOR_COUNT(c, float, CALL);
#undef CALL
    return failed || gpu_aggregate(d, queue, c, a[0], pre, a[4]);
}

static int64_t mhc_save_bytes(const struct mhc_case *c, bool identity) {
    return c->T * (columns_of(c, identity) + 1) * (int64_t)sizeof(float);
}
static int64_t mhc_pre_two_pass_work_bytes(const struct mhc_case *c, bool identity) {
    return product_work_bytes(c->T, c->n * c->C, columns_of(c, identity));
}

/* Scratch of backward; the three last users take turns in `rest`. */
struct scratch {
    float *grad_coef, *z, *q;
    float2 *norm;
    void *rest;
    int64_t bytes;
};

static struct scratch scratch_of(const struct mhc_case *c, bool identity, void *work) {
    int columns = columns_of(c, identity);
    struct room room = {(char *)work, 0};
    struct scratch s = {};
    int64_t token_bytes = columns * (int64_t)sizeof(float);
    s.grad_coef = (float *)take_room(&room, c->T * token_bytes);
    s.z = (float *)take_room(&room, c->T * token_bytes);
    s.q = (float *)take_room(&room, c->T * token_bytes);
    s.norm = (float2 *)take_room(&room, c->T * (int64_t)sizeof(float2));
    int64_t sums = gpu_small_gradients_work_bytes(c, columns), streams = gpu_stream_gradient_work_bytes(c, 1, columns);
    int64_t weights = weight_gradient_work_bytes(c->T, c->n * c->C, columns), most = sums > streams ? sums : streams;
    s.rest = take_room(&room, most > weights ? most : weights);
    s.bytes = room.used;
    return s;
}

static int64_t mhc_backward_two_pass_work_bytes(const struct mhc_case *c, bool identity) {
    return scratch_of(c, identity, NULL).bytes;
}

/* The arguments behind post under their names: identity HC has no res, which shifts the rest. */
struct backward_args {
    const float *pre, *post, *res, *phi, *b, *alpha;
    void *dx;
    float *dphi, *db, *dalpha;
};
static struct backward_args backward_args_of(void *const a[], bool identity) {
    void *const *rest = a + (identity ? 6 : 7);
    struct backward_args args = {(const float *)a[4],
                                 (const float *)a[5],
                                 identity ? NULL : (const float *)a[6],
                                 (const float *)rest[0],
                                 (const float *)rest[1],
                                 (const float *)rest[2],
                                 rest[3],
                                 (float *)rest[4],
                                 (float *)rest[5],
                                 (float *)rest[6]};
    return args;
}

static int mhc_backward_two_pass(struct device *d, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                                 void *work, bool identity) {
    const int columns = columns_of(c, identity), n = (int)c->n;
    const float *product = (const float *)save, *r = product + c->T * columns;
    const struct backward_args a = backward_args_of(arg, identity);
    const struct scratch s = scratch_of(c, identity, work);
    if (gpu_coefficient_gradients(d, queue, c, identity, arg[0], arg[1], arg[2], arg[3], s.grad_coef))
        return 1;
    const struct chain chain = {s.grad_coef, a.pre, a.post, product, r, a.b, a.alpha, s.z, s.q, s.norm};
#define CALL(T, N) start_chain<N>(d, queue, c, identity, &chain)
    if (FOR_COUNT(c, float, CALL))
        return 1;
#undef CALL
    const struct small_gradients small = {s.z, product, columns, false, {a.db, a.db + n, a.db + 2 * n}, a.dalpha};
    const struct weights phi = phi_weights(a.phi, columns);
    const struct stream_gradient streams = {arg[0], arg[1], arg[3], a.pre, a.res, 1, s.q, s.norm, phi, a.dx};
    const struct product gradient = product_of(c, arg[1], phi_weights(a.dphi, columns));
    return gpu_small_gradients(d, queue, c, &small, s.rest) || gpu_stream_gradient(d, queue, c, &streams, s.rest) ||
           weight_gradient(d, queue, &gradient, s.q, s.rest);
}

/* --- rows --- */

static int mhc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *work) {
    return mhc_pre_two_pass(device_of(context), queue, c, a, save, work, false);
}
static int identity_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save,
                            void *work) {
    return mhc_pre_two_pass(device_of(context), queue, c, a, save, work, true);
}
static int mhc_backward_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save,
                            void *work) {
    return mhc_backward_two_pass(device_of(context), queue, c, a, save, work, false);
}
static int identity_backward_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save,
                                 void *work) {
    return mhc_backward_two_pass(device_of(context), queue, c, a, save, work, true);
}

/* The logits of res alone, for those who study them; nothing in a stack needs them. */
static int logits_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *, void *work) {
    struct device *d = device_of(context);
    int columns = columns_of(c, false);
    struct product p = product_of(c, a[0], phi_weights((const float *)a[1], columns));
    struct room room = {(char *)work, 0};
    float *product = (float *)take_room(&room, mhc_save_bytes(c, false));
    if (product_forward(d, queue, &p, c->rms_eps, product, product + c->T * columns, room.base + room.used))
        return 1;
    const int block = 128;
    int64_t count = c->T * c->n * c->n;
    return CHECKED(d, LAUNCH(logits_kernel, (unsigned)blocks_of(count, block), block, 0, queue, coefficients_of(c),
                             count, (const float *)product, (const float *)a[2], (const float *)a[3], (float *)a[4]));
}

static int64_t mhc_save(const struct mhc_case *c) {
    return mhc_save_bytes(c, false);
}
static int64_t identity_save(const struct mhc_case *c) {
    return mhc_save_bytes(c, true);
}
static int64_t mhc_pre_work(const struct mhc_case *c) {
    return mhc_pre_two_pass_work_bytes(c, false);
}
static int64_t identity_pre_work(const struct mhc_case *c) {
    return mhc_pre_two_pass_work_bytes(c, true);
}
static int64_t mhc_backward_work(const struct mhc_case *c) {
    return mhc_backward_two_pass_work_bytes(c, false);
}
static int64_t identity_backward_work(const struct mhc_case *c) {
    return mhc_backward_two_pass_work_bytes(c, true);
}
static int64_t logits_work(const struct mhc_case *c) {
    return blocks_of(mhc_save(c), 64) * 64 + mhc_pre_work(c);
}

/* Product, norm and aggregate; Sinkhorn is counted in its own row and small beside them. */
static double mhc_pre_flops(const struct mhc_case *c, bool identity) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(columns_of(c, identity) + 2);
}
/* Two products with phi's shape; per stream and channel: dres, dpre, dpost, res^T g + pre^T du, the norm. */
static double mhc_backward_flops(const struct mhc_case *c, bool identity) {
    return 2.0 * (double)(c->T * c->n * c->C) * (double)(2 * columns_of(c, identity) + (identity ? 0 : 2 * c->n) + 4);
}
static double mhc_pre_row_flops(const struct mhc_case *c) {
    return mhc_pre_flops(c, false);
}
static double identity_pre_row_flops(const struct mhc_case *c) {
    return mhc_pre_flops(c, true);
}
static double mhc_backward_row_flops(const struct mhc_case *c) {
    return mhc_backward_flops(c, false);
}
static double identity_backward_row_flops(const struct mhc_case *c) {
    return mhc_backward_flops(c, true);
}

GPU_ROW(mhc_pre) = {MHC_OPERATION(mhc_pre), .variant = "two passes over x",
                    .supports = gpu_supports_sinkhorn,
                    .save_bytes = mhc_save,
                    .work_bytes = mhc_pre_work,
                    .tolerance = gpu_tolerance,
                    .run = mhc_pre_run};

GPU_ROW(mhc_logits) = {MHC_OPERATION(mhc_logits), .supports = gpu_supports,
                       .work_bytes = logits_work,
                       .tolerance = gpu_tolerance,
                       .run = logits_run};

GPU_ROW(mhc_backward) = {MHC_OPERATION(mhc_backward), .variant = "two passes over x",
                         .supports = gpu_supports_sinkhorn,
                         .work_bytes = mhc_backward_work,
                         .tolerance = gpu_tolerance,
                         .run = mhc_backward_run};

GPU_ROW(identity_pre) = {MHC_OPERATION(identity_pre), .variant = "two passes over x",
                         .supports = gpu_supports,
                         .save_bytes = identity_save,
                         .work_bytes = identity_pre_work,
                         .tolerance = gpu_tolerance,
                         .run = identity_pre_run};

GPU_ROW(identity_backward) = {MHC_OPERATION(identity_backward), .variant = "two passes over x",
                              .supports = gpu_supports,
                              .work_bytes = identity_backward_work,
                              .tolerance = gpu_tolerance,
                              .run = identity_backward_run};
