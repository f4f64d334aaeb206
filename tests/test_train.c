/* Study train: the gradient is the gradient, runs are the same bits however they are run, and a start is what it says.
 * What training leads to is for the reader of a record, not for a test. */
#include "tests/check.h"

#include <omp.h>
#include <unistd.h>

#include "cpu_ref/adamw.h"
#include "suites/study/train.h"

TestSuite(train, .timeout = 300);

static const char *const names[] = {"resnet", "skip", "hc", "hc-static", "mhc", "identity", "kromhc"};
enum { NAMES = sizeof names / sizeof *names };

static char path[64];

/* A text with something to learn: words that repeat. */
static void write_text(int64_t size) {
    snprintf(path, sizeof path, "/tmp/test_train.XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert(file);
    for (int64_t k = 0; k < size; k++)
        fputc("the quick brown fox jumps over it. "[(k + k / 700) % 35], file);
    cr_assert(!fclose(file));
}

static void remove_text(void) {
    unlink(path);
}

static void set(struct params *p, const char *name, const char *value) {
    char why[300];
    cr_assert(params_set(p, params_find(name), value, why, sizeof why), "%s", why);
}

/* Two transformer blocks. */
static struct params small(const char *connection) {
    struct params p;
    params_defaults(&p);
    omp_set_num_threads(1); /* arrays of a few dozen numbers */
    set(&p, "study", "train");
    set(&p, "block", connection);
    set(&p, "activation", "gelu");
    set(&p, "input", path);
    p.depth = 4, p.streams = connection_has_one_stream(params_connection(&p)) ? 1 : 4;
    p.width = 8, p.sequence = 6, p.tokens = 12, p.heads = 2, p.head_dim = 4, p.hidden = 10, p.t_max = 20;
    p.batch = 2, p.steps = 4, p.warm_up = 2, p.alpha = 0.1;
    return p;
}

static void open_train(struct train *t, const struct params *p, struct backend *b) {
    char why[300];
    cr_assert(backend_open(b, p->backend, why, sizeof why), "%s", why);
    const char *failed = train_compose(t, p, b);
    failed = failed ? failed : train_open(t);
    cr_assert(!failed, "%s: %s", params_connection(p)->name, failed);
}

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

Test(train, gradient_is_the_slope_of_the_loss) {
    write_text(2000);
    for (int k = 0; k < NAMES; k++)
        check_gradient(names[k]);
    remove_text();
}

/* ---- the start ---- */

static double start_of(const struct params *p) {
    struct train t;
    struct backend b;
    double loss;
    open_train(&t, p, &b);
    cr_assert(!train_run_held_out(&t, JUDGE, NULL, &loss));
    train_release(&t);
    backend_close(&b);
    return loss;
}

/* HC reads one stream of copies, and writes the branch to all of them. The sum of the streams is n times the residual's,
 * which the norm of the head takes off. */
Test(train, hc_starts_as_the_residual) {
    write_text(4000);
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

/* ---- a run ---- */

static struct study_result run(const struct params *p) {
    struct study_result r;
    study_run(&(struct study_context){.p = p}, &r);
    return r;
}

static void expect_same(const struct study_result *a, const struct study_result *b, const char *what) {
    cr_assert(a->trained && b->trained && a->trained->bytes == b->trained->bytes, "%s: %s %s", what, a->reason,
              b->reason);
    cr_expect(!memcmp(a->trained->memory, b->trained->memory, a->trained->bytes), "%s: training differs", what);
    for (int m = 0; m < MHC_METRICS; m++)
        for (int s = 0; s < MHC_STATISTICS; s++)
            cr_expect(!a->curves.curve[m][s] == !b->curves.curve[m][s] &&
                          (!a->curves.curve[m][s] ||
                           !memcmp(a->curves.curve[m][s], b->curves.curve[m][s], (size_t)a->L * sizeof(double))),
                      "%s: curve %s", what, mhc_metric_info[m].name);
}

/* With as many threads: where OpenBLAS cuts a product is a matter of those. */
Test(train, runs_are_the_same_bits) {
    static const char *const backends[] = {"cpu64", "cpu32"};
    write_text(3000);
    for (int k = 0; k < NAMES; k++)
        for (int l = 0; l < 2; l++)
            for (int threads = 1; threads <= 2; threads++) {
                struct params p = small(names[k]);
                set(&p, "backend", backends[l]);
                omp_set_num_threads(threads);
                struct study_result one = run(&p), again = run(&p);
                cr_expect(!one.reason[0] && one.trained->is.points == 2 && one.trained->is.steps == 4, "%s",
                          one.reason);
                expect_same(&one, &again, names[k]);
                study_release(&one);
                study_release(&again);
            }
    remove_text();
}

/* Rows of mHC's maps sum to 1, so its forward gain is 1; a product of such maps has columns that sum to n at most. */
Test(train, gains_of_mhc_are_bounded) {
    write_text(3000);
    struct params p = small("mhc");
    p.steps = 30, p.learning_rate = 0.05, p.every = 10;
    struct study_result r = run(&p);
    cr_assert(!r.reason[0] && r.trained->is.points == 4, "%s", r.reason);
    for (int64_t point = 0; point < 4; point++)
        for (int64_t l = 0; l < p.depth; l++) {
            cr_expect(fabs(trained_curve(r.trained, point, MHC_composite_forward_sum)[l]) < 1e-12);
            cr_expect(trained_curve(r.trained, point, MHC_composite_backward_sum)[l] <
                      log10((double)p.streams) + 1e-12);
        }
    for (int k = 0; k < RECORD_PROJECTIONS; k++)
        cr_expect(r.trained->is.t_max[k] == train_t_max[k] && isfinite(r.trained->is.t_max_held_out_loss[k]) &&
                  fabs(trained_projected_curve(r.trained, k, MHC_composite_forward_sum)[0]) < 1e-12);
    /* the same weights with the t_max that they have had all along */
    cr_expect(r.trained->is.t_max_held_out_loss[2] == r.trained->is.held_out_loss[3]);
    for (int64_t l = 0; l < p.depth; l++)
        cr_expect(trained_projected_curve(r.trained, 2, MHC_composite_backward_sum)[l] ==
                  trained_curve(r.trained, 3, MHC_composite_backward_sum)[l]);
    study_release(&r);
    remove_text();
}

/* What a point says is true of the weights: the loss falls on a text that repeats, and without a branch it is another. */
Test(train, it_learns_what_repeats) {
    write_text(6000);
    for (int k = 0; k < NAMES; k++) {
        struct params p = small(names[k]);
        p.steps = 60, p.learning_rate = 0.02, p.width = 16, p.head_dim = 8;
        struct study_result r = run(&p);
        cr_assert(!r.reason[0], "%s", r.reason);
        const struct record_training *is = &r.trained->is;
        cr_expect(is->held_out_loss[is->points - 1] < is->held_out_loss[0] - 0.5, "%s: %g to %g", names[k],
                  is->held_out_loss[0], is->held_out_loss[is->points - 1]);
        cr_expect(isnan(is->loss[0]) && is->step[0] == 0 && is->step[is->points - 1] == 60);
        for (int q = 0; q < 4; q++)
            cr_expect(is->held_out_loss_without_quarter[q] != is->held_out_loss[is->points - 1]);
        study_release(&r);
    }
    remove_text();
}

Test(train, no_steps_measure_the_start) {
    write_text(3000);
    struct params p = small("mhc");
    p.steps = 0;
    struct study_result r = run(&p);
    cr_expect(!r.reason[0] && r.trained->is.points == 1 && r.trained->is.steps == 0 && r.trained->is.step[0] == 0);
    cr_expect(r.trained->is.held_out_loss[0] == start_of(&p) && r.panels && r.qr_spectrum);
    cr_expect(r.curves.curve[MHC_composite_forward_sum][MHC_Q50] && isnan(r.trained->is.seconds_per_step));
    study_release(&r);
    remove_text();
}

/* The run ends, and what was measured is kept. */
Test(train, a_loss_that_is_no_number_ends_the_run) {
    write_text(3000);
    for (int clip = 0; clip < 2; clip++) {
        struct params p = small("hc");
        set(&p, "backend", "cpu32");
        p.steps = 40, p.every = 1, p.warm_up = 0, p.learning_rate = 1e30, p.clip = clip;
        struct study_result r = run(&p);
        cr_assert(!r.reason[0] && r.trained, "%s", r.reason);
        const struct record_training *is = &r.trained->is;
        cr_expect(is->diverged >= 1 && is->diverged <= 5 && is->points >= 1 && is->points <= is->diverged &&
                      is->steps < is->diverged,
                  "diverged %lld, %lld points", (long long)is->diverged, (long long)is->points);
        for (int64_t k = 0; k < is->points; k++)
            cr_expect(isfinite(is->held_out_loss[k]) && is->step[k] == k);
        cr_expect(isfinite(r.curves.curve[MHC_composite_forward_sum][MHC_MEAN][0]) &&
                  isnan(is->t_max_held_out_loss[0]));
        study_release(&r);
    }
    remove_text();
}

/* ---- the optimizer ---- */

/* With a rate of 0 for all but the decay there is nothing to see: so one step is compared with one without decay. */
Test(train, decay_is_of_its_groups) {
    write_text(3000);
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
Test(train, padding_stays_zero) {
    write_text(3000);
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

Test(train, rates_follow_the_schedule) {
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

/* ---- the text ---- */

/* A function of seed, step and row alone; within what may be read; held-out windows within the rest. */
Test(train, windows) {
    write_text(5000);
    struct params p = small("mhc"), other = small("hc");
    struct train_text text;
    char why[300];
    int differ = 0;
    cr_assert(train_text_read(&text, &p, why, sizeof why), "%s", why);
    cr_expect(text.size == 5000 && text.readable == 4750);
    other.steps = 1000, other.batch = 17, other.width = 32, other.learning_rate = 1;
    for (int64_t step = 1; step <= 300; step++)
        for (int64_t row = 0; row < 4; row++) {
            int64_t at = train_window(&text, &p, step, row);
            cr_expect(at >= 0 && at + p.sequence < text.readable && at == train_window(&text, &other, step, row));
            differ += at != train_window(&text, &p, step + 1, row) && at != train_window(&text, &p, step, row + 1);
        }
    cr_expect(differ > 1180, "%d of 1200 windows differ from their neighbours", differ);
    other.seed = 2;
    cr_expect(train_window(&text, &p, 7, 1) != train_window(&text, &other, 7, 1));
    int64_t count = train_held_out_windows(&p);
    cr_expect(count == (HELD_OUT_TOKENS + 5) / 6);
    for (int64_t k = 0; k < count; k++) {
        int64_t at = train_held_out_window(&text, &p, k, count);
        cr_expect(at >= text.readable && at + p.sequence < text.size &&
                  at == train_held_out_window(&text, &other, k, count));
    }
    train_text_release(&text);
    remove_text();
}

static void expect_refused(const struct params *p, const char *want) {
    char why[300] = "";
    double needed, available;
    cr_expect(!study_estimate(p, &needed, &available, why, sizeof why) && strstr(why, want) && !strchr(why, '\n'),
              "`%s`, want `%s`", why, want);
}

Test(train, texts_that_cannot_serve_are_refused) {
    write_text(139); /* 7 bytes are held out, as many as a window takes */
    struct params p = small("mhc");
    p.tokens = 6;
    char why[300];
    cr_expect(train_text_check(&p, why, sizeof why), "%s", why);
    struct study_result r = run(&p);
    cr_expect(!r.reason[0], "%s", r.reason);
    study_release(&r);
    p.sequence = 7, p.tokens = 7;
    expect_refused(&p, "7 held out, a window of --sequence takes 8");
    p.input[0] = 0;
    expect_refused(&p, "needs --input FILE");
    set(&p, "input", "/no/such/text");
    expect_refused(&p, "/no/such/text: No such file");
    remove_text();
}
