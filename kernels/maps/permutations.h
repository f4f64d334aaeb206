/* mHC-lite (arXiv 2601.05732): res = sum_k a_k P_k, a = softmax of n! logits, n from 1 to 5, the permutations in
 * lexicographic order; P_k sends stream i to stream perm_k(i).
 *
 *   d loss / d a_k = sum over i of grad_res[perm_k(i)][i], then that of a softmax */
#ifndef KERNELS_MAPS_PERMUTATIONS_H
#define KERNELS_MAPS_PERMUTATIONS_H

#include "kernels/maps/maps.h"

struct permutations_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    enum { MOST_STREAMS = 5, MOST_LOGITS = 120 };
    static __host__ __device__ constexpr int factorial(int n) {
        return n <= 1 ? 1 : n == 2 ? 2 : n == 3 ? 6 : n == 4 ? 24 : 120;
    }
    /* 0 where the map does not exist: the kernels of that n are never started. */
    static __host__ __device__ constexpr int logits(int n) {
        return n <= MOST_STREAMS ? factorial(n) : 0;
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }

    template <int N> struct trace { float a[N && N <= MOST_STREAMS ? factorial(N) : MOST_LOGITS]; };

    /* perm_k(i), from the digits of k in factorials: digit i counts the smaller streams that are still free. */
    static __host__ __device__ constexpr int digit(int n, int k, int i) {
        return k / factorial(n - 1 - i) % (n - i);
    }
    static __host__ __device__ constexpr int target(int n, int k, int i) {
        int place = digit(n, k, i);
        for (int j = i - 1; j >= 0; j--)
            place += place >= digit(n, k, j);
        return place;
    }
    /* Where res has the 1 of permutation k for stream i. */
    static __host__ __device__ constexpr int cell(int n, int k, int i) {
        return target(n, k, i) * n + i;
    }

    /* m += a_k P_k for all k, and grad_k = sum over the cells of P_k; of N that is known, AT = k N + i counts the
     * cells, so that every place is a constant before registers are given out. */
    template <int N, int AT = 0> static __device__ __forceinline__ void spread(int n, const float *a, float *m) {
        if constexpr (N == 0) {
            for (int at = 0; at < logits(n) * n; at++)
                m[cell(n, at / n, at % n)] += a[at / n];
        } else if constexpr (AT < logits(N) * N) {
            constexpr int to = cell(N, AT / N, AT % N);
            m[to] += a[AT / N];
            spread<N, AT + 1>(n, a, m);
        }
    }
    template <int N, int AT = 0> static __device__ __forceinline__ void collect(int n, const float *m, float *grad) {
        if constexpr (N == 0) {
            for (int at = 0; at < logits(n) * n; at++)
                grad[at / n] = m[cell(n, at / n, at % n)] + (at % n ? grad[at / n] : 0);
        } else if constexpr (AT < logits(N) * N) {
            constexpr int from = cell(N, AT / N, AT % N);
            grad[AT / N] = m[from] + (AT % N ? grad[AT / N] : 0);
            collect<N, AT + 1>(n, m, grad);
        }
    }

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits_in, trace<N> *trace) {
        const int K = logits(STREAMS(N, s.n));
#pragma unroll
        for (int k = 0; k < K; k++)
            trace->a[k] = logits_in[k];
        softmax(K, trace->a);
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n);
        trace<N> trace;
        record<N>(s, m, &trace);
#pragma unroll
        for (int e = 0; e < n * n; e++)
            m[e] = 0;
        spread<N>(n, trace.a, m);
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n);
        collect<N>(n, grad_res, grad_logits);
        softmax_backward(logits(n), trace->a, grad_logits);
    }
};

#endif
