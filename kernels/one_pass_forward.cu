/* mhc.pre, identity.pre and hc.pre in one pass over x, and post of the layer below with pre of this one (post_pre), where x_next is formed in
 * registers, rounded once, stored, and takes the place of x.
 *
 *   traffic a token, n = 4, bf16     pre: x 8C + u 2C bytes     post_pre: x 8C + y 2C + x_next 8C + u 2C
 *
 * A turn of the loop: products of the waiting tile on tensor cores (weights hi + lo, so nearly float accuracy) | sums over the block's warps, in
 * order | each block sends what others need into their shared memory | the next tile's loads start | the cluster meets | sums over its blocks, in order;
 * pre; u. A token's whole coefficients are made by the block that owns it, its Sinkhorn at the end, a thread a token, when there are many. */
#include "kernels/mhc.h"
#include "kernels/one_pass.h"

/* The arrays of a call. */
struct forward {
    int64_t T, C;
    int slice;
    struct coefficients how;
    double rms_eps;
    const struct bf16 *x, *y;
    const float *post_below, *res_below;
    struct weights_at weights;
    const float *b, *b_post, *b_res, *alpha; /* mHC: b [columns]; HC: b_pre, b_post, b_res */
    struct bf16 *x_next, *u;
    float *pre, *post, *res, *product, *r;
};

/* Shared memory, in this order. */
template <int N, int KIND> struct forward_shared {
    using S = sums<N, KIND>;
    uint4 *weights;      /* [stream][warp][TILES][hi, lo][lane] */
    float *partial;      /* [warp][TILE][VALUES] */
    float *for_pre;      /* [2][block][TILE][FOR_PRE], written by the whole cluster */
    float *owned;        /* [2][block][TILE / S][VALUES], likewise */
    float *pre;          /* [TILE][N] */
    float *scale;        /* [TILE][SETS] of the squares */
    float *below;        /* [TILE][N + N N]: post and res of the layer below */

    static constexpr int64_t WARP_BYTES =
        (int64_t)weight_streams<N, KIND>() * S::TILES * 2 * WARP * 16 + TILE * S::VALUES * 4;
    static constexpr int64_t BLOCK_BYTES = TILE * (2 * S::VALUES + N + S::SETS + N + N * N) * 4;
    static constexpr int64_t bytes(int cluster) {
        return BLOCK_BYTES + 2 * (int64_t)cluster * TILE * S::FOR_PRE * 4;
    }
    __device__ forward_shared(int warps, int cluster) {
        weights = (uint4 *)shared_memory();
        partial = (float *)(weights + weight_streams<N, KIND>() * warps * S::TILES * 2 * WARP);
        for_pre = partial + warps * TILE * S::VALUES;
        owned = for_pre + 2 * cluster * TILE * S::FOR_PRE;
        pre = owned + 2 * TILE * S::VALUES;
        scale = pre + TILE * N;
        below = scale + TILE * S::SETS;
    }
};

/* The block's slice of the weights, split and in fragment order: eight channels of one column a lane. */
template <int N, int KIND>
static __device__ __forceinline__ void load_weights(const struct forward *f, uint4 *to, int warps) {
    using S = sums<N, KIND>;
    int count = weight_streams<N, KIND>() * warps * S::TILES * WARP;
    int64_t first = (int64_t)cluster_rank() * f->slice;
    for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) {
        int lane = k % WARP, tile = k / WARP % S::TILES, warp = k / WARP / S::TILES % warps, i = k / WARP / S::TILES / warps;
        int column = tile * 8 + lane / 4, within = warp * GROUP + lane % 4 * OCTET;
        float hi[OCTET], lo[OCTET];
        for (int e = 0; e < OCTET; e++) {
            bool real = column < S::COLUMNS && within + e < f->slice && first + within + e < f->C;
            float w = real ? weight<N, KIND>(&f->weights, f->C, i, first + within + e, column) : 0;
            hi[e] = high_part(w);
            lo[e] = w - hi[e];
        }
        uint4 *at = to + (k / WARP) * 2 * WARP + lane;
        at[0] = pack(hi);
        at[WARP] = pack(lo);
    }
}

