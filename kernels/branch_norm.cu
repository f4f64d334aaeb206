/* The RMSNorm of all branches, and as rows of their own: `norm`, and `addnorm`, the residual addition and the norm
 * behind it. */
#include "kernels/branch.h"
#include "kernels/sums.h"

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

/* sum_c (u_c / by)^2 over the row of a block. */
template <typename T, int W>
static __device__ __forceinline__ float square_sum(int C, const T *u, float by, float *room) {
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

template <typename T, int W>
static __device__ __forceinline__ float block_rms(int C, float eps, const T *u, float *room) {
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

/* sum = x + y, rounded once, and the norm of it. A row of sums waits for its norm in shared memory, or, where it is
 * too long for it, in `sum`. */
template <typename T, int W>
static __global__ void add_normalise_kernel(int C, bool in_shared, float eps, const T *x, const T *y, const float *gain,
                                            T *sum, T *v, float *r) {
    int64_t t = blockIdx.x;
    float *room = (float *)shared_memory();
    T *row = in_shared ? (T *)(room + WARP) : sum + t * C;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float a[W], b[W];
        load_channels<W>(x + t * C + c, a);
        load_channels<W>(y + t * C + c, b);
        for (int w = 0; w < W; w++)
            a[w] += b[w];
        store_channels<W>(sum + t * C + c, a);
        if (in_shared)
            store_channels<W>(row + c, a);
    }
    float rms = block_rms<T, W>(C, eps, row, room);
    struct reciprocal by = reciprocal_of(rms);
    if (threadIdx.x == 0)
        r[t] = rms;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float a[W], g[W];
        load_channels<W>(row + c, a);
        load_channels<W>(gain + c, g);
        for (int w = 0; w < W; w++)
            a[w] = over(a[w], by) * g[w];
        store_channels<W>(v + t * C + c, a);
    }
}

/* A block takes consecutive tokens and keeps their sums of grad_gain, each thread those of its own channels: in
 * shared memory, or, where a row is too long for it, in `partial` [blocks][C] at once. */
