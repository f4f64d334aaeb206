/* Study `overhead`: time, and what is made of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/rows/yardstick.h"
#include "suites/study/overhead_bench.h"
#include "suites/timing/timing.h"

static void keep_samples(struct timed_result *out, const struct timing *t, const int *subject,
                         const struct timing_subject *subjects) {
    for (int s = 0; s < t->subjects; s++) {
        if (out->batch[subject[s]]) /* a step beside its parts: the samples beside the other steps are kept */
            continue;
        samples_keep(&out->samples, subject[s], t, s);
        out->batch[subject[s]] = t->batch[s];
        out->sets[subject[s]] = subjects[s].sets;
    }
}

/* Times a group. Which share of the first the others take is kept if it is one of parts, else why the rounds ended. */
static const char *time_group(struct overhead_bench *w, const struct timing_subject *subjects, const int *subject,
                              int count, double seconds, bool parts) {
    static char message[200];
    struct timing_rules rules = timing_rules_for(w->backend, w->p->rounds, seconds);
    struct timing_clock clock;
    struct timing t = {0};
    rules.seed = (uint64_t)w->p->seed;
    if (!timing_clock_open(&clock, w->backend, message, sizeof message))
        return message;
    const char *why = timing_run(&t, subjects, count, &rules, &clock);
    double *work = why ? NULL : malloc((size_t)t.rounds * sizeof *work);
    if (work)
        keep_samples(w->out, &t, subject, subjects);
    for (int s = 1; s < count && parts && work; s++)
        w->out->timing[overhead_of_part(subject[s], OVERHEAD_PART_SHARE)] =
            mhc_ratio_interval(t.seconds + s * t.room, t.seconds, t.rounds, work).median;
    if (!parts)
        timed_result_stop(w->out, t.stop);
    why = why || work ? why : "out of memory";
    free(work);
    timing_release(&t);
    timing_clock_close(&clock);
    return why;
}

const char *overhead_time_steps(struct overhead_bench *w) {
    struct timing_subject subjects[TIMING_SUBJECTS];
    int subject[TIMING_SUBJECTS], count = 0;
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (overhead_runs(w, v)) {
            subjects[count] = (struct timing_subject){.run = program_runner_run,
                                                      .user = &w->runner[v],
                                                      .sets = w->all.memory.sets,
                                                      .launches = (int)w->graphs};
            subject[count++] = OVERHEAD_VARIANT + v;
        }
    for (int k = 0; k < 2; k++)
        if (w->yardstick[k].row) {
            subjects[count] = (struct timing_subject){.run = bound_row_run,
                                                      .user = &w->yardstick[k],
                                                      .sets = w->yardstick[k].sets,
                                                      .launches = BOUND_ROW_LAUNCHES};
            subject[count++] = k ? OVERHEAD_GEMM : OVERHEAD_COPY;
        }
    return time_group(w, subjects, subject, count, w->p->budget, false);
}

/* A whole step and parts of it, side by side. */
enum { ACCOUNT_SUBJECTS = 8 };

/* Parts of a variant from *part on, as many as a group takes, beside the whole step, which leaves them what they work
 * on. */
static const char *time_parts(struct overhead_bench *w, int v, int *part) {
    struct program_runner runner[ACCOUNT_SUBJECTS] = {{0}};
    struct timing_subject subjects[ACCOUNT_SUBJECTS] = {
        {.run = program_runner_run, .user = &w->runner[v], .sets = w->all.memory.sets, .launches = (int)w->graphs}};
    int subject[ACCOUNT_SUBJECTS] = {OVERHEAD_VARIANT + v}, count = 1;
    const char *why = NULL;
    for (; *part < STEP_PARTS && count < ACCOUNT_SUBJECTS && !why; ++*part) {
        const struct program *s = &w->all.step[v];
        enum step_part now = (enum step_part)(*part);
        if (!program_calls(s, now) || (*part < STEP_SHARED_PARTS && v != STEP_RESIDUAL))
            continue;
        why = program_runner_open(&runner[count], s, *part, w->graphs, NULL);
        subjects[count] = (struct timing_subject){
            .run = program_runner_run, .user = &runner[count], .sets = w->all.memory.sets, .launches = (int)w->graphs};
        why = why ? why : runner[count].uncaptured[0] ? "a part of the step cannot be a graph, the whole can" : NULL;
        subject[count++] = overhead_subject((enum step_variant)v, now);
    }
    if (!why && count > 1)
        why = time_group(w, subjects, subject, count, w->p->budget / 4, true);
    for (int k = 1; k < count; k++)
        program_runner_close(&runner[k]);
    return why;
}

