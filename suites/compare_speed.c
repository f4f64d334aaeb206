/* Time of one case in two records: each subject as a ratio to what was timed beside it in the same rounds. Times of two
 * runs as such are never compared: the machine was another one each time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/compare.h"

#define CPU_THRESHOLD 0.02
#define DEVICE_THRESHOLD 0.03

/* Both files' samples of the case. */
struct pair {
    struct record_timing t[2];
    struct record_reader *file[2];
};

static int subject_called(struct record_reader *file, const char *name) {
    for (int s = 0; s < record_subject_count(file); s++)
        if (!strcmp(record_subject(file, s), name))
            return s;
    return -1;
}

/* Place of a subject that both files have timed in this case. */
static bool both_timed(const struct pair *p, const char *name, int place[2]) {
    for (int f = 0; f < 2; f++) {
        place[f] = subject_called(p->file[f], name);
        if (place[f] < 0 || p->t[f].batch[place[f]] < 1)
            return false;
    }
    return true;
}

/* What subjects are measured against: a GEMM shares the fate of what computes much, a copy that of the others. Where
 * there is neither, the first subject stands in. NULL: nothing was timed beside it. */
static const char *canary_of(const struct pair *p) {
    int place[2];
    const char *first = record_subject_count(p->file[0]) > 1 ? record_subject(p->file[0], 0) : NULL;
    if (both_timed(p, "gemm", place))
        return "gemm";
    if (both_timed(p, "copy", place))
        return "copy";
    return first && both_timed(p, first, place) ? first : NULL;
}

static const double *samples(const struct record_timing *t, int subject, const double *values) {
    return values + subject * t->rounds;
}

/* Seconds times clock: cycles, as a share of the warm-up's. NULL: no clock, or no memory. */
static double *cycles_of(const struct record_timing *t, int subject) {
    const double *seconds = samples(t, subject, t->seconds), *clock = samples(t, subject, t->clock);
    double *cycles = malloc((size_t)t->rounds * sizeof *cycles);
    for (int64_t k = 0; k < t->rounds && cycles; k++) {
        cycles[k] = seconds[k] * clock[k];
        if (isnan(clock[k])) {
            free(cycles);
            return NULL;
        }
    }
    return cycles;
}

static struct mhc_interval change_of(const struct pair *p, const double *const subject[2], const double *const canary[2],
                                     double *work) {
    struct mhc_beside side[2];
    for (int f = 0; f < 2; f++)
        side[f] = (struct mhc_beside){subject[f], canary[f], p->t[f].rounds};
    return mhc_canary_change(&side[COMPARE_NEW], &side[COMPARE_BASE], work);
}

/* On a device the clock itself moves: what is found in time must be found in cycles. True where clocks are not known. */
static bool cycles_agree(const struct pair *p, const int subject[2], const int canary[2], double threshold,
                         enum mhc_verdict verdict, double *work) {
    double *cycles[2][2];
    bool known = true;
    for (int f = 0; f < 2; f++) {
        cycles[0][f] = cycles_of(&p->t[f], subject[f]);
        cycles[1][f] = cycles_of(&p->t[f], canary[f]);
        known &= cycles[0][f] && cycles[1][f];
    }
    bool agree = !known || mhc_speed_verdict(change_of(p, (const double *const *)cycles[0], (const double *const *)cycles[1], work),
                                             threshold) == verdict;
    for (int f = 0; f < 2; f++) {
        free(cycles[0][f]);
        free(cycles[1][f]);
    }
    return agree;
}

static bool same_samples(const struct pair *p, const int subject[2], const int canary[2]) {
    size_t bytes = (size_t)p->t[0].rounds * sizeof(double);
    return p->t[0].rounds == p->t[1].rounds &&
           !memcmp(samples(&p->t[0], subject[0], p->t[0].seconds), samples(&p->t[1], subject[1], p->t[1].seconds), bytes) &&
           !memcmp(samples(&p->t[0], canary[0], p->t[0].seconds), samples(&p->t[1], canary[1], p->t[1].seconds), bytes);
}

static double throttled(const struct record_timing *t, int subject) {
    int64_t flagged = 0;
    for (int64_t k = 0; k < t->rounds; k++)
        flagged += (t->flags[subject * t->rounds + k] & 2) != 0;
    return (double)flagged / (double)t->rounds;
}

