/* The steps of an iteration of Sinkhorn-Knopp and their undoing, of one token by one thread; float or double.
 *
 * Backward in terms of E = M o dL/dM, the gradient with respect to log M: a step y = x / (sum x + eps) turns E into E
 * - y o (sum of E along the same axis), and x is y times its divisor, which the step has kept in a history. An entry
 * that underflowed is 0 in M and in E and stays so. */
#ifndef KERNELS_MAPS_SINKHORN_STEPS_H
#define KERNELS_MAPS_SINKHORN_STEPS_H

#include "kernels/maps/maps.h"

static __device__ __forceinline__ float exponential(float x) {
    return expf(x);
}
static __device__ __forceinline__ double exponential(double x) {
    return exp(x);
}
/* That of a float is a device's own. */
static __device__ __forceinline__ double reciprocal(double x) {
    return 1 / x;
}

/* Element k of a history, whose words are not aligned to a double. */
template <typename real> static __device__ __forceinline__ void keep(uint32_t *history, int k, real x) {
    constexpr int WORDS = (int)(sizeof x / sizeof *history);
    uint32_t word[WORDS];
    memcpy(word, &x, sizeof x);
#pragma unroll
    for (int w = 0; w < WORDS; w++)
        history[k * WORDS + w] = word[w];
}
template <typename real> static __device__ __forceinline__ real kept(const uint32_t *history, int k) {
    constexpr int WORDS = (int)(sizeof(real) / sizeof *history);
    uint32_t word[WORDS];
#pragma unroll
    for (int w = 0; w < WORDS; w++)
        word[w] = history[k * WORDS + w];
    real x;
    memcpy(&x, word, sizeof x);
    return x;
}

/* Lines of m divided by their sums + eps: line i has the elements i line + k step. Rows: line n, step 1; columns: 1,
 * n. KEEP: the divisors go to the history, from `at` on. It is a constant, for a test of the pointer would stand
 * between the lines, which can run side by side. */
template <typename real, int N, bool KEEP>
static __device__ __forceinline__ void divide(int n_any, int line, int step, real eps, real *m, uint32_t *history,
                                              int at) {
    const int n = STREAMS(N, n_any);
#pragma unroll
    for (int i = 0; i < n; i++) {
        real sum = m[i * line];
#pragma unroll
        for (int k = 1; k < n; k++)
            sum += m[i * line + k * step];
        sum += eps;
        if (KEEP)
            keep(history, at + i, sum);
        real inverse = reciprocal(sum);
#pragma unroll
        for (int k = 0; k < n; k++)
            m[i * line + k * step] *= inverse;
    }
}

/* Softmax of every column of m. In double rows are first lifted so that each has an entry that did not underflow: what
 * remains for a softmax of the rows is to divide by their sums. */
template <typename real, int N> static __device__ __forceinline__ void column_softmax(int n_any, real *m, real eps) {
    const bool lift = sizeof(real) == sizeof(double) && eps == 0;
    const int n = STREAMS(N, n_any);
    real inverse[ROOM(N)];
#pragma unroll
    for (int j = 0; j < n; j++) {
        real largest = m[j], sum = 0;
#pragma unroll
        for (int i = 1; i < n; i++)
            largest = m[i * n + j] > largest ? m[i * n + j] : largest;
#pragma unroll
        for (int i = 0; i < n; i++) {
            m[i * n + j] -= largest;
            sum += exponential(m[i * n + j]);
        }
        inverse[j] = reciprocal(sum);
    }
#pragma unroll
    for (int i = 0; i < n; i++) {
        real largest = m[i * n];
#pragma unroll
        for (int j = 1; j < n; j++)
            largest = m[i * n + j] > largest ? m[i * n + j] : largest;
#pragma unroll
        for (int j = 0; j < n; j++)
            m[i * n + j] = exponential(lift ? m[i * n + j] - largest : m[i * n + j]) * inverse[j];
    }
}

