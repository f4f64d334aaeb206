/* AdamW, as cpu_ref/adamw.h says: a stream of seven floats an element, 28 bytes, and 30 with the weight in bf16
 * beside it. A thread takes four neighbours, 16 bytes of every array. What all elements share, one thread of each
 * block computes while the others load. */
#include "cpu_ref/adamw.h"
#include "kernels/connection.h"

enum { QUAD = 4, THREADS = 256 };

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case types = *c; /* a flat array has neither tokens nor streams */
    types.T = types.n = types.C = 1;
    if (c->weights < 1 || c->weights >= INT64_C(1) << 40)
        return *why = "weights must be at least 1 and below 2^40", false;
    return gpu_supports(&types, why);
}

/* Everything is float but w_next. */
static double update_tolerance(const struct mhc_case *) {
    return 1e-3;
}
static double rounded_tolerance(const struct mhc_case *c) {
    return c->stream == MHC_BF16 ? 0x1.1p-8 : 1e-3; /* rounding takes 2^-8 at most, and every output is held to this */
}

static __device__ __forceinline__ void load_quad(const float *from, float to[QUAD]) {
    float4 w = *(const float4 *)from;
    to[0] = w.x, to[1] = w.y, to[2] = w.z, to[3] = w.w;
}
static __device__ __forceinline__ void store_quad(float *to, const float from[QUAD]) {
    *(float4 *)to = make_float4(from[0], from[1], from[2], from[3]);
}
static __device__ __forceinline__ void store_quad(struct bf16 *to, const float from[QUAD]) {
    *(uint2 *)to = make_uint2(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]));
}

/* adamw_factors in float. */
struct factors {
    float clip, old_momentum, new_momentum, old_rms, new_rms, rate, root, epsilon, shrink;
};
static __device__ __forceinline__ struct factors factors_of(double norm, const double *hyper) {
    struct adamw_factors f = adamw_factors_of(norm, hyper);
    return {(float)f.clip, (float)f.beta1, (float)(1 - f.beta1), (float)sqrt(f.beta2), (float)sqrt(1 - f.beta2),
            (float)f.rate, (float)f.root,  (float)f.epsilon,     (float)f.shrink};
}

/* New values in the places of the old. The root of two squares, neither of which vanishes. */
static __device__ __forceinline__ void renew(const struct factors &f, float *master, float *momentum, float *rms,
                                             float grad) {
    float g = f.clip * grad;
    *momentum = fmaf(f.old_momentum, *momentum, f.new_momentum * g);
    *rms = hypotf(f.old_rms * *rms, f.new_rms * g);
    float step = *momentum / fmaf(f.root, *rms, f.epsilon);
    *master = fmaf(-f.shrink, *master, fmaf(-f.rate, step, *master));
}

/* rounded NULL: it is not wanted */
template <typename T>
static __global__ void adamw_kernel(int64_t count, const float *master, const float *momentum, const float *rms,
                                    const float *grad, const double *norm, const double *hyper, float *master_next,
                                    float *momentum_next, float *rms_next, T *rounded) {
    struct factors *shared = (struct factors *)shared_memory();
    int64_t k = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * QUAD;
    float a[QUAD], m[QUAD], s[QUAD], g[QUAD];
    bool whole = k + QUAD <= count;
    if (whole) {
        load_quad(master + k, a);
        load_quad(momentum + k, m);
        load_quad(rms + k, s);
        load_quad(grad + k, g);
    }
    if (threadIdx.x == 0)
        *shared = factors_of(*norm, hyper);
    __syncthreads();
    const struct factors f = *shared;
    if (whole) {
#pragma unroll
        for (int i = 0; i < QUAD; i++)
            renew(f, &a[i], &m[i], &s[i], g[i]);
        store_quad(master_next + k, a);
        store_quad(momentum_next + k, m);
        store_quad(rms_next + k, s);
        if (rounded)
            store_quad(rounded + k, a);
        return;
    }
    for (; k < count; k++) { /* of the last thread */
        float last = master[k], its_momentum = momentum[k], its_rms = rms[k];
        renew(f, &last, &its_momentum, &its_rms, grad[k]);
        master_next[k] = last;
        momentum_next[k] = its_momentum;
        rms_next[k] = its_rms;
        if (rounded)
            rounded[k] = from_float<T>(last);
    }
}

/* A: the arguments of either row. */
template <typename T, typename A>
static int start(struct device *d, void *queue, const struct mhc_case *c, const A *a, void *rounded) {
    return CHECKED(d, LAUNCH(adamw_kernel<T>, (unsigned)blocks_of(c->weights, THREADS * QUAD), THREADS,
                             sizeof(struct factors), queue, c->weights, (const float *)a->master,
                             (const float *)a->momentum, (const float *)a->rms, (const float *)a->grad,
                             (const double *)a->norm, (const double *)a->hyper, (float *)a->master_next,
                             (float *)a->momentum_next, (float *)a->rms_next, (T *)rounded));
}

static int update(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct adamw_update_args *a = (const struct adamw_update_args *)arg;
    return start<float>(device_of(context), queue, c, a, NULL);
}

static int update_rounded(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct adamw_update_rounded_args *a = (const struct adamw_update_rounded_args *)arg;
    return c->stream == MHC_BF16 ? start<struct bf16>(d, queue, c, a, a->w_next)
                                 : start<float>(d, queue, c, a, a->w_next);
}

GPU_ROW(adamw_update) = {MHC_OPERATION(adamw_update), .supports = supports, .tolerance = update_tolerance,
                         .run = update};

GPU_ROW(adamw_update_rounded) = {MHC_OPERATION(adamw_update_rounded), .supports = supports,
                                 .tolerance = rounded_tolerance, .run = update_rounded};
