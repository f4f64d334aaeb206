/* go-mHC (arXiv 2604.02309): res_ij = (1/s) sum over k, l < s of Q[(i, k)][(j, l)]^2, where Q of s n rows comes by
 * Cayley from a skew matrix A, whose upper triangle the logits are. S is s: 1 or 2.
 *
 *   d loss / d Q = (2/s) grad_res o Q
 *
 * W is off by roundings of A's size, here those of float; a logit beyond +-1e4 counts as 1e4, as on the CPU. */
#ifndef KERNELS_MAPS_ORTHOSTOCHASTIC_H
#define KERNELS_MAPS_ORTHOSTOCHASTIC_H

#include "kernels/maps/cayley.h"

template <int S> struct orthostochastic_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    enum { MOST = S * MHC_MAX_STREAMS };
    static constexpr float LARGEST = 1e4f;
    static __host__ __device__ constexpr int logits(int n) {
        return triangle_cells(S * n);
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }
    /* Rows of Q that the compiler knows. */
    static __host__ __device__ constexpr int rows(int N) {
        return N ? S * N : -1;
    }

    /* A bit for each logit that is cut off, and W. */
    template <int N> struct trace {
        float W[S * S * MATRIX(N)];
        uint32_t cut[(triangle_cells(S * ROOM(N)) + 31) / 32 + 1];
    };

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits_in, trace<N> *trace) {
        const int K = logits(STREAMS(N, s.n));
        float A[triangle_cells(S * ROOM(N)) + 1];
#pragma unroll
        for (int k = 0; k < (K + 31) / 32; k++)
            trace->cut[k] = 0;
#pragma unroll
        for (int k = 0; k < K; k++) { /* NaN passes */
            A[k] = logits_in[k] >= LARGEST ? LARGEST : logits_in[k] <= -LARGEST ? -LARGEST : logits_in[k];
            trace->cut[k / 32] |= (uint32_t)(fabsf(A[k]) >= LARGEST) << k % 32;
        }
        cayley<rows(N), MOST>(S * s.n, A, trace->W);
    }

    static __device__ __forceinline__ float entry(const float *W, int m, int i, int j) {
        return i == j ? 2 * W[i * m + j] - 1 : 2 * W[i * m + j];
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n);
        trace<N> trace;
        record<N>(s, m, &trace);
#pragma unroll
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int j = 0; j < n; j++) {
                float sum = 0;
#pragma unroll
                for (int k = 0; k < S; k++) {
#pragma unroll
                    for (int l = 0; l < S; l++) {
                        float q = entry(trace.W, S * n, S * i + k, S * j + l);
                        sum = fmaf(q, q, sum);
                    }
                }
                m[i * n + j] = sum / S;
            }
        }
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n), rows_now = S * n, K = logits(n);
#pragma unroll
        for (int i = 0; i < rows_now; i++) {
            float row[S * ROOM(N)];
#pragma unroll
            for (int j = 0; j < rows_now; j++) {
                row[j] = 0;
#pragma unroll
                for (int k = 0; k < rows_now; k++) { /* Q = 2 W - I, and no product that the next row could keep */
                    float weight = trace->W[k * rows_now + i] * grad_res[k / S * n + j / S];
                    row[j] = fmaf(weight, trace->W[k * rows_now + j], row[j]);
                    if (k == j)
                        row[j] = fmaf(-0.5f, weight, row[j]);
                }
                row[j] *= 4.0f / S;
            }
            cayley_backward_row<rows(N)>(rows_now, i, trace->W, row, grad_logits);
        }
#pragma unroll
        for (int k = 0; k < K; k++)
            if (trace->cut[k / 32] >> k % 32 & 1)
                grad_logits[k] = 0;
    }
};

#endif
