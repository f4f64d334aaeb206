#include "suites/report/show_account.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"

double overhead_value(struct record_reader *r, int scalar, int64_t index) {
    const double *values = record_timing_value(r, overhead_timing_info()[scalar].name);
    return values ? values[index] : NAN;
}

static double of_part(struct record_reader *r, int64_t index, int subject, enum overhead_part_value what) {
    return overhead_value(r, overhead_of_part(subject, what), index);
}

const char *overhead_percent(double share, char text[24]) {
    if (!isfinite(share))
        return "-";
    snprintf(text, 24, "%.1f %%", 100 * share);
    return text;
}

const char *overhead_number(double x, char text[24]) {
    if (!isfinite(x))
        return "-";
    snprintf(text, 24, x >= 1e6 ? "%.3g" : x >= 99.95 ? "%.0f" : x >= 9.995 ? "%.1f" : x >= 1 ? "%.2f" : "%.3g", x);
    return text;
}

void overhead_sample_flags(const struct record_timing *t, int subject, char flags[SAMPLE_FLAGS]) {
    int64_t samples = 0, preempted = 0, throttled = 0, gaps = 0;
    for (int64_t k = subject * t->rounds; subject >= 0 && k < (subject + 1) * t->rounds && t->batch[subject]; k++) {
        samples += !isnan(t->seconds[k]);
        preempted += t->flags[k] & 1;
        throttled += t->flags[k] >> 1 & 1;
        gaps += t->flags[k] >> 2 & 1;
    }
    snprintf(flags, SAMPLE_FLAGS, "%s%s%s", 100 * preempted > FLAGGED_PERCENT * samples ? "p" : "",
             100 * throttled > FLAGGED_PERCENT * samples ? "t" : "", 100 * gaps > FLAGGED_PERCENT * samples ? "g" : "");
}

/* The median of a subject's samples, in seconds; NaN: it was not timed. */
static double median(const struct record_timing *t, int subject) {
    double *samples = malloc((size_t)(t->rounds + 1) * sizeof *samples), result = NAN;
    int64_t count = 0;
    for (int64_t k = 0; samples && k < t->rounds && t->batch[subject]; k++)
        if (!isnan(t->seconds[subject * t->rounds + k]))
            samples[count++] = t->seconds[subject * t->rounds + k];
    if (count)
        result = mhc_median_interval(samples, count).median;
    free(samples);
    return result;
}

struct attainable overhead_attainable(struct record_reader *r, const struct record_timing *t, int64_t index) {
    return (struct attainable){
        overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_COPY_BYTES, index) / median(t, OVERHEAD_COPY),
        overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_GEMM_FLOPS, index) / median(t, OVERHEAD_GEMM),
        overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_CACHE, index)};
}

static bool is_product(int subject) {
    return subject < OVERHEAD_SHARED + STEP_ACTIVATION_FORWARD;
}

double overhead_part_rate(struct record_reader *r, int64_t index, int subject, double step, struct attainable a) {
    double seconds = step * of_part(r, index, subject, OVERHEAD_PART_SHARE);
    return is_product(subject) ? of_part(r, index, subject, OVERHEAD_PART_FLOPS) / seconds / a.gemm
                               : of_part(r, index, subject, OVERHEAD_PART_BYTES) / seconds / a.copy;
}

void show_account_legend(void) {
    printf(
        "\nAccounts: every part of a step timed by itself; of step: its share of a whole step of the same rounds; ms: that share of the\n"
        "step's median above. ms, MB (1e6 bytes) and operations are of all its calls in one step; MB, GB/s: bytes that it must move by its\n"
        "own model. copy, gemm: its rate as a share of what a copy or GEMM, out of the cache, reached in the rounds of the steps. Parts run\n"
        "on the arrays of a step, over as many sets of them as the steps rotate over: w marks a part whose arrays together fit into the\n"
        "cache, which may so be faster than a copy, s one that reaches less than %.0f %%; p, t, g as above. One by one: the sum of all parts,\n"
        "not 100 %% where calls of one kind in a row find other things in the cache than the step does, or the machine was busy.\n",
        100 * OVERHEAD_SLOW);
}

