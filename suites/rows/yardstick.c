#include "suites/rows/yardstick.h"

#include <math.h>
#include <string.h>

extern const struct mhc_row bench_copy_f64, bench_copy_f32, bench_gemm_f64, bench_gemm_f32; /* cpu_ref/bench.c */

const struct mhc_row *yardstick_row(const struct backend *b, const char *operation, const struct mhc_case *c) {
    const char *why;
    bool copy = !strcmp(operation, "copy");
    const struct mhc_row *row = backend_row(b, "bench", operation, c, &why);
    if (row || b->library->memory || c->stream == MHC_BF16)
        return row;
    return c->stream == MHC_F64 ? copy ? &bench_copy_f64 : &bench_gemm_f64 : copy ? &bench_copy_f32 : &bench_gemm_f32;
}

struct mhc_case yardstick_copy_case(const struct mhc_case *c, double bytes) {
    struct mhc_case copy = *c;
    copy.n = 1;
    copy.C = 64;
    copy.T = (int64_t)ceil(bytes / 2 / (double)(copy.C * mhc_type_bytes(c->stream)));
    copy.T = copy.T > 0 ? copy.T : 1;
    copy.S = 0;
    return copy;
}

double yardstick_copy_bytes(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C * mhc_type_bytes(c->stream));
}

struct mhc_case yardstick_gemm_case(const struct mhc_case *c, double flops) {
    struct mhc_case gemm = *c;
    double wanted = ceil(flops / (2 * (double)c->C * (double)c->C));
    int64_t least = c->T < 1024 ? c->T : 1024;
    gemm.T = wanted > (double)least ? (int64_t)wanted : least;
    gemm.S = 0;
    return gemm;
}

double yardstick_gemm_flops(const struct mhc_case *c) {
    return 2 * (double)c->T * (double)c->C * (double)c->C;
}
