/* Which of two right libraries is faster, and which one is to blame where timing them fails? */
#include <math.h>
#include <string.h>

#include "suites/gate/regress_entry.h"

#define DEFAULT_THRESHOLD 0.03
#define MOST_OF_IT 0.75

/* The side to blame for a failure: the one that was running or, at a time limit, the one that took most of it. -1:
 * neither; `spent` says what each took. */
static int whose(const struct regress *g, const struct regress_answer *a, const char *why, double spent[2]) {
    const struct regress_note *note = g->worker.note;
    spent[0] = spent[1] = 0;
    if (a->wrong >= 0 || !note || !note->running)
        return a->wrong;
    if (strncmp(why, "time limit", 10))
        return note->running - 1;
    for (int s = 0; s < 2; s++)
        spent[s] = note->spent[s] + (s == note->running - 1 ? worker_now() - note->since : 0);
    double all = spent[0] + spent[1];
    return spent[REGRESS_NEW] >= MOST_OF_IT * all    ? REGRESS_NEW
           : spent[REGRESS_BASE] >= MOST_OF_IT * all ? REGRESS_BASE
                                                     : -1;
}

/* The old library failed while both were timed. Does it fail by itself too? The library beside it may have spoilt
 * its memory. */
static bool fails_alone(struct regress_entry *e, const struct regress_question *both, double seconds, char *why,
                        size_t why_size) {
    struct regress_question q = *both;
    struct regress_answer a;
    q.alone = true;
    return !regress_ask(e->gate, &q, seconds, &a, why, why_size);
}

/* It does not. Does it always fail beside the new one? One failure is no verdict on either. */
static bool fails_again(struct regress_entry *e, const struct regress_question *q, double seconds) {
    struct regress_answer a = {0};
    double spent[2];
    char why[400];
    worker_stop(&e->gate->worker);
    return !regress_ask(e->gate, q, seconds, &a, why, sizeof why) && whose(e->gate, &a, why, spent) == REGRESS_BASE;
}

/* Writes the row of a measurement that failed. */
static void settle_failure(struct regress_entry *e, struct gate_row *r, const struct regress_question *q,
                           double seconds, const struct regress_answer *a, const char *why) {
    double spent[2];
    char alone[400] = "";
    const char *when = a->after ? "after the timing" : "while it was timed";
    int side = whose(e->gate, a, why, spent);
    worker_stop(&e->gate->worker);
    if (a->no_memory || regress_was_killed(why)) {
        regress_lack_memory(e, "while both were timed", why);
    } else if (side < 0) {
        r->verdict = MHC_AMBIGUOUS;
        r->open = true;
        if (spent[0] + spent[1] > 0)
            gate_say(r,
                     "right; not timed: %s, of which the old library took %.2g s and the new one %.2g s: try a larger "
                     "--timeout",
                     why, spent[0], spent[1]);
        else {
            r->crashed = true;
            gate_say(r, "right; not timed: %s", why);
        }
    } else if (side == REGRESS_BASE && fails_alone(e, q, seconds, alone, sizeof alone)) {
        r->verdict = MHC_NEW;
        r->open = r->crashed = true;
        gate_say(r, "right; the old library failed %s: %s", when, why);
    } else if (side == REGRESS_BASE && !fails_again(e, q, seconds)) {
        r->verdict = MHC_AMBIGUOUS;
        r->open = r->crashed = true;
        gate_say(r, "right; not timed: the old library failed once %s, and not again: %s", when, why);
    } else {
        regress_fail(r, MHC_INVALID);
        gate_say(r, "%s%s: %s", side == REGRESS_BASE ? "the old library failed beside it, and not by itself, " : "",
                 when, why);
    }
    worker_stop(&e->gate->worker);
}

/* What all measurements of a case say: rounds, and whether the clock of one was throttled, or its queue not held. */
struct told {
    int64_t rounds;
    bool throttled, gaps;
};

/* Where a file's code lies in memory may cost it some percent for as long as it lies there: equal files were seen 10
 * % apart in every measurement. So a difference found on the host is looked for again, each time in fresh copies of
 * both files. */
static bool in_copies(const struct regress *g, int measurement, enum mhc_verdict first) {
    bool host = !g->what[REGRESS_BASE].device && !g->what[REGRESS_NEW].device;
    return host && measurement > 0 && (first == MHC_SLOWER || first == MHC_FASTER);
}

