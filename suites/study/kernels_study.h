/* Study `kernels`: one operation of one backend at one shape, right first, then timed against a copy of as many bytes
 * and, where it computes much, a GEMM, round by round. */
#ifndef KERNELS_STUDY_H
#define KERNELS_STUDY_H

#include "results/record.h"
#include "suites/study/study.h"
#include "suites/timing/samples.h"

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

/* What a case of a study that times leaves beside its reason. */
struct kernel_result {
    struct samples samples;                              /* of TIMED_SUBJECTS; rounds 0: not timed */
    int64_t batch[TIMED_SUBJECTS], sets[TIMED_SUBJECTS]; /* 0: not in the group */
    char stop[16];
    double timing[TIMED_VALUES], error[KERNEL_ERRORS];
};

void kernels_run(const struct params *, struct study_result *);
bool kernels_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
/* Operations of the case by the reference, roughly; the rounds come on top. */
double kernels_flops(const struct params *);

/* A result that says nothing yet; NULL: out of memory. */
struct kernel_result *kernel_result_new(void);
/* Takes over the samples of a group whose members are `subject[]` among all subjects, with `sets` of each; the others are NaN. false: out
 * of memory. */
bool kernel_result_keep(struct kernel_result *, const struct timing *, const int *subject, const int64_t *sets);
/* Median and interval of subject's time, and of its ratio to baseline's. false: out of memory. */
bool kernel_result_summarise(struct kernel_result *, int subject, int baseline);
void kernel_result_release(struct kernel_result *);
void kernel_result_put(struct message *, const struct kernel_result *);
struct kernel_result *kernel_result_take(struct message *); /* NULL: out of memory */

#endif
