/* mhc.backward, identity.backward and hc.backward with one pass over x, g = grad_x_next, y and grad_u, and the same that also writes grad_y of the layer
 * below (backward_y): grad_x leaves the registers once, rounded once, and res^T g is never stored.
 *
 *   traffic a token, n = 4, bf16     x 8C + g 8C + y 2C + grad_u 2C + grad_x 8C = 28C bytes, grad_y_below 2C; grad_phi reads x again (8C)
 *
 * A turn of the loop: the tile comes into registers, the next one's lines are asked for | the dot products over channels that the coefficients'
 * gradients are, lane, warp, block, cluster, always in order | the block that owns a token makes z = dL/dlogits (Sinkhorn's backward, a thread a token) and
 * sends q = alpha z / r to all | grad_x = res^T g + pre grad_u + q.W^T - x (...)/r, the product on tensor cores. z and q stay in `work` for the parameters'
 * gradients, which sum over tokens in kernels of their own. */
#include "kernels/mhc.h"
#include "kernels/one_pass.h"

struct backward {
    int64_t T, C;
    int slice;
    bool v4;
    float sinkhorn_eps;
    int64_t t_max;
    const struct bf16 *g, *x, *y, *du;
    const float *pre, *post, *res, *post_below;
    struct weights_at weights;
    const float *b, *alpha, *product, *r;
    struct bf16 *dx, *dy_below;
    float *z, *q; /* [T][PRODUCTS] */
};

template <int N, int KIND> struct backward_sums {
    using S = sums<N, KIND>;
    static constexpr int DOTS = S::COEFFICIENTS;               /* dpre, dpost, dres */
    static constexpr int PADDED = (DOTS + 3) / 4 * 4;
    static constexpr int DEPTH = S::TILES * 8;                 /* columns, filled up */
    static constexpr int STEPS = (2 * DEPTH + 15) / 16;        /* of mma, over the high then the low parts of the weights */
    static constexpr int LOW_STEPS = (DEPTH + 15) / 16;        /* over the high parts, for the low parts of q */
    static constexpr int SENT = S::PRODUCTS + 2 * S::SETS;     /* q, then factor, then 1/r of each set */
};

template <int N, int KIND> struct backward_shared {
    using B = backward_sums<N, KIND>;
    uint2 *weights;       /* [stream][warp][STEPS][4][lane] */
    float *partial;       /* [warp][TILE][DOTS] */
    float *coefficients;  /* [TILE][DOTS]: pre, post, res */
    float *below;         /* [TILE][N]: post of the layer below */
    float *owned;         /* [block][TILE / S][DOTS], written by the whole cluster */
    float *dots;          /* [TILE / S][DOTS] */
    float *made;          /* [TILE / S][SENT] */
    float *q;             /* [TILE][SENT], written by the owners */

    static constexpr int64_t WARP_BYTES =
        (int64_t)weight_streams<N, KIND>() * B::STEPS * 4 * WARP * 8 + TILE * B::DOTS * 4;
    static constexpr int64_t BLOCK_BYTES = TILE * (3 * B::DOTS + N + 2 * B::SENT) * 4;
    __device__ backward_shared(int warps) {
        weights = (uint2 *)shared_memory();
        partial = (float *)(weights + weight_streams<N, KIND>() * warps * B::STEPS * 4 * WARP);
        coefficients = partial + warps * TILE * B::DOTS;
        below = coefficients + TILE * B::DOTS;
        owned = below + TILE * N;
        dots = owned + TILE * B::DOTS;
        made = dots + TILE * B::DOTS;
        q = made + TILE * B::SENT;
    }
};

/* The block's slice of the weights as the right operand of q.W^T: rows are columns of the weights, high parts then low parts. */
template <int N, int KIND>
static __device__ __forceinline__ void load_weights(const struct backward *f, uint2 *to, int warps) {
    using S = sums<N, KIND>;
    using B = backward_sums<N, KIND>;
    int count = weight_streams<N, KIND>() * warps * B::STEPS * 4 * WARP;
    int64_t first = (int64_t)cluster_rank() * f->slice;
    for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) {
        int lane = k % WARP, j = k / WARP % 4, step = k / WARP / 4 % B::STEPS, warp = k / WARP / 4 / B::STEPS % warps;
        int i = k / WARP / 4 / B::STEPS / warps, g = lane / 4, q = lane % 4;
        int within = warp * GROUP + 8 * (g / 2) + 2 * j + g % 2;
        float part[4];
        for (int e = 0; e < 4; e++) {
            int row = 16 * step + 2 * q + e % 2 + e / 2 * 8, column = row % B::DEPTH;
            bool real = row < 2 * B::DEPTH && column < S::COLUMNS && within < f->slice && first + within < f->C;
            float w = real ? weight<N, KIND>(&f->weights, f->C, i, first + within, column) : 0;
            part[e] = row < B::DEPTH ? w : w - high_part(w);
        }
        to[k] = make_uint2(pack_bf16(part[0], part[1]), pack_bf16(part[2], part[3]));
    }
}

