/* What the one-pass kernels of mHC, identity HC and HC share (gpu.md, scheme A): how a problem is laid over clusters, and the fragments in
 * which streams wait in registers.
 *
 * A cluster of S blocks owns TILE tokens at a time; block s owns the channels [s slice, (s+1) slice) of all n streams, and a warp of it
 * 32 of these. A lane (g = lane/4, q = lane%4) holds 8 neighbouring channels, 32 w + 8 q .. +7, of the tokens g and g+8, of every stream: 16-byte
 * loads, and just what mma wants as the left operand, because a sum over channels may take them in any order. The weights' slice stays in shared
 * memory, in the order of the right operand, while the blocks walk over the tokens. So x passes through once, and waits in registers while the 24
 * sums a token needs are reduced over the cluster. */
#ifndef ONE_PASS_H
#define ONE_PASS_H

#include "kernels/coefficients.h"
#include "kernels/connection.h"

enum kind { KIND_MHC, KIND_IDENTITY, KIND_HC };

enum { TILE = 16, GROUP = 32, MAX_WARPS = 16, LARGEST_CLUSTER = 16 };

/* The sums over channels of one token. mHC: all streams together, one set of n^2+2n columns. HC: a set of n+2 columns for each stream. A sum of
 * squares goes with every set. */
template <int N, int KIND> struct sums {
    static constexpr int SETS = KIND == KIND_HC ? N : 1;
    static constexpr int COLUMNS = KIND == KIND_HC ? N + 2 : KIND == KIND_MHC ? N * N + 2 * N : 2 * N;
    static constexpr int TILES = (COLUMNS + 7) / 8; /* columns in eights, as mma has them */
    static constexpr int PRODUCTS = SETS * COLUMNS;
    static constexpr int VALUES = PRODUCTS + SETS;
    static constexpr int FOR_PRE = N + SETS; /* values that pre depends on */
    static constexpr bool RES = KIND != KIND_IDENTITY;
    static constexpr int COEFFICIENTS = 2 * N + (RES ? N * N : 0); /* pre, post, res of a token */
};

/* Where the weights lie: column m at channel d starts at piece(m)[d * stride]. */
struct weights_at {
    const float *phi;                               /* mHC, identity: [nC][columns] */
    const float *theta_pre, *theta_post, *theta_res; /* HC: [C], [C], [n][C] */
};

/* The weight of column m for channel c of stream i. */
template <int N, int KIND>
static __device__ __forceinline__ float weight(const struct weights_at *w, int64_t C, int i, int64_t c, int m) {
    if (KIND == KIND_HC)
        return m == 0 ? w->theta_pre[c] : m == 1 ? w->theta_post[c] : w->theta_res[(m - 2) * C + c];
    return w->phi[(i * C + c) * sums<N, KIND>::COLUMNS + m];
}

/* Streams whose weights differ: HC's are the same for all. */
template <int N, int KIND> static __host__ __device__ constexpr int weight_streams(void) {
    return KIND == KIND_HC ? 1 : N;
}

/* --- the layout over blocks --- */

struct layout {
    int cluster, warps, slice; /* blocks a cluster; warps a block; channels a block */
    size_t shared;             /* bytes a block */
};

/* The smallest cluster whose blocks hold their part, or false. `bytes_a_warp`, `bytes_a_cluster`: shared memory that grows with either. */
static inline bool one_pass_layout(const struct mhc_case *c, int64_t shared_limit, int64_t bytes_a_warp, int64_t bytes,
                                   int smallest, struct layout *layout) {
    for (int S = smallest; S <= LARGEST_CLUSTER; S *= 2) {
        int64_t slice = blocks_of(blocks_of(c->C, OCTET), S) * OCTET, warps = blocks_of(slice, GROUP);
        if (warps > MAX_WARPS || warps * bytes_a_warp + bytes > shared_limit)
            continue;
        *layout = (struct layout){S, (int)warps, (int)slice, (size_t)(warps * bytes_a_warp + bytes)};
        return true;
    }
    return false;
}

/* Shared memory of a block on the devices these kernels are for (compute capability 9.0). */
#define ONE_PASS_SHARED (227 * 1024)

static inline bool one_pass_shape(const struct mhc_case *c, const char **why) {
    if (c->stream != MHC_BF16)
        return *why = "one pass: streams must be bf16", false;
    if (c->n != 1 && c->n != 2 && c->n != 4)
        return *why = "one pass: n must be 1, 2 or 4", false;
    if (c->C % OCTET)
        return *why = "one pass: C must be a multiple of 8", false;
    return true;
}
static const char one_pass_too_wide[] = "one pass: C is too large for a cluster of 16 blocks";

/* --- streams in registers --- */

/* Eight channels of the lane's two tokens. */
struct piece {
    uint4 row[2];
};

/* Where a lane stands: the channel of its first element, how far the block owns channels, its tokens. */
struct lane_place {
    int g, q, warp;
    int64_t channel;
    bool inside; /* it has channels at all */
};

static __device__ __forceinline__ struct lane_place lane_place_of(int64_t C, int slice) {
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    int64_t first = (int64_t)cluster_rank() * slice, within = warp * GROUP + lane % 4 * OCTET;
    struct lane_place p = {lane / 4, lane % 4, warp, first + within, within < slice && first + within < C};
    return p;
}

/* The piece of an array [T][streams][C] at stream i; zeros outside. */
static __device__ __forceinline__ struct piece load_piece(const struct bf16 *from, int streams, int i, int64_t T, int64_t C,
                                                          int64_t first_token, const struct lane_place *p) {
    struct piece piece;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t t = first_token + p->g + 8 * half;
        piece.row[half] = make_uint4(0, 0, 0, 0);
        if (t < T && p->inside)
            piece.row[half] = load_once(from + (t * streams + i) * C + p->channel);
    }
    return piece;
}

static __device__ __forceinline__ void prefetch_piece(const struct bf16 *from, int streams, int i, int64_t T, int64_t C,
                                                      int64_t first_token, const struct lane_place *p) {
    for (int half = 0; half < 2; half++) {
        int64_t t = first_token + p->g + 8 * half;
        if (t < T && p->inside && p->q % 2 == 0)
            prefetch(from + (t * streams + i) * C + p->channel);
    }
}

static __device__ __forceinline__ void unpack(const uint4 *w, float to[OCTET]) {
    to[0] = low_bf16(w->x), to[1] = high_bf16(w->x), to[2] = low_bf16(w->y), to[3] = high_bf16(w->y);
    to[4] = low_bf16(w->z), to[5] = high_bf16(w->z), to[6] = low_bf16(w->w), to[7] = high_bf16(w->w);
}
static __device__ __forceinline__ uint4 pack(const float from[OCTET]) {
    return make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]), pack_bf16(from[4], from[5]),
                      pack_bf16(from[6], from[7]));
}

/* A float as the sum of two bf16, to about 2^-17 of it. */
static __device__ __forceinline__ float high_part(float x) {
    return to_float(from_float<struct bf16>(x));
}

#endif
