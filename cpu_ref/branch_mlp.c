/* Branch `mlp`: v = RMSNorm(u), y = f(v).w_down, with f(v) = gelu(v.w_up) (exact, by erf) or silu(v.w_gate) * (v.w_up).
 * Keeps the pre-activations `inner`, rows of up and, for SwiGLU, gate, each [hidden]: [T][hidden] or [T][2 hidden]. */
#include "cpu_ref/branch.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

/* activation and its derivatives with respect to up and gate. */
static real activate(int swiglu, real up, real gate, real *by_up, real *by_gate) {
    if (swiglu) {
        real s = 1 / (1 + (real)exp(-gate)), silu = gate * s;
        *by_up = silu;
        *by_gate = up * s * (1 + gate * (1 - s));
        return silu * up;
    }
    real cdf = (real)(0.5 * erfc(-up * 0.70710678118654752)), pdf = (real)(0.39894228040143268 * exp(-0.5 * up * up));
    *by_up = cdf + up * pdf;
    *by_gate = 0;
    return up * cdf;
}

static int64_t matrices(const struct mhc_case *c) {
    return c->activation == MHC_SWIGLU ? 3 : 2;
}
/* Columns of w_up and w_gate together. */
static int64_t width(const struct mhc_case *c) {
    return c->hidden * (matrices(c) - 1);
}

/* h [T][hidden] = activation(inner). */
static void activate_forward(const struct mhc_case *c, const real *inner, real *h) {
    int swiglu = c->activation == MHC_SWIGLU;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        const real *up = inner + t * width(c), *gate = up + c->hidden;
        for (int64_t k = 0; k < c->hidden; k++) {
            real by_up, by_gate;
            h[t * c->hidden + k] = activate(swiglu, up[k], swiglu ? gate[k] : 0, &by_up, &by_gate);
        }
    }
}

/* grad_inner from grad_h; h again where it is not NULL, and it may be grad_h. */
static void activate_backward(const struct mhc_case *c, const real *inner, const real *grad_h, real *h,
                              real *grad_inner) {
    int64_t H = c->hidden;
    int swiglu = c->activation == MHC_SWIGLU;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        const real *up = inner + t * width(c), *gate = up + H;
        real *grad_up = grad_inner + t * width(c), *grad_gate = grad_up + H;
        for (int64_t k = 0; k < H; k++) {
            real by_up, by_gate, g = grad_h[t * H + k],
                                 value = activate(swiglu, up[k], swiglu ? gate[k] : 0, &by_up, &by_gate);
            if (h)
                h[t * H + k] = value;
            grad_up[k] = g * by_up;
            if (swiglu)
                grad_gate[k] = g * by_gate;
        }
    }
}

RUN(mlp_forward) {
    const real *u = a->u, *gain = a->gain, *w_gate = a->w_gate, *w_up = a->w_up, *w_down = a->w_down;
    int64_t T = c->T, C = c->C, H = c->hidden, I = width(c);
    real *inner = save, *v = work, *r = v + T * C, *hidden = r + T;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, v, C, w_up, H, 0, inner, I);
    if (I > H)
        gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, v, C, w_gate, H, 0, inner + H, I);
    activate_forward(c, inner, hidden);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, C, H, 1, hidden, H, w_down, C, 0, a->y, C);
    return 0;
}

RUN(mlp_backward) {
    const real *u = a->u, *gain = a->gain, *w_gate = a->w_gate, *w_up = a->w_up, *w_down = a->w_down,
               *grad_y = a->grad_y;
    int64_t T = c->T, C = c->C, H = c->hidden, I = width(c);
    real *v = work, *grad_v = v + T * C, *r = grad_v + T * C, *hidden = r + T, *grad_up = hidden + T * H,
         *grad_gate = grad_up + H;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, H, C, 1, grad_y, C, w_down, C, 0, hidden, H); /* grad_h */
    activate_backward(c, save, hidden, hidden, grad_up);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, H, C, T, 1, hidden, H, grad_y, C, 0, a->grad_w_down, C);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, v, C, grad_up, I, 0, a->grad_w_up, H);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, grad_up, I, w_up, H, 0, grad_v, C);
    if (I > H) {
        gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, v, C, grad_gate, I, 0, a->grad_w_gate, H);
        gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, grad_gate, I, w_gate, H, 1, grad_v, C);
    }
    NAME(normalise_backward)(c, u, gain, r, grad_v, NULL, a->grad_u, a->grad_gain);
    return 0;
}

static int64_t save_bytes(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * width(c);
}
static int64_t forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (c->C + 1 + c->hidden);
}
static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (2 * c->C + 1 + matrices(c) * c->hidden);
}

const struct mhc_row NAME(mlp_forward) = {
    MHC_OPERATION(mlp_forward), .supports = supports,         .save_bytes = save_bytes,
    .work_bytes = forward_work, .tolerance = NAME(tolerance), .run = mlp_forward_run,
};

const struct mhc_row NAME(mlp_backward) = {
    MHC_OPERATION(mlp_backward),  .supports = supports,    .work_bytes = backward_work,
    .tolerance = NAME(tolerance), .run = mlp_backward_run,
};

/* --- the activation as rows of its own --- */

RUN(activation_forward) {
    activate_forward(c, a->inner, a->h);
    return 0;
}

RUN(activation_backward) {
    activate_backward(c, a->inner, a->grad_h, NULL, a->grad_inner);
    return 0;
}

const struct mhc_row NAME(activation_forward) = {
    MHC_OPERATION(activation_forward),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = activation_forward_run,
};

const struct mhc_row NAME(activation_backward) = {
    MHC_OPERATION(activation_backward),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = activation_backward_run,
};
