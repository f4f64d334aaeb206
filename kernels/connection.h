/* The streaming half of a connection in device code, shared by every kernel that does it, so that all give the same
 * bits: explicit fmaf in one order. Arrays are those of one token; W neighbouring channels at a time. */
#ifndef KERNELS_CONNECTION_H
#define KERNELS_CONNECTION_H

#include "kernels/library.h"

/* N streams known to the compiler, or `count` of them when N is 0. */
#define STREAMS(N, count) ((N) ? (N) : (count))
#define ROOM(N) ((N) ? (N) : MHC_MAX_STREAMS)
#define MATRIX(N) (ROOM(N) * ROOM(N)) /* elements of a token's res */

/* W = OCTET neighbouring elements at once, or one where rows are not aligned to that. */
template <int W, typename T> static __device__ __forceinline__ void load_channels(const T *from, float *to) {
    if (W == OCTET)
        load_octet(from, to);
    else
        to[0] = to_float(*from);
}
template <int W, typename T> static __device__ __forceinline__ void store_channels(T *to, const float *from) {
    if (W == OCTET)
        store_octet(to, from);
    else
        *to = from_float<T>(*from);
}

/* next_i = post_i y + sum_j res_ij x_j, j in order; res NULL: the identity. */
template <int N, int W>
static __device__ __forceinline__ void combine(int n, const float (*x)[W], const float *y, const float *post,
                                               const float *res, int i, float *next) {
#pragma unroll
    for (int w = 0; w < W; w++) {
        if (!res) {
            next[w] = fmaf(post[i], y[w], x[i][w]);
            continue;
        }
        next[w] = post[i] * y[w];
#pragma unroll
        for (int j = 0; j < ROOM(N); j++)
            if (j < STREAMS(N, n))
                next[w] = fmaf(res[i * STREAMS(N, n) + j], x[j][w], next[w]);
    }
}

/* sum_i a_i x_i, i in order. */
template <int N, int W>
static __device__ __forceinline__ void aggregate(int n, const float (*x)[W], const float *a, float *sum) {
#pragma unroll
    for (int w = 0; w < W; w++) {
        sum[w] = a[0] * x[0][w];
#pragma unroll
        for (int i = 1; i < ROOM(N); i++)
            if (i < STREAMS(N, n))
                sum[w] = fmaf(a[i], x[i][w], sum[w]);
    }
}

/* Threads of a block that walks the channels of one token in steps of W. */
static inline unsigned token_threads(int64_t C, int W) {
    int64_t steps = blocks_of(C, W), turns = blocks_of(steps, 256);
    return (unsigned)(blocks_of(blocks_of(steps, turns), WARP) * WARP);
}

/* connection.cu: 0, or 1 with device.error set.
 * x_next_t = res_t.x_t + post_t^T.y_t; res is not looked at where the map of the case is the identity. */
int gpu_post(struct device *, void *queue, const struct mhc_case *, const void *x, const void *y, const void *post,
             const void *res, void *x_next);
/* u_t = sum_i pre_ti x_ti, and grad_y_t = sum_i post_ti grad_x_next_ti. */
int gpu_aggregate(struct device *, void *queue, const struct mhc_case *, const void *x, const void *pre, void *u);

#endif
