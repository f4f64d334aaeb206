/* HC as the mHC paper restates it (Eq. 5), dynamic and static.
 *
 *   r_i = sqrt(mean(x_i^2) + rms_eps) of each stream
 *   product_im = <theta_m, x_i> / r_i,  m = pre, post, res_0 .. res_(n-1)
 *   pre_i = alpha_pre tanh(product_i,pre) + b_pre_i       post likewise
 *   res_ai = alpha_res tanh(product_i,res_a) + b_res_ai   (column i depends on its source stream alone)
 *
 * A stream of a token is a row of the product. Static HC is the b alone, the same for every token. Traffic as in
 * mhc.cu. */
#include "kernels/two_pass.h"

#include "kernels/coefficients.h"
#include "kernels/connection_backward.h"

enum { ROWS_A_BLOCK = 64 };

/* --- coefficients: one thread per stream of a token --- */

struct forward {
    const float *product, *b_pre, *b_post, *b_res, *alpha;
    float *pre, *post, *res;
};

static __global__ void coefficients_kernel(int64_t rows, int n, struct forward a) {
    int64_t row = (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x, t = row / n;
    if (row < rows)
        hc_coefficients(n, (int)(row % n), a.product + row * (n + 2), a.b_pre, a.b_post, a.b_res, a.alpha,
                        a.pre + t * n, a.post + t * n, a.res + t * n * n);
}

static __global__ void chain_kernel(int64_t rows, int n, float inverse_C, const float *grad_coef, const float *product,
                                    const float *norms, const float *alpha, float *q, float2 *norm) {
    int64_t row = (int64_t)blockIdx.x * ROWS_A_BLOCK + threadIdx.x, t = row / n;
    if (row >= rows)
        return;
    float r = norms[row];
    float through_norm = hc_coefficients_backward(n, (int)(row % n), grad_coef + t * n * (n + 2),
                                                  product + row * (n + 2), r, alpha, q + row * (n + 2));
    norm[row] = make_float2(through_norm * inverse_C, r == 0 ? 0 : 1 / r);
}

/* Static HC: the b, written for every token. A thread a coefficient. */
static __global__ void repeat_kernel(int64_t count, int n, const float *b_pre, const float *b_post, const float *b_res,
                                     float *pre, float *post, float *res) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, t = at / (n * (n + 2));
    int k = (int)(at % (n * (n + 2))), i = k % n;
    if (at >= count)
        return;
    if (k < n)
        pre[t * n + i] = b_pre[i];
    else if (k < 2 * n)
        post[t * n + i] = b_post[i];
    else
        res[t * n * n + k - 2 * n] = b_res[k - 2 * n];
}

/* --- host --- */

static struct product product_of(const struct mhc_case *c, const void *x, struct weights weights) {
    struct product p = {c->stream, c->T * c->n, c->C, x, weights};
    return p;
}
static int columns_of(const struct mhc_case *c) { /* coefficients of a token */
    return (int)(c->n * (c->n + 2));
}
static unsigned row_blocks(const struct mhc_case *c) {
    return (unsigned)blocks_of(c->T * c->n, ROWS_A_BLOCK);
}

static int pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    struct device *d = device_of(context);
    const struct hc_pre_args *a = (const struct hc_pre_args *)arg;
    struct product p = product_of(c, a->x, theta_weights(a->theta_pre, a->theta_post, a->theta_res, c->n, c->C));
    float *product = (float *)save, *r = product + c->T * c->n * (c->n + 2);
    struct forward f = {product,
                        (const float *)a->b_pre,
                        (const float *)a->b_post,
                        (const float *)a->b_res,
                        (const float *)a->alpha,
                        (float *)a->pre,
                        (float *)a->post,
                        (float *)a->res};
    return product_forward(d, queue, &p, c->rms_eps, product, r, work) ||
           CHECKED(d, LAUNCH(coefficients_kernel, row_blocks(c), ROWS_A_BLOCK, 0, queue, c->T * c->n, (int)c->n, f)) ||
           gpu_aggregate(d, queue, c, a->x, a->pre, a->u);
}

/* Scratch of either backward; the last users take turns in `rest`. */
struct scratch {
    float *grad_coef, *q;
    float2 *norm;
    void *rest;
    int64_t bytes;
};

static struct scratch scratch_of(const struct mhc_case *c, bool dynamic, void *work) {
    int columns = columns_of(c), maps = (int)c->n + 2;
    struct room room = {(char *)work, 0};
    struct scratch s = {};
    s.grad_coef = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
    int64_t most = gpu_small_gradients_work_bytes(c, columns);
    if (dynamic) {
        s.q = (float *)take_room(&room, c->T * columns * (int64_t)sizeof(float));
        s.norm = (float2 *)take_room(&room, c->T * c->n * (int64_t)sizeof(float2));
        int64_t streams = gpu_stream_gradient_work_bytes(c, (int)c->n, maps),
                weights = weight_gradient_work_bytes(c->T * c->n, c->C, maps);
        most = most > streams ? most : streams;
        most = most > weights ? most : weights;
    }
    s.rest = take_room(&room, most);
    s.bytes = room.used;
    return s;
}

