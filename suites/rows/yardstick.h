/* What is attainable: a copy and a GEMM, measured in the same rounds as a subject. A library brings its own rows
 * `bench.copy` and `bench.gemm`. On host memory those of the CPU reference stand in. */
#ifndef YARDSTICK_H
#define YARDSTICK_H

#include "suites/rows/backend.h"

/* The row "bench.<operation>", of "copy" or "gemm"; NULL: there is none. */
const struct mhc_row *yardstick_row(const struct backend *, const char *operation, const struct mhc_case *);

/* The case of `bench.copy` that moves `bytes` in all: half read, half written. */
struct mhc_case yardstick_copy_case(const struct mhc_case *, double bytes);
double yardstick_copy_bytes(const struct mhc_case *);

/* The case of `bench.gemm`, [T][C] x [C][C], with about as many operations, and enough rows to be fast. */
struct mhc_case yardstick_gemm_case(const struct mhc_case *, double flops);
double yardstick_gemm_flops(const struct mhc_case *);

#endif
