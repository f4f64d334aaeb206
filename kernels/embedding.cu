/* Tokens to streams, x0[t] = table[tokens[t]] + positions[t mod S], and back.
 *
 * Forward: one block handles one token, and a load takes 16 bytes. Blocks that follow each other take the same position
 * of all sequences, so that memory brings `positions` once.
 *
 * Backward: grad_table is mostly zeros, so it is first filled, at the speed of a copy, and only rows that occur are
 * touched again. Their sums over tokens have one order, that of the tokens, without atomics and without a sort: a block
 * owns the rows v with v mod groups = its own, in a slice of the channels. It walks over all tokens, 4 bytes each and
 * from L2 or L1, and lists its own; then a warp takes each row of the list, at its first token, and adds up its tokens.
 * Rows of neighbouring numbers, where the frequent tokens of a vocabulary are, belong to different blocks. A counting
 * pass would need a histogram of the whole vocabulary and a scan of it, for as little as 4T bytes. grad_positions
 * is a sum over sequences, a warp for a position and 32 octets of channels.
 *
 * A token outside the vocabulary makes NaN: in the forward its x0, in the backward the gradient of its position.
 *
 *   traffic per token, bf16, S = T      forward 4 + 10C bytes      backward 4 + 8C (2C more from L2), and 4VC in all
 */
#include "kernels/branch.h"

enum {
    FILL_THREADS = 256,
    FILLS = 4, /* of 16 bytes, per thread */
    THREADS = 256,
    QUAD = 4, /* tokens per load */
    STEP = THREADS * QUAD,
    LIST = 2 * STEP, /* tokens of a block that wait to be added */
    LANES = 8,       /* that take a token's slice: 8 of its octets, 128 bytes of bf16 */
    AT_ONCE = WARP / LANES,
    AHEAD = 4,       /* loads per turn */
    QUEUE = 2 * WARP /* tokens of a row, in a warp */
};

static __device__ __forceinline__ bool is_known(int32_t token, int V) {
    return (uint32_t)token < (uint32_t)V;
}

/* --- forward --- */

template <typename T, int W>
static __global__ void forward_kernel(unsigned S, unsigned sequences, int V, int C, const int32_t *index,
                                      const float *table, const float *positions, T *x0) {
    int64_t p = blockIdx.x / sequences, t = (int64_t)(blockIdx.x % sequences) * S + p;
    int32_t token = index[t];
    bool known = is_known(token, V);
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float a[W], b[W];
        load_channels<W>(positions + p * C + c, b);
        if (known)
            load_channels<W>(table + (int64_t)token * C + c, a);
#pragma unroll
        for (int w = 0; w < W; w++)
            a[w] = known ? a[w] + b[w] : NAN;
        store_channels<W>(x0 + t * C + c, a);
    }
}

template <typename T, int W>
static int start_forward(struct device *d, void *queue, const struct mhc_case *c,
                         const struct embedding_forward_args *a) {
    int64_t S = mhc_sequence(c);
    return CHECKED(d, LAUNCH((forward_kernel<T, W>), (unsigned)c->T, token_threads(c->C, W), 0, queue, (unsigned)S,
                             (unsigned)(c->T / S), (int)c->vocabulary, (int)c->C, (const int32_t *)a->tokens,
                             (const float *)a->table, (const float *)a->positions, (T *)a->x0));
}

/* --- backward: the positions --- */

/* Position p of the sequences, in their order. */
template <typename T, int W>
static __global__ void positions_kernel(int64_t tokens, int64_t S, int V, int C, int slices, const int32_t *index,
                                        const T *grad_x0, float *grad_positions) {
    int64_t p = blockIdx.x / (unsigned)slices;
    int c = (int)((blockIdx.x % (unsigned)slices) * WARP + threadIdx.x) * W;
    if (c >= C)
        return;
    float sum[W] = {};
    bool known = true;
    for (int64_t t = p; t < tokens; t += AHEAD * S) {
        float x[AHEAD][W];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int64_t at = t + i * S < tokens ? t + i * S : t;
            load_channels<W>(grad_x0 + at * C + c, x[i]);
            known &= is_known(index[at], V);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int w = 0; w < W; w++)
                sum[w] += t + i * S < tokens ? x[i][w] : 0;
    }
#pragma unroll
    for (int w = 0; w < W; w++)
        sum[w] = known ? sum[w] : NAN;
    store_channels<W>(grad_positions + p * C + c, sum);
}

