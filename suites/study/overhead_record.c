#include "suites/study/overhead_record.h"

#include <stdio.h>

const char *const *overhead_subjects(void) {
    static const char *name[OVERHEAD_SUBJECTS];
    static char own[STEP_VARIANTS * OVERHEAD_OWN_PARTS][40];
    for (int k = 0; k < TIMED_SUBJECTS; k++)
        name[k] = kernel_subject_name[k];
    for (int v = 0; v < STEP_VARIANTS; v++)
        name[OVERHEAD_VARIANT + v] = step_name(v);
    for (int part = 0; part < STEP_SHARED_PARTS; part++)
        name[OVERHEAD_SHARED + part] = step_part_name[part];
    for (int k = 0; k < STEP_VARIANTS * OVERHEAD_OWN_PARTS; k++) {
        snprintf(own[k], sizeof own[k], "%s.%s", step_name(k / OVERHEAD_OWN_PARTS),
                 step_part_name[STEP_SHARED_PARTS + k % OVERHEAD_OWN_PARTS]);
        name[OVERHEAD_OWN + k] = own[k];
    }
    return name;
}

static const struct record_curve of_variant[OVERHEAD_VALUES] = {
    [OVERHEAD_RATIO] =
        {"overhead", "1",
         "t(variant) / t(residual) - 1, by the ratio of the same round: mean of its medians (of logs) over either "
         "order of the two"},
    [OVERHEAD_LOW] = {"overhead_low", "1", "lower end of its 95 % interval, by bootstrap"},
    [OVERHEAD_HIGH] = {"overhead_high", "1", "upper end of that interval"},
    [OVERHEAD_MEDIAN] = {"median", "s", "median time of a step"},
    [OVERHEAD_CALLS] = {"calls", "1", "operations of a step"},
    [OVERHEAD_BYTES] = {"bytes", "byte", "bytes that a step must move once, by the operations' own models"},
    [OVERHEAD_FLOPS] = {"flops", "1", "floating-point operations of a step, by the operations' own models"},
    [OVERHEAD_ACTIVATION] = {"activation", "byte", "bytes per token kept from forward to backward"},
    [OVERHEAD_WORKSPACE] = {"workspace", "byte",
                            "bytes of all arrays that are neither kept nor inputs, parameters or their gradients"},
};
static const struct record_curve of_part[OVERHEAD_PART_VALUES] = {
    [OVERHEAD_PART_SHARE] = {"share", "1",
                             "of the time of the step it belongs to, median ratio to a step of the same round"},
    [OVERHEAD_PART_CALLS] = {"calls", "1", "operations of this part in a step"},
    [OVERHEAD_PART_BYTES] = {"bytes", "byte", "bytes that they must move once, by their own models"},
    [OVERHEAD_PART_FLOPS] = {"flops", "1", "their floating-point operations, by their own models"},
    [OVERHEAD_PART_FOOTPRINT] = {"footprint", "byte", "bytes of all arrays that its calls rotate over"},
};
static const struct record_curve of_step[OVERHEAD_STEP_VALUES] = {
    [OVERHEAD_RECOMPUTE] = {"recompute", "1", "L_r as it was: 0 where everything was kept"},
    [OVERHEAD_PARAMETERS] = {"parameters", "1", "parameters of F's products in all layers"},
    [OVERHEAD_COPY_BYTES] = {"copy_bytes", "byte", "bytes that the subject copy reads and writes"},
    [OVERHEAD_GEMM_FLOPS] = {"gemm_flops", "1", "floating-point operations of the subject gemm"},
    [OVERHEAD_CACHE] = {"cache_bytes", "byte", "a footprint below this may stay in the last-level cache"},
};

const struct record_curve *overhead_timing_info(void) {
    static struct record_curve info[OVERHEAD_TIMINGS];
    static char name[OVERHEAD_STEP_AT][64];
    const char *const *subject = overhead_subjects();
    for (int k = 0; k < OVERHEAD_STEP_AT; k++) {
        bool part = k >= OVERHEAD_PARTS_AT;
        int at = part ? k - OVERHEAD_PARTS_AT : k, values = part ? OVERHEAD_PART_VALUES : OVERHEAD_VALUES;
        info[k] = part ? of_part[at % values] : of_variant[at % values];
        snprintf(name[k], sizeof name[k], "%s_%s", subject[(part ? OVERHEAD_SHARED : OVERHEAD_VARIANT) + at / values],
                 info[k].name);
        info[k].name = name[k];
    }
    for (int k = 0; k < OVERHEAD_STEP_VALUES; k++)
        info[OVERHEAD_STEP_AT + k] = of_step[k];
    return info;
}

const struct record_curve *overhead_error_info(void) {
    static struct record_curve info[STEP_VARIANTS];
    static char name[STEP_VARIANTS][48];
    for (int v = 0; v < STEP_VARIANTS; v++) {
        snprintf(name[v], sizeof name[v], "%s_error_over_tolerance", step_name(v));
        info[v] = (struct record_curve){
            name[v], "1",
            "of the worst operation of a step on a few tokens, against cpu64 on the same inputs; above 1 the case has "
            "failed"};
    }
    return info;
}

const struct timed_schema *overhead_times(void) {
    static struct timed_schema schema;
    schema = (struct timed_schema){.subjects = overhead_subjects(),
                                   .subject_count = OVERHEAD_SUBJECTS,
                                   .timings = overhead_timing_info(),
                                   .timing_count = OVERHEAD_TIMINGS,
                                   .errors = overhead_error_info(),
                                   .error_count = STEP_VARIANTS};
    return &schema;
}
