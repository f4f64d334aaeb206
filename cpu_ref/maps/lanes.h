/* What maps share that take LANES tokens at once, one per lane of a vector. Lanes do not meet, so no token depends on
 * its neighbours. */
#ifndef MAP_LANES_H
#define MAP_LANES_H

#define VEC_WIDE
#include "cpu_ref/maps/map.h"
#include "cpu_ref/vecmath.h"

/* from [count][width] -> to [width]; lanes past the end repeat the last token. */
SPECIALISED void load_lanes(int64_t width, int64_t count, const real *from, vec *to) {
    for (int64_t w = 0; w < LANES; w++) {
        const real *token = from + (w < count ? w : count - 1) * width;
        for (int64_t k = 0; k < width; k++)
            memcpy((real *)&to[k] + w, token + k, sizeof(real));
    }
}

SPECIALISED void store_lanes(int64_t width, int64_t count, const vec *from, real *to) {
    for (int64_t k = 0; k < width; k++) {
        real lane[LANES];
        memcpy(lane, &from[k], sizeof lane);
        for (int64_t w = 0; w < count && w < LANES; w++)
            to[w * width + k] = lane[w];
    }
}

/* x [count] becomes its softmax. */
SPECIALISED void softmax_lanes(int64_t count, vec *x) {
    vec largest = x[0], sum = {0};
    for (int64_t k = 1; k < count; k++)
        largest = vec_max(largest, x[k]);
    for (int64_t k = 0; k < count; k++) {
        x[k] = vec_exp(x[k] - largest);
        sum += x[k];
    }
    sum = (real)1 / sum;
    for (int64_t k = 0; k < count; k++)
        x[k] *= sum;
}

/* dL/dlogits of softmax `s` in place of dL/ds. */
SPECIALISED void softmax_backward_lanes(int64_t count, const vec *s, vec *grad) {
    vec mean = {0};
    for (int64_t k = 0; k < count; k++)
        mean += s[k] * grad[k];
    for (int64_t k = 0; k < count; k++)
        grad[k] = s[k] * (grad[k] - mean);
}

/* forward() and backward() of a map that keeps nothing, by its forward_tokens() and backward_tokens(), with n a
 * constant for the sizes people use. */
#define FORWARD_CALL(n) forward_tokens(n, count, logits, res)
#define BACKWARD_CALL(n) backward_tokens(n, count, logits, grad_res, grad_logits)
#define MAP_BY_TOKENS                                                                                       \
    static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {           \
        FOR_STREAMS(c->n, FORWARD_CALL)                                                                     \
    }                                                                                                       \
    static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res, \
                         real *grad_logits, void *history) {                                                \
        (void)history;                                                                                      \
        FOR_STREAMS(c->n, BACKWARD_CALL)                                                                    \
    }

#endif
