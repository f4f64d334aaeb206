/* HC and mHC as the paper's Table 2 counts them: one kernel an arrow, every intermediate array through memory. Plain loops, to be
 * read, to check the fused kernels against, and to be what "naive" means in a benchmark. Kinds mhc-micro and hc-micro; the arrows alone
 * are rows of kind micro.
 *
 *   x -> r (norm) -> product -> pre, post, logits of res -> res (Sinkhorn)       micro_coefficients.cu
 *   x, pre -> u (apply_pre)      y, post -> mixed (apply_post)                   micro_connection.cu
 *   x, res -> mixed_res (apply_res)      mixed, mixed_res -> x_next (merge)
 *   and backward                                                                 micro_backward.cu
 *
 * All functions return 0, or 1 with device.error set. */
#ifndef KERNELS_MICRO_H
#define KERNELS_MICRO_H

#include "kernels/coefficients.h"
#include "kernels/product.h"

enum { MICRO_THREADS = 256, MICRO_WARPS = MICRO_THREADS / WARP, MICRO_ROWS = MICRO_WARPS };

/* How x is cut into rows, each with a norm and products of its own. mHC: a token, K = nC, n^2+2n columns. HC: a stream of a
 * token, K = C, n+2 columns. */
struct micro {
    const struct mhc_case *c;
    bool hc;
    int n, columns;
    int64_t rows, K;
    struct coefficients s;
};

static inline struct micro micro_of(const struct mhc_case *c, bool hc) {
    int n = (int)c->n, columns = hc ? n + 2 : column_count(n, false);
    int64_t rows = hc ? c->T * n : c->T, K = hc ? c->C : n * c->C;
    struct micro m = {c, hc, n, columns, rows, K, coefficients_of(c)};
    return m;
}

/* Kept from forward to backward: product [rows][columns], r [rows]. */
static inline int64_t micro_save_bytes(const struct micro *m) {
    return m->rows * (m->columns + 1) * (int64_t)sizeof(float);
}
static inline float *micro_norms(const struct micro *m, void *save) {
    return (float *)save + m->rows * m->columns;
}

/* The weights among the arguments that begin with phi, or with theta_pre, theta_post, theta_res. */
static inline struct weights micro_weights(const struct micro *m, void *const a[]) {
    return m->hc ? theta_weights((const float *)a[0], (const float *)a[1], (const float *)a[2], m->n, m->K)
                 : phi_weights((const float *)a[0], m->columns);
}

/* CALL(T, W): T the element type of the streams, W neighbouring channels at a time. */
#define FOR_WIDTH(c, CALL)                                                                        \
    ((c)->stream == MHC_BF16 ? ((c)->C % OCTET ? CALL(struct bf16, 1) : CALL(struct bf16, OCTET)) \
                             : ((c)->C % OCTET ? CALL(float, 1) : CALL(float, OCTET)))
#define FOR_TYPE(c, CALL) ((c)->stream == MHC_BF16 ? CALL(struct bf16) : CALL(float))

/* Arguments of a row up to its parameters' last; res is where Sinkhorn finds its logits first. */
int micro_coefficients(struct device *, void *queue, const struct micro *, const void *x, void *const params[],
                       void *save, float *pre, float *post, float *res);
/* The logits of res [T][n][n] of mHC, from what was saved. */
int micro_logits(struct device *, void *queue, const struct micro *, const float *product, const float *b,
                 const float *alpha, float *logits);

#endif
