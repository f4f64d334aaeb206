/* mhc.backward and hc.backward with one pass over x, g = grad_x_next, y and grad_u, and the same that also writes
 * grad_y of the layer below (backward_y): grad_x leaves the registers once, rounded once, and res^T g is never
 * stored.
 *
 *   traffic a token, n = 4, bf16     x 8C + g 8C + y 2C + grad_u 2C + grad_x 8C = 28C bytes, grad_y_below 2C;
 *   grad_phi reads x again (8C)
 *
 * A turn of the loop: the tile comes into registers, the next one's lines are asked for | the dot products over
 * channels that the coefficients' gradients are, lane, warp, block, cluster, always in order | the last warp of the
 * block makes z = dL/dlogits of the tokens that the block owns, one thread per token, and sends q = alpha z / r to all;
 * how the residual map went it has worked out before, from what forward saved | grad_x = res^T g + pre grad_u + q.W^T
 * - x (...)/r, the product on tensor cores. z and q stay in `work` for the parameters' gradients, which sum over
 * tokens in kernels of their own.
 *
 * The cluster meets twice a turn, and no warp has other work meanwhile. So two blocks share a multiprocessor where
 * they fit. */
#ifndef ONE_PASS_BACKWARD_H
#define ONE_PASS_BACKWARD_H

#include "kernels/one_pass_gradient.h"

/* The block's slice of the weights as the right operand of q.W^T: rows are columns of the weights, high parts then low
 * parts. A thread has all columns of a channel, loaded together. Eight neighbouring threads write four lanes' words
 * each, 16 bytes at a time: the banks repeat after four of them, so the other four begin with the second half. */
template <int N, typename G>
static __device__ __forceinline__ void load_backward_weights(const struct one_pass_backward *f, uint2 *to) {
    using S = sums<N, G>;
    using B = backward_sums<N, G>;
    int channels = f->warps * GROUP;
    int64_t first = (int64_t)cluster_rank() * f->slice;
    for (int k = thread_anew(); k < S::STREAMS_OF_WEIGHTS * channels; k += (int)blockDim.x) {
        int i = k / channels, warp = k % channels / GROUP, g = k % 8, j = k % GROUP / 8;
        int within = warp * GROUP + g / 2 * 8 + 2 * j + g % 2;
        float w[B::DEPTH] = {};
        if (within < f->slice && first + within < f->C)
#pragma unroll
            for (int m = 0; m < B::DEPTH; m += S::WIDTH)
                load_weights_at<N, G>(&f->weights, f->C, i, first + within, m, w + m);
        uint32_t pair[B::DEPTH]; /* of rows */
#pragma unroll
        for (int m = 0; m < B::DEPTH; m += 2)
            split_pair(w[m], w[m + 1], &pair[m / 2], &pair[(B::DEPTH + m) / 2]);
#pragma unroll
        for (int step = 0; step < B::STEPS; step++) {
            const uint32_t *p = pair + 8 * step;
            uint4 *at = (uint4 *)(to + (((warp * S::STREAMS_OF_WEIGHTS + i) * B::STEPS + step) * 4 + j) * WARP + g * 4);
#pragma unroll
            for (int turn = 0; turn < 2; turn++) {
                bool second = turn != g / 4;
                at[second] = second ? make_uint4(p[2], p[6], p[3], p[7]) : make_uint4(p[0], p[4], p[1], p[5]);
            }
        }
    }
}

/* Starts the copies of pre and res of a tile, and of post of the layer below. */
template <int N, typename G>
static __device__ __forceinline__ void load_coefficients(const struct one_pass_backward *f,
                                                         const struct backward_shared<N, G> *s, int64_t first_token) {
    using B = backward_sums<N, G>;
    for (int k = thread_anew(); k < TILE * B::USED; k += (int)blockDim.x) {
        int64_t t = first_token + k / B::USED;
        int m = k % B::USED;
        if (t < f->T)
            copy4_async(s->coefficients + k, m < N ? f->pre + t * N + m : f->res + t * N * N + m - N);
        else
            s->coefficients[k] = 0;
    }
    for (int k = thread_anew(); k < TILE * N && f->post_below; k += (int)blockDim.x)
        if (first_token + k / N < f->T)
            copy4_async(s->below + k, f->post_below + first_token * N + k);
        else
            s->below[k] = 0;
    copy_commit();
}

/* Asks for a tile's lines of an array [T][width]. */
static __device__ __forceinline__ void prefetch_rows(const float *from, int width, int64_t T, int64_t first_token) {
    for (int k = thread_anew() * OCTET; k < TILE * width; k += (int)blockDim.x * OCTET)
        if (first_token + k / width < T)
            prefetch(from + first_token * width + k);
}