/* Products and squares of the tile, added up over the warp's channels: partial[token][value]. `scaled`: squares of scale times x. */
template <int N, int KIND>
static __device__ __forceinline__ void multiply(const struct piece x[N], const uint4 *weights, int warps, const struct lane_place *p,
                                const float *scale, bool scaled, float *partial) {
    using S = sums<N, KIND>;
    float sum[S::SETS][S::TILES][4], squares[S::SETS][2];
    for (int s = 0; s < S::SETS; s++) {
        squares[s][0] = squares[s][1] = 0;
        for (int tile = 0; tile < S::TILES; tile++)
            for (int e = 0; e < 4; e++)
                sum[s][tile][e] = 0;
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        int s = S::SETS == 1 ? 0 : i, of = weight_streams<N, KIND>() == 1 ? 0 : i;
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

/* Place of a value among those pre depends on, -1 for the others. */
template <int N, int KIND> static __device__ __forceinline__ int place_for_pre(int value) {
    using S = sums<N, KIND>;
    if (value >= S::PRODUCTS)
        return N + value - S::PRODUCTS;
    if (KIND == KIND_HC)
        return value % S::COLUMNS == 0 ? value / S::COLUMNS : -1;
    return value < N ? value : -1;
}

/* Adds up the warps and sends the sums to the blocks that need them. */
template <int N, int KIND>
static __device__ __forceinline__ void send(const struct forward_shared<N, KIND> *s, int warps, int buffer) {
    using S = sums<N, KIND>;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int k = (int)threadIdx.x; k < TILE * S::VALUES; k += (int)blockDim.x) {
        int token = k / S::VALUES, value = k % S::VALUES, place = place_for_pre<N, KIND>(value);
        float sum = 0;
        for (int w = 0; w < warps; w++)
            sum += s->partial[w * TILE * S::VALUES + k];
        float *mine = s->owned + ((buffer * size + rank) * owned + token / size) * S::VALUES + value;
        cluster_store(mine, token % size, sum);
        for (int to = 0; place >= 0 && to < size; to++)
            cluster_store(s->for_pre + ((buffer * size + rank) * TILE + token) * S::FOR_PRE + place, to, sum);
    }
}

/* One value of a token, added up over the blocks in order. */
static __device__ __forceinline__ float received(const float *from, int stride, int size) {
    float sum = 0;
    for (int s = 0; s < size; s++)
        sum += from[s * stride];
    return sum;
}

/* r of a set of a token from its sum of squares, which has arrived at `from`. Squares that over- or underflowed say nothing: then `note` puts
 * down a scale, and the tile is done again with it. Every block sees the same sums, so all decide alike. */
template <int N, int KIND>
static __device__ __forceinline__ float root(const struct forward *f, const struct forward_shared<N, KIND> *s, int turn, int token, int set,
                                             bool note, const float *from, int stride) {
    using S = sums<N, KIND>;
    float sum = received(from, stride, cluster_size()), length = (float)(KIND == KIND_HC ? f->C : N * f->C);
    float *scale = s->scale + token * S::SETS + set;
    bool lost = !(sum < 1e36f) || (sum < 1e-30f * length && f->rms_eps < 1e-28);
    if (turn == 0 && note)
        *scale = !lost ? 1 : sum < 1 ? 0x1p80f : 0x1p-80f;
    if (turn == 0)
        return sqrtf(sum / length + (float)f->rms_eps);
    return (float)sqrt((double)(sum / length) / ((double)*scale * (double)*scale) + f->rms_eps);
}

/* A scale other than 1 was noted for a token of the tile. */
template <int N, int KIND> static __device__ __forceinline__ bool scaling(const float *scale) {
    bool any = false;
    for (int k = 0; k < TILE * sums<N, KIND>::SETS; k++)
        any |= scale[k] != 1;
    return any;
}

template <int N> static __device__ __forceinline__ float pre_value(const struct forward *f, int i, float product) {
    return sigmoid(fmaf(f->alpha[0], product, f->b[i])) + f->how.eps;
}

/* The coefficient that column m of stream i (HC) or column m (mHC) stands for goes to its array. */
template <int N, int KIND>
static __device__ __forceinline__ void store_coefficient(const struct forward *f, int64_t t, int set, int column, float product) {
    if (KIND == KIND_HC) {
        float scaled = tanhf(product), alpha = f->alpha[column < 2 ? column : 2];
        if (column == 0)
            f->pre[t * N + set] = fmaf(alpha, scaled, f->b[set]);
        else if (column == 1)
            f->post[t * N + set] = fmaf(alpha, scaled, f->b_post[set]);
        else
            f->res[(t * N + column - 2) * N + set] = fmaf(alpha, scaled, f->b_res[(column - 2) * N + set]);
    } else if (column < N) {
        f->pre[t * N + column] = pre_value<N>(f, column, product);
    } else if (column < 2 * N) {
        f->post[t * N + column - N] = 2 * sigmoid(fmaf(f->alpha[1], product, f->b[column]));
    }
}

/* What has arrived: pre of every token into shared memory; the products and coefficients of the block's own tokens to where they are kept. */
template <int N, int KIND>
static __device__ __forceinline__ void finish(const struct forward *f, const struct forward_shared<N, KIND> *s, int64_t first_token, int buffer,
                              int turn) {
    using S = sums<N, KIND>;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int k = (int)threadIdx.x; k < TILE * N + owned * S::PRODUCTS; k += (int)blockDim.x) {
        bool for_all = k < TILE * N;
        int own = (k - TILE * N) / S::PRODUCTS, value = (k - TILE * N) % S::PRODUCTS;
        int token = for_all ? k / N : own * size + rank, i = k % N;
        int set = for_all ? (KIND == KIND_HC ? i : 0) : value / S::COLUMNS, column = value % S::COLUMNS;
        const float *pre_sums = s->for_pre + (buffer * size * TILE + token) * S::FOR_PRE;
        const float *own_sums = s->owned + (buffer * size * owned + own) * S::VALUES;
        float r = for_all ? root<N, KIND>(f, s, turn, token, set, KIND == KIND_HC || i == 0, pre_sums + N + set, TILE * S::FOR_PRE)
                          : root<N, KIND>(f, s, turn, token, set, false, own_sums + S::PRODUCTS + set, owned * S::VALUES);
        float sum = for_all ? received(pre_sums + i, TILE * S::FOR_PRE, size) : received(own_sums + value, owned * S::VALUES, size);
        float product = r == 0 ? 0 : sum / r;
        int64_t t = first_token + token;
        if (for_all) {
            s->pre[k] = KIND == KIND_HC ? fmaf(f->alpha[0], tanhf(product), f->b[i]) : pre_value<N>(f, i, product);
        } else if (t < f->T) {
            f->product[t * S::PRODUCTS + value] = product;
            if (column == 0)
                f->r[t * S::SETS + set] = r;
            store_coefficient<N, KIND>(f, t, set, column, product);
        }
    }
}

