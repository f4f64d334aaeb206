/* The optimizer against AdamW as its paper writes it: with the second moment itself, in double, from a start at zero.
 * */
#include "cpu_ref/adamw.h"
#include "tests/check.h"

enum { COUNT = 37, STEPS = 25 };

struct reference {
    double theta[COUNT], m[COUNT], v[COUNT];
};

static void reference_step(struct reference *r, const double *grad, double norm, const double *h, int step) {
    for (int k = 0; k < COUNT; k++) {
        double g = grad[k];
        if (h[ADAMW_CLIP] > 0 && norm > h[ADAMW_CLIP])
            g *= h[ADAMW_CLIP] / norm;
        r->m[k] = h[ADAMW_BETA1] * r->m[k] + (1 - h[ADAMW_BETA1]) * g;
        r->v[k] = h[ADAMW_BETA2] * r->v[k] + (1 - h[ADAMW_BETA2]) * g * g;
        double mean = r->m[k] / (1 - pow(h[ADAMW_BETA1], step)), square = r->v[k] / (1 - pow(h[ADAMW_BETA2], step));
        r->theta[k] -= h[ADAMW_RATE] * (mean / (sqrt(square) + h[ADAMW_EPSILON]) + h[ADAMW_DECAY] * r->theta[k]);
    }
}

/* The row runs on its own outcome of the step before; what is not a parameter is the caller's. */
static void step_row(const struct mhc_library *library, const struct mhc_case *c, struct arrays *d, bool rounded) {
    static const char *const state[] = {"master", "momentum", "rms"};
    run_named(library, rounded ? "adamw.update_rounded" : "adamw.update", c, d, NULL);
    if (rounded)
        check_close(arrays_get(d, "w_next"), arrays_get(d, "master_next"), COUNT, 0, "adamw", "w_next");
    for (int s = 0; s < 3; s++) {
        char next[20];
        snprintf(next, sizeof next, "%s_next", state[s]);
        memcpy(arrays_get(d, state[s]), arrays_get(d, next), COUNT * sizeof(double));
    }
}

/* hyper is the case's own; gradients have a size, and every fifth element never has one. */
static void expect_papers(const double *hyper, double size, const char *what) {
    for (int l = 0; l < LIBRARIES; l++) {
        struct mhc_case c = {.weights = COUNT};
        struct arrays d = {0};
        struct reference r = {.m = {0}};
        set_types(&c, libraries[l]);
        put(&d, "momentum", COUNT), put(&d, "rms", COUNT);
        double *master = put(&d, "master", COUNT), *h = put(&d, "hyper", ADAMW_HYPERS), *norm = put(&d, "norm", 1);
        double *grad = put(&d, "grad", COUNT), start[COUNT];
        memcpy(h, hyper, ADAMW_HYPERS * sizeof *h);
        for (int k = 0; k < COUNT; k++)
            start[k] = r.theta[k] = master[k] = (float)mhc_normal(1, mhc_what("master"), 0, (uint64_t)k);
        for (int step = 1; step <= STEPS; step++) {
            double sum = 0;
            for (int k = 0; k < COUNT; k++) {
                double g = size * mhc_normal(2, mhc_what("grad"), (uint32_t)step, (uint64_t)k);
                grad[k] = k % 5 ? (float)g : 0;
                sum += grad[k] * grad[k];
            }
            *norm = sqrt(sum);
            h[ADAMW_STEP] = step;
            step_row(libraries[l], &c, &d, step % 2);
            reference_step(&r, grad, *norm, h, step);
            double close = libraries[l] == &mhc_cpu64 ? 1e-12 : 1e-5, largest = array_largest(r.m, COUNT);
            check_close(arrays_get(&d, "master"), r.theta, COUNT, close, what, "master");
            check_close(arrays_get(&d, "momentum"), r.m, COUNT, close * largest, what, "momentum");
            for (int k = 0; k < COUNT; k++) {
                double rms = arrays_get(&d, "rms")[k];
                cr_expect(fabs(rms - sqrt(r.v[k])) <= close * sqrt(r.v[k]), "%s: rms[%d] is %g", what, k, rms);
                cr_expect(k % 5 || h[ADAMW_DECAY] > 0 || arrays_get(&d, "master")[k] == start[k],
                          "%s: element %d moved without a gradient", what, k);
                cr_expect(l || k % 5 == 0 || arrays_get(&d, "master")[k] != start[k]);
            }
        }
        arrays_clear(&d);
    }
}

Test(adamw, is_the_papers) {
    const double plain[ADAMW_HYPERS] = {0.01, 0.9, 0.95, 1e-8, 0.1, 0, 0},
                 clipped[ADAMW_HYPERS] = {0.02, 0.9, 0.99, 1e-8, 0.3, 1.5, 0},
                 loose[ADAMW_HYPERS] = {0.02, 0.8, 0.9, 1e-3, 0, 1e3, 0},
                 without_memory[ADAMW_HYPERS] = {0.02, 0, 0, 1e-8, 0, 0, 0};
    expect_papers(plain, 1, "without a clip");
    expect_papers(clipped, 1, "clipped");
    expect_papers(loose, 1, "a clip that is not reached");
    expect_papers(without_memory, 1, "betas of 0");
}