static int backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                        void *work) {
    struct device *d = device_of(context);
    const struct hc_backward_args *a = (const struct hc_backward_args *)arg;
    const int n = (int)c->n;
    const int64_t rows = c->T * n;
    const float *product = (const float *)save, *r = product + rows * (n + 2);
    const struct scratch s = scratch_of(c, true, work);
    if (gpu_coefficient_gradients(d, queue, c, false, a->grad_x_next, a->x, a->y, a->grad_u, s.grad_coef) ||
        CHECKED(d, LAUNCH(chain_kernel, row_blocks(c), ROWS_A_BLOCK, 0, queue, rows, n, 1 / (float)c->C,
                          (const float *)s.grad_coef, product, r, (const float *)a->alpha, s.q, s.norm)))
        return 1;
    const struct small_gradients small = {s.grad_coef,
                                          product,
                                          columns_of(c),
                                          true,
                                          {(float *)a->grad_b_pre, (float *)a->grad_b_post, (float *)a->grad_b_res},
                                          (float *)a->grad_alpha};
    const struct weights theta = theta_weights(a->theta_pre, a->theta_post, a->theta_res, n, c->C);
    const struct weights gradient = theta_weights(a->grad_theta_pre, a->grad_theta_post, a->grad_theta_res, n, c->C);
    const struct stream_gradient streams = {
        a->grad_x_next, a->x,  a->grad_u, (const float *)a->pre, (const float *)a->res, n, s.q,
        s.norm,         theta, a->grad_x};
    const struct product p = product_of(c, a->x, gradient);
    return gpu_small_gradients(d, queue, c, &small, s.rest) || gpu_stream_gradient(d, queue, c, &streams, s.rest) ||
           weight_gradient(d, queue, &p, s.q, s.rest);
}

static int static_pre_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct static_pre_args *a = (const struct static_pre_args *)arg;
    const int block = 128;
    int64_t count = c->T * columns_of(c);
    return CHECKED(d, LAUNCH(repeat_kernel, (unsigned)blocks_of(count, block), block, 0, queue, count, (int)c->n,
                             (const float *)a->b_pre, (const float *)a->b_post, (const float *)a->b_res,
                             (float *)a->pre, (float *)a->post, (float *)a->res)) ||
           gpu_aggregate(d, queue, c, a->x, a->pre, a->u);
}

static int static_backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,
                               void *work) {
    struct device *d = device_of(context);
    const struct static_backward_args *a = (const struct static_backward_args *)arg;
    const struct scratch s = scratch_of(c, false, work);
    const struct small_gradients small = {s.grad_coef,
                                          NULL,
                                          columns_of(c),
                                          false,
                                          {(float *)a->grad_b_pre, (float *)a->grad_b_post, (float *)a->grad_b_res},
                                          NULL};
    const struct stream_gradient streams = {
        a->grad_x_next, a->x, a->grad_u, (const float *)a->pre, (const float *)a->res, 0, NULL, NULL, {}, a->grad_x};
    return gpu_coefficient_gradients(d, queue, c, false, a->grad_x_next, a->x, a->y, a->grad_u, s.grad_coef) ||
           gpu_small_gradients(d, queue, c, &small, s.rest) || gpu_stream_gradient(d, queue, c, &streams, s.rest);
}

static int64_t save_bytes(const struct mhc_case *c) {
    return c->T * c->n * (c->n + 3) * (int64_t)sizeof(float);
}
static int64_t pre_work(const struct mhc_case *c) {
    return product_work_bytes(c->T * c->n, c->C, (int)c->n + 2);
}
static int64_t backward_work(const struct mhc_case *c) {
    return scratch_of(c, true, NULL).bytes;
}
static int64_t static_backward_work(const struct mhc_case *c) {
    return scratch_of(c, false, NULL).bytes;
}

/* --- rows --- */

GPU_ROW(hc_pre) = {MHC_OPERATION(hc_pre),
                   .implementation = "two passes over x",
                   .supports = gpu_supports_res,
                   .save_bytes = save_bytes,
                   .work_bytes = pre_work,
                   .tolerance = gpu_tolerance,
                   .run = pre_run};

GPU_ROW(hc_backward) = {MHC_OPERATION(hc_backward),   .implementation = "two passes over x",
                        .supports = gpu_supports_res, .work_bytes = backward_work,
                        .tolerance = gpu_tolerance,   .run = backward_run};

GPU_ROW(static_pre) = {MHC_OPERATION(static_pre), .supports = gpu_supports_res, .tolerance = gpu_tolerance,
                       .run = static_pre_run};

GPU_ROW(static_backward) = {MHC_OPERATION(static_backward), .supports = gpu_supports_res,
                            .work_bytes = static_backward_work, .tolerance = gpu_tolerance, .run = static_backward_run};
