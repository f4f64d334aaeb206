/* The timing loop on samples that are made up: no real time decides anything here. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/timing/timing.h"

/* --- what decides --- */

Test(timing, batches) {
    cr_expect(timing_next_batch(1, 2e-3, 1e-3) == 1, "one long call is a sample, however long");
    cr_expect(timing_next_batch(1, 5, 1e-3) == 1);
    cr_expect(timing_next_batch(8, 1.5e-3, 1e-3) == 8);
    cr_expect(timing_next_batch(8, 4e-3, 1e-3) == 3, "too long: fewer");
    cr_expect(timing_next_batch(100, 5e-4, 1e-3) == 240);
    cr_expect(timing_next_batch(100, 1e-9, 1e-3) == 1000, "tenfold at most");
    cr_expect(timing_next_batch(3, 0, 1e-3) == 30, "a clock too coarse to see it");
    cr_expect(timing_next_batch(4, 0.999e-3, 1e-3) == 5);
    for (double call = 1e-9; call < 1; call *= 1.7) { /* from any call it comes to rest, where it should */
        int64_t batch = 1;
        int steps = 0;
        for (int64_t next; (next = timing_next_batch(batch, call * (double)batch, 1e-3)) != batch; batch = next)
            cr_assert(++steps < 20, "%g s: still going at %lld", call, (long long)batch);
        double sample = call * (double)batch;
        cr_expect(sample >= 1e-3 && (batch == 1 || sample <= 2e-3), "%g s a call: %lld calls", call, (long long)batch);
    }
}

Test(timing, held_calls_and_pauses) {
    cr_expect(timing_held_calls(1, 10) == 1 && timing_held_calls(100, 10) == 3 && timing_held_calls(100, 1) == 30);
    cr_expect(timing_held_calls(100, 0) == 0 && timing_held_calls(100, 31) == 0);
    static const double want[] = {0, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5};
    for (int k = 0; k < 7; k++)
        cr_expect(fabs(timing_pause(k) - want[k]) < 1e-12, "after %d: %g", k, timing_pause(k));
    cr_expect(timing_pause(19) == 0.5 && timing_pause(20) == 0 && timing_pause(1000) == 0);
}

Test(timing, settled_clocks) {
    double clocks[12] = {0, 0, 1, 1, 1.009, 1, 1, 0.991, 1, 1, 1, 1}, unknown = NAN;
    cr_expect(timing_settled(clocks, 12, 0.01) && !timing_settled(clocks, 12, 0.005));
    cr_expect(!timing_settled(clocks, 11, 0.01), "the last ten reach back to a 0");
    cr_expect(!timing_settled(clocks + 2, 9, 0.01), "nine are too few");
    cr_expect(timing_settled(&unknown, 1, 0.01), "no round waits for a clock that is unknown");
}

Test(timing, even_batches) {
    const double call[4] = {1e-5, 3e-4, 0.002, 1.1e-5};
    int64_t batch[4] = {25, 1, 1, 20};
    timing_even_batches(batch, call, 4);
    cr_expect(batch[0] == 200 && batch[1] == 7 && batch[2] == 1 && batch[3] == 200, "%lld %lld %lld %lld",
              (long long)batch[0], (long long)batch[1], (long long)batch[2], (long long)batch[3]);
    timing_even_batches(batch, call, 1);
    cr_expect(batch[0] == 200, "alone it is as it was");
    int64_t unknown[2] = {3, 5};
    timing_even_batches(unknown, (const double[2]){0, 1}, 2);
    cr_expect(unknown[0] == 3 && unknown[1] == 5, "a call that took no time keeps its batch");
}

Test(timing, shuffling) {
    int seen[4][4] = {{0}}, order[8], same[8];
    for (int64_t round = 0; round < 4000; round++) {
        int present[4] = {0};
        timing_shuffle(order, 4, 7, round);
        for (int place = 0; place < 4; place++) {
            present[order[place]]++;
            seen[order[place]][place]++;
        }
        cr_assert(present[0] == 1 && present[1] == 1 && present[2] == 1 && present[3] == 1, "no permutation");
    }
    for (int s = 0; s < 4; s++)
        for (int place = 0; place < 4; place++)
            cr_expect(abs(seen[s][place] - 1000) < 150, "subject %d was %d times at place %d", s, seen[s][place],
                      place);
    timing_shuffle(order, 8, 7, 3);
    timing_shuffle(same, 8, 7, 3);
    cr_expect(!memcmp(order, same, sizeof order));
    timing_shuffle(same, 8, 8, 3);
    cr_expect(memcmp(order, same, sizeof order), "another seed, another order");
}

Test(timing, sets_exceed_the_cache) {
    cr_expect(timing_sets(100, 1000, 1 << 20) == 11);
    cr_expect(timing_sets(1001, 1000, 1 << 20) == 2, "one set is not enough, however large");
    cr_expect(timing_sets(100, 1000, 550) == 5 && timing_sets(100, 1000, 10) == 1, "no more than fit");
    cr_expect(timing_sets(0, 1000, 10) == 1);
}

