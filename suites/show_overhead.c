#include "suites/show_overhead.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/groups.h"
#include "suites/overhead_study.h"

enum { CONSTANTS = 600, CELL = 22, MANY = 10 }; /* MANY: percent of the samples from which on a flag is shown */

/* A case that was timed. */
struct line {
    int64_t index;
    struct params p;
    const char *note;
    bool printed;
};

static double value(struct record_reader *r, int k, int64_t index) {
    const double *values = record_timing_value(r, overhead_timing_info()[k].name);
    return values ? values[index] : NAN;
}

static double of_variant(struct record_reader *r, const struct line *line, int v, enum overhead_value what) {
    return value(r, overhead_of_variant((enum step_variant)v, what), line->index);
}

static bool on_cpu(const struct params *p) {
    return !strncmp(p->backend, "cpu", 3) || !strcmp(p->backend, "emu");
}

/* The options that a table does not have as columns: those that matter always, others where they are not the default.
 */
static void constants_of(const struct params *p, char *text, size_t size) {
    static const char *const column[] = {"tokens", "width",     "hidden", "heads",   "head-dim", "sequence", "preset",
                                         "kind",   "attention", "graphs", "overlap", "rounds",   "budget",   "seed"};
    static const char *const always[] = {"study", "depth", "recompute", "backend", "type"};
    size_t used = 0;
    for (int k = 0; k < params_count && used < size; k++) {
        const struct param *param = &params_table[k];
        char text_of[PARAM_TEXT_SIZE];
        bool shown = false, needed = false;
        for (size_t c = 0; c < sizeof column / sizeof *column; c++)
            shown |= !strcmp(param->name, column[c]);
        for (size_t c = 0; c < sizeof always / sizeof *always; c++)
            needed |= !strcmp(param->name, always[c]);
        params_text(p, param, text_of, sizeof text_of);
        if (!shown && param->studies >> p->study & 1 && (needed || strcmp(text_of, param->standard)))
            used += (size_t)snprintf(text + used, size - used, "%s--%s %s", used ? " " : "", param->name, text_of);
    }
}

/* ---- one row a case ---- */

/* "7.8 % [6.4, 10.9]"; "7.8 % [?]" of too few rounds */
static const char *overhead_cell(struct record_reader *r, const struct line *line, int v, char text[40]) {
    double x = of_variant(r, line, v, OVERHEAD_RATIO), low = of_variant(r, line, v, OVERHEAD_LOW);
    if (isnan(x))
        return "-";
    if (isnan(low))
        snprintf(text, 40, "%.1f %% [?]", 100 * x);
    else
        snprintf(text, 40, "%.1f %% [%.1f, %.1f]", 100 * x, 100 * low, 100 * of_variant(r, line, v, OVERHEAD_HIGH));
    return text;
}

static const char *share(double x, char text[24]) {
    if (!isfinite(x))
        return "-";
    snprintf(text, 24, "%.1f %%", 100 * x);
    return text;
}

static const char *number(double x, char text[24]) {
    if (!isfinite(x))
        return "-";
    snprintf(text, 24, x >= 1e6 ? "%.3g" : x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 1 ? "%.2f" : "%.3g", x);
    return text;
}

static void flags_of(struct record_reader *r, const struct line *line, char flags[8]) {
    struct record_timing t;
    int64_t preempted = 0, throttled = 0, samples = 0;
    bool wide = false;
    if (record_timing(r, line->index, &t)) {
        wide = strcmp(t.stop, "precise") != 0;
        for (int s = OVERHEAD_VARIANT; s < OVERHEAD_VARIANT + STEP_VARIANTS; s++)
            for (int64_t k = 0; k < t.rounds && t.batch[s]; k++) {
                samples += !isnan(t.seconds[s * t.rounds + k]);
                preempted += t.flags[s * t.rounds + k] & 1;
                throttled += t.flags[s * t.rounds + k] >> 1 & 1;
            }
    }
    snprintf(flags, 8, "%s%s%s%s", 100 * preempted > MANY * samples ? "p" : "",
             100 * throttled > MANY * samples ? "t" : "", strstr(line->note, "not cold") ? "w" : "", wide ? "c" : "");
}

