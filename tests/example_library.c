/* A kernel library of one's own, whole: two operations of mHC in float32, in plain C. Build it, and gate it against the
 * reference or against its own last version:
 *
 *     cc -O3 -march=native -shared -fPIC -fvisibility=hidden -I. tests/example_library.c -o mine.so
 *     build/mhcbench regress --against cpu32 ./mine.so --operation mhc.post,mhc.post_backward_y --type f32
 *
 * Names, arguments, extents and roles are those of cpu_ref/operation.h; `mhcbench list --operations` shows them all. */
#include "cpu_ref/operation.h"

/* --- the operations --- */

#ifndef BROKEN
#define BROKEN 0 /* the tests build one that is a thousandth off, and one that forgets the last channel */
#endif

/* x_next[t][i] = sum_j res[t][i][j] x[t][j] + post[t][i] y[t]; returns 0, or nonzero when a device failed. */
static int post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    const float *x = arg[0], *y = arg[1], *post = arg[2], *res = arg[3];
    float *x_next = arg[4]; /* [T][n][C], to be overwritten whole */
    (void)context, (void)queue, (void)save, (void)work;
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < c->n; i++) {
            float *to = x_next + (t * c->n + i) * c->C;
            for (int64_t k = 0; k < c->C - (BROKEN == 2); k++)
                to[k] = post[t * c->n + i] * y[t * c->C + k] * (BROKEN == 1 ? 1.001f : 1);
            for (int64_t j = 0; j < c->n; j++)
                for (int64_t k = 0; k < c->C - (BROKEN == 2); k++)
                    to[k] += res[(t * c->n + i) * c->n + j] * x[(t * c->n + j) * c->C + k];
        }
    return 0;
}

/* grad_y[t] = sum_i post[t][i] grad_x_next[t][i] */
static int post_backward_y(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                           void *work) {
    const float *grad_x_next = arg[0], *post = arg[1];
    float *grad_y = arg[2];
    (void)context, (void)queue, (void)save, (void)work;
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < c->n; i++)
            for (int64_t k = 0; k < c->C; k++) {
                float term = post[t * c->n + i] * grad_x_next[(t * c->n + i) * c->C + k];
                grad_y[t * c->C + k] = i ? grad_y[t * c->C + k] + term : term;
            }
    return 0;
}

/* --- what is said about them --- */

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->stream == MHC_F32 && c->coef == MHC_F32 && c->param == MHC_F32)
        return true;
    *why = "float32 only";
    return false;
}

/* The largest error that is let pass, as a share of the array's largest element: sums of n + 1 terms, 8 roundings each. */
static double tolerance(const struct mhc_case *c) {
    return 8 * (double)(c->n + 1) * 6e-8;
}

static double post_flops(const struct mhc_case *c) {
    return 2 * (double)(c->T * c->n * c->C) * (double)(c->n + 1);
}

static double post_backward_y_flops(const struct mhc_case *c) {
    return 2 * (double)(c->T * c->n * c->C);
}

static const struct mhc_row row_post = {
    .name = "mhc.post",
    .args = {{"x", "TnC", MHC_STREAM, MHC_IN},
             {"y", "TC", MHC_STREAM, MHC_IN},
             {"post", "Tn", MHC_COEF, MHC_IN},
             {"res", "Tnn", MHC_COEF, MHC_IN},
             {"x_next", "TnC", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = post_flops,
    .tolerance = tolerance,
    .run = post,
};

static const struct mhc_row row_post_backward_y = {
    .name = "mhc.post_backward_y",
    .args = {{"grad_x_next", "TnC", MHC_STREAM, MHC_IN},
             {"post", "Tn", MHC_COEF, MHC_IN},
             {"grad_y", "TC", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = post_backward_y_flops,
    .tolerance = tolerance,
    .run = post_backward_y,
};

static const struct mhc_row *const rows[] = {&row_post, &row_post_backward_y, NULL};

/* The one symbol that is looked for. Without memory and queues of its own it works on host memory, synchronously. */
__attribute__((visibility("default"))) extern const struct mhc_library mhc_library;
const struct mhc_library mhc_library = {
    .abi = MHC_ABI, .size = sizeof(struct mhc_library), .name = "example", .build = "plain C", .rows = rows};
