/* Study `overhead` in the record: its subjects and scalars, by number and by name. */
#ifndef OVERHEAD_RECORD_H
#define OVERHEAD_RECORD_H

#include "suites/stack/step.h"
#include "suites/study/kernels_study.h"

/* Subjects of a record: those of studies kernels and recompute, the variants, F's parts, and for every variant its
 * own parts. */
enum {
    OVERHEAD_COPY = KERNEL_COPY,
    OVERHEAD_GEMM = KERNEL_GEMM,
    OVERHEAD_VARIANT = TIMED_SUBJECTS,
    OVERHEAD_SHARED = OVERHEAD_VARIANT + STEP_VARIANTS,
    OVERHEAD_OWN = OVERHEAD_SHARED + STEP_SHARED_PARTS,
    OVERHEAD_OWN_PARTS = STEP_PARTS - STEP_SHARED_PARTS,
    OVERHEAD_SUBJECTS = OVERHEAD_OWN + STEP_VARIANTS * OVERHEAD_OWN_PARTS
};
_Static_assert((int)OVERHEAD_SUBJECTS <= (int)RECORD_MAX_SUBJECTS, "a record has no room for that many");
/* "copy", "operation", "gemm", "rule", "step", "residual", ..., "gemm.forward", ..., "mhc.pre", ... */
const char *const *overhead_subjects(void);

/* The subject that times a part of a variant. F's parts are timed in the step of the residual, the others in that of
 * their variant. */
static inline int overhead_subject(enum step_variant variant, enum step_part part) {
    return (int)part < STEP_SHARED_PARTS
               ? OVERHEAD_SHARED + (int)part
               : OVERHEAD_OWN + (int)variant * OVERHEAD_OWN_PARTS + (int)part - STEP_SHARED_PARTS;
}

/* Scalars of a case under /timing: of every variant, "<variant>_<name>"... */
enum overhead_value {
    OVERHEAD_RATIO, /* t(variant) / t(residual) - 1 */
    OVERHEAD_LOW,
    OVERHEAD_HIGH,
    OVERHEAD_MEDIAN,
    OVERHEAD_CALLS,
    OVERHEAD_BYTES,
    OVERHEAD_FLOPS,
    OVERHEAD_ACTIVATION,
    OVERHEAD_WORKSPACE,
    OVERHEAD_VALUES
};
/* ...of every subject that is a part, "<subject>_share", "_calls", "_bytes", "_flops" and "_footprint"; of the step; of
 * the yardsticks. */
enum overhead_part_value {
    OVERHEAD_PART_SHARE,
    OVERHEAD_PART_CALLS,
    OVERHEAD_PART_BYTES,
    OVERHEAD_PART_FLOPS,
    OVERHEAD_PART_FOOTPRINT,
    OVERHEAD_PART_VALUES
};
enum overhead_step_value {
    OVERHEAD_RECOMPUTE,
    OVERHEAD_PARAMETERS,
    OVERHEAD_COPY_BYTES,
    OVERHEAD_GEMM_FLOPS,
    OVERHEAD_CACHE,
    OVERHEAD_STEP_VALUES
};
enum {
    OVERHEAD_PARTS_AT = STEP_VARIANTS * OVERHEAD_VALUES,
    OVERHEAD_STEP_AT = OVERHEAD_PARTS_AT + (OVERHEAD_SUBJECTS - OVERHEAD_SHARED) * OVERHEAD_PART_VALUES,
    OVERHEAD_TIMINGS = OVERHEAD_STEP_AT + OVERHEAD_STEP_VALUES
};
static inline int overhead_of_variant(enum step_variant v, enum overhead_value value) {
    return (int)v * OVERHEAD_VALUES + (int)value;
}
static inline int overhead_of_part(int subject, enum overhead_part_value value) {
    return OVERHEAD_PARTS_AT + (subject - OVERHEAD_SHARED) * OVERHEAD_PART_VALUES + (int)value;
}
const struct record_curve *overhead_timing_info(void); /* [OVERHEAD_TIMINGS] */

/* Under /accuracy: error over tolerance of every variant. */
const struct record_curve *overhead_error_info(void); /* [STEP_VARIANTS] */

/* How a note begins where steps were to be graphs and are launched row by row: behind it "<variant>: why". */
#define OVERHEAD_NO_GRAPHS "without graphs: "
#define OVERHEAD_NOT_COLD "not cold: all arrays fit into the cache"

/* All of them, which is what a case leaves. */
const struct timed_schema *overhead_times(void);

#endif
