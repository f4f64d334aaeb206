/* Branch `attention`: v = RMSNorm(u); q, k, w = v.(w_q, w_k, w_v), in heads of head_dim; causal softmax(q.k^T /
 * sqrt(head_dim)).w within sequences of S tokens; y = heads.w_o. No positions, no biases.
 *
 * A task is one head of one sequence; it takes QUERIES rows of scores at a time, so the S x S matrix is never whole.
 * q, k, w lie side by side in one array qkv [T][3][A], and so do their gradients. Keeps qkv, the head outputs o
 * [T][A] and the log-sum-exp of every row of scores [T][heads]. Backward, P = exp(scores - lse), D = <grad_o, o>:
 * grad_w = P^T.grad_o; dS = P o (grad_o.w^T - D); grad_q = dS.k; grad_k = dS^T.q, both over sqrt(head_dim). */
#include "cpu_ref/branch.h"
#include "cpu_ref/vecmath.h"

#include <omp.h>

#define QUERIES 64 /* at most */

struct attention {
    const struct mhc_case *c;
    int64_t T, C, A, S, d;
    int64_t ld;      /* from a token to the next in q, k, w and their gradients; in o and grad_o it is A */
    int64_t row;     /* from a row of scores to the next: S in whole vectors */
    int64_t queries; /* rows of scores at a time; few where they are short, as half of them lies behind the diagonal */
    real scale;
    const real *q, *k, *w;
    real *o, *lse;
};

/* Elements of the vectors that hold `count` elements. */
static int64_t whole(int64_t count) {
    return (count + LANES - 1) / LANES * LANES;
}

static struct attention problem(const struct mhc_case *c, const real *qkv, real *o, real *lse) {
    int64_t A = c->heads * c->head_dim;
    return (struct attention){.c = c,
                              .T = c->T,
                              .C = c->C,
                              .A = A,
                              .S = mhc_sequence(c),
                              .d = c->head_dim,
                              .ld = 3 * A,
                              .row = whole(mhc_sequence(c)),
                              .queries = mhc_sequence(c) > 2 * QUERIES ? QUERIES : QUERIES / 2,
                              .scale = (real)(1 / sqrt((double)c->head_dim)),
                              .q = qkv,
                              .k = qkv + A,
                              .w = qkv + 2 * A,
                              .o = o,
                              .lse = lse};
}

/* What the branch keeps: qkv, o, lse. */
static struct attention saved(const struct mhc_case *c, void *save) {
    int64_t size = c->T * c->heads * c->head_dim;
    real *qkv = save;
    return problem(c, qkv, qkv + 3 * size, qkv + 4 * size);
}

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->heads < 1 || c->head_dim < 1)
        return *why = "heads and head_dim must be at least 1", false;
    if (c->T % mhc_sequence(c))
        return *why = "T must be a multiple of S", false;
    return NAME(supports)(c, why);
}

/* The first element of a head at token s of a sequence, in an array whose rows lie ld apart. */
static int64_t place(const struct attention *a, int64_t sequence, int64_t head, int64_t s, int64_t ld) {
    return (sequence * a->S + s) * ld + head * a->d;
}

/* Rows [from, to) and columns [0, to) of q.k^T / sqrt(head_dim) of a head; at = its place in q at the first token of
 * its sequence. */
static void scores(const struct attention *a, int64_t at, int64_t from, int64_t to, real *P) {
    gemm(NO_TRANSPOSE, TRANSPOSE, to - from, to, a->d, a->scale, a->q + at + from * a->ld, a->ld, a->k + at, a->ld, 0,
         P, a->row);
}

/* A row of scores becomes its softmax over the first `seen` columns, and 0 from there to `width`. Returns the
 * log-sum-exp. Vectors may reach beyond what is seen: there stands a score that is seen, until all is summed. */
static real softmax(int64_t seen, int64_t width, real *row) {
    for (int64_t j = seen; j < whole(seen); j++)
        row[j] = row[0];
    vec most = vec_load(row), total = {0};
    for (int64_t j = LANES; j < seen; j += LANES)
        most = vec_max(vec_load(row + j), most);
    real largest = most[0];
    for (int64_t w = 1; w < LANES; w++)
        largest = most[w] > largest ? most[w] : largest;
    for (int64_t j = 0; j < seen; j += LANES)
        vec_store(row + j, vec_exp(vec_load(row + j) - largest));
    for (int64_t j = seen; j < width; j++)
        row[j] = 0;
    for (int64_t j = 0; j < seen; j += LANES)
        total += vec_load(row + j);
    real sum = vec_sum(total), inverse = 1 / sum;
    for (int64_t j = 0; j < seen; j += LANES)
        vec_store(row + j, vec_load(row + j) * inverse);
    return largest + (real)log(sum);
}

