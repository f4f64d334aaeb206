/* Attention backward on tensor cores. Blocks of 128 queries, a warp 16 of them, walk over the keys they see and make
 * grad_q, and D on the way; then blocks of 128 keys, a warp 16 of them, walk over the queries that see them and make
 * grad_k and grad_v. That takes the scores twice, seven products for the five there are, and no sum is shared. As
 * forward, what a warp makes of its scores stays in registers; blocks of keys work on the transposed scores for that,
 * so that P and dS come out as the left operands they are needed as. */
#include "kernels/attention_tiles.h"

enum {
    TILE = 128,
    STEP = 64,
    PART = 32,
    WARPS = 8
}; /* a block's rows, rows of a tile that it walks over, columns of scores at a time */

/* d = left.right^T for PART rows of `right` from `row` on. `left` is in registers or, NULL, in shared memory at
 * left_at. */
template <int D>
static __device__ __forceinline__ void product_by_rows(float d[PART / 8][4], const uint32_t (*left)[4], int left_at,
                                                       int right_at, int row) {
#pragma unroll
    for (int tile = 0; tile < PART / 8; tile++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            d[tile][e] = 0;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
        uint32_t fetched[4], right[4];
        if (!left)
            left_fragment<D>(fetched, left_at, 0, step);
#pragma unroll
        for (int pair = 0; pair < PART / 16; pair++) {
            right_by_rows<D>(right, right_at, row + 16 * pair, step);
            mma_bf16(d[2 * pair], left ? left[step] : fetched, right);
            mma_bf16(d[2 * pair + 1], left ? left[step] : fetched, right + 2);
        }
    }
}

/* sum += weights.rows for the PART rows of a tile from `row` on. */
template <int D>
static __device__ __forceinline__ void add_rows(float sum[D / 8][4], const float weights[PART / 8][4], int right_at,
                                                int row) {
#pragma unroll
    for (int step = 0; step < PART / 16; step++) {
        uint32_t left[4], right[4];
        left_of_product(left, weights[2 * step], weights[2 * step + 1]);
#pragma unroll
        for (int pair = 0; pair < D / 16; pair++) {
            right_by_columns<D>(right, right_at, row + 16 * step, pair);
            mma_bf16(sum[2 * pair], left, right);
            mma_bf16(sum[2 * pair + 1], left, right + 2);
        }
    }
}

/* --- by queries --- */

/* <grad_o, o> of rows g and g+8, from grad_o as left operands. */
template <int D>
static __device__ __forceinline__ void row_products(float sum[2], const uint32_t g[D / 16][4], const struct bf16 *o,
                                                    int64_t ld, int left, int head_dim) {
    sum[0] = sum[1] = 0;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
        uint32_t own[4];
        left_from_memory(own, o, ld, left, step, head_dim);
#pragma unroll
        for (int i = 0; i < 4; i++)
            sum[i % 2] = fmaf(low_bf16(g[step][i]), low_bf16(own[i]),
                              fmaf(high_bf16(g[step][i]), high_bf16(own[i]), sum[i % 2]));
    }
    sum[0] = row_sum(sum[0]);
    sum[1] = row_sum(sum[1]);
}

