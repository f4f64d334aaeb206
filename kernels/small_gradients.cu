/* Gradients of b and alpha: sums over tokens in two levels, tokens of a block in order and then the blocks in order. */
#include "kernels/connection_backward.h"

enum { LEAST_TOKENS = 32, MOST_BLOCKS = 512 };

static int64_t tokens_a_block(int64_t T) {
    int64_t tokens = blocks_of(T, MOST_BLOCKS);
    return tokens > LEAST_TOKENS ? tokens : (int64_t)LEAST_TOKENS;
}

/* What alpha multiplied in coefficient k of token t. */
static __device__ __forceinline__ float slope(const struct small_gradients *s, int n, int64_t t, int k) {
    if (!s->hc)
        return s->product[t * s->columns + k];
    int m = k / n, i = k % n; /* parts of n: pre, post, rows of res, as HC's columns are */
    return tanhf(s->product[(t * n + i) * (n + 2) + m]);
}

/* Thread k sums coefficient k over the tokens of its block: partial [block][2][columns]. */
static __global__ void tokens_kernel(struct small_gradients s, int64_t T, int n, int64_t tokens, double *partial) {
    int k = (int)threadIdx.x;
    int64_t from = blockIdx.x * tokens, to = from + tokens < T ? from + tokens : T;
    if (k >= s.columns)
        return;
    double sum = 0, sum_alpha = 0;
    for (int64_t t = from; t < to; t++) {
        float z = s.z[t * s.columns + k];
        sum += z;
        if (s.dalpha)
            sum_alpha += (double)z * slope(&s, n, t, k);
    }
    partial[(2 * (int64_t)blockIdx.x) * s.columns + k] = sum;
    partial[(2 * (int64_t)blockIdx.x + 1) * s.columns + k] = sum_alpha;
}

/* One block: sums over the blocks, then over the columns of each part. */
static __global__ void blocks_kernel(struct small_gradients s, int n, int64_t blocks, const double *partial) {
    double *alpha = (double *)shared_memory(), sum = 0, sum_alpha = 0;
    int k = (int)threadIdx.x;
    for (int64_t b = 0; b < blocks && k < s.columns; b++) {
        sum += partial[2 * b * s.columns + k];
        sum_alpha += partial[(2 * b + 1) * s.columns + k];
    }
    float *db = k < n ? s.db[0] : k < 2 * n ? s.db[1] : s.db[2];
    if (k < s.columns)
        db[k < n ? k : k < 2 * n ? k - n : k - 2 * n] = (float)sum;
    alpha[k] = sum_alpha;
    __syncthreads();
    int end = k == 0 ? n : k == 1 ? 2 * n : s.columns;
    if (!s.dalpha || k >= 3 || k * n >= s.columns)
        return;
    sum = 0;
    for (int column = k * n; column < end; column++)
        sum += alpha[column];
    s.dalpha[k] = (float)sum;
}

int gpu_small_gradients(struct device *d, void *queue, const struct mhc_case *c, const struct small_gradients *s,
                        void *work) {
    int64_t tokens = tokens_a_block(c->T), blocks = blocks_of(c->T, tokens);
    unsigned threads = (unsigned)(blocks_of(s->columns, WARP) * WARP);
    return CHECKED(d, LAUNCH(tokens_kernel, (unsigned)blocks, threads, 0, queue, *s, c->T, (int)c->n, tokens,
                             (double *)work)) ||
           CHECKED(d, LAUNCH(blocks_kernel, 1, threads, threads * sizeof(double), queue, *s, (int)c->n, blocks,
                             (const double *)work));
}

int64_t gpu_small_gradients_work_bytes(const struct mhc_case *c, int columns) {
    return blocks_of(c->T, tokens_a_block(c->T)) * 2 * columns * (int64_t)sizeof(double);
}