/* Measures once. false: it failed, and the row says how. */
static bool measure(struct regress_entry *e, struct gate_row *r, int measurement, double threshold, struct told *told,
                    enum mhc_verdict measured[]) {
    enum mhc_verdict *verdict = &measured[measurement];
    struct regress_question q = e->question;
    struct regress_answer a;
    char why[400];
    q.step = REGRESS_TIME;
    q.measurement = measurement;
    q.copies = in_copies(e->gate, measurement, measured[0]);
    if (q.copies)
        worker_stop(&e->gate->worker);
    double seconds = e->seconds + (2 << measurement) * e->p->budget;
    r->reason[0] = 0;
    if (!regress_ask(e->gate, &q, seconds, &a, why, sizeof why)) {
        settle_failure(e, r, &q, seconds, &a, why);
        return false;
    }
    bool enough = a.rounds >= MHC_LEAST_ROUNDS && !(a.throttled > MHC_MOST_THROTTLED);
    r->change = a.together;
    r->copies = a.copies;
    if (a.vary || a.too_fast > 1) {
        regress_fail(r, MHC_INVALID);
        if (a.vary)
            gate_say(r, "its bits vary from call to call while it is timed, and those of the old library do not");
        else
            gate_say(r, "too fast to be true: %.3g times the rate of a copy", a.too_fast * KERNEL_TOO_FAST);
        return false;
    }
    told->rounds += a.rounds;
    told->throttled |= a.throttled > MHC_MOST_THROTTLED;
    told->gaps |= a.not_held > MHC_MOST_THROTTLED;
    *verdict = enough ? mhc_speed_verdict(a.change, threshold) : MHC_AMBIGUOUS;
    if (!enough)
        gate_say(r,
                 a.rounds < MHC_LEAST_ROUNDS ? "only %lld rounds: try a larger --budget"
                                             : "%lld rounds, too many at a low clock",
                 (long long)a.rounds);
    return true;
}

static void say_speed(struct regress_entry *e, struct gate_row *r, int measurements, double threshold) {
    double percent = 100 * (r->change.median - 1);
    const char *times = measurements == 1   ? ""
                        : measurements == 2 ? ", found twice"
                                            : ", found in two of three measurements";
    const char *gated = e->gate->options.speed == GATE_SPEED ? "" : "; reported, not gated";
    switch (r->verdict) {
    case MHC_SAME: gate_say(r, "right; within %g %%", 100 * threshold); break;
    case MHC_AMBIGUOUS:
        if (!r->reason[0])
            gate_say(r, "right; %+.1f %%, and %d measurements do not settle it: try a larger --budget", percent,
                     measurements);
        break;
    default: gate_say(r, "right; %.1f %% %s%s%s", fabs(percent), percent > 0 ? "slower" : "faster", times, gated);
    }
}

void regress_settle_speed(struct regress_entry *e, struct gate_row *r) {
    struct regress *g = e->gate;
    enum mhc_verdict measured[MHC_MEASUREMENTS];
    double threshold = g->options.threshold > 0 ? g->options.threshold : DEFAULT_THRESHOLD;
    struct told told = {0};
    bool settled = false;
    int count = 0;
    while (!settled && !regress_stopped) {
        if (!measure(e, r, count, threshold, &told, measured))
            return;
        r->verdict = mhc_repeated_verdict(measured, ++count, &settled);
    }
    bool enough = told.rounds >= MHC_LEAST_ROUNDS && !told.throttled;
    if (enough && r->verdict == MHC_AMBIGUOUS && mhc_speed_verdict(r->change, threshold) == MHC_SAME)
        r->verdict = MHC_SAME;                 /* each measurement alone had too few samples */
    if (told.gaps && r->verdict == MHC_SAME) { /* the gaps are part of both times and hide the difference */
        r->verdict = MHC_AMBIGUOUS;
        gate_say(r, "right; within %g %%, but gaps between launches were timed too", 100 * threshold);
    }
    say_speed(e, r, count, threshold);
    r->fails = r->verdict == MHC_SLOWER && g->options.speed == GATE_SPEED;
    r->open = r->verdict == MHC_AMBIGUOUS && g->options.speed == GATE_SPEED;
}
