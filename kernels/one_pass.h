/* What the one-pass kernels of mHC and HC share: how a problem is laid over clusters, and the fragments in which
 * streams wait in registers.
 *
 * A cluster of blocks owns TILE tokens at a time; block k of it owns the channels [k slice, (k+1) slice) of all n
 * streams, and a warp 32 of these. A lane (g = lane/4, q = lane%4) holds 8 neighbouring channels, 32 w + 8 q .. +7,
 * of the tokens g and g+8, of every stream: 16-byte loads, and just what mma wants as the left operand, because a sum
 * over channels may take them in any order. The weights' slice stays in shared memory, in the order of the right
 * operand, while the blocks walk over the tokens. So x passes through once, and waits in registers while the 24 sums
 * a token needs are reduced over the cluster. */
#ifndef ONE_PASS_H
#define ONE_PASS_H

#include "kernels/coefficients.h"
#include "kernels/maps/free.h"
#include "kernels/product.h"

/* What makes the coefficients, G: mHC's generator with a residual map, or HC's, whose res is not made from logits. */
template <typename MAP> struct mhc_generator {
    static constexpr bool HC = false;
    using map = MAP;
};
struct hc_generator {
    static constexpr bool HC = true;
    using map = free_map;
};

enum { TILE = 16, GROUP = 32, LARGEST_CLUSTER = 16 };

/* The sums over channels of one token. mHC: all streams together, one set of 2n+K columns. HC: a set of n+2 columns
 * for each stream. A sum of squares goes with every set. */
template <int N, typename G> struct sums {
    static constexpr int SETS = G::HC ? N : 1;
    static constexpr int COLUMNS = G::HC ? N + 2 : column_count<typename G::map>(N);
    static constexpr int TILES = (COLUMNS + 7) / 8; /* columns in eights, as mma has them */
    static constexpr int PRODUCTS = SETS * COLUMNS;
    static constexpr int VALUES = PRODUCTS + SETS;
    static constexpr int FOR_PRE = N + SETS; /* values that pre depends on */
    static constexpr bool RES = G::map::RES;
    static constexpr int COEFFICIENTS = 2 * N + (RES ? N * N : 0); /* pre, post, res of a token */
    static constexpr int BIASES = G::HC ? N * N + 2 * N : COLUMNS; /* elements of b */
    static constexpr int ALPHAS = BIASES > 2 * N ? 3 : 2;
    static constexpr int STREAMS_OF_WEIGHTS = G::HC ? 1 : N;         /* HC's are the same for all */
    static constexpr int WIDTH = !G::HC && COLUMNS % 4 == 0 ? 4 : 1; /* columns that lie together, 16 bytes of them */
};

/* The arrays of a call; launching fills in the first lines. What a generator has not is NULL. */
struct one_pass_weights {
    const float *phi;                                /* mHC, identity: [nC][columns] */
    const float *theta_pre, *theta_post, *theta_res; /* HC: [C], [C], [n][C] */
};
struct one_pass_forward {
    int64_t T, C;
    int slice, cluster_bits; /* channels a block; a cluster has 2^cluster_bits blocks */
    float inverse_length;    /* 1 / channels of a set */
    struct coefficients how;
    double rms_eps;
    const struct bf16 *x, *y; /* y and the layer below's post and res: post_pre alone */
    const float *post_below, *res_below;
    struct one_pass_weights weights;
    const float *b, *b_post, *b_res, *alpha; /* mHC: b [columns]; HC: b_pre, b_post, b_res */
    struct bf16 *x_next, *u;
    float *pre, *post, *res, *product, *r;
};
struct one_pass_backward {
    int64_t T, C;
    int slice, cluster_bits; /* as in forward */
    float inverse_length;
    int warps;  /* that have channels; the last warp of the block makes the coefficients' gradients */
    int traces; /* where in shared memory the map's traces begin; 0: they take the place of the partial sums */
    struct coefficients how;
    const struct bf16 *g, *x, *y, *du;
    const float *pre, *post, *res, *post_below; /* post_below: backward_y alone */
    struct one_pass_weights weights;
    const float *b, *alpha, *product, *r;
    struct bf16 *dx, *dy_below;
    float *z, *q; /* [T][products]: of the logits, and of the products over channels */
};

