/* What a gate says of a case, and the rules by which it comes to say it. Pure functions: `compare` feeds them with the
 * values of two records, `regress` with two libraries in one process. Everything starts from "not known": SAME needs
 * evidence as much as SLOWER does, and what is not a number never passes. */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>

#include "analysis/mean.h"
#include "analysis/metrics.h"
#include "analysis/ratio.h"

/* From good to bad. NEW: only the new side has it, or only the new side is right. */
enum mhc_verdict { MHC_SAME, MHC_NEW, MHC_FASTER, MHC_AMBIGUOUS, MHC_SLOWER, MHC_MISSING, MHC_INVALID, MHC_VERDICTS };
extern const char *const mhc_verdict_name[MHC_VERDICTS];

/* --- speed --- */

enum { MHC_LEAST_ROUNDS = 20 }; /* with fewer samples nothing is claimed */
#define MHC_MOST_THROTTLED 0.1  /* nor with a larger share of samples at a low clock, or of a queue that was not held */

/* Time new (the subject) / time base of the same rounds, by mhc_ratio_medians, with its 99 % interval; NaN of no
 * rounds. `work` has room for 2 * `count` + 2 * MHC_RESAMPLES doubles. */
struct mhc_interval mhc_paired_change(const struct mhc_pairs *, double *work);

/* SLOWER: the whole interval lies above 1 + threshold; FASTER: below 1 / (1 + threshold); SAME: within; else, and
 * without an interval, AMBIGUOUS. */
enum mhc_verdict mhc_speed_verdict(struct mhc_interval change, double threshold);

/* Of a verdict a measurement: the first that is found twice, and a first SAME at once; AMBIGUOUS while nothing is
 * settled, `*settled` says which. A difference must be found again before it counts, in either direction. */
enum mhc_verdict mhc_repeated_verdict(const enum mhc_verdict *measured, int count, bool *settled);
enum { MHC_MEASUREMENTS = 3 }; /* at most */

/* --- accuracy --- */

/* An error below this share of the tolerance is rounding, and may change in any way. */
#define MHC_ERROR_FLOOR 0.005
#define MHC_ERROR_FACTOR 2

/* A tolerance beyond this proves nothing. */
#define MHC_MOST_TOLERANCE 0.1

enum mhc_accuracy { MHC_ACCURATE, MHC_LESS_ACCURATE, MHC_WRONG };
/* The tolerance that counts: the smaller of both sides', so that neither side widens it for itself; NaN: not known. */
double mhc_common_tolerance(double base, double now);

/* Errors against the oracle. WRONG: above the tolerance; LESS_ACCURATE: above the floor and twice the base's (base NaN:
 * not known, then the tolerance alone decides). */
enum mhc_accuracy mhc_accuracy_of(double base_error, double now_error, double tolerance);

/* --- memory --- */

#define MHC_MOST_GROWTH 0.01
/* Whether `now` bytes are more than `base` bytes: by more than 1 %, or not known. Memory is planned, not measured in
 * noise. */
bool mhc_more_memory(double base, double now);

/* --- values of curves and summaries --- */

enum mhc_difference {
    MHC_EQUAL, /* in bits */
    MHC_CLOSE,
    MHC_UNRESOLVED, /* one side is a number and the other below rounding: says nothing */
    MHC_APART,
    MHC_NON_FINITE /* NaN, Inf and -Inf are not in the same places */
};
#define MHC_GAIN_TOLERANCE 0.01 /* of log10 */

/* One value of a metric as it is stored: gains as log10, |difference| <= 0.01; others within the same ratio, and a
 * slack where they come close to 0 for their own reasons. `metric` MHC_METRICS: of one that is not known here. */
enum mhc_difference mhc_value_difference(double base, double now, enum mhc_metric metric);

/* How far two finite values of a metric are apart, as a share of the larger; gains, stored as log10, of the gain. Near
 * 0 of the metric's slack, so that MHC_APART is the same share everywhere. */
double mhc_value_change(double base, double now, enum mhc_metric metric);

/* --- statements about trained stacks, over seeds --- */

/* A last bit grows while a stack is trained, so that values of two machines cannot be compared; statements can. */

#define MHC_MOST_ERRORS 3
/* How far two means over seeds are apart, in standard errors of their difference; 0 where they are equal, NaN where
 * one side has fewer than two seeds. */
double mhc_errors_apart(const struct mhc_mean *base, const struct mhc_mean *now);

/* A gain over seeds as log10; Inf of a seed whose loss was no number at the end. */
struct mhc_range {
    double least, median, most;
};
/* Reorders `values`; count >= 1. NaN counts as Inf. */
struct mhc_range mhc_range_of(double *values, int64_t count);
/* Each median lies inside the other's range, but for MHC_GAIN_TOLERANCE. */
bool mhc_ranges_agree(struct mhc_range base, struct mhc_range now);

#endif