/* u = pre.x from the registers. */
template <int N, int KIND>
static __device__ __forceinline__ void aggregate_tile(const struct forward *f, const struct piece x[N], const float *pre, int64_t first_token,
                                      const struct lane_place *p) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int token = p->g + 8 * half;
        float in[N][OCTET], u[OCTET], weight[N];
        for (int i = 0; i < N; i++) {
            unpack(&x[i].row[half], in[i]);
            weight[i] = pre[token * N + i];
        }
        aggregate<N, OCTET>(N, in, weight, u);
        if (first_token + token < f->T && p->inside)
            store_octet(f->u + (first_token + token) * f->C + p->channel, u);
    }
}

/* x_next of the layer below takes the place of x: rounded, stored, kept. */
template <int N, int KIND>
static __device__ __forceinline__ void post_tile(const struct forward *f, struct piece x[N], const struct piece *y, const float *below,
                                 int64_t first_token, const struct lane_place *p) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int token = p->g + 8 * half;
        float in[N][OCTET], branch[OCTET], next[OCTET];
        const float *post = below + token * (N + N * N);
        for (int i = 0; i < N; i++)
            unpack(&x[i].row[half], in[i]);
        unpack(&y->row[half], branch);
#pragma unroll
        for (int i = 0; i < N; i++) {
            combine<N, OCTET>(N, in, branch, post, sums<N, KIND>::RES ? post + N : NULL, i, next);
            x[i].row[half] = pack(next);
            if (first_token + token < f->T && p->inside)
                *(uint4 *)(f->x_next + ((first_token + token) * N + i) * f->C + p->channel) = x[i].row[half];
        }
    }
}

