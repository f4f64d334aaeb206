/* mHC (Eq. 7-9, computed in the order of Eq. 14-19), with any residual map.
 *
 *   r = sqrt(mean(x^2) + rms_eps) over all nC     product = x.phi / r     logits = alpha_part * product + b
 *   pre = sigmoid (+ sinkhorn_eps in v4)          post = 2 sigmoid        res = map(logits)
 *
 * Backward, z = dL/dlogits: grad_b = sum_t z; grad_alpha = sum z * product; with q = alpha * z / r,
 *   grad_phi = sum_t x^T q;  grad_x gains q.phi^T - x * (sum_k alpha z product) / (nC r^2).
 * Kept from forward to backward: product [T][columns] and r [T]. Tokens go in blocks of BLOCK, each a task
 * of a thread. */
#include "cpu_ref/connection.h"
#include "cpu_ref/maps/map.h"
#include "cpu_ref/vecmath.h"

#include <omp.h>

#define BLOCK 64
#define MOST_COLUMNS (2 * MHC_MAX_STREAMS + MAP_MOST_LOGITS)

/* The arrays of one call, under the names of the header. */
struct mhc {
    const struct mhc_case *c;
    const struct residual_map *map;
    int64_t n, C, D, columns, K; /* D = nC; columns of phi: pre, post and the K logits of the map */
    bool mixes;                  /* res is not the identity, which stands nowhere */
    real pre_eps;
    const real *x, *phi, *b, *y, *g, *du;  /* g = grad_x_next, du = grad_u */
    real alpha[MOST_COLUMNS];              /* of the part that a column belongs to */
    const real *pre_in, *post_in, *res_in; /* of the backward; pre, post and res are those that the forward makes */
    real *u, *pre, *post, *res, *product, *r, *z, *q, *dx;
};

static struct mhc problem(const struct mhc_case *c, void *save) {
    int64_t columns = mhc_extent(c, 'Q');
    return (struct mhc){.c = c,
                        .map = NAME(map_of)(c),
                        .n = c->n,
                        .C = c->C,
                        .D = c->n * c->C,
                        .columns = columns,
                        .K = mhc_map_logits(c),
                        .mixes = mhc_extent(c, 'N') > 0,
                        .pre_eps = c->convention == MHC_V4 ? (real)c->sinkhorn_eps : 0,
                        .product = save,
                        .r = (real *)save + c->T * columns};
}

/* Part of column k: 0 pre, 1 post, 2 res. */
static int part(const struct mhc *m, int64_t k) {
    return k < m->n ? 0 : k < 2 * m->n ? 1 : 2;
}

static void spread_alpha(struct mhc *m, const real *alpha) {
    for (int64_t k = 0; k < m->columns; k++)
        m->alpha[k] = alpha[part(m, k)];
}

static real logit(const struct mhc *m, int64_t t, int64_t k) {
    return m->alpha[k] * m->product[t * m->columns + k] + m->b[k];
}

/* product and r of tokens [from, to). */
static void normalised_product(const struct mhc *m, int64_t from, int64_t to) {
    gemm(NO_TRANSPOSE, NO_TRANSPOSE, to - from, m->columns, m->D, 1, m->x + from * m->D, m->D, m->phi, m->columns, 0,
         m->product + from * m->columns, m->columns);
    for (int64_t t = from; t < to; t++) {
        m->r[t] = NAME(rms)(m->x + t * m->D, m->D, m->c->rms_eps);
        for (int64_t k = 0; k < m->columns; k++)
            m->product[t * m->columns + k] = m->r[t] == 0 ? 0 : m->product[t * m->columns + k] / m->r[t];
    }
}

/* The logits of the map of tokens [from, to), token after token. */
static void map_logits(const struct mhc *m, int64_t from, int64_t to, real *logits) {
    for (int64_t t = from; t < to; t++)
        for (int64_t k = 0; k < m->K; k++)
            *logits++ = logit(m, t, 2 * m->n + k);
}

