/* Sinkhorn-Knopp, the map of mHC (Eq. 9): M0 = exp(logits), then t_max times columns and rows divided by their sums,
 * rows last.
 *
 * `v4` is the same on DeepSeek-V4's transposed logits with an epsilon in the first softmax and in every divisor. With
 * epsilon 0 the two are one, and the first column and row step are taken on the logits, each with its own maximum, so
 * no input over- or underflows; from then on every divisor lies in [1/n^2, n].
 *
 * Each later step only scales: M = diag(r) K diag(c), K fixed. So an iteration is two products with K, and what the
 * backward needs of it is r and c. After ERA iterations r and c are folded into K and start again from 1, which
 * bounds them by n^(4 ERA).
 *
 * Backward, in terms of E = M o dL/dM (the gradient with respect to log M): a step y = x / (sum x + eps) turns E into
 * E - y o (sum of E along the same axis). No division, and E of the logits is the gradient. */
#include "cpu_ref/maps/lanes.h"

#include <omp.h>

/* A cell of a matrix for TILE = 16 tokens: several vectors, so that one's division hides behind the others' sums. */
#define PARTS (REAL_BITS == 64 ? 4 : 2)
#define TILE (PARTS * LANES)
typedef struct {
    vec part[PARTS];
} cell;
#define EACH_PART for (int h = 0; h < PARTS; h++)

#define ERA 4
#define MAX_CELLS (MHC_MAX_STREAMS * MHC_MAX_STREAMS)

/* A first row step on e^(l - column maximum) directly is safe while every row keeps an entry above this. */
#define SAFE_EXPONENT ((real)(REAL_BITS == 64 ? -300.0 : -20.0))

/* History of an era: K at its start, then r and c after each iteration. */
static inline int64_t era_cells(int64_t n) {
    return n * n + 2 * ERA * n;
}

static inline int64_t eras(const struct mhc_case *c) {
    return (c->t_max - 1 + ERA - 1) / ERA;
}

static inline real_int any_lane(vec_int mask) {
    real_int any = 0;
    for (int64_t w = 0; w < LANES; w++)
        any |= mask[w];
    return any;
}

static int64_t history_bytes(const struct mhc_case *c) {
    int64_t bytes = (int64_t)sizeof(cell) * (c->n * c->n + (eras(c) + 1) * era_cells(c->n));
    return REAL_BITS == 32 ? 2 * bytes : bytes; /* a token may go through float64, see below */
}

/* Tokens past the end repeat the last one. `transpose`: the array is [source][destination]. */
SPECIALISED void load_tile(const int n, const real *from, int64_t count, bool transpose, cell *tile) {
    for (int64_t w = 0; w < TILE; w++) {
        const real *token = from + (w < count ? w : count - 1) * n * n;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                memcpy((real *)&tile[i * n + j] + w, &token[transpose ? j * n + i : i * n + j], sizeof(real));
    }
}

SPECIALISED void store_tile(const int n, real *to, int64_t count, bool transpose, const cell *tile) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            real lane[TILE];
            memcpy(lane, &tile[i * n + j], sizeof lane);
            for (int64_t w = 0; w < count && w < TILE; w++)
                to[w * n * n + (transpose ? j * n + i : i * n + j)] = lane[w];
        }
}

/* First column and row step: logits in M become K; `first`, if wanted, keeps the column softmax for the backward. */
SPECIALISED void first_iteration(const int n, real eps, cell *M, cell *first) {
    cell power[MAX_CELLS], row_largest[MHC_MAX_STREAMS], inverse[MHC_MAX_STREAMS];
    vec_int unsafe = {0};
    EACH_PART {
        for (int j = 0; j < n; j++) {
            vec largest = M[j].part[h], sum = {0};
            for (int i = 1; i < n; i++)
                largest = vec_max(largest, M[i * n + j].part[h]);
            for (int i = 0; i < n; i++) {
                M[i * n + j].part[h] -= largest;
                power[i * n + j].part[h] = vec_exp(M[i * n + j].part[h]);
                sum += power[i * n + j].part[h];
            }
            inverse[j].part[h] = (real)1 / sum;
            for (int i = 0; i < n; i++)
                power[i * n + j].part[h] *= inverse[j].part[h];
        }
        for (int i = 0; i < n; i++) {
            vec largest = M[i * n].part[h];
            for (int j = 1; j < n; j++)
                largest = vec_max(largest, M[i * n + j].part[h]);
            row_largest[i].part[h] = largest;
            unsafe |= ~(largest > SAFE_EXPONENT);
        }
    }
    if (first)
        memcpy(first, power, (size_t)(n * n) * sizeof *first);
    if (eps == 0 && any_lane(unsafe))
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                EACH_PART power[i * n + j].part[h] = vec_exp(M[i * n + j].part[h] - row_largest[i].part[h]) *
                                                     inverse[j].part[h];
    for (int i = 0; i < n; i++)
        EACH_PART {
            vec sum = vec_set(eps);
            for (int j = 0; j < n; j++)
                sum += power[i * n + j].part[h] + eps;
            sum = (real)1 / sum;
            for (int j = 0; j < n; j++)
                M[i * n + j].part[h] = (power[i * n + j].part[h] + eps) * sum;
        }
}

