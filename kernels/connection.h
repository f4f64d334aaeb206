/* The streaming half of a connection in device code, shared by every kernel that does it, so that all give the same bits: explicit
 * fmaf in one order. Arrays are those of one token; W neighbouring channels at a time. */
#ifndef KERNELS_CONNECTION_H
#define KERNELS_CONNECTION_H

#include "kernels/library.h"

/* N streams known to the compiler, or `count` of them when N is 0. */
#define STREAMS(N, count) ((N) ? (N) : (count))
#define ROOM(N) ((N) ? (N) : MHC_MAX_STREAMS)

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

/* Rows of operations that need streams and given coefficients only; connection.cu. */
int gpu_post(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
int gpu_post_identity(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
int gpu_post_backward_y(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
/* u_t = sum_i pre_ti x_ti. 0, or 1 with device.error set. */
int gpu_aggregate(struct device *, void *queue, const struct mhc_case *, const void *x, const float *pre, void *u);
double gpu_post_flops(const struct mhc_case *);
double gpu_aggregate_flops(const struct mhc_case *);

#endif
