/* ResNet: n = 1, res = pre = post = 1, so u = x and x_next = x + y; and the ends of any stack: x0 copied to n streams
 * at the entry, the streams summed at the exit. */
#include "cpu_ref/real.h"

static bool one_stream(const struct mhc_case *c, const char **why) {
    if (c->n != 1)
        return *why = "a ResNet has one stream: n must be 1", false;
    return NAME(supports)(c, why);
}

/* out = a + b */
static void add(const real *a, const real *b, real *out, int64_t count) {
#pragma omp parallel for simd schedule(static)
    for (int64_t k = 0; k < count; k++)
        out[k] = a[k] + b[k];
}

static int pre(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    memcpy(arg[1], arg[0], (size_t)(c->T * c->C) * sizeof(real));
    return 0;
}

static int post(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    add(arg[0], arg[1], arg[2], c->T * c->C);
    return 0;
}

/* [T][C] to [T][n][C], n copies. */
static int copy_streams(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                        void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const real *from = arg[0];
    real *to = arg[1];
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < c->n; i++)
            memcpy(to + (t * c->n + i) * c->C, from + t * c->C, (size_t)c->C * sizeof(real));
    return 0;
}

/* [T][n][C] to [T][C], summed in the order of the streams. */
static int sum_streams(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                       void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const real *from = arg[0];
    real *to = arg[1];
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t k = 0; k < c->C; k++) {
            real sum = from[t * c->n * c->C + k];
            for (int64_t i = 1; i < c->n; i++)
                sum += from[(t * c->n + i) * c->C + k];
            to[t * c->C + k] = sum;
        }
    return 0;
}

static double no_flops(const struct mhc_case *c) {
    (void)c;
    return 0;
}
static double add_flops(const struct mhc_case *c) {
    return (double)(c->T * c->C);
}
static double sum_flops(const struct mhc_case *c) {
    return (double)(c->T * c->C) * (double)(c->n - 1);
}

#define ROW(id, text, fits, cost, function, ...)                   \
    const struct mhc_row NAME(id) = {MHC_OPERATION(id), .name = text,                 \
                                     \
                                     .supports = fits,             \
                                     \
                                     .tolerance = NAME(tolerance), \
                                     .run = function}
#define IN(name, extents) \
    { name, extents, MHC_STREAM, MHC_IN }
#define OUT(name, extents) \
    { name, extents, MHC_STREAM, MHC_OUT }

ROW(resnet_pre, "resnet.pre", one_stream, no_flops, pre, IN("x", "TnC"), OUT("u", "TC"));
ROW(resnet_post, "resnet.post", one_stream, add_flops, post, IN("x", "TnC"), IN("y", "TC"), OUT("x_next", "TnC"));
ROW(resnet_post_backward_y, "resnet.post_backward_y", one_stream, no_flops, pre, IN("grad_x_next", "TnC"),
    OUT("grad_y", "TC"));
ROW(resnet_backward, "resnet.backward", one_stream, add_flops, post, IN("grad_x_next", "TnC"), IN("grad_u", "TC"),
    OUT("grad_x", "TnC"));
ROW(stack_entry, "stack.entry", NAME(supports), no_flops, copy_streams, IN("x0", "TC"), OUT("x", "TnC"));
ROW(stack_entry_backward, "stack.entry_backward", NAME(supports), sum_flops, sum_streams, IN("grad_x", "TnC"),
    OUT("grad_x0", "TC"));
ROW(stack_exit, "stack.exit", NAME(supports), sum_flops, sum_streams, IN("x", "TnC"), OUT("out", "TC"));
ROW(stack_exit_backward, "stack.exit_backward", NAME(supports), no_flops, copy_streams, IN("grad_out", "TC"),
    OUT("grad_x", "TnC"));
