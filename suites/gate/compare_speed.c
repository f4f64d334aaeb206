/* Time of one case in two records: each subject as a ratio to what was timed beside it in the same rounds. Times of two
 * runs as such are never compared: the machine was another one each time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/gate/compare.h"
#include "suites/timing/timing.h"

#define CPU_THRESHOLD 0.02
#define DEVICE_THRESHOLD 0.03
/* Where the yardstick itself took so much more or less, the machine was in another state, and not all work suffers alike:
 * beside neighbours that need the memory a copy loses a quarter of its speed, and what stays in the cache nothing. */
#define MOST_DRIFT 0.15
#define QUIET \
    0.9 /* share of the rounds that lost no CPU, from which on they decide: a busy machine's others suffer too */
#define WORTH_SAYING 0.05 /* where it stayed in proportion */

/* Both files' samples of the case. */
struct pair {
    struct record_timing t[2];
    struct record_reader *file[2];
};

/* Place of a subject that both files have timed in this case. */
static bool both_timed(const struct pair *p, const char *name, int place[2]) {
    for (int f = 0; f < 2; f++) {
        place[f] = record_subject_called(p->file[f], name);
        if (place[f] < 0 || p->t[f].batch[place[f]] < 1)
            return false;
    }
    return true;
}

/* What subjects are measured against: a GEMM shares the fate of what computes much, a copy that of the others. Where
 * there is neither, the first subject that was timed stands in. NULL: nothing was timed beside it. */
static const char *yardstick_of(const struct pair *p) {
    int place[2];
    if (both_timed(p, "gemm", place))
        return "gemm";
    if (both_timed(p, "copy", place))
        return "copy";
    for (int s = 0; s < record_subject_count(p->file[0]); s++)
        if (both_timed(p, record_subject(p->file[0], s), place))
            return record_subject(p->file[0], s);
    return NULL;
}

static const double *samples(const struct record_timing *t, int subject, const double *values) {
    return values + subject * t->rounds;
}

/* Samples of a subject and its yardstick, of the rounds in which neither lost a CPU on the way: what a machine does beside
 * the measurement is no property of a kernel, and it hits long and short samples in different measure. */
struct clean {
    double *subject, *yardstick, *subject_cycles, *yardstick_cycles; /* cycles NULL: no clock */
    int64_t count;
};

static void release_clean(struct clean *c) {
    free(c->subject);
    free(c->yardstick);
    free(c->subject_cycles);
    free(c->yardstick_cycles);
}

static bool take_clean(const struct record_timing *t, int subject, int yardstick, struct clean *c) {
    size_t bytes = (size_t)t->rounds * sizeof(double);
    bool clock = true;
    *c = (struct clean){malloc(bytes), malloc(bytes), malloc(bytes), malloc(bytes), 0};
    if (!c->subject || !c->yardstick || !c->subject_cycles || !c->yardstick_cycles)
        return false;
    for (int64_t k = 0; k < t->rounds; k++) {
        int64_t a = subject * t->rounds + k, b = yardstick * t->rounds + k;
        if (((t->flags[a] | t->flags[b]) & TIMING_PREEMPTED) || isnan(t->seconds[a]) || isnan(t->seconds[b]))
            continue;
        c->subject[c->count] = t->seconds[a];
        c->yardstick[c->count] = t->seconds[b];
        c->subject_cycles[c->count] = t->seconds[a] * t->clock[a];
        c->yardstick_cycles[c->count] = t->seconds[b] * t->clock[b];
        clock &= !isnan(t->clock[a]) && !isnan(t->clock[b]);
        c->count++;
    }
    if (!clock) {
        free(c->subject_cycles);
        c->subject_cycles = NULL;
    }
    return true;
}

enum of { RATIO, RATIO_OF_CYCLES, OWN_TIME, YARDSTICK };

static struct mhc_interval change_of(const struct clean c[2], enum of what, double *work) {
    struct mhc_beside side[2];
    for (int f = 0; f < 2; f++)
        side[f] = what == RATIO ? (struct mhc_beside){c[f].subject, c[f].yardstick, c[f].count}
                  : what == RATIO_OF_CYCLES
                      ? (struct mhc_beside){c[f].subject_cycles, c[f].yardstick_cycles, c[f].count}
                  : what == OWN_TIME ? (struct mhc_beside){c[f].subject, NULL, c[f].count}
                                     : (struct mhc_beside){c[f].yardstick, NULL, c[f].count};
    return mhc_yardstick_change(&side[COMPARE_NEW], &side[COMPARE_BASE], work);
}

static bool same_samples(const struct pair *p, const int subject[2], const int yardstick[2]) {
    size_t bytes = (size_t)p->t[0].rounds * sizeof(double);
    return p->t[0].rounds == p->t[1].rounds &&
           !memcmp(samples(&p->t[0], subject[0], p->t[0].seconds), samples(&p->t[1], subject[1], p->t[1].seconds),
                   bytes) &&
           !memcmp(samples(&p->t[0], yardstick[0], p->t[0].seconds), samples(&p->t[1], yardstick[1], p->t[1].seconds),
                   bytes);
}