template <typename T, int W>
static int start_positions(struct device *d, void *queue, const struct mhc_case *c,
                           const struct embedding_backward_args *a) {
    int64_t S = mhc_sequence(c), slices = blocks_of(c->C, WARP * W);
    return CHECKED(d, LAUNCH((positions_kernel<T, W>), (unsigned)(S * slices), WARP, 0, queue, c->T, S,
                             (int)c->vocabulary, (int)c->C, (int)slices, (const int32_t *)a->tokens,
                             (const T *)a->grad_x0, (float *)a->grad_positions));
}

/* --- backward: the table --- */

static __global__ void fill_kernel(int64_t count, float *zeros) {
    float4 *quads = (float4 *)zeros;
    int64_t all = count / 4, first = (int64_t)blockIdx.x * FILL_THREADS * FILLS + threadIdx.x;
#pragma unroll
    for (int i = 0; i < FILLS; i++)
        if (first + i * FILL_THREADS < all)
            quads[first + i * FILL_THREADS] = make_float4(0, 0, 0, 0);
    if (first < count % 4)
        zeros[all * 4 + first] = 0;
}

/* The rows of a block: v with v mod 2^bits = `first`. */
struct rows {
    int V, bits, first;
};
static __device__ __forceinline__ bool is_mine(const struct rows *r, int32_t token) {
    return is_known(token, r->V) && (token & ((1 << r->bits) - 1)) == r->first;
}

/* What a block knows of the tokens it has walked over. */
struct list {
    int32_t token[LIST], row[LIST];
    uint32_t room[WARP];
    int32_t queue[THREADS / WARP][QUEUE];
};

/* The place of this thread's first among `mine` of each thread of the block, in their order, and the sum of all. */
static __device__ __forceinline__ uint32_t place_of(uint32_t mine, uint32_t *room, uint32_t *all) {
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    uint32_t up_to = mine;
    for (int step = 1; step < WARP; step *= 2) {
        uint32_t before = shuffle(up_to, lane - step);
        up_to += lane >= step ? before : 0;
    }
    if (lane == WARP - 1)
        room[warp] = up_to;
    __syncthreads();
    uint32_t place = up_to - mine;
    *all = 0;
    for (int w = 0; w < THREADS / WARP; w++) {
        place += w < warp ? room[w] : 0;
        *all += room[w];
    }
    return place;
}

/* Appends those of STEP tokens that are the block's; the new length. */
static __device__ __forceinline__ int append(const struct rows *r, int64_t tokens, int64_t from, const int32_t *index,
                                             struct list *list, int length) {
    int64_t t = from + (int64_t)threadIdx.x * QUAD;
    int32_t token[QUAD] = {-1, -1, -1, -1};
    if (t + QUAD <= tokens) {
        uint4 four = *(const uint4 *)(index + t);
        token[0] = (int32_t)four.x, token[1] = (int32_t)four.y, token[2] = (int32_t)four.z, token[3] = (int32_t)four.w;
    } else {
#pragma unroll
        for (int i = 0; i < QUAD; i++)
            token[i] = t + i < tokens ? index[t + i] : -1;
    }
    uint32_t mine = 0, all;
#pragma unroll
    for (int i = 0; i < QUAD; i++)
        mine += is_mine(r, token[i]);
    int at = length + (int)place_of(mine, list->room, &all);
#pragma unroll
    for (int i = 0; i < QUAD; i++)
        if (is_mine(r, token[i])) {
            list->token[at] = (int32_t)(t + i);
            list->row[at++] = token[i];
        }
    __syncthreads();
    return length + (int)all;
}

/* Adds the slices of the queued tokens: lanes LANES q and on take tokens q, q + AT_ONCE, ..., each in this order. */
template <typename T, int W>
static __device__ __forceinline__ void add_queue(const int32_t *queue, int length, int C, int c, const T *grad_x0,
                                                 float sum[W]) {
    int part = (int)threadIdx.x % WARP / LANES;
    for (int k = part; k < length && c < C; k += AT_ONCE * AHEAD) {
        float x[AHEAD][W];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) { /* no branch, so that all loads are under way at once */
            int at = k + i * AT_ONCE < length ? k + i * AT_ONCE : k;
            load_channels<W>(grad_x0 + (int64_t)queue[at] * C + c, x[i]);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int w = 0; w < W; w++)
                sum[w] += k + i * AT_ONCE < length ? x[i][w] : 0;
    }
}