/* The case that differs from another in nothing but one option, which has this value; NULL: there is none. */
static const struct line *partner(const struct line *lines, int64_t count, const struct line *of, const char *name,
                                  int64_t value_of) {
    const struct param *param = params_find(name);
    for (int64_t k = 0; k < count; k++) {
        struct params like = of->p;
        char key[2][2048];
        *(int64_t *)((char *)&like + param->offset) = value_of;
        params_key(&like, key[0], sizeof key[0]);
        params_key(&lines[k].p, key[1], sizeof key[1]);
        if (!strcmp(key[0], key[1]))
            return &lines[k];
    }
    return NULL;
}

/* How much of an overhead two micro-batches side by side hide, where the same case was run without. */
static const char *hidden_cell(struct record_reader *r, const struct line *on, const struct line *off, int v,
                               char text[24]) {
    double alone = off ? of_variant(r, off, v, OVERHEAD_RATIO) : NAN;
    return alone > 0 ? share(1 - of_variant(r, on, v, OVERHEAD_RATIO) / alone, text) : "-";
}

/* What a note says of a variant: "<variant>: why; <variant>: why". */
static bool reason_of(const char *note, const char *variant, char *why, size_t size) {
    for (const char *at = note; at; at = strstr(at, "; ") ? strstr(at, "; ") + 2 : NULL)
        if (!strncmp(at, variant, strlen(variant)) && at[strlen(variant)] == ':') {
            at += strlen(variant) + 2;
            snprintf(why, size, "%.*s", strstr(at, "; ") ? (int)(strstr(at, "; ") - at) : (int)strlen(at), at);
            return true;
        }
    return false;
}

/* A case without attention's core and the same with it, a row a connection. Either may be missing. */
static void print_pair(struct record_reader *r, const struct line *lines, int64_t count, const struct line *off,
                       const struct line *on) {
    const struct line *one = off ? off : on;
    const struct line *alone = one->p.overlap ? partner(lines, count, one, "overlap", 0) : NULL;
    char shape[PARAM_TEXT_SIZE] = "-", way[40], flags[8], cell[3][40];
    if (one->p.preset)
        snprintf(shape, sizeof shape, "%s", params_word(&one->p, "preset"));
    if (one->p.preset)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), " %s", params_word(&one->p, "kind"));
    bool graphs = one->p.graphs && !strstr(one->note, OVERHEAD_NO_GRAPHS);
    snprintf(way, sizeof way, "%s%s", graphs ? "graph" : "calls", one->p.overlap ? ", overlap" : "");
    flags_of(r, one, flags);
    printf("%-15s  %6lld  %6lld  %-14s  %8s", shape, (long long)one->p.tokens, (long long)one->p.width, way,
           number(1e3 * of_variant(r, one, STEP_RESIDUAL, OVERHEAD_MEDIAN), cell[0]));
    for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS; v++) {
        char why[200];
        printf("%*s  %-11s  ", v == STEP_RESIDUAL + 1 ? 0 : 57, "", step_variant_name[v]);
        if (isnan(of_variant(r, one, v, OVERHEAD_RATIO)) && reason_of(one->note, step_variant_name[v], why, sizeof why))
            printf("- %s\n", why);
        else
            printf("%*s  %*s  %7s  %5s%s%s\n", CELL, off ? overhead_cell(r, off, v, cell[0]) : "-", CELL,
                   on ? overhead_cell(r, on, v, cell[1]) : "-", hidden_cell(r, one, alone, v, cell[2]),
                   v == STEP_MHC || v == STEP_MHC_LAYERS ? "6.7 %" : "-", v == STEP_RESIDUAL + 1 ? "  " : "",
                   v == STEP_RESIDUAL + 1 ? flags : "");
    }
}

