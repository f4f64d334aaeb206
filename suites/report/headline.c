#include "suites/report/headline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/over_seeds.h"
#include "suites/report/paper.h"

enum { ENOUGH_SEEDS = 32, MOST_RATES = 16 };

/* A row of the table: connection, reading, and the paper's number. */
static const struct reading {
    const char *connection, *text, *summary, *paper;
} readings[] = {{"hc", "HC   forward  H_l...H_1, sum", "composite_forward_sum_max", "about 3000"},
                {"hc", "HC   forward  H_l...H_1, abs", "composite_forward_abs_max", ""},
                {"mhc", "mHC  backward H_L...H_l, sum", "composite_backward_sum_max", "about 1.6"},
                {"mhc", "mHC  backward H_L...H_l, abs", "composite_backward_abs_max", ""},
                {"mhc", "mHC  forward  H_l...H_1, sum", "composite_forward_sum_max", "1 in every layer"}};
enum { READINGS = sizeof readings / sizeof *readings };

static bool is_shape(const struct params *p, enum study_id study, const char *connection) {
    return p->study == (int64_t)study && !strcmp(params_connection(p)->name, connection) && p->depth == 60 &&
           p->streams == 4 && p->convention == 0 && (connection_is_hc(params_connection(p)) || p->t_max == 20);
}

/* ---- random maps ---- */

struct chosen {
    int64_t group; /* -1: none */
    int candidates;
};

/* The ensemble of a connection that stands beside the paper: of those with the most seeds the one whose median is
 * nearest. That choice is the calibration, and `candidates` says how many it was made from. */
static struct chosen choose_random(struct record_reader *reader, const struct groups *g, const char *connection,
                                   const char *summary, double paper) {
    struct chosen best = {.group = -1};
    double distance = INFINITY;
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        const struct params *p = &group->p;
        bool shape = is_shape(p, STUDY_MAPS, connection) && !p->from[0] && p->rounding == ROUND_NONE &&
                     p->init == INIT_LATENT && p->alpha == 0 && group->count >= ENOUGH_SEEDS;
        double off = shape ? fabs(log(groups_summary(reader, group, summary).median / paper)) : NAN;
        if (isnan(off) || (best.group >= 0 && group->count < g->group[best.group].count))
            continue;
        bool more = best.group < 0 || group->count > g->group[best.group].count;
        best.candidates = more ? 1 : best.candidates + 1;
        if (more || off < distance) {
            best.group = k;
            distance = off;
        }
    }
    return best;
}

static void say_random(const struct groups *g, const struct chosen *hc, const struct chosen *mhc, bool brief,
                       struct tables *t) {
    const struct chosen *const chosen[2] = {hc, mhc};
    tables_say(t, "%sRandom: untrained ensembles, set beside the paper's trained maps by their median.\n",
               brief ? "" : "\n");
    if (hc->candidates > 1 || mhc->candidates > 1)
        tables_say(t, "HC's was chosen of %d and mHC's of %d for being nearest: a calibration, not a result.\n",
                   hc->candidates, mhc->candidates);
    for (int k = 0; k < 2 && !brief; k++)
        tables_say(t, "  %-4s %lld seeds: %s\n", k ? "mHC" : "HC", (long long)g->group[chosen[k]->group].count,
                   g->group[chosen[k]->group].label);
}

/* ---- trained stacks ---- */

