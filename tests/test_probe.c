/* The timing loop with a device that can be held and whose clock can be read: a made-up one, so that every number is
 * known beforehand. */
#include "tests/command.h"

#include <dlfcn.h>
#include <math.h>

#include "results/record.h"
#include "suites/rows/bound_row.h"
#include "suites/rows/device.h"
#include "suites/timing/timing.h"
#include "tests/fake_device.h"

TestSuite(probe, .init = enter, .fini = leave, .timeout = 1800);

struct rig {
    struct backend backend;
    struct fake_device_log *log;
    struct bound_row row;
    struct timing_clock clock;
    struct timing_rules rules;
};

static int64_t pauses;
static double paused;
static void pretend_to_pause(void *user, double seconds) {
    (void)user;
    pauses++;
    paused += seconds;
}

/* A fake device, its post_backward_y of some width bound to it, rules that ask for ROUNDS rounds. */
enum { ROUNDS = 60 };
static struct rig *open_rig(int64_t width) {
    static struct rig rig;
    char why[300];
    const char *reason;
    struct mhc_case c = {.T = 6, .n = 4, .C = width, .stream = MHC_F32, .coef = MHC_F32, .param = MHC_F32};
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    cr_assert(backend_open(&rig.backend, "./fake.so", why, sizeof why), "%s", why);
    rig.log = dlsym(rig.backend.handle, "fake_device_log");
    const struct mhc_row *row = backend_row(&rig.backend, "mhc", "post_backward_y", &c, &reason);
    cr_assert(rig.log && row);
    reason = bound_row_open(&rig.row, &rig.backend, row, &c, 2, NULL, NULL);
    cr_assert(!reason, "%s", reason);
    cr_assert(timing_clock_open(&rig.clock, &rig.backend, why, sizeof why), "%s", why);
    cr_assert(rig.clock.hold && rig.clock.release && rig.clock.frequency && rig.clock.pause);
    rig.clock.pause = pretend_to_pause;
    rig.rules = timing_rules_for(&rig.backend, ROUNDS, 60);
    cr_expect(rig.rules.settled == 0.01 && rig.rules.settle_seconds == 2 && rig.rules.sample_seconds == 2e-4);
    rig.rules.warm_up_seconds = 0;
    rig.rules.least_rounds = ROUNDS + 1;
    return &rig;
}

static void close_rig(struct rig *rig) {
    timing_clock_close(&rig->clock);
    bound_row_close(&rig->row);
    backend_close(&rig->backend);
}

static void run_rig(struct rig *rig, struct timing *t, int launches) {
    const struct timing_subject subject = {bound_row_run, &rig->row, rig->row.sets, launches};
    const char *why = timing_run(t, &subject, 1, &rig->rules, &rig->clock);
    cr_assert(!why, "%s", why);
    cr_assert(t->rounds == ROUNDS && t->stop == TIMING_ROUNDS);
}

static void expect_seconds(const struct timing *t, double want) {
    for (int64_t k = 0; k < t->rounds; k++)
        cr_expect(fabs(t->seconds[k] / want - 1) < 1e-9, "round %lld: %.12g s instead of %.12g", (long long)k,
                  t->seconds[k], want);
}

Test(probe, a_held_queue_hides_the_launch) {
    struct rig *rig = open_rig(6);
    struct timing t;
    run_rig(rig, &t, 10);
    expect_seconds(&t, FAKE_DEVICE_CALL);
    /* ten samples until the clock counts as settled, a round that is not kept, the rounds */
    const long samples = 10 + 1 + ROUNDS;
    cr_expect(t.batch[0] == 1 && rig->log->calls == samples && rig->log->most_held == 1);
    cr_expect(rig->log->holds == samples - 1, "the first, which may load a kernel, is not held");
    cr_expect(rig->log->stamps[0] == samples && rig->log->stamps[1] == samples);
    for (int64_t k = 0; k < t.rounds; k++)
        cr_expect(fabs(t.clock[k] - 1) < 1e-9 && !t.flags[k]);
    cr_expect(t.pauses == 0 && pauses == 0);
    timing_release(&t);
    close_rig(rig);
}

