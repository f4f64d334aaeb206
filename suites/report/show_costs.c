/* What each connection costs and does: one row per group, where a stretch of cases has several connections. */
#include <math.h>

#include "suites/report/costs.h"
#include "suites/report/over_seeds.h"
#include "suites/report/shows.h"

/* The median over seeds of a summary, linear; NaN: not measured. */
static double median_of(struct record_reader *r, const struct group *group, const char *summary) {
    const struct over_seeds s = over_seeds_of(r, group, summary);
    if (!s.measured || s.unresolved)
        return NAN;
    return !s.logarithmic ? s.median : s.median < -307 ? 0 : pow(10, s.median); /* -307: how a zero is stored */
}

static bool several_connections(struct record_reader *r, const struct groups *g, int64_t from, int64_t to) {
    bool several = false, measured = false;
    for (int64_t k = from; k < to; k++) {
        several |= g->group[k].p.block != g->group[from].p.block;
        measured |= over_seeds_of(r, &g->group[k], "reach_forward_max_max").measured;
    }
    return several && measured;
}

void show_costs(struct record_reader *r, const struct groups *g, int64_t from, int64_t to, int64_t rows,
                struct tables *t) {
    static const struct column columns[] = {
        {"case", "case", .width = -1, .stays = true},
        {"exact", "exact", .width = -5},
        {"bytes", "kB", .width = 4, .format = "%.0f", .scale = 1e-3, .group = "per token"},
        {"flops", "kFLOP", .width = 6, .format = "%.0f", .scale = 1e-3, .group = "per token"},
        {"parameters", "parameters", .width = 10, .format = "%.0f"},
        {"gain_forward", "forward", .width = 7, .digits = 3, .group = "gain, abs"},
        {"gain_backward", "backward", .width = 8, .digits = 3, .group = "gain, abs"},
        {"reach_forward", "forward", .width = 7, .digits = 3, .group = "reach"},
        {"reach_backward", "backward", .width = 8, .digits = 3, .group = "reach"},
        {"lambda2", "|lambda_2|", .width = 10, .digits = 3},
        {"column_error", "column error", .width = 12, .digits = 2},
        {"rank", "rank", .width = 5, .digits = 3},
    };
    if (!several_connections(r, g, from, to))
        return;
    tables_say(t,
               "\nWhat each costs and does. Per token and site, there and back, float32, C = %d; |lambda_2| and column "
               "error: the largest H_l; rank: of what the streams hold at the exit. Medians over seeds.\n\n",
               COSTS_WIDTH);
    table_begin(t, "what each connection costs and does", columns);
    bool varies[PARAMS_MOST];
    groups_variation(g, from, to, varies);
    for (int64_t k = from; k < from + rows; k++) {
        const struct group *group = &g->group[k];
        const struct costs costs = costs_of(&group->p);
        char label[200];
        groups_label_within(g, varies, k, label, sizeof label);
        table_row(
            t, in_words(label), in_words(params_connection(&group->p)->exact ? "yes" : "no"), in_reals(costs.bytes),
            in_reals(costs.flops), in_reals(costs.parameters),
            in_reals(median_of(r, group, "composite_forward_abs_max")),
            in_reals(median_of(r, group, "composite_backward_abs_max")),
            in_reals(median_of(r, group, "reach_forward_max_max")), in_reals(median_of(r, group, "reach_backward_max")),
            in_reals(median_of(r, group, "single_lambda2_max")),
            in_reals(median_of(r, group, "single_column_error_max")), in_reals(median_of(r, group, "reach_rank_last")));
    }
    table_end(t);
}