/* pre, post, res of a tile, and post of the layer below. */
template <int N, int KIND>
static __device__ __forceinline__ void load_coefficients(const struct backward *f, const struct backward_shared<N, KIND> *s,
                                                         int64_t first_token) {
    using B = backward_sums<N, KIND>;
    for (int k = (int)threadIdx.x; k < TILE * B::DOTS; k += (int)blockDim.x) {
        int64_t t = first_token + k / B::DOTS;
        int m = k % B::DOTS;
        s->coefficients[k] = t >= f->T ? 0 : m < N ? f->pre[t * N + m] : m < 2 * N ? f->post[t * N + m - N] : f->res[t * N * N + m - 2 * N];
    }
    for (int k = (int)threadIdx.x; k < TILE * N && f->post_below; k += (int)blockDim.x)
        s->below[k] = first_token + k / N < f->T ? f->post_below[first_token * N + k] : 0;
}

/* Word `w` of a row of eight bf16. */
static __device__ __forceinline__ uint32_t word_of(const uint4 *row, int w) {
    return w == 0 ? row->x : w == 1 ? row->y : w == 2 ? row->z : row->w;
}

/* The dot products of the lane's two tokens over the warp's channels: dpre_i = <x_i, du>, dpost_i = <y, g_i>, dres_ij = <g_i, x_j>. */
template <int N, int KIND>
static __device__ __forceinline__ void multiply(const struct piece x[N], const struct piece g[N], const struct piece *y,
                                                const struct piece *du, const struct lane_place *p, float *partial) {
    using B = backward_sums<N, KIND>;
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
                for (int j = 0; j < N && sums<N, KIND>::RES; j++)
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

/* Adds up the warps and sends each token's sums to the block that owns it. */
template <int N, int KIND>
static __device__ __forceinline__ void send_dots(const struct backward_shared<N, KIND> *s, int warps) {
    using B = backward_sums<N, KIND>;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int k = (int)threadIdx.x; k < TILE * B::DOTS; k += (int)blockDim.x) {
        int token = k / B::DOTS;
        float sum = 0;
        for (int w = 0; w < warps; w++)
            sum += s->partial[w * TILE * B::DOTS + k];
        cluster_store(s->owned + (rank * owned + token / size) * B::DOTS + k % B::DOTS, token % size, sum);
    }
}

/* Dots of the block's own tokens, added up over the blocks in order. */
template <int N, int KIND>
static __device__ __forceinline__ void add_dots(const struct backward_shared<N, KIND> *s) {
    using B = backward_sums<N, KIND>;
    int size = cluster_size(), count = TILE / size * B::DOTS;
    for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) {
        float sum = 0;
        for (int from = 0; from < size; from++)
            sum += s->owned[from * count + k];
        s->dots[k] = sum;
    }
}