Test(probe, a_row_that_waits_itself_is_not_held) {
    struct rig *rig = open_rig(6);
    struct timing t;
    run_rig(rig, &t, 0);
    expect_seconds(&t, FAKE_DEVICE_CALL + FAKE_DEVICE_LATENCY);
    cr_expect(rig->log->holds == 0 && rig->log->most_held == 0 && rig->log->stamps[1] == rig->log->calls);
    timing_release(&t);
    close_rig(rig);
}

Test(probe, a_long_batch_is_held_at_its_beginning_only) {
    static const struct {
        int launches;
        long held;
    } cases[] = {{1, 30}, {4, 7}, {10, 3}, {30, 1}, {31, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct rig *rig = open_rig(13);
        struct timing t;
        run_rig(rig, &t, cases[k].launches);
        double latency = cases[k].held ? 0 : FAKE_DEVICE_LATENCY / (double)t.batch[0];
        expect_seconds(&t, FAKE_DEVICE_SHORT + latency);
        cr_expect(t.batch[0] > 190 && t.batch[0] <= 400 && rig->log->most_held == cases[k].held,
                  "%d launches a call: %ld held of %lld", cases[k].launches, rig->log->most_held,
                  (long long)t.batch[0]);
        timing_release(&t);
        close_rig(rig);
    }
}

Test(probe, throttled_samples_are_flagged_kept_and_waited_for) {
    struct rig *rig = open_rig(12);
    struct timing t;
    run_rig(rig, &t, 10);
    /* calls 1-10 warm up, call 11 is not kept, calls 12-40 are fast, the others slow */
    for (int64_t k = 0; k < t.rounds; k++) {
        bool slow = k >= 40 - 11;
        cr_expect(t.flags[k] == (slow ? TIMING_THROTTLED : 0) && fabs(t.clock[k] - (slow ? 0.5 : 1)) < 1e-9,
                  "round %lld: %g", (long long)k, t.clock[k]);
    }
    expect_seconds(&t, FAKE_DEVICE_CALL);
    cr_expect(t.throttled_in_a_row == ROUNDS - 29);
    cr_expect(t.pauses == TIMING_MOST_THROTTLED - 1 && pauses == t.pauses, "%lld pauses", (long long)pauses);
    cr_expect(fabs(paused - (0.05 + 0.1 + 0.2 + 0.4 + 15 * 0.5)) < 1e-9, "%g s", paused);
    timing_release(&t);
    close_rig(rig);
}

Test(probe, single_slow_samples_cost_a_short_pause) {
    struct rig *rig = open_rig(14);
    struct timing t;
    run_rig(rig, &t, 10);
    for (int64_t k = 0; k < t.rounds; k++)
        cr_expect(t.flags[k] == (k + 12 == 50 ? TIMING_THROTTLED : 0), "round %lld", (long long)k);
    cr_expect(pauses == 1 && fabs(paused - 0.05) < 1e-12 && t.throttled_in_a_row == 0);
    timing_release(&t);
    close_rig(rig);
}

Test(probe, a_failed_call_leaves_nothing_held) {
    struct rig *rig = open_rig(15);
    struct timing t;
    const struct timing_subject subject = {bound_row_run, &rig->row, 2, 1};
    const char *why = timing_run(&t, &subject, 1, &rig->rules, &rig->clock);
    cr_expect(why && !strcmp(why, "the device failed"));
    cr_expect(rig->log->holds == 5 &&
                  !rig->backend.library->queues->synchronize(rig->backend.context, rig->backend.queue),
              "the queue is still held");
    timing_release(&t);
    close_rig(rig);
}

Test(probe, cache_of_the_device) {
    struct rig *rig = open_rig(6);
    cr_expect(timing_cache_bytes(&rig->backend) == 2 * FAKE_DEVICE_CACHE);
    close_rig(rig);
}

/* --- from the command line --- */

Test(probe, record_says_what_it_ran_on) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    GOOD("FAKE_DEVICE_BUSY=1 $M run --study kernels --operation mhc.post_backward_y --backend ./fake.so --type f32 "
         "--tokens 64 --width 32,14 --rounds 90 --out a.h5 -q");
    cr_expect_str_eq(err, "mhcbench: warning: the device: it is busy with a test\n", "%s", err);
    struct record_reader *r = record_open("a.h5");
    const char *name, *value, *device = "";
    struct record_timing t;
    cr_assert(r, "%s", record_error());
    for (int k = 0; k < record_fact_count(r); k++)
        if (record_fact(r, k, &name, &value) && !strcmp(name, "device"))
            device = value;
    cr_expect_str_eq(device, "./fake.so: Fake 1000; driver 1.2; ! it is busy with a test; L2 1 MB");
    for (int64_t i = 0; i < 2; i++) {
        double slow = 0, share = record_timing_value(r, "throttled")[i];
        cr_assert(record_timing(r, i, &t), "%s", record_error());
        for (int64_t k = t.rounds; k < 2 * t.rounds; k++) {
            cr_expect(!(t.flags[k] & 2) == (t.clock[k] >= TIMING_SLOW_CLOCK));
            slow += (t.flags[k] & 2) != 0;
        }
        cr_expect(fabs(share * (double)t.rounds - slow) < 1e-9 && (i ? slow >= 1 : slow == 0), "%g of %lld", slow,
                  (long long)t.rounds);
    }
    const int64_t set = 64 * (4 * 32 + 4 + 32) * 4;
    cr_expect(t.rounds == 90 && record_timing(r, 0, &t) && t.sets[1] == 1 + (2 * FAKE_DEVICE_CACHE + set - 1) / set);
    record_close(r);
}