/* 1/x of n cells. Division limits the whole iteration, so four doubles share one; their product stays within
 * n^(16 ERA), which a double holds and a float need not. */
SPECIALISED void invert(const int n, cell *x) {
    int k = 0;
    for (; REAL_BITS == 64 && k + 4 <= n; k += 4)
        EACH_PART {
            vec a = x[k].part[h], b = x[k + 1].part[h], c = x[k + 2].part[h], d = x[k + 3].part[h];
            vec ab = a * b, cd = c * d, inverse = (real)1 / (ab * cd), inverse_ab = inverse * cd,
                inverse_cd = inverse * ab;
            x[k].part[h] = inverse_ab * b;
            x[k + 1].part[h] = inverse_ab * a;
            x[k + 2].part[h] = inverse_cd * d;
            x[k + 3].part[h] = inverse_cd * c;
        }
    for (; k < n; k++)
        EACH_PART x[k].part[h] = (real)1 / x[k].part[h];
}

/* A step behind its sums: s = sums of K against the other factor; r becomes 1 / s, or r / (r s + eps). */
SPECIALISED void rescale(const int n, real eps, cell *r, const cell *s) {
    cell divisor[MHC_MAX_STREAMS];
    for (int i = 0; i < n; i++)
        EACH_PART divisor[i].part[h] = eps == 0 ? s[i].part[h] : r[i].part[h] * s[i].part[h] + eps;
    invert(n, divisor);
    for (int i = 0; i < n; i++)
        EACH_PART r[i].part[h] = eps == 0 ? divisor[i].part[h] : r[i].part[h] * divisor[i].part[h];
}

/* `count` iterations on K; r and c end as they are after the last. With history, each is kept. */
SPECIALISED void iterate(const int n, real eps, const cell *K, cell *r, cell *c, int64_t count, cell *history) {
    cell sum[MHC_MAX_STREAMS];
    for (int64_t t = 0; t < count; t++) {
        for (int j = 0; j < n; j++)
            EACH_PART {
                sum[j].part[h] = r[0].part[h] * K[j].part[h];
                for (int i = 1; i < n; i++)
                    sum[j].part[h] += r[i].part[h] * K[i * n + j].part[h];
            }
        rescale(n, eps, c, sum);
        for (int i = 0; i < n; i++)
            EACH_PART {
                sum[i].part[h] = K[i * n].part[h] * c[0].part[h];
                for (int j = 1; j < n; j++)
                    sum[i].part[h] += K[i * n + j].part[h] * c[j].part[h];
            }
        rescale(n, eps, r, sum);
        if (history) {
            memcpy(history + t * 2 * n, r, (size_t)n * sizeof *r);
            memcpy(history + t * 2 * n + n, c, (size_t)n * sizeof *c);
        }
    }
}

SPECIALISED void set_one(const int n, cell *r) {
    for (int i = 0; i < n; i++)
        EACH_PART r[i].part[h] = vec_set(1);
}

/* Logits in M become res. With history: the column softmax, then an era after the other, then res. */
SPECIALISED void forward_tile(const int n, const struct mhc_case *p, cell *M, cell *history) {
    real eps = p->convention == MHC_V4 ? (real)p->sinkhorn_eps : 0;
    cell r[MHC_MAX_STREAMS], c[MHC_MAX_STREAMS], *era = history ? history + n * n : NULL;
    first_iteration(n, eps, M, history);
    for (int64_t done = 1; done < p->t_max; done += ERA) {
        int64_t count = p->t_max - done < ERA ? p->t_max - done : ERA;
        set_one(n, r);
        set_one(n, c);
        if (era)
            memcpy(era, M, (size_t)(n * n) * sizeof *M);
        if (eps == 0)
            iterate(n, 0, M, r, c, count, era ? era + n * n : NULL);
        else
            iterate(n, eps, M, r, c, count, era ? era + n * n : NULL);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                EACH_PART M[i * n + j].part[h] *= r[i].part[h] * c[j].part[h];
        if (era)
            era += era_cells(n);
    }
    if (era)
        memcpy(era, M, (size_t)(n * n) * sizeof *M);
}

