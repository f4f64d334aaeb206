#include "suites/report/show_account.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/timing/timing.h"

double overhead_value(struct record_reader *r, int scalar, int64_t index) {
    const double *values = record_timing_value(r, overhead_timing_info()[scalar].name);
    return values ? values[index] : NAN;
}

static double of_part(struct record_reader *r, int64_t index, int subject, enum overhead_part_value what) {
    return overhead_value(r, overhead_of_part(subject, what), index);
}

bool samples_are_model(const struct record_timing *t) {
    return t->stop && !strcmp(t->stop, timing_stop_name[TIMING_MODEL]);
}

void overhead_sample_flags(const struct record_timing *t, int subject, char flags[SAMPLE_FLAGS]) {
    int64_t samples = 0, preempted = 0, throttled = 0, gaps = 0;
    for (int64_t k = subject * t->rounds; subject >= 0 && k < (subject + 1) * t->rounds && t->batch[subject]; k++) {
        samples += !isnan(t->seconds[k]);
        preempted += t->flags[k] & 1;
        throttled += t->flags[k] >> 1 & 1;
        gaps += t->flags[k] >> 2 & 1;
    }
    if (samples_are_model(t)) {
        snprintf(flags, SAMPLE_FLAGS, "MODEL");
        return;
    }
    snprintf(flags, SAMPLE_FLAGS, "%s%s%s", 100 * preempted > FLAGGED_PERCENT * samples ? "p" : "",
             100 * throttled > FLAGGED_PERCENT * samples ? "t" : "", 100 * gaps > FLAGGED_PERCENT * samples ? "g" : "");
}

/* The median of a subject's samples, in seconds; NaN: it was not timed. */
static double median(const struct record_timing *t, int subject) {
    double *samples = malloc((size_t)(t->rounds + 1) * sizeof *samples), result = NAN;
    int64_t count = 0;
    for (int64_t k = 0; samples && subject >= 0 && k < t->rounds && t->batch[subject]; k++)
        if (!isnan(t->seconds[subject * t->rounds + k]))
            samples[count++] = t->seconds[subject * t->rounds + k];
    if (count)
        result = mhc_median_interval(samples, count).median;
    free(samples);
    return result;
}

struct attainable overhead_attainable(struct record_reader *r, const struct record_timing *t, int64_t index) {
    return (struct attainable){overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_COPY_BYTES, index) /
                                   median(t, record_subject_called(r, kernel_subject_name[OVERHEAD_COPY])),
                               overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_GEMM_FLOPS, index) /
                                   median(t, record_subject_called(r, kernel_subject_name[OVERHEAD_GEMM])),
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

void show_account_legend(struct tables *t) {
    tables_say(
        t,
        "\nAccounts: every part of a step timed by itself. share: of a whole step of the same rounds. ms: that share "
        "of the step's median above. ms, MB (1e6 bytes) and operations count all its calls in one step. MB, GB/s: "
        "bytes that it must move by its own model. reached: its rate as a share of what a copy or GEMM, out of the "
        "cache, reached in the rounds of the steps. Parts run on the arrays of a step, over as many sets of them as "
        "the steps rotate over.\n"
        "flags: w a part whose arrays together fit into the cache, so that it may be faster than a copy; s one that "
        "reaches less than %.0f %%; p, t, g, MODEL as above. one by one: the sum of all parts. It is not 100 %% where "
        "calls of one kind in a row find other things in the cache than the step does, or where the machine was "
        "busy.\n",
        100 * OVERHEAD_SLOW);
}

/* One part: its share of the step it belongs to, and its rates beside the attainable ones. Returns its time. */
static double add_part(struct record_reader *r, int64_t index, const struct record_timing *samples, const char *variant,
                       int subject, double step, struct attainable a, struct tables *t) {
    const char *name = overhead_subjects()[subject]; /* other versions may have other parts, at other places */
    char flags[SAMPLE_FLAGS + 2], reached[32];
    double share = of_part(r, index, subject, OVERHEAD_PART_SHARE), seconds = step * share,
           bytes = of_part(r, index, subject, OVERHEAD_PART_BYTES),
           flops = of_part(r, index, subject, OVERHEAD_PART_FLOPS),
           rate = overhead_part_rate(r, index, subject, step, a);
    bool product = is_product(subject), warm = of_part(r, index, subject, OVERHEAD_PART_FOOTPRINT) < a.cache;
    if (isnan(seconds))
        return 0;
    overhead_sample_flags(samples, record_subject_called(r, name), flags);
    snprintf(reached, sizeof reached, "%.0f %% %s", 100 * rate, product ? "gemm" : "copy");
    if (!samples_are_model(samples))
        strcat(strcat(flags, warm ? "w" : ""), rate < OVERHEAD_SLOW ? "s" : "");
    table_row(t, in_words(""), in_words(variant), in_words(name),
              in_reals(of_part(r, index, subject, OVERHEAD_PART_CALLS)), in_reals(seconds), in_reals(share),
              in_reals(bytes), in_reals(bytes / seconds), in_reals(product ? NAN : rate), in_reals(flops / seconds),
              in_reals(product ? rate : NAN), in_words(reached), in_words(flags));
    return seconds;
}