static double share_flagged(const struct record_timing *t, int subject, int flag) {
    return timing_flagged(t->flags + subject * t->rounds, t->rounds, flag);
}

/* Whether samples may decide at all; else why not. */
static bool may_decide(const struct pair *p, const struct clean c[2], const int subject[2], double *work,
                       const char **why) {
    static char message[120];
    for (int f = 0; f < 2; f++) {
        if (p->t[f].rounds < MHC_LEAST_ROUNDS)
            return *why = "fewer than 20 rounds", false;
        if (c[f].count < MHC_LEAST_ROUNDS || (double)c[f].count < QUIET * (double)p->t[f].rounds)
            return *why = "the machine was busy: too many rounds lost a CPU", false;
        if (share_flagged(&p->t[f], subject[f], TIMING_THROTTLED) > MHC_MOST_THROTTLED)
            return *why = "too many samples at a low clock", false;
        if (share_flagged(&p->t[f], subject[f], TIMING_NOT_HELD) > MHC_MOST_THROTTLED)
            return *why = "gaps between launches were timed too", false;
    }
    double drift = change_of(c, YARDSTICK, work).median;
    if (fabs(log(drift)) <= MOST_DRIFT)
        return true;
    snprintf(message, sizeof message, "which took %.2f times as long itself: the machine was in another state", drift);
    return *why = message, false;
}

/* `why`: why nothing is decided; NULL: the interval decides. At least half of a difference must show in its own time, or it
 * is rather the yardstick's; and on a device, whose clock moves, it must show in cycles. */
static enum mhc_verdict judge_clean(const struct pair *p, const struct clean c[2], const int subject[2],
                                    double threshold, double *work, struct mhc_interval *change, const char **why) {
    static char message[120];
    *change = change_of(c, RATIO, work);
    if (!may_decide(p, c, subject, work, why))
        return MHC_AMBIGUOUS;
    enum mhc_verdict verdict = mhc_speed_verdict(*change, threshold);
    if (verdict == MHC_AMBIGUOUS)
        return verdict;
    double own = log(change_of(c, OWN_TIME, work).median), ratio = log(change->median);
    if (verdict == MHC_SAME &&
        fabs(own) > WORTH_SAYING) { /* rather the machine, but perhaps something that both share */
        snprintf(message, sizeof message,
                 "as fast in proportion, but it and what was timed beside it took %.2f times as long", exp(own));
        *why = message;
    }
    if (verdict != MHC_SAME && !(own * ratio > 0 && fabs(own) >= fabs(ratio) / 2))
        return *why = "but its own time does not say so", MHC_AMBIGUOUS;
    if (c[0].subject_cycles && c[1].subject_cycles &&
        mhc_speed_verdict(change_of(c, RATIO_OF_CYCLES, work), threshold) != verdict)
        return *why = "in time and not in clock cycles", MHC_AMBIGUOUS;
    return verdict;
}

/* One subject of the case. */
static enum mhc_verdict judge(const struct pair *p, const char *name, const char *yardstick_name, double threshold,
                              double *work, struct mhc_interval *change, const char **why) {
    int subject[2], yardstick[2];
    struct clean c[2] = {{0}, {0}};
    *why = NULL;
    if (!both_timed(p, name, subject) || !both_timed(p, yardstick_name, yardstick))
        return *why = "timed in one file only", MHC_AMBIGUOUS;
    if (same_samples(p, subject, yardstick)) {
        *change = (struct mhc_interval){1, 1, 1};
        return *why = "the very same samples", MHC_SAME;
    }
    enum mhc_verdict verdict = MHC_AMBIGUOUS;
    if (take_clean(&p->t[0], subject[0], yardstick[0], &c[0]) && take_clean(&p->t[1], subject[1], yardstick[1], &c[1]))
        verdict = judge_clean(p, c, subject, threshold, work, change, why);
    else
        *why = "out of memory";
    release_clean(&c[0]);
    release_clean(&c[1]);
    return verdict;
}

static bool is_yardstick(const char *name) {
    return !strcmp(name, "copy") || !strcmp(name, "gemm");
}

/* A part of a step ("mhc.pre"): timed in rounds of its own, without the yardstick. */
static bool is_part(const char *name) {
    return strchr(name, '.') != NULL;
}

static double threshold_of(const struct compare *c, const int64_t index[2], bool *on_cpu) {
    const char *const *backend = record_texts(c->file[COMPARE_NEW], "backend");
    const double *preempted = record_timing_value(c->file[COMPARE_NEW], "preempted");
    bool device = (backend && !strcmp(backend[index[COMPARE_NEW]], "cuda")) || /* a device loses no CPU on the way */
                  (preempted && isnan(preempted[index[COMPARE_NEW]]));
    *on_cpu = !device;
    return c->options.threshold > 0 ? c->options.threshold : device ? DEVICE_THRESHOLD : CPU_THRESHOLD;
}

