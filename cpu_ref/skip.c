/* One number per site: x_next = scale x + y, u = x. n = 1, and res is that number for every token. */
#include "cpu_ref/real.h"

static bool one_stream(const struct mhc_case *c, const char **why) {
    if (c->n != 1)
        return *why = "a scaled skip has one stream: n must be 1", false;
    return NAME(supports)(c, why);
}

/* out_t = res_t a_t + b_t */
static void scale_and_add(const struct mhc_case *c, const real *res, const real *a, const real *b, real *out) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t k = t * c->C; k < (t + 1) * c->C; k++)
            out[k] = res[t] * a[k] + b[k];
}

RUN(skip_pre) {
    real scale = *(const real *)a->scale, *res = a->res;
    memcpy(a->u, a->x, (size_t)(c->T * c->C) * sizeof(real));
    for (int64_t t = 0; t < c->T; t++)
        res[t] = scale;
    return 0;
}

RUN(skip_post) {
    scale_and_add(c, a->res, a->x, a->y, a->x_next);
    return 0;
}

RUN(skip_post_backward_y) {
    memcpy(a->grad_y, a->grad_x_next, (size_t)(c->T * c->C) * sizeof(real));
    return 0;
}

static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(double) * c->T;
}

/* grad_scale = sum_t <grad_x_next_t, x_t>, tokens in their order. */
RUN(skip_backward) {
    const real *g = a->grad_x_next, *x = a->x;
    double *each = work, sum = 0;
    scale_and_add(c, a->res, g, a->grad_u, a->grad_x);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        each[t] = (double)NAME(dot)(g + t * c->C, x + t * c->C, c->C);
    for (int64_t t = 0; t < c->T; t++)
        sum += each[t];
    *(real *)a->grad_scale = (real)sum;
    return 0;
}

#define ROW(id, bytes)                                                                                                 \
    const struct mhc_row NAME(id) = {                                                                                  \
        MHC_OPERATION(id), .supports = one_stream, .work_bytes = bytes, .tolerance = NAME(tolerance), .run = id##_run, \
    }

ROW(skip_pre, NULL);
ROW(skip_post, NULL);
ROW(skip_post_backward_y, NULL);
ROW(skip_backward, backward_work);
