/* KromHC (arXiv 2601.21579): n = 2^k, and res = U_1 kron ... kron U_k with U_f = [[p, 1 - p], [1 - p, p]]. The logits
 * of factor f are the pair 2 f, 2 f + 1, and p is the first entry of their softmax. U_1 decides the most significant
 * bit of a stream's number.
 *
 *   d loss / d p_f = sum over the entries of grad_res o (res with U_f replaced by [[1, -1], [-1, 1]]),   d
 * p_f / d logits = +- p (1 - p) */
#ifndef KERNELS_MAPS_KRONECKER_H
#define KERNELS_MAPS_KRONECKER_H

#include "kernels/maps/maps.h"

struct kronecker_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    static __host__ __device__ constexpr int factors(int n) {
        return n >= 16 ? 4 : n >= 8 ? 3 : n >= 4 ? 2 : n >= 2 ? 1 : 0;
    }
    static __host__ __device__ constexpr int logits(int n) {
        return 2 * factors(n);
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }

    /* p and 1 - p of each factor, neither from the other: both keep their digits near 0. */
    template <int N> struct trace { float p[factors(ROOM(N)) + 1], rest[factors(ROOM(N)) + 1]; };

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits, trace<N> *trace) {
#pragma unroll
        for (int f = 0; f < factors(STREAMS(N, s.n)); f++) {
            float difference = logits[2 * f] - logits[2 * f + 1];
            trace->p[f] = sigmoid(difference);
            trace->rest[f] = sigmoid(-difference);
        }
    }

    /* Entry (i, j) of res without factor `left_out`, -1 for none. */
    template <int N>
    static __device__ __forceinline__ float entry(int n, const trace<N> *trace, int i, int j, int left_out) {
        const int count = factors(n);
        float product = 1;
#pragma unroll
        for (int f = 0; f < count; f++)
            if (f != left_out)
                product *= (i ^ j) >> (count - 1 - f) & 1 ? trace->rest[f] : trace->p[f];
        return product;
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n);
        trace<N> trace;
        record<N>(s, m, &trace);
#pragma unroll
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int j = 0; j < n; j++)
                m[i * n + j] = entry<N>(n, &trace, i, j, -1);
        }
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n), count = factors(n);
#pragma unroll
        for (int f = 0; f < count; f++) {
            float grad_p = 0;
#pragma unroll
            for (int i = 0; i < n; i++) {
#pragma unroll
                for (int j = 0; j < n; j++) {
                    float others = entry<N>(n, trace, i, j, f);
                    grad_p = fmaf((i ^ j) >> (count - 1 - f) & 1 ? -others : others, grad_res[i * n + j], grad_p);
                }
            }
            float grad = grad_p * trace->p[f] * trace->rest[f];
            grad_logits[2 * f] = grad;
            grad_logits[2 * f + 1] = -grad;
        }
    }
};

#endif