/* z and q of the block's own tokens, a thread a token (mHC) or a token's stream (HC), with through_norm over the length and 1/r. */
template <int N, int KIND>
static __device__ __forceinline__ void make_q(const struct backward *f, const struct backward_shared<N, KIND> *s,
                                              int64_t first_token) {
    using S = sums<N, KIND>;
    using B = backward_sums<N, KIND>;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int k = (int)threadIdx.x; k < owned * S::SETS; k += (int)blockDim.x) {
        int own = k / S::SETS, set = k % S::SETS, token = own * size + rank;
        int64_t t = first_token + token;
        float *made = s->made + own * B::SENT, *q = made + set * S::COLUMNS, r = 0, through_norm = 0;
        if (t < f->T) {
            const float *product = f->product + t * S::PRODUCTS + set * S::COLUMNS, *dots = s->dots + own * B::DOTS;
            float *z = f->z + t * S::PRODUCTS;
            r = f->r[t * S::SETS + set];
            if (KIND == KIND_HC) {
                through_norm = hc_coefficients_backward(N, set, dots, product, r, f->alpha, q);
                for (int m = 0; m < S::COLUMNS; m++)
                    z[hc_place(N, set, m)] = dots[hc_place(N, set, m)];
            } else {
                struct coefficients how = {N, f->v4, f->t_max, f->sinkhorn_eps};
                const float *c = s->coefficients + token * B::DOTS;
                through_norm = mhc_coefficients_backward<N, KIND == KIND_IDENTITY>(how, dots, c, c + N, product, r, f->b, f->alpha,
                                                                                   z, q);
            }
            for (int m = 0; m < S::COLUMNS; m++)
                f->q[t * S::PRODUCTS + set * S::COLUMNS + m] = q[m];
        } else {
            for (int m = 0; m < S::COLUMNS; m++)
                q[m] = 0;
        }
        made[S::PRODUCTS + set] = through_norm / (float)(KIND == KIND_HC ? f->C : N * f->C);
        made[S::PRODUCTS + S::SETS + set] = r == 0 ? 0 : 1 / r;
    }
}

/* What the block made, to every block. */
template <int N, int KIND>
static __device__ __forceinline__ void send_q(const struct backward_shared<N, KIND> *s) {
    using B = backward_sums<N, KIND>;
    int rank = cluster_rank(), size = cluster_size(), owned = TILE / size;
    for (int k = (int)threadIdx.x; k < owned * B::SENT * size; k += (int)blockDim.x) {
        int to = k % size, own = k / size / B::SENT, m = k / size % B::SENT;
        cluster_store(s->q + (own * size + rank) * B::SENT + m, to, s->made[own * B::SENT + m]);
    }
}

/* The left operand of q.W^T for a set: q's high parts against both parts of the weights, its low parts against the high ones. */
template <int N, int KIND>
static __device__ __forceinline__ void q_fragments(const float *q, int set, const struct lane_place *p,
                                                   uint32_t high[][4], uint32_t low[][4]) {
    using S = sums<N, KIND>;
    using B = backward_sums<N, KIND>;
#pragma unroll
    for (int step = 0; step < B::STEPS; step++)
#pragma unroll
        for (int word = 0; word < 4; word++) {
            const float *token = q + (p->g + word % 2 * 8) * B::SENT + set * S::COLUMNS;
            float v[2];
            bool within[2];
            for (int e = 0; e < 2; e++) {
                int row = 16 * step + 2 * p->q + e + word / 2 * 8, column = row % B::DEPTH;
                v[e] = row < 2 * B::DEPTH && column < S::COLUMNS ? token[column] : 0;
                within[e] = row < B::DEPTH;
            }
            high[step][word] = pack_bf16(v[0], v[1]);
            if (step < B::LOW_STEPS)
                low[step][word] = pack_bf16(within[0] ? v[0] - high_part(v[0]) : 0, within[1] ? v[1] - high_part(v[1]) : 0);
        }
}

