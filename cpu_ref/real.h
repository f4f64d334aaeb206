/* Every .c file of this room but library.c and paper.c is compiled twice, with REAL_BITS=64 (the oracle, cpu64) and
 * 32 (cpu32), and every external name carries the suffix: NAME(rms) is rms_f64 or rms_f32. Functions with long
 * argument lists are defined to their name of a precision. */
#ifndef REAL_H
#define REAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cpu_ref/operations.h"

#if REAL_BITS == 64
typedef double real;
typedef int64_t real_int;
#define NAME(x) x##_f64
#define MHC_REAL MHC_F64
#define NAME_TEXT "f64"
#define REAL_EPSILON 0x1p-52
#define REAL_SMALL 0x1p-960 /* a mean square between these lost nothing to underflow or overflow */
#define REAL_LARGE 0x1p1000
#elif REAL_BITS == 32
typedef float real;
typedef int32_t real_int;
#define NAME(x) x##_f32
#define MHC_REAL MHC_F32
#define NAME_TEXT "f32"
#define REAL_EPSILON 0x1p-23
#define REAL_SMALL 0x1p-90
#define REAL_LARGE 0x1p120
#else
#error "REAL_BITS is 64 or 32"
#endif

/* A vector of reals; the compiler maps it to what the machine has. A file in which lanes do not meet has the same bits
 * at any width, and may define VEC_WIDE, before its includes, for the widest that there is. */
#ifndef VEC_BYTES
#if defined VEC_WIDE && defined __AVX512F__
#define VEC_BYTES 64
#else
#define VEC_BYTES 32
#endif
#endif
#define LANES ((int64_t)(VEC_BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(VEC_BYTES)));
typedef real_int vec_int __attribute__((vector_size(VEC_BYTES)));

static inline vec vec_load(const real *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vec_store(real *p, vec v) {
    memcpy(p, &v, sizeof v);
}

static inline vec vec_set(real x) {
    return x - (vec){0};
}

/* mask ? a : b, lane by lane; a mask is what a comparison of vectors gives. */
static inline vec vec_select(vec_int mask, vec a, vec b) {
    return (vec)(((vec_int)a & mask) | ((vec_int)b & ~mask));
}

static inline vec vec_max(vec a, vec b) {
    return vec_select(a > b, a, b);
}

/* Sum of the lanes, in a fixed order: the halves, their halves, and so on. */
static inline real vec_sum(vec v) {
    for (int64_t half = LANES / 2; half > 0; half /= 2)
        for (int64_t w = 0; w < half; w++)
            v[w] += v[w + half];
    return v[0];
}

/* CALL(n) with n a constant for the sizes people use, so that loops over streams unroll; any other n goes the general
 * way. */
#define FOR_STREAMS(n, CALL)   \
    switch (n) {               \
    case 1: CALL(1); break;    \
    case 2: CALL(2); break;    \
    case 4: CALL(4); break;    \
    case 8: CALL(8); break;    \
    default: CALL((n)); break; \
    }

#define SPECIALISED static inline __attribute__((always_inline))

/* C[m][n] = alpha op(A) op(B) + beta C, row-major, op = transpose where said. gemm runs in the calling thread;
 * gemm_parallel splits the rows or columns of C over the OpenMP threads, never the sum, so bits depend on the split
 * alone. */
enum transpose { NO_TRANSPOSE, TRANSPOSE };
#define gemm NAME(gemm)
#define gemm_parallel NAME(gemm_parallel)
void gemm(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t lda,
          const real *b, int64_t ldb, real beta, real *c, int64_t ldc);
void gemm_parallel(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                   int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc);

/* sqrt(mean(x^2) + eps), without overflow or underflow on the way. */
real NAME(rms)(const real *x, int64_t count, double eps);

/* Sum of a[c]*b[c]. */
real NAME(dot)(const real *a, const real *b, int64_t count);

/* RUN(mhc_pre) { ... } defines mhc_pre_run, the run() of a row. Its body sees the case c, the arguments under their
 * names, a->x, and save and work; threads are OpenMP's, so context and queue stay unused. RUN_ROW calls another row
 * with such a struct of arguments. */
#define RUN(id)                                                                                                   \
    static int id##_body(const struct mhc_case *, const struct id##_args *, void *, void *);                      \
    static int id##_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,      \
                        void *work) {                                                                             \
        (void)context, (void)queue;                                                                               \
        return id##_body(c, (const struct id##_args *)arg, save, work);                                           \
    }                                                                                                             \
    static int id##_body(const struct mhc_case *c, const struct id##_args *a, __attribute__((unused)) void *save, \
                         __attribute__((unused)) void *work)
#define RUN_ROW(id, c, args, save, work) \
    NAME(id).run(NULL, NULL, c, (void *const *)(const struct id##_args *){args}, save, work)

/* Rows of this room work on one precision throughout. */
bool NAME(supports)(const struct mhc_case *, const char **why);
double NAME(tolerance)(const struct mhc_case *);

#endif
