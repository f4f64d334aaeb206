/* Internal: LANES tokens side by side in a vector, and matrices of them kept as mantissa and power of two.
 *
 * A tile is the n x n matrices of LANES tokens, m[row * n + column][lane]; the matrix of a lane is m * 2^exponent.
 * After tile_normalise() the largest |entry| lies in [1, 2); in [2, 4) where it was at least 2^1023, in [2^-51, 1)
 * where it was subnormal, anywhere where an entry is Inf. Exact for every entry within 2^-1022 of the largest.
 *
 * The kernels take n first and are always inlined, so that a caller with a constant n gets unrolled code. */
#ifndef LANES_H
#define LANES_H

#include <stdbool.h>
#include <stdint.h>

/* Without AVX gcc warns about passing such vectors; none is ever passed, everything here is inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define LANES 4
typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t lanes_int __attribute__((vector_size(LANES * sizeof(int64_t))));

#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE lanes lanes_select(lanes_int mask, lanes yes, lanes no) {
    return (lanes)((mask & (lanes_int)yes) | (~mask & (lanes_int)no));
}

LANES_INLINE lanes lanes_abs(lanes x) {
    return (lanes)((lanes_int)x & INT64_MAX);
}

/* The larger one; b where a is NaN. */
LANES_INLINE lanes lanes_max(lanes a, lanes b) {
    lanes larger;
    for (int k = 0; k < LANES; k++)
        larger[k] = a[k] > b[k] ? a[k] : b[k];
    return larger;
}

LANES_INLINE void tile_normalise(int n, lanes *m, lanes_int *exponent) {
    lanes largest = {0};
    for (int e = 0; e < n * n; e++)
        largest = lanes_max(lanes_abs(m[e]), largest);
    lanes_int field = (lanes_int)largest >> 52;
    lanes_int infinite = (lanes_int)(field == 2047);
    field = (infinite & 1023) | (~infinite & field); /* left as they are */
    field += (lanes_int)(field == 2046);             /* 2^-1023 would be subnormal, use 2^-1022 */
    lanes scale = (lanes)((2046 - field) << 52);
    for (int e = 0; e < n * n; e++)
        m[e] *= scale;
    *exponent += field - 1023;
}

/* Whether every norm is a number far from both ends of the range of doubles. */
LANES_INLINE bool lanes_moderate(lanes norm) {
    lanes_int inside = (lanes_int)(norm > 0x1p-200) & (lanes_int)(norm < 0x1p200);
    int64_t all = -1;
    for (int k = 0; k < LANES; k++)
        all &= inside[k];
    return all;
}

/* The matrices of the first LANES of `tokens` tokens, res [tokens][n][n]; the last one repeated if there are fewer. */
LANES_INLINE void tile_load(int n, const double *res, int64_t tokens, lanes *m) {
    const double *token[LANES];
    for (int k = 0; k < LANES; k++)
        token[k] = res + (k < tokens ? k : tokens - 1) * n * n;
    for (int e = 0; e < n * n; e++)
        m[e] = (lanes){token[0][e], token[1][e], token[2][e], token[3][e]};
}

/* out = a b, not normalised; out is neither a nor b. */
LANES_INLINE void tile_multiply(int n, const lanes *a, const lanes *b, lanes *out) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            lanes sum = a[i * n] * b[j];
            for (int p = 1; p < n; p++)
                sum += a[i * n + p] * b[p * n + j];
            out[i * n + j] = sum;
        }
    }
}

#endif
