/* mHC-lite (arXiv 2601.05732): res = sum_k a_k P_k, a = softmax of n! logits, the permutations in lexicographic order.
 * P_k sends stream i to stream perm_k(i): the published code contracts its matrix, which has a 1 at (i, perm_k(i)),
 * over the first index.
 *
 * Backward: dL/da_k = sum_i grad_res[perm_k(i)][i], and that of a softmax. A NaN among the logits makes all NaN. */
#include "cpu_ref/maps/lanes.h"

enum { MOST_STREAMS = 5, MOST_PERMUTATIONS = 120 };

/* Where each permutation takes its 1 from: cells[k][i] = perm_k(i) n + i. */
struct permutations {
    int64_t count;
    uint8_t cells[MOST_PERMUTATIONS][MOST_STREAMS];
};

static void swap(uint8_t *a, uint8_t *b) {
    uint8_t kept = *a;
    *a = *b;
    *b = kept;
}

/* The next permutation in lexicographic order; the last stays. */
static void advance(int64_t n, uint8_t *perm) {
    int64_t i = n - 2, j = n - 1;
    while (i >= 0 && perm[i] > perm[i + 1])
        i--;
    if (i < 0)
        return;
    while (perm[j] < perm[i])
        j--;
    swap(perm + i, perm + j);
    for (int64_t low = i + 1, high = n - 1; low < high; low++, high--)
        swap(perm + low, perm + high);
}

static void list(const struct mhc_case *c, struct permutations *p) {
    uint8_t perm[MOST_STREAMS] = {0, 1, 2, 3, 4};
    p->count = mhc_map_logits(c);
    for (int64_t k = 0; k < p->count; k++, advance(c->n, perm))
        for (int64_t i = 0; i < c->n; i++)
            p->cells[k][i] = (uint8_t)(perm[i] * c->n + i);
}

static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    struct permutations p;
    vec a[MOST_PERMUTATIONS], sum[MOST_STREAMS * MOST_STREAMS];
    list(c, &p);
    for (int64_t t = 0; t < count; t += LANES) {
        load_lanes(p.count, count - t, logits + t * p.count, a);
        softmax_lanes(p.count, a);
        memset(sum, 0, sizeof sum);
        for (int64_t k = 0; k < p.count; k++)
            for (int64_t i = 0; i < c->n; i++)
                sum[p.cells[k][i]] += a[k];
        store_lanes(c->n * c->n, count - t, sum, res + t * c->n * c->n);
    }
}

static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history) {
    (void)history;
    struct permutations p;
    vec a[MOST_PERMUTATIONS], grad[MOST_PERMUTATIONS], G[MOST_STREAMS * MOST_STREAMS];
    list(c, &p);
    for (int64_t t = 0; t < count; t += LANES) {
        load_lanes(p.count, count - t, logits + t * p.count, a);
        load_lanes(c->n * c->n, count - t, grad_res + t * c->n * c->n, G);
        softmax_lanes(p.count, a);
        for (int64_t k = 0; k < p.count; k++) {
            grad[k] = vec_set(0);
            for (int64_t i = 0; i < c->n; i++)
                grad[k] += G[p.cells[k][i]];
        }
        softmax_backward_lanes(p.count, a, grad);
        store_lanes(p.count, count - t, grad, grad_logits + t * p.count);
    }
}

/* The identity, which is the first, has 1 / (1 + (n! - 1) e^-8). */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    for (int64_t k = 0; k < mhc_map_logits(c); k++)
        b[k] = k ? -8 : 0;
}

const struct residual_map NAME(map_permutations) = {.forward = forward, .backward = backward, .start = start};
