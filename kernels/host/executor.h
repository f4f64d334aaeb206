/* Runs CUDA kernels on the CPU: the names of kernels/device.h with a host meaning. Compiled by a C++ compiler without
 * a CUDA toolkit.
 *
 * A block's threads are fibres: each runs until it waits at a barrier or a warp operation, then the next runs. Blocks
 * run one after the other, the blocks of a cluster together. EMU_SHUFFLE=seed takes fibres and blocks in random
 * order. What CUDA leaves undefined ends the process with one line that says what: a barrier that not all reach, a
 * warp operation of different lines, a write to a block of the cluster that may not have started or have ended.
 * Shared memory is allocated afresh, exactly as large as asked and filled with NaN, for every block, so the address
 * sanitizer sees an overrun; under the thread sanitizer only barriers order the threads of a block and nothing orders
 * its blocks, so a missing barrier is a report. */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/host/counters.h"

#define __global__
#define __device__
#define __host__
#ifdef EMU_COUNTED /* an instruction of the caller is told from that of another one */
#define __forceinline__ inline __attribute__((always_inline))
#else
#define __forceinline__ inline
#endif
#define __launch_bounds__(...)
#define __restrict__

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {
    }
};
/* A GPU copies a vector in one access, which the compiler of a host may take apart: counters are told of the whole. */
#ifdef EMU_COUNTED
void emu_copy_whole(void *to, const void *from, size_t bytes);
void emu_count_load(const void *from, size_t bytes, const void *site);
#define EMU_INLINE __attribute__((always_inline)) inline
#define EMU_VECTOR(V)                                             \
    V() = default;                                                \
    EMU_INLINE V(const V &other) {                                \
        emu_copy_whole(this, &other, sizeof *this);               \
    }                                                             \
    EMU_INLINE V &operator=(const V &other) {                     \
        return emu_copy_whole(this, &other, sizeof *this), *this; \
    }
#define EMU_VECTOR2(V, R)                                   \
    EMU_VECTOR(V) EMU_INLINE V(R x_, R y_) : x(x_), y(y_) { \
    }
#define EMU_VECTOR4(V, R)                                                             \
    EMU_VECTOR(V) EMU_INLINE V(R x_, R y_, R z_, R w_) : x(x_), y(y_), z(z_), w(w_) { \
    }
/* A function of the executor and not of the kernel: nothing in it is counted. */
#define EMU_OWN static __attribute__((noinline, unused, no_sanitize_thread))
#else
#define EMU_VECTOR2(V, R)
#define EMU_VECTOR4(V, R)
#define EMU_OWN static inline
#endif
struct alignas(8) uint2 {
    uint32_t x, y;
    EMU_VECTOR2(uint2, uint32_t)
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
    EMU_VECTOR4(uint4, uint32_t)
};
struct alignas(8) float2 {
    float x, y;
    EMU_VECTOR2(float2, float)
};
struct alignas(16) float4 {
    float x, y, z, w;
    EMU_VECTOR4(float4, float)
};
static inline uint2 make_uint2(uint32_t x, uint32_t y) {
    return uint2{x, y};
}
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
    return uint4{x, y, z, w};
}
static inline float2 make_float2(float x, float y) {
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}

/* What a running thread knows of itself; read through the macros only. */
struct emu_place {
    dim3 thread, block, block_size, grid_size;
    int rank, cluster; /* of the block in its cluster; blocks a cluster */
    unsigned char *shared;
};
const struct emu_place *emu_place(void);
#define threadIdx (emu_place()->thread)
#define blockIdx (emu_place()->block)
#define blockDim (emu_place()->block_size)
#define gridDim (emu_place()->grid_size)

/* --- waiting --- */

