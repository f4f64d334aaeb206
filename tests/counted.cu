/* A library that counts, with one row and, by -DPLANT, something in it that costs on a GPU and changes no result:
 * tests/test_counts.c holds each to the one with NOTHING. */
#include "cpu_ref/operations.h"
#include "kernels/device.h"

enum { THREADS = 128, NOTHING, UNCOALESCED, CONFLICT, TWICE, AGAIN };

/* grad_y = sum over n of post grad_x_next, one block per token, by way of shared memory. */
static __global__ void gather_kernel(const float *grad_x_next, const float *post, float *grad_y, int n, int C) {
    float *slot = (float *)shared_memory();
    int64_t t = blockIdx.x;
    int a_thread = C / THREADS;
    for (int k = 0; k < a_thread; k++) {
        int c = PLANT == UNCOALESCED ? (int)threadIdx.x * a_thread + k : k * THREADS + (int)threadIdx.x;
        int place = PLANT == CONFLICT ? c % WARP * (C / WARP) + c / WARP : c;
        float sum = 0;
        for (int again = 0; again < (PLANT == AGAIN ? 2 : 1); again++) {
            sum = 0;
            for (int i = 0; i < n; i++)
                sum = fmaf(post[t * n + i], ((const volatile float *)grad_x_next)[(t * n + i) * C + c], sum);
        }
        slot[place] = sum;
    }
    __syncthreads();
    for (int c = (int)threadIdx.x; c < C; c += THREADS)
        grad_y[t * C + c] = slot[PLANT == CONFLICT ? c % WARP * (C / WARP) + c / WARP : c];
}

/* The largest of a token's elements, for no use. */
static __global__ void largest_kernel(const float *x, float *largest, int nC) {
    float most = 0;
    for (int k = (int)threadIdx.x; k < nC; k += WARP)
        most = fmaxf(most, fabsf(x[(int64_t)blockIdx.x * nC + k]));
    most = warp_max(most);
    if (!threadIdx.x)
        largest[blockIdx.x] = most;
}

static int run(void *, void *queue, const struct mhc_case *c, void *const arg[], void *, void *work) {
    const struct mhc_post_backward_y_args *a = (const struct mhc_post_backward_y_args *)arg;
    int n = (int)c->n, C = (int)c->C;
    int failed = PLANT == TWICE ? LAUNCH(largest_kernel, (unsigned)c->T, WARP, 0, queue, (const float *)a->grad_x_next,
                                         (float *)work, n * C)
                                : 0;
    return failed || LAUNCH(gather_kernel, (unsigned)c->T, THREADS, (size_t)C * sizeof(float), queue,
                            (const float *)a->grad_x_next, (const float *)a->post, (float *)a->grad_y, n, C);
}

static bool supports(const struct mhc_case *c, const char **why) {
    return (c->stream == MHC_F32 && c->C % THREADS == 0) || (*why = "f32 and widths of 128 here", false);
}
static double tolerance(const struct mhc_case *) {
    return 1e-3;
}
static int64_t work_bytes(const struct mhc_case *c) {
    return c->T * (int64_t)sizeof(float);
}

static const struct mhc_row row = {MHC_OPERATION(mhc_post_backward_y), .supports = supports, .work_bytes = work_bytes,
                                   .tolerance = tolerance, .run = run};
static const struct mhc_row *const rows[] = {&row, NULL};
extern "C" __attribute__((visibility("default"))) const struct mhc_library mhc_library = {
    .abi = MHC_ABI, .size = sizeof(struct mhc_library), .name = "planted", .build = "a test's", .rows = rows};
