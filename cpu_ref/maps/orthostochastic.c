/* go-mHC (arXiv 2604.02309): res_ij = (1/s) sum over k, l < s of Q[(i, k)][(j, l)]^2, where Q of s n rows comes by
 * Cayley from a skew matrix A, whose upper triangle the logits are (the paper's Theta, of which only Theta - Theta'
 * counts). s is map_order, 1 or 2.
 *
 * Backward: dL/dQ = (2/s) grad_res o Q, then Cayley's. W is off by roundings of A's size, so float32 is computed in
 * float64, and a logit beyond +-1e4 counts as 1e4: all is finite for finite logits. A NaN makes all NaN. */
#include "cpu_ref/maps/cayley.h"
#include "cpu_ref/philox.h"

#define MOST (CAYLEY_MOST * CAYLEY_MOST)

void orthostochastic_forward_f64(const struct mhc_case *, int64_t, const double *, double *);
void orthostochastic_backward_f64(const struct mhc_case *, int64_t, const double *, const double *, double *);

#if REAL_BITS == 64
static const real largest = 1e4;

/* Of LANES tokens: Q [m][m], W, and the sums of squares. */
SPECIALISED void squares(const int64_t n, const int64_t s, vec *A, vec *W, vec *Q, vec *H) {
    const int64_t m = s * n;
    for (int64_t k = 0; k < m * (m - 1) / 2; k++)
        A[k] = vec_at_most(vec_at_least(A[k], -largest), largest);
    cayley_lanes(m, A, W);
    memset(H, 0, (size_t)(n * n) * sizeof *H);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            Q[i * m + j] = 2 * W[i * m + j] - (i == j ? 1 : 0);
            H[i / s * n + j / s] += Q[i * m + j] * Q[i * m + j] / (real)s;
        }
}

SPECIALISED void forward_tokens(const int64_t n, const int64_t s, int64_t count, const real *logits, real *res) {
    const int64_t m = s * n, K = m * (m - 1) / 2;
    for (int64_t t = 0; t < count; t += LANES) {
        vec A[MOST / 2], W[MOST], Q[MOST], H[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        load_lanes(K, count - t, logits + t * K, A);
        squares(n, s, A, W, Q, H);
        store_lanes(n * n, count - t, H, res + t * n * n);
    }
}

SPECIALISED void backward_tokens(const int64_t n, const int64_t s, int64_t count, const real *logits,
                                 const real *grad_res, real *grad_logits) {
    const int64_t m = s * n, K = m * (m - 1) / 2;
    for (int64_t t = 0; t < count; t += LANES) {
        vec A[MOST / 2], grad[MOST / 2], W[MOST], Q[MOST], H[MHC_MAX_STREAMS * MHC_MAX_STREAMS], G[MOST / 4];
        load_lanes(K, count - t, logits + t * K, A);
        load_lanes(n * n, count - t, grad_res + t * n * n, G);
        squares(n, s, A, W, Q, H);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < m; j++)
                Q[i * m + j] *= G[i / s * n + j / s] * (2 / (real)s);
        cayley_backward_lanes(m, W, Q, grad);
        for (int64_t k = 0; k < K; k++)
            grad[k] = vec_select(vec_abs(A[k]) >= largest, vec_set(0), grad[k]);
        store_lanes(K, count - t, grad, grad_logits + t * K);
    }
}

/* n = 4 unrolls for either s. */
void orthostochastic_forward_f64(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    if (c->n == 4 && c->map_order == 2)
        forward_tokens(4, 2, count, logits, res);
    else if (c->n == 4)
        forward_tokens(4, 1, count, logits, res);
    else
        forward_tokens(c->n, c->map_order, count, logits, res);
}

void orthostochastic_backward_f64(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                                  real *grad_logits) {
    if (c->n == 4 && c->map_order == 2)
        backward_tokens(4, 2, count, logits, grad_res, grad_logits);
    else if (c->n == 4)
        backward_tokens(4, 1, count, logits, grad_res, grad_logits);
    else
        backward_tokens(c->n, c->map_order, count, logits, grad_res, grad_logits);
}

static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    orthostochastic_forward_f64(c, count, logits, res);
}

static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history) {
    (void)history;
    orthostochastic_backward_f64(c, count, logits, grad_res, grad_logits);
}
#else
enum { GROUP = 8 }; /* tokens that are widened at once */

static void widen(int64_t count, const real *from, double *to) {
    for (int64_t k = 0; k < count; k++)
        to[k] = from[k];
}

static void narrow(int64_t count, const double *from, real *to) {
    for (int64_t k = 0; k < count; k++)
        to[k] = (real)from[k];
}

static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    double wide[GROUP * MAP_MOST_LOGITS], H[GROUP * MHC_MAX_STREAMS * MHC_MAX_STREAMS];
    int64_t K = mhc_map_logits(c), cells = c->n * c->n;
    for (int64_t t = 0; t < count; t += GROUP) {
        int64_t some = count - t < GROUP ? count - t : GROUP;
        widen(some * K, logits + t * K, wide);
        orthostochastic_forward_f64(c, some, wide, H);
        narrow(some * cells, H, res + t * cells);
    }
}

static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history) {
    (void)history;
    double wide[GROUP * MAP_MOST_LOGITS], grad[GROUP * MAP_MOST_LOGITS], G[GROUP * MHC_MAX_STREAMS * MHC_MAX_STREAMS];
    int64_t K = mhc_map_logits(c), cells = c->n * c->n;
    for (int64_t t = 0; t < count; t += GROUP) {
        int64_t some = count - t < GROUP ? count - t : GROUP;
        widen(some * K, logits + t * K, wide);
        widen(some * cells, grad_res + t * cells, G);
        orthostochastic_backward_f64(c, some, wide, G, grad);
        narrow(some * K, grad, grad_logits + t * K);
    }
}
#endif

/* None is published, and at A = 0 the gradient is 0: entries of A are normal, with standard deviation 0.1. */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    for (int64_t k = 0; k < mhc_map_logits(c); k++)
        b[k] = 0.1 * mhc_normal(seed, mhc_what("A"), (uint32_t)layer, (uint64_t)k);
}

const struct residual_map NAME(map_orthostochastic) = {.forward = forward, .backward = backward, .start = start};