void emu_barrier(const char *file, int line);
void emu_warp_barrier(const char *file, int line);
void emu_cluster_arrive(void);
void emu_cluster_wait(void);
/* Every lane gives `bytes` (at most EMU_SLOT) of `mine` and gets those of all lanes, EMU_SLOT apart. */
const unsigned char *emu_exchange(const void *mine, size_t bytes, const char *file, int line);
enum { EMU_SLOT = 64 }; /* distance of the lanes in what emu_exchange returns */
/* The shared memory of block `rank` of the cluster, to be written to now. */
unsigned char *emu_shared_to_write(int rank);
void emu_check_aligned(const void *); /* to 16 bytes */
void emu_copy_async(void *shared, const void *global, int bytes);
void emu_copy_commit(void);
void emu_copy_wait(int left);

#define __syncthreads() emu_barrier(__FILE__, __LINE__)
#define __syncwarp() emu_warp_barrier(__FILE__, __LINE__)

/* --- the wrappers of kernels/cuda_device.h, with the same meaning --- */

static inline unsigned char *shared_memory(void) {
    return emu_place()->shared;
}

static inline uint32_t emu_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff; /* what the instruction makes of every NaN */
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline uint32_t pack_bf16(float low, float high) {
    return emu_bf16(low) | emu_bf16(high) << 16;
}

template <typename T> EMU_OWN T emu_lane(T x, int lane, const char *file, int line) {
    T value;
    memcpy(&value, emu_exchange(&x, sizeof x, file, line) + (lane & 31) * EMU_SLOT, sizeof value);
    return value;
}
#define shuffle(value, lane) emu_lane(value, lane, __FILE__, __LINE__)
#define shuffle_xor(value, mask) emu_lane(value, (int)(threadIdx.x % 32 ^ (unsigned)(mask)), __FILE__, __LINE__)

EMU_OWN uint32_t emu_ballot(bool mine, const char *file, int line) {
    const unsigned char *all = emu_exchange(&mine, sizeof mine, file, line);
    uint32_t word = 0;
    for (int lane = 0; lane < 32; lane++)
        word |= (uint32_t)(all[lane * EMU_SLOT] != 0) << lane;
    return word;
}
#define lanes_where(mine) emu_ballot(mine, __FILE__, __LINE__)
static inline int set_bits(uint32_t word) {
    return __builtin_popcount(word);
}

static inline uint4 load_once(const void *from) {
    return *(const uint4 *)from;
}
static inline uint4 load_kept(const void *from) {
    return *(const uint4 *)from;
}

static inline void store_whole(void *to, uint4 w) {
    *(uint4 *)to = w;
}

static inline void prefetch(const void *address) {
    (void)address;
}

/* Element `k` of a word of two bf16. */
static inline float emu_half(uint32_t word, int k) {
    uint32_t bits = k ? word & 0xffff0000u : word << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

EMU_OWN void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line) {
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    count_event(COUNT_MMA);
    const unsigned char *all = emu_exchange(mine, sizeof mine, file, line);
    int lane = (int)(threadIdx.x % 32), g = lane / 4, q = lane % 4;
    for (int e = 0; e < 4; e++) {
        int half = e / 2, column = 2 * q + e % 2; /* row g + 8 half */
        float sum = d[e];
        for (int k = 0; k < 16; k++) {
            uint32_t left[6], right[6];
            memcpy(left, all + (g * 4 + k % 8 / 2) * EMU_SLOT, sizeof left);
            memcpy(right, all + (column * 4 + k % 8 / 2) * EMU_SLOT, sizeof right);
            sum += emu_half(left[k / 8 * 2 + half], k % 2) * emu_half(right[4 + k / 8], k % 2);
        }
        d[e] = sum;
    }
}
#define mma_bf16(d, a, b) emu_mma(d, a, b, __FILE__, __LINE__)

EMU_OWN uint32_t emu_transpose(uint32_t word, const char *file, int line) {
    const unsigned char *all = emu_exchange(&word, sizeof word, file, line);
    int row = (int)(threadIdx.x % 32) / 4, column = 2 * (int)(threadIdx.x % 4);
    uint16_t half[2];
    for (int k = 0; k < 2; k++) /* element (column + k, row) of what went in */
        memcpy(&half[k], all + ((column + k) * 4 + row / 2) * EMU_SLOT + row % 2 * 2, 2);
    return half[0] | (uint32_t)half[1] << 16;
}
#define transpose_8x8(word) emu_transpose(word, __FILE__, __LINE__)

