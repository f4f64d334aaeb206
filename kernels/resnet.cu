/* ResNet: n = 1, res = pre = post = 1, so u = x and x_next = x + y; `skip`, the same with a learned number s for res,
 * x_next = s x + y; and the ends of any stack: x0 copied to n streams at the entry, the streams summed at the exit.
 * One block handles one token, and a load takes 16 bytes where rows are aligned to that.
 *
 *   traffic per token, bf16     pre, post_backward_y 4C bytes     post, resnet.backward 6C     skip.backward 8C
 *   n = 4                     entry, exit 10C */
#include "kernels/branch.h"
#include "kernels/sums.h"

static bool one_stream(const struct mhc_case *c, const char **why) {
    if (c->n != 1)
        return *why = "a ResNet and a skip have one stream: n must be 1", false;
    return gpu_supports(c, why);
}

/* [T][count] to [T][n][count]; a word is 16 bytes or an element, so that values pass as they are. */
template <typename WORD> static __global__ void copy_streams_kernel(int n, int count, const WORD *from, WORD *to) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x; c < count; c += (int)blockDim.x) {
        WORD w = from[t * count + c];
        for (int i = 0; i < n; i++)
            to[(t * n + i) * count + c] = w;
    }
}

/* [T][n][C] to [T][C], summed in the order of the streams. */
template <typename T, int N, int W> static __global__ void sum_streams_kernel(int n_any, int C, const T *from, T *to) {
    int n = STREAMS(N, n_any);
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float in[ROOM(N)][W];
#pragma unroll
        for (int i = 0; i < ROOM(N); i++)
            if (i < n)
                load_channels<W>(from + (t * n + i) * C + c, in[i]);
#pragma unroll
        for (int i = 1; i < ROOM(N); i++)
            for (int w = 0; w < W && i < n; w++)
                in[0][w] += in[i][w];
        store_channels<W>(to + t * C + c, in[0]);
    }
}

/* out = a + b, all [T][C] */
template <typename T, int W> static __global__ void add_kernel(int C, const T *a, const T *b, T *out) {
    int64_t t = blockIdx.x;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float left[W], right[W];
        load_channels<W>(a + t * C + c, left);
        load_channels<W>(b + t * C + c, right);
        for (int w = 0; w < W; w++)
            left[w] += right[w];
        store_channels<W>(out + t * C + c, left);
    }
}

/* out = res a + b, res a number for each token. With x: what the dot product of a and x is, too, in `dot` [T]; a thread
 * sums in float, the block in double. */
template <typename T, int W>
static __global__ void scale_add_kernel(int C, const float *res, const T *a, const T *b, const T *x, T *out,
                                        double *dot) {
    int64_t t = blockIdx.x;
    float scale = res[t], sum = 0;
    for (int c = (int)threadIdx.x * W; c < C; c += (int)blockDim.x * W) {
        float left[W], right[W], other[W];
        load_channels<W>(a + t * C + c, left);
        load_channels<W>(b + t * C + c, right);
        if (x)
            load_channels<W>(x + t * C + c, other);
        for (int w = 0; w < W; w++) {
            right[w] = fmaf(scale, left[w], right[w]);
            sum = x ? fmaf(left[w], other[w], sum) : 0;
        }
        store_channels<W>(out + t * C + c, right);
    }
    if (!x)
        return;
    double all = block_sum((double)sum, (double *)shared_memory());
    if (threadIdx.x == 0)
        dot[t] = all;
}

/* res of every token is one number. */
static __global__ void spread_kernel(int64_t tokens, const float *scale, float *res) {
    int64_t t = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (t < tokens)
        res[t] = *scale;
}

template <typename WORD>
static int start_copy(struct device *d, void *queue, const struct mhc_case *c, int64_t count, const void *from,
                      void *to) {
    return CHECKED(d, LAUNCH((copy_streams_kernel<WORD>), (unsigned)c->T, token_threads(count, 1), 0, queue, (int)c->n,
                             (int)count, (const WORD *)from, (WORD *)to));
}

/* [T][C] to [T][n][C]; of one stream a copy. */
static int copy_streams(struct device *d, void *queue, const struct mhc_case *c, const void *from, void *to) {
    int64_t bytes = c->C * mhc_type_bytes(c->stream);
    if (bytes % 16 == 0)
        return start_copy<uint4>(d, queue, c, bytes / 16, from, to);
    return c->stream == MHC_BF16 ? start_copy<struct bf16>(d, queue, c, c->C, from, to)
                                 : start_copy<float>(d, queue, c, c->C, from, to);
}

template <typename T, int N>
static int start_sum(struct device *d, void *queue, const struct mhc_case *c, const void *from, void *to) {
    int n = (int)c->n, C = (int)c->C;
    if (N && C % OCTET == 0)
        return CHECKED(d, LAUNCH((sum_streams_kernel<T, N, (N ? OCTET : 1)>), (unsigned)c->T, token_threads(C, OCTET),
                                 0, queue, n, C, (const T *)from, (T *)to));
    return CHECKED(d, LAUNCH((sum_streams_kernel<T, N, 1>), (unsigned)c->T, token_threads(C, 1), 0, queue, n, C,
                             (const T *)from, (T *)to));
}

