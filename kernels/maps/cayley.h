/* Orthogonal matrices from skew ones in one thread, as in cpu_ref/maps/cayley.h: Q = 2 W - I, W = (I + A)^-1 by
 * Gram-Schmidt on the columns of I + A, none of which can get shorter than 1. A is its upper triangle, row after row.
 * M rows are known to the compiler, or -1: then up to MOST. */
#ifndef KERNELS_MAPS_CAYLEY_H
#define KERNELS_MAPS_CAYLEY_H

#include "kernels/maps/maps.h"

#define ROWS(M, count) ((M) >= 0 ? (M) : (count))

static __host__ __device__ constexpr int triangle_cells(int m) {
    return m * (m - 1) / 2;
}
/* Place of entry (i, j), i < j, in the triangle of m rows. */
static __device__ __forceinline__ int triangle_at(int m, int i, int j) {
    return i * (2 * m - i - 1) / 2 + j - i - 1;
}

/* A [triangle] -> W [m][m]. Row k is column k of I + A, then of its orthonormal basis, then row k of W. */
template <int M, int MOST> static __device__ __forceinline__ void cayley(int m_any, float *A, float *W) {
    const int m = ROWS(M, m_any);
    float R[triangle_cells(ROWS(M, MOST)) + 1] = {}, inverse[ROWS(M, MOST) + 1];
#pragma unroll
    for (int k = 0; k < m; k++) {
#pragma unroll
        for (int i = 0; i < m; i++)
            W[k * m + i] = i < k ? A[triangle_at(m, i, k)] : i > k ? -A[triangle_at(m, k, i)] : 1;
    }
#pragma unroll
    for (int k = 0; k < m; k++) {
        float square = 0;
#pragma unroll
        for (int i = 0; i < m; i++)
            square = fmaf(W[k * m + i], W[k * m + i], square);
        inverse[k] = 1 / sqrtf(square < 1 ? 1 : square);
#pragma unroll
        for (int i = 0; i < m; i++)
            W[k * m + i] *= inverse[k];
#pragma unroll
        for (int j = k + 1; j < m; j++) {
            float dot = 0;
#pragma unroll
            for (int i = 0; i < m; i++)
                dot = fmaf(W[k * m + i], W[j * m + i], dot);
            R[triangle_at(m, k, j)] = dot;
#pragma unroll
            for (int i = 0; i < m; i++)
                W[j * m + i] = fmaf(-dot, W[k * m + i], W[j * m + i]);
        }
    }
#pragma unroll
    for (int k = m - 1; k >= 0; k--) {
#pragma unroll
        for (int j = k + 1; j < m; j++) {
#pragma unroll
            for (int i = 0; i < m; i++)
                W[k * m + i] = fmaf(-R[triangle_at(m, k, j)], W[j * m + i], W[k * m + i]);
        }
#pragma unroll
        for (int i = 0; i < m; i++)
            W[k * m + i] *= inverse[k];
    }
}

/* Row i of dL/dA, -2 W' (dL/dQ) W', goes to the triangle; rows come in order. row_in [m]: row i of W' (dL/dQ). */
template <int M>
static __device__ __forceinline__ void cayley_backward_row(int m_any, int i, const float *W, const float *row_in,
                                                           float *grad_A) {
    const int m = ROWS(M, m_any);
#pragma unroll
    for (int j = 0; j < m; j++) {
        float entry = 0;
#pragma unroll
        for (int k = 0; k < m; k++)
            entry = fmaf(-2 * row_in[k], W[j * m + k], entry);
        if (i < j)
            grad_A[triangle_at(m, i, j)] = entry;
        if (i > j)
            grad_A[triangle_at(m, j, i)] -= entry;
    }
}

#endif