/* dS of PART keys, in the place of s. */
static __device__ __forceinline__ void gradients_by_query(float s[PART / 8][4], const float dp[PART / 8][4],
                                                          float scale, const float lse[2], const float own[2]) {
#pragma unroll
    for (int tile = 0; tile < PART / 8; tile++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[tile][e] = power_of_two(fmaf(s[tile][e], scale, -lse[e / 2])) * (dp[tile][e] - own[e / 2]);
}
/* Nothing from keys behind the query; `query` and `key` are those of row and column 0. */
static __device__ __forceinline__ void clear_later_keys(float s[PART / 8][4], int query, int key) {
    int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int tile = 0; tile < PART / 8; tile++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (key + 8 * tile + 2 * q + e % 2 > query + g + e / 2 * 8)
                s[tile][e] = 0;
}

/* Shared memory: two tiles of each of k and v. */
template <int D> static __global__ void __launch_bounds__(WARPS *WARP, 1) attention_query_kernel(struct attention a) {
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads, block = blockIdx.x;
    int64_t row = (int64_t)a.heads * a.head_dim;
    struct place at = place_of(&a, block % pairs);
    int first = ((a.S - 1) / TILE - (int)(block / pairs)) * TILE, query = first + own_warp() * 16;
    int end = first + TILE < a.S ? first + TILE : a.S, left = a.S - query, g = (int)threadIdx.x % WARP / 4;
    float scale = score_scale(a.head_dim), lse[2], own[2], sum[D / 8][4] = {};
    uint32_t q[D / 16][4], grad_o[D / 16][4];
    int64_t token = at.token + query, from_o = token * row + at.channel;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
        left_from_memory(q[step], (const struct bf16 *)a.q + token * a.ld + at.channel, a.ld, left, step, a.head_dim);
        left_from_memory(grad_o[step], (const struct bf16 *)a.grad_o + from_o, row, left, step, a.head_dim);
    }
    row_products<D>(own, grad_o, (const struct bf16 *)a.o + from_o, row, left, a.head_dim);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        lse[h] = g + 8 * h < left ? a.lse[at.sums + query + g + 8 * h] : 0;
        if (threadIdx.x % 4 == 0 && query + g + 8 * h < sums_of_head(a.S))
            a.D[at.sums + query + g + 8 * h] = own[h];
    }
    for (int key = -STEP; key < end; key += STEP) {
        int next = key + STEP, parity = next / STEP % 2;
        if (key >= 0) {
            copy_wait<0>();
            __syncthreads();
        }
        if (next < end) {
            int64_t from = (at.token + next) * a.ld + at.channel;
            copy_tile<D>(parity * 2 * STEP * D, STEP, (const struct bf16 *)a.k + from, a.ld, a.S - next, a.head_dim);
            copy_tile<D>((parity * 2 + 1) * STEP * D, STEP, (const struct bf16 *)a.v + from, a.ld, a.S - next,
                         a.head_dim);
            copy_commit();
        }
        int k = (1 - parity) * 2 * STEP * D, v = k + STEP * D;
#pragma unroll 1
        for (int part = 0; part < STEP && key >= 0 && key + part < query + 16; part += PART) {
            float s[PART / 8][4], dp[PART / 8][4];
            product_by_rows<D>(s, q, 0, right_place<D>(k), part);
            product_by_rows<D>(dp, grad_o, 0, right_place<D>(v), part);
            gradients_by_query(s, dp, scale, lse, own);
            if (key + part + PART - 1 > query)
                clear_later_keys(s, query, key + part);
            add_rows<D>(sum, s, left_place<D>(k), part);
        }
    }
    float factor[2] = {1 / sqrtf((float)a.head_dim), 1 / sqrtf((float)a.head_dim)};
    store_product<D / 8>(sum, factor, (struct bf16 *)a.grad_q + token * a.ld + at.channel, a.ld, left, a.head_dim);
}

/* --- by keys --- */

/* P^T and dS^T of PART queries, in the places of s and dp; `sums` has lse and, STEP on, D. */
static __device__ __forceinline__ void gradients_by_key(float s[PART / 8][4], float dp[PART / 8][4], float scale,
                                                        const float *sums) {
    int q = (int)threadIdx.x % 4;
#pragma unroll
    for (int tile = 0; tile < PART / 8; tile++) {
        float2 lse = *(const float2 *)(sums + 8 * tile + 2 * q),
               own = *(const float2 *)(sums + STEP + 8 * tile + 2 * q);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[tile][e] = power_of_two(fmaf(s[tile][e], scale, -(e % 2 ? lse.y : lse.x)));
            dp[tile][e] = s[tile][e] * (dp[tile][e] - (e % 2 ? own.y : own.x));
        }
    }
}
/* Nothing from queries before the key; `key` and `query` are those of row and column 0. */
static __device__ __forceinline__ void clear_earlier_queries(float s[PART / 8][4], float dp[PART / 8][4], int key,
                                                             int query) {
    int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int tile = 0; tile < PART / 8; tile++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (query + 8 * tile + 2 * q + e % 2 < key + g + e / 2 * 8)
                s[tile][e] = dp[tile][e] = 0;
}

/* Elements of a tile of q and one of grad_o, with lse and D of its queries as floats behind them. */
template <int D> struct stage {
    static constexpr int grad_o = STEP * D, sums = 2 * STEP * D, size = 2 * STEP * D + 2 * 2 * STEP;
};

/* Starts copying what the queries from `query` on bring. */
template <int D>
static __device__ __forceinline__ void copy_stage(int to, const struct attention *a, struct place at, int query) {
    int64_t row = (int64_t)a->heads * a->head_dim, token = at.token + query;
    int left = a->S - query, sums = (int)sums_of_head(a->S) - query;
    float *room = (float *)element(to + stage<D>::sums);
    copy_tile<D>(to, STEP, (const struct bf16 *)a->q + token * a->ld + at.channel, a->ld, left, a->head_dim);
    copy_tile<D>(to + stage<D>::grad_o, STEP, (const struct bf16 *)a->grad_o + token * row + at.channel, row, left,
                 a->head_dim);
    copy_sums(room, STEP, a->lse + at.sums + query, sums);
    copy_sums(room + STEP, STEP, a->D + at.sums + query, sums);
    copy_commit();
}