/* The lines that have the constants of the first, which then count as printed. */
static void print_overheads(struct record_reader *r, struct line *lines, int64_t count, int64_t first) {
    char constants[CONSTANTS], other[CONSTANTS];
    constants_of(&lines[first].p, constants, sizeof constants);
    printf("\n%s%s\n\n%-15s  %6s  %6s  %-14s  %8s  %-11s  %*s  %*s  %7s  %5s  flags\n", constants,
           on_cpu(&lines[first].p) ? "\nOn the CPU: it shows that everything runs and says nothing about a GPU." : "",
           "shape", "T", "C", "launched as", "res. ms", "connection", CELL, "overhead [95 %]", CELL,
           "with attention's core", "hidden", "paper");
    for (int64_t k = first; k < count; k++) {
        constants_of(&lines[k].p, other, sizeof other);
        if (lines[k].printed || strcmp(constants, other))
            continue;
        struct line *with = (struct line *)partner(lines, count, &lines[k], "attention", 1);
        struct line *without = (struct line *)partner(lines, count, &lines[k], "attention", 0);
        print_pair(r, lines, count, without, with);
        if (with)
            with->printed = true;
        if (without)
            without->printed = true;
    }
}

/* ---- the account of a case ---- */

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

static double of_part(struct record_reader *r, const struct line *line, int subject, enum overhead_part_value what) {
    return value(r, overhead_of_part(subject, what), line->index);
}

/* What a copy and a GEMM reach, in bytes and operations a second. */
struct attainable {
    double copy, gemm;
};

/* One operation: its share of the step it belongs to, and its rates beside the attainable ones. Returns its time. */
static double print_part(struct record_reader *r, const struct line *line, int subject, double step,
                         struct attainable a) {
    char cell[7][24];
    double seconds = step * of_part(r, line, subject, OVERHEAD_PART_SHARE),
           bytes = of_part(r, line, subject, OVERHEAD_PART_BYTES);
    double flops = of_part(r, line, subject, OVERHEAD_PART_FLOPS);
    bool product = subject < OVERHEAD_SHARED + STEP_ACTIVATION_FORWARD;
    if (isnan(seconds))
        return 0;
    printf("  %-28s  %6.0f  %9s  %7s  %9s  %9s  %7s  %9s  %7s\n", record_subject(r, subject),
           of_part(r, line, subject, OVERHEAD_PART_CALLS), number(1e3 * seconds, cell[0]),
           share(seconds / step, cell[1]), number(bytes * 1e-6, cell[2]), number(bytes / seconds * 1e-9, cell[3]),
           product ? "-" : share(bytes / seconds / a.copy, cell[4]), number(flops / seconds * 1e-9, cell[5]),
           product ? share(flops / seconds / a.gemm, cell[6]) : "-");
    return seconds;
}

static void print_variant(struct record_reader *r, const struct line *line, int v, double shared, struct attainable a) {
    char cell[4][24];
    double step = of_variant(r, line, v, OVERHEAD_MEDIAN), own = 0;
    printf("\n%s: %s ms a step, %.0f operations, %s MB by their models, %s B a token kept, %s MB of workspace\n",
           step_variant_name[v], number(1e3 * step, cell[0]), of_variant(r, line, v, OVERHEAD_CALLS),
           number(of_variant(r, line, v, OVERHEAD_BYTES) * 1e-6, cell[1]),
           number(of_variant(r, line, v, OVERHEAD_ACTIVATION), cell[2]),
           number(of_variant(r, line, v, OVERHEAD_WORKSPACE) * 1e-6, cell[3]));
    for (int part = STEP_SHARED_PARTS; part < STEP_PARTS; part++)
        own += print_part(r, line, overhead_subject((enum step_variant)v, (enum step_part)part), step, a);
    if (own > 0)
        printf("  %-28s  %6s  %9s  %7s\n", "with F's, one by one", "", number(1e3 * (shared + own), cell[0]),
               share((shared + own) / step, cell[1]));
}

