/* The model of study train: its gradient is the slope of its loss, its start is what it says, and an update is that of
 * its groups. */
#include "tests/train_example.h"

TestSuite(model, .timeout = 1800);

/* ---- the gradient ---- */

static int64_t held_of(const struct train *t, const char *argument, int64_t layer) {
    for (int64_t k = 0; k < t->memory.held.count; k++)
        if (t->memory.held.array[k].layer == layer && !strcmp(t->memory.held.array[k].argument, argument))
            return k;
    return -1;
}

/* In float64: a parameter is where its array lies, and its gradient as far from the start of theirs. */
static double *parameter(const struct train *t, int64_t held) {
    return (double *)program_memory_parameter(&t->memory, held);
}
static double *gradient(const struct train *t, int64_t held) {
    return (double *)(program_memory_flat(&t->memory, FLAT_GRADIENT) + t->memory.held.array[held].offset);
}

static double loss_of(struct train *t) {
    double loss;
    const char *why = train_run_held_out(t, LOOK, NULL, &loss);
    cr_assert(!why, "%s", why);
    return loss;
}

/* Moves every parameter, so that none is at a start where its gradient is 0 by symmetry. */
static void stir(struct train *t) {
    for (int64_t k = 0; k < t->memory.held.count; k++) {
        const struct program_array *a = &t->memory.held.array[k];
        bool map = !strcmp(a->argument, "b") || !strcmp(a->argument, "phi");
        for (int64_t i = 0; i < a->count; i++)
            parameter(t, k)[i] = (map ? 0.2 : 1) * parameter(t, k)[i] +
                                 0.1 * mhc_normal(5, mhc_what(a->name), (uint32_t)(a->layer + 1), (uint64_t)i);
    }
}

static void check_gradient(const char *connection) {
    struct params p = small(connection);
    struct train t;
    struct backend b;
    open_train(&t, &p, &b);
    stir(&t);
    int groups = 0;
    double largest = 0;
    loss_of(&t);
    for (int64_t k = 0; k < t.memory.held.count; k++)
        largest = fmax(largest, array_largest(gradient(&t, k), t.memory.held.array[k].count));
    for (int64_t k = 0; k < t.memory.held.count; k++) {
        const struct program_array *a = &t.memory.held.array[k];
        for (int sample = 0; sample < 3 && a->count; sample++) {
            int64_t i = (int64_t)(mhc_bits(6, (uint32_t)k, 0, (uint64_t)sample) % (uint64_t)a->count);
            double *at = &parameter(&t, k)[i], kept = *at, h = 1e-5, said;
            if (!strcmp(a->argument, "table")) /* most bytes do not occur */
                i = t.text.bytes[train_held_out_window(&t.text, &p, 0, 1)] * p.width, at = &parameter(&t, k)[i],
                kept = *at;
            loss_of(&t);
            said = gradient(&t, k)[i];
            *at = kept + h;
            double above = loss_of(&t);
            *at = kept - h;
            double slope = (above - loss_of(&t)) / (2 * h);
            *at = kept;
            cr_expect(fabs(slope - said) < 1e-6 * largest + 1e-5 * fabs(slope),
                      "%s, %s of layer %lld [%lld]: %g, slope %g", connection, a->name, (long long)a->layer,
                      (long long)i, said, slope);
            groups |= said != 0 ? 1 << a->group : 0;
        }
    }
    cr_expect(groups == (params_connection(&p)->generator == GENERATOR_NONE ? 3 : 7), "%s: groups %d", connection,
              groups);
    train_release(&t);
    backend_close(&b);
}

Test(model, gradient_is_the_slope_of_the_loss) {
    make_text(2000);
    for (int k = 0; k < NAMES; k++)
        check_gradient(names[k]);
    remove_text();
}

/* ---- the start ---- */

/* HC reads one stream of copies, and writes the branch to all of them. The sum of the streams is n times the
 * residual's, which the norm of the head takes off. */
Test(model, hc_starts_as_the_residual) {
    make_text(4000);
    struct params residual = small("resnet"), skip = small("skip"), hc = small("hc"), fixed = small("hc-static"),
                  mhc = small("mhc");
    double want = start_of(&residual);
    cr_expect(fabs(want - log(256)) < 1);
    cr_expect(fabs(start_of(&skip) - want) < 1e-12);
    cr_expect(fabs(start_of(&fixed) - want) < 1e-12);
    cr_expect(fabs(start_of(&hc) - want) < 1e-12, "%.17g, not %.17g", start_of(&hc), want);
    set(&mhc, "start", "pre-norm"); /* pre is 1 and post 1 to 2e-9, res I to 1e-17 */
    mhc.alpha = 0;
    cr_expect(fabs(start_of(&mhc) - want) < 1e-7, "%.17g, not %.17g", start_of(&mhc), want);
    set(&mhc, "start", "lite");
    cr_expect(fabs(start_of(&mhc) - want) > 1e-6);
    remove_text();
}

