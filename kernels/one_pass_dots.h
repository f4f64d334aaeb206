/* What crosses the cluster in the one-pass backward: dot products over channels, to the blocks that own the tokens,
 * and q, from them to all. */
#ifndef ONE_PASS_DOTS_H
#define ONE_PASS_DOTS_H

#include "kernels/one_pass.h"

template <int N, typename G> struct backward_sums {
    using S = sums<N, G>;
    static constexpr int DOTS = S::COEFFICIENTS; /* dpre, dpost, dres */
    static constexpr int PADDED = (DOTS + 3) / 4 * 4;
    static constexpr int DEPTH = S::TILES * 8;             /* columns, filled up */
    static constexpr int STEPS = S::TILES;                 /* of mma, over the high then the low parts of the weights */
    static constexpr int LOW_STEPS = (S::TILES + 1) / 2;   /* over the high parts, for the low parts of q */
    static constexpr int SENT = S::PRODUCTS + 2 * S::SETS; /* q, then factor, then 1/r of each set */
    static constexpr int USED = N + (S::RES ? N * N : 0);  /* pre and res, which grad_x needs */
    static constexpr int KEPT = 2 * N + S::PRODUCTS + S::SETS; /* pre, post, product, r, which z needs */
};

/* What stands at a fixed place comes first, so that its address takes no register. */
template <int N, typename G> struct backward_shared {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
    float *coefficients; /* [TILE][USED] */
    float *below;        /* [TILE][N]: post of the layer below */
    float *alpha;        /* [ALPHAS], loaded once; b would not fit at C = 4096, and few wait for it */
    float *received;     /* [block][TILE / cluster size][DOTS], written by the whole cluster */
    float *q;            /* [TILE][SENT], written by the owners */
    float *own;          /* [TILE / cluster size][DOTS, SENT, KEPT]: see own_token */
    float *partial;      /* [warp][TILE][DOTS]; the traces of the owned tokens too, where no place is left for them */
    uint2 *weights;      /* [warp][stream][STEPS][4][lane] */
    void *traces;        /* [TILE / cluster size] of a map that shares them */

    static constexpr int OWN = (B::DOTS + B::SENT + B::KEPT + 3) / 4 * 4;
    static constexpr int64_t PARTIAL_BYTES = TILE * B::DOTS * 4; /* of a warp */
    static constexpr int64_t WARP_BYTES = (int64_t)S::STREAMS_OF_WEIGHTS * B::STEPS * 4 * WARP * 8 + PARTIAL_BYTES;
    static constexpr int ALPHA_ROOM = 4; /* as OWN a multiple of 4: the weights behind are written 16 bytes at a time */
    static constexpr int64_t BYTES = (TILE * (B::USED + N + B::DOTS + B::SENT) + ALPHA_ROOM) * 4;
    static constexpr int64_t TOKEN_BYTES = OWN * 4;
    __device__ backward_shared(const struct one_pass_backward *f) {
        const int warps = anew(f->warps), cluster_bits = anew(f->cluster_bits);
        coefficients = (float *)shared_memory();
        below = coefficients + TILE * B::USED;
        alpha = below + TILE * N;
        received = alpha + ALPHA_ROOM;
        q = received + TILE * B::DOTS;
        own = q + TILE * B::SENT;
        partial = own + (TILE >> cluster_bits) * OWN;
        weights = (uint2 *)(partial + warps * TILE * B::DOTS);
        traces = f->traces ? shared_memory() + f->traces : (unsigned char *)partial;
    }
};

/* The block's own tokens: dots, added up; what is made of them; and pre, post, product, r. */
template <int N, typename G> struct own_token {
    using B = backward_sums<N, G>;
    float *dots, *made, *kept;
    __device__ own_token(const struct backward_shared<N, G> *s, int own) {
        dots = s->own + own * backward_shared<N, G>::OWN;
        made = dots + B::DOTS;
        kept = made + B::SENT;
    }
};

/* Adds up the warps and sends each token's sums to the block that owns it. */
template <int N, typename G>
static __device__ __forceinline__ void send_dots(const struct one_pass_backward *f,
                                                 const struct backward_shared<N, G> *s) {
    using B = backward_sums<N, G>;
    const struct member block = member_of(anew(f->cluster_bits));
    for (int k = thread_anew(); k < TILE * B::DOTS; k += (int)blockDim.x) {
        int token = k / B::DOTS;
        float sum = 0;
        for (int w = 0; w < f->warps; w++)
            sum += s->partial[w * TILE * B::DOTS + k];
        float *own = s->received + (block.rank * block.owned + own_of(&block, token)) * B::DOTS;
        cluster_store(own + k % B::DOTS, owner_of(&block, token), sum);
    }
}

/* --- the last warp: gradients of the coefficients of the block's own tokens --- */

template <int N, typename MAP>
static __device__ __forceinline__ void record_token(struct coefficients how, const float *product, const float *b,
                                                    const float *alpha, typename MAP::template trace<N> *trace) {
    float logits[map_room<N, MAP>()];
    res_logits<N, MAP>(how, product, b, alpha, logits);
    MAP::template record<N>(how, logits, trace);
}

