/* No constraint: the logits are res, [destination][source] in either convention. Also what HC does with its own res. */
#ifndef KERNELS_MAPS_FREE_H
#define KERNELS_MAPS_FREE_H

#include "kernels/maps/maps.h"

struct free_map {
    static constexpr bool RES = true, RECORDS = false, SLOW = false;
    static __host__ __device__ constexpr int logits(int n) {
        return n * n;
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }
    template <int N> using trace = no_trace;

    template <int N> static __device__ __forceinline__ void forward(struct coefficients, float *) {
    }
    template <int N>
    static __device__ __forceinline__ void record(struct coefficients, const float *, struct no_trace *) {
    }
    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, struct no_trace *, const float *grad_res,
                                                    float *grad_logits) {
#pragma unroll
        for (int k = 0; k < STREAMS(N, s.n) * STREAMS(N, s.n); k++)
            grad_logits[k] = grad_res[k];
    }
};

#endif