static void pre_block(const struct mhc *m, int64_t from, int64_t to) {
    int64_t n = m->n;
    normalised_product(m, from, to);
    for (int64_t t = from; t < to; t++) {
        real gates[2 * MHC_MAX_STREAMS];
        for (int64_t k = 0; k < 2 * n; k++)
            gates[k] = logit(m, t, k);
        vec_apply(vec_sigmoid, 2 * n, gates, gates);
        for (int64_t i = 0; i < n; i++) {
            m->pre[t * n + i] = gates[i] + m->pre_eps;
            m->post[t * n + i] = 2 * gates[n + i];
        }
        NAME(aggregate)(n, m->C, m->x + t * m->D, m->pre + t * n, m->u + t * m->C);
    }
    if (!m->mixes)
        return;
    real logits[BLOCK * MAP_MOST_LOGITS];
    map_logits(m, from, to, logits);
    m->map->forward(m->c, to - from, logits, m->res + from * n * n);
}

static void pre_all(const struct mhc *m) {
#pragma omp parallel for schedule(dynamic) if (m->c->T > BLOCK)
    for (int64_t from = 0; from < m->c->T; from += BLOCK)
        pre_block(m, from, from + BLOCK < m->c->T ? from + BLOCK : m->c->T);
}

/* z of tokens [from, to), from the products of streams and gradients. */
static void logit_gradients(const struct mhc *m, int64_t from, int64_t to, void *history) {
    int64_t n = m->n;
    real dres[BLOCK * MHC_MAX_STREAMS * MHC_MAX_STREAMS], logits[BLOCK * MAP_MOST_LOGITS];
    for (int64_t t = from; t < to; t++) {
        real dpre[MHC_MAX_STREAMS], dpost[MHC_MAX_STREAMS], *z = m->z + t * m->columns;
        coefficient_gradients(n, m->C, m->x + t * m->D, m->y + t * m->C, m->g + t * m->D, m->du + t * m->C, dpre, dpost,
                              m->mixes ? dres + (t - from) * n * n : NULL);
        for (int64_t i = 0; i < n; i++) {
            real s = m->pre_in[t * n + i] - m->pre_eps, p = m->post_in[t * n + i];
            z[i] = dpre[i] * s * (1 - s);
            z[n + i] = dpost[i] * p * (1 - p / 2);
        }
    }
    if (!m->K || from >= to)
        return;
    map_logits(m, from, to, logits);
    real dlogits[BLOCK * MAP_MOST_LOGITS];
    m->map->backward(m->c, to - from, logits, dres, dlogits, history);
    for (int64_t t = from; t < to; t++)
        memcpy(m->z + t * m->columns + 2 * n, dlogits + (t - from) * m->K, (size_t)m->K * sizeof(real));
}

/* z, q and grad_x of tokens [from, to). */
static void backward_block(const struct mhc *m, int64_t from, int64_t to, void *history) {
    int64_t n = m->n, D = m->D;
    logit_gradients(m, from, to, history);
    for (int64_t t = from; t < to; t++) {
        real through_norm = 0, r = m->r[t], *q = m->q + t * m->columns;
        const real *z = m->z + t * m->columns, *product = m->product + t * m->columns;
#pragma omp simd reduction(+ : through_norm)
        for (int64_t k = 0; k < m->columns; k++) {
            q[k] = r == 0 ? 0 : m->alpha[k] * z[k] / r;
            through_norm += q[k] * product[k];
        }
        stream_gradient(n, m->C, m->g + t * D, m->du + t * m->C, m->pre_in + t * n,
                        m->mixes ? m->res_in + t * n * n : NULL, m->dx + t * D);
        /* Not one factor: through_norm / r^2 would overflow for small x, and x / r does not. */
        real factor = through_norm / (real)D, inverse = r == 0 ? 0 : 1 / r;
        for (int64_t k = 0; k < D; k++)
            m->dx[t * D + k] -= factor * (m->x[t * D + k] * inverse);
    }
    gemm(NO_TRANSPOSE, TRANSPOSE, to - from, D, m->columns, 1, m->q + from * m->columns, m->columns, m->phi, m->columns,
         1, m->dx + from * D, D);
}

