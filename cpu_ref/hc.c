/* HC as the mHC paper restates it (Eq. 5), dynamic and static.
 *
 *   r_i = sqrt(mean(x_i^2) + rms_eps) of each stream
 *   product_im = <theta_m, x_i> / r_i, m = pre, post, res_0 .. res_(n-1)
 *   pre_i = alpha_pre tanh(product_i,pre) + b_pre_i       post likewise
 *   res_ai = alpha_res tanh(product_i,res_a) + b_res_ai   (column i depends on its source stream alone)
 *
 * Static HC is the b alone, the same for every token. Backward, z = dL/dproduct: with q = z / r,
 *   grad_theta_m = sum q_im x_i;  grad_x_i gains sum_m q_im theta_m - x_i (sum_m q_im product_im) / (C r_i).
 * Kept from forward to backward: product [T][n][n+2] and r [T][n]. */
#include "cpu_ref/connection.h"
#include "cpu_ref/vecmath.h"

#include <omp.h>

#define BLOCK 64
#define MOST_PRODUCTS (MHC_MAX_STREAMS * (MHC_MAX_STREAMS + 2)) /* of a token */

struct hc {
    const struct mhc_case *c;
    int64_t n, C, D, maps; /* maps = n + 2: pre, post, rows of res */
    const real *x, *g, *y, *du, *b_pre, *b_post, *b_res, *alpha, *pre_in, *res_in; /* g = grad_x_next, du = grad_u */
    real *theta;                                                                   /* [maps][C] */
    real *u, *pre, *post, *res, *product, *r, *q, *dx;
    real *bounded; /* tanh(product), of the backward */
};

static struct hc problem(const struct mhc_case *c, void *save, void *work) {
    int64_t maps = c->n + 2;
    return (struct hc){.c = c,
                       .n = c->n,
                       .C = c->C,
                       .D = c->n * c->C,
                       .maps = maps,
                       .theta = work,
                       .product = save,
                       .r = (real *)save + c->T * c->n * maps};
}

/* theta_pre, theta_post [C] and theta_res [n][C] one behind the other, for one GEMM. */
static void gather_theta(const struct hc *h, const real *pre, const real *post, const real *res) {
    memcpy(h->theta, pre, (size_t)h->C * sizeof(real));
    memcpy(h->theta + h->C, post, (size_t)h->C * sizeof(real));
    memcpy(h->theta + 2 * h->C, res, (size_t)(h->n * h->C) * sizeof(real));
}

static void pre_block(const struct hc *h, int64_t from, int64_t to) {
    int64_t n = h->n, C = h->C, maps = h->maps;
    gemm(NO_TRANSPOSE, TRANSPOSE, (to - from) * n, maps, C, 1, h->x + from * h->D, C, h->theta, C, 0,
         h->product + from * n * maps, maps);
    for (int64_t t = from; t < to; t++) {
        real *product = h->product + t * n * maps, bounded[MOST_PRODUCTS];
        for (int64_t i = 0; i < n; i++) {
            real r = NAME(rms)(h->x + t * h->D + i * C, C, h->c->rms_eps);
            h->r[t * n + i] = r;
            for (int64_t m = 0; m < maps; m++)
                product[i * maps + m] = r == 0 ? 0 : product[i * maps + m] / r;
        }
        vec_apply(vec_tanh, n * maps, product, bounded);
        for (int64_t i = 0; i < n; i++) {
            const real *own = bounded + i * maps;
            h->pre[t * n + i] = h->alpha[0] * own[0] + h->b_pre[i];
            h->post[t * n + i] = h->alpha[1] * own[1] + h->b_post[i];
            for (int64_t a = 0; a < n; a++)
                h->res[(t * n + a) * n + i] = h->alpha[2] * own[2 + a] + h->b_res[a * n + i];
        }
        NAME(aggregate)(n, C, h->x + t * h->D, h->pre + t * n, h->u + t * C);
    }
}

/* Gradients of a token's coefficients, [n] [n] [n][n]. */
static void token_gradients(const struct hc *h, int64_t t, real *dpre, real *dpost, real *dres) {
    coefficient_gradients(h->n, h->C, h->x + t * h->D, h->y + t * h->C, h->g + t * h->D, h->du + t * h->C, dpre, dpost,
                          dres);
}

