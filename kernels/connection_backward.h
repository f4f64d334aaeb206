/* The streaming half of a connection backward, for every block kind: the gradients of a token's coefficients, the
 * gradient of the streams, and the sums over tokens. g = grad_x_next, du = grad_u. */
#ifndef KERNELS_CONNECTION_BACKWARD_H
#define KERNELS_CONNECTION_BACKWARD_H

#include "kernels/connection.h"
#include "kernels/product.h"

/* dpre_i = <x_i, du>, dpost_i = <y, g_i> and, unless `identity`, dres_ij = <g_i, x_j>, one behind the other in
 * grad_coef [T][columns]. 0, or 1 with device.error set. */
int gpu_coefficient_gradients(struct device *, void *queue, const struct mhc_case *, bool identity, const void *g,
                              const void *x, const void *y, const void *du, float *grad_coef);

/* dx_i = sum_j res_ji g_j + pre_i du + sum_m q_m W_im - factor x_i inverse, rounded once.
 * mHC has one q per token and W_i the rows of phi that belong to stream i; HC a q for every stream and the same W for
 * all: rows_a_token is 1 or n. Static HC has neither q nor norm: 0. Two factors, because through_norm / r^2 would
 * overflow for small x, and x / r does not. */
struct stream_gradient {
    const void *g, *x, *du;
    const float *pre, *res; /* res NULL: the identity */
    int rows_a_token;
    const float *q;     /* [T][rows_a_token][columns] */
    const float2 *norm; /* [T][rows_a_token]: factor = sum_m q_m product_m / K, inverse = 1 / r */
    struct weights weights;
    void *dx;
};
int gpu_stream_gradient(struct device *, void *queue, const struct mhc_case *, const struct stream_gradient *,
                        void *work);
int64_t gpu_stream_gradient_work_bytes(const struct mhc_case *, int rows_a_token, int columns);

/* Sums over tokens: db_k = sum_t z_k;  dalpha_part = sum over t and the part's k of z_k s_k. mHC, identity: s is
 * product [T][columns]. HC: s = tanh of product [T][n][n+2]. Static HC: dalpha NULL. Ordered, in double. */
struct small_gradients {
    const float *z, *product; /* z [T][columns] */
    int columns;
    bool hc;
    float *db[3]; /* of pre, post, res */
    float *dalpha;
};
int gpu_small_gradients(struct device *, void *queue, const struct mhc_case *, const struct small_gradients *,
                        void *work);
int64_t gpu_small_gradients_work_bytes(const struct mhc_case *, int columns);

#endif
