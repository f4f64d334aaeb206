/* A case of study overhead at work, between the files of the study; no other file includes it. */
#ifndef OVERHEAD_BENCH_H
#define OVERHEAD_BENCH_H

#include "suites/rows/bound_row.h"
#include "suites/stack/execute.h"
#include "suites/stack/result.h"
#include "suites/stack/step_check.h"
#include "suites/study/overhead_record.h"
#include "suites/study/study.h"
#include "suites/timing/timing.h"

_Static_assert((int)STEP_VARIANTS + 2 <= (int)TIMING_SUBJECTS, "a group has no room for the steps and yardsticks");

struct overhead_bench {
    const struct params *p;
    const struct backend *backend;
    struct steps all;
    struct bound_row yardstick[2]; /* copy and GEMM; not bound where the backend lacks them */
    struct program_runner runner[STEP_VARIANTS];
    struct program_result before[STEP_VARIANTS];
    void *high;
    bool graphs; /* as they are launched, not as was asked for */
    struct timed_result *out;
    const struct study_context *context;
    const struct study_result *whole; /* `out` is part of */
};

static inline bool overhead_runs(const struct overhead_bench *w, int variant) {
    return !w->all.step[variant].missing[0];
}

/* overhead_time.c: the variants side by side, with the yardsticks; every part beside the whole step, but in overlap,
 * where a part has no time of its own. Samples go to w->out, in room for p->rounds of each subject. NULL, or why it
 * failed. */
const char *overhead_time_steps(struct overhead_bench *);
const char *overhead_time_account(struct overhead_bench *);

/* The scalars of the record, from `rounds` rounds of the steps and what there is of the account. May be called again
 * when there is more of it. false: out of memory. */
bool overhead_summarise(struct overhead_bench *, int64_t rounds);

#endif
