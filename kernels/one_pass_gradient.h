/* grad_x of a tile in the one-pass backward, and grad_y of the layer below: from the tile in registers, the
 * coefficients and q, the product with the weights on tensor cores. */
#ifndef ONE_PASS_GRADIENT_H
#define ONE_PASS_GRADIENT_H

#include "kernels/one_pass_dots.h"

/* Warps on a multiprocessor. A tile of four streams is 80 registers. With up to 12 warps, three to a quarter of the
 * multiprocessor, a thread may have 168; with 16 it may have 128. NOTES.md says what lies in local memory all the
 * same. */
enum { BACKWARD_FEW_WARPS = 12, BACKWARD_MAX_WARPS = 16 };

/* The left operand of q.W^T for a set: q's high parts against both parts of the weights, its low parts against the
 * high ones. */
template <int N, typename G>
static __device__ __forceinline__ void q_fragments(const float *q, int set, const struct lane_place *p,
                                                   uint32_t high[][4], uint32_t low[][4]) {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
#pragma unroll
    for (int step = 0; step < B::STEPS; step++)
#pragma unroll
        for (int word = 0; word < 4; word++) {
            const float *token = q + (p->g + word % 2 * 8) * B::SENT + set * S::COLUMNS;
            int row = 16 * step + word / 2 * 8, column = row % B::DEPTH + 2 * p->q;
            float v[2];
            uint32_t rest;
            for (int e = 0; e < 2; e++)
                v[e] = column + e < S::COLUMNS ? token[column + e] : 0;
            split_pair(v[0], v[1], &high[step][word], &rest);
            if (step < B::LOW_STEPS)
                low[step][word] = row < B::DEPTH ? rest : 0;
        }
}

/* Two neighbouring channels of a stream's grad_x for a token: res^T g + pre grad_u + what the product gave - x
 * (...)/r, rounded. `c`: pre, then res; volatile, so that it is read anew for every word and not kept in 40
 * registers. */
template <int N, typename G>
static __device__ __forceinline__ uint32_t gradient_word(const volatile float *c, int i, float factor, float inverse,
                                                         const float product[2], uint32_t x, uint32_t du,
                                                         const float g[N][2]) {
    float pre = c[i], dx[2];
#pragma unroll
    for (int e = 0; e < 2; e++) {
        /* Not one factor: through_norm / r^2 would overflow for small x, and x / r does not. */
        dx[e] = fmaf(-factor, (e ? high_bf16(x) : low_bf16(x)) * inverse, product[e]);
        dx[e] = fmaf(pre, e ? high_bf16(du) : low_bf16(du), dx[e]);
        if (!sums<N, G>::RES)
            dx[e] += g[i][e];
    }
#pragma unroll
    for (int a = 0; a < N && sums<N, G>::RES; a++) {
        float res = c[N + a * N + i];
        dx[0] = fmaf(res, g[a][0], dx[0]);
        dx[1] = fmaf(res, g[a][1], dx[1]);
    }
    return pack_bf16(dx[0], dx[1]);
}

/* q.W^T of two channels of stream i, words j: sum[0], [1] of token g, sum[2], [3] of g+8. */
template <int N, typename G>
static __device__ __forceinline__ void multiply_q(const uint2 *weights, int j, const uint32_t high[][4],
                                                  const uint32_t low[][4], float sum[4]) {
    using B = backward_sums<N, G>;
#pragma unroll
    for (int e = 0; e < 4; e++)
        sum[e] = 0;
#pragma unroll
    for (int step = 0; step < B::STEPS; step++) {
        uint2 w = weights[(step * 4 + j) * WARP];
        const uint32_t b[2] = {w.x, w.y};
        mma_bf16(sum, high[step], b);
        if (step < B::LOW_STEPS)
            mma_bf16(sum, low[step], b);
    }
}

/* Streams whose products are under way together. All are quickest; where the columns are odd or many, or the map is
 * slow and a warp may stand apart, 128 registers do not hold the sums of all beside the tile. */
template <int N, typename G, int WARPS> static __host__ __device__ constexpr int streams_together(void) {
    constexpr bool FEW = N == 4 && WARPS > BACKWARD_FEW_WARPS && sums<N, G>::RES &&
                         (sums<N, G>::WIDTH == 1 || G::map::SLOW || backward_sums<N, G>::STEPS > 4);
    return FEW ? 2 : N;
}

/* grad_x of the tile takes the place of x in the registers, two channels at a time, and goes out. */
template <int N, typename G, int WARPS>
static __device__ __forceinline__ void store_gradient(const struct one_pass_backward *f,
                                                      const struct backward_shared<N, G> *s, struct piece x[N],
                                                      const struct piece g[N], const struct piece *du,
                                                      int64_t first_token, const struct lane_place *p) {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
    constexpr int TOGETHER = streams_together<N, G, WARPS>();
    const uint2 *weights = s->weights + p->warp * S::STREAMS_OF_WEIGHTS * B::STEPS * 4 * WARP + p->g * 4 + p->q;
    uint32_t high[S::SETS][B::STEPS][4], low[S::SETS][B::LOW_STEPS][4];
#pragma unroll
    for (int set = 0; set < S::SETS; set++)
        q_fragments<N, G>(s->q, set, p, high[set], low[set]);
#pragma unroll
    for (int step = 0; step < 4 * N / TOGETHER; step++) {
        const int j = step / (N / TOGETHER), first = step % (N / TOGETHER) * TOGETHER;
        float sum[TOGETHER][4];
#pragma unroll
        for (int k = 0; k < TOGETHER; k++) {
            int i = first + k, set = S::SETS == 1 ? 0 : i, of = S::STREAMS_OF_WEIGHTS == 1 ? 0 : i;
            multiply_q<N, G>(weights + of * B::STEPS * 4 * WARP, j, high[set], low[set], sum[k]);
        }
#pragma unroll
        for (int half = 0; half < 2 && p->inside; half++) {
            const float *c = s->coefficients + (p->g + 8 * half) * B::USED;
            const float *sent = s->q + (p->g + 8 * half) * B::SENT + S::PRODUCTS;
            float grad[N][2];
#pragma unroll
            for (int i = 0; i < N; i++) {
                uint32_t word = word_of(&g[i].row[half], j);
                grad[i][0] = low_bf16(word), grad[i][1] = high_bf16(word);
            }
#pragma unroll
            for (int k = 0; k < TOGETHER; k++) {
                int i = first + k, set = S::SETS == 1 ? 0 : i;
                uint32_t *word = word_at(&x[i].row[half], j);
                *word = gradient_word<N, G>(c, i, sent[set], sent[S::SETS + set], sum[k] + 2 * half, *word,
                                            word_of(&du->row[half], j), grad);
            }
        }
    }
    const struct lane_place to = lane_place_of(thread_anew(), f->C, f->slice);
#pragma unroll
    for (int i = 0; i < N; i++)
        store_piece(f->dx, N, i, f->T, f->C, first_token, &to, &x[i]);
}

/* grad_y of the layer below, from grad_x as it was rounded. */
template <int N>
static __device__ __forceinline__ void store_below(const struct one_pass_backward *f, const float *below,
                                                   const struct piece dx[N], int64_t first_token) {
    const struct lane_place p = lane_place_of(thread_anew(), f->C, f->slice);
    struct piece dy;
#pragma unroll
    for (int half = 0; half < 2; half++)
        dy.row[half] = aggregate_row<N>(dx, half, below + (p.g + 8 * half) * N);
    store_piece(f->dy_below, 1, 0, f->T, f->C, first_token, &p, &dy);
}

#endif
