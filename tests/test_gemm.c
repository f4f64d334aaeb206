/* gemm against plain loops, for shapes that fill no tile, thin ones and those that go to OpenBLAS; its pieces. */
#define REAL_BITS 32
#include "cpu_ref/gemm_small.h"
#include "tests/check.h"

#include <omp.h>

enum { MOST = 340 * 310 };
static float a[MOST], b[MOST], c[MOST], want[MOST];

static void draw_all(float *values, uint64_t seed) {
    for (int k = 0; k < MOST; k++)
        values[k] = (float)mhc_normal(seed, 2, 3, (uint64_t)k);
}

/* Rows lie further apart than they are long; what is between them must stay. beta 0 must not read C. */
static void check_product(enum transpose ta, enum transpose tb, int64_t m, int64_t n, int64_t k, float beta) {
    int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    for (int64_t at = 0; at < m * ldc; at++)
        c[at] = want[at] = beta == 0 ? NAN : (float)at / (float)(m * ldc);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t s = 0; s < k; s++)
                sum += (double)a[ta ? s * lda + i : i * lda + s] * (double)b[tb ? j * ldb + s : s * ldb + j];
            want[i * ldc + j] = (float)(0.5 * sum + (beta == 0 ? 0 : beta * want[i * ldc + j]));
        }
    gemm(ta, tb, m, n, k, 0.5f, a, lda, b, ldb, beta, c, ldc);
    for (int64_t at = 0; at < m * ldc; at++)
        cr_assert((isnan(c[at]) && isnan(want[at])) || fabsf(c[at] - want[at]) <= 1e-5f * (float)(k + 1),
                  "%lld x %lld x %lld, transposed %d %d, beta %g: element %lld is %g, wanted %g", (long long)m,
                  (long long)n, (long long)k, ta, tb, (double)beta, (long long)at, (double)c[at], (double)want[at]);
}

Test(gemm, is_the_sum_of_products_at_any_shape) {
    static const int64_t sizes[] = {1, 2, 5, 6, 7, 8, 9, 16, 17, 24, 33}, large[][3] = {{33, 290, 300}, {290, 40, 7}},
                         thin[][3] = {{40, 24, 2100}, {7, 1, 4100}, {2100, 24, 43}, {17, 32, 1300}};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    draw_all(a, 1);
    draw_all(b, 2);
    cr_assert(!gemm_is_small(large[0][0], large[0][1], large[0][2]) && !gemm_is_thin(large[0][1]),
              "OpenBLAS has its turn too");
    for (int k = 0; k < 4; k++)
        cr_assert(gemm_is_thin(thin[k][1]) && !gemm_is_small(thin[k][0], thin[k][1], thin[k][2]));
    for (int way = 0; way < 8; way++) {
        enum transpose ta = way & 1, tb = way >> 1 & 1;
        float beta = way >> 2;
        for (int i = 0; i < SIZES; i++)
            for (int j = 0; j < SIZES; j++)
                for (int k = 0; k < SIZES; k += 3)
                    check_product(ta, tb, sizes[i], sizes[j], sizes[k], beta);
        for (int k = 0; k < 2; k++)
            check_product(ta, tb, large[k][0], large[k][1], large[k][2], beta);
        for (int k = 0; k < 4; k++)
            check_product(ta, tb, thin[k][0], thin[k][1], thin[k][2], beta);
    }
}

/* A small or thin product has the same bits however many threads share it. */
Test(gemm, has_the_same_bits_on_any_number_of_threads) {
    static const int64_t shapes[][3] = {{256, 32, 128}, {32, 256, 64}, {33, 41, 17}, {43, 24, 2100}, {2100, 24, 43}};
    draw_all(a, 1);
    draw_all(b, 2);
    for (int way = 0; way < 4; way++)
        for (int s = 0; s < 5; s++) {
            int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
            enum transpose ta = way & 1, tb = way >> 1;
            cr_assert(gemm_is_small(m, n, k) || gemm_is_thin(n));
            for (int threads = 1; threads <= 5; threads++) {
                omp_set_num_threads(threads);
                gemm_parallel(ta, tb, m, n, k, 1, a, ta ? m : k, b, tb ? k : n, 0, threads == 1 ? want : c, n);
                cr_assert(threads == 1 || !memcmp(c, want, (size_t)(m * n) * sizeof *c), "%lld x %lld x %lld on %d",
                          (long long)m, (long long)n, (long long)k, threads);
            }
        }
}