/* The mHC paper's epsilon. Squares of these gradients are no floats; a clip of them is. */
Test(adamw, takes_an_epsilon_of_1e_20) {
    const double tiny[ADAMW_HYPERS] = {0.01, 0.9, 0.95, 1e-20, 0, 0, 0},
                 clipped[ADAMW_HYPERS] = {0.01, 0.9, 0.95, 1e-20, 0, 1e-26, 0};
    expect_papers(tiny, 1, "epsilon 1e-20");
    expect_papers(tiny, 1e-19, "gradients of 1e-19");
    expect_papers(tiny, 1e-28, "gradients of 1e-28");
    expect_papers(tiny, 1e18, "gradients of 1e18");
    expect_papers(clipped, 1e-20, "gradients of 1e-20, clipped");
}

/* The stated rule: without a finite norm, with and without a clip, every output is NaN. */
Test(adamw, has_no_step_without_a_norm) {
    const double norms[] = {NAN, INFINITY};
    for (int k = 0; k < 2 * 2 * LIBRARIES; k++) {
        const struct mhc_library *library = libraries[k / 4];
        struct mhc_case c = {.weights = COUNT};
        struct arrays d = {0};
        set_types(&c, library);
        double *h = put(&d, "hyper", ADAMW_HYPERS), *norm = put(&d, "norm", 1);
        const double hyper[ADAMW_HYPERS] = {0.01, 0.9, 0.95, 1e-8, 0.1, k % 2 ? 1 : 0, 3};
        memcpy(h, hyper, sizeof hyper);
        *norm = norms[k / 2 % 2];
        run_named(library, "adamw.update_rounded", &c, &d, NULL);
        for (int e = 0; e < COUNT; e++)
            cr_expect(isnan(arrays_get(&d, "master_next")[e]) && isnan(arrays_get(&d, "momentum_next")[e]) &&
                      isnan(arrays_get(&d, "rms_next")[e]) && isnan(arrays_get(&d, "w_next")[e]));
        arrays_clear(&d);
    }
}

Test(adamw, needs_a_weight) {
    struct mhc_case c = {.weights = 0};
    const char *why = "";
    set_types(&c, &mhc_cpu64);
    cr_expect(!mhc_row_find(&mhc_cpu64, "adamw.update")->supports(&c, &why) && strstr(why, "weights"), "%s", why);
}

/* The kernel, on the CPU, at the sizes of gradients that a float has: relative to each element, not to the largest. */
Test(adamw, kernel_takes_an_epsilon_of_1e_20) {
    static const double sizes[] = {1, 1e-10, 1e-19, 1e-28, 1e-37, 1e15, 0};
    static const char *const outputs[] = {"master_next", "momentum_next", "rms_next"};
    struct backend emu;
    const char *build = getenv("BUILD");
    char path[4096], why[MAX_FAILURE];
    snprintf(path, sizeof path, "%s/libmhc_emu.so", build ? build : "build");
    cr_assert(backend_open(&emu, path, why, sizeof why), "%s", why);
    for (int k = 0; k < 7 * 2; k++) {
        struct mhc_case c = {.weights = COUNT}, exact = c;
        struct arrays d = {0};
        struct outcome o = {.save = {0}};
        const double clip = k % 2 ? 0.5 * sizes[k / 2] : 0;
        const double hyper[ADAMW_HYPERS] = {0.01, 0.9, 0.95, 1e-20, 0.1, clip, 2};
        set_types(&c, &mhc_cpu32);
        set_types(&exact, &mhc_cpu64);
        memcpy(put(&d, "hyper", ADAMW_HYPERS), hyper, sizeof hyper);
        *put(&d, "norm", 1) = sizes[k / 2];
        for (int e = 0; e < COUNT; e++) {
            put(&d, "grad", COUNT)[e] = (float)(sizes[k / 2] * mhc_normal(9, 1, 0, (uint64_t)e));
            put(&d, "momentum", COUNT)[e] = (float)(e % 3 * sizes[k / 2]);
            put(&d, "rms", COUNT)[e] = (float)(e % 3 * sizes[k / 2]);
        }
        run_named(&mhc_cpu64, "adamw.update", &exact, &d, NULL);
        arrays_alias_all(&o.made, &d);
        bool good = run_guarded(&emu, mhc_row_find(emu.library, "adamw.update"), &c,
                                &(struct poison){.pattern = 0xffff, .shift = 64}, &o, why);
        cr_assert(good, "%s", why);
        for (int out = 0; out < 3; out++)
            for (int e = 0; e < COUNT; e++) {
                double got = arrays_get(&o.made, outputs[out])[e], want = arrays_get(&d, outputs[out])[e];
                cr_expect(fabs(got - want) <= 1e-5 * fabs(want) + 1e-43, "%g: %s[%d] is %g, wanted %g", sizes[k / 2],
                          outputs[out], e, got, want);
            }
        outcome_clear(&o);
        arrays_clear(&d);
    }
    backend_close(&emu);
}
