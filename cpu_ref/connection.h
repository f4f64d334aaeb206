/* The streaming half of a connection, one token at a time in the calling thread: what every block kind shares once
 * its coefficients are known (mHC Eq. 3). Pointers are those of the token: x, x_next, g (= grad_x_next) [n][C]; u, y,
 * du, dy [C]; pre, post [n]; res [n][n]. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "cpu_ref/real.h"

/* u = pre.x */
void NAME(aggregate)(int64_t n, int64_t C, const real *x, const real *pre, real *u);

/* x_next = res.x + post^T.y; res NULL means the identity. */
void NAME(combine)(int64_t n, int64_t C, const real *x, const real *y, const real *post, const real *res, real *x_next);

/* dpre_i = <x_i, du>, dpost_i = <y, g_i>, dres_ij = <g_i, x_j>; dres NULL: not wanted. */
#define coefficient_gradients NAME(coefficient_gradients)
void coefficient_gradients(int64_t n, int64_t C, const real *x, const real *y, const real *g, const real *du,
                           real *dpre, real *dpost, real *dres);

/* dx = res^T.g + pre^T.du, the part of grad_x that does not pass through the coefficients. */
#define stream_gradient NAME(stream_gradient)
void stream_gradient(int64_t n, int64_t C, const real *g, const real *du, const real *pre, const real *res, real *dx);

/* x_next of all tokens, on all threads; res NULL means the identity. */
#define post_tokens NAME(post_tokens)
void post_tokens(const struct mhc_case *, const real *x, const real *y, const real *post, const real *res,
                 real *x_next);

/* sum [T][C] = sum_i weight_i x_i of all tokens, on all threads: u from x and pre, grad_y from grad_x_next and post. */
void NAME(weigh_streams)(const struct mhc_case *, const real *x, const real *weight, real *sum);

/* The two rows that every kind with coefficients has: `id` is its prefix in operations.def. */
#define POST_ROWS(id)                                                                                            \
    RUN(id##_post) {                                                                                             \
        post_tokens(c, a->x, a->y, a->post, mhc_extent(c, 'N') ? a->res : NULL, a->x_next);                      \
        return 0;                                                                                                \
    }                                                                                                            \
    RUN(id##_post_backward_y) {                                                                                  \
        NAME(weigh_streams)(c, a->grad_x_next, a->post, a->grad_y);                                              \
        return 0;                                                                                                \
    }                                                                                                            \
    const struct mhc_row NAME(id##_post) = {MHC_OPERATION(id##_post), .supports = NAME(supports),                \
                                            .tolerance = NAME(tolerance), .run = id##_post_run};                 \
    const struct mhc_row NAME(id##_post_backward_y) = {MHC_OPERATION(id##_post_backward_y),                      \
                                                       .supports = NAME(supports), .tolerance = NAME(tolerance), \
                                                       .run = id##_post_backward_y_run}

#endif