/* The dot products of the lane's two tokens over the warp's channels: dpre_i = <x_i, du>, dpost_i = <y, g_i>, dres_ij
 * = <g_i, x_j>. */
template <int N, typename G>
static __device__ __forceinline__ void multiply_backward(const struct piece x[N], const struct piece g[N],
                                                         const struct piece *y, const struct piece *du,
                                                         const struct lane_place *p, float *partial) {
    using B = backward_sums<N, G>;
    constexpr int HALF = B::PADDED / 2, QUARTER = B::PADDED / 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum[B::PADDED];
        for (int k = 0; k < B::PADDED; k++)
            sum[k] = 0;
#pragma unroll
        for (int e = 0; e < OCTET; e++) {
            float in[N], grad[N];
#pragma unroll
            for (int i = 0; i < N; i++) {
                uint32_t a = word_of(&x[i].row[half], e / 2), b = word_of(&g[i].row[half], e / 2);
                in[i] = e % 2 ? high_bf16(a) : low_bf16(a);
                grad[i] = e % 2 ? high_bf16(b) : low_bf16(b);
            }
            uint32_t a = word_of(&y->row[half], e / 2), b = word_of(&du->row[half], e / 2);
            float branch = e % 2 ? high_bf16(a) : low_bf16(a), grad_u = e % 2 ? high_bf16(b) : low_bf16(b);
#pragma unroll
            for (int i = 0; i < N; i++) {
                sum[i] = fmaf(in[i], grad_u, sum[i]);
                sum[N + i] = fmaf(branch, grad[i], sum[N + i]);
#pragma unroll
                for (int j = 0; j < N && sums<N, G>::RES; j++)
                    sum[2 * N + i * N + j] = fmaf(grad[i], in[j], sum[2 * N + i * N + j]);
            }
        }
        /* Over the four lanes of a token: each hands half of what it has to its partner, twice. */
        float two[HALF], one[QUARTER];
#pragma unroll
        for (int k = 0; k < HALF; k++) {
            float given = p->q & 2 ? sum[k] : sum[HALF + k], kept = p->q & 2 ? sum[HALF + k] : sum[k];
            two[k] = kept + shuffle_xor(given, 2);
        }
#pragma unroll
        for (int k = 0; k < QUARTER; k++) {
            float given = p->q & 1 ? two[k] : two[QUARTER + k], kept = p->q & 1 ? two[QUARTER + k] : two[k];
            one[k] = kept + shuffle_xor(given, 1);
        }
        for (int k = 0; k < QUARTER; k++)
            if (p->q * QUARTER + k < B::DOTS)
                partial[(p->g + 8 * half) * B::DOTS + p->q * QUARTER + k] = one[k];
    }
}

/* --- a turn --- */

/* What grad_x is made of besides coefficients. */
template <int N>
static __device__ __forceinline__ void load_tile(const struct one_pass_backward *f, int64_t first_token,
                                                 const struct lane_place *p, struct piece x[N], struct piece g[N],
                                                 struct piece *du) {
    for (int i = 0; i < N; i++) {
        x[i] = load_piece(f->x, N, i, f->T, f->C, first_token, p, true); /* grad_phi comes next */
        g[i] = load_piece(f->g, N, i, f->T, f->C, first_token, p);
    }
    *du = load_piece(f->du, 1, 0, f->T, f->C, first_token, p);
}

template <int N>
static __device__ __forceinline__ void clear_tile(struct piece x[N], struct piece g[N], struct piece *du) {
    const struct piece none = {};
    for (int i = 0; i < N; i++)
        x[i] = g[i] = none;
    *du = none;
}

/* Asks for the lines of a tile. */
template <int N, typename G>
static __device__ __forceinline__ void prefetch_tile(const struct one_pass_backward *f, int64_t first_token,
                                                     const struct lane_place *p) {
    for (int i = 0; i < N; i++) {
        prefetch_piece(f->x, N, i, f->T, f->C, first_token, p);
        prefetch_piece(f->g, N, i, f->T, f->C, first_token, p);
    }
    prefetch_rows(f->pre, N, f->T, first_token);
    if (sums<N, G>::RES)
        prefetch_rows(f->res, N * N, f->T, first_token);
    if (f->post_below)
        prefetch_rows(f->post_below, N, f->T, first_token);
    prefetch_piece(f->y, 1, 0, f->T, f->C, first_token, p);
    prefetch_piece(f->du, 1, 0, f->T, f->C, first_token, p);
}

