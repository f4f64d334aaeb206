/* What the branches F share: each starts with an RMSNorm of its own, and does its products by gemm(), on activations
 * in the type of the streams and weights rounded to it. */
#ifndef KERNELS_BRANCH_H
#define KERNELS_BRANCH_H

#include "kernels/connection.h"

/* v = gain u / r, r = sqrt(mean_C(u^2) + rms_eps), 0 where r is 0; u, v [T][C], r [T] floats. 0, or 1 with
 * device.error set. */
int gpu_normalise(struct device *, void *queue, const struct mhc_case *, const void *u, const float *gain, float *r,
                  void *v);

/* From grad_v [T][C]: grad_u = (gain grad_v - (u/r) mean_C(gain grad_v u/r)) / r, plus grad_sum where it is not NULL,
 * rounded once; grad_gain = sum_t grad_v u / r, in a fixed order. `partial`: room for normalise_partials() floats. */
int gpu_normalise_backward(struct device *, void *queue, const struct mhc_case *, const void *u, const float *gain,
                           const float *r, const void *grad_v, const void *grad_sum, void *grad_u, float *grad_gain,
                           float *partial);
int64_t normalise_partials(const struct mhc_case *);

/* `w` [rows][columns] in the type of the streams, rows `ld` elements apart. 0, or 1 with device.error set. */
int gpu_round(struct device *, void *queue, const struct mhc_case *, const void *w, int64_t rows, int64_t columns,
              void *rounded, int64_t ld);

/* CALL(T, W) for the streams of a case and rows of `columns`. */
#define FOR_ROWS(c, columns, CALL)                                                                 \
    ((c)->stream == MHC_BF16 ? (columns) % OCTET ? CALL(struct bf16, 1) : CALL(struct bf16, OCTET) \
     : (columns) % OCTET ? CALL(float, 1)                                                          \
                             : CALL(float, OCTET))

/* Threads for a row that is read several times: all of it in few turns. */
static inline unsigned row_threads(int64_t C, int W) {
    int64_t steps = blocks_of(C, W), turns = blocks_of(steps, 512);
    return (unsigned)(blocks_of(blocks_of(steps, turns), WARP) * WARP);
}

/* Parts of `save` or `work`, one after the other, aligned; without a base they are only counted. */
struct parts {
    unsigned char *base;
    int64_t used; /* bytes */
};
static inline void *part(struct parts *p, int64_t count, int64_t element_bytes) {
    void *at = p->base ? p->base + p->used : NULL;
    p->used += blocks_of(count * element_bytes, 128) * 128;
    return at;
}

/* Room for a weight in the type of the streams: none for floats, which are used where they are. */
static inline void *weight_part(struct parts *p, const struct mhc_case *c, int64_t count) {
    return c->stream == MHC_F32 ? NULL : part(p, count, mhc_type_bytes(c->stream));
}
/* `*w` becomes the weight to multiply with: itself, or its copy in `room`. */
static inline int use_weight(struct device *d, void *queue, const struct mhc_case *c, const void **w, int64_t rows,
                             int64_t columns, void *room) {
    if (c->stream == MHC_F32)
        return 0;
    const void *from = *w;
    *w = room;
    return gpu_round(d, queue, c, from, rows, columns, room, columns);
}

/* The three products of a weight, out [m][n] with a sum over k; rows of each matrix lie ld apart.
 *   activation out = a.b     gradient of an activation out = a.b^T     gradient of a weight out = a^T.b, in float */
static inline int product(struct device *d, void *queue, const struct mhc_case *c, int64_t m, int64_t n, int64_t k,
                          const void *a, int64_t lda, const void *b, int64_t ldb, void *out, int64_t ldo) {
    return gemm(d, queue, false, false, m, n, k, 1, a, lda, b, ldb, c->stream, 0, out, ldo, c->stream);
}
static inline int product_back(struct device *d, void *queue, const struct mhc_case *c, int64_t m, int64_t n, int64_t k,
                               const void *a, int64_t lda, const void *b, int64_t ldb, void *out, int64_t ldo) {
    return gemm(d, queue, false, true, m, n, k, 1, a, lda, b, ldb, c->stream, 0, out, ldo, c->stream);
}
static inline int product_weight(struct device *d, void *queue, const struct mhc_case *c, int64_t m, int64_t n,
                                 int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb, void *out) {
    return gemm(d, queue, true, false, m, n, k, 1, a, lda, b, ldb, c->stream, 0, out, n, MHC_F32);
}

/* Column `column` of the first row of a matrix in the type of the streams. */
static inline void *column_of(const struct mhc_case *c, void *matrix, int64_t column) {
    return (unsigned char *)matrix + column * mhc_type_bytes(c->stream);
}

#endif
