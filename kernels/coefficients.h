/* The coefficients of one token and their gradients, in one thread; what cpu_ref/mhc.c and cpu_ref/hc.c do between
 * the products over channels. Arrays are those of the token, parts behind one another: [n] of pre, [n] of post and,
 * where MAP::RES, [n][n] of res; of logits and products [n], [n] and [K]. MAP is a residual map, see
 * kernels/maps/maps.h.
 *
 *   mHC   logit = alpha_part product + b    pre = sigmoid (+ eps in v4)    post = 2 sigmoid    res = MAP
 *   HC    pre_i = alpha_pre tanh(product_i,0) + b_pre_i    post_i likewise from product_i,1
 *         res_ai from product_i,2+a
 *
 * Each part is a function of its own, so that a kernel may publish pre before the others are ready. */
#ifndef KERNELS_COEFFICIENTS_H
#define KERNELS_COEFFICIENTS_H

#include "kernels/connection.h"

/* What the coefficients of a case depend on beside arrays. */
struct coefficients {
    int n;
    int v4; /* convention */
    int64_t t_max;
    float eps;      /* of v4; 0 in paper */
    float constant; /* map_constant */
};

static inline struct coefficients coefficients_of(const struct mhc_case *c) {
    bool v4 = c->convention == MHC_V4;
    struct coefficients k = {(int)c->n, v4, c->t_max, v4 ? (float)c->sinkhorn_eps : 0.0f, (float)c->map_constant};
    return k;
}

/* Columns of phi; coefficients of a token. */
template <typename MAP> static __host__ __device__ constexpr int column_count(int n) {
    return 2 * n + MAP::logits(n);
}
template <typename MAP> static __host__ __device__ constexpr int coefficient_count(int n) {
    return 2 * n + (MAP::RES ? n * n : 0);
}

/* Room for the logits of a token or for its res, which takes their place; at least 1. */
template <int N, typename MAP> static __host__ __device__ constexpr int map_room(void) {
    return MAP::RES && MATRIX(N) > MAP::logits(ROOM(N)) ? MATRIX(N) : MAP::logits(ROOM(N)) ? MAP::logits(ROOM(N)) : 1;
}

/* Is the trace of a map, where N is known, in the shared memory of the block and not among a thread's variables? */
template <int N, typename MAP> static __host__ __device__ constexpr bool shares_trace(void) {
    return N && MAP::SLOW;
}

/* Bytes of shared memory for the traces of so many tokens. */
template <int N, typename MAP> static __host__ __device__ constexpr int64_t trace_bytes(int64_t tokens) {
    static_assert(!shares_trace<N, MAP>() || sizeof(typename MAP::template trace<N>) % 8 == 4,
                  "with an even number of words threads would meet in a bank");
    return shares_trace<N, MAP>() ? tokens * (int64_t)sizeof(typename MAP::template trace<N>) : 0;
}

/* The trace of a token among those that begin at `shared`, or a thread's own. */
template <int N, typename MAP>
static __device__ __forceinline__ typename MAP::template trace<N> *trace_at(void *shared, int token,
                                                                            typename MAP::template trace<N> *own) {
    if constexpr (shares_trace<N, MAP>())
        return (typename MAP::template trace<N> *)shared + token;
    return own;
}

/* Part of column k: 0 pre, 1 post, 2 res. */
static __device__ __forceinline__ int part_of(int n, int k) {
    return k < n ? 0 : k < 2 * n ? 1 : 2;
}

/* Saturates to 0 and 1 without NaN: 1 / (1 + inf) is 0. */
static __device__ __forceinline__ float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* --- mHC --- */

/* product / r, or 0 for a token of zeros. */
static __device__ __forceinline__ float normalised(float product, float r) {
    return r == 0 ? 0 : product / r;
}

/* pre_i and post_i, each from its own product. */
static __device__ __forceinline__ float mhc_pre_of(struct coefficients s, int i, float product, const float *b,
                                                   const float *alpha) {
    return sigmoid(fmaf(alpha[0], product, b[i])) + s.eps;
}
static __device__ __forceinline__ float mhc_post_of(struct coefficients s, int i, float product, const float *b,
                                                    const float *alpha) {
    return 2 * sigmoid(fmaf(alpha[1], product, b[s.n + i]));
}
/* Logit k of the residual map. */
static __device__ __forceinline__ float mhc_res_logit(struct coefficients s, int k, const float *product,
                                                      const float *b, const float *alpha) {
    return fmaf(alpha[2], product[2 * s.n + k], b[2 * s.n + k]);
}

template <int N>
static __device__ __forceinline__ void pre_coefficients(struct coefficients s, const float *product, const float *b,
                                                        const float *alpha, float *pre) {
    s.n = STREAMS(N, s.n);
#pragma unroll
    for (int i = 0; i < s.n; i++)
        pre[i] = mhc_pre_of(s, i, product[i], b, alpha);
}

template <int N>
static __device__ __forceinline__ void post_coefficients(struct coefficients s, const float *product, const float *b,
                                                         const float *alpha, float *post) {
    s.n = STREAMS(N, s.n);
#pragma unroll
    for (int i = 0; i < s.n; i++)
        post[i] = mhc_post_of(s, i, product[s.n + i], b, alpha);
}

template <int N, typename MAP>
static __device__ __forceinline__ void res_logits(struct coefficients s, const float *product, const float *b,
                                                  const float *alpha, float *logits) {
    s.n = STREAMS(N, s.n);
#pragma unroll
    for (int k = 0; k < MAP::logits(s.n); k++)
        logits[k] = mhc_res_logit(s, k, product, b, alpha);
}