/* One part: its share of the step it belongs to, and its rates beside the attainable ones. Returns its time. */
static double print_part(struct record_reader *r, int64_t index, const struct record_timing *t, int subject,
                         double step, struct attainable a) {
    const char *name = overhead_subjects()[subject]; /* other versions may have other parts, at other places */
    char cell[7][24], flags[SAMPLE_FLAGS];
    double share = of_part(r, index, subject, OVERHEAD_PART_SHARE), seconds = step * share,
           bytes = of_part(r, index, subject, OVERHEAD_PART_BYTES),
           flops = of_part(r, index, subject, OVERHEAD_PART_FLOPS),
           rate = overhead_part_rate(r, index, subject, step, a);
    bool product = is_product(subject), warm = of_part(r, index, subject, OVERHEAD_PART_FOOTPRINT) < a.cache;
    if (isnan(seconds))
        return 0;
    overhead_sample_flags(t, record_subject_called(r, name), flags);
    printf("  %-28s  %6.0f  %9s  %7s  %9s  %9s  %7s  %9s  %7s  %s%s%s\n", name,
           of_part(r, index, subject, OVERHEAD_PART_CALLS), overhead_number(1e3 * seconds, cell[0]),
           overhead_percent(share, cell[1]), overhead_number(bytes * 1e-6, cell[2]),
           overhead_number(bytes / seconds * 1e-9, cell[3]), product ? "-" : overhead_percent(rate, cell[4]),
           overhead_number(flops / seconds * 1e-9, cell[5]), product ? overhead_percent(rate, cell[6]) : "-", flags,
           warm ? "w" : "", rate < OVERHEAD_SLOW ? "s" : "");
    return seconds;
}

static void print_variant(struct record_reader *r, int64_t index, const struct record_timing *t, int v, double shared,
                          struct attainable a) {
    char cell[4][24];
    double step = overhead_variant_value(r, index, v, OVERHEAD_MEDIAN), own = 0;
    printf(
        "\n%s: %s ms a step, %.0f operations, %s MB by their models, %s B a token kept for backward, %s MB of workspace\n",
        step_variant_name[v], overhead_number(1e3 * step, cell[0]), overhead_variant_value(r, index, v, OVERHEAD_CALLS),
        overhead_number(overhead_variant_value(r, index, v, OVERHEAD_BYTES) * 1e-6, cell[1]),
        overhead_number(overhead_variant_value(r, index, v, OVERHEAD_ACTIVATION), cell[2]),
        overhead_number(overhead_variant_value(r, index, v, OVERHEAD_WORKSPACE) * 1e-6, cell[3]));
    for (int part = STEP_SHARED_PARTS; part < STEP_PARTS; part++)
        own += print_part(r, index, t, overhead_subject((enum step_variant)v, (enum step_part)part), step, a);
    if (own > 0)
        printf("  %-28s  %6s  %9s  %7s\n", "with F's, one by one", "", overhead_number(1e3 * (shared + own), cell[0]),
               overhead_percent((shared + own) / step, cell[1]));
}

void show_account(struct record_reader *r, int64_t index) {
    struct record_timing t;
    char cell[4][24];
    const char *note = record_texts(r, "reason")[index];
    double shared = 0, step = overhead_variant_value(r, index, STEP_RESIDUAL, OVERHEAD_MEDIAN),
           every = overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_RECOMPUTE, index);
    if (!record_timing(r, index, &t))
        return;
    struct attainable a = overhead_attainable(r, &t, index);
    printf("\nAccount of %s\n", record_texts(r, "key")[index]);
    if (*note)
        printf("%s\n", note);
    if (record_unfinished(r, index))
        return;
    printf("copy %s GB/s, GEMM %s GFLOP/s, cache %s MB, %s parameters in F's products, ",
           overhead_number(a.copy * 1e-9, cell[0]), overhead_number(a.gemm * 1e-9, cell[1]),
           overhead_number(a.cache * 1e-6, cell[2]),
           overhead_number(overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_PARAMETERS, index), cell[3]));
    printf(every > 0 ? "x kept every %.0f layers\n\n" : "nothing computed again\n\n", every);
    printf("  %-28s  %6s  %9s  %7s  %9s  %9s  %7s  %9s  %7s  flags\nF, the same in every variant\n", "operation",
           "calls", "ms", "of step", "MB", "GB/s", "copy", "GFLOP/s", "gemm");
    for (int part = 0; part < STEP_SHARED_PARTS; part++)
        shared += print_part(r, index, &t, overhead_subject(STEP_RESIDUAL, (enum step_part)part), step, a);
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (!isnan(overhead_variant_value(r, index, v, OVERHEAD_RATIO)))
            print_variant(r, index, &t, v, shared, a);
}
