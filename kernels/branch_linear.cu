/* Branch `linear`: y = RMSNorm(u).w, and the RMSNorm and the rounding of weights of all branches. Keeps nothing: the backward
 * normalises again. */
#include "kernels/branch.h"

/* --- RMSNorm --- */

/* u / r without overflow or underflow on the way: (u scale) inverse, scale a power of two. */
struct reciprocal {
    float scale, inverse;
};
static __device__ __forceinline__ struct reciprocal reciprocal_of(float r) {
    struct reciprocal by = {r > 0x1p64f ? 0x1p-64f : r < 0x1p-64f ? 0x1p64f : 1.f, 0};
    by.inverse = r == 0 ? 0 : 1 / (r * by.scale);
    return by;
}
static __device__ __forceinline__ float over(float u, struct reciprocal r) {
    return u * r.scale * r.inverse;
}

/* Over the block, the same bits in every thread; `room` for WARP floats in shared memory. */
static __device__ __forceinline__ float block_sum(float x, float *room) {
    x = warp_sum(x);
    __syncthreads(); /* what was in `room` has been read */
    if (threadIdx.x % WARP == 0)
        room[threadIdx.x / WARP] = x;
    __syncthreads();
    float sum = room[0];
    for (unsigned w = 1; w < blockDim.x / WARP; w++)
        sum += room[w];
    return sum;
}
static __device__ __forceinline__ float block_max(float x, float *room) {
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0)
        room[threadIdx.x / WARP] = x;
    __syncthreads();
    float largest = room[0];
    for (unsigned w = 1; w < blockDim.x / WARP; w++)
        largest = fmaxf(largest, room[w]);
    return largest;
}

/* sum_c (u_c / by)^2 over the row of a block. */
template <typename T, int W> static __device__ __forceinline__ float square_sum(int C, const T *u, float by, float *room) {
    float sum = 0;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float x[W];
        load_channels<W>(u + c, x);
        for (int w = 0; w < W; w++) {
            x[w] = by == 1 ? x[w] : x[w] / by;
            sum = fmaf(x[w], x[w], sum);
        }
    }
    return block_sum(sum, room);
}

template <typename T, int W> static __device__ __forceinline__ float block_rms(int C, float eps, const T *u, float *room) {
    float mean = square_sum<T, W>(C, u, 1, room) / (float)C;
    if (mean > 0x1p-90f && mean < 0x1p120f)
        return sqrtf(mean + eps);
    if (mean != mean)
        return mean;
    /* Squares left the range of a float: again, as shares of the largest element. */
    float largest = 0;
    for (int c = (int)threadIdx.x; c < C; c += (int)blockDim.x)
        largest = fmaxf(largest, fabsf(to_float(u[c])));
    largest = block_max(largest, room);
    if (largest == 0 || largest > 0x1.fffffep127f)
        return sqrtf(largest + eps);
    return hypotf(largest * sqrtf(square_sum<T, W>(C, u, largest, room) / (float)C), sqrtf(eps));
}

template <typename T, int W>
static __global__ void normalise_kernel(int C, float eps, const T *u, const float *gain, float *r, T *v) {
    int64_t t = blockIdx.x;
    float rms = block_rms<T, W>(C, eps, u + t * C, (float *)shared_memory());
    struct reciprocal by = reciprocal_of(rms);
    if (threadIdx.x == 0)
        r[t] = rms;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float x[W], g[W];
        load_channels<W>(u + t * C + c, x);
        load_channels<W>(gain + c, g);
        for (int w = 0; w < W; w++)
            x[w] = over(x[w], by) * g[w];
        store_channels<W>(v + t * C + c, x);
    }
}

/* A block takes consecutive tokens and keeps their sums of grad_gain, each thread those of its own channels: in shared memory, or, where a row
 * is too long for it, in `partial` [blocks][C] at once. */
