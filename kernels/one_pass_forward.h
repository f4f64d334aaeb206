/* mhc.pre and hc.pre in one pass over x, and post of the layer below with pre of this one (post_pre), where x_next is
 * formed in registers, rounded once, stored, and takes the place of x.
 *
 *   traffic a token, n = 4, bf16     pre: x 8C + u 2C bytes     post_pre: x 8C + y 2C + x_next 8C + u 2C
 *
 * Three tiles are under way, so that neither memory nor the cluster is waited for; two_tiles() says where the third
 * waits in L2. A turn of the loop: the next tile's loads start | products of this tile on tensor cores (weights hi +
 * lo, so nearly float accuracy) | what the cluster sent of the tile before has arrived: sums over its blocks, in order;
 * coefficients | sums over the block's warps, in order, go to the blocks that need them | u of the tile before, from
 * registers. A token's whole coefficients are made by the block that owns it, its residual map at the end, a thread per
 * token, when there are many. */
#ifndef ONE_PASS_FORWARD_H
#define ONE_PASS_FORWARD_H

#include "kernels/one_pass_sums.h"

/* Three tiles of four streams are 96 registers, so with up to 12 warps, three to a quarter of the multiprocessor, a
 * thread may have 168 of them and needs no more; with 14 it may have 128 and keeps a few words in local memory. */
enum { FORWARD_FEW_WARPS = 12, FORWARD_MAX_WARPS = 14 };

/* The block's slice of the weights, split and in fragment order: eight channels of WIDTH columns a thread, loaded
 * together. */
template <int N, typename G>
static __device__ __forceinline__ void load_forward_weights(const struct one_pass_forward *f, uint4 *to, int warps) {
    using S = sums<N, G>;
    constexpr int PARTS = S::TILES * 8 / S::WIDTH;
    int64_t first = (int64_t)cluster_rank() * f->slice;
    for (int k = (int)threadIdx.x; k < S::STREAMS_OF_WEIGHTS * warps * PARTS * 4; k += (int)blockDim.x) {
        int q = k % 4, part = k / 4 % PARTS, warp = k / 4 / PARTS % warps, i = k / 4 / PARTS / warps;
        int within = warp * GROUP + q * OCTET;
        float w[OCTET][S::WIDTH] = {};
        if (within < f->slice && first + within < f->C)
#pragma unroll
            for (int e = 0; e < OCTET; e++)
                load_weights_at<N, G>(&f->weights, f->C, i, first + within + e, part * S::WIDTH, w[e]);
#pragma unroll
        for (int c = 0; c < S::WIDTH; c++) {
            int column = part * S::WIDTH + c;
            uint32_t hi[4], lo[4];
#pragma unroll
            for (int e = 0; e < 4; e++)
                split_pair(w[2 * e][c], w[2 * e + 1][c], &hi[e], &lo[e]);
            uint4 *at = to + ((i * warps + warp) * S::TILES + column / 8) * 2 * WARP + column % 8 * 4 + q;
            at[0] = make_uint4(hi[0], hi[1], hi[2], hi[3]);
            at[WARP] = make_uint4(lo[0], lo[1], lo[2], lo[3]);
        }
    }
}

/* Products and squares of the tile, added up over the warp's channels: partial[token][value]. `scaled`: squares of
 * scale times x. */
