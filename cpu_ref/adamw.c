/* The optimizer of a training step on a flat array of parameters; the equation is in adamw.h.
 *
 * rms is the root of the second moment, kept as a root: as many bytes and operations, no draw of inputs makes it
 * negative, and squares of tiny gradients cannot vanish in a float: they are summed in double. An element that never
 * had a gradient stays put but for the decay: 0 / (0 + epsilon). New values go to arrays of their own and not in place,
 * so that a step can be run again with the same outcome: as many bytes by the model; where a cache fetches what it is
 * going to overwrite, as CPUs do, it costs more. `update_rounded` writes besides what the products read, the weight in
 * the type of the streams. */
#include "cpu_ref/adamw.h"
#include "cpu_ref/real.h"

static bool supports(const struct mhc_case *c, const char **why) {
    struct mhc_case types = *c; /* a flat array has neither tokens nor streams */
    types.T = types.n = 1;
    if (c->weights < 1)
        return *why = "weights must be at least 1", false;
    return NAME(supports)(&types, why);
}

/* rounded NULL: it is not wanted. */
static void update(int64_t count, const struct adamw_update_args *a, real *rounded) {
    const real *master = a->master, *momentum = a->momentum, *rms = a->rms, *grad = a->grad;
    real *master_next = a->master_next, *momentum_next = a->momentum_next, *rms_next = a->rms_next;
    const struct adamw_factors f = adamw_factors_of(*(const double *)a->norm, a->hyper);
    const real clip = (real)f.clip, kept = (real)f.beta1, added = (real)(1 - f.beta1), rate = (real)f.rate,
               root = (real)f.root, epsilon = (real)f.epsilon, shrink = (real)f.shrink;
#pragma omp parallel for simd schedule(static) if (parallel : count > 8192) /* a bias is not worth waking threads for */
    for (int64_t k = 0; k < count; k++) {
        real g = clip * grad[k], m = kept * momentum[k] + added * g;
        real s = (real)sqrt(f.beta2 * ((double)rms[k] * rms[k]) + (1 - f.beta2) * ((double)g * g));
        real next = master[k] - rate * (m / (root * s + epsilon)) - shrink * master[k];
        master_next[k] = next;
        momentum_next[k] = m;
        rms_next[k] = s;
        if (rounded)
            rounded[k] = next;
    }
}

RUN(adamw_update) {
    update(c->weights, a, NULL);
    return 0;
}

RUN(adamw_update_rounded) {
    const struct adamw_update_args all = {
        .master = a->master,
        .momentum = a->momentum,
        .rms = a->rms,
        .grad = a->grad,
        .norm = a->norm,
        .hyper = a->hyper,
        .master_next = a->master_next,
        .momentum_next = a->momentum_next,
        .rms_next = a->rms_next,
    };
    update(c->weights, &all, a->w_next);
    return 0;
}

const struct mhc_row NAME(adamw_update) = {
    MHC_OPERATION(adamw_update),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = adamw_update_run,
};

const struct mhc_row NAME(adamw_update_rounded) = {
    MHC_OPERATION(adamw_update_rounded),
    .supports = supports,
    .tolerance = NAME(tolerance),
    .run = adamw_update_rounded_run,
};