/* grad_b and grad_alpha: sums over tokens, in their order. */
static void small_gradients(const struct mhc *m, real *db, real *dalpha) {
    double sum_b[MOST_COLUMNS] = {0}, sum_column[MOST_COLUMNS] = {0}, sum_alpha[3] = {0};
    for (int64_t t = 0; t < m->c->T; t++)
        for (int64_t k = 0; k < m->columns; k++) {
            double z = m->z[t * m->columns + k];
            sum_b[k] += z;
            sum_column[k] += z * (double)m->product[t * m->columns + k];
        }
    for (int64_t k = 0; k < m->columns; k++) {
        db[k] = (real)sum_b[k];
        sum_alpha[part(m, k)] += sum_column[k];
    }
    for (int p = 0; p < mhc_extent(m->c, 'E'); p++)
        dalpha[p] = (real)sum_alpha[p];
}

static void backward_all(struct mhc *m, real *dphi, real *db, real *dalpha, void *work) {
    m->z = work;
    m->q = m->z + m->c->T * m->columns;
    char *history = (char *)(m->q + m->c->T * m->columns);
    history += -(uintptr_t)history % 64;
    int64_t history_bytes = NAME(map_history_bytes)(m->c);
#pragma omp parallel for schedule(dynamic) if (m->c->T > BLOCK)
    for (int64_t from = 0; from < m->c->T; from += BLOCK)
        backward_block(m, from, from + BLOCK < m->c->T ? from + BLOCK : m->c->T,
                       history + omp_get_thread_num() * history_bytes);
    small_gradients(m, db, dalpha);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, m->D, m->columns, m->c->T, 1, m->x, m->D, m->q, m->columns, 0, dphi,
                  m->columns);
}

RUN(mhc_pre) {
    struct mhc m = problem(c, save);
    m.x = a->x, m.phi = a->phi, m.b = a->b, m.u = a->u, m.pre = a->pre, m.post = a->post, m.res = a->res;
    spread_alpha(&m, a->alpha);
    pre_all(&m);
    return 0;
}

/* The logits of res alone, for studies of them; nothing in a stack needs them. */
RUN(mhc_logits) {
    struct mhc m = problem(c, work);
    m.x = a->x, m.phi = a->phi, m.b = a->b;
    real *logits = a->logits;
    spread_alpha(&m, a->alpha);
#pragma omp parallel for schedule(dynamic) if (c->T > BLOCK)
    for (int64_t from = 0; from < c->T; from += BLOCK) {
        int64_t to = from + BLOCK < c->T ? from + BLOCK : c->T;
        normalised_product(&m, from, to);
        map_logits(&m, from, to, logits + from * m.K);
    }
    return 0;
}

RUN(mhc_backward) {
    struct mhc m = problem(c, save);
    m.x = a->x, m.y = a->y, m.g = a->grad_x_next, m.du = a->grad_u, m.phi = a->phi, m.b = a->b;
    m.pre_in = a->pre, m.post_in = a->post, m.res_in = a->res, m.dx = a->grad_x;
    spread_alpha(&m, a->alpha);
    backward_all(&m, a->grad_phi, a->grad_b, a->grad_alpha, work);
    return 0;
}

static int64_t mhc_save(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (mhc_extent(c, 'Q') + 1);
}
static int64_t mhc_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * 2 * mhc_extent(c, 'Q') + 64 +
           omp_get_max_threads() * NAME(map_history_bytes)(c);
}

const struct mhc_row NAME(mhc_pre) = {
    MHC_OPERATION(mhc_pre), .supports = NAME(map_supports), .save_bytes = mhc_save, .tolerance = NAME(tolerance),
    .run = mhc_pre_run,
};

const struct mhc_row NAME(mhc_logits) = {
    MHC_OPERATION(mhc_logits),    .supports = NAME(map_supports), .work_bytes = mhc_save,
    .tolerance = NAME(tolerance), .run = mhc_logits_run,
};

POST_ROWS(mhc);

const struct mhc_row NAME(mhc_backward) = {
    MHC_OPERATION(mhc_backward),  .supports = NAME(map_supports), .work_bytes = mhc_work,
    .tolerance = NAME(tolerance), .run = mhc_backward_run,
};
