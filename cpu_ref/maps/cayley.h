/* Orthogonal matrices from skew ones, by Cayley: Q = (I - A) (I + A)^-1 = 2 W - I, W = (I + A)^-1.
 *
 * I + A has singular values of 1 and more, whatever A. So Gram-Schmidt on its columns needs no pivots: what is left of
 * a column is never shorter than 1, and W is off by a few roundings of A's size. A is its upper triangle, row after
 * row. Backward: dL/dA = -2 W' (dL/dQ) W', and an entry of the triangle also stands below it with a minus. */
#ifndef MAP_CAYLEY_H
#define MAP_CAYLEY_H

#include "cpu_ref/maps/lanes.h"

#define CAYLEY_MOST (2 * MHC_MAX_STREAMS) /* rows of A */

/* Place of entry (i, j), i < j, in the triangle of m rows. */
static inline int64_t triangle_at(int64_t m, int64_t i, int64_t j) {
    return i * (2 * m - i - 1) / 2 + j - i - 1;
}

SPECIALISED vec vec_sqrt(vec x) {
    for (int64_t w = 0; w < LANES; w++)
        x[w] = (real)sqrt((double)x[w]);
    return x;
}

SPECIALISED vec dot_lanes(const int64_t m, const vec *a, const vec *b) {
    vec sum = a[0] * b[0];
    for (int64_t i = 1; i < m; i++)
        sum += a[i] * b[i];
    return sum;
}

SPECIALISED void add_scaled_lanes(const int64_t m, vec *to, vec factor, const vec *from) {
    for (int64_t i = 0; i < m; i++)
        to[i] += factor * from[i];
}

/* A [triangle] -> W [m][m]. Row k is column k of I + A, then of its orthonormal basis, then row k of W. */
SPECIALISED void cayley_lanes(const int64_t m, const vec *A, vec *W) {
    vec R[CAYLEY_MOST * CAYLEY_MOST], inverse[CAYLEY_MOST];
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = 0; i < m; i++)
            W[k * m + i] = i < k ? A[triangle_at(m, i, k)] : i > k ? -A[triangle_at(m, k, i)] : vec_set(1);
    for (int64_t k = 0; k < m; k++) {
        vec *row = W + k * m;
        inverse[k] = (real)1 / vec_sqrt(vec_at_least(dot_lanes(m, row, row), 1));
        for (int64_t i = 0; i < m; i++)
            row[i] *= inverse[k];
        for (int64_t j = k + 1; j < m; j++) {
            R[k * m + j] = dot_lanes(m, row, W + j * m);
            add_scaled_lanes(m, W + j * m, -R[k * m + j], row);
        }
    }
    for (int64_t k = m - 1; k >= 0; k--) {
        for (int64_t j = k + 1; j < m; j++)
            add_scaled_lanes(m, W + k * m, -R[k * m + j], W + j * m);
        for (int64_t i = 0; i < m; i++)
            W[k * m + i] *= inverse[k];
    }
}

/* dL/dQ [m][m] -> dL/dA [triangle]. */
SPECIALISED void cayley_backward_lanes(const int64_t m, const vec *W, const vec *grad_Q, vec *grad_A) {
    for (int64_t k = 0; k < m * (m - 1) / 2; k++)
        grad_A[k] = vec_set(0);
    for (int64_t i = 0; i < m; i++) {
        vec row[CAYLEY_MOST]; /* of -2 W' grad_Q */
        for (int64_t k = 0; k < m; k++)
            row[k] = vec_set(0);
        for (int64_t k = 0; k < m; k++)
            add_scaled_lanes(m, row, -2 * W[k * m + i], grad_Q + k * m);
        for (int64_t j = 0; j < m; j++) {
            vec entry = dot_lanes(m, row, W + j * m);
            if (i < j)
                grad_A[triangle_at(m, i, j)] += entry;
            if (i > j)
                grad_A[triangle_at(m, j, i)] -= entry;
        }
    }
}

#endif
