/* C-mHC (github contactsebi/circulant-hyper-connections): res[i][(i + k) mod n] = c_k, c = (1 - g) e_0 + g softmax of
 * the n logits. g is map_constant; the publication has beta / (2 L) there. All these maps commute: the eigenvalues are
 * the Fourier transform of c, and the c of a product is the cyclic convolution.
 *
 * Backward: dL/dc_k = sum_i grad_res[i][(i + k) mod n], times g, and that of a softmax. A NaN makes all NaN. */
#include "cpu_ref/maps/lanes.h"
#include "cpu_ref/maps/circulant.h"

static int64_t cell(int64_t n, int64_t i, int64_t k) {
    return i * n + (i + k < n ? i + k : i + k - n);
}

static void forward(const struct mhc_case *c, int64_t count, const real *logits, real *res) {
    int64_t n = c->n;
    real g = (real)c->map_constant;
    for (int64_t t = 0; t < count; t += LANES) {
        vec share[MHC_MAX_STREAMS], H[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        load_lanes(n, count - t, logits + t * n, share);
        softmax_lanes(n, share);
        for (int64_t k = 0; k < n; k++)
            for (int64_t i = 0; i < n; i++)
                H[cell(n, i, k)] = g * share[k] + (k ? 0 : 1 - g);
        store_lanes(n * n, count - t, H, res + t * n * n);
    }
}

static void backward(const struct mhc_case *c, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history) {
    (void)history;
    int64_t n = c->n;
    for (int64_t t = 0; t < count; t += LANES) {
        vec share[MHC_MAX_STREAMS], grad[MHC_MAX_STREAMS], G[MHC_MAX_STREAMS * MHC_MAX_STREAMS];
        load_lanes(n, count - t, logits + t * n, share);
        load_lanes(n * n, count - t, grad_res + t * n * n, G);
        softmax_lanes(n, share);
        for (int64_t k = 0; k < n; k++) {
            grad[k] = vec_set(0);
            for (int64_t i = 0; i < n; i++)
                grad[k] += G[cell(n, i, k)];
            grad[k] *= (real)c->map_constant;
        }
        softmax_backward_lanes(n, share, grad);
        store_lanes(n, count - t, grad, grad_logits + t * n);
    }
}

/* Every shift alike. */
static void start(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    (void)seed, (void)layer;
    for (int64_t k = 0; k < c->n; k++)
        b[k] = 0;
}

const struct residual_map NAME(map_circulant) = {
    .supports = mhc_circulant_mixes, .forward = forward, .backward = backward, .start = start};