template <typename T, int W>
static __global__ void normalise_backward_kernel(int64_t tokens, int C, bool in_shared, const T *u, const float *gain,
                                                 const float *r, const T *grad_v, T *grad_u, float *partial) {
    float *room = (float *)shared_memory(), *sum = in_shared ? room + WARP : partial + (int64_t)blockIdx.x * C;
    int64_t from = tokens * blockIdx.x / gridDim.x, to = tokens * (blockIdx.x + 1) / gridDim.x;
    for (int64_t t = from; t < to; t++) {
        struct reciprocal by = reciprocal_of(r[t]);
        float x[W], g[W], a[W], s[W], dot = 0;
        for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
            load_channels<W>(u + t * C + c, x);
            load_channels<W>(grad_v + t * C + c, g);
            load_channels<W>(gain + c, a);
            if (t > from)
                load_channels<W>(sum + c, s);
            for (int w = 0; w < W; w++) {
                x[w] = over(x[w], by);
                dot = fmaf(g[w] * a[w], x[w], dot);
                s[w] = t > from ? fmaf(g[w], x[w], s[w]) : g[w] * x[w];
            }
            store_channels<W>(sum + c, s);
        }
        float mean = block_sum(dot, room) / (float)C;
        for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
            load_channels<W>(u + t * C + c, x);
            load_channels<W>(grad_v + t * C + c, g);
            load_channels<W>(gain + c, a);
            for (int w = 0; w < W; w++)
                g[w] = over(fmaf(-over(x[w], by), mean, g[w] * a[w]), by);
            store_channels<W>(grad_u + t * C + c, g);
        }
    }
    for (int c = (int)threadIdx.x * W; c < C && in_shared; c += (int)blockDim.x * W) {
        float s[W];
        load_channels<W>(sum + c, s);
        store_channels<W>(partial + (int64_t)blockIdx.x * C + c, s);
    }
}

/* The sum of the rows of `partial`: a block takes WARP channels, a warp every 32nd row, then the warps in order. */
static __global__ void sum_partials_kernel(int rows, int C, const float *partial, float *sum) {
    float(*room)[WARP] = (float(*)[WARP])shared_memory();
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP;
    int64_t c = (int64_t)blockIdx.x * WARP + lane;
    float mine = 0;
    for (int k = warp; k < rows && c < C; k += warps)
        mine += partial[(int64_t)k * C + c];
    room[warp][lane] = mine;
    __syncthreads();
    if (warp || c >= C)
        return;
    for (int w = 1; w < warps; w++)
        mine += room[w][lane];
    sum[c] = mine;
}

/* Threads for a row that is read several times: all of it in few turns. */
static unsigned row_threads(int64_t C, int W) {
    int64_t steps = blocks_of(C, W), turns = blocks_of(steps, 512);
    return (unsigned)(blocks_of(blocks_of(steps, turns), WARP) * WARP);
}

template <typename T, int W>
static int start_normalise(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain, float *r,
                           void *v) {
    return CHECKED(d, LAUNCH((normalise_kernel<T, W>), (unsigned)c->T, row_threads(c->C, W), WARP * sizeof(float), queue, (int)c->C,
                             (float)c->rms_eps, (const T *)u, gain, r, (T *)v));
}

/* CALL(T, W) for the streams of a case and rows of `columns`. */
#define FOR_ROWS(c, columns, CALL)                                                                                     \
    ((c)->stream == MHC_BF16 ? (columns) % OCTET ? CALL(struct bf16, 1) : CALL(struct bf16, OCTET)                     \
     : (columns) % OCTET     ? CALL(float, 1)                                                                          \
                             : CALL(float, OCTET))

int gpu_normalise(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain, float *r, void *v) {
#define CALL(T, W) start_normalise<T, W>(d, queue, c, u, gain, r, v)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

/* Rows of partial sums: enough blocks for any device, few enough to sum quickly. */
static int64_t partial_rows(const struct mhc_case *c) {
    return c->T < 512 ? c->T : 512;
}
int64_t normalise_partials(const struct mhc_case *c) {
    return partial_rows(c) * c->C;
}

template <typename T, int W>
static int start_normalise_backward(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain,
                                    const float *r, const void *grad_v, void *grad_u, float *partial) {
    int64_t bytes = (c->C + WARP) * (int64_t)sizeof(float);
    bool in_shared = bytes <= 48 * 1024;
    return CHECKED(d, LAUNCH((normalise_backward_kernel<T, W>), (unsigned)partial_rows(c), row_threads(c->C, W),
                             (size_t)(in_shared ? bytes : WARP * (int64_t)sizeof(float)), queue, c->T, (int)c->C, in_shared,
                             (const T *)u, gain, r, (const T *)grad_v, (T *)grad_u, partial));
}

int gpu_normalise_backward(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain, const float *r,
                           const void *grad_v, void *grad_u, float *grad_gain, float *partial) {
#define CALL(T, W) start_normalise_backward<T, W>(d, queue, c, u, gain, r, grad_v, grad_u, partial)
    if (FOR_ROWS(c, c->C, CALL))
        return 1;
#undef CALL
    int64_t rows = partial_rows(c), warps = rows < WARP ? rows : WARP;
    return CHECKED(d, LAUNCH(sum_partials_kernel, (unsigned)blocks_of(c->C, WARP), (unsigned)(warps * WARP),
                             (size_t)(warps * WARP) * sizeof(float), queue, (int)rows, (int)c->C, (const float *)partial,
                             grad_gain));
}

/* --- weights in the type of the streams --- */

template <typename T, int W> static __global__ void round_kernel(int columns, const float *w, T *rounded, int64_t ld) {
    int64_t row = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < columns; c += (int)blockDim.x * W) {
        float x[W];
        load_channels<W>(w + row * columns + c, x);
        store_channels<W>(rounded + row * ld + c, x);
    }
}

