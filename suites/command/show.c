/* `mhcbench show`: the headline beside the paper's numbers, then a table for each stretch of like cases. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "results/record.h"
#include "results/table.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/report/groups.h"
#include "suites/report/shows.h"
#include "suites/report/paper.h"
#include "suites/rows/device.h"

static const char usage[] = "show FILE.h5 [--headline | --all] [--format text|csv|json]";
static const char help[] =
    "Prints the tables of a record: the headline beside the paper's numbers, then a table for each stretch of like cases,\n"
    "over seeds, and the tables of timed studies.\n\n"
    "  --headline  the head and the headline alone\n"
    "  --all       every row, where there are more than 24\n"
    "  --format    text (default), csv or json: the same tables, with numbers in SI units or, of gains over layers, as the\n"
    "              record stores them (log10)\n";
enum { MOST_ROWS = 24, LABEL_SIZE = 200, CELL = 26, ENOUGH_SEEDS = 32 };

/* A summary over the seeds of a group, as it is stored: log10 of gains. NaN and Inf, what an overflow leaves, sort
 * above everything. */
struct result {
    bool measured, logarithmic;
    double q10, median, q90, low, high; /* [low, high]: 95 % interval of the median, from order statistics */
    int64_t seeds, unresolved;
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct result result_of(struct record_reader *reader, const struct group *group, const char *summary) {
    const struct mhc_metric_info *info = &mhc_metric_info[mhc_metric_of(summary)];
    const struct params *p = &group->p;
    struct result r = {.logarithmic = info->scale == MHC_LOG10, .seeds = group->count};
    const double *stored = record_summary(reader, summary);
    double *values = malloc((size_t)group->count * sizeof *values);
    r.measured = stored && values && p->measure & info->group &&
                 !(info->subject == MHC_OF_GRADIENT && p->gradient == 0) &&
                 !(info->subject >= MHC_OF_STREAMS && !params_has(p, STUDY_STACK));
    for (int64_t k = 0; k < group->count && r.measured; k++) {
        values[k] = stored[group->cases[k]];
        if (isnan(values[k])) {
            r.unresolved += info->may_be_unresolved;
            values[k] = INFINITY;
        }
    }
    if (r.measured) {
        qsort(values, (size_t)group->count, sizeof *values, ascending);
        r.q10 = mhc_quantile(values, group->count, 0.1);
        r.median = mhc_quantile(values, group->count, 0.5);
        r.q90 = mhc_quantile(values, group->count, 0.9);
        int64_t rank = (int64_t)floor(0.5 * ((double)group->count - 1.96 * sqrt((double)group->count)));
        rank = rank < 1 ? 1 : rank;
        r.low = values[rank - 1];
        r.high = values[group->count - rank];
    }
    free(values);
    return r;
}

/* Three digits, without an exponent where that is readable; beyond double as a power of ten. */
static const char *number(double stored, bool logarithmic, char *text, size_t size) {
    double x = logarithmic ? pow(10, stored) : stored, magnitude = fabs(x);
    if (isinf(stored))
        snprintf(text, size, "overflow");
    else if (logarithmic && stored < -307) /* how the record stores an exact zero */
        snprintf(text, size, "0");
    else if (isinf(x))
        snprintf(text, size, "10^%.0f", stored);
    else if (magnitude >= 100 && magnitude < 1e6) {
        double unit = pow(10, floor(log10(magnitude)) - 2);
        snprintf(text, size, "%.0f", round(x / unit) * unit);
    } else
        snprintf(text, size, "%.3g", x);
    return text;
}

enum { TEXT = 120 };

/* "1.62 [1.31, 2.04]": median [q10, q90]; the median alone when there is one seed. */
static struct value in_quantiles(struct result r, char text[TEXT]) {
    char a[32], b[32], c[32];
    if (!r.measured)
        return in_reals(NAN);
    if (r.unresolved) {
        snprintf(text, TEXT, "rounding in %lld of %lld", (long long)r.unresolved, (long long)r.seeds);
        return in_interval(text, NAN, NAN, NAN);
    }
    number(r.median, r.logarithmic, a, sizeof a);
    if (r.seeds == 1 || (isinf(r.q10) && isinf(r.q90)))
        snprintf(text, TEXT, "%s", a);
    else
        snprintf(text, TEXT, "%s [%s, %s]", a, number(r.q10, r.logarithmic, b, sizeof b),
                 number(r.q90, r.logarithmic, c, sizeof c));
    return in_interval(text, r.median, r.q10, r.q90);
}

#define OVER_SEEDS(name, head) \
    { name, head, CELL, .low = "_q10", .high = "_q90" }

/* A table is drawn when one of its columns was recorded. */
static const struct {
    const char *title;
    struct column columns[4]; /* each of a summary */
} by_seeds[] = {
    {"composite gain, largest over layers",
     {OVER_SEEDS("composite_forward_sum_max", "forward, sum"), OVER_SEEDS("composite_forward_abs_max", "forward, abs"),
      OVER_SEEDS("composite_backward_sum_max", "backward, sum"),
      OVER_SEEDS("composite_backward_abs_max", "backward, abs")}},
    {"H_L...H_1",
     {OVER_SEEDS("composite_spectral_norm_last", "spectral norm"),
      OVER_SEEDS("composite_smallest_singular_last", "smallest singular value"),
      OVER_SEEDS("composite_lambda2_last", "|lambda_2|"),
      OVER_SEEDS("composite_dobrushin_last", "Dobrushin coefficient")}},
    {"streams: RMS, largest over layers; the last layer's input",
     {OVER_SEEDS("x_rms_max", "x_l"), OVER_SEEDS("grad_x_rms_max", "gradient by x_l"),
      OVER_SEEDS("stream_similarity_last", "stream similarity"), OVER_SEEDS("effective_rank_last", "effective rank")}},
};

static bool recorded(struct record_reader *reader, const struct groups *g, int64_t from, int64_t to,
                     const char *summary) {
    for (int64_t k = from; k < to; k++)
        if (result_of(reader, &g->group[k], summary).measured)
            return true;
    return false;
}

/* `rows` of the groups [from, to), whose common options are `constants`. */
static void add_table(struct record_reader *reader, const struct groups *g, int64_t from, int64_t to, int64_t rows,
                      int which, const char *constants, struct tables *t) {
    const struct column *const summary = by_seeds[which].columns;
    struct column columns[6] = {{"case", by_seeds[which].title, .width = -1}, {"seeds", "seeds", .width = 5}};
    char title[1200], label[LABEL_SIZE], cell[4][TEXT];
    bool present = false;
    for (int c = 0; c < 4; c++) {
        columns[2 + c] = summary[c];
        present |= recorded(reader, g, from, to, summary[c].name);
    }
    if (!present)
        return;
    snprintf(title, sizeof title, "%s: %s", constants, by_seeds[which].title);
    tables_say(t, "\n");
    table_begin(t, title, columns);
    for (int64_t k = from; k < from + rows; k++) {
        struct value row[6] = {in_words(label), in_wholes(g->group[k].count)};
        groups_label_within(g, from, to, k, label, sizeof label);
        for (int c = 0; c < 4; c++)
            row[2 + c] = in_quantiles(result_of(reader, &g->group[k], summary[c].name), cell[c]);
        table_row_of(t, row, 6);
    }
    table_end(t);
    if (from + rows < to)
        tables_say(t, "... %lld more rows: --all\n", (long long)(to - from - rows));
}

/* The ensemble of a block that stands beside the paper: its shape, and of those with the most seeds, if there are
 * several, the one whose median is nearest. That choice is the calibration, and `candidates` says how many it was
 * made from. -1: none. */
static int64_t headline_group(struct record_reader *reader, const struct groups *g, const char *connection,
                              const char *summary, double paper, int *candidates) {
    int64_t best = -1;
    double distance = INFINITY;
    *candidates = 0;
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        const struct params *p = &group->p;
        bool shape = !strcmp(params_connection(p)->name, connection) && p->depth == 60 && p->streams == 4 &&
                     p->rounding == ROUND_NONE && p->study == STUDY_MAPS && p->init == INIT_LATENT &&
                     p->convention == 0 && p->alpha == 0 && (connection_is_hc(params_connection(p)) || p->t_max == 20);
        double off = shape ? fabs(log(groups_summary(reader, group, summary).median / paper)) : NAN;
        if (isnan(off) || (best >= 0 && group->count < g->group[best].count))
            continue;
        bool more = best < 0 || group->count > g->group[best].count;
        *candidates = more ? 1 : *candidates + 1;
        if (more || off < distance) {
            best = k;
            distance = off;
        }
    }
    return best;
}

