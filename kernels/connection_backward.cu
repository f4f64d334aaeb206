/* Backward of x_next = res.x + post^T.y and u = pre.x.
 *
 *   traffic per token, n = 4, bf16     gradients of the coefficients 20C bytes     gradient of the streams 26C;
 *   weights from L2 for every block of tokens
 *
 * Coefficients: one block per token, all its sums in registers, or a few rows of res at a time where they are many.
 * Streams: a warp sixteen tokens, in the layout of mma's result, so that q.W^T is just where the rest of the sum is
 * made. */
#include "kernels/connection_backward.h"

/* --- gradients of the coefficients --- */

/* Streams i whose sums fit the registers together, and sums of each: <x_i,du>, <y,g_i>, <g_i,x_j>. At most a warp's
 * lanes altogether. */
template <int N, bool IDENTITY> struct group {
    static constexpr int ROWS = N == 0 ? 1 : IDENTITY || N <= 4 ? N : 2;
    static constexpr int VALUES = IDENTITY ? 2 : ROOM(N) + 2;
};

template <int W> static __device__ __forceinline__ float add_dot(const float *a, const float *b, float sum) {
#pragma unroll
    for (int w = 0; w < W; w++)
        sum = fmaf(a[w], b[w], sum);
    return sum;
}

/* A lane gives one of two values to the lane STEP away, and adds what it gets to the other: half as many values, each
 * of twice as many lanes. */
template <int STEP> static __device__ __forceinline__ void halve(float value[WARP]) {
    bool upper = threadIdx.x & STEP;
#pragma unroll
    for (int k = 0; k < STEP; k++) {
        float given = upper ? value[k] : value[k + STEP], kept = upper ? value[k + STEP] : value[k];
        value[k] = kept + shuffle_xor(given, STEP);
    }
}

/* Lane k gets the sum of value k over the lanes. */
static __device__ __forceinline__ float spread_sum(float value[WARP]) {
    halve<16>(value);
    halve<8>(value);
    halve<4>(value);
    halve<2>(value);
    halve<1>(value);
    return value[0];
}

/* The thread's share of the sums of streams i, i+1 .. of a token. */
template <typename T, int N, int W, bool IDENTITY>
static __device__ __forceinline__ void add_group(int n, int C, int i, const T *g, const T *x, const T *y, const T *du,
                                                 float sum[WARP]) {
    constexpr int ROWS = group<N, IDENTITY>::ROWS, VALUES = group<N, IDENTITY>::VALUES;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float left[ROWS][W], branch[W], below[W], right[W];
        load_channels<W>(y + c, branch);
        load_channels<W>(du + c, below);
#pragma unroll
        for (int a = 0; a < ROWS; a++) {
            load_channels<W>(g + (int64_t)(i + a) * C + c, left[a]);
            sum[a * VALUES + 1] = add_dot<W>(branch, left[a], sum[a * VALUES + 1]);
        }
#pragma unroll
        for (int j = 0; j < ROOM(N); j++) {
            if (j >= n || (IDENTITY && (j < i || j >= i + ROWS)))
                continue;
            load_channels<W>(x + (int64_t)j * C + c, right);
#pragma unroll
            for (int a = 0; a < ROWS; a++) {
                if (j == i + a)
                    sum[a * VALUES] = add_dot<W>(right, below, sum[a * VALUES]);
                if (!IDENTITY)
                    sum[a * VALUES + 2 + j] = add_dot<W>(left[a], right, sum[a * VALUES + 2 + j]);
            }
        }
    }
}

template <typename T, int N, int W, bool IDENTITY>
static __global__ void __launch_bounds__(256) coefficients_kernel(int n_any, int C, int columns, const T *g, const T *x,
                                                                  const T *y, const T *du, float *grad_coef) {
    constexpr int ROWS = group<N, IDENTITY>::ROWS, VALUES = group<N, IDENTITY>::VALUES;
    float(*part)[WARP] = (float(*)[WARP])shared_memory();
    const int n = STREAMS(N, n_any), lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t t = blockIdx.x;
    for (int i = 0; i < n; i += ROWS) {
        float sum[WARP] = {};
        add_group<T, N, W, IDENTITY>(n, C, i, g + t * n * C, x + t * n * C, y + t * C, du + t * C, sum);
        part[warp][lane] = spread_sum(sum);
        __syncthreads();
        int row = i + lane / VALUES, value = lane % VALUES;
        if (warp == 0 && lane < ROWS * VALUES && row < n && value < n + 2) {
            float total = part[0][lane];
            for (int w = 1; w < (int)blockDim.x / WARP; w++)
                total += part[w][lane];
            grad_coef[t * columns + (value < 2 ? value * n + row : 2 * n + row * n + value - 2)] = total;
        }
        __syncthreads();
    }
}