static void forward_head(const struct attention *a, int64_t sequence, int64_t head, real *P) {
    int64_t at = place(a, sequence, head, 0, a->ld);
    for (int64_t from = 0; from < a->S; from += a->queries) {
        int64_t to = from + a->queries < a->S ? from + a->queries : a->S;
        scores(a, at, from, to, P);
        for (int64_t s = from; s < to; s++)
            a->lse[(sequence * a->S + s) * a->c->heads + head] = softmax(s + 1, whole(to), P + (s - from) * a->row);
        gemm(NO_TRANSPOSE, NO_TRANSPOSE, to - from, a->d, to, 1, P, a->row, a->w + at, a->ld, 0,
             a->o + place(a, sequence, head, from, a->A), a->A);
    }
}

/* All heads of all sequences; `blocks` has a block of QUERIES rows a thread. */
static void attend(const struct attention *a, real *blocks) {
    int64_t heads = a->c->heads;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < a->T / a->S * heads; task++)
        forward_head(a, task / heads, task % heads, blocks + omp_get_thread_num() * QUERIES * a->row);
}

RUN(attention_forward) {
    struct attention h = saved(c, save);
    real *v = work, *r = v + h.T * h.C, *P = r + h.T, *qkv = save;
    const real *const weight[] = {a->w_q, a->w_k, a->w_v};
    NAME(normalise)(c, a->u, a->gain, r, v);
    for (int k = 0; k < 3; k++)
        gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, h.T, h.A, h.C, 1, v, h.C, weight[k], h.A, 0, qkv + k * h.A, h.ld);
    attend(&h, P);
    gemm_parallel(NO_TRANSPOSE, NO_TRANSPOSE, h.T, h.C, h.A, 1, h.o, h.A, a->w_o, h.C, 0, a->y, h.C);
    return 0;
}

/* Gradients of q, k, w of one head, where they lie in grad_qkv, from grad_o. P and dS: QUERIES rows each. */
static void backward_head(const struct attention *a, int64_t sequence, int64_t head, const real *grad_o, real *grad_qkv,
                          real *P, real *dS) {
    int64_t at = place(a, sequence, head, 0, a->ld), ld = a->ld, A = a->A, d = a->d;
    real *grad_q = grad_qkv + at, *grad_k = grad_q + A, *grad_w = grad_k + A;
    for (int64_t from = 0; from < a->S; from += a->queries) {
        int64_t to = from + a->queries < a->S ? from + a->queries : a->S, rows = to - from;
        const real *own_grad_o = grad_o + place(a, sequence, head, from, A),
                   *own_o = a->o + place(a, sequence, head, from, A);
        scores(a, at, from, to, P);
        gemm(NO_TRANSPOSE, TRANSPOSE, rows, to, d, 1, own_grad_o, A, a->w + at, ld, 0, dS, a->row);
        for (int64_t s = from; s < to; s++) {
            real *p = P + (s - from) * a->row, *ds = dS + (s - from) * a->row;
            real lse = a->lse[(sequence * a->S + s) * a->c->heads + head];
            real D = NAME(dot)(own_grad_o + (s - from) * A, own_o + (s - from) * A, d);
            for (int64_t j = 0; j <= s; j += LANES) {
                vec share = vec_exp(vec_load(p + j) - lse);
                vec_store(p + j, share);
                vec_store(ds + j, share * (vec_load(ds + j) - D) * a->scale);
            }
            for (int64_t j = s + 1; j < whole(to); j++)
                p[j] = ds[j] = 0;
        }
        /* Columns from `from` on are touched for the first time by this block of queries. */
        for (int64_t s = from; s < to; s++)
            for (int64_t j = 0; j < d; j++)
                grad_k[s * ld + j] = grad_w[s * ld + j] = 0;
        gemm(TRANSPOSE, NO_TRANSPOSE, to, d, rows, 1, P, a->row, own_grad_o, A, 1, grad_w, ld);
        gemm(TRANSPOSE, NO_TRANSPOSE, to, d, rows, 1, dS, a->row, a->q + at + from * ld, ld, 1, grad_k, ld);
        gemm(NO_TRANSPOSE, NO_TRANSPOSE, rows, d, to, 1, dS, a->row, a->k + at, ld, 0, grad_q + from * ld, ld);
    }
}