static int sum_streams(struct device *d, void *queue, const struct mhc_case *c, const void *from, void *to) {
#define CALL(T, N) start_sum<T, N>(d, queue, c, from, to)
    return FOR_STREAMS(c, CALL);
#undef CALL
}

template <typename T>
static int start_add(struct device *d, void *queue, const struct mhc_case *c, const void *a, const void *b, void *out) {
    int C = (int)c->C;
    if (C % OCTET == 0)
        return CHECKED(d, LAUNCH((add_kernel<T, OCTET>), (unsigned)c->T, token_threads(C, OCTET), 0, queue, C,
                                 (const T *)a, (const T *)b, (T *)out));
    return CHECKED(d, LAUNCH((add_kernel<T, 1>), (unsigned)c->T, token_threads(C, 1), 0, queue, C, (const T *)a,
                             (const T *)b, (T *)out));
}

static int add(struct device *d, void *queue, const struct mhc_case *c, const void *a, const void *b, void *sum) {
    return c->stream == MHC_BF16 ? start_add<struct bf16>(d, queue, c, a, b, sum)
                                 : start_add<float>(d, queue, c, a, b, sum);
}

template <typename T, int W>
static int start_scale_add(struct device *d, void *queue, const struct mhc_case *c, const void *res, const void *a,
                           const void *b, const void *x, void *out, double *dot) {
    return CHECKED(d, LAUNCH((scale_add_kernel<T, W>), (unsigned)c->T, token_threads(c->C, W),
                             x ? WARP * sizeof(double) : 0, queue, (int)c->C, (const float *)res, (const T *)a,
                             (const T *)b, (const T *)x, (T *)out, dot));
}

/* x_next = res x + y */
static int scale_add(struct device *d, void *queue, const struct mhc_case *c, const void *res, const void *x,
                     const void *y, void *x_next) {
#define CALL(T, W) start_scale_add<T, W>(d, queue, c, res, x, y, NULL, x_next, NULL)
    return FOR_ROWS(c, c->C, CALL);
#undef CALL
}

/* grad_x = res grad_x_next + grad_u and grad_scale = sum_t <grad_x_next_t, x_t>. */
static int skip_backward_of(struct device *d, void *queue, const struct mhc_case *c, const struct skip_backward_args *a,
                            double *dot) {
#define CALL(T, W) start_scale_add<T, W>(d, queue, c, a->res, a->grad_x_next, a->grad_u, a->x, a->grad_x, dot)
    return FOR_ROWS(c, c->C, CALL) || gpu_finish_sum(d, queue, c->T, dot, AS_GRADIENT, a->grad_scale);
#undef CALL
}

static int spread(struct device *d, void *queue, const struct mhc_case *c, const void *scale, void *res) {
    return CHECKED(d, LAUNCH(spread_kernel, (unsigned)blocks_of(c->T, 256), 256, 0, queue, c->T, (const float *)scale,
                             (float *)res));
}

/* --- rows: what an operation does with its arguments --- */

#define STREAM_ROW(id, fits, does)                                                                                 \
    static int id##_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) { \
        struct device *d = device_of(context);                                                                     \
        const struct id##_args *a = (const struct id##_args *)arg;                                                 \
        return does;                                                                                               \
    }                                                                                                              \
    GPU_ROW(id) = {MHC_OPERATION(id), .supports = fits, .tolerance = gpu_tolerance, .run = id##_run}

STREAM_ROW(resnet_pre, one_stream, copy_streams(d, queue, c, a->x, a->u));
STREAM_ROW(resnet_post, one_stream, add(d, queue, c, a->x, a->y, a->x_next));
STREAM_ROW(resnet_post_backward_y, one_stream, copy_streams(d, queue, c, a->grad_x_next, a->grad_y));
STREAM_ROW(resnet_backward, one_stream, add(d, queue, c, a->grad_x_next, a->grad_u, a->grad_x));
STREAM_ROW(stack_entry, gpu_supports, copy_streams(d, queue, c, a->x0, a->x));
STREAM_ROW(stack_entry_backward, gpu_supports, sum_streams(d, queue, c, a->grad_x, a->grad_x0));
STREAM_ROW(stack_exit, gpu_supports, sum_streams(d, queue, c, a->x, a->out));
STREAM_ROW(stack_exit_backward, gpu_supports, copy_streams(d, queue, c, a->grad_out, a->grad_x));
STREAM_ROW(skip_pre, one_stream, copy_streams(d, queue, c, a->x, a->u) || spread(d, queue, c, a->scale, a->res));
STREAM_ROW(skip_post, one_stream, scale_add(d, queue, c, a->res, a->x, a->y, a->x_next));
STREAM_ROW(skip_post_backward_y, one_stream, copy_streams(d, queue, c, a->grad_x_next, a->grad_y));

static int skip_backward_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *,
                             void *work) {
    return skip_backward_of(device_of(context), queue, c, (const struct skip_backward_args *)arg, (double *)work);
}
static int64_t skip_backward_work(const struct mhc_case *c) {
    return c->T * (int64_t)sizeof(double);
}
GPU_ROW(skip_backward) = {MHC_OPERATION(skip_backward), .supports = one_stream, .work_bytes = skip_backward_work,
                          .tolerance = gpu_tolerance, .run = skip_backward_run};
