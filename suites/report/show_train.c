/* The tables of study `train`. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/report/groups.h"
#include "suites/report/shows.h"

/* The values of a case that the tables need. */
struct trained_case {
    struct params p;
    struct record_training is;
    int64_t layers;
    bool unfinished;
};

static bool take_case(struct record_reader *r, int64_t index, struct trained_case *c) {
    groups_params(r, index, &c->p);
    c->layers = record_ints(r, "layers")[index];
    c->unfinished = strcmp(record_texts(r, "status")[index], "done");
    return c->p.study == STUDY_TRAIN && record_points(r, index) > 0 && record_training(r, index, &c->is);
}

/* The largest gain over the layers at a point, not its log10; NaN where it was not measured. */
static double gain(struct record_reader *r, const struct trained_case *c, const double *curves, int64_t at,
                   const char *metric) {
    int m = record_metric_called(r, metric);
    return m < 0 ? NAN : pow(10, mhc_curve_max(curves + (at * record_metric_count(r) + m) * c->layers, c->layers));
}

static double largest(const double *values, int64_t count) {
    double most = NAN;
    for (int64_t k = 0; k < count; k++)
        most = fmax(most, values[k]);
    return most;
}

#define GAINS                                                                                \
    {"gain_forward", "forward", .width = 9, .digits = 4, .group = "composite gain, sum"}, {  \
        "gain_backward", "backward", .width = 9, .digits = 4, .group = "composite gain, sum" \
    }

/* One row per case: its state at the end. */
static void add_ends(struct record_reader *r, struct tables *t) {
    static const struct column columns[] = {{"connection", NULL, .width = 0},
                                            {NULL, "connection", .width = -10, .stays = true},
                                            {"start", NULL, .width = -8},
                                            {"layers", "L", .width = 3},
                                            {"learning_rate", "rate", .width = 6, .format = "%.3g"},
                                            {"seed", "seed", .width = 4},
                                            {"steps", "steps", .width = 5},
                                            {"loss", "loss", .width = 6, .format = "%.3f"},
                                            {"held_out_loss", "held out", .width = 8, .format = "%.3f"},
                                            GAINS,
                                            {"gradient_norm_max", "norm max", .width = 9, .format = "%.3g"},
                                            {"seconds_per_step", "ms/step", .width = 8, .format = "%.1f", .scale = 1e3},
                                            {"ended", "", .width = -1}};
    struct trained_case c;
    struct params standard;
    params_defaults(&standard);
    table_begin(t, "--study train: where each case ended", columns);
    for (int64_t i = 0; i < record_count(r); i++) {
        char ended[60] = "", connection[64];
        if (!take_case(r, i, &c))
            continue;
        int64_t last = c.is.points - 1;
        if (c.is.diverged)
            snprintf(ended, sizeof ended, "no number at step %lld", (long long)c.is.diverged);
        else if (c.unfinished)
            snprintf(ended, sizeof ended, "unfinished");
        bool plain = c.p.start == standard.start; /* text names another start beside the connection */
        snprintf(connection, sizeof connection, "%s%s%s", params_connection(&c.p)->name, plain ? "" : " ",
                 plain ? "" : params_word(&c.p, "start"));
        table_row(t, in_words(params_connection(&c.p)->name), in_words(connection),
                  in_words(params_word(&c.p, "start")), in_wholes(c.layers), in_reals(c.p.learning_rate),
                  in_wholes(c.p.seed), in_wholes(c.is.steps), in_reals(c.is.loss[last]),
                  in_reals(c.is.held_out_loss[last]), in_reals(gain(r, &c, c.is.curves, last, "composite_forward_sum")),
                  in_reals(gain(r, &c, c.is.curves, last, "composite_backward_sum")),
                  in_reals(largest(c.is.gradient_norm_max, c.is.points)), in_reals(c.is.seconds_per_step),
                  in_words(ended));
    }
    table_end(t);
}

