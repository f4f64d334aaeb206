/* Study `kernels`: one operation of one backend at one shape, right first, then timed against a copy of as many bytes
 * and, where it computes much, a GEMM, round by round. */
#ifndef KERNELS_STUDY_H
#define KERNELS_STUDY_H

#include "suites/study/study.h"

enum kernel_subject { KERNEL_COPY, KERNEL_OPERATION, KERNEL_GEMM, KERNEL_SUBJECTS };
/* Those of study recompute (recompute.h) come behind them, in a record that has such cases. */
enum recompute_subject { RECOMPUTE_RULE = KERNEL_SUBJECTS, RECOMPUTE_STEP, TIMED_SUBJECTS };
extern const char *const kernel_subject_name[TIMED_SUBJECTS];

/* From this many operations a byte on, a GEMM says more about what is attainable than a copy. */
enum { KERNEL_GEMM_INTENSITY = 8 };

/* Scalars of a case under /timing and /accuracy. */
enum kernel_timing {
    KERNEL_MEDIAN,
    KERNEL_LOW,
    KERNEL_HIGH,
    KERNEL_RATIO,
    KERNEL_RATIO_LOW,
    KERNEL_RATIO_HIGH,
    KERNEL_BYTES,
    KERNEL_FLOPS,
    KERNEL_BANDWIDTH,
    KERNEL_FLOP_RATE,
    KERNEL_COPY_SHARE,
    KERNEL_GEMM_SHARE,
    KERNEL_PREEMPTED,
    KERNEL_THROTTLED,
    KERNEL_TIMINGS
};
enum recompute_value {
    RECOMPUTE_EVERY = KERNEL_TIMINGS,
    RECOMPUTE_PREDICTED,
    RECOMPUTE_PEAK,
    RECOMPUTE_PAPER,
    TIMED_VALUES
};
enum kernel_error { KERNEL_ERROR, KERNEL_TOLERANCE, KERNEL_ERROR_SHARE, KERNEL_ERRORS };
extern const struct record_curve kernel_timing_info[TIMED_VALUES], kernel_error_info[KERNEL_ERRORS];

/* Operations of the case by the reference, roughly; the rounds come on top. */
double kernels_flops(const struct params *);

/* Median and interval of subject's time, and of its ratio to baseline's. false: out of memory. */
bool kernels_summarise(struct timed_result *, int subject, int baseline);

#endif