/* The kernels of a generator with a map. Whether a case fits the largest device there is; and its launch: 0; 1 with
 * device.error set; -1 where this device cannot, and then nothing was launched. */
struct one_pass_kernels {
    bool (*forward_fits)(const struct mhc_case *, const char **why);
    int (*forward)(struct device *, void *queue, const struct mhc_case *, const struct one_pass_forward *);
    bool (*backward_fits)(const struct mhc_case *, const char **why);
    int (*backward)(struct device *, void *queue, const struct mhc_case *, const struct one_pass_backward *);
};
extern const struct one_pass_kernels hc_one_pass; /* one_pass_hc.cu; those of mHC are in kernels/maps */

#define ONE_PASS_KERNELS(G) \
    { one_pass_forward_fits<G>, one_pass_forward_start<G>, one_pass_backward_fits<G>, one_pass_backward_start<G> }

/* --- weights --- */

/* WIDTH weights from column m on, for channel c of stream i; 0 for the columns that fill up an eight. */
template <int N, typename G>
static __device__ __forceinline__ void load_weights_at(const struct one_pass_weights *w, int64_t C, int i, int64_t c,
                                                       int m, float *to) {
    using S = sums<N, G>;
    if (m >= S::COLUMNS) {
        for (int k = 0; k < S::WIDTH; k++)
            to[k] = 0;
    } else if (S::WIDTH == 4) {
        float4 four = *(const float4 *)(w->phi + (i * C + c) * S::COLUMNS + m);
        to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
    } else if (G::HC) {
        const float *theta = m == 0 ? w->theta_pre : m == 1 ? w->theta_post : w->theta_res;
        to[0] =
            theta[(m < 2 ? 0 : m - 2) * C + c]; /* with (m - 2) C behind the last colon g++ 12 reads row 0 for all */
    } else {
        to[0] = w->phi[(i * C + c) * S::COLUMNS + m];
    }
}

/* --- the layout over blocks --- */

struct layout {
    int cluster, warps, slice; /* blocks a cluster; warps a block, of channels; channels a block */
    size_t shared;             /* bytes per block */
};

/* Shared memory of a block: so much besides, for every warp, for every block of the cluster, for every token
 * it owns. */
struct needs {
    int64_t bytes, bytes_a_warp, bytes_a_member, bytes_a_token;
};

/* Shared memory of the devices these kernels are for (compute capability 9.0): a block may have 227 kB, a
 * multiprocessor has 228 and keeps back 1 for every block. */
#define ONE_PASS_SHARED (227 * 1024)
#define ONE_PASS_SHARED_OF_TWO (113 * 1024)

/* The smallest cluster, from `smallest` on, whose blocks hold their part. */
static inline bool one_pass_layout(const struct mhc_case *c, const struct needs *need, int64_t shared_limit,
                                   int most_warps, int smallest, struct layout *layout) {
    for (int cluster = smallest; cluster <= LARGEST_CLUSTER; cluster *= 2) {
        int64_t slice = blocks_of(blocks_of(c->C, OCTET), cluster) * OCTET, warps = blocks_of(slice, GROUP);
        int64_t shared = need->bytes + warps * need->bytes_a_warp + cluster * need->bytes_a_member +
                         TILE / cluster * need->bytes_a_token;
        if (warps > most_warps || shared > shared_limit)
            continue;
        *layout = (struct layout){cluster, (int)warps, (int)slice, (size_t)shared};
        return true;
    }
    return false;
}

