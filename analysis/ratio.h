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

/* Medians of MHC_RESAMPLES resamples of `count` >= 1 values, drawn by Philox with a fixed seed: the same values and the
 * same `what` always give the same medians. `work` has room for `count` doubles. */
void mhc_resampled_medians(const double *values, int64_t count, uint32_t what, double *work, double *medians);

/* The same, the interval by bootstrap: quantiles 2.5 % and 97.5 % of such medians of the log ratios. `work` has room for
 * 2 * `count` + MHC_RESAMPLES doubles. */
struct mhc_interval mhc_ratio_bootstrap(const double *subject, const double *baseline, int64_t count, double *work);

#endif
