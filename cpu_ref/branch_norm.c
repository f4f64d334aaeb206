/* The RMSNorm of all branches, and as rows of their own: `norm`, and `addnorm`, the residual addition and the norm
 * behind it. */
#include "cpu_ref/branch.h"

static void normalise_token(const struct mhc_case *c, const real *u, const real *gain, real *r, real *v) {
    real root = *r = NAME(rms)(u, c->C, c->rms_eps);
    for (int64_t k = 0; k < c->C; k++)
        v[k] = root == 0 ? 0 : u[k] / root * gain[k];
}

void NAME(normalise)(const struct mhc_case *c, const real *u, const real *gain, real *r, real *v) {
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        normalise_token(c, u + t * c->C, gain, r + t, v + t * c->C);
}

void NAME(normalise_backward)(const struct mhc_case *c, const real *u, const real *gain, const real *r,
                              const real *grad_v, const real *grad_sum, real *grad_u, real *grad_gain) {
    int64_t C = c->C;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t t = 0; t < c->T; t++) {
            const real *in = u + t * C, *g = grad_v + t * C;
            real *out = grad_u + t * C, inverse = r[t] == 0 ? 0 : 1 / r[t], sum = 0;
            for (int64_t k = 0; k < C; k++) {
                out[k] = g[k] * gain[k] * inverse;
                sum += out[k] * (in[k] * inverse);
            }
            for (int64_t k = 0; k < C; k++)
                out[k] -= in[k] * inverse * (sum / (real)C);
            for (int64_t k = 0; k < C && grad_sum; k++)
                out[k] += grad_sum[t * C + k];
        }
        /* A block of channels a task, tokens in their order. */
#pragma omp for schedule(static)
        for (int64_t from = 0; from < C; from += 64) {
            double sum[64] = {0};
            int64_t count = C - from < 64 ? C - from : 64;
            for (int64_t t = 0; t < c->T; t++) {
                real inverse = r[t] == 0 ? 0 : 1 / r[t];
                for (int64_t k = 0; k < count; k++)
                    sum[k] += (double)grad_v[t * C + from + k] * (u[t * C + from + k] * inverse);
            }
            for (int64_t k = 0; k < count; k++)
                grad_gain[from + k] = (real)sum[k];
        }
    }
}

/* --- rows --- */

RUN(norm_forward) {
    NAME(normalise)(c, a->u, a->gain, a->r, a->v);
    return 0;
}

RUN(norm_backward) {
    NAME(normalise_backward)(c, a->u, a->gain, a->r, a->grad_v, NULL, a->grad_u, a->grad_gain);
    return 0;
}

RUN(addnorm_forward) {
    const real *x = a->x, *y = a->y, *gain = a->gain;
    real *sum = a->sum, *v = a->v, *r = a->r;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        int64_t at = t * c->C;
        for (int64_t k = at; k < at + c->C; k++)
            sum[k] = x[k] + y[k];
        normalise_token(c, sum + at, gain, r + t, v + at);
    }
    return 0;
}

RUN(addnorm_backward) {
    NAME(normalise_backward)(c, a->sum, a->gain, a->r, a->grad_v, a->grad_sum, a->grad_x, a->grad_gain);
    return 0;
}

const struct mhc_row NAME(norm_forward) = {
    MHC_OPERATION(norm_forward),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = norm_forward_run,
};

const struct mhc_row NAME(norm_backward) = {
    MHC_OPERATION(norm_backward),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = norm_backward_run,
};

const struct mhc_row NAME(addnorm_forward) = {
    MHC_OPERATION(addnorm_forward),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = addnorm_forward_run,
};

const struct mhc_row NAME(addnorm_backward) = {
    MHC_OPERATION(addnorm_backward),
    .supports = NAME(supports),
    .tolerance = NAME(tolerance),
    .run = addnorm_backward_run,
};