/* Shared memory: a tile of k, one of v, two stages. Where there are registers for it, a warp holds its rows
 * of k and v. */
template <int D> static __global__ void __launch_bounds__(WARPS *WARP, 1) attention_key_kernel(struct attention a) {
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads, block = blockIdx.x;
    struct place at = place_of(&a, block % pairs);
    int first = (int)(block / pairs) * TILE, row = own_warp() * 16, key = first + row;
    int64_t from = (at.token + first) * a.ld + at.channel, to = (at.token + key) * a.ld + at.channel;
    int stages = 2 * TILE * D, k = left_place<D>(row * D), v = left_place<D>((TILE + row) * D), parity = 0;
    float scale = score_scale(a.head_dim), grad_k[D / 8][4] = {}, grad_v[D / 8][4] = {};
    constexpr bool HELD = D == 64;
    uint32_t held_k[D / 16][4], held_v[D / 16][4];
    copy_tile<D>(0, TILE, (const struct bf16 *)a.k + from, a.ld, a.S - first, a.head_dim);
    copy_tile<D>(TILE * D, TILE, (const struct bf16 *)a.v + from, a.ld, a.S - first, a.head_dim);
    copy_commit();
    copy_stage<D>(stages, &a, at, first);
    copy_wait<1>();
    __syncthreads();
#pragma unroll
    for (int step = 0; step < (HELD ? D / 16 : 0); step++) {
        left_fragment<D>(held_k[step], k, 0, step);
        left_fragment<D>(held_v[step], v, 0, step);
    }
    for (int query = first; query < a.S; query += STEP, parity ^= 1) {
        copy_wait<0>();
        __syncthreads();
        if (query + STEP < a.S)
            copy_stage<D>(stages + (1 - parity) * stage<D>::size, &a, at, query + STEP);
        int q = stages + parity * stage<D>::size, grad_o = q + stage<D>::grad_o;
        const float *sums = (const float *)element(q + stage<D>::sums);
#pragma unroll 1
        for (int part = 0; part < STEP; part += PART) {
            if (query + part + PART <= key)
                continue;
            float s[PART / 8][4], dp[PART / 8][4];
            product_by_rows<D>(s, HELD ? held_k : NULL, k, right_place<D>(q), part);
            product_by_rows<D>(dp, HELD ? held_v : NULL, v, right_place<D>(grad_o), part);
            gradients_by_key(s, dp, scale, sums + part);
            if (query + part < key + 15)
                clear_earlier_queries(s, dp, key, query + part);
            add_rows<D>(grad_v, s, left_place<D>(grad_o), part);
            add_rows<D>(grad_k, dp, left_place<D>(q), part);
        }
    }
    float one[2] = {1, 1}, factor[2] = {1 / sqrtf((float)a.head_dim), 1 / sqrtf((float)a.head_dim)};
    store_product<D / 8>(grad_k, factor, (struct bf16 *)a.grad_k + to, a.ld, a.S - key, a.head_dim);
    store_product<D / 8>(grad_v, one, (struct bf16 *)a.grad_v + to, a.ld, a.S - key, a.head_dim);
}

template <int D> static int64_t bytes_by_key(void) {
    return (2 * TILE * D + 2 * stage<D>::size) * (int64_t)sizeof(struct bf16);
}
int64_t attention_tensor_bytes(int head_dim) {
    return head_dim <= 64 ? bytes_by_key<64>() : bytes_by_key<128>();
}

template <int D> static int start(struct device *d, void *queue, const struct attention *a) {
    unsigned blocks = (unsigned)(blocks_of(a->S, TILE) * a->sequences * a->heads);
    size_t by_query = 4 * STEP * D * sizeof(struct bf16), by_key = (size_t)bytes_by_key<D>();
    return CHECKED(d, LAUNCH(attention_query_kernel<D>, blocks, WARPS * WARP, by_query, queue, *a)) ||
           CHECKED(d, LAUNCH(attention_key_kernel<D>, blocks, WARPS * WARP, by_key, queue, *a));
}

int attention_backward_tensor(struct device *d, void *queue, const struct attention *a) {
    return a->head_dim <= 64 ? start<64>(d, queue, a) : start<128>(d, queue, a);
}