/* false: it has nothing to put beside the paper. */
static bool add_headline(struct record_reader *reader, const struct groups *g, struct tables *t) {
    int hc_of, mhc_of;
    int64_t hc = headline_group(reader, g, "hc", "composite_forward_sum_max", PAPER_HC_GAIN, &hc_of);
    int64_t mhc = headline_group(reader, g, "mhc", "composite_backward_sum_max", PAPER_MHC_GAIN, &mhc_of);
    if (hc < 0 || mhc < 0 || g->group[hc].count < ENOUGH_SEEDS || g->group[mhc].count < ENOUGH_SEEDS)
        return false;
    const struct {
        int64_t group;
        const char *text, *summary, *paper;
    } rows[] = {{hc, "HC   forward  H_l...H_1, sum", "composite_forward_sum_max", "about 3000"},
                {hc, "HC   forward  H_l...H_1, abs", "composite_forward_abs_max", ""},
                {mhc, "mHC  backward H_L...H_l, sum", "composite_backward_sum_max", "about 1.6"},
                {mhc, "mHC  backward H_L...H_l, abs", "composite_backward_abs_max", ""},
                {mhc, "mHC  forward  H_l...H_1, sum", "composite_forward_sum_max", "1 in every layer"}};
    static const struct column columns[] = {
        {"reading", "", .width = -30},
        {"gain_log10", "ours: median [q10, q90]", .width = 28, .low = "_q10", .high = "_q90"},
        {"median_log10", "95 % of the median", .width = 18, COLUMN_INTERVAL},
        {"paper", "paper: 27B, trained", .width = -1},
    };
    tables_say(t, "\nComposite Amax gain, 60 layers, n = 4, t_max = 20\n\n");
    table_begin(t, "composite Amax gain, 60 layers, n = 4, t_max = 20", columns);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        char low[32], high[32], interval[80], cell[TEXT];
        struct result r = result_of(reader, &g->group[rows[k].group], rows[k].summary);
        snprintf(interval, sizeof interval, "%s to %s", number(r.low, true, low, sizeof low),
                 number(r.high, true, high, sizeof high));
        table_row(t, in_words(rows[k].text), in_quantiles(r, cell), in_interval(interval, r.median, r.low, r.high),
                  in_words(rows[k].paper));
    }
    char text[32];
    double ratio = result_of(reader, &g->group[hc], "composite_forward_sum_max").median -
                   result_of(reader, &g->group[mhc], "composite_backward_sum_max").median;
    table_row(t, in_words("HC / mHC"), in_interval(number(ratio, true, text, sizeof text), ratio, NAN, NAN),
              in_interval("", NAN, NAN, NAN), in_words("three orders of magnitude"));
    table_end(t);
    tables_say(t, "\nOurs: untrained ensembles, set beside the paper's trained maps by their median:\n");
    const int64_t chosen[2] = {hc, mhc};
    for (int k = 0; k < 2; k++) {
        int of = k ? mhc_of : hc_of;
        tables_say(t, "  %-4s %lld seeds: %s\n", k ? "mHC" : "HC", (long long)g->group[chosen[k]].count,
                   g->group[chosen[k]].label);
        if (of > 1)
            tables_say(
                t,
                "       chosen of %d in this file for being nearest, on these same seeds: a calibration, not a result\n",
                of);
    }
    return true;
}

