#include "suites/study/timed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct timed_result *timed_result_new(const struct timed_schema *schema) {
    size_t subjects = (size_t)schema->subject_count, values = (size_t)(schema->timing_count + schema->error_count);
    struct timed_result *r = calloc(1, sizeof *r + 2 * subjects * sizeof(int64_t) + values * sizeof(double));
    if (!r)
        return NULL;
    r->schema = schema;
    r->batch = (int64_t *)(r + 1);
    r->sets = r->batch + subjects;
    r->timing = (double *)(r->sets + subjects);
    r->error = r->timing + schema->timing_count;
    for (size_t v = 0; v < values; v++)
        r->timing[v] = NAN;
    return r;
}

void timed_result_release(struct timed_result *r) {
    if (r)
        samples_release(&r->samples);
    free(r);
}

bool timed_result_keep(struct timed_result *out, const struct timing *t, const int *subject, const int64_t *sets) {
    if (!samples_open(&out->samples, out->schema->subject_count, t->rounds))
        return false;
    for (int s = 0; s < t->subjects; s++) {
        samples_keep(&out->samples, subject[s], t, s);
        out->batch[subject[s]] = t->batch[s];
        out->sets[subject[s]] = sets[s];
    }
    timed_result_stop(out, t->stop);
    return true;
}

void timed_result_stop(struct timed_result *r, enum timing_stop stop) {
    size_t used = strlen(r->note);
    snprintf(r->stop, sizeof r->stop, "%s", timing_stop_name[stop]);
    if (stop == TIMING_MODEL)
        snprintf(r->note + used, sizeof r->note - used, "%s" TIMED_MODEL, used ? "; " : "");
}

/* --- through the pipe --- */

/* Everything but the samples, one piece after the other. */
static void each(struct message *m, struct timed_result *r, void (*piece)(struct message *, void *, size_t)) {
    const struct timed_schema *s = r->schema;
    piece(m, r->stop, sizeof r->stop);
    piece(m, r->note, sizeof r->note);
    piece(m, r->batch, 2 * (size_t)s->subject_count * sizeof *r->batch);
    piece(m, r->timing, (size_t)(s->timing_count + s->error_count) * sizeof *r->timing);
}

static void put(struct message *m, void *data, size_t size) {
    message_put(m, data, size);
}

void timed_result_put(struct message *m, const struct timed_result *r) {
    each(m, (struct timed_result *)r, put);
    samples_put(m, &r->samples, r->schema->subject_count);
}

struct timed_result *timed_result_take(struct message *m, const struct timed_schema *schema) {
    struct timed_result *r = timed_result_new(schema);
    if (!r)
        return NULL;
    each(m, r, message_take);
    if (!samples_take(m, &r->samples, schema->subject_count)) {
        timed_result_release(r);
        return NULL;
    }
    return r;
}