template <typename T, int N, int W, bool IDENTITY>
static int start_coefficients(struct device *d, void *queue, const struct mhc_case *c, const void *g, const void *x,
                              const void *y, const void *du, float *grad_coef) {
    unsigned threads = token_threads(c->C, W);
    int n = (int)c->n, columns = IDENTITY ? 2 * n : n * n + 2 * n;
    return CHECKED(d, LAUNCH((coefficients_kernel<T, N, W, IDENTITY>), (unsigned)c->T, threads, threads * sizeof(float),
                             queue, n, (int)c->C, columns, (const T *)g, (const T *)x, (const T *)y, (const T *)du,
                             grad_coef));
}

template <typename T, int N>
static int choose_coefficients(struct device *d, void *queue, const struct mhc_case *c, bool identity, const void *g,
                               const void *x, const void *y, const void *du, float *grad_coef) {
    if (c->C % OCTET)
        return identity ? start_coefficients<T, N, 1, true>(d, queue, c, g, x, y, du, grad_coef)
                        : start_coefficients<T, N, 1, false>(d, queue, c, g, x, y, du, grad_coef);
    return identity ? start_coefficients<T, N, OCTET, true>(d, queue, c, g, x, y, du, grad_coef)
                    : start_coefficients<T, N, OCTET, false>(d, queue, c, g, x, y, du, grad_coef);
}

int gpu_coefficient_gradients(struct device *d, void *queue, const struct mhc_case *c, bool identity, const void *g,
                              const void *x, const void *y, const void *du, float *grad_coef) {
#define CALL(T, N) choose_coefficients<T, N>(d, queue, c, identity, g, x, y, du, grad_coef)
    return FOR_STREAMS(c, CALL);
#undef CALL
}

/* --- gradient of the streams --- */

enum { TILE = 16, MOST_WARPS = 8, STEP = 16, BLOCKS_A_PROCESSOR = 4, MOST_GRID_Y = 65535 };

struct stream_plan {
    int64_t T;
    int n, C, columns, steps;  /* steps of STEP columns, 0 without q */
    int q_units, weight_units; /* streams that have a q, rows of weights, of their own */
    int spans, spans_a_block;
};

static struct stream_plan plan_of(const struct mhc_case *c, int rows_a_token, int columns) {
    struct stream_plan p = {};
    p.T = c->T, p.n = (int)c->n, p.C = (int)c->C, p.columns = columns;
    p.steps = rows_a_token ? (int)blocks_of(columns, STEP) : 0;
    p.q_units = rows_a_token;
    p.weight_units = rows_a_token == 1 ? p.n : 1; /* a single stream: both are one */
    p.spans = (int)blocks_of(p.C, SPAN);
    return p;
}

static int64_t q_operands(const struct stream_plan *p) {
    return blocks_of(p->T, TILE) * p->q_units * p->steps * 2 * WARP;
}
static int64_t weight_operands(const struct stream_plan *p) {
    return (int64_t)p->weight_units * p->spans * p->steps * 4 * WARP;
}

/* q as the left operand, [tile of tokens][unit][step][hi, lo][lane]; 0 outside. */
static __global__ void q_kernel(struct stream_plan p, int64_t count, const float *q, uint4 *operand) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int lane = (int)(at % WARP), step = (int)(at / WARP % p.steps);
    int64_t unit = at / WARP / p.steps % p.q_units, tile = at / WARP / p.steps / p.q_units;
    float v[8];
    for (int e = 0; e < 8; e++) { /* word e/2: rows g, g+8, then the same rows eight columns on */
        int64_t t = tile * TILE + lane / 4 + e / 2 % 2 * 8;
        int column = step * STEP + lane % 4 * 2 + e / 4 * 8 + e % 2;
        v[e] = t < p.T && column < p.columns ? q[(t * p.q_units + unit) * p.columns + column] : 0;
    }
    uint4 hi, lo;
    split_pair(v[0], v[1], &hi.x, &lo.x);
    split_pair(v[2], v[3], &hi.y, &lo.y);
    split_pair(v[4], v[5], &hi.z, &lo.z);
    split_pair(v[6], v[7], &hi.w, &lo.w);
    operand[at / WARP * 2 * WARP + lane] = hi;
    operand[(at / WARP * 2 + 1) * WARP + lane] = lo;
}

/* Weights as the right operand, [unit][span][step][quarter][lane]: column g of quarter w is channel 8 (g/2) + 2 w + g%2
 * of the span, so that a lane's results, columns 2q and 2q+1 of the four quarters, are eight neighbouring channels. */
