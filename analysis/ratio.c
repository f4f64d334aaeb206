/* Statistics of time samples. */
#include "analysis/ratio.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "analysis/analysis.h"
#include "cpu_ref/philox.h"

int64_t mhc_median_rank(int64_t count) {
    /* log of P(Binomial = k); a sum of logs, because 2^-count leaves the range of doubles */
    double log_term = -(double)count * M_LN2, below = 0;
    int64_t rank = 0;
    for (; rank < count; rank++) {
        below += exp(log_term);
        if (below > 0.025)
            break;
        log_term += log((double)(count - rank) / (double)(rank + 1));
    }
    return rank;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct mhc_interval mhc_median_interval(double *values, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        if (isnan(values[k]))
            return (struct mhc_interval){NAN, NAN, NAN};
    qsort(values, (size_t)count, sizeof *values, ascending);
    int64_t rank = mhc_median_rank(count);
    double middle = (values[(count - 1) / 2] + values[count / 2]) / 2;
    if (rank == 0)
        return (struct mhc_interval){middle, -INFINITY, INFINITY};
    return (struct mhc_interval){middle, values[rank - 1], values[count - rank]};
}

void mhc_log_ratios(const double *subject, const double *baseline, int64_t count, double *out) {
    for (int64_t k = 0; k < count; k++)
        out[k] = log(subject[k] / baseline[k]);
}

static struct mhc_interval exponential(struct mhc_interval x) {
    return (struct mhc_interval){exp(x.median), exp(x.low), exp(x.high)};
}

struct mhc_interval mhc_ratio_interval(const double *subject, const double *baseline, int64_t count, double *work) {
    mhc_log_ratios(subject, baseline, count, work);
    return exponential(mhc_median_interval(work, count));
}

/* Medians of resamples of `count` >= 1 values; the same values and the same `what` always give the same medians.
 * `work` has room for `count` doubles. */
static void resampled_medians(const double *values, int64_t count, uint32_t what, double *work, double *medians) {
    enum { SEED = 20251224 };
    for (int b = 0; b < MHC_RESAMPLES; b++) {
        for (int64_t k = 0; k < count; k++)
            work[k] = values[mhc_bits(SEED, what, (uint32_t)b, (uint64_t)k) % (uint64_t)count];
        medians[b] = mhc_quantile(work, count, 0.5);
    }
}

/* The log ratios, those of rounds in which the subject came first in front; returns how many these are. */
static int64_t by_order(const struct mhc_pairs *p, double *out) {
    int64_t front = 0, back = p->count;
    for (int64_t k = 0; k < p->count; k++) {
        bool first = !p->subject_place || !p->baseline_place || p->subject_place[k] < p->baseline_place[k];
        out[first ? front++ : --back] = log(p->subject[k] / p->baseline[k]);
    }
    return front;
}

double mhc_ratio_medians(const struct mhc_pairs *p, double *work, double *medians) {
    double *ratios = work, *resample = work + p->count, *others = resample + p->count;
    int64_t first = by_order(p, ratios), second = p->count - first;
    if (mhc_median_rank(first) == 0 || mhc_median_rank(second) == 0) {
        resampled_medians(ratios, p->count, 1, resample, medians);
        return mhc_quantile(ratios, p->count, 0.5);
    }
    resampled_medians(ratios, first, 1, resample, medians);
    resampled_medians(ratios + first, second, 4, resample, others);
    for (int b = 0; b < MHC_RESAMPLES; b++)
        medians[b] = (medians[b] + others[b]) / 2;
    return (mhc_quantile(ratios, first, 0.5) + mhc_quantile(ratios + first, second, 0.5)) / 2;
}

struct mhc_interval mhc_ratio_bootstrap(const struct mhc_pairs *p, double *work) {
    if (mhc_median_rank(p->count) == 0) /* of two ratios half the intervals would miss */
        return mhc_ratio_interval(p->subject, p->baseline, p->count, work);
    double *medians = work, median = mhc_ratio_medians(p, work + MHC_RESAMPLES, medians);
    return exponential((struct mhc_interval){median, mhc_quantile(medians, MHC_RESAMPLES, 0.025),
                                             mhc_quantile(medians, MHC_RESAMPLES, 0.975)});
}