/* What stays in shared memory for all turns. No block may write into a block's memory before the block has begun. */
template <int N, typename G> static __device__ __forceinline__ void begin_backward(const struct one_pass_backward *f) {
    struct backward_shared<N, G> s(f);
    load_backward_weights<N, G>(f, s.weights);
    for (int k = thread_anew(); k < sums<N, G>::ALPHAS; k += (int)blockDim.x)
        s.alpha[k] = f->alpha[k];
    cluster_arrive();
    cluster_wait();
}

/* First part of a turn: the tile; the dots go to the owners. */
template <int N, typename G>
static __device__ __forceinline__ void take_tile(const struct one_pass_backward *f, int64_t first, int64_t clusters,
                                                 struct piece x[N], struct piece g[N], struct piece *du,
                                                 typename G::map::template trace<N> *trace) {
    struct backward_shared<N, G> s(f);
    struct lane_place p = lane_place_of(thread_anew(), f->C, f->slice);
    load_tile<N>(f, first, &p, x, g, du);
    struct piece y = load_piece(f->y, 1, 0, f->T, f->C, first, &p);
    prefetch_tile<N, G>(f, anew(first) + clusters * TILE, &p);
    if (!G::map::SLOW || p.warp < f->warps) {
        multiply_backward<N, G>(x, g, &y, du, &p, s.partial + p.warp * TILE * backward_sums<N, G>::DOTS);
    } else { /* a warp without channels: it is ahead of the others, and has no tile */
        prepare<N, G>(f, &s, first, trace);
        clear_tile<N>(x, g, du);
    }
    __syncthreads();
    load_coefficients<N, G>(f, &s, first); /* the old ones are read: all are past grad_x of the tile before */
    send_dots<N, G>(f, &s);
    cluster_arrive();
    if (G::map::SLOW && !f->traces) /* a trace takes the place of what all have sent */
        __syncthreads();
}

/* Second part: the last warp answers with q; the others wait. */
template <int N, typename G>
static __device__ __forceinline__ void answer(const struct one_pass_backward *f, int64_t first, struct piece x[N],
                                              struct piece g[N], struct piece *du,
                                              typename G::map::template trace<N> *trace) {
    struct backward_shared<N, G> s(f);
    const int warp = thread_anew() / WARP, last = (int)blockDim.x / WARP - 1;
    if (warp != last) {
        cluster_wait();
    } else {
        if constexpr (!G::map::SLOW) /* it begins here: no register holds it before */
            *trace = {};
        if (!G::map::SLOW || warp < f->warps)
            prepare<N, G>(f, &s, first, trace);
        cluster_wait();
        make_q<N, G>(f, &s, first, trace);
        /* Again, from L2: what makes q needs the registers that the tile would wait in. */
        struct lane_place p = lane_place_of(thread_anew(), f->C, f->slice);
        load_tile<N>(f, anew(first), &p, x, g, du);
    }
    copy_wait<0>(); /* the coefficients are here; the meeting shows them to the other threads */
    cluster_arrive();
    cluster_wait();
}

/* A turn has three parts, with a meeting of the cluster between them. Each works out anew where its thread and its
 * arrays are: over the meetings the registers hold the tile. */
template <int N, typename G, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP, 1) backward_kernel(struct one_pass_backward f) {
    const int64_t clusters = gridDim.x >> f.cluster_bits;
    begin_backward<N, G>(&f);
    for (int64_t first = (int64_t)(blockIdx.x >> f.cluster_bits) * TILE; first < f.T;
         first = anew(first) + clusters * TILE) {
        struct piece x[N], g[N], du;
        typename G::map::template trace<N> trace;
        take_tile<N, G>(&f, first, clusters, x, g, &du, &trace);
        answer<N, G>(&f, first, x, g, &du, &trace);
        for (int i = 0; i < N; i++) {
            keep_packed(&x[i]);
            keep_packed(&g[i]);
        }
        keep_packed(&du);
        struct backward_shared<N, G> s(&f);
        struct lane_place p = lane_place_of(thread_anew(), f.C, f.slice);
        if (!G::map::SLOW || p.warp < f.warps) {
            store_gradient<N, G, WARPS>(&f, &s, x, g, &du, anew(first), &p);
            if (f.dy_below)
                store_below<N>(&f, s.below, x, anew(first));
        }
    }
}

/* --- launching --- */

struct backward_layout {
    struct layout of;
    int blocks; /* per multiprocessor */
    int traces; /* as in one_pass_backward */
};