static void say_head(struct record_reader *reader, const char *path, struct tables *t) {
    const char *const *status = record_texts(reader, "status"), *const *reason = record_texts(reader, "reason");
    const char *const *keys = record_texts(reader, "key");
    const double *seconds = record_reals(reader, "seconds");
    const char *name, *value, *command = record_attribute(reader, "command");
    char part[DEVICE_TEXT];
    double total = 0;
    int64_t failed = 0;
    for (int64_t k = 0; k < record_count(reader); k++) {
        total += seconds ? seconds[k] : 0;
        failed += !strcmp(status[k], "failed");
    }
    tables_say(t, "%s: %lld cases, %lld failed, %.1f s of computing%s\n", path, (long long)record_count(reader),
               (long long)failed, total,
               record_complete(reader) ? ""
                                       : "; NOT COMPLETE (interrupted, still running, or merged without all shards)");
    tables_say(t, "%s", command ? command : "");
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value) && (!strcmp(name, "revision") || !strcmp(name, "cpu_model")))
            tables_say(t, "; %s %s", name, value);
    tables_say(t, "\n");
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value) && !strcmp(name, "device"))
            for (int at = 0; device_warning(value, at, part, sizeof part); at++)
                tables_say(t, "warning: when it began, the device: %s\n", part);
    for (int64_t k = 0, shown = 0; k < record_count(reader) && shown < 5; k++)
        if (!strcmp(status[k], "failed") && ++shown)
            tables_say(t, "failed: %s: %s\n", keys[k], reason ? reason[k] : "");
}

