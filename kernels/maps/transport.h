/* TBP-mHC (arXiv 2605.21724), see cpu_ref/maps/transport.c: a transport plan between equal margins, cell by cell.
 * With r and c what is left of row i and column j, and behind the rest of the columns behind j, for i and j < n - 1
 *
 *   X = low + (high - low) sigmoid(logit),   low = max(0, r - behind),   high = min(r, c);
 *
 * the last column and row take what is left; res is the transpose of (1 - delta) X + delta / n. Backward, the cells go
 * in reverse; max and min pass the gradient on to the argument that holds, halves at a tie. */
#ifndef KERNELS_MAPS_TRANSPORT_H
#define KERNELS_MAPS_TRANSPORT_H

#include "kernels/maps/maps.h"

struct transport_map {
    static constexpr bool RES = true, RECORDS = true, SLOW = false;
    static constexpr float DELTA = 3.3535013046647811e-4f; /* sigmoid(-8) */
    static __host__ __device__ constexpr int logits(int n) {
        return (n - 1) * (n - 1);
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }

    /* Sigmoids, all NaN where a logit is; high - low, and the shares of the gradients. */
    template <int N> struct trace { float share[MATRIX(N)], width[MATRIX(N)], row[MATRIX(N)], low[MATRIX(N)]; };

    /* 1 where a < b, 1/2 at a tie. */
    static __device__ __forceinline__ float less(float a, float b) {
        return a < b ? 1.0f : a == b ? 0.5f : 0.0f;
    }

    /* The plan, X [n][n] or NULL, and its trace, whose shares are the logits before. Returns 0, or NaN where a logit
     * is, which a minimum can hide from X. */
    template <int N, bool KEEP> static __device__ __forceinline__ float fill(int n_any, trace<N> *trace, float *X) {
        const int n = STREAMS(N, n_any), K = logits(n);
        float c[ROOM(N)], lost = 0;
#pragma unroll
        for (int k = 0; k < K; k++)
            lost += trace->share[k] == trace->share[k] ? 0 : trace->share[k];
#pragma unroll
        for (int k = 0; k < K; k++)
            trace->share[k] = sigmoid(trace->share[k]) + lost;
#pragma unroll
        for (int j = 0; j < n; j++)
            c[j] = 1;
#pragma unroll
        for (int i = 0; i < n - 1; i++) {
            float r = 1, behind[ROOM(N)];
            behind[n - 1] = 0;
#pragma unroll
            for (int j = n - 1; j > 0; j--)
                behind[j - 1] = behind[j] + c[j];
#pragma unroll
            for (int j = 0; j < n - 1; j++) {
                const int k = i * (n - 1) + j;
                float low = fmaxf(0, r - behind[j]), high = fminf(r, c[j]);
                trace->width[k] = high - low;
                trace->row[k] = less(r, c[j]);
                trace->low[k] = less(behind[j], r);
                float x = fminf(fmaf(high - low, trace->share[k], low), high);
                if (KEEP)
                    X[i * n + j] = x;
                r -= x;
                c[j] -= x;
            }
            if (KEEP)
                X[i * n + n - 1] = r;
            c[n - 1] = fmaxf(c[n - 1] - r, 0);
        }
#pragma unroll
        for (int j = 0; j < n; j++)
            if (KEEP)
                X[(n - 1) * n + j] = c[j];
        return lost;
    }

    template <int N>
    static __device__ __forceinline__ void record(struct coefficients s, const float *logits_in, trace<N> *trace) {
#pragma unroll
        for (int k = 0; k < logits(STREAMS(N, s.n)); k++)
            trace->share[k] = logits_in[k];
        fill<N, false>(s.n, trace, NULL);
    }

    template <int N> static __device__ __forceinline__ void forward(struct coefficients s, float *m) {
        const int n = STREAMS(N, s.n);
        trace<N> trace;
        float X[MATRIX(N)];
#pragma unroll
        for (int k = 0; k < logits(n); k++)
            trace.share[k] = m[k];
        const float lost = fill<N, true>(s.n, &trace, X);
#pragma unroll
        for (int i = 0; i < n; i++) {
#pragma unroll
            for (int j = 0; j < n; j++)
                m[j * n + i] = fmaf(1 - DELTA, X[i * n + j], DELTA / (float)n) + lost;
        }
    }

    template <int N>
    static __device__ __forceinline__ void backward(struct coefficients s, trace<N> *trace, const float *grad_res,
                                                    float *grad_logits) {
        const int n = STREAMS(N, s.n);
        float grad_c[ROOM(N)]; /* of the columns behind row i */
#pragma unroll
        for (int j = 0; j < n; j++)
            grad_c[j] = (1 - DELTA) * grad_res[j * n + n - 1];
#pragma unroll
        for (int i = n - 2; i >= 0; i--) {
            float grad_r = (1 - DELTA) * grad_res[(n - 1) * n + i] - grad_c[n - 1], grad_low[ROOM(N)], sum = 0;
#pragma unroll
            for (int j = n - 2; j >= 0; j--) {
                const int k = i * (n - 1) + j;
                float share = trace->share[k], grad = (1 - DELTA) * grad_res[j * n + i] - grad_c[j] - grad_r;
                float grad_high = grad * share;
                grad_low[j] = grad * (1 - share) * trace->low[k];
                grad_logits[k] = grad * trace->width[k] * share * (1 - share);
                grad_c[j] = fmaf(grad_high, 1 - trace->row[k], grad_c[j]);
                grad_r += fmaf(grad_high, trace->row[k], grad_low[j]);
            }
#pragma unroll
            for (int j = 1; j < n; j++) { /* low falls with every column behind its own */
                sum += grad_low[j - 1];
                grad_c[j] -= sum;
            }
        }
    }
};

#endif
