/* Branch `mlp`: v = RMSNorm(u), y = f(v).w_down, with f(v) = gelu(v.w_up) (exact, by erf) or silu(v.w_gate) * (v.w_up).
 * Keeps the pre-activations `inner`, rows of up and, for SwiGLU, gate, each [hidden]: [T][hidden] or [T][2 hidden]. */
#define VEC_WIDE
#include "cpu_ref/branch.h"
#include "cpu_ref/vecmath.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

/* The activation and its derivatives with respect to up and gate. */
struct activated {
    vec h, by_up, by_gate;
};

SPECIALISED struct activated activate(int swiglu, vec up, vec gate) {
    if (swiglu) {
        vec s = vec_sigmoid(gate), silu = gate * s;
        return (struct activated){silu * up, silu, up * s * (1 + gate * (1 - s))};
    }
    vec density, cdf = vec_normal_cdf(up, &density);
    return (struct activated){up * cdf, cdf + up * density, vec_set(0)};
}

static int64_t matrices(const struct mhc_case *c) {
    return c->activation == MHC_SWIGLU ? 3 : 2;
}
/* Columns of w_up and w_gate together. */
static int64_t width(const struct mhc_case *c) {
    return c->hidden * (matrices(c) - 1);
}

/* h of the first `left` channels of a vector; a gate that the activation has not is not read. */
SPECIALISED void activate_vector(int swiglu, int64_t left, const real *up, const real *gate, real *h) {
    vec in = vec_load_part(up, left), in_gate = swiglu ? vec_load_part(gate, left) : vec_set(0);
    vec_store_part(h, activate(swiglu, in, in_gate).h, left);
}

SPECIALISED void activate_token(int swiglu, int64_t H, const real *inner, real *h) {
    const real *gate = inner + swiglu * H;
    int64_t k = 0;
    for (; k + LANES <= H; k += LANES)
        activate_vector(swiglu, LANES, inner + k, gate + k, h + k);
    if (k < H)
        activate_vector(swiglu, H - k, inner + k, gate + k, h + k);
}

/* h [T][hidden] = activation(inner). */
static void activate_forward(const struct mhc_case *c, const real *inner, real *h) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        if (c->activation == MHC_SWIGLU)
            activate_token(1, c->hidden, inner + t * width(c), h + t * c->hidden);
        else
            activate_token(0, c->hidden, inner + t * width(c), h + t * c->hidden);
}

/* The gradients of up and gate from grad_h, of the first `left` channels of a vector; h again where it is not NULL. */
SPECIALISED void activate_vector_backward(int swiglu, int64_t left, const real *up, const real *gate,
                                          const real *grad_h, real *h, real *grad_up, real *grad_gate) {
    vec in = vec_load_part(up, left), in_gate = swiglu ? vec_load_part(gate, left) : vec_set(0);
    vec g = vec_load_part(grad_h, left);
    struct activated a = activate(swiglu, in, in_gate);
    if (h)
        vec_store_part(h, a.h, left);
    vec_store_part(grad_up, g * a.by_up, left);
    if (swiglu)
        vec_store_part(grad_gate, g * a.by_gate, left);
}

SPECIALISED void activate_token_backward(int swiglu, int64_t H, const real *inner, const real *grad_h, real *h,
                                         real *grad_inner) {
    const real *gate = inner + swiglu * H;
    real *grad_gate = grad_inner + swiglu * H;
    int64_t k = 0;
    for (; k + LANES <= H; k += LANES)
        activate_vector_backward(swiglu, LANES, inner + k, gate + k, grad_h + k, h ? h + k : NULL, grad_inner + k,
                                 grad_gate + k);
    if (k < H)
        activate_vector_backward(swiglu, H - k, inner + k, gate + k, grad_h + k, h ? h + k : NULL, grad_inner + k,
                                 grad_gate + k);
}

/* grad_inner from grad_h; h again where it is not NULL, and it may be grad_h. */
static void activate_backward(const struct mhc_case *c, const real *inner, const real *grad_h, real *h,
                              real *grad_inner) {
    int64_t H = c->hidden, I = width(c);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        real *own_h = h ? h + t * H : NULL;
        if (c->activation == MHC_SWIGLU)
            activate_token_backward(1, H, inner + t * I, grad_h + t * H, own_h, grad_inner + t * I);
        else
            activate_token_backward(0, H, inner + t * I, grad_h + t * H, own_h, grad_inner + t * I);
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
