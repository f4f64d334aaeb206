/* The tables of study `train` over seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/mean.h"
#include "suites/report/over_seeds.h"
#include "suites/report/shows.h"
#include "suites/report/trained_seeds.h"

/* "-0.103 ± 0.015"; CSV and JSON have mean, and mean minus and plus the error. */
enum { MEAN_TEXT = 48 };
static struct value in_mean(const struct mhc_mean *m, int digits, char text[MEAN_TEXT]) {
    double mean = mhc_mean_of(m), error = mhc_mean_error(m);
    if (isnan(mean))
        return in_reals(NAN);
    snprintf(text, MEAN_TEXT, isnan(error) ? "%+.*f" : "%+.*f ± %.*f", digits, mean, digits, error);
    return in_interval(text, mean, mean - error, mean + error);
}

/* ---- loss ---- */

static double held_out_at_end(struct record_reader *reader, int64_t index) {
    struct record_training is;
    return record_training(reader, index, &is) && !is.diverged ? is.held_out_loss[is.points - 1] : NAN;
}

/* What belongs to a connection's own parameters does not tell a residual's run apart. */
static bool is_of_connection(const struct param *param) {
    static const char *const names[] = {"block", "streams", "alpha", "start", "connection-factor", "connection-decay",
                                        "seed"};
    bool is = param->role & ROLE_KEEPS;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        is |= !strcmp(param->name, names[k]);
    return is;
}

static bool same_setting(const struct params *residual, const struct params *p) {
    for (int k = 0; k < params_count; k++) {
        char a[PARAM_TEXT_SIZE], b[PARAM_TEXT_SIZE];
        const struct param *param = &params_table[k];
        params_text(residual, param, a, sizeof a);
        params_text(p, param, b, sizeof b);
        if (!is_of_connection(param) && params_matters(residual, param) && strcmp(a, b))
            return false;
    }
    return true;
}

static const struct group *residual_of(const struct groups *g, const struct group *group) {
    for (int64_t k = 0; k < g->count; k++)
        if (params_connection(&g->group[k].p)->generator == GENERATOR_NONE && same_setting(&g->group[k].p, &group->p))
            return &g->group[k];
    return NULL;
}

/* Held-out loss minus the residual's of the same seed, which saw the same text. */
static struct mhc_mean against_residual(struct record_reader *reader, const struct groups *g,
                                        const struct group *group) {
    const int64_t *seed = record_ints(reader, "seed");
    const struct group *residual = residual_of(g, group);
    struct mhc_mean m = {0, 0, 0};
    for (int64_t i = 0; residual && residual != group && i < group->count; i++)
        for (int64_t j = 0; j < residual->count; j++)
            if (seed[group->cases[i]] == seed[residual->cases[j]])
                mhc_mean_add(&m,
                             held_out_at_end(reader, group->cases[i]) - held_out_at_end(reader, residual->cases[j]));
    return m;
}

struct end {
    struct mhc_mean loss, held_out, seconds;
    double norm; /* the largest behind the warm-up */
    int64_t ended;
};

static struct end end_of(struct record_reader *reader, const struct group *group) {
    struct end e = {.norm = NAN};
    for (int64_t k = 0; k < group->count; k++) {
        struct record_training is;
        if (!record_training(reader, group->cases[k], &is))
            continue;
        mhc_mean_add(&e.seconds, is.seconds_per_step);
        for (int64_t point = 1; point < is.points; point++)
            if (is.step[point - 1] >= group->p.warm_up)
                e.norm = fmax(e.norm, is.gradient_norm_max[point]);
        e.ended += is.diverged > 0;
        if (is.diverged)
            continue;
        mhc_mean_add(&e.loss, is.loss[is.points - 1]);
        mhc_mean_add(&e.held_out, is.held_out_loss[is.points - 1]);
    }
    return e;
}

#define GROUP_COLUMNS                                                                                      \
    {"connection", "connection", .width = -11}, {"start", NULL, .width = -8}, {"layers", "L", .width = 3}, \
        {"learning_rate", "rate", .width = 6, .format = "%.3g"}, {                                         \
        "seeds", "seeds", .width = 5                                                                       \
    }

/* Its name, with the start where groups differ in that. */
enum { NAME = 40 };
static const char *name_of(const struct groups *g, const struct group *group, char text[NAME]) {
    bool differ = false;
    for (int64_t k = 0; k < g->count; k++)
        differ |= g->group[k].p.start != g->group[0].p.start;
    snprintf(text, NAME, "%s", params_connection(&group->p)->name);
    if (differ && params_connection(&group->p)->generator == GENERATOR_MHC)
        snprintf(text + strlen(text), NAME - strlen(text), " %s", params_word(&group->p, "start"));
    return text;
}