/* What does not depend on the dots. `own`: the trace of a map that shares none. */
template <int N, typename G>
static __device__ __forceinline__ void prepare(const struct one_pass_backward *f, const struct backward_shared<N, G> *s,
                                               int64_t first_token, typename G::map::template trace<N> *own) {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
    const struct member block = member_of(anew(f->cluster_bits));
    int lane = thread_anew() % WARP, owned = block.owned;
    for (int k = lane; k < owned * B::KEPT; k += WARP) {
        int m = k % B::KEPT, v = m - 2 * N;
        int64_t t = first_token + token_of(&block, k / B::KEPT);
        own_token<N, G>(s, k / B::KEPT).kept[m] = t >= f->T         ? 0
                                                  : m < N           ? f->pre[t * N + m]
                                                  : v < 0           ? f->post[t * N + m - N]
                                                  : v < S::PRODUCTS ? f->product[t * S::PRODUCTS + v]
                                                                    : f->r[t * S::SETS + v - S::PRODUCTS];
    }
    __syncwarp();
    if constexpr (G::map::RECORDS)
        if (lane < owned)
            record_token<N, typename G::map>(f->how, own_token<N, G>(s, lane).kept + 2 * N, f->b, s->alpha,
                                             trace_at<N, typename G::map>(s->traces, lane, own));
}

/* z and q of a token of mHC from its dots; returns through_norm. */
template <int N, typename MAP>
static __device__ __forceinline__ float mhc_token(struct coefficients how, const float *dots, const float *kept,
                                                  const float *alpha, typename MAP::template trace<N> *trace,
                                                  float *z_to, float *q_to) {
    constexpr int COLUMNS = column_count<MAP>(N);
    float z[COLUMNS], q[COLUMNS];
    if constexpr (MAP::RES) /* first, while no register holds another part of z */
        MAP::template backward<N>(how, trace, dots + 2 * N, z + 2 * N);
    pre_logit_gradient<N>(how, kept, dots, z);
    post_logit_gradient<N>(how, kept + N, dots + N, z);
    float through_norm = mhc_through_norm<N, MAP>(how, z, kept + 2 * N, alpha, kept[2 * N + COLUMNS], q);
#pragma unroll
    for (int m = 0; m < COLUMNS; m++) {
        z_to[m] = z[m];
        q_to[m] = q[m];
    }
    return through_norm;
}

/* The same of a set of own token `own`: a token, or, of HC, one of its streams. */
template <int N, typename G>
static __device__ __forceinline__ void make_set(const struct one_pass_backward *f,
                                                const struct backward_shared<N, G> *s, int own, int set, int64_t t,
                                                typename G::map::template trace<N> *trace) {
    using S = sums<N, G>;
    struct own_token<N, G> token(s, own);
    const float *dots = token.dots, *kept = token.kept, *product = kept + 2 * N + set * S::COLUMNS;
    float *q = token.made + set * S::COLUMNS, through_norm = 0;
    if (t >= f->T) {
        for (int m = 0; m < S::COLUMNS; m++)
            q[m] = 0;
    } else {
        float *z = f->z + t * S::PRODUCTS;
        if constexpr (G::HC) {
            through_norm = hc_coefficients_backward(N, set, dots, product, kept[2 * N + S::PRODUCTS + set], s->alpha,
                                                    q);
            for (int m = 0; m < S::COLUMNS; m++)
                z[hc_place(N, set, m)] = dots[hc_place(N, set, m)];
        } else {
            through_norm = mhc_token<N, typename G::map>(f->how, dots, kept, s->alpha, trace, z, q);
        }
        for (int m = 0; m < S::COLUMNS; m++)
            f->q[t * S::PRODUCTS + set * S::COLUMNS + m] = q[m];
    }
    const float r = kept[2 * N + S::PRODUCTS + set];
    token.made[S::PRODUCTS + set] = through_norm * f->inverse_length;
    token.made[S::PRODUCTS + S::SETS + set] = r == 0 ? 0 : 1 / r;
}

/* Dots that have arrived, added up over the blocks in order; z and q; what was made, to every block. */
template <int N, typename G>
static __device__ __forceinline__ void make_q(const struct one_pass_backward *f, const struct backward_shared<N, G> *s,
                                              int64_t first_token, typename G::map::template trace<N> *own) {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
    const struct member block = member_of(anew(f->cluster_bits));
    int lane = thread_anew() % WARP, owned = block.owned;
    for (int k = lane; k < owned * B::DOTS; k += WARP) {
        float sum = 0;
        for (int from = 0; from < block.size; from++)
            sum += s->received[from * owned * B::DOTS + k];
        own_token<N, G>(s, k / B::DOTS).dots[k % B::DOTS] = sum;
    }
    __syncwarp();
    if constexpr (S::SETS == 1) { /* no loop, in which the trace would have to outlast a turn */
        static_assert(TILE <= WARP, "a lane per token");
        if (lane < owned)
            make_set<N, G>(f, s, lane, 0, first_token + token_of(&block, lane),
                           trace_at<N, typename G::map>(s->traces, lane, own));
    } else {
        for (int k = lane; k < owned * S::SETS; k += WARP)
            make_set<N, G>(f, s, k / S::SETS, k % S::SETS, first_token + token_of(&block, k / S::SETS), own);
    }
    __syncwarp();
    for (int k = lane; k < owned * B::SENT << block.bits; k += WARP) {
        int to = k & (block.size - 1), own = (k >> block.bits) / B::SENT, m = (k >> block.bits) % B::SENT;
        cluster_store(s->q + token_of(&block, own) * B::SENT + m, to, own_token<N, G>(s, own).made[m]);
    }
}

#endif