/* q and grad_x of tokens [from, to); the gradients of their coefficients go to dcoef [T][n (n+2)] for the sums. */
static void backward_block(const struct hc *h, int64_t from, int64_t to, real *dcoef) {
    int64_t n = h->n, C = h->C, maps = h->maps;
    for (int64_t t = from; t < to; t++) {
        real *d = dcoef + t * n * maps;
        vec_apply(vec_tanh, n * maps, h->product + t * n * maps, h->bounded + t * n * maps);
        token_gradients(h, t, d, d + n, d + 2 * n);
        stream_gradient(n, C, h->g + t * h->D, h->du + t * C, h->pre_in + t * n, h->res_in + t * n * n,
                        h->dx + t * h->D);
        for (int64_t i = 0; i < n; i++) {
            real r = h->r[t * n + i], inverse = r == 0 ? 0 : 1 / r, through_norm = 0, *q = h->q + (t * n + i) * maps;
            const real *product = h->product + (t * n + i) * maps, *bounded = h->bounded + (t * n + i) * maps;
            for (int64_t m = 0; m < maps; m++) {
                /* The gradient of the coefficient that map m has of stream i lies at d[m n + i]. */
                real s = bounded[m];
                q[m] = h->alpha[m < 2 ? m : 2] * d[m * n + i] * (1 - s * s) * inverse;
                through_norm += q[m] * product[m];
            }
            /* Not one factor: through_norm / r^2 would overflow for small x, and x / r does not. */
            real factor = through_norm / (real)C, *dx = h->dx + t * h->D + i * C;
            const real *x = h->x + t * h->D + i * C;
            for (int64_t k = 0; k < C; k++)
                dx[k] -= factor * (x[k] * inverse);
        }
    }
    gemm(NO_TRANSPOSE, NO_TRANSPOSE, (to - from) * n, C, maps, 1, h->q + from * n * maps, maps, h->theta, C, 1,
         h->dx + from * h->D, C);
}

/* grad_b_* and, if wanted, grad_alpha: sums over tokens in their order. */
static void small_gradients(const struct hc *h, const real *dcoef, real *db_pre, real *db_post, real *db_res,
                            real *dalpha) {
    int64_t n = h->n, maps = h->maps;
    double sum[MOST_PRODUCTS] = {0}, sum_alpha[3] = {0};
    for (int64_t t = 0; t < h->c->T; t++) {
        const real *d = dcoef + t * n * maps;
        for (int64_t k = 0; k < n * maps; k++)
            sum[k] += d[k];
        for (int64_t i = 0; i < n && dalpha; i++) {
            const real *bounded = h->bounded + (t * n + i) * maps;
            sum_alpha[0] += (double)d[i] * (double)bounded[0];
            sum_alpha[1] += (double)d[n + i] * (double)bounded[1];
            for (int64_t m = 2; m < maps; m++)
                sum_alpha[2] += (double)d[m * n + i] * (double)bounded[m];
        }
    }
    for (int64_t k = 0; k < n; k++) {
        db_pre[k] = (real)sum[k];
        db_post[k] = (real)sum[n + k];
    }
    for (int64_t k = 0; k < n * n; k++)
        db_res[k] = (real)sum[2 * n + k];
    for (int p = 0; p < 3 && dalpha; p++)
        dalpha[p] = (real)sum_alpha[p];
}

RUN(hc_pre) {
    struct hc h = problem(c, save, work);
    h.x = a->x, h.b_pre = a->b_pre, h.b_post = a->b_post, h.b_res = a->b_res, h.alpha = a->alpha;
    h.u = a->u, h.pre = a->pre, h.post = a->post, h.res = a->res;
    gather_theta(&h, a->theta_pre, a->theta_post, a->theta_res);
#pragma omp parallel for schedule(dynamic) if (c->T > BLOCK)
    for (int64_t from = 0; from < c->T; from += BLOCK)
        pre_block(&h, from, from + BLOCK < c->T ? from + BLOCK : c->T);
    return 0;
}