const char *overhead_time_account(struct overhead_bench *w) {
    const char *why = NULL;
    for (int v = 0; v < STEP_VARIANTS && !why && !w->high; v++) {
        int part = 0;
        for (int64_t set = 0; set < w->all.memory.sets && overhead_runs(w, v) && !why; set++)
            why = program_runner_run(&w->runner[v], set);
        while (overhead_runs(w, v) && part < STEP_PARTS && !why)
            why = time_parts(w, v, &part);
    }
    return why;
}

/* ---- what it says ---- */

/* With so few rounds that even the extremes do not enclose the median with 95 %, the interval is not known. */
static struct mhc_interval overhead(const struct samples *s, int v, int64_t rounds, double *work) {
    const struct mhc_pairs pairs = samples_pairs(s, OVERHEAD_VARIANT + v, OVERHEAD_VARIANT + STEP_RESIDUAL, rounds);
    struct mhc_interval x = mhc_ratio_bootstrap(&pairs, work);
    bool known = mhc_median_rank(rounds) > 0;
    return (struct mhc_interval){x.median - 1, known ? x.low - 1 : NAN, known ? x.high - 1 : NAN};
}

static void describe_variant(const struct overhead_bench *w, int v) {
    double *value = &w->out->timing[overhead_of_variant((enum step_variant)v, 0)];
    const struct program *s = &w->all.step[v];
    value[OVERHEAD_CALLS] = value[OVERHEAD_BYTES] = value[OVERHEAD_FLOPS] = 0;
    for (int part = 0; part < STEP_PARTS; part++) {
        enum step_part of = (enum step_part)part;
        int subject = overhead_subject((enum step_variant)v, of);
        double own[OVERHEAD_PART_VALUES] = {w->out->timing[overhead_of_part(subject, OVERHEAD_PART_SHARE)],
                                            (double)program_calls(s, of), program_bytes(s, of), program_flops(s, of),
                                            program_footprint(s, of) * (double)w->all.memory.sets};
        value[OVERHEAD_CALLS] += own[OVERHEAD_PART_CALLS];
        value[OVERHEAD_BYTES] += own[OVERHEAD_PART_BYTES];
        value[OVERHEAD_FLOPS] += own[OVERHEAD_PART_FLOPS];
        if (own[OVERHEAD_PART_CALLS] > 0)
            memcpy(&w->out->timing[overhead_of_part(subject, OVERHEAD_PART_SHARE)], own, sizeof own);
    }
    for (int k = OVERHEAD_CALLS; k <= OVERHEAD_FLOPS; k++) /* as the time is: of all micro-batches */
        value[k] *= w->all.spec.micro_batches;
    value[OVERHEAD_ACTIVATION] = program_activation_bytes(s) / (double)w->all.spec.c.T;
    value[OVERHEAD_WORKSPACE] = program_workspace_bytes(s);
}

/* Of F's products in the whole stack. */
static double parameters(const struct program_spec *spec) {
    double attention = 4.0 * (double)(spec->c.C * spec->c.heads * spec->c.head_dim);
    double mlp = (spec->c.activation == MHC_SWIGLU ? 3.0 : 2.0) * (double)(spec->c.C * spec->c.hidden);
    return attention * (double)((spec->layers + 1) / 2) + mlp * (double)(spec->layers / 2);
}

bool overhead_summarise(struct overhead_bench *w, int64_t rounds) {
    struct timed_result *out = w->out;
    double *work = malloc((2 * (size_t)rounds + 2 * MHC_RESAMPLES) * sizeof *work),
           *step = &out->timing[OVERHEAD_STEP_AT];
    for (int v = 0; v < STEP_VARIANTS && work; v++) {
        double *value = &out->timing[overhead_of_variant((enum step_variant)v, 0)];
        if (!overhead_runs(w, v))
            continue;
        struct mhc_interval x = overhead(&out->samples, v, rounds, work);
        value[OVERHEAD_RATIO] = x.median, value[OVERHEAD_LOW] = x.low, value[OVERHEAD_HIGH] = x.high;
        memcpy(work, out->samples.seconds + (OVERHEAD_VARIANT + v) * out->samples.room, (size_t)rounds * sizeof *work);
        value[OVERHEAD_MEDIAN] = mhc_median_interval(work, rounds).median;
        describe_variant(w, v);
    }
    step[OVERHEAD_RECOMPUTE] = (double)w->all.spec.recompute;
    step[OVERHEAD_PARAMETERS] = parameters(&w->all.spec);
    step[OVERHEAD_COPY_BYTES] = w->yardstick[0].row ? yardstick_copy_bytes(&w->yardstick[0].c) : NAN;
    step[OVERHEAD_GEMM_FLOPS] = w->yardstick[1].row ? yardstick_gemm_flops(&w->yardstick[1].c) : NAN;
    step[OVERHEAD_CACHE] = (double)timing_cache_bytes(w->backend);
    free(work);
    return work != NULL;
}