static void say(const struct compare *c, struct gate_row *r, enum mhc_verdict verdict, const char *subject,
                const char *yardstick, double threshold, const char *why) {
    double percent = 100 * (r->change.median - 1);
    char time[160] = "";
    if (isfinite(percent))
        snprintf(time, sizeof time, "%.60s%s%+.1f %% to the %.60s, ", strcmp(subject, "operation") ? subject : "",
                 strcmp(subject, "operation") ? ": " : "", percent, yardstick);
    if (c->ungated[0])
        gate_say(r, "values agree; %sspeed is not gated: %s", time, c->ungated);
    else if (verdict == MHC_SAME && why)
        gate_say(r, "values agree; %s", why);
    else if (verdict == MHC_SAME)
        gate_say(r, "values agree; within %g %% to the %s", 100 * threshold, yardstick);
    else if (verdict == MHC_AMBIGUOUS)
        gate_say(r, "values agree; %s%s", time, why ? why : "which does not settle it: a larger --budget, or regress");
    else
        gate_say(r, "values agree; %s%s%s", time, verdict == MHC_SLOWER ? "slower" : "faster",
                 c->options.speed == GATE_SPEED ? "" : "; reported, not gated");
}

/* The worst of the subjects that the base has timed. */
static void judge_all(struct compare *c, const struct pair *p, const char *yardstick, double threshold, double *work,
                      struct gate_row *r) {
    enum mhc_verdict worst = MHC_SAME;
    bool any = false;
    for (int s = 0; s < record_subject_count(p->file[COMPARE_BASE]); s++) {
        const char *name = record_subject(p->file[COMPARE_BASE], s), *why;
        struct mhc_interval change = {NAN, NAN, NAN};
        if (is_yardstick(name) || is_part(name) || !strcmp(name, yardstick) || p->t[COMPARE_BASE].batch[s] < 1)
            continue;
        enum mhc_verdict verdict = judge(p, name, yardstick, threshold, work, &change, &why);
        if (any && verdict <= worst)
            continue;
        any = true;
        worst = verdict;
        r->change = change;
        say(c, r, verdict, name, yardstick, threshold, why);
    }
    if (!any || c->ungated[0]) { /* no verdict on a kernel follows from another machine's time */
        if (!any)
            gate_say(r, "values agree; nothing but yardsticks was timed");
        return;
    }
    r->verdict = worst;
    r->fails = worst == MHC_SLOWER && c->options.speed == GATE_SPEED;
    r->open = worst == MHC_AMBIGUOUS && c->options.speed == GATE_SPEED;
}

void compare_scatter(struct gate_report *g, bool gated) {
    double most[2] = {0, 0}; /* ln of the change, downwards and upwards */
    for (int64_t k = 0; k < g->count; k++) {
        double change = log(g->row[k].change.median);
        if (g->row[k].on_cpu && isfinite(change))
            most[change > 0] = fmax(most[change > 0], fabs(change));
    }
    for (int64_t k = 0; k < g->count; k++) {
        struct gate_row *r = &g->row[k];
        double change = log(r->change.median), other = most[r->verdict == MHC_FASTER];
        if (!r->on_cpu || (r->verdict != MHC_SLOWER && r->verdict != MHC_FASTER) || 2 * other < fabs(change))
            continue;
        r->verdict = MHC_AMBIGUOUS;
        r->fails = false;
        r->open = gated;
        gate_say(
            r,
            "values agree; %+.1f %%, while another case came out %+.1f %%: two runs on a CPU differ as much, use regress",
            100 * expm1(change), 100 * expm1(change > 0 ? -other : other));
    }
}

void compare_speed(struct compare *c, const int64_t index[2], struct gate_row *r) {
    struct pair p = {.file = {c->file[COMPARE_BASE], c->file[COMPARE_NEW]}};
    bool timed[2];
    for (int f = 0; f < 2; f++)
        timed[f] = record_rounds(p.file[f], index[f]) > 0 && record_timing(p.file[f], index[f], &p.t[f]);
    if (c->options.speed == GATE_NO_SPEED || !timed[COMPARE_BASE]) {
        gate_say(r, "values agree%s",
                 c->options.speed == GATE_NO_SPEED ? "; speed was not asked for"
                 : timed[COMPARE_NEW]              ? "; the base was not timed"
                                                   : "");
        return;
    }
    if (!timed[COMPARE_NEW]) {
        r->verdict = MHC_INVALID;
        r->fails = true;
        gate_say(r, "the samples of its time are in the base alone");
        return;
    }
    int64_t rounds = p.t[0].rounds > p.t[1].rounds ? p.t[0].rounds : p.t[1].rounds;
    double *work = malloc((2 * (size_t)rounds + 2 * MHC_RESAMPLES) * sizeof *work);
    const char *yardstick = yardstick_of(&p);
    if (work && yardstick)
        judge_all(c, &p, yardstick, threshold_of(c, index, &r->on_cpu), work, r);
    else {
        r->verdict = MHC_AMBIGUOUS;
        r->open = c->options.speed == GATE_SPEED && !c->ungated[0];
        gate_say(r, work ? "values agree; nothing that both files have was timed beside it" : "out of memory");
    }
    free(work);
}