/* Two blocks per multiprocessor where they fit, else one; false where not even one does. Where no place is left for
 * the traces, they take that of the partial sums: a barrier more, but none of the two blocks less. */
template <int N, typename G>
static bool backward_layout_of(const struct mhc_case *c, int64_t shared, int smallest, struct backward_layout *layout) {
    using F = backward_shared<N, G>;
    const int64_t of_two = shared / 2 < ONE_PASS_SHARED_OF_TWO ? shared / 2 : ONE_PASS_SHARED_OF_TWO;
    const int64_t trace = trace_bytes<N, typename G::map>(1);
    for (int blocks = 2; blocks; blocks--) {
        struct layout *of = &layout->of;
        struct needs apart = {F::BYTES, F::WARP_BYTES, 0, F::TOKEN_BYTES + trace};
        struct needs within = {F::BYTES, F::WARP_BYTES, 0, F::TOKEN_BYTES};
        const int64_t limit = blocks == 2 ? of_two : shared;
        layout->blocks = blocks;
        if (one_pass_layout(c, &apart, limit, BACKWARD_MAX_WARPS / blocks, smallest, of)) {
            layout->traces = (int)((int64_t)of->shared - TILE / of->cluster * trace);
            return true;
        }
        layout->traces = 0;
        if (one_pass_layout(c, &within, limit, BACKWARD_MAX_WARPS / blocks, smallest, of) &&
            TILE / of->cluster * trace <= of->warps * F::PARTIAL_BYTES)
            return true;
    }
    return false;
}

template <int N, typename G, int WARPS>
static int start_backward_layout(struct device *d, void *queue, const struct mhc_case *c,
                                 const struct backward_layout *layout, unsigned threads, struct one_pass_backward f) {
    unsigned cluster = (unsigned)layout->of.cluster;
    int64_t clusters = clusters_at_once(d, backward_kernel<N, G, WARPS>, cluster, threads, layout->of.shared);
    int64_t tiles = blocks_of(c->T, TILE);
    if (clusters < 1)
        return -1;
    f.T = c->T, f.C = c->C, f.slice = layout->of.slice, f.cluster_bits = __builtin_ctz(cluster);
    f.inverse_length = one_pass_inverse_length<G>(c);
    f.warps = layout->of.warps, f.traces = layout->traces, f.how = coefficients_of(c);
    return CHECKED(d, LAUNCH_CLUSTER((backward_kernel<N, G, WARPS>), cluster,
                                     (unsigned)(clusters < tiles ? clusters : tiles) * cluster, threads,
                                     layout->of.shared, queue, f));
}

template <int N, typename G>
static int start_backward(struct device *d, void *queue, const struct mhc_case *c, const struct one_pass_backward *f) {
    constexpr int FEW = N == 4 ? BACKWARD_FEW_WARPS : BACKWARD_MAX_WARPS;
    struct backward_layout layout;
    if (d->largest_cluster == 1) /* not even one block alone: what a cluster writes with is missing */
        return -1;
    for (int smallest = one_pass_smallest_cluster(d, c);; smallest = 1) {
        if (!backward_layout_of<N, G>(c, d->shared_bytes, smallest, &layout) || layout.of.cluster > d->largest_cluster)
            return -1;
        /* A warp for a slow map alone, where there is room for its registers and its traces. */
        int warps = layout.of.warps;
        if (G::map::SLOW && layout.traces && (warps + 1) * layout.blocks <= BACKWARD_MAX_WARPS)
            warps++;
        int failed = warps * layout.blocks <= FEW
                         ? start_backward_layout<N, G, FEW>(d, queue, c, &layout, (unsigned)warps * WARP, *f)
                         : start_backward_layout<N, G, BACKWARD_MAX_WARPS>(d, queue, c, &layout, (unsigned)warps * WARP,
                                                                           *f);
        if (failed >= 0 || smallest == 1)
            return failed;
    }
}

template <typename G>
static int one_pass_backward_start(struct device *d, void *queue, const struct mhc_case *c,
                                   const struct one_pass_backward *f) {
#define CALL(N) start_backward<N, G>(d, queue, c, f)
    return ONE_PASS_COUNT(c->n, CALL);
#undef CALL
}

template <typename G> static bool one_pass_backward_fits(const struct mhc_case *c, const char **why) {
    if (!one_pass_shape(c, why))
        return false;
    struct backward_layout layout;
#define CALL(N) backward_layout_of<N, G>(c, ONE_PASS_SHARED, 1, &layout)
    return ONE_PASS_COUNT(c->n, CALL) || (*why = ONE_PASS_TOO_WIDE, false);
#undef CALL
}

#endif
