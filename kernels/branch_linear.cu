/* Branch `linear`: y = RMSNorm(u).w, and the rounding of weights of all branches. Keeps nothing: the backward
 * normalises again. */
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

/* --- the branch --- */

struct work {
    void *v, *w, *grad_v;
    float *r, *partial;
};
static struct work work_of(const struct mhc_case *c, void *base, bool backward, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream);
    struct work work = {};
    work.v = part(&p, c->T * c->C, element);
    work.w = weight_part(&p, c, c->C * c->C);
    work.r = (float *)part(&p, c->T, sizeof(float));
    if (backward) {
        work.grad_v = part(&p, c->T * c->C, element);
        work.partial = (float *)part(&p, normalise_partials(c), sizeof(float));
    }
    *bytes = p.used;
    return work;
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, scratch, false, &bytes);
    const struct linear_forward_args *a = (const struct linear_forward_args *)arg;
    const void *w = a->w;
    return gpu_normalise(d, queue, c, a->u, (const float *)a->gain, work.r, work.v) ||
           use_weight(d, queue, c, &w, C, C, work.w) || product(d, queue, c, T, C, C, work.v, C, w, C, a->y, C);
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, scratch, true, &bytes);
    const struct linear_backward_args *a = (const struct linear_backward_args *)arg;
    const void *w = a->w;
    const float *gain = (const float *)a->gain;
    return gpu_normalise(d, queue, c, a->u, gain, work.r, work.v) || use_weight(d, queue, c, &w, C, C, work.w) ||
           product_weight(d, queue, c, C, C, T, work.v, C, a->grad_y, C, a->grad_w) ||
           product_back(d, queue, c, T, C, C, a->grad_y, C, w, C, work.grad_v, C) ||
           gpu_normalise_backward(d, queue, c, a->u, gain, work.r, work.grad_v, NULL, a->grad_u, (float *)a->grad_gain,
                                  work.partial);
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
GPU_ROW(linear_forward) = {MHC_OPERATION(linear_forward), .supports = gpu_supports, .work_bytes = forward_work,
                           .tolerance = gpu_tolerance, .run = forward};

GPU_ROW(linear_backward) = {MHC_OPERATION(linear_backward), .supports = gpu_supports, .work_bytes = backward_work,
                            .tolerance = gpu_tolerance, .run = backward};
