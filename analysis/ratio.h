/* What a set of time samples says: medians with an interval, ratios of samples taken side by side. Pure functions; they
 * know nothing of clocks. */
#ifndef RATIO_H
#define RATIO_H

#include <stdint.h>

/* A median and its 95 % interval. */
struct mhc_interval {
    double median, low, high;
};

/* Rank k (from 1) such that the k-th smallest and the k-th largest of `count` independent samples enclose the median of
 * their distribution, whatever it is, with a probability of at least 95 %: the largest k with P(Binomial(count, 1/2) <
 * k) <= 2.5 %. 0 where even the extremes do not (count < 6). */
int64_t mhc_median_rank(int64_t count);

/* Median of `count` >= 1 values and its interval by that rank, [-Inf, Inf] below 6 values; reorders them. With a NaN
 * among them: NaN. */
struct mhc_interval mhc_median_interval(double *values, int64_t count);

/* ln(subject[k] / baseline[k]): samples of the same round, so that what slowed down both cancels. */
void mhc_log_ratios(const double *subject, const double *baseline, int64_t count, double *out);

/* Median of subject/baseline over paired samples, with its interval by order statistics: cheap enough to ask after
 * every round. `work` has room for `count` doubles. */
struct mhc_interval mhc_ratio_interval(const double *subject, const double *baseline, int64_t count, double *work);

enum { MHC_RESAMPLES = 2000 };

/* Samples of two subjects, round by round, and whose turn came first in each; places NULL: not known. */
struct mhc_pairs {
    const double *subject, *baseline;
    const int8_t *subject_place, *baseline_place;
    int64_t count; /* >= 1 */
};

/* ln of the ratio, as a median, and MHC_RESAMPLES such medians of resamples, drawn by Philox with a fixed seed. The
 * subject that runs second finds other caches. So ratios of rounds of either order lie around two values, and the
 * median of all goes by how often chance chose each order. Therefore: the mean of the medians of both orders, resampled
 * within each. All rounds together, where one order has fewer than six. `work` has room for 2 * `count` +
 * MHC_RESAMPLES doubles. */
double mhc_ratio_medians(const struct mhc_pairs *, double *work, double *medians);

/* The ratio by mhc_ratio_medians, its interval from quantiles 2.5 % and 97.5 % of the resamples; of fewer than six
 * rounds [0, Inf]. `work` has room for 2 * `count` + 2 * MHC_RESAMPLES doubles. */
struct mhc_interval mhc_ratio_bootstrap(const struct mhc_pairs *, double *work);

#endif
