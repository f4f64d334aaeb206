/* The norm and one product behind it: branch `linear`, y = RMSNorm(u).w, and the `head` of a stack, whose w leads to
 * the vocabulary instead. They keep nothing: the backward normalises again. */
#include "cpu_ref/branch.h"

/* `outer`: columns of w, channels of what comes out. */
static int64_t forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (c->C + 1);
}
static void forward(const struct mhc_case *c, int64_t outer, const real *u, const real *gain, const real *w, real *y,
                    real *work) {
    real *v = work, *r = v + c->T * c->C;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, c->T, outer, c->C, 1, v, c->C, w, outer, 0, y, outer);
}

static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (2 * c->C + 1);
}
static void backward(const struct mhc_case *c, int64_t outer, const real *u, const real *gain, const real *w,
                     const real *grad_y, real *grad_u, real *grad_gain, real *grad_w, real *work) {
    int64_t T = c->T, C = c->C;
    real *v = work, *grad_v = v + T * C, *r = grad_v + T * C;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, outer, T, 1, v, C, grad_y, outer, 0, grad_w, outer);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, outer, 1, grad_y, outer, w, outer, 0, grad_v, C);
    NAME(normalise_backward)(c, u, gain, r, grad_v, NULL, grad_u, grad_gain);
}

RUN(linear_forward) {
    forward(c, c->C, a->u, a->gain, a->w, a->y, work);
    return 0;
}
RUN(linear_backward) {
    backward(c, c->C, a->u, a->gain, a->w, a->grad_y, a->grad_u, a->grad_gain, a->grad_w, work);
    return 0;
}

static bool has_vocabulary(const struct mhc_case *c, const char **why) {
    if (c->vocabulary < 1)
        return *why = "vocabulary must be at least 1", false;
    return NAME(supports)(c, why);
}

RUN(head_forward) {
    forward(c, c->vocabulary, a->u, a->gain, a->w, a->logits, work);
    return 0;
}
RUN(head_backward) {
    backward(c, c->vocabulary, a->u, a->gain, a->w, a->grad_logits, a->grad_u, a->grad_gain, a->grad_w, work);
    return 0;
}

#define ROW(id, fits, bytes)                                                                                     \
    const struct mhc_row NAME(id) = {                                                                            \
        MHC_OPERATION(id), .supports = fits, .work_bytes = bytes, .tolerance = NAME(tolerance), .run = id##_run, \
    }

ROW(linear_forward, NAME(supports), forward_work);
ROW(linear_backward, NAME(supports), backward_work);
ROW(head_forward, has_vocabulary, forward_work);
ROW(head_backward, has_vocabulary, backward_work);
