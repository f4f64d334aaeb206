/* The rules of the gate. */
#include "analysis/verdict.h"

#include <math.h>
#include <string.h>

#include "analysis/analysis.h"

const char *const mhc_verdict_name[MHC_VERDICTS] = {"SAME",   "NEW",     "FASTER", "AMBIGUOUS",
                                                    "SLOWER", "MISSING", "INVALID"};

/* --- speed --- */

#define LEVEL 0.99

struct mhc_interval mhc_paired_change(const struct mhc_pairs *p, double *work) {
    if (p->count < 1)
        return (struct mhc_interval){NAN, NAN, NAN};
    double *medians = work, median = mhc_ratio_medians(p, work + MHC_RESAMPLES, medians);
    double low = mhc_quantile(medians, MHC_RESAMPLES, (1 - LEVEL) / 2); /* of logs */
    double high = mhc_quantile(medians, MHC_RESAMPLES, (1 + LEVEL) / 2);
    return (struct mhc_interval){exp(median), exp(low), exp(high)};
}

enum mhc_verdict mhc_speed_verdict(struct mhc_interval change, double threshold) {
    double most = 1 + threshold, least = 1 / most;
    if (!(isfinite(change.low) && isfinite(change.high) && change.low > 0))
        return MHC_AMBIGUOUS;
    return change.low > most                            ? MHC_SLOWER
           : change.high < least                        ? MHC_FASTER
           : change.low >= least && change.high <= most ? MHC_SAME
                                                        : MHC_AMBIGUOUS;
}

enum mhc_verdict mhc_repeated_verdict(const enum mhc_verdict *measured, int count, bool *settled) {
    *settled = true;
    if (count > 0 && measured[0] == MHC_SAME)
        return MHC_SAME;
    for (int a = 0; a < count; a++)
        for (int b = 0; b < a; b++)
            if (measured[a] == measured[b] && measured[a] != MHC_AMBIGUOUS)
                return measured[a];
    *settled = count >= MHC_MEASUREMENTS;
    return MHC_AMBIGUOUS;
}

/* --- accuracy --- */

double mhc_common_tolerance(double base, double now) {
    return isnan(base) || isnan(now) ? now : fmin(base, now);
}

enum mhc_accuracy mhc_accuracy_of(double base_error, double now_error, double tolerance) {
    if (!(now_error <= tolerance))
        return MHC_WRONG;
    if (isnan(base_error))
        return MHC_ACCURATE;
    double most = fmax(MHC_ERROR_FLOOR * tolerance, MHC_ERROR_FACTOR * base_error);
    return now_error <= most ? MHC_ACCURATE : MHC_LESS_ACCURATE;
}

/* --- memory --- */

bool mhc_more_memory(double base, double now) {
    return !(now <= (1 + MHC_MOST_GROWTH) * base);
}

/* --- values --- */

static const struct mhc_metric_info *info_of(enum mhc_metric metric) {
    static const struct mhc_metric_info unknown = {.scale = MHC_LINEAR};
    return metric == MHC_METRICS
    ? &unknown : &mhc_metric_info[metric];
}

/* The share that a gain changes by within MHC_GAIN_TOLERANCE: for what is no gain. */
static double share(void) {
    return 1 - pow(10, -MHC_GAIN_TOLERANCE);
}

static double steps(double base, double now, const struct mhc_metric_info *info) {
    return fabs(fmax(now, info->floor) - fmax(base, info->floor));
}

static bool within(double base, double now, enum mhc_metric metric) {
    const struct mhc_metric_info *info = info_of(metric);
    if (info->scale == MHC_LOG10) /* 0.51 - 0.5 is a little more than 0.01 */
        return steps(base, now, info) <= MHC_GAIN_TOLERANCE * (1 + 1e-9);
    return fabs(now - base) <= fmax(share() * fmax(fabs(base), fabs(now)), info->slack);
}

double mhc_value_change(double base, double now, enum mhc_metric metric) {
    const struct mhc_metric_info *info = info_of(metric);
    if (base == now)
        return 0;
    if (info->scale == MHC_LOG10)
        return -expm1(-log(10) * steps(base, now, info));
    return fabs(now - base) / fmax(fmax(fabs(base), fabs(now)), info->slack / share());
}

enum mhc_difference mhc_value_difference(double base, double now, enum mhc_metric metric) {
    bool known = metric != MHC_METRICS
    , resolvable = known && mhc_metric_info[metric].may_be_unresolved;
    if (!memcmp(&base, &now, sizeof base) || (isnan(base) && isnan(now)) || (isinf(base) && base == now))
        return MHC_EQUAL;
    if (isnan(base) != isnan(now) && resolvable && !isinf(base) && !isinf(now))
        return MHC_UNRESOLVED;
    if (!isfinite(base) || !isfinite(now))
        return MHC_NON_FINITE;
    return within(base, now, metric) ? MHC_CLOSE : MHC_APART;
}

/* --- statements --- */

double mhc_errors_apart(const struct mhc_mean *base, const struct mhc_mean *now) {
    double off = fabs(mhc_mean_of(now) - mhc_mean_of(base)), error = hypot(mhc_mean_error(base), mhc_mean_error(now));
    return off == 0 && !isnan(error) ? 0 : off / error;
}

struct mhc_range mhc_range_of(double *values, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        values[k] = isnan(values[k]) ? INFINITY : values[k];
    return (struct mhc_range){mhc_quantile(values, count, 0), mhc_quantile(values, count, 0.5),
                              mhc_quantile(values, count, 1)};
}

static bool inside(double x, struct mhc_range r) {
    return x >= r.least - MHC_GAIN_TOLERANCE && x <= r.most + MHC_GAIN_TOLERANCE;
}

bool mhc_ranges_agree(struct mhc_range base, struct mhc_range now) {
    return inside(now.median, base) && inside(base.median, now);
}