/* E -= Y o (row sums of E), Y_ij = r_i K_ij c_j; and the same along columns. */
SPECIALISED void undo_rows(const int n, cell *E, const cell *K, const cell *r, const cell *c) {
    for (int i = 0; i < n; i++)
        EACH_PART {
            vec sum = E[i * n].part[h];
            for (int j = 1; j < n; j++)
                sum += E[i * n + j].part[h];
            sum *= r[i].part[h];
            for (int j = 0; j < n; j++)
                E[i * n + j].part[h] -= K[i * n + j].part[h] * c[j].part[h] * sum;
        }
}

SPECIALISED void undo_columns(const int n, cell *E, const cell *K, const cell *r, const cell *c) {
    for (int j = 0; j < n; j++)
        EACH_PART {
            vec sum = E[j].part[h];
            for (int i = 1; i < n; i++)
                sum += E[i * n + j].part[h];
            sum *= c[j].part[h];
            for (int i = 0; i < n; i++)
                E[i * n + j].part[h] -= K[i * n + j].part[h] * r[i].part[h] * sum;
        }
}

/* dL/dres in E becomes dL/dlogits, from the history of forward_tile. */
SPECIALISED void backward_tile(const int n, const struct mhc_case *p, cell *E, const cell *history) {
    real eps = p->convention == MHC_V4 ? (real)p->sinkhorn_eps : 0;
    cell one[MHC_MAX_STREAMS];
    set_one(n, one);
    const cell *first_era = history + n * n, *res = first_era + eras(p) * era_cells(n);
    for (int k = 0; k < n * n; k++)
        EACH_PART E[k].part[h] *= res[k].part[h];
    for (int64_t e = eras(p); e-- > 0;) {
        const cell *era = first_era + e * era_cells(n);
        int64_t left = p->t_max - 1 - e * ERA;
        for (int64_t t = left < ERA ? left : ERA; t-- > 0;) {
            const cell *r = era + n * n + t * 2 * n, *c = r + n;
            undo_rows(n, E, era, r, c);
            undo_columns(n, E, era, t ? r - 2 * n : one, c);
        }
    }
    undo_rows(n, E, first_era, one, one);
    /* v4 adds eps behind the softmax P: dL/dlog P = E P / (P + eps). */
    if (eps != 0)
        for (int k = 0; k < n * n; k++)
            EACH_PART E[k].part[h] *= history[k].part[h] / (history[k].part[h] + eps);
    undo_columns(n, E, history, one, one);
}

#if REAL_BITS == 32
/* A float loses every entry below e^-87 of its row, and many iterations can lift such an entry back into sight.
 * Tokens whose logits reach that far below the largest of their source are computed in float64; each for itself, so
 * that no token depends on its neighbours. */
#define FLOAT_RANGE 40.0f

void sinkhorn_forward_tokens_f64(const struct mhc_case *, int64_t, const double *, double *);
void sinkhorn_backward_tokens_f64(const struct mhc_case *, int64_t, const double *, const double *, double *, void *);

static bool needs_double(const struct mhc_case *p, const real *logits) {
    int64_t n = p->n, source = p->convention == MHC_V4 ? n : 1, destination = p->convention == MHC_V4 ? 1 : n;
    for (int64_t j = 0; j < n; j++) {
        real least = logits[j * source], most = least;
        for (int64_t i = 1; i < n; i++) {
            real x = logits[j * source + i * destination];
            least = x < least ? x : least;
            most = x > most ? x : most;
        }
        if (most - least > FLOAT_RANGE)
            return true;
    }
    return false;
}

static void forward_in_double(const struct mhc_case *p, const real *logits, real *res) {
    double wide[MAX_CELLS], wide_res[MAX_CELLS];
    for (int64_t k = 0; k < p->n * p->n; k++)
        wide[k] = logits[k];
    sinkhorn_forward_tokens_f64(p, 1, wide, wide_res);
    for (int64_t k = 0; k < p->n * p->n; k++)
        res[k] = (real)wide_res[k];
}

static void backward_in_double(const struct mhc_case *p, const real *logits, const real *grad_res, real *grad_logits,
                               void *history) {
    double wide[MAX_CELLS], wide_grad[MAX_CELLS], result[MAX_CELLS];
    for (int64_t k = 0; k < p->n * p->n; k++) {
        wide[k] = logits[k];
        wide_grad[k] = grad_res[k];
    }
    sinkhorn_backward_tokens_f64(p, 1, wide, wide_grad, result, history);
    for (int64_t k = 0; k < p->n * p->n; k++)
        grad_logits[k] = (real)result[k];
}
#endif

