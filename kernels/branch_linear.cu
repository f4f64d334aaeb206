/* Branch `linear`: y = RMSNorm(u).w, and the head of a stack, the same with a column of w for each word of the
 * vocabulary; and the rounding of weights of all branches. Keeps nothing: the backward normalises again. */
#include "kernels/branch.h"

/* --- weights in the type of the streams --- */

template <typename T, int W> static __global__ void round_kernel(int columns, const float *w, T *rounded, int64_t ld) {
    int64_t row = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < columns; c += (int)blockDim.x * W) {
        float x[W];
        load_channels<W>(w + row * columns + c, x);
        store_channels<W>(rounded + row * ld + c, x);
    }
}

template <typename T, int W>
static int start_round(struct device *d, void *queue, const void *w, int64_t rows, int64_t columns, void *rounded,
                       int64_t ld) {
    return CHECKED(d, LAUNCH((round_kernel<T, W>), (unsigned)rows, token_threads(columns, W), 0, queue, (int)columns,
                             (const float *)w, (T *)rounded, ld));
}

int gpu_round(struct device *d, void *queue, const struct mhc_case *c, const void *w, int64_t rows, int64_t columns,
              void *rounded, int64_t ld) {
#define CALL(T, W) start_round<T, W>(d, queue, w, rows, columns, rounded, ld)
    return FOR_ROWS(c, columns, CALL);
#undef CALL
}

/* --- both, w [C][columns] --- */

struct work {
    void *v, *w, *grad_v;
    float *r, *partial;
};
static struct work work_of(const struct mhc_case *c, int64_t columns, void *base, bool backward, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream);
    struct work work = {};
    work.v = part(&p, c->T * c->C, element);
    work.w = weight_part(&p, c, c->C * columns);
    work.r = (float *)part(&p, c->T, sizeof(float));
    if (backward) {
        work.grad_v = part(&p, c->T * c->C, element);
        work.partial = (float *)part(&p, normalise_partials(c), sizeof(float));
    }
    *bytes = p.used;
    return work;
}
static int64_t work_bytes(const struct mhc_case *c, int64_t columns, bool backward) {
    int64_t bytes;
    work_of(c, columns, NULL, backward, &bytes);
    return bytes;
}

/* y [T][columns]. ARGS: the arguments of either row, which name what comes out differently. */
template <typename ARGS>
static int project(void *context, void *queue, const struct mhc_case *c, int64_t columns, const ARGS *a, void *y,
                   void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, columns, scratch, false, &bytes);
    const void *w = a->w;
    return gpu_normalise(d, queue, c, a->u, (const float *)a->gain, work.r, work.v) ||
           use_weight(d, queue, c, &w, C, columns, work.w) ||
           product(d, queue, c, T, columns, C, work.v, C, w, columns, y, columns);
}

template <typename ARGS>
static int project_backward(void *context, void *queue, const struct mhc_case *c, int64_t columns, const ARGS *a,
                            const void *grad_y, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, columns, scratch, true, &bytes);
    const void *w = a->w;
    const float *gain = (const float *)a->gain;
    return gpu_normalise(d, queue, c, a->u, gain, work.r, work.v) || use_weight(d, queue, c, &w, C, columns, work.w) ||
           product_weight(d, queue, c, C, columns, T, work.v, C, grad_y, columns, a->grad_w) ||
           product_back(d, queue, c, T, C, columns, grad_y, columns, w, columns, work.grad_v, C) ||
           gpu_normalise_backward(d, queue, c, a->u, gain, work.r, work.grad_v, NULL, a->grad_u, (float *)a->grad_gain,
                                  work.partial);
}

/* --- rows --- */

static bool supports_head(const struct mhc_case *c, const char **why) {
    struct mhc_case one = *c; /* streams end before the head */
    one.n = 1;
    if (c->vocabulary < 1 || c->vocabulary > INT32_MAX / 2)
        return *why = "the vocabulary must be from 1 to 2^30", false;
    return gpu_supports(&one, why);
}

/* Both rows of a kind; `out` and `grad_out` are the names of y and of its gradient. */
#define PROJECTION(kind, columns, out, grad_out, fits)                                                                \
    static int kind##_forward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,    \
                                  void *work) {                                                                       \
        const struct kind##_forward_args *a = (const struct kind##_forward_args *)arg;                                \
        return project(context, queue, c, columns, a, a->out, work);                                                  \
    }                                                                                                                 \
    static int kind##_backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,   \
                                   void *work) {                                                                      \
        const struct kind##_backward_args *a = (const struct kind##_backward_args *)arg;                              \
        return project_backward(context, queue, c, columns, a, a->grad_out, work);                                    \
    }                                                                                                                 \
    static int64_t kind##_forward_work(const struct mhc_case *c) {                                                    \
        return work_bytes(c, columns, false);                                                                         \
    }                                                                                                                 \
    static int64_t kind##_backward_work(const struct mhc_case *c) {                                                   \
        return work_bytes(c, columns, true);                                                                          \
    }                                                                                                                 \
    GPU_ROW(kind##_forward) = {MHC_OPERATION(kind##_forward), .supports = fits, .work_bytes = kind##_forward_work,    \
                               .tolerance = gpu_tolerance, .run = kind##_forward_run};                                \
    GPU_ROW(kind##_backward) = {MHC_OPERATION(kind##_backward), .supports = fits, .work_bytes = kind##_backward_work, \
                                .tolerance = gpu_tolerance, .run = kind##_backward_run}

PROJECTION(linear, c->C, y, grad_y, gpu_supports);
PROJECTION(head, c->vocabulary, logits, grad_logits, supports_head);
