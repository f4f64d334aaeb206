/* HC and mHC as the paper's Table 2 counts them: one kernel an arrow, every intermediate array through memory. Plain
 * loops, to be read, to check the fused kernels against, and to be what "naive" means in a benchmark. Kinds mhc-micro
 * and hc-micro; the arrows alone are rows of kind micro.
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
#include "kernels/maps/sinkhorn.h"
#include "kernels/product.h"

enum { MICRO_THREADS = 256, MICRO_WARPS = MICRO_THREADS / WARP, MICRO_ROWS = MICRO_WARPS };

/* How x is cut into rows, each with a norm and products of its own. mHC: a token, K = nC, n^2+2n columns. HC: a
 * stream of a token, K = C, n+2 columns. */
struct micro {
    const struct mhc_case *c;
    bool hc;
    int n, columns;
    int64_t rows, K;
    struct coefficients s;
};

static inline struct micro micro_of(const struct mhc_case *c, bool hc) {
    int n = (int)c->n, columns = hc ? n + 2 : column_count<sinkhorn_map>(n);
    int64_t rows = hc ? c->T * n : c->T, K = hc ? c->C : n * c->C;
    struct micro m = {c, hc, n, columns, rows, K, coefficients_of(c)};
    return m;
}

/* The arrow from logits to res is Sinkhorn alone. */
static inline bool micro_supports_mhc(const struct mhc_case *c, const char **why) {
    if (c->map != MHC_SINKHORN)
        return *why = "one kernel per arrow: the map is Sinkhorn here", false;
    return gpu_supports_sinkhorn(c, why);
}

/* Kept from forward to backward: product [rows][columns], r [rows]. */
static inline int64_t micro_save_bytes(const struct micro *m) {
    return m->rows * (m->columns + 1) * (int64_t)sizeof(float);
}
static inline float *micro_norms(const struct micro *m, void *save) {
    return (float *)save + m->rows * m->columns;
}

/* The parameters of a row. mHC has one b, [columns]; HC b_pre, b_post, b_res. */
struct micro_params {
    struct weights weights;
    const float *b, *b_post, *b_res, *alpha;
};

/* From the arguments A of a row of mHC, and of HC. */
template <typename A> static inline struct micro_params mhc_params(const struct micro *m, const A *a) {
    struct micro_params p = {phi_weights(a->phi, m->columns), (const float *)a->b, NULL, NULL, (const float *)a->alpha};
    return p;
}
template <typename A> static inline struct micro_params hc_params(const struct micro *m, const A *a) {
    struct micro_params p = {theta_weights(a->theta_pre, a->theta_post, a->theta_res, m->n, m->K),
                             (const float *)a->b_pre, (const float *)a->b_post, (const float *)a->b_res,
                             (const float *)a->alpha};
    return p;
}

/* CALL(T, W): T the element type of the streams, W neighbouring channels at a time. */
#define FOR_WIDTH(c, CALL)                                                                        \
    ((c)->stream == MHC_BF16 ? ((c)->C % OCTET ? CALL(struct bf16, 1) : CALL(struct bf16, OCTET)) \
                             : ((c)->C % OCTET ? CALL(float, 1) : CALL(float, OCTET)))
#define FOR_TYPE(c, CALL) ((c)->stream == MHC_BF16 ? CALL(struct bf16) : CALL(float))

/* pre [T][n], post [T][n] and res [T][n][n], where Sinkhorn finds its logits first. */
int micro_coefficients(struct device *, void *queue, const struct micro *, const void *x, const struct micro_params *,
                       void *save, void *pre, void *post, void *res);

/* The logits of res [T][n][n] of mHC, from what was saved. */
int micro_logits(struct device *, void *queue, const struct micro *, const float *product, const float *b,
                 const float *alpha, float *logits);

#endif