#define GROUP_VALUES                                                                                         \
    in_words(name_of(g, group, name)), in_words(params_word(&group->p, "start")), in_wholes(group->p.depth), \
        in_reals(group->p.learning_rate), in_wholes(group->count)

static void add_losses(struct record_reader *reader, const struct groups *g, struct tables *t) {
    static const struct column columns[] = {
        GROUP_COLUMNS,
        {"steps", "steps", .width = 5},
        {"ended", "ended", .width = 5},
        {"loss", "loss", .width = 6, .format = "%.3f"},
        {"held_out_loss", "held out", .width = 8, .format = "%.3f"},
        {"against_resnet", "minus resnet", .width = 16, COLUMN_INTERVAL},
        {"gradient_norm_max", "norm", .width = 6, .format = "%.3g"},
        {"seconds_per_step", "ms/step", .width = 7, .format = "%.1f", .scale = 1e3}};
    char name[NAME], difference[MEAN_TEXT];
    tables_say(
        t, "Over seeds, at the end: mean loss of the last steps and on held-out text; difference to the ResNet of the "
           "same seed, mean and standard error; norm: the largest of the gradient behind the warm-up, in any seed. "
           "Runs that ended with NaN or Inf are in no mean.\n\n");
    table_begin(t, "--study train: loss over seeds", columns);
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        struct end e = end_of(reader, group);
        struct mhc_mean against = against_residual(reader, g, group);
        table_row(t, GROUP_VALUES, in_wholes(group->p.steps), in_wholes(e.ended), in_reals(mhc_mean_of(&e.loss)),
                  in_reals(mhc_mean_of(&e.held_out)), in_mean(&against, 4, difference), in_reals(e.norm),
                  in_reals(mhc_mean_of(&e.seconds)));
    }
    table_end(t);
}

/* ---- gain ---- */

#define RANGE .low = "_least", .high = "_most"

/* "1.62 [1.31, 2.04]" of a range as curves store it. */
static struct value in_gains(struct range r, const struct group *group, char text[OVER_SEEDS_TEXT]) {
    struct over_seeds o = {.measured = !isnan(r.median),
                           .logarithmic = true,
                           .least = r.least,
                           .median = r.median,
                           .most = r.most,
                           .seeds = group->count};
    return in_range(o, text);
}

static void add_gains(struct record_reader *reader, const struct groups *g, struct tables *t) {
    static const struct column columns[] = {GROUP_COLUMNS,
                                            {"gain_forward_log10", "forward", .width = 18, RANGE},
                                            {"gain_backward_log10", "backward", .width = 18, RANGE}};
    char name[NAME], text[2][OVER_SEEDS_TEXT];
    tables_say(
        t, "\nGain of composites at the end, sum, largest over layers: median over seeds [smallest, largest]. A run "
           "that ended early counts as overflow.\n\n");
    table_begin(t, "--study train: composite gain over seeds", columns);
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        table_row(t, GROUP_VALUES,
                  in_gains(trained_over_seeds(reader, group, trained_end, "composite_forward_sum"), group, text[0]),
                  in_gains(trained_over_seeds(reader, group, trained_end, "composite_backward_sum"), group, text[1]));
    }
    table_end(t);
}

/* ---- other t_max ---- */

static double projected_gain(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    struct record_training is;
    const int m = record_metric_called(reader, "composite_backward_sum"), k = *(const int *)what;
    if (m < 0 || !record_training(reader, index, &is) || is.diverged)
        return NAN;
    const double *curve = is.t_max_curves + (k * record_metric_count(reader) + m) * p->depth;
    double most = curve[0];
    for (int64_t l = 1; l < p->depth; l++)
        most = fmax(most, curve[l]);
    return most;
}

static struct mhc_mean projected_loss(struct record_reader *reader, const struct group *group, int k) {
    struct mhc_mean m = {0, 0, 0};
    for (int64_t i = 0; i < group->count; i++) {
        struct record_training is;
        if (record_training(reader, group->cases[i], &is) && !is.diverged)
            mhc_mean_add(&m, is.t_max_held_out_loss[k] - is.held_out_loss[is.points - 1]);
    }
    return m;
}

static bool has_projections(struct record_reader *reader, const struct group *group) {
    struct record_training is;
    return record_training(reader, group->cases[0], &is) && is.t_max[0];
}