static void add_variant(struct record_reader *r, int64_t index, const struct record_timing *samples, int v,
                        double shared, struct attainable a, struct tables *t) {
    char cell[4][32];
    double step = overhead_variant_value(r, index, v, OVERHEAD_MEDIAN), own = 0;
    tables_say(t, "\n%s: %s ms per step, %.0f operations, %s MB by model, %s B kept per token, %s MB of workspace\n",
               step_name(v), table_digits(1e3 * step, 3, cell[0]), overhead_variant_value(r, index, v, OVERHEAD_CALLS),
               table_digits(overhead_variant_value(r, index, v, OVERHEAD_BYTES) * 1e-6, 3, cell[1]),
               table_digits(overhead_variant_value(r, index, v, OVERHEAD_ACTIVATION), 3, cell[2]),
               table_digits(overhead_variant_value(r, index, v, OVERHEAD_WORKSPACE) * 1e-6, 3, cell[3]));
    for (int part = STEP_SHARED_PARTS; part < STEP_PARTS; part++)
        own += add_part(r, index, samples, step_name(v), overhead_subject((enum step_variant)v, (enum step_part)part),
                        step, a, t);
    if (own > 0)
        table_row(t, in_words(""), in_words(step_name(v)), in_words("with F's, one by one"), in_words(""),
                  in_reals(shared + own), in_reals((shared + own) / step));
}

void show_account(struct record_reader *r, int64_t index, struct tables *t) {
    static const struct column columns[] = {
        {NULL, "", .width = 0}, /* rows stand in from what is said of a variant */
        {"connection", .width = 0},
        {"operation", "operation", .width = -27, .stays = true},
        {"calls", "calls", .width = 5, .format = "%.0f"},
        {"seconds", "ms", .width = 6, .digits = 3, .scale = 1e3},
        {"step_share", "share", .width = 6, COLUMN_PERCENT},
        {"bytes", "MB", .width = 6, .digits = 2, .scale = 1e-6},
        {"bytes_per_second", "GB/s", .width = 6, .digits = 2, .scale = 1e-9},
        {"copy_share", .width = 0},
        {"flops_per_second", "GFLOP/s", .width = 7, .digits = 3, .scale = 1e-9},
        {"gemm_share", .width = 0},
        {NULL, "reached", .width = 10},
        {"flags", "flags", .width = -1},
    };
    struct record_timing samples;
    char cell[4][32], title[2200], again[60];
    const char *key = record_texts(r, "key")[index], *note = record_texts(r, "reason")[index];
    double shared = 0, step = overhead_variant_value(r, index, STEP_RESIDUAL, OVERHEAD_MEDIAN),
           every = overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_RECOMPUTE, index);
    if (!record_timing(r, index, &samples))
        return;
    struct attainable a = overhead_attainable(r, &samples, index);
    tables_say(t, "\nAccount of %s\n%s%s", key, note, *note ? "\n" : "");
    if (record_unfinished(r, index))
        return;
    snprintf(title, sizeof title, "account of %s", key);
    snprintf(again, sizeof again, every > 0 ? "x kept every %.0f layers" : "nothing computed again", every);
    tables_say(t, "copy %s GB/s, GEMM %s GFLOP/s, cache %s MB, %s parameters in F's products, %s\n\n",
               table_digits(a.copy * 1e-9, 3, cell[0]), table_digits(a.gemm * 1e-9, 3, cell[1]),
               table_digits(a.cache * 1e-6, 3, cell[2]),
               table_digits(overhead_value(r, OVERHEAD_STEP_AT + OVERHEAD_PARAMETERS, index), 3, cell[3]), again);
    table_begin(t, title, columns);
    tables_say(t, "F, the same in every variant\n");
    for (int part = 0; part < STEP_SHARED_PARTS; part++)
        shared += add_part(r, index, &samples, "", overhead_subject(STEP_RESIDUAL, (enum step_part)part), step, a, t);
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (!isnan(overhead_variant_value(r, index, v, OVERHEAD_RATIO)))
            add_variant(r, index, &samples, v, shared, a, t);
    table_end(t);
}
