/* Products too small, or with a matrix too thin, for OpenBLAS, which packs both matrices before it multiplies. */
#ifndef GEMM_SMALL_H
#define GEMM_SMALL_H

#include "cpu_ref/real.h"

/* Whether a product of this shape is quicker here. */
#define gemm_is_small NAME(gemm_is_small)
bool gemm_is_small(int64_t m, int64_t n, int64_t k);

/* As gemm, for a product that is small or a piece of one. An element of C is a sum over k in its order, whichever piece
 * it is in. */
#define gemm_small NAME(gemm_small)
void gemm_small(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc);

/* Whether a product with so few columns is quicker in pieces of k. */
#define gemm_is_thin NAME(gemm_is_thin)
bool gemm_is_thin(int64_t n);

/* As gemm, for few columns. An element of C is a sum over pieces of k in their order, so a row of C is the same
 * whichever rows it is with. */
#define gemm_thin NAME(gemm_thin)
void gemm_thin(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
               int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc);

#endif
