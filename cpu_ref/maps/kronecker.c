/* KromHC (arXiv 2601.21579): n = 2^k, res = U_0 kron ... kron U_(k-1), U_f = [[p_f, 1 - p_f], [1 - p_f, p_f]], and
 * p_f is the first entry of the softmax of logits 2 f and 2 f + 1. U_0 decides the most significant bit of a stream's
 * number.
 *
 * Backward: dL/dp_f = sum_ij grad_res_ij res_ij with U_f replaced by [[1, -1], [-1, 1]]; both logits then get +- p_f
 * (1 - p_f) of it. The maps are symmetric and share the Hadamard vectors; the eigenvalue of a set of factors is the
 * product of their 2 p_f - 1. */
#include "cpu_ref/maps/map.h"

enum { MOST_FACTORS = 4 }; /* n up to 16 */

/* p and 1 - p of every factor, neither from the other: both keep their digits near 0. */
struct factors {
    int64_t count;
    real stay[MOST_FACTORS], leave[MOST_FACTORS];
};

static real sigmoid(real x) {
    return 1 / (1 + (real)exp(-x));
}

static struct factors factors_of(const struct mhc_case *c, const real *logits) {
    struct factors f = {.count = mhc_map_logits(c) / 2};
    for (int64_t k = 0; k < f.count; k++) {
        f.stay[k] = sigmoid(logits[2 * k] - logits[2 * k + 1]);
        f.leave[k] = sigmoid(logits[2 * k + 1] - logits[2 * k]);
    }
    return f;
}

/* Whether factor k moves stream j elsewhere on its way to i. */
static bool moves(const struct factors *f, int64_t i, int64_t j, int64_t k) {
    return (i ^ j) >> (f->count - 1 - k) & 1;
}

/* Entry (i, j) without factor `without`; -1: of all. */
static real entry(const struct factors *f, int64_t i, int64_t j, int64_t without) {
    real product = 1;
    for (int64_t k = 0; k < f->count; k++)
        product *= k == without ? 1 : moves(f, i, j, k) ? f->leave[k] : f->stay[k];
    return product;
}

static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    for (int64_t t = 0; t < count; t++) {
        const struct factors f = factors_of(c, logits + t * mhc_map_logits(c));
        for (int64_t i = 0; i < c->n; i++)
            for (int64_t j = 0; j < c->n; j++)
                res[(t * c->n + i) * c->n + j] = entry(&f, i, j, -1);
    }
}

static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history) {
    (void)history;
    for (int64_t t = 0; t < count; t++) {
        const struct factors f = factors_of(c, logits + t * mhc_map_logits(c));
        for (int64_t k = 0; k < f.count; k++) {
            real grad_p = 0;
            for (int64_t i = 0; i < c->n; i++)
                for (int64_t j = 0; j < c->n; j++)
                    grad_p += grad_res[(t * c->n + i) * c->n + j] * entry(&f, i, j, k) * (moves(&f, i, j, k) ? -1 : 1);
            real grad = grad_p * f.stay[k] * f.leave[k], *pair = grad_logits + t * mhc_map_logits(c) + 2 * k;
            pair[0] = grad;
            pair[1] = -grad;
        }
    }
}

/* Every factor stays with probability 1 / (1 + e^-8). */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    for (int64_t k = 0; k < mhc_map_logits(c); k++)
        b[k] = k % 2 ? -8 : 0;
}

const struct residual_map NAME(map_kronecker) = {.forward = forward, .backward = backward, .start = start};
