/* What crosses the cluster in the one-pass forward: the sums over channels that a token's coefficients depend on, and
 * what is made of them when they have arrived. */
#ifndef ONE_PASS_SUMS_H
#define ONE_PASS_SUMS_H

#include "kernels/one_pass.h"

/* Shared memory, in this order. What stands at a fixed place comes first, so that its address takes no register. */
template <int N, typename G> struct forward_shared {
    using S = sums<N, G>;
    float *b;       /* [BIASES]: of pre, post, and the logits of the map or res */
    float *alpha;   /* [ALPHAS] */
    uint4 *weights; /* [stream][warp][TILES][hi, lo][lane] */
    float *partial; /* [warp][TILE][VALUES] */
    float *for_pre; /* [2][block][TILE][FOR_PRE], written by the whole cluster */
    float *owned;   /* [2][block][TILE / cluster size][VALUES], likewise */
    float *pre;     /* [TILE][N] */
    float *scale;   /* [2][TILE][SETS] of the squares */
    float *lost;    /* [TILE][SETS]: not 0 where squares were lost in any tile */
    float *below;   /* [2][TILE][BELOW]: post and res of the layer below */

    static constexpr int BELOW = S::COEFFICIENTS - N;
    static constexpr int64_t WARP_BYTES = (int64_t)S::STREAMS_OF_WEIGHTS * S::TILES * 2 * WARP * 16 +
                                          TILE * S::VALUES * 4;
    static constexpr int64_t MEMBER_BYTES = 2 * TILE * S::FOR_PRE * 4;
    static constexpr int OFFSETS = (S::BIASES + S::ALPHAS + 3) / 4 * 4; /* b, alpha; 16-byte weights follow */
    static constexpr int64_t BYTES = (OFFSETS + TILE * (2 * S::VALUES + N + 3 * S::SETS + 2 * BELOW)) * 4;
    __device__ forward_shared(int warps, int cluster) {
        b = (float *)shared_memory();
        alpha = b + S::BIASES;
        weights = (uint4 *)(b + OFFSETS);
        partial = (float *)(weights + S::STREAMS_OF_WEIGHTS * warps * S::TILES * 2 * WARP);
        for_pre = partial + warps * TILE * S::VALUES;
        owned = for_pre + 2 * cluster * TILE * S::FOR_PRE;
        pre = owned + 2 * TILE * S::VALUES;
        scale = pre + TILE * N;
        lost = scale + 2 * TILE * S::SETS;
        below = lost + TILE * S::SETS;
    }
};

/* b and alpha into shared memory, once. From global memory every turn would wait for them twice: the compiler cannot
 * know that no store changes them, and a meeting of the cluster empties L1. ANEW: where a turn's tiles leave no room
 * for a thread's place. */
template <int N, typename G, bool ANEW>
static __device__ __forceinline__ void load_offsets(const struct one_pass_forward *f,
                                                    const struct forward_shared<N, G> *s) {
    using S = sums<N, G>;
    const int thread = ANEW ? thread_anew() : (int)threadIdx.x;
    for (int k = thread; k < S::BIASES; k += (int)blockDim.x)
        s->b[k] = !G::HC || k < N ? f->b[k] : k < 2 * N ? f->b_post[k - N] : f->b_res[k - 2 * N];
    for (int k = thread; k < S::ALPHAS; k += (int)blockDim.x)
        s->alpha[k] = f->alpha[k];
}

/* Place of a value among those pre depends on, -1 for the others. */
template <int N, typename G> static __device__ __forceinline__ int place_for_pre(int value) {
    using S = sums<N, G>;
    if (value >= S::PRODUCTS)
        return N + value - S::PRODUCTS;
    if (G::HC)
        return value % S::COLUMNS == 0 ? value / S::COLUMNS : -1;
    return value < N ? value : -1;
}

/* Adds up the warps and sends the sums to the blocks that need them. */
template <int N, typename G>
static __device__ __forceinline__ void send(const struct one_pass_forward *f, const struct forward_shared<N, G> *s,
                                            int warps, int buffer) {
    using S = sums<N, G>;
    const struct member block = member_of(f->cluster_bits);
    int from = buffer * block.size + block.rank;
    for (int k = (int)threadIdx.x; k < TILE * S::VALUES; k += (int)blockDim.x) {
        int token = k / S::VALUES, value = k % S::VALUES, place = place_for_pre<N, G>(value);
        float sum = 0;
        for (int w = 0; w < warps; w++)
            sum += s->partial[w * TILE * S::VALUES + k];
        float *mine = s->owned + (from * block.owned + own_of(&block, token)) * S::VALUES + value;
        cluster_store(mine, owner_of(&block, token), sum);
        for (int to = 0; place >= 0 && to < block.size; to++)
            cluster_store(s->for_pre + (from * TILE + token) * S::FOR_PRE + place, to, sum);
    }
}