template <typename T, int W>
static int start_round(struct device *d, void *queue, const void *w, int64_t rows, int64_t columns, void *rounded, int64_t ld) {
    return CHECKED(d, LAUNCH((round_kernel<T, W>), (unsigned)rows, token_threads(columns, W), 0, queue, (int)columns,
                             (const float *)w, (T *)rounded, ld));
}

int gpu_round(struct device *d, void *queue, const struct mhc_case *c, const void *w, int64_t rows, int64_t columns, void *rounded,
              int64_t ld) {
#define CALL(T, W) start_round<T, W>(d, queue, w, rows, columns, rounded, ld)
    return FOR_ROWS(c, columns, CALL);
#undef CALL
}

/* --- the branch --- */

struct work {
    void *v, *w, *grad_v;
    float *r, *partial;
};
static struct work work_of(const struct mhc_case *c, void *base, bool backward, int64_t *bytes) {
    struct parts p = {(unsigned char *)base, 0};
    int64_t element = mhc_type_bytes(c->stream);
    struct work work = {};
    work.v = part(&p, c->T * c->C, element);
    work.w = weight_part(&p, c, c->C * c->C);
    work.r = (float *)part(&p, c->T, sizeof(float));
    if (backward) {
        work.grad_v = part(&p, c->T * c->C, element);
        work.partial = (float *)part(&p, normalise_partials(c), sizeof(float));
    }
    *bytes = p.used;
    return work;
}

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, scratch, false, &bytes);
    const void *w = arg[2];
    return gpu_normalise(d, queue, c, arg[0], (const float *)arg[1], work.r, work.v) || use_weight(d, queue, c, &w, C, C, work.w) ||
           product(d, queue, c, T, C, C, work.v, C, w, C, arg[3], C);
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *scratch) {
    struct device *d = device_of(context);
    int64_t T = c->T, C = c->C, bytes;
    struct work work = work_of(c, scratch, true, &bytes);
    const void *u = arg[0], *w = arg[2], *grad_y = arg[3];
    const float *gain = (const float *)arg[1];
    return gpu_normalise(d, queue, c, u, gain, work.r, work.v) || use_weight(d, queue, c, &w, C, C, work.w) ||
           product_weight(d, queue, c, C, C, T, work.v, C, grad_y, C, arg[6]) ||
           product_back(d, queue, c, T, C, C, grad_y, C, w, C, work.grad_v, C) ||
           gpu_normalise_backward(d, queue, c, u, gain, work.r, work.grad_v, arg[4], (float *)arg[5], work.partial);
}

static int64_t forward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, false, &bytes);
    return bytes;
}
static int64_t backward_work(const struct mhc_case *c) {
    int64_t bytes;
    work_of(c, NULL, true, &bytes);
    return bytes;
}
static double forward_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)(c->C + 2);
}
static double backward_flops(const struct mhc_case *c) {
    return 4.0 * (double)(c->T * c->C) * (double)(c->C + 3);
}

GPU_ROW(linear_forward) = {.name = "linear.forward",
                           .args = {{"u", "TC", MHC_STREAM, MHC_IN},
                                    {"gain", "C", MHC_PARAM, MHC_IN},
                                    {"w", "CC", MHC_PARAM, MHC_IN},
                                    {"y", "TC", MHC_STREAM, MHC_OUT}},
                           .supports = gpu_supports,
                           .work_bytes = forward_work,
                           .flops = forward_flops,
                           .tolerance = gpu_tolerance,
                           .run = forward};

GPU_ROW(linear_backward) = {.name = "linear.backward",
                            .args = {{"u", "TC", MHC_STREAM, MHC_IN},
                                     {"gain", "C", MHC_PARAM, MHC_IN},
                                     {"w", "CC", MHC_PARAM, MHC_IN},
                                     {"grad_y", "TC", MHC_STREAM, MHC_IN},
                                     {"grad_u", "TC", MHC_STREAM, MHC_OUT},
                                     {"grad_gain", "C", MHC_PARAM, MHC_OUT},
                                     {"grad_w", "CC", MHC_PARAM, MHC_OUT}},
                            .supports = gpu_supports,
                            .work_bytes = backward_work,
                            .flops = backward_flops,
                            .tolerance = gpu_tolerance,
                            .run = backward};