SPECIALISED void forward_tokens(const int n, const struct mhc_case *p, int64_t count, const real *logits, real *res) {
    cell M[MAX_CELLS];
    for (int64_t t = 0; t < count; t += TILE) {
        load_tile(n, logits + t * n * n, count - t, p->convention == MHC_V4, M);
        forward_tile(n, p, M, NULL);
        store_tile(n, res + t * n * n, count - t, false, M);
    }
#if REAL_BITS == 32
    for (int64_t t = 0; t < count; t++)
        if (needs_double(p, logits + t * n * n))
            forward_in_double(p, logits + t * n * n, res + t * n * n);
#endif
}

SPECIALISED void backward_tokens(const int n, const struct mhc_case *p, int64_t count, const real *logits,
                                 const real *grad_res, real *grad_logits, cell *history) {
    cell M[MAX_CELLS], E[MAX_CELLS];
    bool transpose = p->convention == MHC_V4;
    for (int64_t t = 0; t < count; t += TILE) {
        load_tile(n, logits + t * n * n, count - t, transpose, M);
        load_tile(n, grad_res + t * n * n, count - t, false, E);
        forward_tile(n, p, M, history);
        backward_tile(n, p, E, history);
        store_tile(n, grad_logits + t * n * n, count - t, transpose, E);
    }
#if REAL_BITS == 32
    for (int64_t t = 0; t < count; t++)
        if (needs_double(p, logits + t * n * n))
            backward_in_double(p, logits + t * n * n, grad_res + t * n * n, grad_logits + t * n * n, history);
#endif
}

void NAME(sinkhorn_forward_tokens)(const struct mhc_case *p, int64_t count, const real *logits, real *res) {
#define CALL(n) forward_tokens((int)(n), p, count, logits, res)
    FOR_STREAMS(p->n, CALL)
#undef CALL
}

#define sinkhorn_backward_tokens NAME(sinkhorn_backward_tokens)
void sinkhorn_backward_tokens(const struct mhc_case *p, int64_t count, const real *logits, const real *grad_res,
                              real *grad_logits, void *history) {
#define CALL(n) backward_tokens((int)(n), p, count, logits, grad_res, grad_logits, history)
    FOR_STREAMS(p->n, CALL)
#undef CALL
}

static bool map_supports(const struct mhc_case *c, const char **why) {
    return c->t_max >= 1 || (*why = "t_max must be at least 1", false);
}

/* Logits 0 on the diagonal and -8 elsewhere (mHC-lite's start of mHC); of either layout, as it is symmetric. */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    for (int64_t k = 0; k < c->n * c->n; k++)
        b[k] = k % (c->n + 1) ? -8 : 0;
}

const struct residual_map NAME(map_sinkhorn) = {.supports = map_supports,
                                                .forward = NAME(sinkhorn_forward_tokens),
                                                .backward = sinkhorn_backward_tokens,
                                                .history_bytes = history_bytes,
                                                .start = start};

/* --- the map as rows of its own --- */

static bool supports(const struct mhc_case *c, const char **why) {
    return map_supports(c, why) && NAME(supports)(c, why);
}

RUN(sinkhorn_forward) {
    const real *logits = a->logits;
    real *res = a->res;
    int64_t cells = c->n * c->n;
#pragma omp parallel for schedule(dynamic, 8) if (c->T > 64)
    for (int64_t t = 0; t < c->T; t += 64)
        NAME(sinkhorn_forward_tokens)(c, c->T - t < 64 ? c->T - t : 64, logits + t * cells, res + t * cells);
    return 0;
}

RUN(sinkhorn_backward) {
    const real *logits = a->logits, *grad_res = a->grad_res;
    real *grad_logits = a->grad_logits;
    int64_t bytes = history_bytes(c), cells = c->n * c->n;
#pragma omp parallel for schedule(dynamic, 8) if (c->T > 64)
    for (int64_t t = 0; t < c->T; t += 64)
        sinkhorn_backward_tokens(c, c->T - t < 64 ? c->T - t : 64, logits + t * cells, grad_res + t * cells,
                                 grad_logits + t * cells, (char *)work + omp_get_thread_num() * bytes);
    return 0;
}

static int64_t work_bytes(const struct mhc_case *c) {
    return omp_get_max_threads() * history_bytes(c);
}

const struct mhc_row NAME(sinkhorn_forward) = {
    MHC_OPERATION(sinkhorn_forward),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = sinkhorn_forward_run,
};

const struct mhc_row NAME(sinkhorn_backward) = {
    MHC_OPERATION(sinkhorn_backward), .supports = supports,         .work_bytes = work_bytes,
    .tolerance = NAME(tolerance),     .run = sinkhorn_backward_run,
};
