/* The table of study `kernels`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/shows.h"
#include "suites/report/table2.h"
#include "suites/study/kernels_study.h"
#include "suites/timing/timing.h"

enum { CONSTANTS = 600, MANY = 10 }; /* MANY: percent of the samples from which on a flag is shown */

/* A case that was timed. */
struct line {
    int64_t index;
    struct params p;
    bool warm, wide, gaps, here, printed; /* here: in the table at hand */
};

struct unit {
    const char *name;
    double seconds;
};

/* The options that a table does not have as columns: those that matter always, others where they are not the default. */
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
    *line = (struct line){.index = index, .wide = strcmp(samples.stop, "precise") != 0};
    groups_params(r, index, &line->p);
    line->gaps =
        100 * timing_flagged(samples.flags + KERNEL_OPERATION * samples.rounds, samples.rounds, TIMING_NOT_HELD) > MANY;
    for (int s = 0; s < record_subject_count(r) && s < KERNEL_SUBJECTS; s++)
        line->warm |= samples.sets[s] == 1 && line->p.cache == CACHE_COLD;
    return true;
}

/* Four digits without an exponent; "-" for what is not known. */
static const char *number(double x, char text[24]) {
    int digits = x >= 1000 ? 0 : x >= 100 ? 1 : x >= 10 ? 2 : 3;
    if (isnan(x))
        return "-";
    if (x < 1e-3 || x >= 1e9)
        snprintf(text, 24, "%.3g", x);
    else
        snprintf(text, 24, "%.*f", digits, x);
    return text;
}

static const char *percent(double share, char text[24]) {
    if (!isfinite(share))
        return "-";
    snprintf(text, 24, "%.1f %%", 100 * share);
    return text;
}

static void print_line(struct record_reader *r, const struct line *line, int width, struct unit unit) {
    char cell[7][24], flags[8] = "";
    int64_t at = line->index;
    const double *share = record_accuracy(r, "error_over_tolerance");
    double median = timing(r, "median", at), half = (timing(r, "high", at) - timing(r, "low", at)) / 2 / median;
    snprintf(flags, sizeof flags, "%s%s%s%s%s", 100 * timing(r, "preempted", at) > MANY ? "p" : "",
             100 * timing(r, "throttled", at) > MANY ? "t" : "", line->gaps ? "g" : "", line->warm ? "w" : "",
             line->wide ? "c" : "");
    printf("%-*s  %7lld  %6lld  %3lld  %10s  %7s  %9s  %7s  %9s  %7s  %9s  %s\n", width, line->p.operation,
           (long long)line->p.tokens, (long long)line->p.width, (long long)line->p.streams,
           number(median / unit.seconds, cell[0]), percent(half, cell[1]),
           number(timing(r, "bandwidth", at) * 1e-9, cell[2]), percent(timing(r, "copy_share", at), cell[3]),
           number(timing(r, "flop_rate", at) * 1e-9, cell[4]), percent(timing(r, "gemm_share", at), cell[5]),
           number(share ? share[at] : NAN, cell[6]), *flags ? flags : "-");
}

/* One unit a column, which leaves the fastest its digits. */
static struct unit unit_of(double fastest) {
    return fastest < 1e-4  ? (struct unit){"us", 1e-6}
           : fastest < 0.1 ? (struct unit){"ms", 1e-3}
                           : (struct unit){"s", 1};
}

/* The lines that have the constants of the first, which then count as printed. */
static void print_table(struct record_reader *r, struct line *lines, int64_t count) {
    char constants[CONSTANTS], other[CONSTANTS], time[16];
    int width = 9;
    double fastest = INFINITY;
    constants_of(&lines->p, constants);
    for (int64_t k = 0; k < count; k++) {
        constants_of(&lines[k].p, other);
        lines[k].here = !lines[k].printed && !strcmp(constants, other);
        if (!lines[k].here)
            continue;
        int length = (int)strlen(lines[k].p.operation);
        width = length > width ? length : width;
        fastest = fmin(fastest, timing(r, "median", lines[k].index));
    }
    struct unit unit = unit_of(fastest);
    snprintf(time, sizeof time, "time/%s", unit.name);
    printf("\n%s\n\n%-*s  %7s  %6s  %3s  %10s  %7s  %9s  %7s  %9s  %7s  %9s  flags\n", constants, width, "operation",
           "T", "C", "n", time, "+-", "GB/s", "copy", "GFLOP/s", "gemm", "error/tol");
    for (int64_t k = 0; k < count; k++)
        if (lines[k].here) {
            print_line(r, &lines[k], width, unit);
            lines[k].printed = true;
        }
}

void show_kernels(struct record_reader *r, bool all) {
    (void)all;
    struct line *lines = record_subject_count(r) ? malloc((size_t)(record_count(r) + 1) * sizeof *lines) : NULL;
    int64_t count = 0;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        count += read_line(r, index, &lines[count]);
    if (count > 0)
        printf(
            "\nTime: median of one call and half its 95 %% interval. copy, gemm: share of the rate of a copy of as many\n"
            "bytes and of a GEMM, timed in the same rounds; -: none was, a GEMM only beside %d operations a byte and more.\n"
            "error/tol: worst difference to cpu64 over what is allowed. GB = 1e9 bytes. flags: p preempted, t throttled,\n"
            "g the device ran ahead of the launches, so that gaps count, in more than %d %% of the samples; w not cold: no\n"
            "room to rotate; c stopped by a cap before the ratio was known to 1 %%; -: none.\n",
            KERNEL_GEMM_INTENSITY, MANY);
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            print_table(r, lines + k, count - k);
    free(lines);
    show_table2(r);
}