/* All heads of all sequences; `blocks` has two blocks of QUERIES rows a thread. */
static void attend_backward(const struct attention *a, const real *grad_o, real *grad_qkv, real *blocks) {
    int64_t heads = a->c->heads, block = QUERIES * a->row;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < a->T / a->S * heads; task++) {
        real *P = blocks + omp_get_thread_num() * 2 * block;
        backward_head(a, task / heads, task % heads, grad_o, grad_qkv, P, P + block);
    }
}

RUN(attention_backward) {
    struct attention h = saved(c, save);
    int64_t size = h.T * h.A;
    const real *grad_y = a->grad_y, *const weight[] = {a->w_q, a->w_k, a->w_v};
    real *v = work, *grad_v = v + h.T * h.C, *r = grad_v + h.T * h.C, *grad_o = r + h.T;
    real *grad_qkv = grad_o + size,
         *blocks = grad_qkv + 3 * size, *const grad_weight[] = {a->grad_w_q, a->grad_w_k, a->grad_w_v};
    NAME(normalise)(c, a->u, a->gain, r, v);
    gemm_parallel(TRANSPOSE, NO_TRANSPOSE, h.A, h.C, h.T, 1, h.o, h.A, grad_y, h.C, 0, a->grad_w_o, h.C);
    gemm_parallel(NO_TRANSPOSE, TRANSPOSE, h.T, h.A, h.C, 1, grad_y, h.C, a->w_o, h.C, 0, grad_o, h.A);
    attend_backward(&h, grad_o, grad_qkv, blocks);
    for (int k = 0; k < 3; k++) { /* grad_v is the sum of the three */
        const real *grad = grad_qkv + k * h.A;
        gemm_parallel(TRANSPOSE, NO_TRANSPOSE, h.C, h.A, h.T, 1, v, h.C, grad, h.ld, 0, grad_weight[k], h.A);
        gemm_parallel(NO_TRANSPOSE, TRANSPOSE, h.T, h.C, h.A, 1, grad, h.ld, weight[k], h.A, k > 0, grad_v, h.C);
    }
    NAME(normalise_backward)(c, a->u, a->gain, r, grad_v, NULL, a->grad_u, a->grad_gain);
    return 0;
}

static int64_t save_bytes(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * (4 * c->heads * c->head_dim + c->heads);
}
static int64_t forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * (c->T * (c->C + 1) + omp_get_max_threads() * QUERIES * whole(mhc_sequence(c)));
}
static int64_t backward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * (c->T * (2 * c->C + 1 + 4 * c->heads * c->head_dim) +
                                    omp_get_max_threads() * 2 * QUERIES * whole(mhc_sequence(c)));
}

const struct mhc_row NAME(attention_forward) = {
    MHC_OPERATION(attention_forward), .supports = supports,         .save_bytes = save_bytes,
    .work_bytes = forward_work,       .tolerance = NAME(tolerance), .run = attention_forward_run,
};

const struct mhc_row NAME(attention_backward) = {
    MHC_OPERATION(attention_backward), .supports = supports,          .work_bytes = backward_work,
    .tolerance = NAME(tolerance),      .run = attention_backward_run,
};

/* --- what lies between the projections as rows of its own --- */

RUN(attention_core_forward) {
    struct attention h = problem(c, a->qkv, a->o, save);
    attend(&h, work);
    return 0;
}

RUN(attention_core_backward) {
    struct attention h = problem(c, a->qkv, (real *)a->o, save); /* o is read only */
    attend_backward(&h, a->grad_o, a->grad_qkv, work);
    return 0;
}

static int64_t core_save_bytes(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * c->T * c->heads;
}
static int64_t core_forward_work(const struct mhc_case *c) {
    return (int64_t)sizeof(real) * omp_get_max_threads() * QUERIES * whole(mhc_sequence(c));
}
static int64_t core_backward_work(const struct mhc_case *c) {
    return 2 * core_forward_work(c);
}
/* A product with the scores: a multiply-add for each of T (S + 1) / 2 pairs of a query and a key that it sees, and
 * each of A channels. The forward has two of them, the backward, which makes the scores again, five. */

const struct mhc_row NAME(attention_core_forward) = {
    MHC_OPERATION(attention_core_forward), .supports = supports,         .save_bytes = core_save_bytes,
    .work_bytes = core_forward_work,       .tolerance = NAME(tolerance), .run = attention_core_forward_run,
};

const struct mhc_row NAME(attention_core_backward) = {
    MHC_OPERATION(attention_core_backward), .supports = supports,
    .work_bytes = core_backward_work,       .tolerance = NAME(tolerance),
    .run = attention_core_backward_run,
};
