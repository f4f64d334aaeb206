/* The tables of study `overhead`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/show_account.h"
#include "suites/report/shows.h"
#include "suites/case/presets.h"

enum { CONSTANTS = 600, CELL = 21, FLAGS = 8 };

/* A case that was timed. */
struct line {
    int64_t index;
    struct params p;
    const char *note;
    bool unfinished, printed; /* unfinished: its overheads are there, its account is not */
};

static double of_variant(struct record_reader *r, const struct line *line, int v, enum overhead_value what) {
    return overhead_variant_value(r, line->index, v, what);
}

static bool on_cpu(const struct params *p) {
    return !strncmp(p->backend, "cpu", 3) || !strcmp(p->backend, "emu");
}

/* The options that a table does not have as columns: those that matter always, others where they are not the default. */
static void constants_of(const struct params *p, char text[CONSTANTS]) {
    static const char *const column[] = {"tokens",   "width",  "hidden", "heads",     "head-dim",
                                         "sequence", "preset", "kind",   "attention", "graphs",
                                         "overlap",  "rounds", "budget", "seed",      NULL};
    static const char *const always[] = {"study", "depth", "recompute", "backend", "type", NULL};
    groups_case_constants(p, column, always, text, CONSTANTS);
}

/* ---- one row a connection ---- */

/* "7.8 % [6.4, 10.9]"; "7.8 % [?]" of too few rounds */
static const char *overhead_cell(struct record_reader *r, const struct line *line, int v, char text[40]) {
    double x = of_variant(r, line, v, OVERHEAD_RATIO), low = of_variant(r, line, v, OVERHEAD_LOW);
    if (isnan(x) || v == STEP_RESIDUAL)
        return "-";
    if (isnan(low))
        snprintf(text, 40, "%.1f %% [?]", 100 * x);
    else
        snprintf(text, 40, "%.1f %% [%.1f, %.1f]", 100 * x, 100 * low, 100 * of_variant(r, line, v, OVERHEAD_HIGH));
    return text;
}

/* Whether a part of F that takes a twentieth of the step is slow, which makes every overhead look small. */
static bool slow_branch(struct record_reader *r, const struct line *line, const struct record_timing *t) {
    struct attainable a = overhead_attainable(r, t, line->index);
    double step = of_variant(r, line, STEP_RESIDUAL, OVERHEAD_MEDIAN);
    bool slow = false;
    for (int part = 0; part < STEP_SHARED_PARTS; part++) {
        int subject = overhead_subject(STEP_RESIDUAL, (enum step_part)part);
        slow |= overhead_value(r, overhead_of_part(subject, OVERHEAD_PART_SHARE), line->index) >= 0.05 &&
                overhead_part_rate(r, line->index, subject, step, a) < OVERHEAD_SLOW;
    }
    return slow;
}

