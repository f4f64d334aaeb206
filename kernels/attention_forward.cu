/* Attention forward on tensor cores: a block takes 128 queries of a head, a warp 32 of them, and walks over the keys
 * they see, 64 at a time. The scores of a warp and what it makes of them stay in registers: the layout in which a
 * product leaves them is that of the next one's left operand. The next tile of k and v is on its way while this one
 * is worked on. */
#include "kernels/attention_tiles.h"

enum { QUERIES = 128, KEYS = 64, WARPS = 4, HALVES = QUERIES / WARPS / 16 }; /* a warp has HALVES times sixteen rows */

/* What a warp carries from tile to tile; of its rows, thread (g, q) has 16 m + g and 16 m + g + 8. */
template <int D> struct carried {
    float o[HALVES][D / 8][4], most[HALVES][2],
        sum[HALVES][2]; /* o and sum are still to be multiplied by 2^most, sum is this thread's columns' */
};

template <int D> static __device__ __forceinline__ void scores_of(float s[HALVES][KEYS / 8][4], int q, int k) {
    int left_at = left_place<D>(q), right_at = right_place<D>(k);
#pragma unroll
    for (int m = 0; m < HALVES; m++)
#pragma unroll
        for (int tile = 0; tile < KEYS / 8; tile++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s[m][tile][e] = 0;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
        uint32_t left[HALVES][4], right[4];
#pragma unroll
        for (int m = 0; m < HALVES; m++)
            left_fragment<D>(left[m], left_at, 16 * m, step);
#pragma unroll
        for (int pair = 0; pair < KEYS / 16; pair++) {
            right_by_rows<D>(right, right_at, 16 * pair, step);
#pragma unroll
            for (int m = 0; m < HALVES; m++) {
                mma_bf16(s[m][2 * pair], left[m], right);
                mma_bf16(s[m][2 * pair + 1], left[m], right + 2);
            }
        }
    }
}

/* No query sees a later key; `query` and `key` are those of row and column 0. */
static __device__ __forceinline__ void mask_later(float s[KEYS / 8][4], int query, int key) {
    int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int tile = 0; tile < KEYS / 8; tile++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (key + 8 * tile + 2 * q + e % 2 > query + g + e / 2 * 8)
                s[tile][e] = -INFINITY;
}

/* s becomes 2^(score - most) with the largest score so far, and what was carried is brought down to that. */
template <int D>
static __device__ __forceinline__ void soften(float s[KEYS / 8][4], float scale, float o[D / 8][4], float most[2],
                                              float sum[2]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float largest = -INFINITY, part = 0;
#pragma unroll
        for (int tile = 0; tile < KEYS / 8; tile++)
            largest = fmaxf(largest, fmaxf(s[tile][2 * h], s[tile][2 * h + 1]));
        largest = fmaxf(most[h], row_max(largest) * scale);
        float factor = power_of_two(most[h] - largest);
        most[h] = largest;
#pragma unroll
        for (int tile = 0; tile < KEYS / 8; tile++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++) {
                s[tile][e] = power_of_two(fmaf(s[tile][e], scale, -largest));
                part += s[tile][e];
            }
        sum[h] = fmaf(sum[h], factor, part);
#pragma unroll
        for (int tile = 0; tile < D / 8; tile++) {
            o[tile][2 * h] *= factor;
            o[tile][2 * h + 1] *= factor;
        }
    }
}

template <int D>
static __device__ __forceinline__ void add_values(float o[HALVES][D / 8][4], const float p[HALVES][KEYS / 8][4],
                                                  int v) {
    int right_at = left_place<D>(v);
#pragma unroll
    for (int step = 0; step < KEYS / 16; step++) {
        uint32_t left[HALVES][4], right[4];
#pragma unroll
        for (int m = 0; m < HALVES; m++)
            left_of_product(left[m], p[m][2 * step], p[m][2 * step + 1]);
#pragma unroll
        for (int pair = 0; pair < D / 16; pair++) {
            right_by_columns<D>(right, right_at, 16 * step, pair);
#pragma unroll
            for (int m = 0; m < HALVES; m++) {
                mma_bf16(o[m][2 * pair], left[m], right);
                mma_bf16(o[m][2 * pair + 1], left[m], right + 2);
            }
        }
    }
}

