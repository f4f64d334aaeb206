/* What the files of this room share: the context of the library, errors, GEMM, and how a row is declared. */
#ifndef KERNELS_LIBRARY_H
#define KERNELS_LIBRARY_H

#include "cpu_ref/operations.h"
#include "kernels/device.h"

/* What the driver said of a kernel's clusters: asked once, for the answer takes as long as a small kernel. */
struct known_clusters {
    const void *kernel;
    unsigned cluster, threads;
    size_t shared;
    int count;
};

/* The device a library was opened on. */
struct device {
    int processors;       /* multiprocessors */
    int64_t shared_bytes; /* shared memory a block may have */
    int largest_cluster;  /* blocks; 1: no clusters */
    void *blas;           /* of gemm.cu */
    struct known_clusters known[64];
    int known_count;
    void *probe;     /* of probe.cu */
    char error[160]; /* why the last call failed */
};

/* The context a row is given, and 0 or 1 from a launch, with what failed kept in device.error. */
static inline struct device *device_of(void *context) {
    return (struct device *)context;
}
int device_check(struct device *, int error, const char *what);
#define CHECKED(device, call) device_check(device, call, #call)

/* gemm.cu: C[m][n] = alpha op(A) op(B) + beta C, row-major, products accumulated in float. `type` of A and B, `out`
 * of C: MHC_F32 or MHC_BF16; float operands give float results. Fixed order: the same call gives the same bits. GEMMs
 * of one context go into one queue at a time. 0, or 1 with device.error set. */
int gemm(struct device *, void *queue, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
         const void *a, int64_t lda, const void *b, int64_t ldb, int32_t type, float beta, void *c, int64_t ldc,
         int32_t out);
int gemm_open(struct device *);
void gemm_close(struct device *);

/* probe.cu: what a measurement needs of a device; emu has none. */
void probe_close(struct device *);
extern "C" const struct mhc_probe cuda_probe;

/* --- rows --- */

/* Streams in f32 or bf16, coefficients and parameters in f32, n to 16, T and C from 1. */
bool gpu_supports(const struct mhc_case *, const char **why);
bool gpu_supports_sinkhorn(const struct mhc_case *, const char **why); /* t_max too */
bool gpu_supports_mhc(const struct mhc_case *, const char **why);      /* the map of the case too */
bool gpu_supports_res(const struct mhc_case *, const char **why);      /* that res is an array */
/* Share of an array's largest element: rounding to bf16 where the streams are bf16. */
double gpu_tolerance(const struct mhc_case *);

/* extern "C" const struct mhc_row NAME = {MHC_OPERATION(id), ...}: rows are found through kernels/rows.def. What an
 * operation is, its arguments, its costs, is in cpu_ref/operations.def; run() sees the arguments as struct id_args. */
#define GPU_ROW(id)                     \
    extern "C" const struct mhc_row id; \
    const struct mhc_row id

/* Blocks of `size` that cover `count`. */
static __host__ __device__ __forceinline__ int64_t blocks_of(int64_t count, int64_t size) {
    return (count + size - 1) / size;
}

/* Parts into which each of `blocks` blocks can be split so that all of them run at once, `a_processor` on a
 * multiprocessor. Rounded down: a few blocks more would be a second wave, as long as the first. At least 1. */
static inline int64_t parts_at_once(const struct device *d, int64_t a_processor, int64_t blocks) {
    int64_t parts = a_processor * d->processors / blocks;
    return parts > 1 ? parts : 1;
}

/* CALL(T, N) with T the element type of the streams and N the streams as a constant, 0 for any other number of them. */
#define FOR_STREAMS(c, CALL) ((c)->stream == MHC_BF16 ? FOR_COUNT(c, struct bf16, CALL) : FOR_COUNT(c, float, CALL))
#define FOR_COUNT(c, T, CALL)   \
    ((c)->n == 1   ? CALL(T, 1) \
     : (c)->n == 2 ? CALL(T, 2) \
     : (c)->n == 4 ? CALL(T, 4) \
     : (c)->n == 8 ? CALL(T, 8) \
                   : CALL(T, 0))

#endif