template <typename T, int W>
static __global__ void normalise_backward_kernel(int64_t tokens, int C, bool in_shared, const T *u, const float *gain,
                                                 const float *r, const T *grad_v, const T *grad_sum, T *grad_u,
                                                 float *partial) {
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
            if (grad_sum) {
                load_channels<W>(grad_sum + t * C + c, x);
                for (int w = 0; w < W; w++)
                    g[w] += x[w];
            }
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

template <typename T, int W>
static int start_normalise(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain,
                           float *r, void *v) {
    return CHECKED(d, LAUNCH((normalise_kernel<T, W>), (unsigned)c->T, row_threads(c->C, W), WARP * sizeof(float),
                             queue, (int)c->C, (float)c->rms_eps, (const T *)u, gain, r, (T *)v));
}

int gpu_normalise(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain, float *r,
                  void *v) {
#define CALL(T, W) start_normalise<T, W>(d, queue, c, u, gain, r, v)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

template <typename T, int W>
static int start_add_normalise(struct device *d, void *queue, const struct mhc_case *c, const void *x, const void *y,
                               const float *gain, void *sum, void *v, float *r) {
    int64_t room = WARP * (int64_t)sizeof(float), bytes = room + c->C * (int64_t)sizeof(T);
    bool in_shared = bytes <= 48 * 1024;
    return CHECKED(d, LAUNCH((add_normalise_kernel<T, W>), (unsigned)c->T, row_threads(c->C, W),
                             (size_t)(in_shared ? bytes : room), queue, (int)c->C, in_shared, (float)c->rms_eps,
                             (const T *)x, (const T *)y, gain, (T *)sum, (T *)v, r));
}

/* Rows of partial sums: enough blocks for any device, few enough to sum quickly. */
static int64_t partial_rows(const struct mhc_case *c) {
    return c->T < 512 ? c->T : 512;
}
int64_t normalise_partials(const struct mhc_case *c) {
    return partial_rows(c) * c->C;
}

template <typename T, int W>
static int start_normalise_backward(struct device *d, void *queue, const struct mhc_case *c, const void *u,
                                    const float *gain, const float *r, const void *grad_v, const void *grad_sum,
                                    void *grad_u, float *partial) {
    int64_t bytes = (c->C + WARP) * (int64_t)sizeof(float);
    bool in_shared = bytes <= 48 * 1024;
    return CHECKED(d, LAUNCH((normalise_backward_kernel<T, W>), (unsigned)partial_rows(c), row_threads(c->C, W),
                             (size_t)(in_shared ? bytes : WARP * (int64_t)sizeof(float)), queue, c->T, (int)c->C,
                             in_shared, (const T *)u, gain, r, (const T *)grad_v, (const T *)grad_sum, (T *)grad_u,
                             partial));
}

int gpu_normalise_backward(struct device *d, void *queue, const struct mhc_case *c, const void *u, const float *gain,
                           const float *r, const void *grad_v, const void *grad_sum, void *grad_u, float *grad_gain,
                           float *partial) {
#define CALL(T, W) start_normalise_backward<T, W>(d, queue, c, u, gain, r, grad_v, grad_sum, grad_u, partial)
    if (FOR_ROWS(c, c->C, CALL))
        return 1;
#undef CALL
    int64_t rows = partial_rows(c), warps = rows < WARP ? rows : WARP;
    return CHECKED(d, LAUNCH(sum_partials_kernel, (unsigned)blocks_of(c->C, WARP), (unsigned)(warps * WARP),
                             (size_t)(warps * WARP) * sizeof(float), queue, (int)rows, (int)c->C,
                             (const float *)partial, grad_gain));
}

/* --- rows --- */

static int forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct norm_forward_args *a = (const struct norm_forward_args *)arg;
    return gpu_normalise(device_of(context), queue, c, a->u, (const float *)a->gain, (float *)a->r, a->v);
}

static int backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    const struct norm_backward_args *a = (const struct norm_backward_args *)arg;
    return gpu_normalise_backward(device_of(context), queue, c, a->u, (const float *)a->gain, (const float *)a->r,
                                  a->grad_v, NULL, a->grad_u, (float *)a->grad_gain, (float *)work);
}

static int add_forward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct addnorm_forward_args *a = (const struct addnorm_forward_args *)arg;
    const float *gain = (const float *)a->gain;
#define CALL(T, W) start_add_normalise<T, W>(d, queue, c, a->x, a->y, gain, a->sum, a->v, (float *)a->r)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

static int add_backward(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    const struct addnorm_backward_args *a = (const struct addnorm_backward_args *)arg;
    return gpu_normalise_backward(device_of(context), queue, c, a->sum, (const float *)a->gain, (const float *)a->r,
                                  a->grad_v, a->grad_sum, a->grad_x, (float *)a->grad_gain, (float *)work);
}

static int64_t backward_work(const struct mhc_case *c) {
    return normalise_partials(c) * (int64_t)sizeof(float);
}
GPU_ROW(norm_forward) = {MHC_OPERATION(norm_forward), .supports = gpu_supports, .tolerance = gpu_tolerance,
                         .run = forward};

GPU_ROW(norm_backward) = {MHC_OPERATION(norm_backward), .supports = gpu_supports, .work_bytes = backward_work,
                          .tolerance = gpu_tolerance, .run = backward};

GPU_ROW(addnorm_forward) = {MHC_OPERATION(addnorm_forward), .supports = gpu_supports, .tolerance = gpu_tolerance,
                            .run = add_forward};

GPU_ROW(addnorm_backward) = {MHC_OPERATION(addnorm_backward), .supports = gpu_supports, .work_bytes = backward_work,
                             .tolerance = gpu_tolerance, .run = add_backward};
