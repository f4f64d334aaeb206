/* Branch `mlp`: v = RMSNorm(u); GELU (exact, by erf) h = gelu(v.w_up), or SwiGLU h = silu(v.w_gate) (v.w_up); y =
 * h.w_down. The activation is a row of its own too.
 *
 * w_up and w_gate lie side by side in one matrix, so that v is read once and its gradient is summed in float and
 * rounded once. Keeps v times that matrix, [T][inner]: up, and behind it, for SwiGLU, gate. */
#include "kernels/branch.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1 || c->hidden > INT32_MAX / 2)
        return *why = "hidden must be from 1 to 2^30", false;
    return gpu_supports(c, why);
}

/* --- activation --- */

/* What the activation makes of up and gate, and its derivatives. */
struct activated {
    float h, by_up, by_gate;
};
template <int GATED> static __device__ __forceinline__ struct activated activate(float up, float gate) {
    struct activated a;
    if (GATED) {
        float s = 1 / (1 + expf(-gate)), silu = gate * s;
        a.h = silu * up;
        a.by_up = silu;
        a.by_gate = up * s * fmaf(gate, 1 - s, 1.f);
    } else {
        float cdf = fmaf(0.5f, erff(up * 0.70710678f), 0.5f);
        a.h = up * cdf;
        a.by_up = fmaf(up, 0.39894228f * expf(-0.5f * up * up), cdf);
        a.by_gate = 0;
    }
    return a;
}

/* One block per token; a row of `inner` is up and, GATED, gate behind it. */
template <typename T, int W, int GATED> static __global__ void activate_kernel(int H, const T *inner, T *h) {
    int64_t t = blockIdx.x;
    const T *up = inner + t * (1 + GATED) * H, *gate = up + H;
    for (int c = (int)threadIdx.x * W; c < H; c += (int)blockDim.x * W) {
        float a[W], b[W] = {0};
        load_channels<W>(up + c, a);
        if (GATED)
            load_channels<W>(gate + c, b);
        for (int w = 0; w < W; w++)
            a[w] = activate<GATED>(a[w], b[w]).h;
        store_channels<W>(h + t * H + c, a);
    }
}

/* grad_inner from grad_h; h again where it is not NULL. */
template <typename T, int W, int GATED>
static __global__ void activate_backward_kernel(int H, const T *inner, const T *grad_h, T *h, T *grad_inner) {
    int64_t t = blockIdx.x, at = t * (1 + GATED) * H;
    const T *up = inner + at, *gate = up + H;
    T *grad_up = grad_inner + at, *grad_gate = grad_up + H;
    for (int c = (int)threadIdx.x * W; c < H; c += (int)blockDim.x * W) {
        float a[W], b[W] = {0}, g[W];
        load_channels<W>(up + c, a);
        if (GATED)
            load_channels<W>(gate + c, b);
        load_channels<W>(grad_h + t * H + c, g);
        struct activated value[W];
        for (int w = 0; w < W; w++) {
            value[w] = activate<GATED>(a[w], b[w]);
            a[w] = g[w] * value[w].by_up;
            b[w] = g[w] * value[w].by_gate;
            g[w] = value[w].h;
        }
        store_channels<W>(grad_up + c, a);
        if (GATED)
            store_channels<W>(grad_gate + c, b);
        if (h)
            store_channels<W>(h + t * H + c, g);
    }
}

template <typename T, int W>
static int start_activate(struct device *d, void *queue, const struct mhc_case *c, const void *inner, void *h) {
    int H = (int)c->hidden;
    auto kernel = c->activation == MHC_SWIGLU ? activate_kernel<T, W, 1> : activate_kernel<T, W, 0>;
    return CHECKED(d, LAUNCH(kernel, (unsigned)c->T, token_threads(H, W), 0, queue, H, (const T *)inner, (T *)h));
}

/* 0, or 1 with device.error set. */
static int gpu_activate(struct device *d, void *queue, const struct mhc_case *c, const void *inner, void *h) {
#define CALL(T, W) start_activate<T, W>(d, queue, c, inner, h)
    return FOR_ROWS(c, c->hidden, CALL);
#undef CALL
}

template <typename T, int W>
static int start_activate_backward(struct device *d, void *queue, const struct mhc_case *c, const void *inner,
                                   const void *grad_h, void *h, void *grad_inner) {
    int H = (int)c->hidden;
    auto kernel = c->activation == MHC_SWIGLU ? activate_backward_kernel<T, W, 1> : activate_backward_kernel<T, W, 0>;
    return CHECKED(d, LAUNCH(kernel, (unsigned)c->T, token_threads(H, W), 0, queue, H, (const T *)inner,
                             (const T *)grad_h, (T *)h, (T *)grad_inner));
}

static int gpu_activate_backward(struct device *d, void *queue, const struct mhc_case *c, const void *inner,
                                 const void *grad_h, void *h, void *grad_inner) {
#define CALL(T, W) start_activate_backward<T, W>(d, queue, c, inner, grad_h, h, grad_inner)
    return FOR_ROWS(c, c->hidden, CALL);
#undef CALL
}

/* --- the branch --- */

static int64_t matrices(const struct mhc_case *c) {
    return c->activation == MHC_SWIGLU ? 3 : 2;
}
/* Columns of w_up and w_gate together. */
static int64_t inner(const struct mhc_case *c) {
    return c->hidden * (matrices(c) - 1);
}