/* Those of the variant's own samples and ratio; what holds for a whole case is at all its rows. */
static const char *flags_of(struct record_reader *r, const struct line *line, int v, char flags[FLAGS]) {
    struct record_timing t;
    char own[SAMPLE_FLAGS];
    double x = of_variant(r, line, v, OVERHEAD_RATIO),
           half = (of_variant(r, line, v, OVERHEAD_HIGH) - of_variant(r, line, v, OVERHEAD_LOW)) / 2 / (1 + x);
    if (isnan(x) || !record_timing(r, line->index, &t))
        return "";
    overhead_sample_flags(&t, OVERHEAD_VARIANT + v, own);
    bool capped = v != STEP_RESIDUAL && strcmp(t.stop, "precise") && !(half <= 0.01);
    snprintf(flags, FLAGS, "%s%s%s%s%s", own, strstr(line->note, OVERHEAD_NOT_COLD) ? "w" : "", capped ? "c" : "",
             v == STEP_RESIDUAL && slow_branch(r, line, &t) ? "s" : "", line->unfinished ? "u" : "");
    return flags;
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
    return alone > 0 ? overhead_percent(1 - of_variant(r, on, v, OVERHEAD_RATIO) / alone, text) : "-";
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

/* The three cells of a case: the step's time, its overhead, its flags. */
static void print_cells(struct record_reader *r, const struct line *line, int v) {
    char milliseconds[24], overhead[40], flags[FLAGS];
    printf("  %8s  %*s  %-5s",
           line ? overhead_number(1e3 * of_variant(r, line, v, OVERHEAD_MEDIAN), milliseconds) : "-", CELL,
           line ? overhead_cell(r, line, v, overhead) : "-", line ? flags_of(r, line, v, flags) : "");
}

/* A case without attention's core and the same with it, a row a connection. Either may be missing. */
static void print_pair(struct record_reader *r, const struct line *lines, int64_t count, const struct line *off,
                       const struct line *on) {
    const struct line *one = off ? off : on;
    const struct line *alone = one->p.overlap ? partner(lines, count, one, "overlap", 0) : NULL;
    char shape[PARAM_TEXT_SIZE] = "-", way[40], hidden[24], why[200];
    if (one->p.preset)
        snprintf(shape, sizeof shape, "%s", params_word(&one->p, "preset"));
    if (one->p.preset)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), " %s", params_word(&one->p, "kind"));
    bool graphs = one->p.graphs && !strstr(one->note, OVERHEAD_NO_GRAPHS);
    snprintf(way, sizeof way, "%s%s", graphs ? "graph" : "calls", one->p.overlap ? ", overlap" : "");
    printf("%-15s  %6lld  %6lld  %-14s", shape, (long long)one->p.tokens, (long long)one->p.width, way);
    for (int v = STEP_RESIDUAL; v < STEP_VARIANTS; v++) {
        printf("%*s  %-11s", v == STEP_RESIDUAL ? 0 : 47, "", step_variant_name[v]);
        if (isnan(of_variant(r, one, v, OVERHEAD_RATIO)) &&
            reason_of(one->note, step_variant_name[v], why, sizeof why)) {
            printf("  - %s\n", why);
            continue;
        }
        print_cells(r, off, v);
        print_cells(r, on, v);
        printf("  %7s  %s\n", v == STEP_RESIDUAL ? "-" : hidden_cell(r, one, alone, v, hidden),
               v == STEP_MHC || v == STEP_MHC_LAYERS ? "6.7 %" : "-");
    }
}

