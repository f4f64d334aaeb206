/* Study train: runs repeat to the bit, end when they must, and are recorded. A test does not judge what training leads
 * to. */
#include "tests/command.h"
#include "tests/train_example.h"

TestSuite(train, .timeout = 1800);

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
    make_text(3000);
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
    make_text(3000);
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

/* What a point says is true of the weights: the loss falls on a text that repeats, and is another without a branch. */
Test(train, it_learns_what_repeats) {
    make_text(6000);
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
    make_text(3000);
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
    make_text(3000);
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

/* ---- the text ---- */

/* A function of seed, step and row alone; within what may be read; held-out windows within the rest. */
Test(train, windows) {
    make_text(5000);
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
    make_text(139); /* 7 bytes are held out, as many as a window takes */
    struct params p = small("mhc");
    p.tokens = 6;
    char why[300];
    cr_expect(train_text_check(&p, why, sizeof why), "%s", why);
    struct study_result r = run(&p);
    cr_expect(!r.reason[0], "%s", r.reason);
    study_release(&r);
    p.sequence = 7, p.tokens = 7;
    expect_refused(&p, "7 held out, a window of --sequence takes 8");
    p.input = "";
    expect_refused(&p, "needs --input FILE");
    set(&p, "input", "/no/such/text");
    expect_refused(&p, "/no/such/text: No such file");
    remove_text();
}

/* ---- the program ---- */

/* Through worker, pipe and file: what the record holds is what the run left. */
Test(train, a_record_holds_what_the_run_left) {
    make_text(3000);
    enter();
    int code = sh(
        "$M run --study train --connection hc,mhc --depth 4 --width 8 --sequence 6 --tokens 12 --heads 2 --head-dim "
        "4 "
        "--hidden 10 --activation gelu --batch 2 --steps 4 --warm-up 2 --alpha 0.1 --input %s --out a.h5",
        path);
    cr_assert(code == 0, "exit %d: %s", code, err);
    struct record_reader *r = record_open("a.h5");
    cr_assert(r && record_count(r) == 2 && record_max_points(r) == 2, "%s", record_error());
    for (int64_t k = 0; k < 2; k++) {
        struct params p = small(k ? "mhc" : "hc");
        struct study_result want = run(&p);
        struct record_training got;
        cr_assert(!want.reason[0] && record_training(r, k, &got), "%s %s", want.reason, record_error());
        cr_expect(got.points == 2 && got.steps == 4 && got.step[1] == 4 && got.seconds_per_step > 0 && !got.diverged);
        cr_expect(!memcmp(got.loss + 1, want.trained->is.loss + 1, sizeof(double)));
        cr_expect(!memcmp(got.curves, want.trained->is.curves, (size_t)(2 * MHC_METRICS * p.depth) * sizeof(double)));
        cr_expect(!memcmp(got.held_out_loss_without_quarter, want.trained->is.held_out_loss_without_quarter, 32));
        cr_expect(got.t_max[0] == (k ? 5 : 0));
        const double *last = record_curve_of(r, "composite_backward_sum", k);
        cr_expect(last && !memcmp(last, trained_curve(want.trained, 1, MHC_composite_backward_sum), 32));
        study_release(&want);
    }
    record_close(r);
    cr_expect(sh("$M show a.h5 --account") == 0 && strstr(out, "quarter off") && strstr(out, "hc  "), "%s%s", out, err);
    cr_expect(sh("$M merge b.h5 a.h5") == 0 && sh("$M show b.h5 --account") == 0 && strstr(out, "quarter off"), "%s%s",
              out, err);
    cr_expect(sh("$M run --study train --out c.h5") == 2 && strstr(err, "needs --input FILE"), "%s", err);
    leave();
    remove_text();
}

/* The smallest suite of training, on cpu32 and in the emulator; its outcomes mean nothing. */
Test(train, the_smoke_suite_runs) {
    enter();
    cr_expect(sh("here=$PWD && cd $R && $M run suites/train-smoke.suite -q --out $here/smoke.h5") == 0, "%s", err);
    cr_expect(sh("$M show smoke.h5") == 0 && strstr(out, "6 cases, 0 failed") && strstr(out, "\nidentity "), "%s", out);
    leave();
}
