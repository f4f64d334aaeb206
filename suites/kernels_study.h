/* Study `kernels`: one operation of one backend at one shape, right first, then timed against a copy of as many bytes
 * and, where it computes much, a GEMM, round by round. */
#ifndef KERNELS_STUDY_H
#define KERNELS_STUDY_H

#include "results/record.h"
#include "suites/study.h"

enum kernel_subject { KERNEL_COPY, KERNEL_OPERATION, KERNEL_GEMM, KERNEL_SUBJECTS };
extern const char *const kernel_subject_name[KERNEL_SUBJECTS];

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
enum kernel_error { KERNEL_ERROR, KERNEL_TOLERANCE, KERNEL_ERROR_SHARE, KERNEL_ERRORS };
extern const struct record_curve kernel_timing_info[KERNEL_TIMINGS], kernel_error_info[KERNEL_ERRORS];

/* What a case leaves beside its reason. Arrays are [KERNEL_SUBJECTS][rounds]. */
struct kernel_result {
    int64_t rounds; /* 0: not timed, no arrays */
    double *seconds, *clock;
    int8_t *order, *flags;
    int64_t batch[KERNEL_SUBJECTS], sets[KERNEL_SUBJECTS]; /* 0: not in the group */
    char stop[16];
    double timing[KERNEL_TIMINGS], error[KERNEL_ERRORS];
};

void kernels_run(const struct params *, struct study_result *);
bool kernels_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
/* Operations of the case by the reference, roughly; the rounds come on top. */
double kernels_flops(const struct params *);

void kernel_result_release(struct kernel_result *);
void kernel_result_put(struct message *, const struct kernel_result *);
struct kernel_result *kernel_result_take(struct message *); /* NULL: out of memory */

#endif
