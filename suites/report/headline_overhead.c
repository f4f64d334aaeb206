/* The headline of study `overhead`: what mHC costs in a training step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/overhead_lines.h"
#include "suites/report/paper.h"
#include "suites/report/shows.h"
#include "suites/case/presets.h"

static bool in_bf16(const struct params *p) {
    return !strcmp(params_word(p, "type"), "bf16");
}

/* Whether our own backend has float32 as its widest type. */
static bool is_of_float32(const char *backend) {
    return !strcmp(backend, "cuda") || !strcmp(backend, "emu") || !strcmp(backend, "cpu32");
}

/* The type of the streams in words. The widest of a library of one's own is its own affair. */
static const char *type_of(const struct params *p) {
    const char *type = params_word(p, "type");
    if (!strcmp(type, "widest"))
        type = !strcmp(p->backend, "cpu64")                      ? "f64"
               : params_is_model(p) || is_of_float32(p->backend) ? "f32"
                                                                 : "its widest type";
    return !strcmp(type, "f64") ? "float64" : !strcmp(type, "f32") ? "float32" : type;
}

/* How near a case is to what the paper's figure is of: its 27B shape, the GEMMs of its active parameters, without
 * overlap for what the connection costs by itself, without attention's core to be on the safe side; then one that has
 * an interval; then the largest. A measured case comes before every computed one. */
static double nearness(struct record_reader *r, const struct overhead_line *line) {
    const struct params *p = &line->p;
    bool known = isfinite(overhead_variant_value(r, line->index, STEP_MHC, OVERHEAD_HIGH));
    return -1e4 * line->model + 1e3 * (p->preset == PRESET_27B) + 1e2 * (p->kind == PRESET_ACTIVE && p->preset) +
           2e1 * in_bf16(p) + 10 * !p->overlap + 10 * !p->attention + 10 * !p->optimizer + known +
           1e-2 * log((double)p->tokens * (double)p->width * (double)p->depth) + 1e-3 * (double)p->graphs;
}

/* The connection that the sentence is about: mHC in the faster of its fused forms, else the first that was timed. */
static int subject_of(struct record_reader *r, const struct overhead_line *line) {
    enum overhead_value known = line->model ? OVERHEAD_RATIO : OVERHEAD_HIGH; /* a result has an interval */
    double fused = overhead_variant_value(r, line->index, STEP_MHC, known),
           layers = overhead_variant_value(r, line->index, STEP_MHC_LAYERS, known);
    if (isfinite(fused) || isfinite(layers))
        return isfinite(layers) && !(fused <= layers) ? STEP_MHC_LAYERS : STEP_MHC;
    for (int v = STEP_RESIDUAL + 1; v < STEP_VARIANTS; v++)
        if (isfinite(overhead_variant_value(r, line->index, v, known)))
            return v;
    return STEP_RESIDUAL;
}

/* "mHC (across layers)" of "mHC, across layers". */
static const char *label_of(int v, char name[80]) {
    const char *label = step_way(v).label, *comma = strstr(label, ", ");
    if (comma)
        snprintf(name, 80, "%.*s (%s)", (int)(comma - label), label, comma + 2);
    return comma ? name : label;
}

