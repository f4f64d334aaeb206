#include "suites/study/timed_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SCALARS = 4096 };

/* The place of a name in a list of items that begin with one; -1: it is not there. */
static int called(const char *name, const void *list, size_t item, int count) {
    for (int k = 0; k < count; k++)
        if (!strcmp(*(const char *const *)((const char *)list + (size_t)k * item), name))
            return k;
    return -1;
}

/* Adds those that are not there yet, as far as there is room. */
static void join(void *list, size_t item, int *count, int room, const void *more, int more_count) {
    for (int k = 0; k < more_count && *count < room; k++) {
        const char *from = (const char *)more + (size_t)k * item;
        if (called(*(const char *const *)from, list, item, *count) < 0)
            memcpy((char *)list + (size_t)(*count)++ * item, from, item);
    }
}

void timed_schema(const struct suite *s, struct record_schema *schema) {
    static struct record_curve timing[MOST_SCALARS], error[MOST_SCALARS];
    static const char *subject[RECORD_MAX_SUBJECTS];
    bool there[STUDIES] = {false};
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        there[p->study] = true;
        schema->rounds = params_has(p, STUDY_TIMES) && p->rounds > schema->rounds ? p->rounds : schema->rounds;
    }
    for (int id = 0; id < STUDIES; id++) {
        const struct timed_schema *own = there[id] && studies[id]->times ? studies[id]->times() : NULL;
        if (!own)
            continue;
        join(timing, sizeof *timing, &schema->timing_count, MOST_SCALARS, own->timings, own->timing_count);
        join(error, sizeof *error, &schema->accuracy_count, MOST_SCALARS, own->errors, own->error_count);
        join(subject, sizeof *subject, &schema->subject_count, RECORD_MAX_SUBJECTS, own->subjects, own->subject_count);
    }
    schema->timings = timing;
    schema->accuracies = error;
    schema->subjects = subject;
}

/* A study's scalars at their places among those of the record. */
static void place_scalars(double *out, const struct record_curve *all, int count, const struct record_curve *own,
                          int own_count, const double *values) {
    for (int k = 0; k < count; k++)
        out[k] = NAN;
    for (int k = 0; k < own_count; k++) {
        int at = called(own[k].name, all, sizeof *all, count);
        if (at >= 0)
            out[at] = values[k];
    }
}

/* Its samples, likewise. */
static bool place_samples(const struct record_schema *schema, const struct timed_result *r, struct record_timing *out) {
    static struct samples wide;
    static int64_t batch[RECORD_MAX_SUBJECTS], sets[RECORD_MAX_SUBJECTS];
    const struct samples *s = &r->samples;
    samples_release(&wide);
    if (!samples_open(&wide, schema->subject_count, s->rounds))
        return false;
    memset(batch, 0, sizeof batch);
    memset(sets, 0, sizeof sets);
    for (int k = 0; k < r->schema->subject_count; k++) {
        int at = called(r->schema->subjects[k], schema->subjects, sizeof *schema->subjects, schema->subject_count);
        if (at < 0)
            continue;
        int64_t to = at * s->rounds, from = k * s->room;
        batch[at] = r->batch[k];
        sets[at] = r->sets[k];
        memcpy(wide.seconds + to, s->seconds + from, (size_t)s->rounds * sizeof *s->seconds);
        memcpy(wide.clock + to, s->clock + from, (size_t)s->rounds * sizeof *s->clock);
        memcpy(wide.order + to, s->order + from, (size_t)s->rounds);
        memcpy(wide.flags + to, s->flags + from, (size_t)s->rounds);
    }
    *out = (struct record_timing){s->rounds, wide.seconds, wide.clock, wide.order, wide.flags, batch, sets, r->stop};
    return true;
}

bool timed_case(const struct record_schema *schema, const struct study_result *result, struct record_case *c) {
    static double timing[MOST_SCALARS], error[MOST_SCALARS];
    static struct record_timing samples;
    const struct timed_result *r = result->timed;
    if (!r)
        return true;
    place_scalars(timing, schema->timings, schema->timing_count, r->schema->timings, r->schema->timing_count,
                  r->timing);
    place_scalars(error, schema->accuracies, schema->accuracy_count, r->schema->errors, r->schema->error_count,
                  r->error);
    if (r->samples.rounds && !place_samples(schema, r, &samples))
        return false;
    static char both[RECORD_REASON_BYTES + 1];
    if (!*c->reason)
        c->reason = r->note;
    else if (*r->note && !strncmp(c->reason, RECORD_UNFINISHED, strlen(RECORD_UNFINISHED))) {
        snprintf(both, sizeof both, "%s; %s", c->reason, r->note);
        c->reason = both;
    }
    c->timing = r->samples.rounds ? &samples : NULL;
    c->timings = timing;
    c->accuracies = error;
    return true;
}