/* First iteration, on logits; KEEP: the rows' divisors go to the history. */
template <typename real, int N, bool KEEP>
static __device__ __forceinline__ void first_iteration(int n_any, real eps, real *m, uint32_t *history) {
    const int n = STREAMS(N, n_any);
    column_softmax<real, N>(n, m, eps);
    if (eps != 0) {
#pragma unroll
        for (int k = 0; k < n * n; k++)
            m[k] += eps;
    }
    divide<real, N, KEEP>(n, n, 1, eps, m, history, n);
}

/* --- and their undoing --- */

/* m, the result of a step, and its E become the argument of the step and its E. */
template <typename real, int N>
static __device__ __forceinline__ void undo(int n_any, int line, int step, real *m, real *e, const uint32_t *history,
                                            int at) {
    const int n = STREAMS(N, n_any);
#pragma unroll
    for (int i = 0; i < n; i++) {
        const real divisor = kept<real>(history, at + i);
        real sum = e[i * line];
#pragma unroll
        for (int k = 1; k < n; k++)
            sum += e[i * line + k * step];
#pragma unroll
        for (int k = 0; k < n; k++) {
            e[i * line + k * step] -= m[i * line + k * step] * sum;
            m[i * line + k * step] *= divisor;
        }
    }
}

/* The same for the last step, rows, where E starts as res o grad_res, and grad_res is in e. With rows that sum to 1 a
 * constant added to a row of grad_res changes nothing. Its value at the row's largest entry is taken off, so that
 * near a permutation, where the gradient is tiny, nothing large has to cancel. Rows in fact sum to 1 - eps /
 * divisor. */
template <typename real, int N>
static __device__ __forceinline__ void undo_last(int n_any, real *m, real *e, const uint32_t *history, int at,
                                                 real eps) {
    const int n = STREAMS(N, n_any);
#pragma unroll
    for (int i = 0; i < n; i++) {
        real largest = m[i * n], shift = e[i * n], sum = 0;
#pragma unroll
        for (int j = 1; j < n; j++)
            if (m[i * n + j] > largest) {
                largest = m[i * n + j];
                shift = e[i * n + j];
            }
#pragma unroll
        for (int j = 0; j < n; j++) {
            e[i * n + j] = (e[i * n + j] - shift) * m[i * n + j];
            sum += e[i * n + j];
        }
        const real divisor = kept<real>(history, at + i);
        sum -= shift * (eps * reciprocal(divisor));
#pragma unroll
        for (int j = 0; j < n; j++) {
            e[i * n + j] -= m[i * n + j] * sum;
            m[i * n + j] *= divisor;
        }
    }
}

/* The first column step: e becomes the gradient of the logits, a column at a time. v4 adds eps behind the softmax P: E
 * of P is E P / (P + eps). A column of the gradient sums to 0. Where P is largest the step above cancels, so that entry
 * is what the others leave of 0; e - e keeps a NaN one. */
template <typename real, int N>
static __device__ __forceinline__ void undo_softmax(int n_any, const float *logits, real *e, real eps) {
    const int n = STREAMS(N, n_any);
#pragma unroll
    for (int j = 0; j < n; j++) {
        real P[ROOM(N)], most = logits[j], exponentials = 0, sum = 0, others = 0;
        int largest = 0;
#pragma unroll
        for (int i = 1; i < n; i++)
            most = logits[i * n + j] > most ? (real)logits[i * n + j] : most;
#pragma unroll
        for (int i = 0; i < n; i++) {
            P[i] = exponential(logits[i * n + j] - most);
            exponentials += P[i];
        }
        const real inverse = reciprocal(exponentials);
#pragma unroll
        for (int i = 0; i < n; i++) {
            P[i] *= inverse;
            if (eps != 0)
                e[i * n + j] *= P[i] / (P[i] + eps);
            sum += e[i * n + j];
            if (i == 0 || P[i] > most) {
                most = P[i];
                largest = i;
            }
        }
#pragma unroll
        for (int i = 0; i < n; i++) {
            e[i * n + j] -= P[i] * sum;
            others += i == largest ? 0 : e[i * n + j];
        }
#pragma unroll
        for (int i = 0; i < n; i++)
            if (i == largest)
                e[i * n + j] = (e[i * n + j] - e[i * n + j]) - others;
    }
}

#endif
