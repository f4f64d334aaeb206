/* AdamW (arXiv 1711.05101) on a parameter [C][hidden]: the optimizer of a training step.
 *
 *   momentum' = b1 momentum + (1 - b1) grad
 *   rms'      = sqrt(b2 rms^2 + (1 - b2) grad^2)
 *   master'   = master - rate (momentum' / (rms' + epsilon) + decay master)
 *
 * rms is the root of the second moment, kept as a root: as many bytes and operations, and no draw of inputs makes it
 * negative. New values go to arrays of their own and not in place, so that a step can be run again with the same
 * outcome: as many bytes by the model; where a cache fetches what it is going to overwrite, as CPUs do, it costs
 * more. `update_rounded` writes besides what the products read, the weight in the type of the streams. */
#include "cpu_ref/adamw.h"
#include "cpu_ref/real.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

/* rounded NULL: it is not wanted. */
static void update(int64_t count, const struct adamw_update_args *a, real *rounded) {
    const real *master = a->master, *momentum = a->momentum, *rms = a->rms, *grad = a->grad;
    real *master_next = a->master_next, *momentum_next = a->momentum_next, *rms_next = a->rms_next;
    const real b1 = (real)ADAMW_BETA1, b2 = (real)ADAMW_BETA2;
#pragma omp parallel for simd schedule(static) if (parallel : count > 8192) /* a bias is not worth waking threads for */
    for (int64_t k = 0; k < count; k++) {
        real m = b1 * momentum[k] + (1 - b1) * grad[k],
             s = (real)sqrt(b2 * rms[k] * rms[k] + (1 - b2) * grad[k] * grad[k]);
        real next = master[k] - (real)ADAMW_RATE * (m / (s + (real)ADAMW_EPSILON) + (real)ADAMW_DECAY * master[k]);
        master_next[k] = next;
        momentum_next[k] = m;
        rms_next[k] = s;
        if (rounded)
            rounded[k] = next;
    }
}

RUN(adamw_update) {
    update(c->C * c->hidden, a, NULL);
    return 0;
}

RUN(adamw_update_rounded) {
    const struct adamw_update_args all = {
        .master = a->master,
        .momentum = a->momentum,
        .rms = a->rms,
        .grad = a->grad,
        .master_next = a->master_next,
        .momentum_next = a->momentum_next,
        .rms_next = a->rms_next,
    };
    update(c->C * c->hidden, &all, a->w_next);
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
