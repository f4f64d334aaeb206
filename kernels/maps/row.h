/* A residual map of a whole case, one thread per token: what the rows map.* and sinkhorn.* run. Each array is read or
 * written once; Sinkhorn is bound by its chain of divisions all the same. */
#ifndef KERNELS_MAPS_ROW_H
#define KERNELS_MAPS_ROW_H

#include "kernels/maps/maps.h"

enum { MAP_THREADS = 64 };

/* Threads of backward: half as many where their traces fill the shared memory of the block. */
template <int N, typename MAP> static __host__ __device__ constexpr int map_backward_threads(void) {
    return shares_trace<N, MAP>() ? WARP : MAP_THREADS;
}

template <int N, typename MAP>
static __global__ void __launch_bounds__(MAP_THREADS, 1)
    map_forward_kernel(struct coefficients s, int64_t T, const float *logits, float *res) {
    const int n = STREAMS(N, s.n), K = MAP::logits(n);
    int64_t t = (int64_t)blockIdx.x * MAP_THREADS + threadIdx.x;
    if (t >= T)
        return;
    float m[map_room<N, MAP>()];
#pragma unroll
    for (int k = 0; k < K; k++)
        m[k] = logits[t * K + k];
    MAP::template forward<N>(s, m);
#pragma unroll
    for (int k = 0; k < n * n; k++)
        res[t * n * n + k] = m[k];
}

template <int N, typename MAP>
static __global__ void __launch_bounds__((map_backward_threads<N, MAP>()))
    map_backward_kernel(struct coefficients s, int64_t T, const float *logits, const float *grad_res,
                        float *grad_logits) {
    const int n = STREAMS(N, s.n), K = MAP::logits(n);
    int64_t t = (int64_t)blockIdx.x * map_backward_threads<N, MAP>() + threadIdx.x;
    if (t >= T)
        return;
    typename MAP::template trace<N> own, *trace = trace_at<N, MAP>(shared_memory(), (int)threadIdx.x, &own);
    MAP::template record<N>(s, logits + t * K, trace);
    if constexpr (N == 0) { /* too many for registers */
        MAP::template backward<N>(s, trace, grad_res + t * n * n, grad_logits + t * K);
    } else {
        float grad[MATRIX(N)], z[MAP::logits(N) + 1];
#pragma unroll
        for (int k = 0; k < n * n; k++)
            grad[k] = grad_res[t * n * n + k];
        MAP::template backward<N>(s, trace, grad, z);
#pragma unroll
        for (int k = 0; k < K; k++)
            grad_logits[t * K + k] = z[k];
    }
}

/* --- host --- */

template <int N, typename MAP>
static int start_map_forward(struct device *d, void *queue, const struct mhc_case *c, const float *logits, float *res) {
    return CHECKED(d, LAUNCH((map_forward_kernel<N, MAP>), (unsigned)blocks_of(c->T, MAP_THREADS), MAP_THREADS, 0,
                             queue, coefficients_of(c), c->T, logits, res));
}

template <int N, typename MAP>
static int start_map_backward(struct device *d, void *queue, const struct mhc_case *c, const float *logits,
                              const float *grad_res, float *grad_logits) {
    constexpr int THREADS = map_backward_threads<N, MAP>();
    return CHECKED(d, LAUNCH((map_backward_kernel<N, MAP>), (unsigned)blocks_of(c->T, THREADS), THREADS,
                             (trace_bytes<N, MAP>(THREADS)), queue, coefficients_of(c), c->T, logits, grad_res,
                             grad_logits));
}

/* 0, or 1 with device.error set. A map without res has neither. */
template <typename MAP>
static int map_forward_of(struct device *d, void *queue, const struct mhc_case *c, const float *logits, float *res) {
    if constexpr (MAP::RES) {
#define CALL(T, N) start_map_forward<N, MAP>(d, queue, c, logits, res)
        return FOR_COUNT(c, float, CALL);
#undef CALL
    }
    return 0;
}

template <typename MAP>
static int map_backward_of(struct device *d, void *queue, const struct mhc_case *c, const float *logits,
                           const float *grad_res, float *grad_logits) {
    if constexpr (MAP::RES) {
#define CALL(T, N) start_map_backward<N, MAP>(d, queue, c, logits, grad_res, grad_logits)
        return FOR_COUNT(c, float, CALL);
#undef CALL
    }
    return 0;
}

#endif
