/* Skinny products: rows of streams times a few columns of weights, their norms, and the gradient of the weights.
 *
 *   product[row][m] = sum_k x[row][k] W[k][m] / r[row]     r[row] = sqrt(mean_k x^2 + eps)
 *   dW[k][m] = sum_row x[row][k] q[row][m]
 *
 * mHC (Eq. 7): a row is a token, K = nC, 2n or n^2+2n columns. HC (Eq. 5): a row is one stream of a token, K = C, n+2
 * columns. On tensor cores with every float as the sum of two bf16, hi + lo, less the products of two lo, accumulated
 * in float; sums over parts are ordered. */
#ifndef KERNELS_PRODUCT_H
#define KERNELS_PRODUCT_H

#include "kernels/library.h"

/* Column m of the weights, or of their gradient, at channel k: see weight_at(). mHC: phi [K][columns]. HC: theta_pre,
 * theta_post [C] and theta_res [n][C]. */
struct weights {
    float *base[3];       /* of column 0, 1 and 2 */
    int64_t step, stride; /* from column to column after 2, from channel to channel */
    int columns;
};

static __host__ __device__ __forceinline__ float *weight_at(const struct weights *w, int64_t k, int m) {
    float *base = m == 0   ? w->base[0]
                  : m == 1 ? w->base[1]
                           : w->base[2]; /* constant places only: it stays out of local memory */
    return base + (m < 2 ? 0 : m - 2) * w->step + k * w->stride;
}
static inline struct weights phi_weights(const void *phi, int columns) {
    float *p = (float *)phi;
    struct weights w = {{p, p + 1, p + 2}, 1, columns, columns};
    return w;
}
static inline struct weights theta_weights(const void *pre, const void *post, const void *res, int64_t n, int64_t C) {
    struct weights w = {{(float *)pre, (float *)post, (float *)res}, C, 1, (int)n + 2};
    return w;
}

/* x [rows][K] of type `stream`. */
struct product {
    int32_t stream;
    int64_t rows, K;
    const void *x;
    struct weights weights; /* or, in a gradient, where it goes */
};

/* product [rows][columns] and r [rows]; a row of zeros without eps has product 0. Norms of any finite x, however large
 * or small. 0, or 1 with device.error set. `work` holds product_work_bytes(rows, K, columns) bytes. */
int product_forward(struct device *, void *queue, const struct product *, double eps, float *product, float *r,
                    void *work);
int64_t product_work_bytes(int64_t rows, int64_t K, int columns);

/* dW from q [rows][columns]; `work` as above from weight_gradient_work_bytes(). */
int weight_gradient(struct device *, void *queue, const struct product *, const float *q, void *work);
int64_t weight_gradient_work_bytes(int64_t rows, int64_t K, int columns);

/* --- pieces of scratch, one behind the other --- */

struct room {
    char *base; /* NULL: only count */
    int64_t used;
};
static inline void *take_room(struct room *room, int64_t bytes) {
    void *piece = room->base ? room->base + room->used : NULL;
    room->used += blocks_of(bytes, 64) * 64;
    return piece;
}

/* --- operands of mma --- */

static constexpr int COLUMN_TILE = 32,
                     SPAN = 32; /* columns a block works on; neighbouring channels of four lanes, eight each */

/* Tiles of eight columns a block works on. */
static inline int eights_of(int columns) {
    return columns >= COLUMN_TILE ? COLUMN_TILE / 8 : (int)blocks_of(columns, 8);
}

/* The largest bf16: what a larger float must not be rounded to is infinity. */
#define LARGEST_BF16 0x1.fep127f

/* Two floats as words of two bf16, a = hi + lo to 2^-17. NaN and Inf are in lo, if not in hi. */
static __device__ __forceinline__ void split_pair(float a, float b, uint32_t *hi, uint32_t *lo) {
    *hi = pack_bf16(fminf(fmaxf(a, -LARGEST_BF16), LARGEST_BF16), fminf(fmaxf(b, -LARGEST_BF16), LARGEST_BF16));
    *lo = pack_bf16(a - low_bf16(*hi), b - high_bf16(*hi));
}

/* Eight neighbouring channels as they lie in memory. */
template <typename T> struct octet { uint4 part[sizeof(T) / 2]; };

static __device__ __forceinline__ uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static __device__ __forceinline__ uint4 gather(const struct bf16 *from, int, int64_t left) {
    uint32_t e[OCTET];
#pragma unroll
    for (int k = 0; k < OCTET; k++)
        e[k] = k < left ? from[k].bits : 0;
    return make_uint4(e[0] | e[1] << 16, e[2] | e[3] << 16, e[4] | e[5] << 16, e[6] | e[7] << 16);
}
static __device__ __forceinline__ uint4 gather(const float *from, int part, int64_t left) {
    uint32_t e[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        e[k] = 4 * part + k < left ? bits_of(from[4 * part + k]) : 0;
    return make_uint4(e[0], e[1], e[2], e[3]);
}

/* Channels at `from`, of which `left` exist; the others are 0. WIDE: all or none exist, and lie 16-byte aligned. */
template <typename T, bool WIDE>
static __device__ __forceinline__ struct octet<T> load_raw(const T *from, int64_t left) {
    struct octet<T> o;
#pragma unroll
    for (int k = 0; k < (int)(sizeof(T) / 2); k++)
        if (!WIDE)
            o.part[k] = gather(from, k, left);
        else
            o.part[k] = left > 0 ? ((const uint4 *)from)[k] : make_uint4(0, 0, 0, 0);
    return o;
}

/* As floats; as words of bf16, of which a bf16 has no lo. */
static __device__ __forceinline__ void
octet_floats(const struct octet<struct bf16> *o, float to[OCTET]) {
    uint4 w = o->part[0];
    to[0] = low_bf16(w.x), to[1] = high_bf16(w.x), to[2] = low_bf16(w.y), to[3] = high_bf16(w.y);
    to[4] = low_bf16(w.z), to[5] = high_bf16(w.z), to[6] = low_bf16(w.w), to[7] = high_bf16(w.w);
}
static __device__ __forceinline__ void octet_floats(const struct octet<float> *o, float to[OCTET]) {
#pragma unroll
    for (int k = 0; k < 2; k++) {
        to[4 * k] = float_of_bits(o->part[k].x), to[4 * k + 1] = float_of_bits(o->part[k].y);
        to[4 * k + 2] = float_of_bits(o->part[k].z), to[4 * k + 3] = float_of_bits(o->part[k].w);
    }
}
static __device__ __forceinline__ void octet_words(const struct octet<struct bf16> *o, uint32_t hi[4], uint32_t *) {
    uint4 w = o->part[0];
    hi[0] = w.x, hi[1] = w.y, hi[2] = w.z, hi[3] = w.w;
}
static __device__ __forceinline__ void octet_words(const struct octet<float> *o, uint32_t hi[4], uint32_t lo[4]) {
    float x[OCTET];
    octet_floats(o, x);
#pragma unroll
    for (int k = 0; k < 4; k++)
        split_pair(x[2 * k], x[2 * k + 1], &hi[k], &lo[k]);
}

#endif