/* Few tokens: as many blocks to a tile as there are multiprocessors for, as long as a warp of each has work. One
 * launch with 16 of them beats the two passes with split K on all: what a block loads first, its slice of the
 * weights, is 61 kB at C = 2560 and passes in about 1 us, and a launch more costs that much. Depends on the case and
 * the device alone. */
static inline int one_pass_smallest_cluster(const struct device *d, const struct mhc_case *c) {
    int64_t tiles = blocks_of(c->T, TILE);
    int cluster = 1;
    while (2 * cluster <= LARGEST_CLUSTER && 2 * cluster <= d->largest_cluster &&
           2 * cluster * tiles <= d->processors && 2 * cluster * GROUP <= c->C)
        cluster *= 2;
    return cluster;
}

static inline bool one_pass_shape(const struct mhc_case *c, const char **why) {
    if (c->stream != MHC_BF16)
        return *why = "one pass: streams must be bf16", false;
    if (c->n != 1 && c->n != 2 && c->n != 4)
        return *why = "one pass: n must be 1, 2 or 4", false;
    if (c->C % OCTET)
        return *why = "one pass: C must be a multiple of 8", false;
    return true;
}

#define ONE_PASS_TOO_WIDE "one pass: C is too large for a cluster of 16 blocks"

/* CALL(N) for the streams there are kernels for. */
#define ONE_PASS_COUNT(n, CALL) ((n) == 1 ? CALL(1) : (n) == 2 ? CALL(2) : CALL(4))

/* 1 / the channels of a set: what the kernels divide by, once. */
template <typename G> static inline float one_pass_inverse_length(const struct mhc_case *c) {
    return 1 / (float)(G::HC ? c->C : c->n * c->C);
}

/* The thread of the block. What a turn derives from it would else be worked out before the loop, and would take
 * registers that the backward's tile needs. The forward is better off without. */
static __device__ __forceinline__ int thread_anew(void) {
    return anew((int)threadIdx.x);
}

/* --- the cluster --- */

/* A block among the 2^bits of its cluster. Block t % size owns token t of a tile, as its own token t / size. The bits
 * come from the host: a division by a size that the compiler does not know takes a dozen instructions, and every turn
 * waits for some of them. */
struct member {
    int rank, bits, size, owned; /* owned: tokens of a tile */
};

static __device__ __forceinline__ struct member member_of(int bits) {
    struct member m = {cluster_rank(), bits, 1 << bits, TILE >> bits};
    return m;
}
static __device__ __forceinline__ int owner_of(const struct member *m, int token) {
    return token & (m->size - 1);
}
static __device__ __forceinline__ int own_of(const struct member *m, int token) {
    return token >> m->bits;
}
/* The token of a tile that is own token `own` of this block. */
static __device__ __forceinline__ int token_of(const struct member *m, int own) {
    return (own << m->bits) + m->rank;
}

/* --- streams in registers --- */

/* Eight channels of the lane's two tokens. */
struct piece {
    uint4 row[2];
};

/* Makes a kernel keep the words. Else it would keep the floats that it made of them, two registers per word. */
static __device__ __forceinline__ void keep_packed(struct piece *piece) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        uint4 *row = &piece->row[half];
        row->x = anew(row->x), row->y = anew(row->y), row->z = anew(row->z), row->w = anew(row->w);
    }
}

/* Where a lane stands: its tokens, its warp, the channel of its first element. */
struct lane_place {
    int g, q, warp, channel;
    bool inside; /* it has channels at all */
};

static __device__ __forceinline__ struct lane_place lane_place_of(int thread, int64_t C, int slice) {
    int lane = thread % WARP, warp = thread / WARP;
    int first = cluster_rank() * slice, within = warp * GROUP + lane % 4 * OCTET;
    struct lane_place p = {lane / 4, lane % 4, warp, first + within, within < slice && first + within < C};
    return p;
}

/* Where a lane's row of stream i lies within its tile of [TILE][streams][C]: 32 bits hold it, whatever T n C is, and
 * take few registers. */
