/* Semantics of the matrix instructions: products, transposition, and loads of fragments. */
#ifndef SEMANTICS_MATRICES_H
#define SEMANTICS_MATRICES_H

#include "tests/semantics.h"

static uint16_t random_half(void) {
    float x = random_float();
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Fragments as the header describes them. */
static __global__ void multiply(const uint16_t *a, const uint16_t *b, float *d) {
    int lane = (int)threadIdx.x, g = lane / 4, q = lane % 4;
    uint32_t left[4], right[2];
    float sum[4];
    for (int i = 0; i < 4; i++) {
        const uint16_t *row = a + (g + 8 * (i % 2)) * 16 + 2 * q + 8 * (i / 2);
        left[i] = row[0] | (uint32_t)row[1] << 16;
        sum[i] = d[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2];
    }
    for (int i = 0; i < 2; i++)
        right[i] = b[(2 * q + 8 * i) * 8 + g] | (uint32_t)b[(2 * q + 8 * i + 1) * 8 + g] << 16;
    mma_bf16(sum, left, right);
    for (int i = 0; i < 4; i++)
        d[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = sum[i];
}
static void check_multiply(void) {
    uint16_t *a = room<uint16_t>(), *b = room<uint16_t>();
    float *d = room<float>(), before[16 * 8];
    for (int k = 0; k < 16 * 16; k++)
        a[k] = random_half();
    for (int k = 0; k < 16 * 8; k++) {
        b[k] = random_half();
        d[k] = before[k] = random_float();
    }
    bool good = finished(LAUNCH(multiply, 1, WARP, 0, NULL, (const uint16_t *)a, (const uint16_t *)b, d));
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            double wanted = before[i * 8 + j];
            for (int k = 0; k < 16; k++)
                wanted += (double)value_of(a[i * 16 + k]) * value_of(b[k * 8 + j]);
            good = good && fabs(d[i * 8 + j] - wanted) < 1e-5;
        }
    report("mma_bf16 is d + a.b", good);
}

static __global__ void turn(const uint32_t *in, uint32_t *out) {
    out[threadIdx.x] = transpose_8x8(in[threadIdx.x]);
}
static void check_transpose(void) {
    uint32_t *in = room<uint32_t>(), *out = room<uint32_t>();
    for (int k = 0; k < WARP; k++)
        in[k] = random_word();
    bool good = finished(LAUNCH(turn, 1, WARP, 0, NULL, (const uint32_t *)in, out));
    for (int row = 0; row < 8; row++)
        for (int column = 0; column < 8; column++)
            good = good && half_of(out[row * 4 + column / 2], column % 2) == half_of(in[column * 4 + row / 2], row % 2);
    report("transpose_8x8", good);
}

/* Rows of four matrices one behind the other, in an order of their own. */
static __global__ void fetch(const uint16_t *in, uint32_t *plain, uint32_t *transposed) {
    uint16_t *tile = (uint16_t *)shared_memory();
    int lane = (int)threadIdx.x, place = 5 * lane % WARP;
    uint32_t words[4];
    for (int k = 0; k < 8; k++)
        tile[place * 8 + k] = in[lane * 8 + k];
    __syncthreads();
    load_matrices(words, tile + place * 8);
    for (int m = 0; m < 4; m++)
        plain[m * WARP + lane] = words[m];
    load_matrices_transposed(words, tile + place * 8);
    for (int m = 0; m < 4; m++)
        transposed[m * WARP + lane] = words[m];
}
static void check_fetch(void) {
    uint16_t *in = room<uint16_t>();
    uint32_t *plain = room<uint32_t>(), *transposed = room<uint32_t>();
    for (int k = 0; k < WARP * 8; k++)
        in[k] = (uint16_t)random_word();
    bool good = finished(LAUNCH(fetch, 1, WARP, WARP * 16, NULL, (const uint16_t *)in, plain, transposed));
    for (int m = 0; m < 4; m++)
        for (int row = 0; row < 8; row++)
            for (int column = 0; column < 8; column++) {
                uint16_t wanted = in[(m * 8 + row) * 8 + column];
                good = good && half_of(plain[m * WARP + row * 4 + column / 2], column % 2) == wanted &&
                       half_of(transposed[m * WARP + column * 4 + row / 2], row % 2) == wanted;
            }
    report("load_matrices, load_matrices_transposed", good);
}

#endif