static void print_account(struct record_reader *r, const struct line *line) {
    struct record_timing t;
    char cell[3][24];
    double shared = 0, step = of_variant(r, line, STEP_RESIDUAL, OVERHEAD_MEDIAN);
    if (!record_timing(r, line->index, &t))
        return;
    struct attainable a = {value(r, OVERHEAD_STEP_AT + OVERHEAD_COPY_BYTES, line->index) / median(&t, OVERHEAD_COPY),
                           value(r, OVERHEAD_STEP_AT + OVERHEAD_GEMM_FLOPS, line->index) / median(&t, OVERHEAD_GEMM)};
    printf("\nAccount of %s\n", record_texts(r, "key")[line->index]);
    if (*line->note)
        printf("%s\n", line->note);
    printf("copy %s GB/s, GEMM %s GFLOP/s, %s parameters in F's products, L_r %.0f (0: nothing computed again)\n\n",
           number(a.copy * 1e-9, cell[0]), number(a.gemm * 1e-9, cell[1]),
           number(value(r, OVERHEAD_STEP_AT + OVERHEAD_PARAMETERS, line->index), cell[2]),
           value(r, OVERHEAD_STEP_AT + OVERHEAD_RECOMPUTE, line->index));
    printf("  %-28s  %6s  %9s  %7s  %9s  %9s  %7s  %9s  %7s\nF, the same in every variant\n", "operation", "calls",
           "ms", "of step", "MB", "GB/s", "copy", "GFLOP/s", "gemm");
    for (int part = 0; part < STEP_SHARED_PARTS; part++)
        shared += print_part(r, line, overhead_subject(STEP_RESIDUAL, (enum step_part)part), step, a);
    for (int v = 0; v < STEP_VARIANTS; v++)
        if (!isnan(of_variant(r, line, v, OVERHEAD_RATIO)))
            print_variant(r, line, v, shared, a);
}

/* ---- */

/* A case that was timed; false: it was not. */
static bool read_line(struct record_reader *r, int64_t index, struct line *line) {
    if (strcmp(record_texts(r, "status")[index], "done") || strcmp(record_texts(r, "study")[index], "overhead") ||
        !record_rounds(r, index))
        return false;
    *line = (struct line){.index = index, .note = record_texts(r, "reason")[index]};
    groups_params(r, index, &line->p);
    return true;
}

void show_overhead(struct record_reader *r, bool all) {
    int64_t count = 0, accounts;
    struct line *lines =
        record_subject_count(r) == OVERHEAD_SUBJECTS ? malloc((size_t)(record_count(r) + 1) * sizeof *lines) : NULL;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        count += read_line(r, index, &lines[count]);
    if (count > 0)
        printf(
            "\nOverhead of the connection in a training step, forward and backward: t(variant) / t(residual) - 1 "
            "with its\n"
            "95 %% interval, from samples of the same round. The paper's figure for fused mHC, 6.7 %%, is of a whole "
            "training on a\n"
            "cluster, with overlap. First the conservative figure, with F's GEMMs and elementwise work alone, then "
            "with the core\n"
            "of attention. Embedding, stream entry and exit, head and optimizer are not in it. hidden: by the "
            "overlap of two\n"
            "micro-batches. flags: p preempted, t throttled in more than %d %% of the samples; w not cold; c "
            "stopped by a cap\n"
            "before every ratio was known to 1 %%; [?] too few rounds for an interval.\n",
            MANY);
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            print_overheads(r, lines, count, k);
    accounts = all ? count : count < 1 ? count : 1;
    for (int64_t k = 0; k < accounts; k++)
        print_account(r, &lines[k]);
    if (accounts < count)
        printf("\n... accounts of %lld more cases: --all\n", (long long)(count - accounts));
    free(lines);
}
