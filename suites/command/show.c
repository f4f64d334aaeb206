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
#include "suites/command/show.h"
#include "suites/case/choice.h"
#include "suites/report/headline.h"
#include "suites/report/over_seeds.h"
#include "suites/report/shows.h"
#include "suites/rows/device.h"

static const char usage[] = "show FILE.h5 [case options] [--headline | --all | --account] [--format text|csv|json]";
static const char help[] =
    "Prints the tables of a record. The headline beside the paper's numbers comes first, then one table per group of "
    "like cases, over seeds, then the tables of timed studies. Text has at most 100 columns.\n\n"
    "  case options  select cases, as in `run`: --connection mhc, --t-max 20,100 ...\n"
    "  --headline    the answer to the question of each study alone, in at most 15 lines under the file's\n"
    "  --all         every row of tables that have more than 24\n"
    "  --account     also what explains each case: the time of every part of a step, the course of a training\n"
    "  --format F    text (default), csv or json. csv and json have the same tables in SI units; gains over layers "
    "are log10, as in the record\n";
enum { MOST_ROWS = 24, LABEL_SIZE = 200, CELL = 16, COLUMNS = 100, HEADLINE_LINES = 2 + 15 };

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
    {"reach over depth: |M| of sources in later inputs; M's last row is the exit",
     {OVER_SEEDS("reach_forward_max_max", "forward, largest"), OVER_SEEDS("reach_backward_max", "backward, largest"),
      OVER_SEEDS("reach_sources_last", "sources at exit"), OVER_SEEDS("reach_rank_last", "rank at exit")}},
    {"H_L...H_1",
     {OVER_SEEDS("composite_spectral_norm_last", "spectral norm"),
      OVER_SEEDS("composite_smallest_singular_last", "least singular value"),
      OVER_SEEDS("composite_lambda2_last", "|lambda_2|"),
      OVER_SEEDS("composite_dobrushin_last", "Dobrushin coefficient")}},
    {"streams: RMS, largest over layers; the last layer's input",
     {OVER_SEEDS("x_rms_max", "x_l"), OVER_SEEDS("grad_x_rms_max", "gradient by x_l"),
      OVER_SEEDS("stream_similarity_last", "stream similarity"), OVER_SEEDS("effective_rank_last", "effective rank")}},
};

static bool recorded(struct record_reader *reader, const struct groups *g, int64_t from, int64_t to,
                     const char *summary) {
    for (int64_t k = from; k < to; k++)
        if (over_seeds_of(reader, &g->group[k], summary).measured)
            return true;
    return false;
}

/* `rows` of the groups [from, to), whose common options are `constants`. */
static void add_table(struct record_reader *reader, const struct groups *g, int64_t from, int64_t to, int64_t rows,
                      int which, const char *constants, struct tables *t) {
    const struct column *const summary = by_seeds[which].columns;
    struct column columns[6] = {{"case", "case", .width = -1}, {"seeds", "seeds", .width = 5}};
    char title[1200], label[LABEL_SIZE], cell[4][OVER_SEEDS_TEXT];
    bool present = false, varies[PARAMS_MOST];
    for (int c = 0; c < 4; c++) {
        columns[2 + c] = summary[c];
        present |= recorded(reader, g, from, to, summary[c].name);
    }
    if (!present)
        return;
    snprintf(title, sizeof title, "%s: %s", constants, by_seeds[which].title);
    tables_say(t, "\n%s\n\n", by_seeds[which].title);
    table_begin(t, title, columns);
    groups_variation(g, from, to, varies);
    for (int64_t k = from; k < from + rows; k++) {
        struct value row[6] = {in_words(label), in_wholes(g->group[k].count)};
        groups_label_within(g, varies, k, label, sizeof label);
        for (int c = 0; c < 4; c++)
            row[2 + c] = in_quantiles(over_seeds_of(reader, &g->group[k], summary[c].name), cell[c]);
        table_row_of(t, row, 6);
    }
    table_end(t);
    if (from + rows < to)
        tables_say(t, "... %lld more rows: --all\n", (long long)(to - from - rows));
}

/* What cases are that have no end yet. A run that was killed did not say so: its file still says "running". */
static const char *cut_off_word(struct record_reader *reader) {
    const char *status = record_attribute(reader, "status");
    return status && !strcmp(status, "running") ? "unfinished" : "interrupted";
}

static void say_head(struct record_reader *reader, const char *path, bool brief, struct tables *t) {
    const char *const *status = record_texts(reader, "status"), *const *reason = record_texts(reader, "reason");
    const char *const *keys = record_texts(reader, "key");
    const double *seconds = record_reals(reader, "seconds");
    const char *name, *value, *command = record_attribute(reader, "command");
    char part[DEVICE_TEXT];
    double total = 0;
    int64_t failed = 0, cut_off = 0;
    for (int64_t k = 0; k < record_count(reader); k++) {
        total += seconds ? seconds[k] : 0;
        cut_off += record_cut_off(reader, k);
        failed += !strcmp(status[k], "failed");
    }
    char made[300] = "", open[60] = "";
    if (cut_off)
        snprintf(open, sizeof open, ", %lld %s", (long long)cut_off, cut_off_word(reader));
    for (int k = 0; k < record_fact_count(reader); k++)
        if (record_fact(reader, k, &name, &value) && (!strcmp(name, "revision") || !strcmp(name, "cpu_model")))
            snprintf(made + strlen(made), sizeof made - strlen(made), "; %s%s",
                     strcmp(name, "revision") ? "" : "revision ", value);
    tables_say(t, "%s: %lld case%s, %lld failed%s, %.1f s of computing%s\n%s", path, (long long)record_count(reader),
               record_count(reader) == 1 ? "" : "s", (long long)(failed - cut_off), open, total, made,
               record_complete(reader) ? ""
                                       : "NOT COMPLETE: interrupted, still running, or merged without all shards\n");
    if (brief)
        return;
    if (command)
        tables_say(t, "%s\n", command);
    const char *device = record_fact_called(reader, "device");
    for (int at = 0; device && device_warning(device, at, part, sizeof part); at++)
        tables_say(t, "warning: when it began, the device: %s\n", part);
    for (int64_t k = 0, shown = 0; k < record_count(reader) && shown < 5; k++)
        if (!strcmp(status[k], "failed") && ++shown)
            tables_say(t, "%s: %s: %s\n", record_cut_off(reader, k) ? cut_off_word(reader) : "failed", keys[k],
                       reason ? reason[k] : "");
}