/* The row of entry e of the list, by one warp, unless an entry before it is of that row. */
template <typename T, int W>
static __device__ __forceinline__ void add_row(const struct list *list, int length, int e, int32_t *queue, int C, int c,
                                               const T *grad_x0, float *grad_table) {
    int lane = (int)threadIdx.x % WARP, queued = 0;
    int32_t row = list->row[e];
    float sum[W] = {};
    for (int k = 0; k < length; k += WARP) {
        bool same = k + lane < length && list->row[k + lane] == row;
        uint32_t all = lanes_where(same);
        if (k <= e && lanes_where(same && k + lane < e))
            return;
        if (same)
            queue[queued + set_bits(all & ((1u << lane) - 1))] = list->token[k + lane];
        queued += set_bits(all);
        __syncwarp();
        if (queued > QUEUE - WARP || k + WARP >= length) {
            add_queue<T, W>(queue, queued, C, c, grad_x0, sum);
            queued = 0;
            __syncwarp();
        }
    }
#pragma unroll
    for (int w = 0; w < W; w++)
        for (int step = LANES; step < WARP; step *= 2)
            sum[w] += shuffle_xor(sum[w], step);
    if (lane >= LANES || c >= C)
        return;
    float *to = grad_table + (int64_t)row * C + c, before[W];
    load_channels<W>(to, before);
#pragma unroll
    for (int w = 0; w < W; w++)
        sum[w] += before[w];
    store_channels<W>(to, sum);
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    table_kernel(int64_t tokens, int V, int C, int bits, const int32_t *index, const T *grad_x0, float *grad_table) {
    struct list *list = (struct list *)shared_memory();
    struct rows r = {V, bits, (int)(blockIdx.x & ((1u << bits) - 1))};
    int warp = (int)threadIdx.x / WARP, length = 0;
    int c = (int)((blockIdx.x >> bits) * LANES + threadIdx.x % LANES) * W;
    for (int64_t from = 0; from < tokens; from += STEP) {
        length = append(&r, tokens, from, index, list, length);
        if (length <= LIST - STEP && from + STEP < tokens)
            continue;
        for (int e = warp; e < length; e += THREADS / WARP)
            add_row<T, W>(list, length, e, list->queue[warp], C, c, grad_x0, grad_table);
        length = 0;
        __syncthreads();
    }
}

/* The logarithm of the number of groups of rows. What a block spends on its walk over T tokens and on the list of T /
 * groups of them is about the same at the root of 4T groups; more where the slices are too few for the device, and
 * never more than rows or tokens. */
static int group_bits(const struct mhc_case *c, int64_t slices) {
    enum { WANTED_BLOCKS = 1024 };
    int bits = 0;
    while ((INT64_C(2) << bits) <= c->vocabulary && (INT64_C(1) << bits) < c->T &&
           ((INT64_C(1) << 2 * bits) < 4 * c->T || slices << bits < WANTED_BLOCKS))
        bits++;
    return bits;
}

template <typename T, int W>
static int start_backward(struct device *d, void *queue, const struct mhc_case *c,
                          const struct embedding_backward_args *a) {
    int64_t slices = blocks_of(c->C, LANES * W), count = c->vocabulary * c->C;
    int bits = group_bits(c, slices);
    return start_positions<T, W>(d, queue, c, a) ||
           CHECKED(d, LAUNCH(fill_kernel, (unsigned)blocks_of(blocks_of(count, 4), FILL_THREADS * FILLS), FILL_THREADS,
                             0, queue, count, (float *)a->grad_table)) ||
           CHECKED(d, LAUNCH((table_kernel<T, W>), (unsigned)(slices << bits), THREADS, sizeof(struct list), queue,
                             c->T, (int)c->vocabulary, (int)c->C, bits, (const int32_t *)a->tokens,
                             (const T *)a->grad_x0, (float *)a->grad_table));
}

/* --- rows --- */

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case one = *c; /* streams begin behind the embedding */
    one.n = 1;
    if (!gpu_supports(&one, why))
        return false;
    if (c->vocabulary < 1 || c->vocabulary > (INT64_C(1) << 40) / c->C || c->vocabulary > INT32_MAX / 2)
        return *why = "the vocabulary must be at least 1, and V C below 2^40", false;
    if (c->S < 0 || c->T % mhc_sequence(c))
        return *why = "T must be a multiple of S", false;
    if (mhc_sequence(c) * blocks_of(c->C, WARP) > INT32_MAX)
        return *why = "S C / 32 must be below 2^31", false;
    return true;
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct embedding_forward_args *a = (const struct embedding_forward_args *)arg;
#define CALL(T, W) start_forward<T, W>(d, queue, c, a)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct embedding_backward_args *a = (const struct embedding_backward_args *)arg;
#define CALL(T, W) start_backward<T, W>(d, queue, c, a)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

GPU_ROW(embedding_forward) = {MHC_OPERATION(embedding_forward), .supports = supports, .tolerance = gpu_tolerance,
                              .run = forward};

GPU_ROW(embedding_backward) = {MHC_OPERATION(embedding_backward), .supports = supports, .tolerance = gpu_tolerance,
                               .run = backward};