static __device__ __forceinline__ uint32_t place_in_tile(int streams, int i, int C, int half,
                                                         const struct lane_place *p) {
    return (uint32_t)(((p->g + 8 * half) * streams + i) * C + p->channel);
}

/* The piece of an array [T][streams][C] at stream i; zeros outside. `again`: the next kernel reads it too. */
static __device__ __forceinline__ struct piece load_piece(const struct bf16 *from, int streams, int i, int64_t T,
                                                          int64_t C, int64_t first_token, const struct lane_place *p,
                                                          bool again = false) {
    const struct bf16 *tile = from + first_token * streams * C;
    struct piece piece;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        piece.row[half] = make_uint4(0, 0, 0, 0);
        if (p->g + 8 * half < T - first_token && p->inside)
            piece.row[half] = again ? load_kept(tile + place_in_tile(streams, i, (int)C, half, p))
                                    : load_once(tile + place_in_tile(streams, i, (int)C, half, p));
    }
    return piece;
}

static __device__ __forceinline__ void prefetch_piece(const struct bf16 *from, int streams, int i, int64_t T, int64_t C,
                                                      int64_t first_token, const struct lane_place *p) {
    const struct bf16 *tile = from + first_token * streams * C;
#pragma unroll
    for (int half = 0; half < 2; half++)
        if (p->g + 8 * half < T - first_token && p->inside && p->q % 2 == 0)
            prefetch(tile + place_in_tile(streams, i, (int)C, half, p));
}

static __device__ __forceinline__ void store_piece(struct bf16 *to, int streams, int i, int64_t T, int64_t C,
                                                   int64_t first_token, const struct lane_place *p,
                                                   const struct piece *piece) {
    struct bf16 *tile = to + first_token * streams * C;
#pragma unroll
    for (int half = 0; half < 2; half++)
        if (p->g + 8 * half < T - first_token && p->inside)
            store_whole(tile + place_in_tile(streams, i, (int)C, half, p), piece->row[half]);
}

/* Word `w`, a constant, of a row of eight bf16. */
static __device__ __forceinline__ uint32_t *word_at(uint4 *row, int w) {
    return w == 0 ? &row->x : w == 1 ? &row->y : w == 2 ? &row->z : &row->w;
}
static __device__ __forceinline__ uint32_t word_of(const uint4 *row, int w) {
    return w == 0 ? row->x : w == 1 ? row->y : w == 2 ? row->z : row->w;
}

static __device__ __forceinline__ void unpack(const uint4 *w, float to[OCTET]) {
    to[0] = low_bf16(w->x), to[1] = high_bf16(w->x), to[2] = low_bf16(w->y), to[3] = high_bf16(w->y);
    to[4] = low_bf16(w->z), to[5] = high_bf16(w->z), to[6] = low_bf16(w->w), to[7] = high_bf16(w->w);
}
static __device__ __forceinline__ uint4 pack(const float from[OCTET]) {
    return make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]), pack_bf16(from[4], from[5]),
                      pack_bf16(from[6], from[7]));
}

/* The two channels of word `w`, a constant, as floats. */
static __device__ __forceinline__ void unpack_word(const uint4 *row, int w, float to[2]) {
    to[0] = low_bf16(word_of(row, w)), to[1] = high_bf16(word_of(row, w));
}

/* sum_i a_i x_i of a token's row, rounded; a word at a time, or the floats would take the registers of a tile. */
template <int N>
static __device__ __forceinline__ uint4 aggregate_row(const struct piece x[N], int half, const float *a) {
    uint4 row;
#pragma unroll
    for (int w = 0; w < 4; w++) {
        float in[N][2], sum[2];
#pragma unroll
        for (int i = 0; i < N; i++)
            unpack_word(&x[i].row[half], w, in[i]);
        aggregate<N, 2>(N, in, a, sum);
        *word_at(&row, w) = pack_bf16(sum[0], sum[1]);
    }
    return row;
}

#endif
