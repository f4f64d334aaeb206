/* What a case of a study that times leaves: samples, their statistics, and their way through the pipe. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/kernels_study.h"
#include "suites/timing.h"

struct kernel_result *kernel_result_new(void) {
    struct kernel_result *r = calloc(1, sizeof *r);
    for (int v = 0; v < TIMED_VALUES && r; v++)
        r->timing[v] = NAN;
    for (int v = 0; v < KERNEL_ERRORS && r; v++)
        r->error[v] = NAN;
    return r;
}

bool kernel_result_keep(struct kernel_result *out, const struct timing *t, const int *subject, const int64_t *sets) {
    size_t count = (size_t)(TIMED_SUBJECTS * t->rounds);
    out->seconds = malloc(count * sizeof *out->seconds);
    out->clock = malloc(count * sizeof *out->clock);
    out->order = calloc(count, 1);
    out->flags = calloc(count, 1);
    if (!out->seconds || !out->clock || !out->order || !out->flags)
        return false;
    out->rounds = t->rounds;
    for (size_t k = 0; k < count; k++)
        out->seconds[k] = out->clock[k] = NAN;
    for (int s = 0; s < t->subjects; s++) {
        int64_t to = subject[s] * t->rounds, from = s * t->room;
        memcpy(out->seconds + to, t->seconds + from, (size_t)t->rounds * sizeof(double));
        memcpy(out->clock + to, t->clock + from, (size_t)t->rounds * sizeof(double));
        memcpy(out->order + to, t->order + from, (size_t)t->rounds);
        memcpy(out->flags + to, t->flags + from, (size_t)t->rounds);
        out->batch[subject[s]] = t->batch[s];
        out->sets[subject[s]] = sets[s];
    }
    snprintf(out->stop, sizeof out->stop, "%s", timing_stop_name[t->stop]);
    return true;
}

bool kernel_result_summarise(struct kernel_result *r, int subject, int baseline) {
    double *work = malloc((2 * (size_t)r->rounds + MHC_RESAMPLES) * sizeof *work), *v = r->timing;
    if (!work)
        return false;
    const double *samples = r->seconds + subject * r->rounds;
    memcpy(work, samples, (size_t)r->rounds * sizeof *work);
    struct mhc_interval time = mhc_median_interval(work, r->rounds), ratio = {NAN, NAN, NAN};
    if (r->batch[baseline])
        ratio = mhc_ratio_bootstrap(samples, r->seconds + baseline * r->rounds, r->rounds, work);
    v[KERNEL_MEDIAN] = time.median, v[KERNEL_LOW] = time.low, v[KERNEL_HIGH] = time.high;
    v[KERNEL_RATIO] = ratio.median, v[KERNEL_RATIO_LOW] = ratio.low, v[KERNEL_RATIO_HIGH] = ratio.high;
    free(work);
    return true;
}

/* --- through the pipe --- */

void kernel_result_release(struct kernel_result *r) {
    if (r) {
        free(r->seconds);
        free(r->clock);
        free(r->order);
        free(r->flags);
    }
    free(r);
}

void kernel_result_put(struct message *m, const struct kernel_result *r) {
    size_t count = (size_t)(TIMED_SUBJECTS * r->rounds);
    message_put(m, r, sizeof *r);
    message_put(m, r->seconds, count * sizeof *r->seconds);
    message_put(m, r->clock, count * sizeof *r->clock);
    message_put(m, r->order, count);
    message_put(m, r->flags, count);
}

struct kernel_result *kernel_result_take(struct message *m) {
    struct kernel_result *r = malloc(sizeof *r);
    if (!r)
        return NULL;
    message_take(m, r, sizeof *r);
    size_t count = (size_t)(TIMED_SUBJECTS * r->rounds);
    r->seconds = malloc(count * sizeof *r->seconds + 1);
    r->clock = malloc(count * sizeof *r->clock + 1);
    r->order = malloc(count + 1);
    r->flags = malloc(count + 1);
    if (!r->seconds || !r->clock || !r->order || !r->flags) {
        kernel_result_release(r);
        return NULL;
    }
    message_take(m, r->seconds, count * sizeof *r->seconds);
    message_take(m, r->clock, count * sizeof *r->clock);
    message_take(m, r->order, count);
    message_take(m, r->flags, count);
    return r;
}