/* Trained in the demonstration's setting, at a rate or, where that is 0, at the setting's own; -1: none. */
static int64_t find_trained(const struct groups *g, const char *connection, double rate) {
    struct params standard;
    int64_t found = -1;
    params_defaults(&standard);
    for (int64_t k = 0; k < g->count; k++) {
        const struct params *p = &g->group[k].p;
        bool fits = is_shape(p, STUDY_TRAIN, connection) && p->steps == standard.steps &&
                    p->warm_up == standard.warm_up && p->start == standard.start &&
                    p->connection_factor == standard.connection_factor &&
                    p->learning_rate == (rate > 0 ? rate : standard.learning_rate);
        if (fits && (found < 0 || g->group[k].count > g->group[found].count))
            found = k;
    }
    return found;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The rates at which HC was trained in that setting, ascending. */
static int rates_of(const struct groups *g, double rates[MOST_RATES]) {
    int count = 0;
    for (int64_t k = 0; k < g->count && count < MOST_RATES; k++)
        if (g->group[k].p.study == STUDY_TRAIN && find_trained(g, "hc", g->group[k].p.learning_rate) == k)
            rates[count++] = g->group[k].p.learning_rate;
    qsort(rates, (size_t)count, sizeof *rates, ascending);
    return count;
}

/* Says how far the gain depends on the learning rate. */
static void add_rates(struct record_reader *reader, const struct groups *g, struct tables *t) {
    static const struct column columns[] = {
        {"learning_rate", "rate", .width = -8},
        {"seeds", "seeds", .width = 5},
        {"hc_forward_log10", "HC forward, sum", .width = 32, .low = "_least", .high = "_most"},
        {"mhc_backward_log10", "mHC backward, sum", .width = 28, .low = "_least", .high = "_most"},
    };
    double rates[MOST_RATES];
    int count = rates_of(g, rates);
    if (count < 2)
        return;
    tables_say(t,
               "\nThe gain depends on the rate and on the number of steps. The same at other rates, median [smallest, "
               "largest]:\n\n");
    table_begin(t, "composite Amax gain of trained stacks at other learning rates", columns);
    for (int k = 0; k < count; k++) {
        char rate[32], cell[2][OVER_SEEDS_TEXT];
        int64_t hc = find_trained(g, "hc", rates[k]), mhc = find_trained(g, "mhc", rates[k]);
        snprintf(rate, sizeof rate, "%g", rates[k]);
        table_row(t, in_interval(rate, rates[k], NAN, NAN), in_wholes(g->group[hc].count),
                  in_range(over_seeds_of(reader, &g->group[hc], "composite_forward_sum_max"), cell[0]),
                  mhc < 0 ? in_reals(NAN)
                          : in_range(over_seeds_of(reader, &g->group[mhc], "composite_backward_sum_max"), cell[1]));
    }
    table_end(t);
}

static void say_trained(const struct groups *g, int64_t hc, int64_t mhc, bool brief, struct tables *t) {
    const struct params *p = &g->group[hc].p;
    if (brief)
        tables_say(t, "Trained: %lld blocks, C = %lld, %lld steps at rate %g; %lld seeds of HC, %lld of mHC.\n",
                   (long long)p->depth / 2, (long long)p->width, (long long)p->steps, p->learning_rate,
                   (long long)g->group[hc].count, (long long)g->group[mhc].count);
    else
        tables_say(
            t,
            "\nTrained: byte-level language models of %lld blocks, C = %lld, %lld x %lld bytes per step, %lld steps of "
            "AdamW at rate %g; %lld seeds of HC, %lld of mHC; text %s\n",
            (long long)p->depth / 2, (long long)p->width, (long long)p->batch, (long long)p->sequence,
            (long long)p->steps, p->learning_rate, (long long)g->group[hc].count, (long long)g->group[mhc].count,
            p->input);
}

/* ---- both beside the paper ---- */

static struct value cell_of(struct record_reader *reader, const struct groups *g, int64_t group, const char *summary,
                            bool range, char text[OVER_SEEDS_TEXT]) {
    struct over_seeds r = over_seeds_of(reader, &g->group[group], summary);
    return range ? in_range(r, text) : in_quantiles(r, text);
}

/* Says in words what the table says. */
static void say_answer(struct record_reader *reader, const struct group *hc, const struct group *mhc, bool trained,
                       struct tables *t) {
    char text[2][OVER_SEEDS_TEXT];
    struct over_seeds r[2] = {over_seeds_of(reader, hc, "composite_forward_sum_max"),
                              over_seeds_of(reader, mhc, "composite_backward_sum_max")};
    for (int k = 0; k < 2; k++)
        trained ? in_range(r[k], text[k]) : in_quantiles(r[k], text[k]);
    if (r[0].measured && r[1].measured)
        tables_say(t, "%s HC amplifies a signal by %s, %s mHC a gradient by %s.\n", trained ? "Trained" : "Random",
                   text[0], trained ? "trained" : "random", text[1]);
}

unsigned headline_gains(struct record_reader *reader, const struct groups *g, bool brief, struct tables *t) {
    const struct chosen hc = choose_random(reader, g, "hc", "composite_forward_sum_max", PAPER_HC_GAIN),
                        mhc = choose_random(reader, g, "mhc", "composite_backward_sum_max", PAPER_MHC_GAIN);
    int64_t trained_hc = find_trained(g, "hc", 0), trained_mhc = find_trained(g, "mhc", 0);
    bool random = hc.group >= 0 && mhc.group >= 0, trained = trained_hc >= 0 && trained_mhc >= 0;
    struct column columns[5] = {{"reading", "Amax gain, 60 layers", .width = -28}};
    int count = 1;
    if (trained)
        columns[count++] = (struct column){"trained_log10", "trained [least, most]", .width = 21, .low = "_least",
                                           .high = "_most"};
    if (random) {
        columns[count++] = (struct column){"gain_log10", "random [q10, q90]", .width = 19, .low = "_q10",
                                           .high = "_q90"};
        columns[count++] = (struct column){"median_log10", NULL, COLUMN_INTERVAL};
    }
    columns[count++] = (struct column){"paper", "paper: 27B", .width = -1};
    if (!trained && !random)
        return 0;
    tables_say(t, brief ? "\n"
                        : "\nComposite Amax gain, n = 4, t_max = 20: median over seeds and what it lies between.\n");
    if (trained)
        say_answer(reader, &g->group[trained_hc], &g->group[trained_mhc], true, t);
    if (random)
        say_answer(reader, &g->group[hc.group], &g->group[mhc.group], false, t);
    tables_say(t, "\n");
    table_begin_of(t, "composite Amax gain, 60 layers, n = 4, t_max = 20", columns, count);
    for (int k = 0; k < READINGS; k++) {
        const struct reading *reading = &readings[k];
        bool is_hc = !strcmp(reading->connection, "hc");
        char cell[2][OVER_SEEDS_TEXT];
        struct value row[5] = {in_words(reading->text)};
        int used = 1;
        if (trained)
            row[used++] = cell_of(reader, g, is_hc ? trained_hc : trained_mhc, reading->summary, true, cell[0]);
        if (random) {
            int64_t group = is_hc ? hc.group : mhc.group;
            struct over_seeds r = over_seeds_of(reader, &g->group[group], reading->summary);
            row[used++] = cell_of(reader, g, group, reading->summary, false, cell[1]);
            row[used++] = in_interval(NULL, r.median, r.low, r.high);
        }
        row[used++] = in_words(reading->paper);
        table_row_of(t, row, used);
    }
    table_end(t);
    if (trained)
        say_trained(g, trained_hc, trained_mhc, brief, t);
    if (trained && !brief)
        add_rates(reader, g, t);
    if (random)
        say_random(g, &hc, &mhc, brief, t);
    return (random ? HEADLINE_RANDOM : 0) | (trained ? HEADLINE_TRAINED : 0);
}