template <int N, typename G>
static __device__ __forceinline__ void multiply_forward(const struct piece x[N], const uint4 *weights, int warps,
                                                        const struct lane_place *p, const float *scale, bool scaled,
                                                        float *partial) {
    using S = sums<N, G>;
    float sum[S::SETS][S::TILES][4], squares[S::SETS][2];
    for (int s = 0; s < S::SETS; s++) {
        squares[s][0] = squares[s][1] = 0;
        for (int tile = 0; tile < S::TILES; tile++)
            for (int e = 0; e < 4; e++)
                sum[s][tile][e] = 0;
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        int s = S::SETS == 1 ? 0 : i, of = S::STREAMS_OF_WEIGHTS == 1 ? 0 : i;
        const uint4 *a = x[i].row;
        const uint32_t first[4] = {a[0].x, a[1].x, a[0].y, a[1].y}, second[4] = {a[0].z, a[1].z, a[0].w, a[1].w};
#pragma unroll
        for (int tile = 0; tile < S::TILES; tile++)
#pragma unroll
            for (int part = 0; part < 2; part++) {
                uint4 w = weights[(((of * warps + p->warp) * S::TILES + tile) * 2 + part) * WARP + p->g * 4 + p->q];
                const uint32_t b0[2] = {w.x, w.y}, b1[2] = {w.z, w.w};
                mma_bf16(sum[s][tile], first, b0);
                mma_bf16(sum[s][tile], second, b1);
            }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float v[OCTET];
            unpack(&a[half], v);
            if (scaled)
                for (int e = 0; e < OCTET; e++)
                    v[e] *= scale[(p->g + 8 * half) * S::SETS + s];
#pragma unroll
            for (int e = 0; e < OCTET; e++)
                squares[s][half] = fmaf(v[e], v[e], squares[s][half]);
        }
    }
#pragma unroll
    for (int s = 0; s < S::SETS; s++) {
#pragma unroll
        for (int tile = 0; tile < S::TILES; tile++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int column = tile * 8 + 2 * p->q + e % 2, token = p->g + e / 2 * 8;
                if (column < S::COLUMNS)
                    partial[token * S::VALUES + s * S::COLUMNS + column] = sum[s][tile][e];
            }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float all = squares[s][half];
            all += shuffle_xor(all, 1);
            all += shuffle_xor(all, 2);
            if (p->q == 0)
                partial[(p->g + 8 * half) * S::VALUES + S::PRODUCTS + s] = all;
        }
    }
}

/* u = pre.x from the registers. */
template <int N>
static __device__ __forceinline__ void aggregate_tile(const struct one_pass_forward *f, const struct piece x[N],
                                                      const float *pre, int64_t first_token,
                                                      const struct lane_place *p) {
    struct piece u;
#pragma unroll
    for (int half = 0; half < 2; half++)
        u.row[half] = aggregate_row<N>(x, half, pre + (p->g + 8 * half) * N);
    store_piece(f->u, 1, 0, f->T, f->C, first_token, p, &u);
}

/* Two tiles in registers in place of three, and the next asked for from L2, so that it comes within 300 cycles once
 * there is room for it: where three do not fit beside the sums of many columns, or, in post_pre, beside y. They do fit
 * up to 12 warps where the columns fill the eights of mma. */
template <int N, typename G, bool POST, int WARPS> static __host__ __device__ constexpr bool two_tiles(void) {
    using S = sums<N, G>;
    return N == 4 && (S::TILES > 3 || (POST && (WARPS > FORWARD_FEW_WARPS || S::COLUMNS % 8)));
}

/* x_next of the layer below takes the place of x: rounded, stored, kept. APART: a branch for each row, so that the
 * scheduler does not mix the two; where registers suffice it is quicker if it does. */
template <int N, typename G, bool APART>
static __device__ __forceinline__ void post_tile(const struct one_pass_forward *f, struct piece x[N],
                                                 const struct piece *y, const float *below, int64_t first_token,
                                                 const struct lane_place *p) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (APART && (p->g + 8 * half >= f->T - first_token || !p->inside))
            continue; /* a row of zeros */
        const float *post = below + (p->g + 8 * half) * forward_shared<N, G>::BELOW;
