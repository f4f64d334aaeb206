/* sHC (arXiv 2603.20896): res = J/n + Z V S U' Z', where Z [n][n-1] is the Helmert basis of the complement of 1, U and
 * V come by Cayley from skew matrices A = tanh(logits), and S is diagonal, tanh of the last n - 1 logits. Logits: the
 * triangle of U, that of V, S.
 *
 *   P = Z U, R = Z V, E = grad_res' R:   d loss / d P_k = S_k E_k,  / d R_k = S_k grad_res P_k,  / d S_k = P_k . E_k,
 *   d loss / d U = Z' (d loss / d P) */
#ifndef KERNELS_MAPS_SPECTRAL_H
#define KERNELS_MAPS_SPECTRAL_H

#include "kernels/maps/cayley.h"

struct spectral_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    enum { MOST = MHC_MAX_STREAMS - 1 };
    static __host__ __device__ constexpr int logits(int n) {
        return (n - 1) * (n - 1);
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }
    static __host__ __device__ constexpr int rows(int N) {
        return N ? N - 1 : -1;
    }

    /* tanh of the logits; W, and Z Q [n][m], of U and of V. */
    template <int N> struct trace { float A[MATRIX(N)], W[2][MATRIX(N)], P[2][MATRIX(N)]; };

    /* Column k of Z is 1 / root down to row k, -(k + 1) / root in row k + 1, root = sqrt((k + 1) (k + 2)). */
    static __device__ __forceinline__ float helmert(int i, int k) {
        return (i <= k ? 1 : -(float)(k + 1)) / sqrtf((float)((k + 1) * (k + 2)));
    }

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits_in, trace<N> *trace) {
        const int n = STREAMS(N, s.n), m = n - 1;
#pragma unroll
        for (int k = 0; k < m * m; k++)
            trace->A[k] = tanhf(logits_in[k]);
#pragma unroll
        for (int side = 0; side < 2; side++) {
            cayley<rows(N), MOST>(m, trace->A + side * triangle_cells(m), trace->W[side]);
#pragma unroll
            for (int i = 0; i < n; i++) {
#pragma unroll
                for (int k = 0; k < m; k++) {
                    float sum = 0;
#pragma unroll
                    for (int j = 0; j < m; j++)
                        if (i <= j + 1)
                            sum = fmaf(helmert(i, j), 2 * trace->W[side][j * m + k] - (j == k), sum);
                    trace->P[side][i * m + k] = sum;
                }
            }
        }
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n), rank = n - 1, S = 2 * triangle_cells(rank);
        trace<N> trace;
        record<N>(s, m, &trace);
#pragma unroll
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int j = 0; j < n; j++) {
                float sum = 1 / (float)n;
#pragma unroll
                for (int k = 0; k < rank; k++)
                    sum = fmaf(trace.P[1][i * rank + k] * trace.A[S + k], trace.P[0][j * rank + k], sum);
                m[i * n + j] = sum;
            }
        }
    }

    /* E of a side: grad_res' R for U, grad_res P for V. */
    template <int N>
    static __device__ __forceinline__ void project(int n_any, int side, const trace<N> *trace, const float *grad_res,
                                                   float *E) {
        const int n = STREAMS(N, n_any), m = n - 1;
#pragma unroll
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int k = 0; k < m; k++) {
                float sum = 0;
#pragma unroll
                for (int j = 0; j < n; j++)
                    sum = fmaf(side ? grad_res[i * n + j] : grad_res[j * n + i], trace->P[1 - side][j * m + k], sum);
                E[i * m + k] = sum;
            }
        }
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n), m = n - 1, S = 2 * triangle_cells(m);
#pragma unroll
        for (int side = 0; side < 2; side++) {
            float E[MATRIX(N)], grad_Q[MATRIX(N)];
            project<N>(s.n, side, trace, grad_res, E);
#pragma unroll
            for (int k = 0; k < m; k++) {
                if (!side) {
                    float sum = 0;
#pragma unroll
                    for (int i = 0; i < n; i++)
                        sum = fmaf(trace->P[0][i * m + k], E[i * m + k], sum);
                    grad_logits[S + k] = sum;
                }
#pragma unroll
                for (int j = 0; j < m; j++) {
                    float sum = 0;
#pragma unroll
                    for (int i = 0; i < n; i++)
                        if (i <= j + 1)
                            sum = fmaf(helmert(i, j), E[i * m + k], sum);
                    grad_Q[j * m + k] = sum * trace->A[S + k];
                }
            }
#pragma unroll
            for (int i = 0; i < m; i++) {
                float row[ROOM(N)];
#pragma unroll
                for (int j = 0; j < m; j++) {
                    row[j] = 0;
#pragma unroll
                    for (int k = 0; k < m; k++)
                        row[j] = fmaf(trace->W[side][k * m + i], grad_Q[k * m + j], row[j]);
                }
                cayley_backward_row<rows(N)>(m, i, trace->W[side], row, grad_logits + side * triangle_cells(m));
            }
        }
#pragma unroll
        for (int k = 0; k < m * m; k++)
            grad_logits[k] *= (1 - trace->A[k]) * (1 + trace->A[k]);
    }
};

#endif
