/* What every operation leans on: GEMM, by OpenBLAS unless it is small or thin, sums over channels, the common answers
 * of a row. */
#include "cpu_ref/gemm_small.h"

#include <cblas.h>
#include <omp.h>

typedef void product(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                     int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc);

static void gemm_blas(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                      int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    if (m == 0 || n == 0)
        return;
    CBLAS_TRANSPOSE opa = ta ? CblasTrans : CblasNoTrans, opb = tb ? CblasTrans : CblasNoTrans;
#if REAL_BITS == 64
    cblas_dgemm(CblasRowMajor, opa, opb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#else
    cblas_sgemm(CblasRowMajor, opa, opb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#endif
}

static product *best_product(int64_t m, int64_t n, int64_t k) {
    return gemm_is_small(m, n, k) ? gemm_small : gemm_is_thin(n) ? gemm_thin : gemm_blas;
}

void gemm(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a, int64_t lda,
          const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    best_product(m, n, k)(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* Piece `index` of `pieces` of a range, in multiples of 16. */
static int64_t split(int64_t count, int64_t index, int64_t pieces) {
    int64_t blocks = (count + 15) / 16, at = blocks * index / pieces * 16;
    return at < count ? at : count;
}

void gemm_parallel(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                   int64_t lda, const real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
    bool by_rows = m >= n;
    product *multiply = best_product(m, n, k); /* all pieces alike, however many */
#pragma omp parallel
    {
        int64_t index = omp_get_thread_num(), pieces = omp_get_num_threads(), extent = by_rows ? m : n;
        int64_t from = split(extent, index, pieces), count = split(extent, index + 1, pieces) - from;
        if (by_rows)
            multiply(ta, tb, count, n, k, alpha, a + from * (ta ? 1 : lda), lda, b, ldb, beta, c + from * ldc, ldc);
        else
            multiply(ta, tb, m, count, k, alpha, a, lda, b + from * (tb ? ldb : 1), ldb, beta, c + from, ldc);
    }
}

real NAME(dot)(const real *a, const real *b, int64_t count) {
    vec sum[4] = {0};
    int64_t c = 0;
    for (; c + 4 * LANES <= count; c += 4 * LANES)
        for (int64_t k = 0; k < 4; k++)
            sum[k] += vec_load(a + c + k * LANES) * vec_load(b + c + k * LANES);
    for (; c + LANES <= count; c += LANES)
        sum[0] += vec_load(a + c) * vec_load(b + c);
    real total = vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; c < count; c++)
        total += a[c] * b[c];
    return total;
}

real NAME(rms)(const real *x, int64_t count, double eps) {
    double mean = (double)NAME(dot)(x, x, count) / (double)count;
    /* Squares that left the range of `real`: again, scaled by the largest element. NaN and Inf in x stay
     * what they are. */
    if (!(mean > REAL_SMALL && mean < REAL_LARGE)) {
        double largest = 0, sum = 0;
        for (int64_t c = 0; c < count; c++)
            largest = !(fabs((double)x[c]) <= largest) ? fabs((double)x[c]) : largest;
        if (largest == 0 || !isfinite(largest))
            return (real)sqrt(largest + eps);
        for (int64_t c = 0; c < count; c++)
            sum += (x[c] / largest) * (x[c] / largest);
        return (real)hypot(largest * sqrt(sum / (double)count), sqrt(eps));
    }
    return (real)sqrt(mean + eps);
}

bool NAME(supports)(const struct mhc_case *c, const char **why) {
    if (c->stream != MHC_REAL || c->coef != MHC_REAL || c->param != MHC_REAL)
        return *why = "this row works in " NAME_TEXT " throughout", false;
    if (c->n < 1 || c->n > MHC_MAX_STREAMS)
        return *why = "n must be from 1 to 16", false;
    if (c->T < 1)
        return *why = "T must be at least 1", false;
    return true;
}

double NAME(tolerance)(const struct mhc_case *c) {
    (void)c;
    return REAL_BITS == 64 ? 1e-9 : 1e-3;
}