template <int D>
static __device__ __forceinline__ void finish(struct attention a, struct place at, int query, struct carried<D> *c) {
    int64_t row = (int64_t)a.heads * a.head_dim;
    int g = (int)threadIdx.x % WARP / 4, padded = (int)sums_of_head(a.S);
#pragma unroll
    for (int m = 0; m < HALVES; m++) {
        int first = query + 16 * m;
        float inverse[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float sum = row_sum(c->sum[m][h]);
            inverse[h] = 1 / sum;
            if (threadIdx.x % 4 == 0 && first + g + 8 * h < padded)
                a.lse[at.sums + first + g + 8 * h] = c->most[m][h] + log2f(sum);
        }
        store_product<D / 8>(c->o[m], inverse, (struct bf16 *)a.o + (at.token + first) * row + at.channel, row,
                             a.S - first, a.head_dim);
    }
}

/* Shared memory: a tile of q, then two of each of k and v. The longest walks start first. */
template <int D>
static __global__ void __launch_bounds__(WARPS *WARP, D == 64 ? 3 : 2) attention_kernel(struct attention a) {
    uint32_t pairs = (uint32_t)a.sequences * (uint32_t)a.heads, block = blockIdx.x;
    struct place at = place_of(&a, block % pairs);
    int first = ((a.S - 1) / QUERIES - (int)(block / pairs)) * QUERIES, query = first + own_warp() * (QUERIES / WARPS);
    int end = first + QUERIES < a.S ? first + QUERIES : a.S, tiles = (end + KEYS - 1) / KEYS;
    float scale = score_scale(a.head_dim);
    struct carried<D> c = {};
#pragma unroll
    for (int m = 0; m < HALVES; m++)
        c.most[m][0] = c.most[m][1] = -INFINITY;
    copy_tile<D>(0, QUERIES, (const struct bf16 *)a.q + (at.token + first) * a.ld + at.channel, a.ld, a.S - first,
                 a.head_dim);
    for (int tile = -1; tile < tiles; tile++) {
        int key = tile * KEYS, next = key + KEYS;
        if (tile >= 0) {
            copy_wait<0>();
            __syncthreads();
        }
        if (next < end) {
            int to = QUERIES * D + (tile + 1) % 2 * 2 * KEYS * D;
            int64_t from = (at.token + next) * a.ld + at.channel;
            copy_tile<D>(to, KEYS, (const struct bf16 *)a.k + from, a.ld, a.S - next, a.head_dim);
            copy_tile<D>(to + KEYS * D, KEYS, (const struct bf16 *)a.v + from, a.ld, a.S - next, a.head_dim);
            copy_commit();
        }
        if (tile < 0 || key >= query + QUERIES / WARPS)
            continue;
        int k = QUERIES * D + tile % 2 * 2 * KEYS * D;
        float s[HALVES][KEYS / 8][4];
        scores_of<D>(s, (query - first) * D, k);
#pragma unroll
        for (int m = 0; m < HALVES; m++) {
            if (key + KEYS - 1 > query + 16 * m)
                mask_later(s[m], query + 16 * m, key);
            soften<D>(s[m], scale, c.o[m], c.most[m], c.sum[m]);
        }
        add_values<D>(c.o, s, k + KEYS * D);
    }
    finish<D>(a, at, query, &c);
}

template <int D> static int start(struct device *d, void *queue, const struct attention *a) {
    int64_t blocks = blocks_of(a->S, QUERIES) * a->sequences * a->heads;
    return CHECKED(d, LAUNCH(attention_kernel<D>, (unsigned)blocks, WARPS * WARP,
                             (QUERIES + 4 * KEYS) * D * sizeof(struct bf16), queue, *a));
}

int attention_forward_tensor(struct device *d, void *queue, const struct attention *a) {
    return a->head_dim <= 64 ? start<64>(d, queue, a) : start<128>(d, queue, a);
}