/* One row per point of one case. */
static void add_course(struct record_reader *r, const struct trained_case *c, const char *title, struct tables *t) {
    static const struct column columns[] = {
        {"step", "step", .width = 6},
        {"rate", "rate", .width = 8, .format = "%.3g"},
        {"loss", "loss", .width = 7, .format = "%.3f"},
        {"held_out_loss", "held out", .width = 8, .format = "%.3f"},
        GAINS,
        {"gradient_norm", "mean", .width = 8, .format = "%.3g", .group = "gradient norm"},
        {"gradient_norm_max", "largest", .width = 8, .format = "%.3g", .group = "gradient norm"}};
    tables_say(t, "\n%s\n\n", title);
    table_begin(t, title, columns);
    for (int64_t k = 0; k < c->is.points; k++)
        table_row(t, in_wholes(c->is.step[k]), in_reals(c->is.rate[k]), in_reals(c->is.loss[k]),
                  in_reals(c->is.held_out_loss[k]), in_reals(gain(r, c, c->is.curves, k, "composite_forward_sum")),
                  in_reals(gain(r, c, c->is.curves, k, "composite_backward_sum")), in_reals(c->is.gradient_norm[k]),
                  in_reals(c->is.gradient_norm_max[k]));
    table_end(t);
}

/* The same weights with other t_max, and without a quarter of the branches. */
static void add_end_of(struct record_reader *r, const struct trained_case *c, struct tables *t) {
    static const struct column by_t_max[] = {{"t_max", "t_max", .width = 6},
                                             GAINS,
                                             {"held_out_loss", "held out", .width = 8, .format = "%.4f"}},
                               by_quarter[] = {{"quarter", "quarter off", .width = 11},
                                               {"held_out_loss", "held out", .width = 8, .format = "%.4f"},
                                               {"added", "added", .width = 8, .format = "%+.4f"}};
    double end = c->is.held_out_loss[c->is.points - 1];
    if (c->is.t_max[0]) {
        tables_say(t, "\n");
        table_begin(t, "trained weights at other t_max", by_t_max);
        for (int64_t k = 0; k < RECORD_PROJECTIONS; k++)
            table_row(t, in_wholes(c->is.t_max[k]),
                      in_reals(gain(r, c, c->is.t_max_curves, k, "composite_forward_sum")),
                      in_reals(gain(r, c, c->is.t_max_curves, k, "composite_backward_sum")),
                      in_reals(c->is.t_max_held_out_loss[k]));
        table_end(t);
    }
    if (isnan(c->is.held_out_loss_without_quarter[0]))
        return;
    tables_say(t, "\n");
    table_begin(t, "branches of a quarter of the layers switched off", by_quarter);
    for (int64_t q = 0; q < 4; q++)
        table_row(t, in_wholes(q + 1), in_reals(c->is.held_out_loss_without_quarter[q]),
                  in_reals(c->is.held_out_loss_without_quarter[q] - end));
    table_end(t);
}

void show_train(struct record_reader *r, struct tables *t, unsigned how) {
    bool account = how & SHOW_ACCOUNT;
    struct trained_case c;
    bool any = false;
    for (int64_t i = 0; record_max_points(r) && i < record_count(r); i++) {
        if (!take_case(r, i, &c))
            continue;
        if (!any) {
            tables_say(
                t,
                "\nTrained stacks. Losses in nats per byte: of the steps since the point before, and of held-out text. "
                "Gains: token mean, largest over layers. Norms: of the whole gradient, before it is clipped.%s\n\n",
                account ? "" : " --account adds the course of each case.");
            show_train_over_seeds(r, t);
            tables_say(t, "\nEach case:\n\n");
            add_ends(r, t);
            take_case(r, i, &c); /* a reader has one case at a time */
        }
        if (account) {
            add_course(r, &c, record_texts(r, "key")[i], t);
            add_end_of(r, &c, t);
        }
        any = true;
    }
}
