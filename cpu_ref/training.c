/* What a stack needs to be trained beside its layers: tokens in, the loss out, the norm of the whole gradient. An index
 * outside the vocabulary is refused before anything is written: run() fails. Every sum has one order, whatever the
 * number of threads, and is made in double. */
#define VEC_WIDE
#include <math.h>

#include "cpu_ref/vecmath.h"

static bool has_vocabulary(const struct mhc_case *c, const char **why) {
    if (c->vocabulary < 1 || c->vocabulary > INT32_MAX)
        return *why = "vocabulary must be at least 1 and below 2^31", false;
    return NAME(supports)(c, why);
}

static bool are_below(const int32_t *index, int64_t count, int64_t limit) {
    bool all = true;
    for (int64_t k = 0; k < count; k++)
        all &= index[k] >= 0 && index[k] < limit;
    return all;
}

/* --- embedding: x0_t = table_(token of t) + position_(t mod S) --- */

static bool has_sequences(const struct mhc_case *c, const char **why) {
    if (c->S < 0 || c->T % mhc_sequence(c))
        return *why = "T must be a multiple of S", false;
    return has_vocabulary(c, why);
}

RUN(embedding_forward) {
    const int32_t *tokens = a->tokens;
    const real *table = a->table, *positions = a->positions;
    real *x0 = a->x0;
    int64_t C = c->C, S = mhc_sequence(c);
    if (!are_below(tokens, c->T, c->vocabulary))
        return 1;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t k = 0; k < C; k++)
            x0[t * C + k] = table[tokens[t] * C + k] + positions[t % S * C + k];
    return 0;
}

/* out = the sum of `count` rows of [..][C]: those that `order` names; without it 0, step, 2 step, ... */
static void sum_rows(int64_t C, const real *rows, const int64_t *order, int64_t count, int64_t step, real *out) {
    enum { BLOCK = 64 };
    for (int64_t from = 0; from < C; from += BLOCK) {
        double sum[BLOCK] = {0};
        int64_t width = C - from < BLOCK ? C - from : BLOCK;
        for (int64_t k = 0; k < count; k++) {
            const real *row = rows + (order ? order[k] : k * step) * C + from;
            for (int64_t e = 0; e < width; e++)
                sum[e] += row[e];
        }
        for (int64_t e = 0; e < width; e++)
            out[from + e] = (real)sum[e];
    }
}

/* start[v]: where the tokens of index v begin in `order`, which keeps those of one index as they come; [V + 1]. */
static void sort_tokens(const int32_t *tokens, int64_t T, int64_t V, int64_t *start, int64_t *order) {
    memset(start, 0, (size_t)(V + 1) * sizeof *start);
    for (int64_t t = 0; t < T; t++)
        start[tokens[t]]++;
    for (int64_t v = 0, before = 0; v <= V; v++) {
        int64_t count = start[v];
        start[v] = before;
        before += count;
    }
    for (int64_t t = 0; t < T; t++)
        order[start[tokens[t]]++] = t;
    memmove(start + 1, start, (size_t)V * sizeof *start); /* each has come to the start of the next */
    start[0] = 0;
}

static int64_t embedding_work(const struct mhc_case *c) {
    return (int64_t)sizeof(int64_t) * (c->vocabulary + 1 + c->T);
}

/* A thread owns whole rows of the table, the tokens of which are found by sorting. */
RUN(embedding_backward) {
    const real *grad = a->grad_x0;
    real *grad_table = a->grad_table, *grad_positions = a->grad_positions;
    int64_t C = c->C, V = c->vocabulary, S = mhc_sequence(c), *start = work, *order = start + V + 1;
    if (!are_below(a->tokens, c->T, V))
        return 1;
    sort_tokens(a->tokens, c->T, V, start, order);
#pragma omp parallel
    {
#pragma omp for schedule(dynamic, 16) nowait
        for (int64_t v = 0; v < V; v++)
            sum_rows(C, grad, order + start[v], start[v + 1] - start[v], 0, grad_table + v * C);
#pragma omp for schedule(static)
        for (int64_t s = 0; s < S; s++)
            sum_rows(C, grad + s * C, NULL, c->T / S, S, grad_positions + s * C);
    }
    return 0;
}

/* --- the mean cross entropy of softmax(logits), and its gradient (softmax - one) / T --- */