#pragma unroll
        for (int w = 0; w < 4; w++) { /* a word at a time: as floats a row takes the registers of a tile */
            float in[N][2], branch[2], next[2];
            for (int i = 0; i < N; i++)
                unpack_word(&x[i].row[half], w, in[i]);
            unpack_word(&y->row[half], w, branch);
#pragma unroll
            for (int i = 0; i < N; i++) {
                combine<N, 2>(N, in, branch, post, sums<N, G>::RES ? post + N : NULL, i, next);
                *word_at(&x[i].row[half], w) = pack_bf16(next[0], next[1]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        store_piece(f->x_next, N, i, f->T, f->C, first_token, p, &x[i]);
}

/* Starts the copies of post and res of the layer below for a tile. */
template <int N, typename G>
static __device__ __forceinline__ void load_below(const struct one_pass_forward *f, float *below, int64_t first_token) {
    constexpr int COUNT = forward_shared<N, G>::BELOW;
    for (int k = (int)threadIdx.x; k < TILE * COUNT; k += (int)blockDim.x) {
        int64_t t = first_token + k / COUNT;
        int m = k % COUNT;
        if (t < f->T)
            copy4_async(below + k, m < N ? f->post_below + t * N + m : f->res_below + t * N * N + m - N);
        else
            below[k] = 0;
    }
    copy_commit();
}

/* res of the block's own tokens, one thread each: they are many by now, and u waited for none of them. */
template <int N, typename G>
static __device__ __forceinline__ void map_owned(const struct one_pass_forward *f, const struct forward_shared<N, G> *s,
                                                 int64_t cluster, int64_t clusters) {
    const struct member block = member_of(f->cluster_bits);
    for (int64_t k = threadIdx.x;; k += blockDim.x) {
        int64_t turn = (k << block.bits) / TILE; /* k / owned */
        int64_t t = (cluster + turn * clusters) * TILE + token_of(&block, (int)(k & (block.owned - 1)));
        if (t - t % TILE >= f->T)
            break;
        if (t >= f->T)
            continue;
        float m[map_room<N, typename G::map>()];
        res_coefficients<N, typename G::map>(f->how, f->product + t * sums<N, G>::PRODUCTS, s->b, s->alpha, m);
        for (int e = 0; e < N * N; e++)
            f->res[t * N * N + e] = m[e];
    }
}

/* A tile; for post_pre its y besides. */
template <int N, bool POST>
static __device__ __forceinline__ void load_with_branch(const struct one_pass_forward *f, int64_t first_token,
                                                        const struct lane_place *p, struct piece x[N],
                                                        struct piece *y) {
    for (int i = 0; i < N; i++)
        x[i] = load_piece(f->x, N, i, f->T, f->C, first_token, p);
    if (POST)
        *y = load_piece(f->y, 1, 0, f->T, f->C, first_token, p);
}

/* Asks for the lines of both. */
template <int N, bool POST>
static __device__ __forceinline__ void prefetch_with_branch(const struct one_pass_forward *f, int64_t first_token,
                                                            const struct lane_place *p) {
    for (int i = 0; i < N; i++)
        prefetch_piece(f->x, N, i, f->T, f->C, first_token, p);
    if (POST)
        prefetch_piece(f->y, 1, 0, f->T, f->C, first_token, p);
}

/* All tiles of the cluster, and a turn more for the last. Every block of a cluster has the same tiles, and so meets
 * the others as often. */
template <int N, typename G, bool POST, int WARPS>
static __device__ __forceinline__ void walk(const struct one_pass_forward *f, const struct forward_shared<N, G> *s,
                                            const struct lane_place *p, bool scaled) {
    constexpr bool LEAN = two_tiles<N, G, POST, WARPS>();
    int turn = 0, other = 0, warps = (int)blockDim.x / WARP;
    int64_t first = (int64_t)(blockIdx.x >> f->cluster_bits) * TILE;
    int64_t step = (int64_t)(gridDim.x >> f->cluster_bits) * TILE;
    struct piece before[N], x[N], next[N], y;
    load_with_branch<N, POST>(f, first, p, next, &y);
    if (POST)
        load_below<N, G>(f, s->below, first);
    if (!scaled) {
        load_forward_weights<N, G>(f, s->weights, warps);
        load_offsets<N, G, LEAN>(f, s);
    }
    /* No block may write into another's memory before that has begun, nor read marks before they are written. */
    cluster_arrive();
    cluster_wait();
    for (int64_t tile = first;; tile += step, turn++, other ^= 1) {
        bool more = tile < f->T;
        const int buffer = LEAN ? turn & 1 : other; /* one count takes the registers of `other` and `first` */
        const bool later = LEAN ? turn > 0 : tile > first;
        if (more) {
            struct piece branch = y;
            /* Worked out anew, or a lane's places would wait in registers through the turn. */
            const struct lane_place here = LEAN ? lane_place_of(thread_anew(), f->C, f->slice) : *p;
            const struct forward_shared<N, G> now(anew((int)blockDim.x) / WARP, 1 << anew(f->cluster_bits));
            const struct forward_shared<N, G> *s = &now;
            if (POST) /* into the half that no thread reads: post_tile of the turn before is barriers ago */
                load_below<N, G>(f, s->below + (buffer ^ 1) * TILE * forward_shared<N, G>::BELOW, tile + step);
            for (int i = 0; i < N; i++)
                x[i] = next[i];
            if (LEAN)
                prefetch_with_branch<N, POST>(f, tile + step, &here);
            else
                load_with_branch<N, POST>(f, tile + step, &here, next, &y);
            if (POST)
                copy_wait<1>(); /* below of this tile, a turn old, is here; of the next it stays under way */
            float *scale = s->scale + buffer * TILE * sums<N, G>::SETS;
            if (scaled)
                load_scale<N, G>(f, scale, tile);
            if (POST || scaled)
                __syncthreads();
            if (POST)
                post_tile<N, G, N != 4 || !sums<N, G>::RES || LEAN>(
                    f, x, &branch, s->below + buffer * TILE * forward_shared<N, G>::BELOW, tile, &here);
            multiply_forward<N, G>(x, s->weights, LEAN ? anew((int)blockDim.x) / WARP : warps, &here, scale, scaled,
                                   s->partial + here.warp * TILE * sums<N, G>::VALUES);
        }
        __syncthreads();
        /* Worked out anew, or the addresses would wait in registers through the products. */
        const struct forward_shared<N, G> now(anew((int)blockDim.x) / WARP, 1 << anew(f->cluster_bits));
        if (later) {
            cluster_wait();
            finish<N, G>(f, &now, tile - step, buffer ^ 1, scaled);
        }
        if (more) {
            send<N, G>(f, &now, LEAN ? anew((int)blockDim.x) / WARP : warps, buffer);
            cluster_arrive();
        }
        __syncthreads();
        if (later)
            aggregate_tile<N>(f, before, now.pre, tile - step, p);
        if (!more)
            break;
        for (int i = 0; i < N; i++)
            before[i] = x[i];
        if (LEAN)
            load_with_branch<N, POST>(f, tile + step, p, next, &y);
    }
}

template <int N, typename G, bool POST, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP, 1) forward_kernel(struct one_pass_forward f) {
    using S = sums<N, G>;
    struct lane_place p = lane_place_of((int)threadIdx.x, f.C, f.slice);
    {
        const struct forward_shared<N, G> s((int)blockDim.x / WARP, 1 << f.cluster_bits);
        for (int k = (int)threadIdx.x; k < TILE * S::SETS; k += (int)blockDim.x)
            s.lost[k] = 0;
    }
    bool lost = true;
    for (int turn = 0; turn < 2 && lost; turn++) { /* one call: the code is there once */
        const struct forward_shared<N, G> s(anew((int)blockDim.x) / WARP, 1 << anew(f.cluster_bits));
        walk<N, G, POST, WARPS>(&f, &s, &p, turn > 0);
        lost = false;
        const struct forward_shared<N, G> now(anew((int)blockDim.x) / WARP, 1 << anew(f.cluster_bits));
        for (int k = 0; k < TILE * S::SETS; k++)
            lost |= now.lost[k] != 0;
    }
    __syncthreads();
    const struct forward_shared<N, G> s(anew((int)blockDim.x) / WARP, 1 << anew(f.cluster_bits));
    if constexpr (sums<N, G>::RES && !G::HC)
        map_owned<N, G>(&f, &s, blockIdx.x >> f.cluster_bits, gridDim.x >> f.cluster_bits);
}

/* --- launching --- */

template <int N, typename G> static struct needs forward_needs(void) {
    using F = forward_shared<N, G>;
    return (struct needs){F::BYTES, F::WARP_BYTES, F::MEMBER_BYTES, 0};
}

template <int N, typename G, bool POST, int WARPS>
static int start_forward_layout(struct device *d, void *queue, const struct mhc_case *c, const struct layout *layout,
                                struct one_pass_forward f) {
    unsigned cluster = (unsigned)layout->cluster, threads = (unsigned)layout->warps * WARP;
    int64_t clusters = clusters_at_once(d, forward_kernel<N, G, POST, WARPS>, cluster, threads, layout->shared);
    int64_t tiles = blocks_of(c->T, TILE);
    if (clusters < 1)
        return -1;
    f.T = c->T, f.C = c->C, f.slice = layout->slice, f.cluster_bits = __builtin_ctz(cluster);
    f.inverse_length = one_pass_inverse_length<G>(c);
    f.how = coefficients_of(c), f.rms_eps = c->rms_eps;
    return CHECKED(d, LAUNCH_CLUSTER((forward_kernel<N, G, POST, WARPS>), cluster,
                                     (unsigned)(clusters < tiles ? clusters : tiles) * cluster, threads, layout->shared,
                                     queue, f));
}

template <int N, typename G, bool POST>
static int start_forward(struct device *d, void *queue, const struct mhc_case *c, const struct one_pass_forward *f) {
    constexpr int FEW = N == 4 ? FORWARD_FEW_WARPS : FORWARD_MAX_WARPS;
    struct needs need = forward_needs<N, G>();
    struct layout layout;
    if (d->largest_cluster == 1) /* not even one block alone: what a cluster writes with is missing */
        return -1;
    for (int smallest = one_pass_smallest_cluster(d, c);; smallest = 1) {
        if (!one_pass_layout(c, &need, d->shared_bytes, FORWARD_MAX_WARPS, smallest, &layout) ||
            layout.cluster > d->largest_cluster)
            return -1;
        int failed = layout.warps <= FEW
                         ? start_forward_layout<N, G, POST, FEW>(d, queue, c, &layout, *f)
                         : start_forward_layout<N, G, POST, FORWARD_MAX_WARPS>(d, queue, c, &layout, *f);
        if (failed >= 0 || smallest == 1)
            return failed;
    }
}

template <typename G>
static int one_pass_forward_start(struct device *d, void *queue, const struct mhc_case *c,
                                  const struct one_pass_forward *f) {
#define CALL(N) (f->x_next ? start_forward<N, G, true>(d, queue, c, f) : start_forward<N, G, false>(d, queue, c, f))
    return ONE_PASS_COUNT(c->n, CALL);
#undef CALL
}

template <typename G> static bool one_pass_forward_fits(const struct mhc_case *c, const char **why) {
    if (!one_pass_shape(c, why))
        return false;
#define CALL(N) forward_needs<N, G>()
    struct needs need = ONE_PASS_COUNT(c->n, CALL);
#undef CALL
    struct layout layout;
    return one_pass_layout(c, &need, ONE_PASS_SHARED, FORWARD_MAX_WARPS, 1, &layout) ||
           (*why = ONE_PASS_TOO_WIDE, false);
}

#endif
