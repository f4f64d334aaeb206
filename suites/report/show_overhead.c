/* The tables of study `overhead`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/show_account.h"
#include "suites/report/shows.h"
#include "suites/report/paper.h"
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

#define ON_CPU "\nOn the CPU: it shows that everything runs and says nothing about a GPU."

static bool on_cpu(const struct params *p) {
    return !strncmp(p->backend, "cpu", 3) || !strcmp(p->backend, "emu");
}

/* The options that a table does not have as columns: those that matter always, others where they are not the
 * default. */
static void constants_of(const struct params *p, char text[CONSTANTS]) {
    static const char *const column[] = {"tokens",   "width",  "hidden", "heads",     "head-dim",
                                         "sequence", "preset", "kind",   "attention", "graphs",
                                         "overlap",  "rounds", "budget", "seed",      NULL};
    static const char *const always[] = {"study", "depth", "recompute", "backend", "type", NULL};
    groups_case_constants(p, column, always, text, CONSTANTS);
}

/* ---- one row a connection ---- */

/* What the paper gives for a connection; NaN: nothing. */
static double of_paper(int v) {
    return v == STEP_MHC || v == STEP_MHC_LAYERS ? PAPER_OVERHEAD : NAN;
}

/* "7.8 % [6.4, 10.9]"; "7.8 % [?]" of too few rounds */
static struct value overhead_value_of(struct record_reader *r, const struct line *line, int v, char text[64]) {
    double x = of_variant(r, line, v, OVERHEAD_RATIO), low = of_variant(r, line, v, OVERHEAD_LOW),
           high = of_variant(r, line, v, OVERHEAD_HIGH);
    if (isnan(x) || v == STEP_RESIDUAL)
        return in_reals(NAN);
    snprintf(text, 64, isnan(low) ? "%.1f %% [?]" : "%.1f %% [%.1f, %.1f]", 100 * x, 100 * low, 100 * high);
    return in_interval(text, x, low, high);
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
    overhead_sample_flags(&t, record_subject_called(r, step_name(v)), own);
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

/* How much of an overhead two micro-batches side by side hide, where the same case was run without; NaN: it was not. */
static double hidden_share(struct record_reader *r, const struct line *on, const struct line *off, int v) {
    double alone = off ? of_variant(r, off, v, OVERHEAD_RATIO) : NAN;
    return alone > 0 ? 1 - of_variant(r, on, v, OVERHEAD_RATIO) / alone : NAN;
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

/* "- why": a connection that was not timed; false: it was, or the case does not say. */
static bool no_result(struct record_reader *r, const struct line *line, int v, char why[200]) {
    return isnan(of_variant(r, line, v, OVERHEAD_RATIO)) &&
           reason_of(line->note, step_name(v), strcpy(why, "- ") + 2, 200 - 2);
}

/* A case without attention's core and the same with it, a row a connection. Either may be missing. */
static void add_pair(struct record_reader *r, const struct line *lines, int64_t count, const struct line *off,
                     const struct line *on, struct tables *t) {
    const struct line *one = off ? off : on, *const both[2] = {off, on};
    const struct line *alone = one->p.overlap ? partner(lines, count, one, "overlap", 0) : NULL;
    char shape[2 * PARAM_TEXT_SIZE] = "-", way[40], why[200], overhead[2][64], flags[2][FLAGS];
    size_t used = one->p.preset ? (size_t)snprintf(shape, sizeof shape, "%s ", params_word(&one->p, "preset")) : 0;
    if (one->p.preset)
        snprintf(shape + used, sizeof shape - used, "%s", params_word(&one->p, "kind"));
    bool graphs = one->p.graphs && !strstr(one->note, OVERHEAD_NO_GRAPHS);
    snprintf(way, sizeof way, "%s%s", graphs ? "graph" : "calls", one->p.overlap ? ", overlap" : "");
    for (int v = STEP_RESIDUAL; v < STEP_VARIANTS; v++) {
        if (!step_is_timed(one->p.timed, v))
            continue;
        struct value row[] = {in_words(shape),
                              in_wholes(one->p.tokens),
                              in_wholes(one->p.width),
                              in_words(way),
                              in_words(step_name(v)),
                              in_reals(NAN),
                              in_reals(NAN),
                              in_words(""),
                              in_reals(NAN),
                              in_reals(NAN),
                              in_words(""),
                              in_reals(v == STEP_RESIDUAL ? NAN : hidden_share(r, one, alone, v)),
                              in_reals(of_paper(v))};
        for (int k = 0; k < 4; k++)
            row[k].hidden = v != STEP_RESIDUAL;
        int cells = sizeof row / sizeof *row;
        for (int k = 0; k < 2 && both[k]; k++) {
            row[5 + 3 * k] = in_reals(of_variant(r, both[k], v, OVERHEAD_MEDIAN));
            row[6 + 3 * k] = overhead_value_of(r, both[k], v, overhead[k]);
            row[7 + 3 * k] = in_words(flags_of(r, both[k], v, flags[k]));
        }
        if (no_result(r, one, v, why)) {
            row[5].text = why;
            cells = 6;
        }
        table_row_of(t, row, cells);
    }
}

#define OFF "  without attention's core"
#define ON "  with attention's core"

/* The lines that have the constants of the first, which then count as printed. */
static void add_overheads(struct record_reader *r, struct line *lines, int64_t count, int64_t first, struct tables *t) {
    static const struct column columns[] = {
        {"shape", "shape", .width = -15},
        {"tokens", "T", .width = 6},
        {"width", "C", .width = 6},
        {"launched", "launched as", .width = -14},
        {"connection", "connection", .width = -11},
        {"seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3, .group = OFF},
        {"overhead", "overhead [95 %]", .width = CELL, COLUMN_INTERVAL, .group = OFF},
        {"flags", "flags", .width = -5, .group = OFF},
        {"core_seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3, .group = ON},
        {"core_overhead", "overhead [95 %]", .width = CELL, COLUMN_INTERVAL, .group = ON},
        {"core_flags", "flags", .width = -5, .group = ON},
        {"hidden", "hidden", .width = 7, COLUMN_PERCENT},
        {"paper", "paper", .width = -1, COLUMN_PERCENT},
    };
    char constants[CONSTANTS], other[CONSTANTS];
    constants_of(&lines[first].p, constants);
    tables_say(t, "\n%s%s\n\n", constants, on_cpu(&lines[first].p) ? ON_CPU : "");
    table_begin(t, constants, columns);
    for (int64_t k = first; k < count; k++) {
        constants_of(&lines[k].p, other);
        if (lines[k].printed || strcmp(constants, other))
            continue;
        struct line *with = (struct line *)partner(lines, count, &lines[k], "attention", 1);
        struct line *without = (struct line *)partner(lines, count, &lines[k], "attention", 0);
        add_pair(r, lines, count, without, with, t);
        if (with)
            with->printed = true;
        if (without)
            without->printed = true;
    }
    table_end(t);
}

static void say_legend(struct tables *t) {
    tables_say(
        t,
        "\nOverhead of the connection in a training step, forward and backward: t(variant) / t(residual) - 1 with its 95 %% interval, from\n"
        "samples of the same round: the mean of two medians, of the rounds in which the one and in which the other ran first. The interval\n"
        "is that of this run; on a machine that others use another run may lie outside. step/ms is a median by itself. The paper's %g %% is\n"
        "what fused mHC added to a whole training on a cluster, with overlap. First the conservative figure, with F's GEMMs and elementwise\n"
        "work alone, then with the core of attention, a case of its own that ran at another time. Not in it: embedding, head, entry and exit\n"
        "of the streams, and the optimizer unless it is named. hidden: share of the first overhead that the overlap of two micro-batches hides.\n"
        "flags: p preempted, t throttled, g the device ran ahead of the launches, so that gaps count, in more than %d %% of the row's samples;\n"
        "w not cold, the whole step fits into the cache; c stopped by a cap before this ratio was known to 1 %%; s a part of F that takes 5 %%\n"
        "of the step or more reaches less than %.0f %% of a copy or GEMM, which makes every overhead look smaller; u the case ended before\n"
        "its account was done, which touches no overhead; [?] too few rounds for an interval.\n",
        100 * PAPER_OVERHEAD, FLAGGED_PERCENT, 100 * OVERHEAD_SLOW);
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
    struct line *lines = record_subject_called(r, step_name(STEP_RESIDUAL)) >= 0
                             ? malloc((size_t)(record_count(r) + 1) * sizeof *lines)
                             : NULL;
    *count = 0;
    for (int64_t index = 0; lines && index < record_count(r); index++)
        *count += read_line(r, index, &lines[*count]);
    return lines;
}

void show_overhead(struct record_reader *r, struct tables *t, bool all) {
    int64_t count;
    struct line *lines = read_lines(r, &count);
    if (count > 0)
        say_legend(t);
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            add_overheads(r, lines, count, k, t);
    int64_t accounts = all || count < 1 ? count : 1;
    if (accounts > 0)
        show_account_legend(t);
    for (int64_t k = 0; k < accounts; k++)
        show_account(r, lines[k].index, t);
    if (accounts < count)
        tables_say(t, "\n... accounts of %lld more cases: --all\n", (long long)(count - accounts));
    free(lines);
}

/* ---- the headline ---- */

/* How near a case is to what the paper's figure is of: its 27B shape, the GEMMs of its active parameters, without
 * overlap for what the connection costs by itself, without attention's core to be on the safe side; then one that has
 * an interval; then the largest. */
static double nearness(struct record_reader *r, const struct line *line) {
    const struct params *p = &line->p;
    bool known = isfinite(of_variant(r, line, STEP_MHC, OVERHEAD_HIGH));
    return 1e3 * (p->preset == PRESET_27B) + 1e2 * (p->kind == PRESET_ACTIVE && p->preset) + 10 * !p->overlap +
           10 * !p->attention + 10 * !p->optimizer + known +
           1e-2 * log((double)p->tokens * (double)p->width * (double)p->depth) + 1e-3 * (double)p->graphs;
}

static void add_headline(struct record_reader *r, const struct line *line, struct tables *t) {
    static const struct column columns[] = {
        {"connection", "connection", .width = -11},
        {"seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3},
        {"overhead", "overhead [95 %]", .width = CELL, COLUMN_INTERVAL},
        {"paper", "paper", .width = 5, COLUMN_PERCENT},
        {"flags", "flags", .width = -1},
    };
    char overhead[64], flags[FLAGS], why[200];
    table_begin(t, record_texts(r, "key")[line->index], columns);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        if (!step_is_timed(line->p.timed, v))
            continue;
        struct value row[] = {in_words(step_name(v)), in_reals(of_variant(r, line, v, OVERHEAD_MEDIAN)),
                              overhead_value_of(r, line, v, overhead), in_reals(of_paper(v)),
                              in_words(flags_of(r, line, v, flags))};
        bool none = no_result(r, line, v, why);
        row[1].text = none ? why : NULL;
        table_row_of(t, row, none ? 2 : 5);
    }
    table_end(t);
}

bool show_overhead_headline(struct record_reader *r, struct tables *t) {
    int64_t count, best = 0;
    struct line *lines = read_lines(r, &count);
    for (int64_t k = 1; k < count; k++)
        best = nearness(r, &lines[k]) > nearness(r, &lines[best]) ? k : best;
    if (count > 0) {
        const struct line *line = &lines[best];
        tables_say(
            t,
            "\nOverhead of the connection in a training step, %s attention's core, beside the %g %% that the paper gives for fused mHC in a\n"
            "whole training on a cluster, with overlap: t(variant) / t(residual) - 1 with its 95 %% interval ([?]: too few rounds for one).\n%s%s\n\n",
            line->p.attention ? "with" : "without", 100 * PAPER_OVERHEAD, record_texts(r, "key")[line->index],
            on_cpu(&line->p) ? ON_CPU : "");
        if (line->unfinished)
            tables_say(t, "This case is unfinished: its overheads stand, its account is not done (flag u).\n\n");
        add_headline(r, line, t);
        if (count > 1)
            tables_say(
                t,
                "The case of %lld in this file that is nearest to the paper's. All of them, and what flags mean: show without --headline.\n",
                (long long)count);
    }
    free(lines);
    return count > 0;
}
