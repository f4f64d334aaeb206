/* What this machine attains, measured in the same run as what is compared with it: a copy and a GEMM. */
#include "cpu_ref/real.h"

#include <omp.h>

/* Below so many bytes, read and written, other threads take longer to wake than the copy does: what is attainable is a copy by one. */
enum { WORTH_WAKING = 2 << 20 };

static int copy(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    int64_t count = c->T * c->n * c->C;
    const real *from = arg[0];
    real *to = arg[1];
#pragma omp parallel if (2 * count * (int64_t)sizeof(real) > WORTH_WAKING)
    {
        int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        int64_t first = count * thread / threads, end = count * (thread + 1) / threads;
        memcpy(to + first, from + first, (size_t)(end - first) * sizeof(real));
    }
    return 0;
}

static int multiply(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, c->T, c->C, c->C, 1, arg[0], c->C, arg[1], c->C, 0, arg[2], c->C);
    return 0;
}

static double no_flops(const struct mhc_case *c) {
    (void)c;
    return 0;
}
static double gemm_flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->C) * (double)c->C;
}

const struct mhc_row NAME(bench_copy) = {
    MHC_OPERATION(bench_copy), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = copy,
};

const struct mhc_row NAME(bench_gemm) = {
    MHC_OPERATION(bench_gemm), .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = multiply,
};