static struct timing_rules rules(void) {
    return (struct timing_rules){.sample_seconds = 1e-3,
                                 .warm_up_seconds = 0.01,
                                 .least_rounds = 10,
                                 .most_rounds = 100,
                                 .least_seconds = 0.02,
                                 .most_seconds = 5,
                                 .half_width = 0.01,
                                 .seed = 3};
}

/* Two subjects, samples of 1 ms; the second takes twice as long, with a spread of its own. */
static void fill(struct timing *t, double *seconds, int64_t rounds, double spread) {
    *t = (struct timing){.subjects = 2, .rounds = rounds, .room = 100, .batch = {4, 2}, .seconds = seconds};
    for (int64_t k = 0; k < rounds; k++) {
        seconds[k] = 2.5e-4 * (1 + 0.05 * (double)(7 * k % 10)); /* a drift of both */
        seconds[100 + k] = 2 * seconds[k] * (1 + spread * ((double)(k % 11) - 5) / 5);
    }
}

Test(timing, stop_rule) {
    double seconds[200];
    struct timing t;
    struct timing_rules r = rules();
    fill(&t, seconds, 9, 0);
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_GO_ON, "fewer rounds than asked for");
    fill(&t, seconds, 10, 0);
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_GO_ON, "less time than asked for");
    fill(&t, seconds, 20, 0);
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_PRECISE, "a drift that both share does not matter");
    fill(&t, seconds, 50, 0.2);
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_GO_ON, "the ratio is not known well enough");
    cr_expect(timing_decide(&t, &r, 5) == TIMING_SECONDS);
    r.half_width = 0.2;
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_PRECISE);
    fill(&t, seconds, 100, 0.2);
    cr_expect(timing_decide(&t, &r, 9) == TIMING_ROUNDS);
    fill(&t, seconds, 1, 0);
    cr_expect(timing_decide(&t, &r, 9) == TIMING_SECONDS, "the cap wins over the minima");
    r.half_width = 0.01;
    fill(&t, seconds, 50, 0);
    t.subjects = 1;
    cr_expect(timing_decide(&t, &r, 0.1) == TIMING_GO_ON, "alone, its own median has to be known");
}

/* --- the loop, on a machine whose time is made up --- */

struct machine {
    double time, from;
    int64_t switches;
    int calls[3], sets[3][4];
    int64_t stops, fail_at;
};

struct fake {
    struct machine *machine;
    int index;
    double seconds; /* a call */
};

static const char *fake_run(void *user, int64_t set) {
    struct fake *f = user;
    struct machine *m = f->machine;
    m->calls[f->index]++;
    m->sets[f->index][set]++;
    m->time += f->seconds * (m->calls[f->index] == 1 ? 50 : 1); /* the first call of all is slow */
    return NULL;
}
static const char *fake_start(void *user) {
    struct machine *m = user;
    m->from = m->time;
    return NULL;
}
static const char *fake_stop(void *user, double *seconds) {
    struct machine *m = user;
    *seconds = m->time - m->from;
    m->switches += ++m->stops % 10 == 0;
    return m->stops == m->fail_at ? "the device failed" : NULL;
}
static double fake_now(void *user) {
    return ((struct machine *)user)->time;
}
static int64_t fake_switches(void *user) {
    return ((struct machine *)user)->switches;
}
static double fake_frequency(void *user) {
    return ((struct machine *)user)->stops % 7 == 6 ? 1.0e9 : 1.5e9;
}

static const char *run_fakes(struct timing *t, struct machine *m, const struct timing_rules *r) {
    struct fake fakes[3] = {{m, 0, 1e-5}, {m, 1, 3e-4}, {m, 2, 0.02}};
    struct timing_subject subjects[3];
    struct timing_clock clock = {m,    fake_start, fake_stop, fake_now, fake_switches, fake_frequency,
                                 NULL, NULL,       NULL,      NULL};
    for (int s = 0; s < 3; s++)
        subjects[s] = (struct timing_subject){fake_run, &fakes[s], s + 1, 0};
    return timing_run(t, subjects, 3, r, &clock);
}