/* Where launches wait for the device, a held queue would wait for ever: samples that were not held are kept, and say
 * so. */
Test(probe, samples_that_were_not_held_are_flagged) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    static const char run[] =
        "$M run --study kernels --operation mhc.post_backward_y --backend ./fake.so --type f32 --tokens 4 "
        "--rounds 30 -q";
    GOOD("FAKE_DEVICE_BLOCKING=1 %s --width 16,32 --out a.h5 && %s --width 16,32 --out b.h5", run, run);
    for (int blocks = 0; blocks < 2; blocks++) {
        struct record_reader *r = record_open(blocks ? "a.h5" : "b.h5");
        struct record_timing t;
        cr_assert(r, "%s", record_error());
        for (int64_t i = 0; i < 2;
             i++) { /* the holds that ran out are of the first case's warm-up: the second knows of them */
            cr_assert(record_timing(r, i, &t) && t.rounds == 30, "%s", record_error());
            for (int64_t k = 0; k < 2 * t.rounds; k++)
                cr_expect(t.flags[k] == (blocks ? TIMING_NOT_HELD : 0), "case %lld sample %lld: %d", (long long)i,
                          (long long)k, t.flags[k]);
        }
        record_close(r);
    }
    GOOD("$M show a.h5 | grep -c '^mhc.*  gc*$'");
    cr_expect_str_eq(out, "2\n");
    GOOD("$M show b.h5 | grep '^mhc'");
    cr_expect(!strstr(out, "  g"), "%s", out);
}

Test(probe, show_says_that_the_device_was_busy) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    GOOD("FAKE_DEVICE_BUSY=1 $M run --study kernels --operation mhc.post_backward_y --backend ./fake.so --type f32 "
         "--tokens 4 --width 32 --rounds 3 --out a.h5 -q && $M show a.h5");
    cr_expect(strstr(out, "\nwarning: when it began, the device: it is busy with a test\n"), "%s", out);
}

Test(probe, doctor_passes_on_what_the_device_says) {
    char part[100];
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    GOOD("FAKE_DEVICE_BUSY=1 $M doctor --backend ./fake.so");
    cr_expect(strstr(out, "  ! it is busy with a test\n    ") &&
                  strstr(out, "\nDevice: Fake 1000; driver 1.2; ! it is busy with a test; L2 1 MB\n"),
              "%s", out);
    GOOD("$M doctor --backend ./fake.so");
    cr_expect(!strstr(out, "busy"), "%s", out);
    expect_refusal("$M doctor --backend ./nowhere.so", "no such library");
    const char *text = "a; ! first; b; ! second | c: d; ! third";
    cr_expect(device_warning(text, 0, part, sizeof part) && !strcmp(part, "first"));
    cr_expect(device_warning(text, 1, part, sizeof part) && !strcmp(part, "second "));
    cr_expect(device_warning(text, 2, part, sizeof part) && !strcmp(part, "third"));
    cr_expect(!device_warning(text, 3, part, sizeof part) && !device_warning("! a", 0, part, sizeof part));
}