struct work {
    void *v, *w_in, *w_down, *h, *grad_h, *grad_inner, *grad_v;
    float *r, *partial;
};
static struct work work_of(const struct mhc_case *c, void *base, bool backward, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream);
    struct work work = {};
    work.v = part(&p, c->T * c->C, element);
    work.w_in = c->activation == MHC_SWIGLU ? part(&p, c->C * inner(c), element) : weight_part(&p, c, c->C * c->hidden);
    work.w_down = weight_part(&p, c, c->hidden * c->C);
    work.h = part(&p, c->T * c->hidden, element);
    work.r = (float *)part(&p, c->T, sizeof(float));
    if (backward) {
        work.grad_h = part(&p, c->T * c->hidden, element);
        work.grad_inner = part(&p, c->T * inner(c), element);
        work.grad_v = part(&p, c->T * c->C, element);
        work.partial = (float *)part(&p, normalise_partials(c), sizeof(float));
    }
    *bytes = p.used;
    return work;
}

/* `*w_in` becomes w_up and w_gate side by side. */
static int join_weights(struct device *d, void *queue, const struct mhc_case *c, const void *w_gate, const void *w_up,
                        void *room, const void **w_in) {
    *w_in = w_up;
    if (c->activation != MHC_SWIGLU)
        return use_weight(d, queue, c, w_in, c->C, c->hidden, room);
    *w_in = room;
    return gpu_round(d, queue, c, w_up, c->C, c->hidden, room, inner(c)) ||
           gpu_round(d, queue, c, w_gate, c->C, c->hidden, column_of(c, room, c->hidden), inner(c));
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, H = c->hidden, I = inner(c), bytes;
    struct work work = work_of(c, scratch, false, &bytes);
    const struct mlp_forward_args *a = (const struct mlp_forward_args *)arg;
    const void *w_in, *w_down = a->w_down;
    return gpu_normalise(d, queue, c, a->u, (const float *)a->gain, work.r, work.v) ||
           join_weights(d, queue, c, a->w_gate, a->w_up, work.w_in, &w_in) ||
           use_weight(d, queue, c, &w_down, H, C, work.w_down) ||
           product(d, queue, c, T, I, C, work.v, C, w_in, I, save, I) || gpu_activate(d, queue, c, save, work.h) ||
           product(d, queue, c, T, C, H, work.h, H, w_down, C, a->y, C);
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                    void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, H = c->hidden, I = inner(c), bytes;
    struct work work = work_of(c, scratch, true, &bytes);
    const struct mlp_backward_args *a = (const struct mlp_backward_args *)arg;
    const void *w_in, *w_down = a->w_down, *grad_y = a->grad_y;
    const float *gain = (const float *)a->gain;
    void *grad_up = work.grad_inner, *grad_gate = column_of(c, work.grad_inner, H);
    if (gpu_normalise(d, queue, c, a->u, gain, work.r, work.v) ||
        join_weights(d, queue, c, a->w_gate, a->w_up, work.w_in, &w_in) ||
        use_weight(d, queue, c, &w_down, H, C, work.w_down) ||
        product_back(d, queue, c, T, H, C, grad_y, C, w_down, C, work.grad_h, H) ||
        gpu_activate_backward(d, queue, c, save, work.grad_h, work.h, work.grad_inner) ||
        product_weight(d, queue, c, H, C, T, work.h, H, grad_y, C, a->grad_w_down) ||
        product_weight(d, queue, c, C, H, T, work.v, C, grad_up, I, a->grad_w_up))
        return 1;
    if (c->activation == MHC_SWIGLU && product_weight(d, queue, c, C, H, T, work.v, C, grad_gate, I, a->grad_w_gate))
        return 1;
    return product_back(d, queue, c, T, C, I, work.grad_inner, I, w_in, I, work.grad_v, C) ||
           gpu_normalise_backward(d, queue, c, a->u, gain, work.r, work.grad_v, NULL, a->grad_u, (float *)a->grad_gain,
                                  work.partial);
}

static int64_t save_bytes(const struct mhc_case *c) {
    return c->T * inner(c) * mhc_type_bytes(c->stream);
}
static int64_t forward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, false, &bytes);
    return bytes;
}
static int64_t backward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, true, &bytes);
    return bytes;
}
GPU_ROW(mlp_forward) = {MHC_OPERATION(mlp_forward), .supports = supports,       .save_bytes = save_bytes,
                        .work_bytes = forward_work, .tolerance = gpu_tolerance, .run = forward};

GPU_ROW(mlp_backward) = {MHC_OPERATION(mlp_backward), .supports = supports, .work_bytes = backward_work,
                         .tolerance = gpu_tolerance, .run = backward};

/* --- the activation as rows of its own --- */

static int activation_forward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,
                                  void *) {
    const struct activation_forward_args *a = (const struct activation_forward_args *)arg;
    return gpu_activate(device_of(context), queue, c, a->inner, a->h);
}

static int activation_backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,
                                   void *) {
    const struct activation_backward_args *a = (const struct activation_backward_args *)arg;
    return gpu_activate_backward(device_of(context), queue, c, a->inner, a->grad_h, NULL, a->grad_inner);
}

GPU_ROW(activation_forward) = {MHC_OPERATION(activation_forward), .supports = supports, .tolerance = gpu_tolerance,
                               .run = activation_forward_run};

GPU_ROW(activation_backward) = {MHC_OPERATION(activation_backward), .supports = supports, .tolerance = gpu_tolerance,
                                .run = activation_backward_run};
