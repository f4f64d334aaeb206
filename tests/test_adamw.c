/* The optimizer against AdamW as its paper has it, with the second moment itself and from a start at zero. */
#include "cpu_ref/adamw.h"
#include "tests/check.h"

Test(adamw, is_the_papers) {
    enum { COUNT = 35, STEPS = 6 };
    struct mhc_case c = {.T = 1, .n = 1, .C = 5, .hidden = 7};
    struct arrays d = {0};
    double theta[COUNT], m[COUNT] = {0}, v[COUNT] = {0};
    set_types(&c, &mhc_cpu64);
    double *master = put(&d, "master", COUNT), *momentum = put(&d, "momentum", COUNT), *rms = put(&d, "rms", COUNT);
    for (int k = 0; k < COUNT; k++) {
        theta[k] = master[k] = mhc_normal(1, mhc_what("master"), 0, (uint64_t)k);
        momentum[k] = rms[k] = 0;
    }
    for (int step = 0; step < STEPS; step++) {
        double *grad = put(&d, "grad", COUNT);
        for (int k = 0; k < COUNT; k++) {
            double g = grad[k] = mhc_normal(2, mhc_what("grad"), (uint32_t)step, (uint64_t)k);
            m[k] = ADAMW_BETA1 * m[k] + (1 - ADAMW_BETA1) * g;
            v[k] = ADAMW_BETA2 * v[k] + (1 - ADAMW_BETA2) * g * g;
            theta[k] -= ADAMW_RATE * m[k] / (sqrt(v[k]) + ADAMW_EPSILON) + ADAMW_RATE * ADAMW_DECAY * theta[k];
        }
        run_named(&mhc_cpu64, step % 2 ? "adamw.update" : "adamw.update_rounded", &c, &d, NULL);
        check_close(arrays_get(&d, "master_next"), theta, COUNT, 1e-12, "adamw", "master_next");
        check_close(arrays_get(&d, "momentum_next"), m, COUNT, 1e-12, "adamw", "momentum_next");
        for (int k = 0; k < COUNT; k++)
            cr_expect(fabs(arrays_get(&d, "rms_next")[k] * arrays_get(&d, "rms_next")[k] - v[k]) < 1e-12);
        if (step % 2 == 0)
            check_close(arrays_get(&d, "w_next"), theta, COUNT, 1e-12, "adamw", "w_next");
        memcpy(arrays_get(&d, "master"), arrays_get(&d, "master_next"), sizeof theta);
        memcpy(arrays_get(&d, "momentum"), arrays_get(&d, "momentum_next"), sizeof m);
        memcpy(arrays_get(&d, "rms"), arrays_get(&d, "rms_next"), sizeof v);
    }
    arrays_clear(&d);
}