template <int N, typename MAP>
static __device__ __forceinline__ void res_coefficients(struct coefficients s, const float *product, const float *b,
                                                        const float *alpha, float *res) {
    res_logits<N, MAP>(s, product, b, alpha, res);
    MAP::template forward<N>(s, res);
}

/* z = dL/dlogit of the three parts, from the gradients of the coefficients. */
template <int N>
static __device__ __forceinline__ void pre_logit_gradient(struct coefficients s, const float *pre,
                                                          const float *grad_pre, float *z) {
#pragma unroll
    for (int i = 0; i < STREAMS(N, s.n); i++) {
        float sigma = pre[i] - s.eps;
        z[i] = grad_pre[i] * (sigma * (1 - sigma));
    }
}

template <int N>
static __device__ __forceinline__ void post_logit_gradient(struct coefficients s, const float *post,
                                                           const float *grad_post, float *z) {
#pragma unroll
    for (int i = 0; i < STREAMS(N, s.n); i++)
        z[STREAMS(N, s.n) + i] = grad_post[i] * (post[i] * (1 - post[i] / 2));
}

/* In a kernel whose block has nothing but traces in shared memory, one per thread. */
template <int N, typename MAP>
static __device__ __forceinline__ void res_logit_gradient(struct coefficients s, const float *product, const float *b,
                                                          const float *alpha, const float *grad_res, float *z) {
    float logits[map_room<N, MAP>()];
    typename MAP::template trace<N> own, *trace = trace_at<N, MAP>(shared_memory(), (int)threadIdx.x, &own);
    res_logits<N, MAP>(s, product, b, alpha, logits);
    MAP::template record<N>(s, logits, trace);
    MAP::template backward<N>(s, trace, grad_res, z + 2 * STREAMS(N, s.n));
}

/* q_k = alpha z_k / r, the gradient of x.phi_k, 0 for a token of zeros; returns through_norm = sum q product, in the
 * order of k.
 *   grad_x gains q.phi^T - (through_norm / nC) (x / r) */
template <int N, typename MAP>
static __device__ __forceinline__ float mhc_through_norm(struct coefficients s, const float *z, const float *product,
                                                         const float *alpha, float r, float *q) {
    const int n = STREAMS(N, s.n);
    float through_norm = 0;
#pragma unroll
    for (int k = 0; k < column_count<MAP>(n); k++) {
        q[k] = r == 0 ? 0 : alpha[part_of(n, k)] * z[k] / r;
        through_norm = fmaf(q[k], product[k], through_norm);
    }
    return through_norm;
}

/* All of it: gradients of the coefficients, one behind the other in grad_coef, give z and q [columns]; returns
 * through_norm. */
template <int N, typename MAP>
static __device__ __forceinline__ float mhc_coefficients_backward(struct coefficients s, const float *grad_coef,
                                                                  const float *pre, const float *post,
                                                                  const float *product, float r, const float *b,
                                                                  const float *alpha, float *z, float *q) {
    const int n = STREAMS(N, s.n);
    pre_logit_gradient<N>(s, pre, grad_coef, z);
    post_logit_gradient<N>(s, post, grad_coef + n, z);
    if constexpr (MAP::RES)
        res_logit_gradient<N, MAP>(s, product, b, alpha, grad_coef + 2 * n, z);
    return mhc_through_norm<N, MAP>(s, z, product, alpha, r, q);
}

/* --- HC: stream i alone, product [n+2] is that stream's --- */

/* Coefficient m of stream i: pre_i, post_i, then column i of res. */
static __device__ __forceinline__ float hc_coefficient(int n, int i, int m, float product, const float *b_pre,
                                                       const float *b_post, const float *b_res, const float *alpha) {
    float b = m == 0 ? b_pre[i] : m == 1 ? b_post[i] : b_res[(m - 2) * n + i];
    return fmaf(alpha[m < 2 ? m : 2], tanhf(product), b);
}

/* Where it lies in a token's pre [n], post [n] and res [n][n]. */
static __device__ __forceinline__ float *hc_coefficient_at(int n, int i, int m, float *pre, float *post, float *res) {
    return m == 0 ? pre + i : m == 1 ? post + i : res + (m - 2) * n + i;
}

/* All that stream i decides. */
static __device__ __forceinline__ void hc_coefficients(int n, int i, const float *product, const float *b_pre,
                                                       const float *b_post, const float *b_res, const float *alpha,
                                                       float *pre, float *post, float *res) {
    for (int m = 0; m < n + 2; m++)
        *hc_coefficient_at(n, i, m, pre, post, res) = hc_coefficient(n, i, m, product[m], b_pre, b_post, b_res, alpha);
}

/* Gradient of coefficient m of stream i: where it lies among grad_pre [n], grad_post [n], grad_res [n][n], one behind
 * the other. */
static __device__ __forceinline__ int hc_place(int n, int i, int m) {
    return m < 2 ? m * n + i : 2 * n + (m - 2) * n + i;
}

/* q_m = alpha (1 - tanh^2) grad / r, the gradient of <theta_m, x_i>; returns through_norm = sum q product of the
 * stream. */
static __device__ __forceinline__ float hc_coefficients_backward(int n, int i, const float *grad_coef,
                                                                 const float *product, float r, const float *alpha,
                                                                 float *q) {
    float through_norm = 0;
    for (int m = 0; m < n + 2; m++) {
        float s = tanhf(product[m]);
        q[m] = r == 0 ? 0 : alpha[m < 2 ? m : 2] * grad_coef[hc_place(n, i, m)] * ((1 - s) * (1 + s)) / r;
        through_norm = fmaf(q[m], product[m], through_norm);
    }
    return through_norm;
}

#endif