/* Groups are in the order of the suite: a stretch ends where the study, what is measured or the ensemble of depths
 * changes. */
static bool alike(const struct params *a, const struct params *b) {
    return a->study == b->study && a->measure == b->measure && a->record == b->record && a->width == b->width &&
           a->tokens == b->tokens && !strcmp(a->input, b->input) && !strcmp(a->backend, b->backend);
}

/* The headline, or a line that there is none. */
static void add_headlines(struct record_reader *reader, const struct groups *g, struct tables *t) {
    bool shown = add_headline(reader, g, t);
    for (int id = 0; id < STUDIES; id++)
        shown |= shows[id].headline && shows[id].headline(reader, t);
    if (!shown)
        tables_say(
            t,
            "\nNo headline: it takes maps of hc and of mhc, 60 layers, n = 4, t_max = 20, alpha = 0, %d seeds each, or a case of study overhead.\n",
            ENOUGH_SEEDS);
}

static void add_tables(struct record_reader *reader, const struct groups *g, bool all, struct tables *t) {
    char constants[1000];
    add_headline(reader, g, t);
    for (int id = 0; id < STUDIES; id++)
        if (shows[id].tables)
            shows[id].tables(reader, t, all);
    if (g->count > 0)
        tables_say(
            t,
            "\nBelow: median [q10, q90] over seeds of token means. sum = max |sum| of rows (forward) or columns (backward), the paper's\n"
            "words; abs = max sum of |entries|, the induced norm. overflow: NaN or Inf came out; rounding: below what float64 resolves; -: not measured.\n");
    for (int64_t from = 0, to; from < g->count; from = to) {
        for (to = from + 1; to < g->count && alike(&g->group[from].p, &g->group[to].p); to++)
            ;
        groups_constants(g, from, to, constants, sizeof constants);
        tables_say(t, "\n%s\n", constants);
        for (int which = 0; which < (int)(sizeof by_seeds / sizeof *by_seeds); which++)
            add_table(reader, g, from, to, all || to - from <= MOST_ROWS ? to - from : MOST_ROWS, which, constants, t);
    }
}

int show_command(int argc, char **argv) {
    static const char *const formats[] = {"text", "csv", "json"};
    struct groups g;
    struct tables t = {.out = stdout};
    char why[300];
    const char *word = "text";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool all = take_flag(&argc, argv, "--all"), headline_alone = take_flag(&argc, argv, "--headline");
    if (!take_option(&argc, argv, "--format", &word) || !only_positional(argc, argv, 1, 1, usage))
        return EXIT_CANNOT;
    while (t.format <= TABLE_JSON && strcmp(formats[t.format], word))
        t.format++;
    if (t.format > TABLE_JSON)
        return cannot("--format %s: text, csv or json", word);
    struct record_reader *reader = record_open(argv[0]);
    if (!reader)
        return cannot("%s", record_error());
    bool good = groups_read(reader, &g, why, sizeof why);
    if (good) {
        say_head(reader, argv[0], &t);
        if (headline_alone)
            add_headlines(reader, &g, &t);
        else
            add_tables(reader, &g, all, &t);
        groups_release(&g);
    }
    record_close(reader);
    return !good ? cannot("%s: %s", argv[0], why) : tables_end(&t) ? EXIT_GOOD : cannot("out of memory");
}
