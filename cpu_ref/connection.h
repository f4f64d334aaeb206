/* The streaming half of a connection, one token at a time in the calling thread: what every block kind shares once its
 * coefficients are known (mHC Eq. 3). Pointers are those of the token: x, x_next, g (= grad_x_next) [n][C]; u, y, du, dy [C];
 * pre, post [n]; res [n][n]. */
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

/* Rows of the operations that need coefficients and streams only; `res` absent for identity HC. */
int NAME(post_run)(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
int NAME(post_identity_run)(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
int NAME(post_backward_y_run)(void *, void *, const struct mhc_case *, void *const arg[], void *, void *);
double NAME(post_flops)(const struct mhc_case *);
double NAME(post_backward_y_flops)(const struct mhc_case *);

#define POST_ARGS                                                                                            \
    {                                                                                                        \
        {"x", "TnC", MHC_STREAM, MHC_IN}, {"y", "TC", MHC_STREAM, MHC_IN}, {"post", "Tn", MHC_COEF, MHC_IN}, \
            {"res", "Tnn", MHC_COEF, MHC_IN}, {                                                              \
            "x_next", "TnC", MHC_STREAM, MHC_OUT                                                             \
        }                                                                                                    \
    }
#define POST_IDENTITY_ARGS                                                                                     \
    {                                                                                                          \
        {"x", "TnC", MHC_STREAM, MHC_IN}, {"y", "TC", MHC_STREAM, MHC_IN}, {"post", "Tn", MHC_COEF, MHC_IN}, { \
            "x_next", "TnC", MHC_STREAM, MHC_OUT                                                               \
        }                                                                                                      \
    }
#define POST_BACKWARD_Y_ARGS                                                            \
    {                                                                                   \
        {"grad_x_next", "TnC", MHC_STREAM, MHC_IN}, {"post", "Tn", MHC_COEF, MHC_IN}, { \
            "grad_y", "TC", MHC_STREAM, MHC_OUT                                         \
        }                                                                               \
    }

/* The three rows a kind with coefficients shares with the others; `kind` is a bare word. */
#define POST_ROW(kind)                                                      \
    const struct mhc_row NAME(kind##_post) = {.name = #kind ".post",        \
                                              .args = POST_ARGS,            \
                                              .supports = NAME(supports),   \
                                              .flops = NAME(post_flops),    \
                                              .tolerance = NAME(tolerance), \
                                              .run = NAME(post_run)}
#define POST_BACKWARD_Y_ROW(kind)                                                              \
    const struct mhc_row NAME(kind##_post_backward_y) = {.name = #kind ".post_backward_y",     \
                                                         .args = POST_BACKWARD_Y_ARGS,         \
                                                         .supports = NAME(supports),           \
                                                         .flops = NAME(post_backward_y_flops), \
                                                         .tolerance = NAME(tolerance),         \
                                                         .run = NAME(post_backward_y_run)}

#endif