static real largest_of(const real *x, int64_t count) {
    real largest = x[0];
    for (int64_t k = 1; k < count; k++)
        largest = x[k] > largest ? x[k] : largest;
    return largest;
}

/* e_k = exp(x_k - shift), of which none is above 1. */
static void exponentials(const real *x, int64_t count, real shift, real *e) {
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES)
        vec_store(e + k, vec_exp(vec_load(x + k) - shift));
    vec_store_part(e + k, vec_exp(vec_load_part(x + k, count - k) - shift), count - k);
}

static double sum_of(const real *x, int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < count; k++)
        sum += x[k];
    return sum;
}

/* The loss of a token. The sum of all but the target stands alone: where the target has nearly all, loss and gradient
 * are that sum, and 1 - softmax would be rounding. */
static double token_loss(int64_t V, int64_t T, const real *logits, int32_t target, real *grad) {
    real largest = largest_of(logits, V);
    exponentials(logits, V, largest, grad);
    double own = grad[target];
    grad[target] = 0;
    double others = sum_of(grad, V), scale = 1 / ((own + others) * (double)T);
    for (int64_t k = 0; k < V; k++)
        grad[k] = (real)(grad[k] * scale);
    grad[target] = (real)(-others * scale);
    double behind = (double)largest - (double)logits[target];
    return behind == 0 ? log1p(others) : behind + log(own + others);
}

static int64_t loss_work(const struct mhc_case *c) {
    return (int64_t)sizeof(double) * c->T;
}

RUN(cross_entropy_forward) {
    const real *logits = a->logits;
    const int32_t *targets = a->targets;
    real *grad = a->grad_logits;
    double *each = work, sum = 0;
    int64_t T = c->T, V = c->vocabulary;
    if (!are_below(targets, T, V))
        return 1;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < T; t++)
        each[t] = token_loss(V, T, logits + t * V, targets[t], grad + t * V);
    for (int64_t t = 0; t < T; t++)
        sum += each[t];
    *(double *)a->loss = sum / (double)T;
    return 0;
}

/* --- the norm of a gradient --- */

static bool has_weights(const struct mhc_case *c, const char **why) {
    struct mhc_case types = *c; /* a flat array has neither tokens nor streams */
    types.T = types.n = 1;
    if (c->weights < 1)
        return *why = "weights must be at least 1", false;
    return NAME(supports)(&types, why);
}

/* sum (x / by)^2, in pieces of which there are as many for any number of threads. */
static double square_sum(const real *x, int64_t count, double by) {
    enum { PIECES = 256 };
    double piece[PIECES], sum = 0, inverse = 1 / by;
#pragma omp parallel for schedule(static) if (parallel : count > 8192)
    for (int64_t p = 0; p < PIECES; p++) {
        double own = 0;
#pragma omp simd reduction(+ : own)
        for (int64_t k = count / PIECES * p + (count % PIECES < p ? count % PIECES : p);
             k < count / PIECES * (p + 1) + (count % PIECES < p + 1 ? count % PIECES : p + 1); k++)
            own += ((double)x[k] * inverse) * ((double)x[k] * inverse);
        piece[p] = own;
    }
    for (int64_t p = 0; p < PIECES; p++)
        sum += piece[p];
    return sum;
}

/* Squares that leave the range of a double are summed again, scaled by the largest; NaN and Inf stay what they are. */
RUN(gradient_norm) {
    const real *x = a->grad;
    double sum = square_sum(x, c->weights, 1), *norm = a->norm, largest = 0;
    *norm = sqrt(sum);
    if (sum > 0x1p-900 && sum < 0x1p1000)
        return 0;
    for (int64_t k = 0; k < c->weights; k++)
        largest = !(fabs((double)x[k]) <= largest) ? fabs((double)x[k]) : largest;
    if (largest > 0 && isfinite(largest))
        *norm = largest * sqrt(square_sum(x, c->weights, largest));
    return 0;
}

/* --- rows --- */

#define ROW(id, fits, bytes)                                                                                     \
    const struct mhc_row NAME(id) = {                                                                            \
        MHC_OPERATION(id), .supports = fits, .work_bytes = bytes, .tolerance = NAME(tolerance), .run = id##_run, \
    }

ROW(embedding_forward, has_sequences, NULL);
ROW(embedding_backward, has_sequences, embedding_work);
ROW(cross_entropy_forward, has_vocabulary, loss_work);
ROW(gradient_norm, has_weights, NULL);
