/* What this machine attains, measured in the same run as what is compared with it: a copy and a GEMM. */
#include "cpu_ref/real.h"

#include <omp.h>

/* Below so many bytes, read and written, other threads take longer to wake than the copy does: what is attainable is
 * a copy by one. */
enum { WORTH_WAKING = 2 << 20 };

RUN(bench_copy) {
    int64_t count = c->T * c->n * c->C;
    const real *from = a->source;
    real *to = a->copy;
#pragma omp parallel if (2 * count * (int64_t)sizeof(real) > WORTH_WAKING)
    {
        int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        int64_t first = count * thread / threads, end = count * (thread + 1) / threads;
        memcpy(to + first, from + first, (size_t)(end - first) * sizeof(real));
    }
    return 0;
}

RUN(bench_gemm) {
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, c->T, c->C, c->C, 1, a->a, c->C, a->b, c->C, 0, a->product, c->C);
    return 0;
}

const struct mhc_row NAME(bench_copy) = {
    MHC_OPERATION(bench_copy),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = bench_copy_run,
};

const struct mhc_row NAME(bench_gemm) = {
    MHC_OPERATION(bench_gemm),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = bench_gemm_run,
};
