/* Tiles of bf16 in shared memory for attention on tensor cores: rows of D channels, their 16-byte chunks exchanged so
 * that eight rows of one column of chunks lie in different banks. Rows behind the end of the sequence and channels
 * behind head_dim are zeros. A tile is named by its first element, counted from the start of the block's shared
 * memory, a multiple of D.
 *
 * Fragments of mma_bf16 with lane = 4g + q: of a tile as the left operand (its rows are the product's rows), as the
 * right one by rows (its rows are the product's columns), or as the right one by columns (its rows are summed over).
 * Where a lane's row of a fragment lies is worked out once a tile; to go 16 channels on is an exclusive or, because
 * of the exchange, to go 16 rows on an addition. */
#ifndef KERNELS_ATTENTION_TILES_H
#define KERNELS_ATTENTION_TILES_H

#include "kernels/attention.h"

enum { CHUNK = 8 }; /* elements of 16 bytes */

/* The warp of this thread, so that the compiler sees that it is the same in all lanes. */
static __device__ __forceinline__ int own_warp(void) {
    return (int)shuffle(threadIdx.x / WARP, 0);
}

static __device__ __forceinline__ uint16_t *element(int place) {
    return (uint16_t *)shared_memory() + place;
}
template <int D> static __device__ __forceinline__ int chunk_place(int tile, int row, int chunk) {
    return tile + row * D + (chunk ^ row % 8) * CHUNK;
}

/* Starts copying `rows` rows; `from` is the first element of the head in the first row, of which `left` are in the
 * sequence. */
template <int D>
static __device__ __forceinline__ void copy_tile(int tile, int rows, const struct bf16 *from, int64_t ld, int left,
                                                 int head_dim) {
    for (int k = (int)threadIdx.x; k < rows * (D / CHUNK); k += (int)blockDim.x) {
        int row = k / (D / CHUNK), chunk = k % (D / CHUNK);
        uint16_t *to = element(chunk_place<D>(tile, row, chunk));
        if (row < left && chunk * CHUNK < head_dim)
            copy16_async(to, from + row * ld + chunk * CHUNK);
        else
            *(uint4 *)to = make_uint4(0, 0, 0, 0);
    }
}

/* Starts copying `count` sums, a multiple of 4, of which `left`, another, are there. */
static __device__ __forceinline__ void copy_sums(float *to, int count, const float *from, int left) {
    int k = 4 * (int)threadIdx.x;
    if (k >= count)
        return;
    if (k < left)
        copy16_async(to + k, from + k);
    else
        *(uint4 *)(to + k) = make_uint4(0, 0, 0, 0);
}

/* This lane's place for left_fragment and right_by_columns, and for right_by_rows. */
template <int D> static __device__ __forceinline__ int left_place(int tile) {
    int lane = (int)threadIdx.x % WARP;
    return chunk_place<D>(tile, lane % 16, lane / 16);
}
template <int D> static __device__ __forceinline__ int right_place(int tile) {
    int lane = (int)threadIdx.x % WARP;
    return chunk_place<D>(tile, lane / 16 * 8 + lane % 8, lane / 8 % 2);
}
/* Rows row.. +15, a multiple of 16, channels 16 step.. +15, as the left operand. */
template <int D>
static __device__ __forceinline__ void left_fragment(uint32_t a[4], int left_place, int row, int step) {
    load_matrices(a, element((left_place ^ 16 * step) + row * D));
}
/* Rows row.. +15 as sixteen columns, channels 16 step.. +15 summed over: b[0], b[1] of the first eight columns, b[2],
 * b[3] of the others. */
template <int D>
static __device__ __forceinline__ void right_by_rows(uint32_t b[4], int right_place, int row, int step) {
    load_matrices(b, element((right_place ^ 16 * step) + row * D));
}
/* Rows row.. +15 summed over, channels 16 pair.. +15 as sixteen columns, in b as above. */
template <int D>
static __device__ __forceinline__ void right_by_columns(uint32_t b[4], int left_place, int row, int pair) {
    load_matrices_transposed(b, element((left_place ^ 16 * pair) + row * D));
}

/* Two neighbouring tiles of eight columns of a product, as the left operand that sums over those sixteen. */
static __device__ __forceinline__ void left_of_product(uint32_t a[4], const float first[4], const float second[4]) {
    a[0] = pack_bf16(first[0], first[1]);
    a[1] = pack_bf16(first[2], first[3]);
    a[2] = pack_bf16(second[0], second[1]);
    a[3] = pack_bf16(second[2], second[3]);
}

/* The left operand straight from memory: rows row.. +15, of which those below `left` exist, channels 16 step.. +15. */
static __device__ __forceinline__ void left_from_memory(uint32_t a[4], const struct bf16 *from, int64_t ld, int left,
                                                        int step, int head_dim) {
    int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = g + i % 2 * 8, channel = 16 * step + i / 2 * 8 + 2 * q;
        a[i] = row < left && channel < head_dim ? *(const uint32_t *)(from + row * ld + channel) : 0;
    }
}

/* Rows g and g+8 of a product of `tiles` tiles of eight channels, times a factor each, to memory. */
template <int TILES>
static __device__ __forceinline__ void store_product(const float (*d)[4], const float factor[2], struct bf16 *to,
                                                     int64_t ld, int left, int head_dim) {
    int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
            if (g + 8 * h < left && 8 * tile < head_dim)
                *(uint32_t *)(to + (g + 8 * h) * ld + 8 * tile + 2 * q) = pack_bf16(d[tile][2 * h] * factor[h],
                                                                                    d[tile][2 * h + 1] * factor[h]);
}

/* Over the four lanes that share the rows of a product. */
static __device__ __forceinline__ float row_max(float x) {
    x = fmaxf(x, shuffle_xor(x, 1));
    return fmaxf(x, shuffle_xor(x, 2));
}
static __device__ __forceinline__ float row_sum(float x) {
    x += shuffle_xor(x, 1);
    return x + shuffle_xor(x, 2);
}

#endif