/* Element `column` of the row that lane `lane` gave. */
EMU_OWN uint32_t emu_element(const unsigned char *all, int lane, int column) {
    const unsigned char *row;
    uint16_t element;
    memcpy(&row, all + lane * EMU_SLOT, sizeof row);
    memcpy(&element, row + 2 * column, sizeof element);
    return element;
}
EMU_OWN void emu_load_matrices(uint32_t words[4], const void *row, bool transposed, const char *file, int line) {
    emu_check_aligned(row);
#ifdef EMU_COUNTED
    emu_count_load(row, 16, __builtin_return_address(0)); /* a matrix is a quarter of the warp's rows */
#endif
    const unsigned char *all = emu_exchange(&row, sizeof row, file, line);
    int g = (int)(threadIdx.x % 32) / 4, pair = 2 * (int)(threadIdx.x % 4);
    for (int m = 0; m < 4; m++)
        words[m] = transposed ? emu_element(all, 8 * m + pair, g) | emu_element(all, 8 * m + pair + 1, g) << 16
                              : emu_element(all, 8 * m + g, pair) | emu_element(all, 8 * m + g, pair + 1) << 16;
}
#define load_matrices(words, row) emu_load_matrices(words, row, false, __FILE__, __LINE__)
#define load_matrices_transposed(words, row) emu_load_matrices(words, row, true, __FILE__, __LINE__)

static inline float reciprocal(float x) {
    return 1 / x;
}
static inline float power_of_two(float x) {
    float power = exp2f(x);
    return power < 0x1p-126f ? 0 : power;
}

static inline void copy16_async(void *shared, const void *global) {
    emu_copy_async(shared, global, 16);
}
static inline void copy4_async(float *shared, const float *global) {
    emu_copy_async(shared, global, 4);
}
static inline void copy_commit(void) {
    emu_copy_commit();
}
template <int N> static inline void copy_wait(void) {
    emu_copy_wait(N);
}

static inline int cluster_rank(void) {
    return emu_place()->rank;
}
static inline int cluster_size(void) {
    return emu_place()->cluster;
}
static inline void cluster_arrive(void) {
    emu_cluster_arrive();
}
static inline void cluster_wait(void) {
    emu_cluster_wait();
}
static inline void cluster_store(float *local, int rank, float value) {
    *(float *)(emu_shared_to_write(rank) + ((unsigned char *)local - emu_place()->shared)) = value;
}

/* --- launches --- */

struct emu_launch {
    const char *name;
    dim3 cluster, grid, block;
    size_t shared;
    void (*run)(const void *arguments); /* the kernel, in the thread that calls it */
    const void *arguments;
    size_t arguments_size;
};
/* Runs every block; 0, or 1 when a size is out of a GPU's range. */
int emu_run(const struct emu_launch *);

template <typename... P, typename... A>
static inline int emu_start(const char *name, void (*kernel)(P...), dim3 cluster, dim3 grid, dim3 block, size_t shared,
                            A... arguments) {
    auto call = [=] { kernel((P)arguments...); };
    struct emu_launch launch = {name,  cluster,    grid,
                                block, shared,     [](const void *body) { (*(const decltype(call) *)body)(); },
                                &call, sizeof call};
    return emu_run(&launch);
}
/* Clusters that would run at once on a device of `processors`. */
template <typename D, typename... P>
static inline int clusters_at_once(D *device, void (*)(P...), dim3 cluster, dim3, size_t) {
    int count = device->processors / (int)cluster.x;
    return count ? count : 1;
}

/* A kernel that is an instance of a template goes in parentheses. */
#define LAUNCH_CLUSTER(kernel, cluster, grid, block, shared, queue, ...) \
    ((void)(queue), emu_start(#kernel, kernel, dim3(cluster), dim3(grid), dim3(block), shared, __VA_ARGS__))
#define LAUNCH(kernel, grid, block, shared, queue, ...) \
    LAUNCH_CLUSTER(kernel, 1, grid, block, shared, queue, __VA_ARGS__)

#endif