/* Groups are in the order of the suite. A stretch ends where the study, what it measures or the size, input or backend
 * of the stack changes. */
static bool alike(const struct params *a, const struct params *b) {
    return a->study == b->study && a->measure == b->measure && a->record == b->record && a->width == b->width &&
           a->tokens == b->tokens && !strcmp(a->input, b->input) && !strcmp(a->backend, b->backend);
}

static void add_headlines(struct record_reader *reader, const struct groups *g, struct tables *t) {
    unsigned gains = headline_gains(reader, g, true, t);
    bool shown = gains;
    for (int id = 0; id < STUDIES; id++)
        shown |= shows[id].headline && shows[id].headline(reader, t, gains);
    if (!shown)
        tables_say(t, "\nNo headline: no case that is done answers a question.\n");
}

/* Prints at most so many lines of a text; the last one says where to find more. */
static void print_lines(const char *text, int most, const char *path) {
    int lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    for (int line = 1; *text && (lines <= most || line < most); line++) {
        const char *end = strchr(text, '\n');
        printf("%.*s\n", (int)(end ? end - text : (long)strlen(text)), text);
        text = end ? end + 1 : "";
    }
    if (lines > most)
        printf("... more: mhcbench show %s\n", path);
}

/* Text is kept until its length is known. */
static void print_headline(struct record_reader *reader, const struct groups *g, const char *path, struct tables *t) {
    char *text = NULL;
    size_t size;
    FILE *kept = t->format == TABLE_TEXT ? open_memstream(&text, &size) : NULL;
    t->out = kept ? kept : stdout;
    say_head(reader, path, true, t);
    add_headlines(reader, g, t);
    t->out = stdout;
    if (kept) {
        fclose(kept);
        print_lines(text, HEADLINE_LINES, path);
    }
    free(text);
}

static void add_tables(struct record_reader *reader, const struct groups *g, unsigned how, struct tables *t) {
    char constants[1000];
    bool all = how & SHOW_ALL;
    headline_gains(reader, g, false, t);
    for (int id = 0; id < STUDIES; id++)
        if (shows[id].tables)
            shows[id].tables(reader, t, how);
    if (g->count > 0)
        tables_say(t,
                   "\nBelow: median [q10, q90] over seeds of token means. sum = max |sum| of rows (forward) or columns "
                   "(backward), "
                   "the paper's words; abs = max sum of |entries|, the induced norm. overflow: NaN or Inf came out; "
                   "rounding: "
                   "below what float64 resolves; -: not measured.\n");
    for (int64_t from = 0, to; from < g->count; from = to) {
        for (to = from + 1; to < g->count && alike(&g->group[from].p, &g->group[to].p); to++)
            ;
        groups_constants(g, from, to, constants, sizeof constants);
        tables_say(t, "\n%s\n", constants);
        show_costs(reader, g, from, to, all || to - from <= MOST_ROWS ? to - from : MOST_ROWS, t);
        for (int which = 0; which < (int)(sizeof by_seeds / sizeof *by_seeds); which++)
            add_table(reader, g, from, to, all || to - from <= MOST_ROWS ? to - from : MOST_ROWS, which, constants, t);
    }
}

void show_write(struct record_reader *reader, const struct groups *g, const char *path, unsigned how,
                struct tables *t) {
    say_head(reader, path, false, t);
    add_tables(reader, g, how, t);
}

int show_command(int argc, char **argv) {
    static const char *const formats[] = {"text", "csv", "json"};
    struct groups g;
    struct tables t = {.out = stdout, .most = COLUMNS};
    char why[300];
    const char *word = "text", *file = NULL;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool headline_alone = take_flag(&argc, argv, "--headline");
    unsigned how = (take_flag(&argc, argv, "--all") ? SHOW_ALL : 0) |
                   (take_flag(&argc, argv, "--account") ? SHOW_ACCOUNT : 0);
    if (!take_option(&argc, argv, "--format", &word))
        return EXIT_CANNOT;
    if (!choice_files(argc, argv, &file, 1, usage))
        return EXIT_CANNOT;
    while (t.format <= TABLE_JSON && strcmp(formats[t.format], word))
        t.format++;
    if (t.format > TABLE_JSON)
        return cannot("--format %s: text, csv or json", word);
    struct record_reader *reader = record_open(file);
    if (!reader)
        return cannot("%s", record_error());
    if (!choice_select(reader, file, &argc, argv)) {
        record_close(reader);
        return EXIT_CANNOT;
    }
    bool good = groups_read(reader, &g, why, sizeof why);
    if (good) {
        if (headline_alone)
            print_headline(reader, &g, file, &t);
        else
            show_write(reader, &g, file, how, &t);
        groups_release(&g);
    }
    record_close(reader);
    return !good ? cannot("%s: %s", file, why) : tables_end(&t) ? EXIT_GOOD : cannot("out of memory");
}
