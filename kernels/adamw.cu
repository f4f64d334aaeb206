/* AdamW, as cpu_ref/adamw.c says: a stream of seven floats an element, 28 bytes, and 30 with the weight in bf16
 * beside it. A thread takes four neighbours, 16 bytes of every array. */
#include "cpu_ref/adamw.h"
#include "kernels/connection.h"

enum { QUAD = 4, THREADS = 256 };

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case small = *c; /* elements are counted in 64 bits, only types and streams matter */
    small.C = 1;
    if (c->C < 1 || c->hidden < 1)
        return *why = "C and hidden must be at least 1", false;
    if (c->hidden > (INT64_C(1) << 40) / c->C)
        return *why = "C hidden must be below 2^40", false;
    return gpu_supports(&small, why);
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

/* New values in the places of the old. */
static __device__ __forceinline__ void renew(float *master, float *momentum, float *rms, float grad) {
    const float b1 = (float)ADAMW_BETA1, b2 = (float)ADAMW_BETA2, rate = (float)ADAMW_RATE;
    *momentum = fmaf(b1, *momentum, (1 - b1) * grad);
    *rms = sqrtf(fmaf(b2 * *rms, *rms, (1 - b2) * grad * grad));
    *master = fmaf(-rate, fmaf((float)ADAMW_DECAY, *master, *momentum / (*rms + (float)ADAMW_EPSILON)), *master);
}

/* rounded NULL: nobody wants it */
template <typename T>
static __global__ void adamw_kernel(int64_t count, const float *master, const float *momentum, const float *rms,
                                    const float *grad, float *master_next, float *momentum_next, float *rms_next,
                                    T *rounded) {
    int64_t k = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * QUAD;
    if (k + QUAD <= count) {
        float a[QUAD], m[QUAD], s[QUAD], g[QUAD];
        load_quad(master + k, a);
        load_quad(momentum + k, m);
        load_quad(rms + k, s);
        load_quad(grad + k, g);
#pragma unroll
        for (int i = 0; i < QUAD; i++)
            renew(&a[i], &m[i], &s[i], g[i]);
        store_quad(master_next + k, a);
        store_quad(momentum_next + k, m);
        store_quad(rms_next + k, s);
        if (rounded)
            store_quad(rounded + k, a);
        return;
    }
    for (; k < count; k++) { /* of the last thread */
        float a = master[k], m = momentum[k], s = rms[k];
        renew(&a, &m, &s, grad[k]);
        master_next[k] = a;
        momentum_next[k] = m;
        rms_next[k] = s;
        if (rounded)
            rounded[k] = from_float<T>(a);
    }
}

/* A: the arguments of either row. */
template <typename T, typename A>
static int start(struct device *d, void *queue, const struct mhc_case *c, const A *a, void *rounded) {
    int64_t count = c->C * c->hidden;
    return CHECKED(d, LAUNCH(adamw_kernel<T>, (unsigned)blocks_of(count, THREADS * QUAD), THREADS, 0, queue, count,
                             (const float *)a->master, (const float *)a->momentum, (const float *)a->rms,
                             (const float *)a->grad, (float *)a->master_next, (float *)a->momentum_next,
                             (float *)a->rms_next, (T *)rounded));
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
