/* What this device attains, measured in the same run as what is compared with it: a copy and a GEMM. */
#include "kernels/library.h"

enum {
    COPY_THREADS = 512,
    COPY_BLOCKS = 4,
    IN_FLIGHT = 4
}; /* threads per block, blocks per multiprocessor, loads of 16 bytes per thread */

/* Whole blocks of IN_FLIGHT words per thread, the rest word by word, the last bytes one by one. */
static __global__ void copy_kernel(int64_t bytes, const unsigned char *from, unsigned char *to) {
    const uint4 *source = (const uint4 *)from;
    uint4 *target = (uint4 *)to;
    int64_t words = bytes / 16, threads = (int64_t)gridDim.x * blockDim.x,
            k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t first = k;
    for (; k + (IN_FLIGHT - 1) * threads < words; k += IN_FLIGHT * threads) {
        uint4 w[IN_FLIGHT];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; i++)
            w[i] = load_once(source + k + i * threads);
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; i++)
            target[k + i * threads] = w[i];
    }
    for (; k < words; k += threads)
        target[k] = source[k];
    if (first < bytes % 16)
        to[words * 16 + first] = from[words * 16 + first];
}

static int copy(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    struct device *d = device_of(context);
    const struct bench_copy_args *a = (const struct bench_copy_args *)arg;
    int64_t bytes = c->T * c->n * c->C * mhc_type_bytes(c->stream);
    int64_t blocks = blocks_of(bytes / 16 + 1, COPY_THREADS), most = (int64_t)d->processors * COPY_BLOCKS;
    return CHECKED(d, LAUNCH(copy_kernel, (unsigned)(blocks < most ? blocks : most), COPY_THREADS, 0, queue, bytes,
                             (const unsigned char *)a->source, (unsigned char *)a->copy));
}

static int multiply(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *, void *) {
    const struct bench_gemm_args *a = (const struct bench_gemm_args *)arg;
    return gemm(device_of(context), queue, false, false, c->T, c->C, c->C, 1, a->a, c->C, a->b, c->C, c->stream, 0,
                a->product, c->C, c->stream);
}

GPU_ROW(bench_copy) = {MHC_OPERATION(bench_copy), .supports = gpu_supports, .tolerance = gpu_tolerance, .run = copy};

GPU_ROW(bench_gemm) = {MHC_OPERATION(bench_gemm), .supports = gpu_supports, .tolerance = gpu_tolerance,
                       .run = multiply};
