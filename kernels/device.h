/* What kernels are written in. Under nvcc this is CUDA; under a host compiler kernels/host/executor.h gives the same
 * names a meaning on the CPU. Every instruction that is not plain C stands here once, behind a named wrapper, so a
 * kernel file compiles unchanged for both.
 *
 * Rules for kernels, which the executor enforces: shared memory is dynamic (shared_memory()); no thread returns
 * before a barrier the others wait at; a warp operation names all 32 lanes; sums are ordered, so no atomics on
 * floats; every multiply-add that must give the same bits in two kernels is an explicit fmaf. */
#ifndef DEVICE_H
#define DEVICE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cpu_ref/operation.h"

#define WARP 32
#define ALL_LANES 0xffffffffu

struct device; /* the library's context, kernels/library.h */

#ifdef __CUDACC__
#include "kernels/cuda_device.h"
#else
#include "kernels/host/executor.h"
#endif

/* --- bf16 --- */

/* A bfloat16 as it lies in memory. */
struct bf16 {
    uint16_t bits;
};

static __host__ __device__ __forceinline__ float float_of_bits(uint32_t bits) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(bits);
#else
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

/* The two bf16 of a 32-bit word, as floats: exact. */
static __device__ __forceinline__ float low_bf16(uint32_t word) {
    return float_of_bits(word << 16);
}
static __device__ __forceinline__ float high_bf16(uint32_t word) {
    return float_of_bits(word & 0xffff0000u);
}

static __device__ __forceinline__ float to_float(float x) {
    return x;
}
static __device__ __forceinline__ float to_float(struct bf16 x) {
    return float_of_bits((uint32_t)x.bits << 16);
}

/* Rounded to nearest even. */
template <typename T> static __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ struct bf16 from_float<struct bf16>(float x) {
    struct bf16 rounded = {(uint16_t)pack_bf16(x, 0)};
    return rounded;
}

/* x, but the compiler does not know that. So what depends on it is worked out where it is needed, in every turn of a
 * loop, and waits in no register meanwhile. */
static __device__ __forceinline__ int
anew(int x) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+r"(x));
#endif
    return x;
}
static __device__ __forceinline__ uint32_t anew(uint32_t x) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+r"(x));
#endif
    return x;
}
static __device__ __forceinline__ int64_t anew(int64_t x) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+l"(x));
#endif
    return x;
}

/* --- eight neighbouring elements: 16 bytes of bf16, 32 of float --- */

enum { OCTET = 8 };

static __device__ __forceinline__ void load_octet(const struct bf16 *from, float to[OCTET]) {
    uint4 w = *(const uint4 *)from;
    to[0] = low_bf16(w.x), to[1] = high_bf16(w.x), to[2] = low_bf16(w.y), to[3] = high_bf16(w.y);
    to[4] = low_bf16(w.z), to[5] = high_bf16(w.z), to[6] = low_bf16(w.w), to[7] = high_bf16(w.w);
}
static __device__ __forceinline__ void load_octet(const float *from, float to[OCTET]) {
    float4 a = ((const float4 *)from)[0], b = ((const float4 *)from)[1];
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}
static __device__ __forceinline__ void store_octet(struct bf16 *to, const float from[OCTET]) {
    *(uint4 *)to = make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]), pack_bf16(from[4], from[5]),
                              pack_bf16(from[6], from[7]));
}
static __device__ __forceinline__ void store_octet(float *to, const float from[OCTET]) {
    ((float4 *)to)[0] = make_float4(from[0], from[1], from[2], from[3]);
    ((float4 *)to)[1] = make_float4(from[4], from[5], from[6], from[7]);
}

/* --- sums in a fixed order --- */

/* Sum over the lanes of a warp, the same bits in each; float or double. */
template <typename R> static __device__ __forceinline__ R warp_sum(R x) {
    for (int step = WARP / 2; step; step /= 2)
        x += shuffle_xor(x, step);
    return x;
}
static __device__ __forceinline__ float warp_max(float x) {
    for (int step = WARP / 2; step; step /= 2)
        x = fmaxf(x, shuffle_xor(x, step));
    return x;
}

#endif