RUN(hc_backward) {
    struct hc h = problem(c, save, work);
    h.x = a->x, h.y = a->y, h.g = a->grad_x_next, h.du = a->grad_u, h.alpha = a->alpha, h.dx = a->grad_x;
    h.pre_in = a->pre, h.res_in = a->res;
    h.q = h.theta + h.maps * h.C;
    real *dcoef = h.q + c->T * h.n * h.maps, *dtheta = dcoef + c->T * h.n * h.maps;
    h.bounded = dtheta + h.maps * h.C;
    gather_theta(&h, a->theta_pre, a->theta_post, a->theta_res);
#pragma omp parallel for schedule(dynamic) if (c->T > BLOCK)
    for (int64_t from = 0; from < c->T; from += BLOCK)
        backward_block(&h, from, from + BLOCK < c->T ? from + BLOCK : c->T, dcoef);
    small_gradients(&h, dcoef, a->grad_b_pre, a->grad_b_post, a->grad_b_res, a->grad_alpha);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, h.maps, h.C, c->T * h.n, 1, h.q, h.maps, h.x, h.C, 0, dtheta, h.C);
    memcpy(a->grad_theta_pre, dtheta, (size_t)h.C * sizeof(real));
    memcpy(a->grad_theta_post, dtheta + h.C, (size_t)h.C * sizeof(real));
    memcpy(a->grad_theta_res, dtheta + 2 * h.C, (size_t)(h.n * h.C) * sizeof(real));
    return 0;
}

RUN(static_pre) {
    const real *x = a->x;
    real *u = a->u, *pre = a->pre, *post = a->post, *res = a->res;
    int64_t n = c->n, C = c->C;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        memcpy(pre + t * n, a->b_pre, (size_t)n * sizeof(real));
        memcpy(post + t * n, a->b_post, (size_t)n * sizeof(real));
        memcpy(res + t * n * n, a->b_res, (size_t)(n * n) * sizeof(real));
        NAME(aggregate)(n, C, x + t * n * C, pre + t * n, u + t * C);
    }
    return 0;
}

RUN(static_backward) {
    struct hc h = problem(c, NULL, NULL);
    h.x = a->x, h.y = a->y, h.g = a->grad_x_next, h.du = a->grad_u, h.pre_in = a->pre, h.res_in = a->res,
    h.dx = a->grad_x;
    real *dcoef = work;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++) {
        real *d = dcoef + t * h.n * h.maps;
        token_gradients(&h, t, d, d + h.n, d + 2 * h.n);
        stream_gradient(h.n, h.C, h.g + t * h.D, h.du + t * h.C, h.pre_in + t * h.n, h.res_in + t * h.n * h.n,
                        h.dx + t * h.D);
    }
    small_gradients(&h, dcoef, a->grad_b_pre, a->grad_b_post, a->grad_b_res, NULL);
    return 0;
}

/* res is made of parameters here, whatever the map of the case, but it has to have a place. */
static bool supports(const struct mhc_case *c, const char **why) {
    if (c->map == MHC_IDENTITY)
        return *why = "res is made here, so the map cannot be the identity", false;
    return NAME(supports)(c, why);
}

static int64_t hc_save(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * c->n * (c->n + 3);
}
static int64_t hc_pre_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * (c->n + 2) * c->C;
}
static int64_t hc_backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * (c->n + 2) * (2 * c->C + 3 * c->T * c->n);
}
static int64_t static_backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * c->n * (c->n + 2);
}

const struct mhc_row NAME(hc_pre) = {
    MHC_OPERATION(hc_pre),     .supports = supports,         .save_bytes = hc_save,
    .work_bytes = hc_pre_work, .tolerance = NAME(tolerance), .run = hc_pre_run,
};

POST_ROWS(hc);

const struct mhc_row NAME(hc_backward) = {
    MHC_OPERATION(hc_backward),   .supports = supports,   .work_bytes = hc_backward_work,
    .tolerance = NAME(tolerance), .run = hc_backward_run,
};

const struct mhc_row NAME(static_pre) = {
    MHC_OPERATION(static_pre),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = static_pre_run,
};

POST_ROWS(static);

const struct mhc_row NAME(static_backward) = {
    MHC_OPERATION(static_backward), .supports = supports,       .work_bytes = static_backward_work,
    .tolerance = NAME(tolerance),   .run = static_backward_run,
};
