/* The tables of study `overhead`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/overhead_lines.h"
#include "suites/report/paper.h"
#include "suites/report/shows.h"

enum { CONSTANTS = 600, CELL = 19 };

/* The options that a table does not have as columns: those that matter always, others where they are not the
 * default. */
static void constants_of(const struct params *p, char text[CONSTANTS]) {
    static const char *const column[] = {"tokens",   "width",  "hidden", "heads",     "head-dim",
                                         "sequence", "preset", "kind",   "attention", "graphs",
                                         "overlap",  "rounds", "budget", "seed",      NULL};
    static const char *const always[] = {"study", "depth", "recompute", "backend", "type", NULL};
    groups_case_constants(p, column, always, text, CONSTANTS);
}

/* ---- one row per connection ---- */

/* The case that differs from another in nothing but one option, which has this value; NULL: there is none. */
static const struct overhead_line *partner(const struct overhead_line *lines, int64_t count,
                                           const struct overhead_line *of, const char *name, int64_t value_of) {
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
static double hidden_share(struct record_reader *r, const struct overhead_line *on, const struct overhead_line *off,
                           int v) {
    double alone = off ? overhead_variant_value(r, off->index, v, OVERHEAD_RATIO) : NAN;
    return alone > 0 ? 1 - overhead_variant_value(r, on->index, v, OVERHEAD_RATIO) / alone : NAN;
}

/* What stands above the rows of a case. */
static void say_shape(const struct params *p, const char *shape, const char *way, struct tables *t) {
    tables_say(t, "\n%s%sT = %lld, C = %lld, launched as %s\n", p->preset ? shape : "", p->preset ? ", " : "",
               (long long)p->tokens, (long long)p->width, way);
}

/* A case without attention's core and the same with it, a row per connection. Either may be missing. */
static void add_pair(struct record_reader *r, const struct overhead_line *lines, int64_t count,
                     const struct overhead_line *off, const struct overhead_line *on, struct tables *t) {
    const struct overhead_line *one = off ? off : on, *const both[2] = {off, on};
    const struct overhead_line *alone = one->p.overlap ? partner(lines, count, one, "overlap", 0) : NULL;
    char shape[2 * PARAM_TEXT_SIZE] = "-", way[40], why[200], overhead[2][64], flags[2][OVERHEAD_FLAGS];
    size_t used = one->p.preset ? (size_t)snprintf(shape, sizeof shape, "%s ", params_word(&one->p, "preset")) : 0;
    if (one->p.preset)
        snprintf(shape + used, sizeof shape - used, "%s", params_word(&one->p, "kind"));
    bool graphs = one->p.graphs && !strstr(one->note, OVERHEAD_NO_GRAPHS);
    snprintf(way, sizeof way, "%s%s", graphs ? "graph" : "calls", one->p.overlap ? ", overlap" : "");
    say_shape(&one->p, shape, way, t);
    for (int v = STEP_RESIDUAL; v < STEP_VARIANTS; v++) {
        if (!step_is_timed(one->p.timed, v))
            continue;
        struct value row[] = {in_words(step_name(v)),
                              in_words(shape),
                              in_wholes(one->p.tokens),
                              in_wholes(one->p.width),
                              in_words(way),
                              in_reals(NAN),
                              in_reals(NAN),
                              in_words(""),
                              in_reals(NAN),
                              in_reals(NAN),
                              in_words(""),
                              in_reals(v == STEP_RESIDUAL ? NAN : hidden_share(r, one, alone, v)),
                              in_reals(overhead_of_paper(one, v))};
        int cells = sizeof row / sizeof *row;
        for (int k = 0; k < 2 && both[k]; k++) {
            row[5 + 3 * k] = in_reals(overhead_variant_value(r, both[k]->index, v, OVERHEAD_MEDIAN));
            row[6 + 3 * k] = overhead_cell(r, both[k], v, overhead[k]);
            row[7 + 3 * k] = in_words(overhead_flags(r, both[k], v, flags[k]));
        }
        if (overhead_missing(r, one, v, why)) {
            row[5].text = why;
            cells = 6;
        }
        table_row_of(t, row, cells);
    }
}

#define OFF "  without attention's core"
#define ON "  with attention's core"

/* The lines that have the constants of the first, which then count as printed. */
static void add_overheads(struct record_reader *r, struct overhead_line *lines, int64_t count, int64_t first,
                          struct tables *t) {
    static const struct column columns[] = {
        {"connection", "connection", .width = -11},
        {"shape", .width = 0},
        {"tokens", .width = 0},
        {"width", .width = 0},
        {"launched", .width = 0},
        {"seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3, .group = OFF},
        {"overhead", "overhead [95 %]", .width = CELL, COLUMN_INTERVAL, .group = OFF},
        {"flags", "flags", .width = -5, .group = OFF},
        {"core_seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3, .group = ON},
        {"core_overhead", "overhead [95 %]", .width = CELL, COLUMN_INTERVAL, .group = ON},
        {"core_flags", "flags", .width = -5, .group = ON},
        {"hidden", "hidden", .width = 7, COLUMN_PERCENT},
        {"paper", NULL, COLUMN_PERCENT},
    };
    char constants[CONSTANTS], other[CONSTANTS];
    constants_of(&lines[first].p, constants);
    tables_say(t, "\n%s\n%s\n", constants,
               lines[first].cpu ? "On the CPU: it shows that everything runs and says nothing about a GPU.\n" : "");
    table_begin(t, constants, columns);
    for (int64_t k = first; k < count; k++) {
        constants_of(&lines[k].p, other);
        if (lines[k].printed || strcmp(constants, other))
            continue;
        struct overhead_line *with = (struct overhead_line *)partner(lines, count, &lines[k], "attention", 1);
        struct overhead_line *without = (struct overhead_line *)partner(lines, count, &lines[k], "attention", 0);
        add_pair(r, lines, count, without, with, t);
        if (with)
            with->printed = true;
        if (without)
            without->printed = true;
    }
    table_end(t);
}

static void say_legend(const struct overhead_line *lines, int64_t count, struct tables *t) {
    bool gpu = false, model = false;
    for (int64_t k = 0; k < count; k++) {
        gpu |= !lines[k].cpu;
        model |= lines[k].model;
    }
    tables_say(
        t,
        "\nOverhead of the connection in a training step, forward and backward: t(connection) / t(residual) - 1 with "
        "its 95 %% interval; -: too few rounds for an interval. It is made from samples of the same round, as the "
        "mean of two medians: of the rounds in which the one and in which the other ran first. The interval is that "
        "of this run; on a machine that others use another run may lie outside. step/ms is a median by itself.\n");
    if (model)
        tables_say(t, "%s", SHOW_MODEL);
    if (gpu)
        tables_say(t,
                   "These are of one GPU, without a pipeline. The paper's %g %% is what fused mHC added to a whole "
                   "training on a cluster, with overlap.\n",
                   100 * PAPER_OVERHEAD);
    tables_say(
        t,
        "First the conservative figure, with F's GEMMs and elementwise work alone, then with the core of attention, a "
        "case of its own that ran at another time. Not in it: embedding, head, entry and exit of the streams, and the "
        "optimizer unless it is named. hidden: share of the first overhead that the overlap of two micro-batches "
        "hides.\n");
    overhead_flags_legend(NULL, t);
}

void show_overhead(struct record_reader *r, struct tables *t, unsigned how) {
    bool account = how & SHOW_ACCOUNT;
    int64_t count;
    struct overhead_line *lines = overhead_lines(r, &count);
    if (count > 0)
        say_legend(lines, count, t);
    for (int64_t k = 0; k < count; k++)
        if (!lines[k].printed)
            add_overheads(r, lines, count, k, t);
    if (account && count > 0)
        show_account_legend(t);
    for (int64_t k = 0; account && k < count; k++)
        show_account(r, lines[k].index, t);
    if (!account && count > 0)
        tables_say(t, "\nThe time of every part of a step: --account\n");
    free(lines);
}