/* grad_x of the tile from the registers. */
template <int N, int KIND>
static __device__ __forceinline__ void store_gradient(const struct backward *f, const struct backward_shared<N, KIND> *s,
                                                      const struct piece x[N], const struct piece g[N], const struct piece *du,
                                                      int warps, int64_t first_token, const struct lane_place *p) {
    using S = sums<N, KIND>;
    using B = backward_sums<N, KIND>;
    const float *q = s->q;
    uint32_t high[B::STEPS][4], low[B::LOW_STEPS][4];
    float below[2][OCTET];
    if (S::SETS == 1)
        q_fragments<N, KIND>(q, 0, p, high, low);
#pragma unroll
    for (int i = 0; i < N; i++) {
        int set = S::SETS == 1 ? 0 : i, of = weight_streams<N, KIND>() == 1 ? 0 : i;
        float sum[4][4];
        if (S::SETS > 1)
            q_fragments<N, KIND>(q, set, p, high, low);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            for (int e = 0; e < 4; e++)
                sum[j][e] = 0;
#pragma unroll
            for (int step = 0; step < B::STEPS; step++) {
                uint2 w = s->weights[(((of * warps + p->warp) * B::STEPS + step) * 4 + j) * WARP + p->g * 4 + p->q];
                const uint32_t b[2] = {w.x, w.y};
                mma_bf16(sum[j], high[step], b);
                if (step < B::LOW_STEPS)
                    mma_bf16(sum[j], low[step], b);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int token = p->g + 8 * half;
            const float *c = s->coefficients + token * B::DOTS, *sent = q + token * B::SENT + S::PRODUCTS;
            float factor = sent[set], inverse = sent[S::SETS + set], dx[OCTET];
#pragma unroll
            for (int e = 0; e < OCTET; e++) {
                uint32_t own = word_of(&x[i].row[half], e / 2), branch = word_of(&du->row[half], e / 2);
                /* Not one factor: through_norm / r^2 would overflow for small x, and x / r does not. */
                dx[e] = fmaf(-factor, (e % 2 ? high_bf16(own) : low_bf16(own)) * inverse, sum[e / 2][2 * half + e % 2]);
                dx[e] = fmaf(c[i], e % 2 ? high_bf16(branch) : low_bf16(branch), dx[e]);
#pragma unroll
                for (int a = 0; a < N; a++) {
                    uint32_t grad = word_of(&g[a].row[half], e / 2);
                    float v = e % 2 ? high_bf16(grad) : low_bf16(grad);
                    if (S::RES)
                        dx[e] = fmaf(c[2 * N + a * N + i], v, dx[e]);
                    else if (a == i)
                        dx[e] += v;
                }
            }
            uint4 rounded = pack(dx);
            if (first_token + token < f->T && p->inside)
                *(uint4 *)(f->dx + ((first_token + token) * N + i) * f->C + p->channel) = rounded;
            if (f->dy_below) {
                unpack(&rounded, dx);
                float weight = s->below[token * N + i];
                for (int e = 0; e < OCTET; e++)
                    below[half][e] = i == 0 ? weight * dx[e] : fmaf(weight, dx[e], below[half][e]);
            }
        }
    }
    for (int half = 0; half < 2 && f->dy_below; half++)
        if (first_token + p->g + 8 * half < f->T && p->inside)
            store_octet(f->dy_below + (first_token + p->g + 8 * half) * f->C + p->channel, below[half]);
}

template <int N, int KIND, int WARPS>
static __global__ void __launch_bounds__(WARPS * WARP, 1) backward_kernel(struct backward f) {
    int warps = (int)blockDim.x / WARP, size = cluster_size();
    int64_t cluster = blockIdx.x / size, clusters = gridDim.x / size;
    struct backward_shared<N, KIND> s(warps);
    struct lane_place p = lane_place_of(f.C, f.slice);
    load_weights<N, KIND>(&f, s.weights, warps);
    /* Nobody may write into a block's memory before the block has begun. */
    cluster_arrive();
    cluster_wait();
    for (int64_t first = cluster * TILE; first < f.T; first += clusters * TILE) {
        struct piece x[N], g[N], y, du;
        int64_t next = first + clusters * TILE;
        for (int i = 0; i < N; i++) {
            x[i] = load_piece(f.x, N, i, f.T, f.C, first, &p);
            g[i] = load_piece(f.g, N, i, f.T, f.C, first, &p);
        }
        y = load_piece(f.y, 1, 0, f.T, f.C, first, &p);
        du = load_piece(f.du, 1, 0, f.T, f.C, first, &p);
        load_coefficients<N, KIND>(&f, &s, first);
        for (int i = 0; i < N; i++) {
            prefetch_piece(f.x, N, i, f.T, f.C, next, &p);
            prefetch_piece(f.g, N, i, f.T, f.C, next, &p);
        }
        prefetch_piece(f.y, 1, 0, f.T, f.C, next, &p);
        prefetch_piece(f.du, 1, 0, f.T, f.C, next, &p);
        multiply<N, KIND>(x, g, &y, &du, &p, s.partial + p.warp * TILE * backward_sums<N, KIND>::DOTS);
        __syncthreads();
        send_dots<N, KIND>(&s, warps);
        cluster_arrive();
        cluster_wait();
        add_dots<N, KIND>(&s);
        __syncthreads();
        make_q<N, KIND>(&f, &s, first);
        __syncthreads();
        send_q<N, KIND>(&s);
        cluster_arrive();
        cluster_wait();
        store_gradient<N, KIND>(&f, &s, x, g, &du, warps, first, &p);
        __syncthreads(); /* before the next tile's coefficients */
    }
}