/* The lines that have the constants of the first, which then count as printed. */
static void print_overheads(struct record_reader *r, struct line *lines, int64_t count, int64_t first) {
    char constants[CONSTANTS], other[CONSTANTS];
    constants_of(&lines[first].p, constants);
    printf("\n%s%s\n\n%47s  %-11s  %-38s  %s\n%-15s  %6s  %6s  %-14s  %-11s", constants,
           on_cpu(&lines[first].p) ? "\nOn the CPU: it shows that everything runs and says nothing about a GPU." : "",
           "", "", "  without attention's core", "  with attention's core", "shape", "T", "C", "launched as",
           "connection");
    for (int k = 0; k < 2; k++)
        printf("  %8s  %*s  %-5s", "step/ms", CELL, "overhead [95 %]", "flags");
    printf("  %7s  paper\n", "hidden");
    for (int64_t k = first; k < count; k++) {
        constants_of(&lines[k].p, other);
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

static void print_legend(void) {
    printf(
        "\nOverhead of the connection in a training step, forward and backward: t(variant) / t(residual) - 1 with its 95 %% interval, from\n"
        "samples of the same round: the mean of two medians, of the rounds in which the one and in which the other ran first. The interval\n"
        "is that of this run; on a machine that others use another run may lie outside. step/ms is a median by itself. The paper's 6.7 %% is\n"
        "what fused mHC added to a whole training on a cluster, with overlap. First the conservative figure, with F's GEMMs and elementwise\n"
        "work alone, then with the core of attention, a case of its own that ran at another time. Not in it: embedding, head, entry and exit\n"
        "of the streams, and the optimizer unless it is named. hidden: share of the first overhead that the overlap of two micro-batches hides.\n"
        "flags: p preempted, t throttled, g the device ran ahead of the launches, so that gaps count, in more than %d %% of the row's samples;\n"
        "w not cold, the whole step fits into the cache; c stopped by a cap before this ratio was known to 1 %%; s a part of F that takes 5 %%\n"
        "of the step or more reaches less than %.0f %% of a copy or GEMM, which makes every overhead look smaller; u the case ended before\n"
        "its account was done, which touches no overhead; [?] too few rounds for an interval.\n",
        FLAGGED_PERCENT, 100 * OVERHEAD_SLOW);
}

/* ---- */

/* A case that was timed; false: it was not. */
static bool read_line(struct record_reader *r, int64_t index, struct line *line) {
    bool unfinished = record_unfinished(r, index);
    if ((strcmp(record_texts(r, "status")[index], "done") && !unfinished) ||
        strcmp(record_texts(r, "study")[index], "overhead") || !record_rounds(r, index))
        return false;
    *line = (struct line){.index = index, .note = record_texts(r, "reason")[index], .unfinished = unfinished};
    groups_params(r, index, &line->p);
    return true;
}

static struct line *read_lines(struct record_reader *r, int64_t *count) {
    struct line *lines = record_subject_called(r, step_variant_name[0]) == OVERHEAD_VARIANT
                             ? malloc((size_t)(record_count(r) + 1) * sizeof *lines)
                             : NULL;
    *count = 0;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        *count += read_line(r, index, &lines[*count]);
    return lines;
}

void show_overhead(struct record_reader *r, bool all) {
    int64_t count;
    struct line *lines = read_lines(r, &count);
    if (count > 0)
        print_legend();
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            print_overheads(r, lines, count, k);
    int64_t accounts = all || count < 1 ? count : 1;
    if (accounts > 0)
        show_account_legend();
    for (int64_t k = 0; k < accounts; k++)
        show_account(r, lines[k].index);
    if (accounts < count)
        printf("\n... accounts of %lld more cases: --all\n", (long long)(count - accounts));
    free(lines);
}

/* ---- the headline ---- */

/* How near a case is to what the paper's figure is of: its 27B shape, the GEMMs of its active parameters, without overlap for what the
 * connection costs by itself, without attention's core to be on the safe side; then one that has an interval; then the largest. */
static double nearness(struct record_reader *r, const struct line *line) {
    const struct params *p = &line->p;
    bool known = isfinite(of_variant(r, line, STEP_MHC, OVERHEAD_HIGH));
    return 1e3 * (p->preset == PRESET_27B) + 1e2 * (p->kind == PRESET_ACTIVE && p->preset) + 10 * !p->overlap +
           10 * !p->attention + 10 * !p->optimizer + known +
           1e-2 * log((double)p->tokens * (double)p->width * (double)p->depth) + 1e-3 * (double)p->graphs;
}

bool show_overhead_headline(struct record_reader *r) {
    int64_t count, best = 0;
    struct line *lines = read_lines(r, &count);
    char number[24], overhead[40], flags[FLAGS], why[200];
    for (int64_t k = 1; k < count; k++)
        best = nearness(r, &lines[k]) > nearness(r, &lines[best]) ? k : best;
    if (count > 0) {
        const struct line *line = &lines[best];
        printf(
            "\nOverhead of the connection in a training step, %s attention's core, beside the 6.7 %% that the paper gives for fused mHC in a\n"
            "whole training on a cluster, with overlap: t(variant) / t(residual) - 1 with its 95 %% interval ([?]: too few rounds for one).\n%s%s\n\n",
            line->p.attention ? "with" : "without", record_texts(r, "key")[line->index],
            on_cpu(&line->p) ? "\nOn the CPU: it shows that everything runs and says nothing about a GPU." : "");
        if (line->unfinished)
            printf("This case is unfinished: its overheads stand, its account is not done (flag u).\n\n");
        printf("%-11s  %8s  %*s  %5s  flags\n", "connection", "step/ms", CELL, "overhead [95 %]", "paper");
        for (int v = 0; v < STEP_VARIANTS; v++)
            if (isnan(of_variant(r, line, v, OVERHEAD_RATIO)) &&
                reason_of(line->note, step_variant_name[v], why, sizeof why))
                printf("%-11s  - %s\n", step_variant_name[v], why);
            else
                printf("%-11s  %8s  %*s  %5s  %s\n", step_variant_name[v],
                       overhead_number(1e3 * of_variant(r, line, v, OVERHEAD_MEDIAN), number), CELL,
                       overhead_cell(r, line, v, overhead), v == STEP_MHC || v == STEP_MHC_LAYERS ? "6.7 %" : "-",
                       flags_of(r, line, v, flags));
        if (count > 1)
            printf(
                "The case of %lld in this file that is nearest to the paper's. All of them, and what flags mean: show without --headline.\n",
                (long long)count);
    }
    free(lines);
    return count > 0;
}
