/* The residual maps: what turns the K logits of a token into res [n][n], whose rows are destinations and whose
 * columns are sources. One map is
 *
 *   maps/NAME.h     struct NAME_map: device functions for one token in one thread
 *   maps/NAME.cu    the kernels that call it, alone and within mHC, by one macro; one file compiles for minutes
 *   MAPS below      one line
 *
 * and struct NAME_map has, with N streams known to the compiler or 0:
 *
 *   RES             res is an array. Without it res is the identity, K is 0, and the functions are absent
 *   RECORDS         backward needs something that can be worked out before grad_res is there
 *   SLOW            and that takes so long that the one-pass backward gives it a warp of its own. Its trace is indexed
 *                   at run time, so it lies in shared memory where N is known (shares_trace() and what follows it)
 *   logits(n)       K, as mhc_map_logits()
 *   supports()      what the case must be, besides an n that the map exists for
 *   trace<N>        what record() leaves for backward(). That of a SLOW map has an odd number of words, for the banks
 *   forward<N>(s, m)                                   logits [K] in m become res [n][n]
 *   record<N>(s, logits, trace)
 *   backward<N>(s, trace, grad_res, grad_logits)       may be called once a trace */
#ifndef KERNELS_MAPS_H
#define KERNELS_MAPS_H

#include "kernels/coefficients.h"

#define MAPS(MAP)          \
    MAP(sinkhorn)          \
    MAP(identity)          \
    MAP(free)              \
    MAP(kronecker)         \
    MAP(permutations)      \
    MAP(orthostochastic_1) \
    MAP(orthostochastic_2) \
    MAP(transport)         \
    MAP(spectral)          \
    MAP(circulant)

struct chain;            /* kernels/two_pass_coefficients.h */
struct one_pass_kernels; /* kernels/one_pass.h */

/* The kernels of mHC with a map. */
struct gpu_map {
    int32_t map, order; /* enum mhc_map; map_order of the cases that it is for, 0: of any */
    bool (*supports)(const struct mhc_case *, const char **why);
    int (*coefficients)(struct device *, void *queue, const struct mhc_case *, const float *product,
                        const struct mhc_pre_args *);
    int (*chain)(struct device *, void *queue, const struct mhc_case *, const struct chain *);
    const struct one_pass_kernels *one_pass;
    /* The map alone: logits [T][K], res [T][n][n]. kernels/maps/row.h. */
    int (*forward)(struct device *, void *queue, const struct mhc_case *, const float *logits, float *res);
    int (*backward)(struct device *, void *queue, const struct mhc_case *, const float *logits, const float *grad_res,
                    float *grad_logits);
};

#define MAP(name) extern const struct gpu_map name##_kernels;
MAPS(MAP)
#undef MAP

/* The map of a case; NULL: it has no kernels here. */
static inline const struct gpu_map *gpu_map_of(const struct mhc_case *c) {
#define MAP(name) &name##_kernels,
    static const struct gpu_map *const maps[] = {MAPS(MAP) NULL};
#undef MAP
    const struct gpu_map *const *map = maps;
    while (*map && ((*map)->map != c->map || ((*map)->order && (*map)->order != c->map_order)))
        map++;
    return *map;
}

/* The trace of a map that needs none. */
struct no_trace {};

/* x [count] becomes its softmax. A NaN makes all NaN. */
static __device__ __forceinline__ void softmax(int count, float *x) {
    float largest = -INFINITY, sum = 0;
#pragma unroll
    for (int k = 0; k < count; k++)
        largest = fmaxf(largest, x[k]);
#pragma unroll
    for (int k = 0; k < count; k++) {
        x[k] = expf(x[k] - largest);
        sum += x[k];
    }
    sum = 1 / sum;
#pragma unroll
    for (int k = 0; k < count; k++)
        x[k] *= sum;
}

/* The gradient of a softmax's arguments takes the place of that of its values: grad_k = a_k (grad_k - <a, grad>). */
static __device__ __forceinline__ void softmax_backward(int count, const float *a, float *grad) {
    float mean = 0;
#pragma unroll
    for (int k = 0; k < count; k++)
        mean = fmaf(a[k], grad[k], mean);
#pragma unroll
    for (int k = 0; k < count; k++)
        grad[k] = a[k] * (grad[k] - mean);
}

#endif
