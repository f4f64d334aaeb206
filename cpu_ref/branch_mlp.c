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

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue;
    const real *u = arg[0], *gain = arg[1], *w_gate = arg[2], *w_up = arg[3], *w_down = arg[4];
    int64_t T = c->T, C = c->C, H = c->hidden, I = width(c);
    real *inner = save, *v = work, *r = v + T * C, *hidden = r + T;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, v, C, w_up, H, 0, inner, I);
    if (I > H)
        gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, H, C, 1, v, C, w_gate, H, 0, inner + H, I);
    activate_forward(c, inner, hidden);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, T, C, H, 1, hidden, H, w_down, C, 0, arg[5], C);
    return 0;
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue;
    const real *u = arg[0], *gain = arg[1], *w_gate = arg[2], *w_up = arg[3], *w_down = arg[4], *grad_y = arg[5];
    int64_t T = c->T, C = c->C, H = c->hidden, I = width(c);
    real *v = work, *grad_v = v + T * C, *r = grad_v + T * C, *hidden = r + T, *grad_up = hidden + T * H,
         *grad_gate = grad_up + H;
    NAME(normalise)(c, u, gain, r, v);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, H, C, 1, grad_y, C, w_down, C, 0, hidden, H); /* grad_h */
    activate_backward(c, save, hidden, hidden, grad_up);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, H, C, T, 1, hidden, H, grad_y, C, 0, arg[10], C);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, v, C, grad_up, I, 0, arg[9], H);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, grad_up, I, w_up, H, 0, grad_v, C);
    if (I > H) {
        gemm_parallel(TRANSPOSE, NO_TRANSPOSE, C, H, T, 1, v, C, grad_gate, I, 0, arg[8], H);
        gemm_parallel(NO_TRANSPOSE, TRANSPOSE, T, C, H, 1, grad_gate, I, w_gate, H, 1, grad_v, C);
    }
    NAME(normalise_backward)(c, u, gain, r, grad_v, NULL, arg[6], arg[7]);
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
static double forward_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)(c->hidden * matrices(c));
}
static double backward_flops(const struct mhc_case *c) {
    return 2 * forward_flops(c);
}

const struct mhc_row NAME(mlp_forward) = {
    MHC_OPERATION(mlp_forward), .supports = supports,
    .save_bytes = save_bytes,
    .work_bytes = forward_work,
    .tolerance = NAME(tolerance),
    .run = forward,
};

const struct mhc_row NAME(mlp_backward) = {
    MHC_OPERATION(mlp_backward), .supports = supports,
    .work_bytes = backward_work,
    .tolerance = NAME(tolerance),
    .run = backward,
};

/* --- the activation as rows of its own --- */

static int activation_forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                              void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    activate_forward(c, arg[0], arg[1]);
    return 0;
}

static int activation_backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                               void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    activate_backward(c, arg[0], arg[1], NULL, arg[2]);
    return 0;
}

/* An exponential, or an error function, counts as one. */
static double activation_forward_flops(const struct mhc_case *c) {
    return 5.0 * (double)(c->T * c->hidden);
}
static double activation_backward_flops(const struct mhc_case *c) {
    return 10.0 * (double)(c->T * c->hidden);
}

const struct mhc_row NAME(activation_forward) = {
    MHC_OPERATION(activation_forward), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = activation_forward,
};

const struct mhc_row NAME(activation_backward) = {
    MHC_OPERATION(activation_backward), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = activation_backward,
};