/* One subject. `why`: what it was decided on, or why it was not. */
static enum mhc_verdict judge(const struct pair *p, const char *name, const char *canary_name, double threshold, double *work,
                              struct mhc_interval *change, const char **why) {
    int subject[2], canary[2];
    const double *seconds[2], *beside[2];
    if (!both_timed(p, name, subject) || !both_timed(p, canary_name, canary))
        return *why = "timed in one file only", MHC_AMBIGUOUS;
    *why = NULL;
    if (same_samples(p, subject, canary)) {
        *change = (struct mhc_interval){1, 1, 1};
        return *why = "the very same samples", MHC_SAME;
    }
    for (int f = 0; f < 2; f++) {
        seconds[f] = samples(&p->t[f], subject[f], p->t[f].seconds);
        beside[f] = samples(&p->t[f], canary[f], p->t[f].seconds);
    }
    *change = change_of(p, seconds, beside, work);
    for (int f = 0; f < 2; f++) {
        if (p->t[f].rounds < MHC_LEAST_ROUNDS)
            return *why = "fewer than 20 rounds", MHC_AMBIGUOUS;
        if (throttled(&p->t[f], subject[f]) > MHC_MOST_THROTTLED)
            return *why = "too many samples at a low clock", MHC_AMBIGUOUS;
    }
    enum mhc_verdict verdict = mhc_speed_verdict(*change, threshold);
    if (verdict != MHC_AMBIGUOUS && !cycles_agree(p, subject, canary, threshold, verdict, work))
        return *why = "found in time and not in clock cycles", MHC_AMBIGUOUS;
    return verdict;
}

static bool is_canary(const char *name) {
    return !strcmp(name, "copy") || !strcmp(name, "gemm");
}

static double threshold_of(const struct compare *c, const int64_t index[2]) {
    const char *const *backend = record_texts(c->file[COMPARE_NEW], "backend");
    const double *preempted = record_timing_value(c->file[COMPARE_NEW], "preempted");
    bool device = (backend && !strcmp(backend[index[COMPARE_NEW]], "cuda")) || /* a device loses no CPU on the way */
                  (preempted && isnan(preempted[index[COMPARE_NEW]]));
    return c->options.threshold > 0 ? c->options.threshold : device ? DEVICE_THRESHOLD : CPU_THRESHOLD;
}

static void say(const struct compare *c, struct gate_row *r, enum mhc_verdict verdict, const char *subject, const char *canary,
                double threshold, const char *why) {
    double percent = 100 * (r->change.median - 1);
    char which[80] = "";
    if (strcmp(subject, "operation"))
        snprintf(which, sizeof which, "%.60s: ", subject);
    if (c->ungated[0])
        gate_say(r, "values agree; %s%+.1f %% to the %s, speed is not gated: %s", which, percent, canary, c->ungated);
    else if (why && verdict == MHC_SAME)
        gate_say(r, "values agree; %s", why);
    else if (why)
        gate_say(r, "values agree; %s%+.1f %% to the %s, %s", which, percent, canary, why);
    else if (verdict == MHC_SAME)
        gate_say(r, "values agree; within %g %% to the %s", 100 * threshold, canary);
    else if (verdict == MHC_AMBIGUOUS)
        gate_say(r, "values agree; %s%+.1f %% to the %s, which does not settle it: more --budget, or regress", which, percent, canary);
    else
        gate_say(r, "values agree; %s%.1f %% %s to the %s of the same rounds%s", which, fabs(percent),
                 percent > 0 ? "slower" : "faster", canary, c->options.speed == GATE_SPEED ? "" : "; reported, not gated");
}

/* The worst of the subjects that the base has timed. */
static void judge_all(struct compare *c, const struct pair *p, const char *canary, double threshold, double *work, struct gate_row *r) {
    enum mhc_verdict worst = MHC_SAME;
    bool any = false;
    for (int s = 0; s < record_subject_count(p->file[COMPARE_BASE]); s++) {
        const char *name = record_subject(p->file[COMPARE_BASE], s), *why;
        struct mhc_interval change = {NAN, NAN, NAN};
        if (is_canary(name) || !strcmp(name, canary) || p->t[COMPARE_BASE].batch[s] < 1)
            continue;
        enum mhc_verdict verdict = judge(p, name, canary, threshold, work, &change, &why);
        if (any && verdict <= worst)
            continue;
        any = true;
        worst = verdict;
        r->change = change;
        say(c, r, verdict, name, canary, threshold, why);
    }
    if (!any || c->ungated[0]) { /* no verdict on a kernel follows from another machine's time */
        if (!any)
            gate_say(r, "values agree; nothing but canaries was timed");
        return;
    }
    r->verdict = worst;
    r->fails = worst == MHC_SLOWER && c->options.speed == GATE_SPEED;
    r->open = worst == MHC_AMBIGUOUS && c->options.speed == GATE_SPEED;
}

void compare_speed(struct compare *c, const int64_t index[2], struct gate_row *r) {
    struct pair p = {.file = {c->file[COMPARE_BASE], c->file[COMPARE_NEW]}};
    bool timed[2];
    for (int f = 0; f < 2; f++)
        timed[f] = record_rounds(p.file[f], index[f]) > 0 && record_timing(p.file[f], index[f], &p.t[f]);
    if (c->options.speed == GATE_NO_SPEED || !timed[COMPARE_BASE]) {
        gate_say(r, "values agree%s", c->options.speed == GATE_NO_SPEED ? "; speed was not asked for"
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
    const char *canary = canary_of(&p);
    if (work && canary)
        judge_all(c, &p, canary, threshold_of(c, index), work, r);
    else {
        r->verdict = MHC_AMBIGUOUS;
        r->open = c->options.speed == GATE_SPEED && !c->ungated[0];
        gate_say(r, work ? "values agree; nothing that both files have was timed beside it" : "out of memory");
    }
    free(work);
}
