/* The coefficients of mHC in the two-pass way, with any residual map: a thread per token. */
#ifndef TWO_PASS_COEFFICIENTS_H
#define TWO_PASS_COEFFICIENTS_H

#include "kernels/coefficients.h"

enum { TOKENS_A_BLOCK = 32 }; /* one thread per token: one warp per block spreads few tokens over the multiprocessors */

template <int N, typename MAP>
static __global__ void coefficients_kernel(struct coefficients s, int64_t T, const float *product, const float *b,
                                           const float *alpha, float *pre, float *post, float *res) {
    const int n = STREAMS(N, s.n), columns = column_count<MAP>(n);
    int64_t t = (int64_t)blockIdx.x * TOKENS_A_BLOCK + threadIdx.x;
    if (t >= T)
        return;
    product += t * columns;
    pre_coefficients<N>(s, product, b, alpha, pre + t * n);
    post_coefficients<N>(s, product, b, alpha, post + t * n);
    if constexpr (MAP::RES) {
        float matrix[map_room<N, MAP>()];
        res_coefficients<N, MAP>(s, product, b, alpha, matrix);
#pragma unroll
        for (int k = 0; k < n * n; k++)
            res[t * n * n + k] = matrix[k];
    }
}

/* What the backward of the coefficients reads and writes, [T][..]. */
struct chain {
    const float *grad_coef, *pre, *post, *product, *r, *b, *alpha;
    float *z, *q;
    float2 *norm;
};

template <int N, typename MAP>
static __global__ void chain_kernel(struct coefficients s, int64_t T, float inverse_D, struct chain a) {
    const int n = STREAMS(N, s.n), columns = column_count<MAP>(n), coefficients = coefficient_count<MAP>(n);
    int64_t t = (int64_t)blockIdx.x * TOKENS_A_BLOCK + threadIdx.x;
    if (t >= T)
        return;
    float r = a.r[t], through_norm;
    if constexpr (
        N ==
        0) { /* too many for registers: they stay where they lie; a device has to put by local memory for all threads */
        through_norm = mhc_coefficients_backward<N, MAP>(s, a.grad_coef + t * coefficients, a.pre + t * n,
                                                         a.post + t * n, a.product + t * columns, r, a.b, a.alpha,
                                                         a.z + t * columns, a.q + t * columns);
    } else {
        float grad[coefficient_count<MAP>(N)], z[column_count<MAP>(N)], q[column_count<MAP>(N)];
#pragma unroll
        for (int k = 0; k < coefficients; k++)
            grad[k] = a.grad_coef[t * coefficients + k];
        through_norm = mhc_coefficients_backward<N, MAP>(s, grad, a.pre + t * n, a.post + t * n,
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

static inline unsigned token_blocks(const struct mhc_case *c) {
    return (unsigned)blocks_of(c->T, TOKENS_A_BLOCK);
}

template <int N, typename MAP>
static int start_coefficients(struct device *d, void *queue, const struct mhc_case *c, const float *product,
                              const struct mhc_pre_args *a) {
    return CHECKED(d, LAUNCH((coefficients_kernel<N, MAP>), token_blocks(c), TOKENS_A_BLOCK, 0, queue,
                             coefficients_of(c), c->T, product, (const float *)a->b, (const float *)a->alpha,
                             (float *)a->pre, (float *)a->post, (float *)a->res));
}

template <int N, typename MAP>
static int start_chain(struct device *d, void *queue, const struct mhc_case *c, const struct chain *a) {
    return CHECKED(d, LAUNCH((chain_kernel<N, MAP>), token_blocks(c), TOKENS_A_BLOCK,
                             (trace_bytes<N, MAP>(TOKENS_A_BLOCK)), queue, coefficients_of(c), c->T,
                             1 / (float)(c->n * c->C), *a));
}

/* pre, post and res of all tokens from their products. 0, or 1 with device.error set. */
template <typename MAP>
static int two_pass_coefficients(struct device *d, void *queue, const struct mhc_case *c, const float *product,
                                 const struct mhc_pre_args *a) {
#define CALL(T, N) start_coefficients<N, MAP>(d, queue, c, product, a)
    return FOR_COUNT(c, float, CALL);
#undef CALL
}

/* z, q and norm of all tokens from the gradients of their coefficients. */
template <typename MAP>
static int two_pass_chain(struct device *d, void *queue, const struct mhc_case *c, const struct chain *a) {
#define CALL(T, N) start_chain<N, MAP>(d, queue, c, a)
    return FOR_COUNT(c, float, CALL);
#undef CALL
}

#endif
