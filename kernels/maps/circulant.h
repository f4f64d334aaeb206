/* C-mHC (github contactsebi/circulant-hyper-connections): res[i][(i + k) mod n] = c_k, c = (1 - g) e_0 + g softmax of
 * the n logits; g is the constant of the case.
 *
 *   d loss / d c_k = sum over i of grad_res[i][(i + k) mod n], times g, then that of a softmax */
#ifndef KERNELS_MAPS_CIRCULANT_H
#define KERNELS_MAPS_CIRCULANT_H

#include "cpu_ref/maps/circulant.h"
#include "kernels/maps/maps.h"

struct circulant_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    static __host__ __device__ constexpr int logits(int n) {
        return n;
    }
    static bool supports(const struct mhc_case *c, const char **why) {
        return mhc_circulant_mixes(c, why);
    }

    template <int N> struct trace { float share[ROOM(N)]; };

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits_in, trace<N> *trace) {
#pragma unroll
        for (int k = 0; k < STREAMS(N, s.n); k++)
            trace->share[k] = logits_in[k];
        softmax(STREAMS(N, s.n), trace->share);
    }

    static __device__ __forceinline__ int cell(int n, int i, int k) {
        return i * n + (i + k < n ? i + k : i + k - n);
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n);
        trace<N> trace;
        record<N>(s, m, &trace);
#pragma unroll
        for (int k = 0; k < n; k++) {
            float c = s.constant * trace.share[k] + (k ? 0 : 1 - s.constant);
#pragma unroll
            for (int i = 0; i < n; i++)
                m[cell(n, i, k)] = c;
        }
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n);
#pragma unroll
        for (int k = 0; k < n; k++) {
            float grad = 0;
#pragma unroll
            for (int i = 0; i < n; i++)
                grad += grad_res[cell(n, i, k)];
            grad_logits[k] = s.constant * grad;
        }
        softmax_backward(n, trace->share, grad_logits);
    }
};

#endif
