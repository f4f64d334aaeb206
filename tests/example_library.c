/* A kernel library of one's own, whole: two operations of mHC in float32, in plain C. Build it, and gate it against the
 * reference or against its own last version:
 *
 *     cc -O3 -march=native -shared -fPIC -fvisibility=hidden -I. -o mine.so \
 *         tests/example_library.c cpu_ref/operations.c
 *     build/mhcbench regress --against cpu32 ./mine.so --operation mhc.post,mhc.post_backward_y --type f32
 *
 * cpu_ref/operations.def says what each operation reads and writes, and in what order; operation.h what the shapes
 * mean. */
#include "cpu_ref/operations.h"

/* --- the operations --- */

#ifndef BROKEN
#define BROKEN 0 /* the tests build one that is a thousandth off, and one that forgets the last channel */
#endif

/* x_next[t][i] = sum_j res[t][i][j] x[t][j] + post[t][i] y[t]; returns 0, or nonzero when a device failed. */
static int post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    const struct mhc_post_args *a = (const struct mhc_post_args *)arg;
    const float *x = a->x, *y = a->y, *post = a->post, *res = a->res;
    float *x_next = a->x_next; /* [T][n][C], to be overwritten whole */
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
    const struct mhc_post_backward_y_args *a = (const struct mhc_post_backward_y_args *)arg;
    const float *grad_x_next = a->grad_x_next, *post = a->post;
    float *grad_y = a->grad_y;
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
    if (c->stream == MHC_F32 && c->coef == MHC_F32 && c->param == MHC_F32 && c->map != MHC_IDENTITY)
        return true;
    *why = "float32 only, and not identity HC, which has no res";
    return false;
}

/* The largest error that is let pass, as a share of the array's largest element: sums of n + 1 terms, 8
 * roundings each. */
static double tolerance(const struct mhc_case *c) {
    return 8 * (double)(c->n + 1) * 6e-8;
}

/* MHC_OPERATION fills in the rest of a row: name, arguments, floating-point operations and bytes. */
static const struct mhc_row row_post = {MHC_OPERATION(mhc_post), .supports = supports, .tolerance = tolerance,
                                        .run = post};
static const struct mhc_row row_post_backward_y = {MHC_OPERATION(mhc_post_backward_y), .supports = supports,
                                                   .tolerance = tolerance, .run = post_backward_y};

static const struct mhc_row *const rows[] = {&row_post, &row_post_backward_y, NULL};

/* The one symbol that is looked for. Without memory and queues of its own it works on host memory, synchronously. */
__attribute__((visibility("default"))) extern const struct mhc_library mhc_library;
const struct mhc_library mhc_library = {
    .abi = MHC_ABI, .size = sizeof(struct mhc_library), .name = "example", .build = "plain C", .rows = rows};