static void add_t_max(struct record_reader *reader, const struct groups *g, struct tables *t) {
    static const struct column columns[] = {GROUP_COLUMNS,
                                            {"t_max", "t_max", .width = 6},
                                            {"gain_backward_log10", "backward gain", .width = 24, RANGE},
                                            {"held_out_loss_added", "held out, added", .width = 18, COLUMN_INTERVAL}};
    char name[NAME], gain[OVER_SEEDS_TEXT], loss[MEAN_TEXT];
    bool any = false;
    for (int64_t k = 0; k < g->count; k++)
        any |= has_projections(reader, &g->group[k]);
    if (!any)
        return;
    tables_say(t, "\nThe same weights with other numbers of Sinkhorn iterations:\n\n");
    table_begin(t, "--study train: trained weights at other t_max, over seeds", columns);
    for (int64_t i = 0; i < g->count; i++)
        for (int k = 0; has_projections(reader, &g->group[i]) && k < RECORD_PROJECTIONS; k++) {
            const struct group *group = &g->group[i];
            struct record_training is;
            struct mhc_mean added = projected_loss(reader, group, k);
            struct range gains = trained_over_seeds(reader, group, projected_gain, &k);
            record_training(reader, group->cases[0], &is);
            table_row(t, GROUP_VALUES, in_wholes(is.t_max[k]), in_gains(gains, group, gain), in_mean(&added, 4, loss));
        }
    table_end(t);
}

/* ---- quarters ---- */

static void add_quarters(struct record_reader *reader, const struct groups *g, struct tables *t) {
    static const struct column columns[] = {
        GROUP_COLUMNS,
        {"added_without_quarter_1", "first", .width = 12, COLUMN_INTERVAL, .group = "quarter switched off"},
        {"added_without_quarter_2", "second", .width = 12, COLUMN_INTERVAL, .group = "quarter switched off"},
        {"added_without_quarter_3", "third", .width = 12, COLUMN_INTERVAL, .group = "quarter switched off"},
        {"added_without_quarter_4", "last", .width = 12, COLUMN_INTERVAL, .group = "quarter switched off"}};
    char name[NAME], text[4][MEAN_TEXT];
    tables_say(t,
               "\nHeld-out loss added by switching off the branches of a quarter of the layers, mean and error:\n\n");
    table_begin(t, "--study train: loss added without a quarter of the branches, over seeds", columns);
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        struct mhc_mean m[4] = {{0, 0, 0}};
        for (int q = 0; q < 4; q++)
            for (int64_t i = 0; i < group->count; i++)
                mhc_mean_add(&m[q], trained_without_quarter(reader, group->cases[i], &group->p, &q));
        table_row(t, GROUP_VALUES, in_mean(&m[0], 3, text[0]), in_mean(&m[1], 3, text[1]), in_mean(&m[2], 3, text[2]),
                  in_mean(&m[3], 3, text[3]));
    }
    table_end(t);
}

void show_train_losses(struct record_reader *reader, struct tables *t) {
    struct groups all, trained = {0};
    char why[200], text[600] = "", name[NAME], difference[MEAN_TEXT];
    size_t used = 0;
    if (!groups_read(reader, &all, why, sizeof why))
        return;
    bool one_setting = trained_groups(reader, &all, &trained);
    for (int64_t k = 0; k < trained.count; k++) {
        struct mhc_mean against = against_residual(reader, &trained, &trained.group[k]);
        for (int64_t other = 0; other < k; other++)
            one_setting &= trained.group[other].p.block != trained.group[k].p.block;
        if (isnan(mhc_mean_error(&against)) || used >= sizeof text)
            continue;
        in_mean(&against, 3, difference);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", used ? ", " : "",
                                 name_of(&trained, &trained.group[k], name), difference);
    }
    if (one_setting && used)
        tables_say(t, "Held-out loss minus the residual's of the same seed, mean and standard error: %s.\n", text);
    free(trained.group);
    groups_release(&all);
}

void show_train_over_seeds(struct record_reader *reader, struct tables *t) {
    struct groups all, trained = {0};
    char why[200];
    if (!groups_read(reader, &all, why, sizeof why))
        return;
    if (trained_groups(reader, &all, &trained) && trained.count) {
        add_losses(reader, &trained, t);
        add_gains(reader, &trained, t);
        add_t_max(reader, &trained, t);
        add_quarters(reader, &trained, t);
    }
    free(trained.group);
    groups_release(&all);
}
