/* AdamW (arXiv 1711.05101) on a parameter [C][hidden]: the optimizer of a training step.
 *
 *   momentum' = b1 momentum + (1 - b1) grad
 *   rms'      = sqrt(b2 rms^2 + (1 - b2) grad^2)
 *   master'   = master - rate (momentum' / (rms' + epsilon) + decay master)
 *
 * rms is the root of the second moment, kept as a root: as many bytes and operations, and no draw of inputs makes it negative. New values
 * go to arrays of their own and not in place, so that a step can be run again with the same outcome: as many bytes by the model; where a cache
 * fetches what it is going to overwrite, as CPUs do, it costs more. `update_rounded` writes besides what the products read, the weight in
 * the type of the streams. */
#include "cpu_ref/adamw.h"
#include "cpu_ref/real.h"

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->hidden < 1)
        return *why = "hidden must be at least 1", false;
    return NAME(supports)(c, why);
}

/* rounded NULL: nobody wants it */
static void update(int64_t count, void *const arg[], real *rounded) {
    const real *master = arg[0], *momentum = arg[1], *rms = arg[2], *grad = arg[3];
    real *master_next = arg[4], *momentum_next = arg[5], *rms_next = arg[6];
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

static int update_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    update(c->C * c->hidden, arg, NULL);
    return 0;
}

static int update_rounded_run(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                              void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    update(c->C * c->hidden, arg, arg[7]);
    return 0;
}

const struct mhc_row NAME(adamw_update) = {
    MHC_OPERATION(adamw_update), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = update_run,
};

const struct mhc_row NAME(adamw_update_rounded) = {
    MHC_OPERATION(adamw_update_rounded), .supports = supports,
    .tolerance = NAME(tolerance),
    .run = update_rounded_run,
};
