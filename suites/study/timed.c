#include "suites/study/timed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/study/overhead_study.h"
#include "suites/study/kernels_study.h"

enum { MOST_TIMINGS = TIMED_VALUES + OVERHEAD_TIMINGS, MOST_ERRORS = KERNEL_ERRORS + STEP_VARIANTS };

void timed_schema(const struct suite *s, struct record_schema *schema) {
    static struct record_curve timing[MOST_TIMINGS], error[MOST_ERRORS];
    bool kernels = false, recompute = false, overhead = false;
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        kernels |= p->study == STUDY_KERNELS;
        recompute |= p->study == STUDY_RECOMPUTE;
        overhead |= p->study == STUDY_OVERHEAD;
        schema->rounds = !params_has_layers(p) && p->rounds > schema->rounds ? p->rounds : schema->rounds;
    }
    if (kernels || recompute) {
        schema->timing_count = recompute ? TIMED_VALUES : KERNEL_TIMINGS;
        schema->accuracy_count = KERNEL_ERRORS;
        memcpy(timing, kernel_timing_info, (size_t)schema->timing_count * sizeof *timing);
        memcpy(error, kernel_error_info, sizeof kernel_error_info);
    }
    if (overhead) {
        memcpy(timing + schema->timing_count, overhead_timing_info(), OVERHEAD_TIMINGS * sizeof *timing);
        memcpy(error + schema->accuracy_count, overhead_error_info(), STEP_VARIANTS * sizeof *error);
        schema->timing_count += OVERHEAD_TIMINGS;
        schema->accuracy_count += STEP_VARIANTS;
    }
    schema->timings = timing;
    schema->accuracies = error;
    schema->subjects = overhead ? overhead_subjects() : kernel_subject_name; /* those of kernels come first in both */
    schema->subject_count = overhead ? OVERHEAD_SUBJECTS : recompute ? TIMED_SUBJECTS : kernels ? KERNEL_SUBJECTS : 0;
}

/* The samples of studies kernels and recompute for `subjects` of a record: fewer where it has none of the second, more where it has the
 * third. */
static bool widen(const struct kernel_result *k, int subjects, struct record_timing *out) {
    static struct samples wide;
    static int64_t batch[OVERHEAD_SUBJECTS], sets[OVERHEAD_SUBJECTS];
    const struct samples *s = &k->samples;
    size_t held = (size_t)((subjects < TIMED_SUBJECTS ? subjects : TIMED_SUBJECTS) * s->rounds);
    samples_release(&wide);
    if (!samples_open(&wide, subjects, s->rounds))
        return false;
    memcpy(wide.seconds, s->seconds, held * sizeof *s->seconds);
    memcpy(wide.clock, s->clock, held * sizeof *s->clock);
    memcpy(wide.order, s->order, held);
    memcpy(wide.flags, s->flags, held);
    memcpy(batch, k->batch, sizeof k->batch);
    memcpy(sets, k->sets, sizeof k->sets);
    *out = (struct record_timing){s->rounds, wide.seconds, wide.clock, wide.order, wide.flags, batch, sets, k->stop};
    return true;
}

bool timed_case(const struct record_schema *schema, const struct study_result *r, struct record_case *c) {
    static double timing[MOST_TIMINGS], error[MOST_ERRORS];
    static struct record_timing samples;
    const struct kernel_result *k = r->kernel;
    const struct overhead_result *o = r->overhead;
    if (!k && !o)
        return true;
    for (int at = 0; at < MOST_TIMINGS; at++)
        timing[at] = NAN;
    for (int at = 0; at < MOST_ERRORS; at++)
        error[at] = NAN;
    int shared = schema->timing_count - (schema->subject_count == OVERHEAD_SUBJECTS ? OVERHEAD_TIMINGS : 0);
    if (k) {
        memcpy(timing, k->timing, (size_t)shared * sizeof *timing);
        memcpy(error, k->error, sizeof k->error);
    } else { /* behind those of the others, where there are such */
        memcpy(timing + schema->timing_count - OVERHEAD_TIMINGS, o->timing, sizeof o->timing);
        memcpy(error + schema->accuracy_count - STEP_VARIANTS, o->error, sizeof o->error);
    }
    if (k && k->samples.rounds && !widen(k, schema->subject_count, &samples))
        return false;
    if (o)
        samples = (struct record_timing){o->samples.rounds, o->samples.seconds, o->samples.clock, o->samples.order,
                                         o->samples.flags,  o->batch,           o->sets,          o->stop};
    static char both[RECORD_REASON_BYTES + 1];
    if (o && !*c->reason)
        c->reason = o->note;
    else if (o && *o->note && !strncmp(c->reason, RECORD_UNFINISHED, strlen(RECORD_UNFINISHED))) {
        snprintf(both, sizeof both, "%s; %s", c->reason, o->note);
        c->reason = both;
    }
    c->timing = (k ? k->samples.rounds : o->samples.rounds) ? &samples : NULL;
    c->timings = timing;
    c->accuracies = error;
    return true;
}