static void say_cost(struct record_reader *r, const struct overhead_line *line, struct tables *t) {
    int v = subject_of(r, line);
    char name[80];
    const char *where = line->cpu ? "this CPU" : "this GPU", *type = type_of(&line->p);
    double x = 100 * overhead_variant_value(r, line->index, v, OVERHEAD_RATIO),
           low = 100 * overhead_variant_value(r, line->index, v, OVERHEAD_LOW),
           high = 100 * overhead_variant_value(r, line->index, v, OVERHEAD_HIGH);
    if (line->model && v != STEP_RESIDUAL)
        tables_say(
            t,
            "\nMODEL: by bytes, flops and a data sheet %s would cost %.1f %% more time per step than a plain residual "
            "on %s, in %s. Nothing was run or measured.\n",
            label_of(v, name), x, line->p.backend + strlen(BACKEND_MODEL), type);
    else if (v == STEP_RESIDUAL)
        tables_say(t, "\nToo few rounds for an interval: there is no result.\n");
    else if (low <= 0 && high >= 0)
        tables_say(t,
                   "\nThe cost of %s on %s, in %s, is not told from zero: %.1f %% [%.1f, %.1f] of a step with a "
                   "plain residual.\n",
                   label_of(v, name), where, type, x, low, high);
    else
        tables_say(t, "\n%s costs %.1f %% [%.1f, %.1f] %s time per step than a plain residual on %s, in %s.\n",
                   label_of(v, name), fabs(x), low < 0 ? -high : low, low < 0 ? -low : high, low < 0 ? "less" : "more",
                   where, type);
    if (line->cpu)
        tables_say(t, "On the CPU it shows that everything runs and says nothing about a GPU.\n");
    else
        tables_say(
            t, "One GPU, no pipeline; the paper's %g %% is of a whole training in bf16 on a cluster, with overlap.\n",
            100 * PAPER_OVERHEAD);
    if (line->unfinished)
        tables_say(t, "This case is unfinished: its overheads stand, its account is not done (flag u).\n");
}

/* Which kernels ran, and the case among `count`. */
static void say_case(struct record_reader *r, const struct overhead_line *line, int64_t count, struct tables *t) {
    char device[80], rows[200], options[600], among[80] = "";
    static const char *const left_out[] = {"study", "timed", "seed", "rounds", "budget", NULL}, *const none[] = {NULL};
    const char *core = record_fact_called(r, "openblas_core");
    bool named = overhead_reason(line->note, step_name(subject_of(r, line)), rows, sizeof rows);
    groups_device(r, line->p.backend, device, sizeof device);
    groups_case_constants(&line->p, left_out, none, options, sizeof options);
    if (count > 1)
        snprintf(among, sizeof among, ", of %lld cases the nearest to the paper's", (long long)count);
    tables_say(t, "Kernels: %s%s%s%s%s.\nCase: %s%s.\n", line->p.backend, line->cpu ? ", GEMM of OpenBLAS " : ", ",
               line->cpu ? core ? core : "" : device, named ? ", " : "", named ? rows : "", options, among);
}

static void add_table(struct record_reader *r, const struct overhead_line *line, struct tables *t) {
    static const struct column columns[] = {
        {"connection", "connection", .width = -11},
        {"seconds", "step/ms", .width = 8, .digits = 3, .scale = 1e3},
        {"overhead", "overhead [95 %]", .width = 19, COLUMN_INTERVAL},
        {"paper", NULL, COLUMN_PERCENT},
        {"flags", "flags", .width = -1},
    };
    char overhead[64], flags[OVERHEAD_FLAGS], why[200], seen[STEP_VARIANTS * OVERHEAD_FLAGS] = "";
    table_begin(t, record_texts(r, "key")[line->index], columns);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        if (!step_is_timed(line->p.timed, v))
            continue;
        struct value row[] = {in_words(step_name(v)),
                              in_reals(overhead_variant_value(r, line->index, v, OVERHEAD_MEDIAN)),
                              overhead_cell(r, line, v, overhead), in_reals(overhead_of_paper(line, v)),
                              in_words(overhead_flags(r, line, v, flags))};
        bool none = overhead_missing(r, line, v, why);
        row[1].text = none ? why : NULL;
        strcat(seen, none || line->model ? "" : row[4].text);
        table_row_of(t, row, none ? 2 : 5);
    }
    table_end(t);
    if (*seen)
        overhead_flags_legend(seen, t);
}

bool show_overhead_headline(struct record_reader *r, struct tables *t, unsigned gains) {
    (void)gains;
    int64_t count, best = 0;
    struct overhead_line *lines = overhead_lines(r, &count);
    for (int64_t k = 1; k < count; k++)
        best = nearness(r, &lines[k]) > nearness(r, &lines[best]) ? k : best;
    if (count > 0) {
        say_cost(r, &lines[best], t);
        say_case(r, &lines[best], count, t);
        add_table(r, &lines[best], t);
    }
    free(lines);
    return count > 0;
}