/* post and res of the layer below for a tile. */
template <int N, int KIND>
static __device__ __forceinline__ void load_below(const struct forward *f, float *below, int64_t first_token) {
    constexpr int COUNT = N + N * N;
    for (int k = (int)threadIdx.x; k < TILE * COUNT; k += (int)blockDim.x) {
        int64_t t = first_token + k / COUNT;
        int m = k % COUNT;
        below[k] = t >= f->T ? 0 : m < N ? f->post_below[t * N + m] : sums<N, KIND>::RES ? f->res_below[t * N * N + m - N] : 0;
    }
}

/* res of the block's own tokens, a thread each: they are many by now, and u waited for none of them. */
template <int N> static __device__ __forceinline__ void sinkhorn_owned(const struct forward *f, int64_t cluster, int64_t clusters) {
    constexpr int COLUMNS = N * N + 2 * N;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int64_t k = threadIdx.x;; k += blockDim.x) {
        int64_t t = (cluster + k / owned * clusters) * TILE + k % owned * size + rank;
        if (t - t % TILE >= f->T)
            break;
        if (t >= f->T)
            continue;
        float m[N * N];
        res_coefficients<N>(f->how, f->product + t * COLUMNS, f->b, f->alpha, m);
        for (int e = 0; e < N * N; e++)
            f->res[t * N * N + e] = m[e];
    }
}

template <int N, int KIND, bool POST>
static __global__ void __launch_bounds__(MAX_WARPS * WARP, 1) forward_kernel(struct forward f) {
    int warps = (int)blockDim.x / WARP, size = cluster_size();
    int64_t cluster = blockIdx.x / size, clusters = gridDim.x / size;
    struct forward_shared<N, KIND> s(warps, size);
    struct lane_place p = lane_place_of(f.C, f.slice);
    struct piece x[N], y, next[N], next_y;
    for (int i = 0; i < N; i++)
        next[i] = load_piece(f.x, N, i, f.T, f.C, cluster * TILE, &p);
    if (POST)
        next_y = load_piece(f.y, 1, 0, f.T, f.C, cluster * TILE, &p);
    load_weights<N, KIND>(&f, s.weights, warps);
    /* Nobody may write into a block's memory before the block has begun. */
    cluster_arrive();
    cluster_wait();
    int buffer = 0;
    for (int64_t first = cluster * TILE; first < f.T; first += clusters * TILE) {
        for (int i = 0; i < N; i++)
            x[i] = next[i];
        y = next_y;
        if (POST) {
            load_below<N, KIND>(&f, s.below, first);
            __syncthreads();
            post_tile<N, KIND>(&f, x, &y, s.below, first, &p);
        }
        bool again = true;
        for (int turn = 0; again; turn++, buffer ^= 1) {
            multiply<N, KIND>(x, s.weights, warps, &p, s.scale, turn > 0, s.partial + p.warp * TILE * sums<N, KIND>::VALUES);
            __syncthreads();
            send<N, KIND>(&s, warps, buffer);
            cluster_arrive();
            if (turn == 0) {
                for (int i = 0; i < N; i++)
                    next[i] = load_piece(f.x, N, i, f.T, f.C, first + clusters * TILE, &p);
                if (POST)
                    next_y = load_piece(f.y, 1, 0, f.T, f.C, first + clusters * TILE, &p);
            }
            cluster_wait();
            finish<N, KIND>(&f, &s, first, buffer, turn);
            __syncthreads();
            again = turn == 0 && scaling<N, KIND>(s.scale);
        }
        aggregate_tile<N, KIND>(&f, x, s.pre, first, &p);
    }
    __syncthreads();
    if (KIND == KIND_MHC)
        sinkhorn_owned<N>(&f, cluster, clusters);
}

/* --- launching --- */

template <int N, int KIND> static bool layout_of(const struct mhc_case *c, int64_t shared, struct layout *layout) {
    using F = forward_shared<N, KIND>;
    return one_pass_layout(c, shared, F::WARP_BYTES, F::bytes(LARGEST_CLUSTER), 1, layout);
}

/* 0; 1 with device.error set; -1 where the device cannot: nothing was launched. */
template <int N, int KIND, bool POST>
static int start(struct device *d, void *queue, const struct mhc_case *c, struct forward f) {
    struct layout layout;
    if (!layout_of<N, KIND>(c, d->shared_bytes, &layout) || layout.cluster > d->largest_cluster)
        return -1;
    unsigned threads = (unsigned)layout.warps * WARP, size = (unsigned)layout.cluster;
    int64_t clusters = clusters_at_once(d, forward_kernel<N, KIND, POST>, size, threads, layout.shared);
    int64_t tiles = blocks_of(c->T, TILE);
    if (clusters < 1)
        return -1;
    f.T = c->T, f.C = c->C, f.slice = layout.slice, f.how = coefficients_of(c), f.rms_eps = c->rms_eps;
    return CHECKED(d, LAUNCH_CLUSTER((forward_kernel<N, KIND, POST>), size, (unsigned)(clusters < tiles ? clusters : tiles) * size,
                                     threads, layout.shared, queue, f));
}