static __global__ void weights_kernel(struct stream_plan p, int64_t count, struct weights weights, uint4 *operand) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    int lane = (int)(at % WARP), quarter = (int)(at / WARP % 4), step = (int)(at / WARP / 4 % p.steps);
    int64_t span = at / WARP / 4 / p.steps % p.spans, unit = at / WARP / 4 / p.steps / p.spans;
    int g = lane / 4;
    int64_t channel = span * SPAN + g / 2 * OCTET + quarter * 2 + g % 2;
    float v[4];
    for (int e = 0; e < 4; e++) {
        int column = step * STEP + lane % 4 * 2 + e / 2 * 8 + e % 2;
        v[e] = channel < p.C && column < p.columns ? *weight_at(&weights, unit * p.C + channel, column) : 0;
    }
    uint4 w;
    split_pair(v[0], v[1], &w.x, &w.z);
    split_pair(v[2], v[3], &w.y, &w.w);
    operand[at] = w;
}

/* q.W^T of sixteen tokens and a span. */
static __device__ __forceinline__ void multiply(int steps, const uint4 *q, const uint4 *w, float d[4][4]) {
    int lane = (int)threadIdx.x % WARP;
#pragma unroll 1
    for (int s = 0; s < steps; s++) {
        uint4 hi = q[2 * s * WARP + lane], lo = q[(2 * s + 1) * WARP + lane];
        uint32_t a_hi[4] = {hi.x, hi.y, hi.z, hi.w}, a_lo[4] = {lo.x, lo.y, lo.z, lo.w};
#pragma unroll
        for (int quarter = 0; quarter < 4; quarter++) {
            uint4 b = w[(4 * s + quarter) * WARP + lane];
            uint32_t b_hi[2] = {b.x, b.y}, b_lo[2] = {b.z, b.w};
            mma_bf16(d[quarter], a_hi, b_hi);
            mma_bf16(d[quarter], a_lo, b_hi);
            mma_bf16(d[quarter], a_hi, b_lo);
        }
    }
}

template <typename T, bool WIDE>
static __device__ __forceinline__ void store_left(T *to, const float from[OCTET], int64_t left) {
    if (WIDE && left > 0)
        store_octet(to, from);
#pragma unroll
    for (int k = 0; k < OCTET && !WIDE; k++)
        if (k < left)
            to[k] = from_float<T>(from[k]);
}

/* A lane's eight channels of one token. g waits in registers where the streams are few enough, and comes from L1 again
 * where not. */
template <typename T, int N> struct token_octets {
    static constexpr bool KEPT = N > 0 && N * sizeof(T) <= 8;
    struct octet<T> g[KEPT ? N : 1], du;
};

template <typename T, int N, bool WIDE>
static __device__ __forceinline__ void load_token(const struct stream_plan *p, const struct stream_gradient *s,
                                                  int64_t t, int c, struct token_octets<T, N> *o) {
    o->du = load_raw<T, WIDE>((const T *)s->du + t * p->C + c, p->C - c);
#pragma unroll
    for (int j = 0; j < N && token_octets<T, N>::KEPT; j++)
        o->g[j] = load_raw<T, WIDE>((const T *)s->g + (t * N + j) * p->C + c, p->C - c);
}

/* sum += a x */
template <typename T>
static __device__ __forceinline__ void add_scaled(float a, const struct octet<T> *x, float sum[OCTET]) {
    float v[OCTET];
    octet_floats(x, v);
#pragma unroll
    for (int k = 0; k < OCTET; k++)
        sum[k] = fmaf(a, v[k], sum[k]);
}

/* sum holds q.W^T of stream i and becomes its gradient. */
template <typename T, int N, bool WIDE>
static __device__ __forceinline__ void add_streams(const struct stream_plan *p, const struct stream_gradient *s,
                                                   int64_t t, int i, int c, const struct token_octets<T, N> *o,
                                                   float sum[OCTET]) {
    const int n = STREAMS(N, p->n), left = p->C - c;
#pragma unroll
    for (int j = 0; j < n; j++) {
        if (!s->res && j != i)
            continue;
        struct octet<T> other = token_octets<T, N>::KEPT
                                    ? o->g[token_octets<T, N>::KEPT ? j : 0]
                                    : load_raw<T, WIDE>((const T *)s->g + (t * n + j) * p->C + c, left);
        add_scaled(s->res ? s->res[(t * n + j) * n + i] : 1.0f, &other, sum);
    }
    add_scaled(s->pre[t * n + i], &o->du, sum);
    if (!p->q_units)
        return;
    float2 norm = s->norm[p->q_units == 1 ? t : t * n + i];
    float x[OCTET];
    struct octet<T> own = load_raw<T, WIDE>((const T *)s->x + (t * n + i) * p->C + c, left);
    octet_floats(&own, x);
#pragma unroll
    for (int k = 0; k < OCTET; k++)
        sum[k] = fmaf(-norm.x, x[k] * norm.y, sum[k]);
}

