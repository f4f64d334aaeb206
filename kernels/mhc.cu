/* mHC (Eq. 7-9, in the order of Eq. 14-19), with any residual map, in two passes over x each way.
 *
 *   r = sqrt(mean(x^2) + rms_eps) over all nC     product = x.phi / r     logits = alpha_part * product + b
 *   pre = sigmoid (+ sinkhorn_eps in v4)          post = 2 sigmoid        res = map
 *
 * Backward, z = dL/dlogits, q = alpha z / r: grad_b, grad_alpha, grad_phi = sum_t x^T q, and q.phi^T within grad_x.
 *
 *   traffic per token, n = 4, bf16     pre 18C bytes
 *                                    backward 54C: gradients of the coefficients 20C, grad_x 26C, grad_phi 8C */
#include "kernels/two_pass.h"

#include "kernels/connection_backward.h"
#include "kernels/maps/maps.h"
#include "kernels/two_pass_coefficients.h"

static __global__ void logits_kernel(struct coefficients s, int64_t count, int K, const float *product, const float *b,
                                     const float *alpha, float *logits) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count)
        logits[at] = mhc_res_logit(s, (int)(at % K), product + at / K * (2 * s.n + K), b, alpha);
}

/* --- host --- */

static int columns_of(const struct mhc_case *c) {
    return (int)mhc_extent(c, 'Q');
}
static struct product product_of(const struct mhc_case *c, const void *x, struct weights weights) {
    struct product p = {c->stream, c->T, c->n * c->C, x, weights};
    return p;
}
static int pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    struct device *d = device_of(context);
    const struct mhc_pre_args *a = (const struct mhc_pre_args *)arg;
    struct product p = product_of(c, a->x, phi_weights(a->phi, columns_of(c)));
    float *product = (float *)save, *r = product + c->T * columns_of(c);
    if (product_forward(d, queue, &p, c->rms_eps, product, r, work))
        return 1;
    return gpu_map_of(c)->coefficients(d, queue, c, product, a) || gpu_aggregate(d, queue, c, a->x, a->pre, a->u);
}

static int64_t save_bytes(const struct mhc_case *c) {
    return c->T * (columns_of(c) + 1) * (int64_t)sizeof(float);
}
static int64_t pre_work(const struct mhc_case *c) {
    return product_work_bytes(c->T, c->n * c->C, columns_of(c));
}

/* Scratch of backward; the three last users take turns in `rest`. */
struct scratch {
    float *grad_coef, *z, *q;
    float2 *norm;
    void *rest;
    int64_t bytes;
};

static struct scratch scratch_of(const struct mhc_case *c, void *work) {
    int columns = columns_of(c);
    struct room room = {(char *)work, 0};
    struct scratch s = {};
    int64_t token_bytes = columns * (int64_t)sizeof(float), coefficients = 2 * c->n + c->n * mhc_extent(c, 'N');
    s.grad_coef = (float *)take_room(&room, c->T * coefficients * (int64_t)sizeof(float));
    s.z = (float *)take_room(&room, c->T * token_bytes);
    s.q = (float *)take_room(&room, c->T * token_bytes);
    s.norm = (float2 *)take_room(&room, c->T * (int64_t)sizeof(float2));
    int64_t sums = gpu_small_gradients_work_bytes(c, columns), streams = gpu_stream_gradient_work_bytes(c, 1, columns);
    int64_t weights = weight_gradient_work_bytes(c->T, c->n * c->C, columns), most = sums > streams ? sums : streams;
    s.rest = take_room(&room, most > weights ? most : weights);
    s.bytes = room.used;
    return s;
}

static int64_t backward_work(const struct mhc_case *c) {
    return scratch_of(c, NULL).bytes;
}

static int backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                        void *work) {
    struct device *d = device_of(context);
    const struct mhc_backward_args *a = (const struct mhc_backward_args *)arg;
    const bool identity = c->map == MHC_IDENTITY;
    const int columns = columns_of(c), n = (int)c->n;
    const float *pre = (const float *)a->pre, *res = identity ? NULL : (const float *)a->res;
    const float *product = (const float *)save, *r = product + c->T * columns;
    const struct scratch s = scratch_of(c, work);
    if (gpu_coefficient_gradients(d, queue, c, identity, a->grad_x_next, a->x, a->y, a->grad_u, s.grad_coef))
        return 1;
    const struct chain chain = {
        s.grad_coef, pre,   (const float *)a->post, product, r, (const float *)a->b, (const float *)a->alpha, s.z,
        s.q,         s.norm};
    if (gpu_map_of(c)->chain(d, queue, c, &chain))
        return 1;
    float *db = (float *)a->grad_b;
    const struct small_gradients small = {
        s.z, product, columns, false, {db, db + n, db + 2 * n}, (float *)a->grad_alpha};
    const struct weights phi = phi_weights(a->phi, columns), grad_phi = phi_weights(a->grad_phi, columns);
    const struct stream_gradient streams = {a->grad_x_next, a->x, a->grad_u, pre, res, 1, s.q, s.norm, phi, a->grad_x};
    const struct product gradient = product_of(c, a->x, grad_phi);
    return gpu_small_gradients(d, queue, c, &small, s.rest) || gpu_stream_gradient(d, queue, c, &streams, s.rest) ||
           weight_gradient(d, queue, &gradient, s.q, s.rest);
}

/* The logits of res alone, for studies of them; nothing in a stack needs them. */
static int logits_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    struct device *d = device_of(context);
    const struct mhc_logits_args *a = (const struct mhc_logits_args *)arg;
    int columns = columns_of(c);
    struct product p = product_of(c, a->x, phi_weights(a->phi, columns));
    struct room room = {(char *)work, 0};
    float *product = (float *)take_room(&room, save_bytes(c));
    if (product_forward(d, queue, &p, c->rms_eps, product, product + c->T * columns, room.base + room.used))
        return 1;
    const int block = 128, K = (int)mhc_map_logits(c);
    return K && CHECKED(d, LAUNCH(logits_kernel, (unsigned)blocks_of(c->T * K, block), block, 0, queue,
                                  coefficients_of(c), c->T * K, K, (const float *)product, (const float *)a->b,
                                  (const float *)a->alpha, (float *)a->logits));
}

static int64_t logits_work(const struct mhc_case *c) {
    return blocks_of(save_bytes(c), 64) * 64 + pre_work(c);
}

static bool logits_support(const struct mhc_case *c, const char **why) {
    return gpu_supports(c, why) && (mhc_map_logits(c) >= 0 || (*why = mhc_map_needs(c), false));
}

/* --- rows --- */

GPU_ROW(mhc_pre) = {MHC_OPERATION(mhc_pre),
                    .implementation = "two passes over x",
                    .supports = gpu_supports_mhc,
                    .save_bytes = save_bytes,
                    .work_bytes = pre_work,
                    .tolerance = gpu_tolerance,
                    .run = pre_run};

GPU_ROW(mhc_logits) = {MHC_OPERATION(mhc_logits), .supports = logits_support, .work_bytes = logits_work,
                       .tolerance = gpu_tolerance, .run = logits_run};

GPU_ROW(mhc_backward) = {MHC_OPERATION(mhc_backward),  .implementation = "two passes over x",
                         .supports = gpu_supports_mhc, .work_bytes = backward_work,
                         .tolerance = gpu_tolerance,   .run = backward_run};