template <int KIND, bool POST> static int start_any(struct device *d, void *queue, const struct mhc_case *c, const struct forward *f) {
    return c->n == 1   ? start<1, KIND, POST>(d, queue, c, *f)
           : c->n == 2 ? start<2, KIND, POST>(d, queue, c, *f)
                       : start<4, KIND, POST>(d, queue, c, *f);
}

/* The layout of a case on the largest device there is. */
template <int KIND> static bool fits(const struct mhc_case *c) {
    struct layout layout;
    return c->n == 1   ? layout_of<1, KIND>(c, ONE_PASS_SHARED, &layout)
           : c->n == 2 ? layout_of<2, KIND>(c, ONE_PASS_SHARED, &layout)
                       : layout_of<4, KIND>(c, ONE_PASS_SHARED, &layout);
}

static bool supports_mhc(const struct mhc_case *c, const char **why) {
    if (!gpu_supports_sinkhorn(c, why) || !one_pass_shape(c, why))
        return false;
    return fits<KIND_MHC>(c) ? true : (*why = one_pass_too_wide, false);
}
static bool supports_identity(const struct mhc_case *c, const char **why) {
    if (!gpu_supports(c, why) || !one_pass_shape(c, why))
        return false;
    return fits<KIND_IDENTITY>(c) ? true : (*why = one_pass_too_wide, false);
}
static bool supports_hc(const struct mhc_case *c, const char **why) {
    if (!gpu_supports(c, why) || !one_pass_shape(c, why))
        return false;
    return fits<KIND_HC>(c) ? true : (*why = one_pass_too_wide, false);
}

/* Where the device has no clusters, or too little shared memory for them, the two-pass row does it. */
template <int KIND, bool POST>
static int run(void *context, void *queue, const struct mhc_case *c, struct forward *f, void *save, const struct mhc_row *otherwise,
               void *const arg[], void *work) {
    int columns = KIND == KIND_HC ? (int)(c->n * (c->n + 2)) : column_count((int)c->n, KIND == KIND_IDENTITY);
    f->product = (float *)save;
    f->r = f->product + c->T * columns;
    int failed = start_any<KIND, POST>(device_of(context), queue, c, f);
    return failed >= 0 ? failed : otherwise->run(context, queue, c, arg, save, work);
}

static int mhc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *work) {
    struct forward f = {};
    f.x = (const struct bf16 *)a[0], f.weights.phi = (const float *)a[1], f.b = (const float *)a[2], f.alpha = (const float *)a[3];
    f.u = (struct bf16 *)a[4], f.pre = (float *)a[5], f.post = (float *)a[6], f.res = (float *)a[7];
    return run<KIND_MHC, false>(context, queue, c, &f, save, &mhc_pre, a, work);
}

static int identity_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *work) {
    struct forward f = {};
    f.x = (const struct bf16 *)a[0], f.weights.phi = (const float *)a[1], f.b = (const float *)a[2], f.alpha = (const float *)a[3];
    f.u = (struct bf16 *)a[4], f.pre = (float *)a[5], f.post = (float *)a[6];
    return run<KIND_IDENTITY, false>(context, queue, c, &f, save, &identity_pre, a, work);
}

static int hc_pre_run(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, void *work) {
    struct forward f = {};
    f.x = (const struct bf16 *)a[0], f.weights.theta_pre = (const float *)a[1], f.weights.theta_post = (const float *)a[2];
    f.weights.theta_res = (const float *)a[3], f.b = (const float *)a[4], f.b_post = (const float *)a[5];
    f.b_res = (const float *)a[6], f.alpha = (const float *)a[7];
    f.u = (struct bf16 *)a[8], f.pre = (float *)a[9], f.post = (float *)a[10], f.res = (float *)a[11];
    return run<KIND_HC, false>(context, queue, c, &f, save, &hc_pre, a, work);
}