/* A warp sixteen tokens, g and g+8 the lane's; those past the end work on the last one, and are not stored. */
template <typename T, int N, bool WIDE>
static __global__ void __launch_bounds__(MOST_WARPS *WARP, 2)
    streams_kernel(struct stream_plan p, struct stream_gradient s, const uint4 *q, const uint4 *w) {
    const int n = STREAMS(N, p.n), lane = (int)threadIdx.x % WARP;
    int64_t tile = (int64_t)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, first = tile * TILE + lane / 4;
    if (tile * TILE >= p.T)
        return;
    int64_t t[2] = {first < p.T ? first : p.T - 1, first + 8 < p.T ? first + 8 : p.T - 1};
    int span = (int)blockIdx.y * p.spans_a_block,
        end = span + p.spans_a_block < p.spans ? span + p.spans_a_block : p.spans;
    q += tile * p.q_units * p.steps * 2 * WARP;
    for (; span < end; span++) {
        int c = span * SPAN + lane % 4 * OCTET;
        struct token_octets<T, N> o[2];
        load_token<T, N, WIDE>(&p, &s, t[0], c, &o[0]);
        load_token<T, N, WIDE>(&p, &s, t[1], c, &o[1]);
#pragma unroll 1 /* all at once would not fit the registers */
        for (int i = 0; i < n; i++) {
            float d[4][4] = {};
            multiply(p.steps, q + (int64_t)(p.q_units == 1 ? 0 : i) * p.steps * 2 * WARP,
                     w + ((int64_t)(p.weight_units == 1 ? 0 : i) * p.spans + span) * p.steps * 4 * WARP, d);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float sum[OCTET];
#pragma unroll
                for (int k = 0; k < OCTET; k++)
                    sum[k] = d[k / 2][2 * half + k % 2];
                add_streams<T, N, WIDE>(&p, &s, t[half], i, c, &o[half], sum);
                if (first + 8 * half < p.T)
                    store_left<T, WIDE>((T *)s.dx + (t[half] * n + i) * p.C + c, sum, p.C - c);
            }
        }
    }
}

template <typename T, int N>
static int start_streams(struct device *d, void *queue, const struct stream_plan *p, const struct stream_gradient *s,
                         const uint4 *q, const uint4 *w) {
    int64_t tiles = blocks_of(p->T, TILE), warps = tiles < MOST_WARPS ? tiles : (int64_t)MOST_WARPS,
            blocks = blocks_of(tiles, warps);
    int64_t wanted = parts_at_once(d, BLOCKS_A_PROCESSOR, blocks);
    wanted = wanted < MOST_GRID_Y ? wanted : (int64_t)MOST_GRID_Y;
    struct stream_plan split = *p;
    split.spans_a_block = (int)blocks_of(p->spans, wanted);
    dim3 grid((unsigned)blocks, (unsigned)blocks_of(p->spans, split.spans_a_block));
    unsigned threads = (unsigned)warps * WARP;
    if (p->C % OCTET)
        return CHECKED(d, LAUNCH((streams_kernel<T, N, false>), grid, threads, 0, queue, split, *s, q, w));
    return CHECKED(d, LAUNCH((streams_kernel<T, N, true>), grid, threads, 0, queue, split, *s, q, w));
}

int gpu_stream_gradient(struct device *d, void *queue, const struct mhc_case *c, const struct stream_gradient *s,
                        void *work) {
    struct stream_plan p = plan_of(c, s->rows_a_token, s->weights.columns);
    uint4 *q = (uint4 *)work, *w = q + q_operands(&p);
    const int block = 128;
    int64_t q_threads = q_operands(&p) / 2, w_threads = weight_operands(&p);
    if (p.steps &&
        (CHECKED(d, LAUNCH(q_kernel, (unsigned)blocks_of(q_threads, block), block, 0, queue, p, q_threads, s->q, q)) ||
         CHECKED(d, LAUNCH(weights_kernel, (unsigned)blocks_of(w_threads, block), block, 0, queue, p, w_threads,
                           s->weights, w))))
        return 1;
#define CALL(T, N) start_streams<T, N>(d, queue, &p, s, (const uint4 *)q, (const uint4 *)w)
    return FOR_STREAMS(c, CALL);
#undef CALL
}

int64_t gpu_stream_gradient_work_bytes(const struct mhc_case *c, int rows_a_token, int columns) {
    struct stream_plan p = plan_of(c, rows_a_token, columns);
    return (q_operands(&p) + weight_operands(&p)) * (int64_t)sizeof(uint4);
}
