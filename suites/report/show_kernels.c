/* The table of study `kernels`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/show_account.h"
#include "suites/report/shows.h"
#include "suites/report/table2.h"
#include "suites/study/kernels_study.h"
#include "suites/timing/timing.h"

enum { CONSTANTS = 600, MANY = 10 }; /* MANY: percent of the samples from which on a flag is shown */

/* A case that was timed. */
struct line {
    int64_t index;
    struct params p;
    bool warm, wide, gaps, model, here, printed; /* here: in the table at hand */
};

/* The options that a table does not have as columns: those that matter always, others where they are not the
 * default. */
static void constants_of(const struct params *p, char text[CONSTANTS]) {
    static const char *const column[] = {"operation", "streams", "width", "tokens", "rounds", "budget", "seed", NULL};
    static const char *const always[] = {"study", "t-max", "backend", "type", "cache", NULL};
    groups_case_constants(p, column, always, text, CONSTANTS);
}

/* A case that was timed; false: it was not. */
static bool read_line(struct record_reader *r, int64_t index, struct line *line) {
    struct record_timing samples;
    const char *const *study = record_texts(r, "study");
    if (!study || strcmp(study[index], "kernels") || strcmp(record_texts(r, "status")[index], "done") ||
        !record_rounds(r, index) || !record_timing(r, index, &samples))
        return false;
    *line = (struct line){.index = index,
                          .model = samples_are_model(&samples),
                          .wide = strcmp(samples.stop, timing_stop_name[TIMING_PRECISE]) != 0};
    groups_params(r, index, &line->p);
    line->gaps =
        100 * timing_flagged(samples.flags + KERNEL_OPERATION * samples.rounds, samples.rounds, TIMING_NOT_HELD) > MANY;
    for (int s = 0; s < record_subject_count(r) && s < KERNEL_SUBJECTS; s++)
        line->warm |= samples.sets[s] == 1 && line->p.cache == CACHE_COLD;
    return true;
}

static void add_row(struct record_reader *r, const struct line *line, struct tables *t) {
    char flags[8] = "";
    int64_t at = line->index;
    const double *share = record_accuracy(r, "error_over_tolerance");
    double median = timing(r, "median", at), low = timing(r, "low", at), high = timing(r, "high", at);
    snprintf(flags, sizeof flags, "%s%s%s%s%s", 100 * timing(r, "preempted", at) > MANY ? "p" : "",
             100 * timing(r, "throttled", at) > MANY ? "t" : "", line->gaps ? "g" : "", line->warm ? "w" : "",
             line->wide ? "c" : "");
    if (line->model)
        snprintf(flags, sizeof flags, "MODEL");
    table_row(t, in_words(line->p.operation), in_wholes(line->p.tokens), in_wholes(line->p.width),
              in_wholes(line->p.streams), in_interval(NULL, median, low, high), in_reals(timing_half(r, at)),
              in_reals(timing(r, "bandwidth", at)), in_reals(timing(r, "copy_share", at)),
              in_reals(timing(r, "flop_rate", at)), in_reals(timing(r, "gemm_share", at)),
              in_reals(share ? share[at] : NAN), in_words(*flags ? flags : "-"));
}

/* The lines that have the constants of the first, which then count as printed. */
static void add_table(struct record_reader *r, struct line *lines, int64_t count, struct tables *t) {
    char constants[CONSTANTS], other[CONSTANTS];
    double fastest = INFINITY;
    constants_of(&lines->p, constants);
    for (int64_t k = 0; k < count; k++) {
        constants_of(&lines[k].p, other);
        lines[k].here = !lines[k].printed && !strcmp(constants, other);
        if (lines[k].here)
            fastest = fmin(fastest, timing(r, "median", lines[k].index));
    }
    const struct column columns[] = {
        {"operation", "operation", .width = -9},
        {"tokens", "T", .width = 5},
        {"width", "C", .width = 5},
        {"streams", "n", .width = 2},
        /* one unit, which leaves the fastest its digits */
        {"seconds",
         fastest < 1e-4  ? "time/us"
         : fastest < 0.1 ? "time/ms"
                         : "time/s",
         8, .digits = 4,
         .scale = fastest < 1e-4  ? 1e6
                  : fastest < 0.1 ? 1e3
                                  : 1,
         COLUMN_INTERVAL},
        {NULL, "+-", .width = 6, COLUMN_PERCENT},
        {"bytes_per_second", "GB/s", .width = 6, .digits = 3, .scale = 1e-9},
        {"copy_share", "copy", .width = 7, COLUMN_PERCENT},
        {"flops_per_second", "GFLOP/s", .width = 7, .digits = 3, .scale = 1e-9},
        {"gemm_share", "gemm", .width = 7, COLUMN_PERCENT},
        {"error_over_tolerance", "err/tol", .width = 7, .digits = 2},
        {"flags", "flags", .width = -1},
    };
    tables_say(t, "\n%s\n\n", constants);
    table_begin(t, constants, columns);
    for (int64_t k = 0; k < count; k++)
        if (lines[k].here) {
            add_row(r, &lines[k], t);
            lines[k].printed = true;
        }
    table_end(t);
}

void show_kernels(struct record_reader *r, struct tables *t, unsigned how) {
    (void)how;
    struct line *lines = record_subject_count(r) ? malloc((size_t)(record_count(r) + 1) * sizeof *lines) : NULL;
    int64_t count = 0;
    bool model = false;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        count += read_line(r, index, &lines[count]);
    for (int64_t k = 0; k < count; k++)
        model |= lines[k].model;
    if (model)
        tables_say(t, "\n%s", SHOW_MODEL);
    if (count > 0)
        tables_say(
            t,
            "\nTime: median of one call and half its 95 %% interval. copy, gemm: share of the rate that a copy of as "
            "many bytes and a GEMM have in the same rounds, or by the same model; -: none; a GEMM is there from %d "
            "operations per byte on. err/tol: worst difference to cpu64 over what is allowed. GB = 1e9 bytes.\n"
            "flags: p preempted, t throttled, g the device ran ahead of the launches, so that gaps count, each in more "
            "than %d %% of the samples; w not cold, because there was no room to rotate; c stopped by a cap before the "
            "ratio was known to 1 %%; MODEL computed; -: none.\n",
            KERNEL_GEMM_INTENSITY, MANY);
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            add_table(r, lines + k, count - k, t);
    free(lines);
    show_table2(r, t);
}
