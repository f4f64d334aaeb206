/* The second stage of sums over a grid, and the norm of a whole gradient: sqrt(sum_k grad_k^2), a stream of 4 bytes an
 * element that stores next to nothing.
 *
 * Squares are made and summed in double: those of the largest and the smallest floats, 2^256 and 2^-298, are in its
 * range, as is the sum of 2^40 of them, so nothing is scaled and nothing read twice. An H200 converts 16 floats a cycle
 * on a multiprocessor, which is three times what its memory brings. */
#include "kernels/sums.h"

enum {
    THREADS = 256,
    BLOCKS_AT_ONCE = 8, /* on a multiprocessor */
    MOST_BLOCKS = 1024, /* all at once on an H200 */
    QUAD = 4,           /* floats per load */
    AHEAD = 2           /* loads in flight in a thread, 64 kB on a multiprocessor */
};

static __device__ __forceinline__ double add_squares(double sum, float4 x) {
    sum = fma((double)x.x, (double)x.x, sum);
    sum = fma((double)x.y, (double)x.y, sum);
    sum = fma((double)x.z, (double)x.z, sum);
    return fma((double)x.w, (double)x.w, sum);
}

/* Thread k of all takes quads k, k + threads, ...; the last elements, fewer than a quad, go to the first threads. */
static __global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE)
    squares_kernel(int64_t count, const float *grad, double *partial) {
    const float4 *quad = (const float4 *)grad;
    int64_t quads = count / QUAD, threads = (int64_t)gridDim.x * THREADS,
            first = (int64_t)blockIdx.x * THREADS + threadIdx.x, k = first;
    double sum[AHEAD] = {};
    for (; k + (AHEAD - 1) * threads < quads; k += AHEAD * threads) {
        float4 x[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            x[i] = quad[k + i * threads];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            sum[i] = add_squares(sum[i], x[i]);
    }
    for (; k < quads; k += threads)
        sum[0] = add_squares(sum[0], quad[k]);
    if (first < count % QUAD) {
        double x = grad[quads * QUAD + first];
        sum[0] = fma(x, x, sum[0]);
    }
    double all = block_sum(sum[0] + sum[1], (double *)shared_memory());
    if (threadIdx.x == 0)
        partial[blockIdx.x] = all;
}

/* One block. */
static __global__ void finish_kernel(int64_t count, const double *partial, enum finish how, void *out) {
    double sum = 0;
    for (int64_t k = threadIdx.x; k < count; k += blockDim.x)
        sum += partial[k];
    sum = block_sum(sum, (double *)shared_memory());
    if (threadIdx.x)
        return;
    if (how == AS_GRADIENT)
        *(float *)out = (float)sum;
    else
        *(double *)out = how == AS_MEAN ? sum / (double)count : sqrt(sum);
}

int gpu_finish_sum(struct device *d, void *queue, int64_t count, const double *partial, enum finish how, void *out) {
    unsigned threads = (unsigned)(blocks_of(count < 1024 ? count : 1024, WARP) * WARP);
    return CHECKED(d, LAUNCH(finish_kernel, 1, threads, WARP * sizeof(double), queue, count, partial, how, out));
}

/* --- the row --- */

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case small = *c; /* elements are counted in 64 bits, only types matter */
    small.T = small.n = small.C = 1;
    if (c->weights < 1 || c->weights > INT64_C(1) << 40)
        return *why = "weights must be from 1 to 2^40", false;
    return gpu_supports(&small, why);
}

/* Nothing is rounded to less than double. */
static double tolerance(const struct mhc_case *) {
    return 1e-12;
}

static int64_t blocks(const struct mhc_case *c) {
    int64_t all = blocks_of(c->weights, THREADS * QUAD * AHEAD);
    return all < MOST_BLOCKS ? all : (int64_t)MOST_BLOCKS;
}
static int64_t work_bytes(const struct mhc_case *c) {
    return blocks(c) * (int64_t)sizeof(double);
}

static int run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    struct device *d = device_of(context);
    const struct gradient_norm_args *a = (const struct gradient_norm_args *)arg;
    double *partial = (double *)work;
    return CHECKED(d, LAUNCH(squares_kernel, (unsigned)blocks(c), THREADS, WARP * sizeof(double), queue, c->weights,
                             (const float *)a->grad, partial)) ||
           gpu_finish_sum(d, queue, blocks(c), partial, AS_ROOT, a->norm);
}

GPU_ROW(gradient_norm) = {MHC_OPERATION(gradient_norm), .supports = supports, .work_bytes = work_bytes,
                          .tolerance = tolerance, .run = run};
