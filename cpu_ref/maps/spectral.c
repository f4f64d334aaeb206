/* sHC (arXiv 2603.20896): res = J/n + Z V S U' Z', where Z [n][n-1] is the Helmert basis of the complement of 1, U and
 * V come by Cayley from skew matrices A = tanh(logits), and S is diagonal, tanh of the last n - 1 logits. Rows and
 * columns sum to 1, singular values are 1 and |S|, entries may be negative. Logits: the triangle of U, that of V, S.
 * The published code forms Z U S V' Z' and contracts it over the first index. Its factor gamma on A, which it learns
 * from 1 on, is 1 here.
 *
 * Backward, with P = Z U, R = Z V, and E_k = grad_res' R_k:
 *   dL/dP_k = S_k E_k, dL/dR_k = S_k grad_res P_k, dL/dS_k = P_k . E_k, dL/dU = Z' dL/dP.   A NaN makes all NaN. */
#include "cpu_ref/maps/cayley.h"

enum { MOST = MHC_MAX_STREAMS };

/* What LANES tokens make of their logits: A of U and V and S; W and Z Q of both. */
struct spectral {
    int64_t n, m, triangle;
    vec A[MOST * MOST]; /* triangle of U, triangle of V, S */
    vec W[2][MOST * MOST];
    vec P[2][MOST * MOST]; /* Z U, Z V [n][m] */
};

/* Column k of Z is 1 / root down to row k, -(k + 1) / root in row k + 1, root = sqrt((k + 1) (k + 2)). */
static real helmert(int64_t i, int64_t k) {
    real root = (real)sqrt((double)((k + 1) * (k + 2)));
    return i <= k ? 1 / root : i == k + 1 ? -(real)(k + 1) / root : 0;
}

static void basis(int64_t n, real *Z) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n - 1; k++)
            Z[i * (n - 1) + k] = helmert(i, k);
}

SPECIALISED void decompose(const int64_t n, const real *Z, struct spectral *s) {
    const int64_t m = n - 1;
    s->n = n, s->m = m, s->triangle = m * (m - 1) / 2;
    for (int64_t k = 0; k < m * m; k++)
        s->A[k] = vec_tanh(s->A[k]);
    for (int side = 0; side < 2; side++) {
        cayley_lanes(m, s->A + side * s->triangle, s->W[side]);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < m; k++) {
                vec sum = {0};
                for (int64_t j = 0; j < m; j++)
                    sum += Z[i * m + j] * s->W[side][j * m + k];
                s->P[side][i * m + k] = 2 * sum - Z[i * m + k];
            }
    }
}

SPECIALISED void compose(const int64_t n, const struct spectral *s, vec *H) {
    const int64_t m = n - 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            H[i * n + j] = vec_set((real)1 / (real)n);
            for (int64_t k = 0; k < m; k++)
                H[i * n + j] += s->P[1][i * m + k] * s->A[2 * s->triangle + k] * s->P[0][j * m + k];
        }
}

/* G = dL/dres -> grad [m][m], of the logits. */
SPECIALISED void chain(const int64_t n, const real *Z, const struct spectral *s, const vec *G, vec *grad) {
    const int64_t m = n - 1;
    vec E[MOST * MOST], grad_Q[MOST * MOST];
    for (int side = 0; side < 2; side++) {
        const vec *S = s->A + 2 * s->triangle, *other = s->P[1 - side];
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < m; k++) {
                E[i * m + k] = vec_set(0);
                for (int64_t j = 0; j < n; j++)
                    E[i * m + k] += (side ? G[i * n + j] : G[j * n + i]) * other[j * m + k];
            }
        for (int64_t k = 0; k < m && !side; k++) {
            grad[2 * s->triangle + k] = vec_set(0);
            for (int64_t i = 0; i < n; i++)
                grad[2 * s->triangle + k] += s->P[0][i * m + k] * E[i * m + k];
        }
        for (int64_t j = 0; j < m; j++)
            for (int64_t k = 0; k < m; k++) {
                grad_Q[j * m + k] = vec_set(0);
                for (int64_t i = 0; i < n; i++)
                    grad_Q[j * m + k] += Z[i * m + j] * S[k] * E[i * m + k];
            }
        cayley_backward_lanes(m, s->W[side], grad_Q, grad + side * s->triangle);
    }
    for (int64_t k = 0; k < m * m; k++)
        grad[k] *= (1 - s->A[k]) * (1 + s->A[k]);
}

SPECIALISED void forward_tokens(const int64_t n, int64_t count, const real *logits, real *res) {
    real Z[MOST * MOST];
    basis(n, Z);
    for (int64_t t = 0; t < count; t += LANES) {
        struct spectral s;
        vec H[MOST * MOST];
        load_lanes((n - 1) * (n - 1), count - t, logits + t * (n - 1) * (n - 1), s.A);
        decompose(n, Z, &s);
        compose(n, &s, H);
        store_lanes(n * n, count - t, H, res + t * n * n);
    }
}

SPECIALISED void backward_tokens(const int64_t n, int64_t count, const real *logits, const real *grad_res,
                                 real *grad_logits) {
    const int64_t K = (n - 1) * (n - 1);
    real Z[MOST * MOST];
    basis(n, Z);
    for (int64_t t = 0; t < count; t += LANES) {
        struct spectral s;
        vec G[MOST * MOST], grad[MOST * MOST];
        load_lanes(K, count - t, logits + t * K, s.A);
        load_lanes(n * n, count - t, grad_res + t * n * n, G);
        decompose(n, Z, &s);
        chain(n, Z, &s, G, grad);
        store_lanes(K, count - t, grad, grad_logits + t * K);
    }
}

MAP_BY_TOKENS

/* U = V = I, and every singular value tanh(4) but that of 1. */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    int64_t K = mhc_map_logits(c);
    for (int64_t k = 0; k < K; k++)
        b[k] = k < K - (c->n - 1) ? 0 : 4;
}

const struct residual_map NAME(map_spectral) = {.forward = forward, .backward = backward, .start = start};