/* One value of a token, added up over the blocks in order. */
static __device__ __forceinline__ float received(const float *from, int stride, int size) {
    float sum = 0;
    for (int s = 0; s < size; s++)
        sum += from[s * stride];
    return sum;
}

/* r from a sum of squares of scale times x. */
static __device__ __forceinline__ float root(const struct one_pass_forward *f, float squares, float scale) {
    float mean = squares * f->inverse_length;
    return scale == 1 ? sqrtf(mean + (float)f->rms_eps)
                      : (float)sqrt((double)mean / ((double)scale * (double)scale) + f->rms_eps);
}

/* Squares that over- or underflowed say nothing. Then r is a mark that says which, for a second walk with a scale;
 * what else is written of the token is written again. */
#define TOO_SMALL (-1.0f)
#define TOO_LARGE (-2.0f)
static __device__ __forceinline__ bool squares_lost(const struct one_pass_forward *f, float squares) {
    return !(squares < 1e36f) || (squares * f->inverse_length < 1e-30f && f->rms_eps < 1e-28);
}

/* The scales of a tile that the walk before asked for. */
template <int N, typename G>
static __device__ __forceinline__ void load_scale(const struct one_pass_forward *f, float *scale, int64_t first_token) {
    constexpr int SETS = sums<N, G>::SETS;
    for (int k = (int)threadIdx.x; k < TILE * SETS; k += (int)blockDim.x) {
        float r = first_token + k / SETS < f->T ? f->r[first_token * SETS + k] : 1;
        scale[k] = r == TOO_SMALL ? 0x1p80f : r == TOO_LARGE ? 0x1p-80f : 1;
    }
}

/* The coefficient of column m of stream i (HC) or of column m goes to its array, unless mHC's map makes res of it. */
template <int N, typename G>
static __device__ __forceinline__ void store_coefficient(const struct one_pass_forward *f,
                                                         const struct forward_shared<N, G> *s, int64_t t, int i, int m,
                                                         float product) {
    if (G::HC)
        *hc_coefficient_at(N, i, m, f->pre + t * N, f->post + t * N, f->res + t * N * N) = hc_coefficient(
            N, i, m, product, s->b, s->b + N, s->b + 2 * N, s->alpha);
    else if (m < N)
        f->pre[t * N + m] = mhc_pre_of(f->how, m, product, s->b, s->alpha);
    else if (m < 2 * N)
        f->post[t * N + m - N] = mhc_post_of(f->how, m - N, product, s->b, s->alpha);
}

/* What has arrived: pre of every token into shared memory; the products and coefficients of the block's own tokens to
 * where they are kept. Every block adds up the same sums in the same order, so all know alike which squares were
 * lost. The last threads do it: the first have most to send. */
template <int N, typename G>
static __device__ __forceinline__ void finish(const struct one_pass_forward *f, const struct forward_shared<N, G> *s,
                                              int64_t first_token, int buffer, bool scaled) {
    using S = sums<N, G>;
    const struct member block = member_of(f->cluster_bits);
    int size = block.size, owned = block.owned;
    for (int k = (int)(blockDim.x - 1 - threadIdx.x); k < TILE * N + owned * S::PRODUCTS; k += (int)blockDim.x) {
        bool for_all = k < TILE * N;
        int own = (k - TILE * N) / S::PRODUCTS, value = (k - TILE * N) % S::PRODUCTS;
        int token = for_all ? k / N : token_of(&block, own), i = k % N;
        int set = for_all ? (G::HC ? i : 0) : value / S::COLUMNS, column = value % S::COLUMNS;
        const float *from = for_all ? s->for_pre + (buffer * size * TILE + token) * S::FOR_PRE
                                    : s->owned + (buffer * size * owned + own) * S::VALUES;
        int stride = for_all ? TILE * S::FOR_PRE : owned * S::VALUES;
        float squares = received(from + (for_all ? N : S::PRODUCTS) + set, stride, size);
        float r = root(f, squares, scaled ? s->scale[(buffer * TILE + token) * S::SETS + set] : 1);
        float product = normalised(received(from + (for_all ? i : value), stride, size), r);
        int64_t t = first_token + token;
        bool lost = !scaled && t < f->T && squares_lost(f, squares);
        if (for_all) {
            s->pre[k] = G::HC ? hc_coefficient(N, i, 0, product, s->b, s->b + N, s->b + 2 * N, s->alpha)
                              : mhc_pre_of(f->how, i, product, s->b, s->alpha);
            if (lost && (G::HC || i == 0))
                s->lost[token * S::SETS + set] = 1;
        } else if (t < f->T) {
            f->product[t * S::PRODUCTS + value] = product;
            if (column == 0)
                f->r[t * S::SETS + set] = !lost ? r : squares < 1 ? TOO_SMALL : TOO_LARGE;
            store_coefficient<N, G>(f, s, t, set, column, product);
        }
    }
}

#endif