/* ---- the optimizer ---- */

/* With a rate of 0 for all but the decay there is nothing to see: so one step is compared with one without decay. */
Test(model, decay_is_of_its_groups) {
    make_text(3000);
    struct train t[3];
    struct backend b[3];
    double loss, norm;
    for (int k = 0; k < 3; k++) {
        static struct params p[3];
        p[k] = small("mhc");
        p[k].warm_up = 0, p[k].learning_rate = 0.01;
        p[k].decay = k == 1 ? 0.5 : 0, p[k].connection_decay = k == 2 ? 0.5 : 0;
        open_train(&t[k], &p[k], &b[k]);
        stir(&t[k]);
        cr_assert(!train_step(&t[k], &loss, &norm) && isfinite(loss) && norm > 0);
    }
    int changed[3][PARAMETER_GROUPS] = {{0}};
    for (int64_t k = 0; k < t[0].memory.held.count; k++) {
        const struct program_array *a = &t[0].memory.held.array[k];
        for (int which = 1; which < 3; which++)
            changed[which][a->group] += memcmp(parameter(&t[0], k), parameter(&t[which], k), (size_t)a->bytes) != 0;
    }
    cr_expect(changed[1][GROUP_MATRICES] > 0 && !changed[1][GROUP_PLAIN] && !changed[1][GROUP_CONNECTION]);
    cr_expect(!changed[2][GROUP_MATRICES] && !changed[2][GROUP_PLAIN] && changed[2][GROUP_CONNECTION] > 0);
    /* master' = master - rate (... + decay master), so the difference is rate times decay times what it was */
    int64_t w = held_of(&t[0], "w_o", 0);
    struct train fresh;
    struct backend fresh_backend;
    struct params p = small("mhc");
    open_train(&fresh, &p, &fresh_backend);
    stir(&fresh);
    for (int64_t i = 0; i < fresh.memory.held.array[w].count; i++)
        cr_expect(fabs(parameter(&t[0], w)[i] - parameter(&t[1], w)[i] - 0.01 * 0.5 * parameter(&fresh, w)[i]) < 1e-15);
    train_release(&fresh);
    backend_close(&fresh_backend);
    for (int k = 0; k < 3; k++) {
        train_release(&t[k]);
        backend_close(&b[k]);
    }
    remove_text();
}

/* What lies between slices, and moments of bytes that never occur, are zero for ever. */
Test(model, padding_stays_zero) {
    make_text(3000);
    struct params p = small("hc"); /* alpha [3], biases [4] and [4][4] */
    struct train t;
    struct backend b;
    double loss, norm;
    open_train(&t, &p, &b);
    for (int step = 0; step < 5; step++)
        cr_assert(!train_step(&t, &loss, &norm));
    int64_t bytes = t.memory.flat.first[PARAMETER_GROUPS], padding = 0;
    bool *used = calloc((size_t)bytes, 1);
    for (int64_t k = 0; k < t.memory.held.count; k++) {
        const struct program_array *a = &t.memory.held.array[k];
        cr_expect(a->flat == FLAT_PARAMETER && a->offset % 64 == 0 && a->offset >= t.memory.flat.first[a->group] &&
                  a->offset + a->bytes <= t.memory.flat.first[a->group + 1]);
        for (int64_t i = 0; i < a->bytes; i++)
            used[a->offset + i] = true;
    }
    for (int flat = FLAT_GRADIENT; flat < FLAT_KINDS; flat++)
        for (int64_t i = 0; i < bytes; i++)
            if (!used[i]) {
                cr_expect(!program_memory_flat(&t.memory, (enum program_flat)flat)[i], "byte %lld of flat array %d",
                          (long long)i, flat);
                padding++;
            }
    cr_expect(padding > 0);
    double *whole = (double *)program_memory_flat(&t.memory, FLAT_GRADIENT);
    cr_expect(fabs(norm - mhc_norm(whole, bytes / 8)) < 1e-12 * norm);
    free(used);
    train_release(&t);
    backend_close(&b);
    remove_text();
}

Test(model, rates_follow_the_schedule) {
    struct params p = small("mhc");
    p.steps = 100, p.warm_up = 10, p.learning_rate = 2;
    const struct {
        int64_t step;
        double rate;
    } want[] = {{1, 0.2}, {5, 1}, {10, 2}, {11, 2}, {80, 2}, {81, 0.632}, {90, 0.632}, {91, 0.2}, {100, 0.2}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++)
        cr_expect(fabs(train_rate(&p, want[k].step) - want[k].rate) < 1e-15, "step %lld", (long long)want[k].step);
    set(&p, "schedule", "constant");
    cr_expect(train_rate(&p, 100) == 2);
    p.warm_up = 0;
    cr_expect(train_rate(&p, 1) == 2);
}
