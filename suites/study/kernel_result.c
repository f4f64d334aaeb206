/* What a case of a study that times leaves: samples, their statistics, and their way through the pipe. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/study/kernels_study.h"
#include "suites/timing/timing.h"

struct kernel_result *kernel_result_new(void) {
    struct kernel_result *r = calloc(1, sizeof *r);
    for (int v = 0; v < TIMED_VALUES && r; v++)
        r->timing[v] = NAN;
    for (int v = 0; v < KERNEL_ERRORS && r; v++)
        r->error[v] = NAN;
    return r;
}

bool kernel_result_keep(struct kernel_result *out, const struct timing *t, const int *subject, const int64_t *sets) {
    if (!samples_open(&out->samples, TIMED_SUBJECTS, t->rounds))
        return false;
    for (int s = 0; s < t->subjects; s++) {
        samples_keep(&out->samples, subject[s], t, s);
        out->batch[subject[s]] = t->batch[s];
        out->sets[subject[s]] = sets[s];
    }
    snprintf(out->stop, sizeof out->stop, "%s", timing_stop_name[t->stop]);
    return true;
}

bool kernel_result_summarise(struct kernel_result *r, int subject, int baseline) {
    const struct samples *all = &r->samples;
    double *work = malloc((2 * (size_t)all->rounds + 2 * MHC_RESAMPLES) * sizeof *work), *v = r->timing;
    if (!work)
        return false;
    const double *samples = all->seconds + subject * all->room;
    memcpy(work, samples, (size_t)all->rounds * sizeof *work);
    struct mhc_interval time = mhc_median_interval(work, all->rounds), ratio = {NAN, NAN, NAN};
    if (r->batch[baseline]) {
        const struct mhc_pairs pairs = samples_pairs(all, subject, baseline, all->rounds);
        ratio = mhc_ratio_bootstrap(&pairs, work);
    }
    v[KERNEL_MEDIAN] = time.median, v[KERNEL_LOW] = time.low, v[KERNEL_HIGH] = time.high;
    v[KERNEL_RATIO] = ratio.median, v[KERNEL_RATIO_LOW] = ratio.low, v[KERNEL_RATIO_HIGH] = ratio.high;
    free(work);
    return true;
}

/* --- through the pipe --- */

void kernel_result_release(struct kernel_result *r) {
    if (r)
        samples_release(&r->samples);
    free(r);
}

void kernel_result_put(struct message *m, const struct kernel_result *r) {
    message_put(m, r, sizeof *r);
    samples_put(m, &r->samples, TIMED_SUBJECTS);
}

struct kernel_result *kernel_result_take(struct message *m) {
    struct kernel_result *r = malloc(sizeof *r);
    if (!r)
        return NULL;
    message_take(m, r, sizeof *r);
    if (!samples_take(m, &r->samples, TIMED_SUBJECTS)) {
        kernel_result_release(r);
        return NULL;
    }
    return r;
}