Test(timing, loop_on_a_made_up_machine) {
    struct machine m = {.fail_at = -1};
    struct timing_rules r = rules();
    struct timing t;
    cr_assert(!run_fakes(&t, &m, &r));
    cr_expect(t.stop == TIMING_PRECISE && t.rounds >= 10 && t.rounds < 100, "stop %d after %lld", t.stop,
              (long long)t.rounds);
    static const double want[3] = {1e-5, 3e-4, 0.02};
    for (int s = 0; s < 3; s++) {
        int64_t flagged = 0, throttled = 0;
        double sample = want[s] * (double)t.batch[s];
        cr_expect(sample >= 0.999e-3 && (t.batch[s] == 1 || sample <= 2.001e-3), "subject %d: %lld calls", s,
                  (long long)t.batch[s]);
        for (int64_t k = 0; k < t.rounds; k++) {
            int64_t at = s * t.room + k;
            cr_expect(fabs(t.seconds[at] / want[s] - 1) < 1e-6, "subject %d round %lld: %g", s, (long long)k,
                      t.seconds[at]);
            cr_expect(!(t.flags[at] & TIMING_THROTTLED) == (t.clock[at] >= TIMING_SLOW_CLOCK));
            flagged += t.flags[at] & TIMING_PREEMPTED;
            throttled += (t.flags[at] & TIMING_THROTTLED) != 0;
        }
        cr_expect(flagged < t.rounds / 2 && throttled < t.rounds / 2, "flags mark samples, they do not drop them");
        for (int set = 0; set < 4; set++) /* calls rotate over the sets, all of them and no other */
            cr_expect(set <= s ? abs(m.sets[s][set] - m.calls[s] / (s + 1)) <= 1 : !m.sets[s][set]);
    }
    for (int64_t k = 0; k < t.rounds; k++)
        cr_expect(t.order[k] + t.order[t.room + k] + t.order[2 * t.room + k] == 3,
                  "every round visits every subject once");
    timing_release(&t);
}

/* A call of 10 us, of which every third loses its CPU for 4 ms: a trial that has seen one would pass for a sample of
 * its own. */
static const char *run_shared(void *user, int64_t set) {
    struct machine *m = user;
    (void)set;
    m->time += ++m->calls[0] % 3 == 1 ? 4e-3 : 1e-5;
    return NULL;
}

Test(timing, lost_cpus_do_not_shorten_the_batch) {
    struct machine m = {.fail_at = -1};
    const struct timing_subject subject = {run_shared, &m, 1, 0};
    struct timing_clock clock = {.user = &m, .start = fake_start, .stop = fake_stop, .now = fake_now};
    struct timing_rules r = rules();
    struct timing t;
    r.sample_seconds = 1e-4; /* 10 calls, could they run undisturbed; a disturbed one looks like 40 times that */
    cr_assert(!timing_run(&t, &subject, 1, &r, &clock));
    cr_expect(t.batch[0] >= 10, "%lld calls", (long long)t.batch[0]);
    timing_release(&t);
}

/* A clock that rises for 25 samples of a lone subject and stays from there on, or, with `restless`, never stays. */
struct riser {
    struct machine machine;
    bool restless;
};
static double rising(void *user) {
    struct riser *r = user;
    int64_t sample = r->machine.stops;
    return r->restless ? 1e9 * (double)(1 + sample % 2) : 1e9 + 4e7 * (double)(sample < 25 ? sample : 25);
}

Test(timing, warm_up_lasts_until_the_clock_stays) {
    struct timing_rules r = rules();
    struct timing t;
    r.warm_up_seconds = 0, r.settled = 0.01, r.settle_seconds = 2, r.least_rounds = 1000, r.most_rounds = 15;
    for (int restless = 0; restless < 2; restless++) {
        struct riser riser = {{.fail_at = -1}, restless};
        struct fake fake = {&riser.machine, 0, 0.02};
        const struct timing_subject subject = {fake_run, &fake, 1, 0};
        struct timing_clock clock = {
            .user = &riser, .start = fake_start, .stop = fake_stop, .now = fake_now, .frequency = rising};
        cr_assert(!timing_run(&t, &subject, 1, &r, &clock));
        /* the first call takes 1 s, the others 0.02 s: 51 calls are over when two seconds are; 25 to 34 are the first
         * ten alike */
        int64_t warm_up = riser.machine.stops - 1 - t.rounds;
        cr_expect(warm_up == (restless ? 51 : 34), "%lld samples", (long long)warm_up);
        for (int64_t k = 0; k < t.rounds && !restless; k++)
            cr_expect(fabs(t.clock[k] - 1) < 1e-12);
        timing_release(&t);
    }
}

Test(timing, loop_ends_at_its_caps_and_on_failure) {
    struct machine m = {.fail_at = -1};
    struct timing_rules r = rules();
    struct timing t;
    r.least_rounds = 1000;
    r.most_rounds = 40;
    cr_expect(!run_fakes(&t, &m, &r) && t.stop == TIMING_ROUNDS && t.rounds == 40);
    timing_release(&t);
    m = (struct machine){.fail_at = -1};
    r.most_seconds = 0.1;
    cr_expect(!run_fakes(&t, &m, &r) && t.stop == TIMING_SECONDS && t.rounds == 5, "%lld rounds", (long long)t.rounds);
    timing_release(&t);
    for (int64_t at = 1; at < 40; at += 13) {
        m = (struct machine){.fail_at = at};
        const char *why = run_fakes(&t, &m, &r);
        cr_expect(why && !strcmp(why, "the device failed"));
        timing_release(&t);
    }
}
