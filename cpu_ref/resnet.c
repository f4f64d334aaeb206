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

RUN(resnet_pre) {
    memcpy(a->u, a->x, (size_t)(c->T * c->C) * sizeof(real));
    return 0;
}

RUN(resnet_post) {
    add(a->x, a->y, a->x_next, c->T * c->C);
    return 0;
}

RUN(resnet_post_backward_y) {
    memcpy(a->grad_y, a->grad_x_next, (size_t)(c->T * c->C) * sizeof(real));
    return 0;
}

RUN(resnet_backward) {
    add(a->grad_x_next, a->grad_u, a->grad_x, c->T * c->C);
    return 0;
}

/* [T][C] to [T][n][C], n copies. */
static int copy_streams(const struct mhc_case *c, const real *from, real *to) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t i = 0; i < c->n; i++)
            memcpy(to + (t * c->n + i) * c->C, from + t * c->C, (size_t)c->C * sizeof(real));
    return 0;
}

/* [T][n][C] to [T][C], summed in the order of the streams. */
static int sum_streams(const struct mhc_case *c, const real *from, real *to) {
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

RUN(stack_entry) {
    return copy_streams(c, a->x0, a->x);
}
RUN(stack_entry_backward) {
    return sum_streams(c, a->grad_x, a->grad_x0);
}
RUN(stack_exit) {
    return sum_streams(c, a->x, a->out);
}
RUN(stack_exit_backward) {
    return copy_streams(c, a->grad_out, a->grad_x);
}

#define ROW(id, fits) \
    const struct mhc_row NAME(id) = {MHC_OPERATION(id), .supports = fits, .tolerance = NAME(tolerance), .run = id##_run}

ROW(resnet_pre, one_stream);
ROW(resnet_post, one_stream);
ROW(resnet_post_backward_y, one_stream);
ROW(resnet_backward, one_stream);
ROW(stack_entry, NAME(supports));
ROW(stack_entry_backward, NAME(supports));
ROW(stack_exit, NAME(supports));
ROW(stack_exit_backward, NAME(supports));
