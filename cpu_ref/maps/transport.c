/* TBP-mHC (arXiv 2605.21724): a transport plan between equal margins, filled cell by cell. With r and c what is left of
 * row i and column j, and S the rest of the columns behind j, cell (i, j), i and j < n - 1, is
 *
 *   X = low + (high - low) sigmoid(logit),   low = max(0, r - S),   high = min(r, c);
 *
 * the last column and row take what is left. (The bound c - (rows below), which the paper has too, is never above 0,
 * as no column holds more than 1.) Then (1 - delta) X + delta / n, delta = sigmoid(-8): the published code learns delta
 * from there on, here it stays. That code contracts the plan over its first index, so res is the transpose: X(i, j)
 * leads from stream i to stream j.
 *
 * Backward: the cells in reverse; max and min pass the gradient on to the argument that holds, halves at a tie. Entries
 * of a NaN and all behind them are lost, so a NaN among the logits makes all NaN. */
#include "cpu_ref/maps/lanes.h"

enum { MOST = MHC_MAX_STREAMS };

/* What the forward of LANES tokens leaves for the backward: sigmoids, and the shares of the gradients. */
struct plan {
    vec X[MOST * MOST], s[MOST * MOST];
    vec width[MOST * MOST];                            /* high - low */
    vec high_is_row[MOST * MOST], low_is[MOST * MOST]; /* 1, 0, or 1/2 at a tie */
};

static double delta(void) {
    return 1 / (1 + exp(8.0));
}

static vec less(vec a, vec b) {
    return (vec_select(a < b, vec_set(1), vec_set(0)) + vec_select(a <= b, vec_set(1), vec_set(0))) / 2;
}

static vec vec_min(vec a, vec b) {
    return vec_select(b < a, b, a);
}

SPECIALISED void fill_row(const int64_t n, int64_t i, vec *c, struct plan *p) {
    vec r = vec_set(1), behind[MOST], none = {0};
    behind[n - 1] = none;
    for (int64_t j = n - 1; j > 0; j--)
        behind[j - 1] = behind[j] + c[j];
    for (int64_t j = 0; j < n - 1; j++) {
        const int64_t k = i * (n - 1) + j;
        vec low = vec_max(none, r - behind[j]), high = vec_min(r, c[j]);
        p->width[k] = high - low;
        p->high_is_row[k] = less(r, c[j]);
        p->low_is[k] = less(behind[j], r);
        vec x = vec_min(low + p->width[k] * p->s[k], high);
        p->X[i * n + j] = x;
        r -= x;
        c[j] -= x;
    }
    p->X[i * n + n - 1] = r;
    c[n - 1] = vec_max(c[n - 1] - r, none);
}

/* Logits in s. */
SPECIALISED void fill(const int64_t n, struct plan *p) {
    vec c[MOST], lost = {0};
    for (int64_t k = 0; k < (n - 1) * (n - 1); k++) {
        lost += vec_select(p->s[k] == p->s[k], vec_set(0), p->s[k]);
        p->s[k] = vec_sigmoid(p->s[k]);
    }
    for (int64_t j = 0; j < n; j++)
        c[j] = vec_set(1);
    for (int64_t i = 0; i < n - 1; i++)
        fill_row(n, i, c, p);
    for (int64_t j = 0; j < n; j++)
        p->X[(n - 1) * n + j] = c[j];
    for (int64_t k = 0; k < n * n; k++)
        p->X[k] += lost;
}

/* G = dL/dX; grad_c of the columns behind row i becomes that of those before it. */
SPECIALISED void empty_row(const int64_t n, int64_t i, const struct plan *p, const vec *G, vec *grad_c, vec *grad) {
    vec grad_r = G[i * n + n - 1] - grad_c[n - 1], grad_behind[MOST];
    for (int64_t j = n - 2; j >= 0; j--) {
        const int64_t k = i * (n - 1) + j;
        vec grad_x = G[i * n + j] - grad_c[j] - grad_r, s = p->s[k];
        vec grad_high = grad_x * s, grad_low = grad_x * (1 - s) * p->low_is[k];
        grad[k] = grad_x * p->width[k] * s * (1 - s);
        grad_c[j] += grad_high * (1 - p->high_is_row[k]);
        grad_r += grad_high * p->high_is_row[k] + grad_low;
        grad_behind[j] = -grad_low;
    }
    vec sum = {0};
    for (int64_t j = 1; j < n; j++) {
        sum += grad_behind[j - 1];
        grad_c[j] += sum;
    }
}

SPECIALISED void forward_tokens(const int64_t n, int64_t count, const real *logits, real *res) {
    const int64_t K = (n - 1) * (n - 1);
    const real keep = (real)(1 - delta()), spread = (real)(delta() / (double)n);
    for (int64_t t = 0; t < count; t += LANES) {
        struct plan p;
        vec H[MOST * MOST];
        load_lanes(K, count - t, logits + t * K, p.s);
        fill(n, &p);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                H[j * n + i] = keep * p.X[i * n + j] + spread;
        store_lanes(n * n, count - t, H, res + t * n * n);
    }
}

SPECIALISED void backward_tokens(const int64_t n, int64_t count, const real *logits, const real *grad_res,
                                 real *grad_logits) {
    const int64_t K = (n - 1) * (n - 1);
    const real keep = (real)(1 - delta());
    for (int64_t t = 0; t < count; t += LANES) {
        struct plan p;
        vec read[MOST * MOST], G[MOST * MOST], grad[MOST * MOST];
        load_lanes(K, count - t, logits + t * K, p.s);
        load_lanes(n * n, count - t, grad_res + t * n * n, read);
        fill(n, &p);
        vec lost = p.X[0] - p.X[0];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                G[i * n + j] = keep * read[j * n + i] + lost;
        for (int64_t i = n - 2; i >= 0; i--)
            empty_row(n, i, &p, G, G + (n - 1) * n, grad);
        store_lanes(K, count - t, grad, grad_logits + t * K);
    }
}

MAP_BY_TOKENS

/* Every cell half way between its bounds. */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    for (int64_t k = 0; k < mhc_map_logits(c); k++)
        b[k] = 0;
}

const struct residual_map NAME(map_transport) = {.forward = forward, .backward = backward, .start = start};
