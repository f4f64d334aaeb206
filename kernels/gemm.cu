/* GEMM: cuBLAS on the GPU, OpenBLAS under the host executor. Row-major C = op(A) op(B) is column-major C^T = op(B)^T
 * op(A)^T. */
#include "kernels/library.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __CUDACC__

#include <cublas_v2.h>

/* cuBLAS repeats its bits with a fixed workspace. There is one: GEMMs of one context run in one queue at a time. */
enum { WORKSPACE_BYTES = 32 << 20 };
struct blas {
    cublasHandle_t handle;
    void *workspace;
};

int gemm_open(struct device *d) {
    struct blas *b = (struct blas *)calloc(1, sizeof *b);
    cublasStatus_t status = b ? cublasCreate(&b->handle) : CUBLAS_STATUS_ALLOC_FAILED;
    if (!status) /* partial sums of a GEMM are not to be rounded to bf16 on the way */
        status = cublasSetMathMode(
            b->handle, (cublasMath_t)(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
    if (!status && cudaMalloc(&b->workspace, WORKSPACE_BYTES))
        status = CUBLAS_STATUS_ALLOC_FAILED;
    if (status) {
        snprintf(d->error, sizeof d->error, "cuBLAS cannot start: %s", cublasGetStatusString(status));
        if (b && b->handle)
            (void)cublasDestroy(b->handle);
        free(b);
        return 1;
    }
    d->blas = b;
    return 0;
}

void gemm_close(struct device *d) {
    struct blas *b = (struct blas *)d->blas;
    (void)cublasDestroy(b->handle);
    (void)cudaFree(b->workspace);
    free(b);
}

int gemm(struct device *d, void *queue, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
         float alpha, const void *a, int64_t lda, const void *b, int64_t ldb, int32_t type, float beta, void *c,
         int64_t ldc, int32_t out) {
    struct blas *blas = (struct blas *)d->blas;
    cudaDataType in_type = type == MHC_BF16 ? CUDA_R_16BF : CUDA_R_32F,
                 out_type = out == MHC_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    cublasStatus_t status = cublasSetStream(blas->handle, (cudaStream_t)queue);
    if (!status)
        status = cublasSetWorkspace(blas->handle, blas->workspace, WORKSPACE_BYTES);
    if (!status)
        status = cublasGemmEx_64(blas->handle, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                 transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &alpha, b, in_type, ldb, a, in_type,
                                 lda, &beta, c, out_type, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    if (status)
        snprintf(d->error, sizeof d->error, "cuBLAS: %s", cublasGetStatusString(status));
    return status != CUBLAS_STATUS_SUCCESS;
}

#else

#include <cblas.h>

int gemm_open(struct device *d) {
    openblas_set_num_threads(1);
    d->blas = NULL;
    return 0;
}

void gemm_close(struct device *d) {
    (void)d;
}

/* A matrix of `rows` x `columns` as floats: itself, or a copy to be freed. */
static const float *floats(const void *from, int64_t rows, int64_t columns, int64_t ld, int32_t type, int64_t *float_ld,
                           float **copy) {
    *copy = NULL;
    *float_ld = ld;
    if (type == MHC_F32)
        return (const float *)from;
    *float_ld = columns;
    *copy = (float *)malloc((size_t)(rows * columns + 1) * sizeof(float));
    for (int64_t i = 0; i < rows && *copy; i++)
        for (int64_t j = 0; j < columns; j++)
            (*copy)[i * columns + j] = to_float(((const struct bf16 *)from)[i * ld + j]);
    return *copy;
}

/* What must move at least: every operand once. */
static void count_operands(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const void *a,
                           int64_t lda, const void *b, int64_t ldb, int32_t type, float beta, const void *c,
                           int64_t ldc, int32_t out) {
    int64_t in = mhc_type_bytes(type), made = mhc_type_bytes(out);
    count_call("gemm");
    count_matrix(a, transpose_a ? k : m, (transpose_a ? m : k) * in, lda * in, false);
    count_matrix(b, transpose_b ? n : k, (transpose_b ? k : n) * in, ldb * in, false);
    if (beta != 0)
        count_matrix(c, m, n * made, ldc * made, false);
    count_matrix(c, m, n * made, ldc * made, true);
    count_call_end();
}

int gemm(struct device *d, void *queue, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
         float alpha, const void *a, int64_t lda, const void *b, int64_t ldb, int32_t type, float beta, void *c,
         int64_t ldc, int32_t out) {
    (void)queue;
    count_operands(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, type, beta, c, ldc, out);
    float *copy[3];
    int64_t ld[3];
    const float *left = transpose_a ? floats(a, k, m, lda, type, &ld[0], &copy[0])
                                    : floats(a, m, k, lda, type, &ld[0], &copy[0]);
    const float *right = transpose_b ? floats(b, n, k, ldb, type, &ld[1], &copy[1])
                                     : floats(b, k, n, ldb, type, &ld[1], &copy[1]);
    float *result = (float *)floats(c, m, n, ldc, out, &ld[2], &copy[2]);
    bool good = left && right && result;
    if (good)
        cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
                    (int)m, (int)n, (int)k, alpha, left, (int)ld[0], right, (int)ld[1], beta, result, (int)ld[2]);
    for (int64_t i = 0; i < m && copy[2]; i++)
        for (int64_t j = 0; j < n; j++)
            ((struct bf16 *)c)[i * ldc + j] = from_float<struct bf16>(result[i * n + j]);
    for (int k2 = 0; k2 < 3; k2++)
        free(copy[k2]);
    if (!good)
        snprintf(d->error, sizeof d->error, "out of memory in a GEMM");
    return !good;
}

#endif
