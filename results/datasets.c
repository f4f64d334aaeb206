#include "results/datasets.h"

#include <stddef.h>
#include <string.h>

const struct axis_info axis_info[AXES] = {
    [AXIS_NONE] = {"", "", 1, 1, false},
    [AXIS_LAYER] = {"layer", "layer, from 1", 0, RECORD_MAX_LAYERS, false},
    [AXIS_CURVE] = {"curve", "name of the curve", 0, RECORD_MOST_ITEMS, true},
    [AXIS_PANEL] = {"panel", "H_1, H_h, H_L, H_h...H_1, H_L...H_(h+1), H_L...H_1 with h = ceil(L/2)", RECORD_PANELS,
                    RECORD_PANELS, false},
    [AXIS_DESTINATION] = {"destination", "destination stream, from 1", 0, RECORD_MAX_STREAMS, false},
    [AXIS_SOURCE] = {"source", "source stream, from 1", 0, RECORD_MAX_STREAMS, false},
    [AXIS_STREAM] = {"stream", "place in descending order, from 1", 0, RECORD_MAX_STREAMS, false},
    [AXIS_ROW] = {"row", "input of a branch, the last one the exit; `stride` layers apart", 0, RECORD_MAX_MIXING,
                  false},
    [AXIS_COLUMN] = {"column", "source: the embedding, then branches; `stride` layers apart", 0, RECORD_MAX_MIXING,
                     false},
    [AXIS_SUBJECT] = {"subject", "what was timed; a value that is a ratio says to which", 1, RECORD_MAX_SUBJECTS, true},
    [AXIS_ROUND] = {"round", "round, from 1; every round visits every subject once", 0, RECORD_MAX_ROUNDS, false},
    [AXIS_POINT] = {"point", "point of training, from 1; `step` says where it is", 1, RECORD_MAX_POINTS, false},
    [AXIS_METRIC] = {"metric", "name of the curve", 1, RECORD_MAX_METRICS, true},
    [AXIS_PROJECTION] = {"projection", "from 1; `t_max` says which", RECORD_PROJECTIONS, RECORD_PROJECTIONS, false},
    [AXIS_QUARTER] = {"quarter", "quarter of the layers, from 1", RECORD_QUARTERS, RECORD_QUARTERS, false},
};

#define CASE(member) PLACE_CASE, offsetof(struct record_case, member)
#define TIMING(member) PLACE_TIMING, offsetof(struct record_timing, member)
#define TRAINING(member) PLACE_TRAINING, offsetof(struct record_training, member)
#define OWN PLACE_OWN, 0
#define DATASET_IN(id, g, n, k, a, b, c, place, offset_, u, text) \
    [id] = {.name = n,                                            \
            .unit = u,                                            \
            .long_name = text,                                    \
            .group = IN_##g,                                      \
            .kind = KIND_##k,                                     \
            .axis = {AXIS_##a, AXIS_##b, AXIS_##c},               \
            .in = place,                                          \
            .offset = offset_},
#define DATASET(...) DATASET_IN(__VA_ARGS__)
const struct dataset_info dataset_info[DATASETS] = {
#include "results/datasets.def"
};
#undef DATASET

int dataset_rank(const struct dataset_info *d) {
    int rank = 1;
    while (rank < 4 && d->axis[rank - 1] != AXIS_NONE)
        rank++;
    return rank;
}

#define GIVEN(member) .given = offsetof(struct record_case, member)
const struct group_info group_info[GROUPS] = {
    [IN_CASES] = {.name = "cases", GIVEN(key), .counter = DATASETS},
    [IN_CURVES] =
        {.name = "curves", .scales = {AXIS_LAYER, AXIS_CURVE}, .needs = {AXIS_LAYER}, GIVEN(key), .counter = DATASETS},
    [IN_SUMMARY] = {.name = "summary", GIVEN(key), .counter = DATASETS},
    [IN_PANELS] = {.name = "panels",
                   .scales = {AXIS_PANEL, AXIS_DESTINATION, AXIS_SOURCE},
                   .needs = {AXIS_SOURCE},
                   GIVEN(panels),
                   .counter = PANEL_STREAMS,
                   .counted = AXIS_SOURCE},
    [IN_SPECTRA] = {.name = "spectra",
                    .scales = {AXIS_LAYER, AXIS_STREAM},
                    .needs = {AXIS_LAYER, AXIS_STREAM},
                    GIVEN(qr_spectrum),
                    .counter = SPECTRUM_STREAMS,
                    .counted = AXIS_STREAM},
    [IN_MIXING] = {.name = "mixing",
                   .scales = {AXIS_ROW, AXIS_COLUMN},
                   .needs = {AXIS_ROW},
                   GIVEN(mixing),
                   .counter = MIXING_ROWS,
                   .counted = AXIS_ROW},
    [IN_TIMING] = {.name = "timing",
                   .scales = {AXIS_SUBJECT, AXIS_ROUND},
                   .needs = {AXIS_SUBJECT},
                   GIVEN(timing),
                   .counter = TIMING_ROUNDS,
                   .counted = AXIS_ROUND},
    [IN_ACCURACY] = {.name = "accuracy", GIVEN(key), .counter = DATASETS, .only_listed = true},
    [IN_TRAINING] = {.name = "training",
                     .scales = {AXIS_POINT, AXIS_METRIC, AXIS_LAYER, AXIS_PROJECTION, AXIS_QUARTER},
                     .needs = {AXIS_POINT},
                     GIVEN(training),
                     .counter = TRAINING_POINTS,
                     .counted = AXIS_POINT},
};

#define LIST(items, count, member) \
    offsetof(struct record_schema, items), offsetof(struct record_schema, count), offsetof(struct record_case, member)
const struct list_info list_info[RECORD_LISTS] = {
    [RECORD_LIST_COLUMNS] = {"column", IN_CASES, AXIS_NONE, LIST(columns, column_count, values)},
    [RECORD_LIST_CURVES] = {"curve", IN_CURVES, AXIS_LAYER, LIST(curves, curve_count, curves)},
    [RECORD_LIST_SUMMARIES] = {"summary", IN_SUMMARY, AXIS_NONE, LIST(summaries, summary_count, summaries)},
    [RECORD_LIST_TIMINGS] = {"timing", IN_TIMING, AXIS_NONE, LIST(timings, timing_count, timings)},
    [RECORD_LIST_ACCURACIES] = {"accuracy", IN_ACCURACY, AXIS_NONE, LIST(accuracies, accuracy_count, accuracies)},
};

int schema_count(const struct record_schema *s, enum record_list list) {
    return *(const int *)((const char *)s + list_info[list].count);
}

struct record_column schema_item(const struct record_schema *s, enum record_list list, int index) {
    const void *items = *(const void *const *)((const char *)s + list_info[list].items);
    if (list == RECORD_LIST_COLUMNS)
        return ((const struct record_column *)items)[index];
    const struct record_curve *c = (const struct record_curve *)items + index;
    return (struct record_column){c->name, c->unit, c->long_name, RECORD_REAL};
}

int64_t schema_length(const struct record_schema *s, enum layout_axis axis) {
    const int64_t length[AXES] = {[AXIS_NONE] = 1,
                                  [AXIS_LAYER] = s->layers,
                                  [AXIS_CURVE] = s->curve_count,
                                  [AXIS_PANEL] = RECORD_PANELS,
                                  [AXIS_DESTINATION] = s->streams,
                                  [AXIS_SOURCE] = s->streams,
                                  [AXIS_STREAM] = s->streams,
                                  [AXIS_ROW] = s->mixing_rows,
                                  [AXIS_COLUMN] = s->mixing_rows,
                                  [AXIS_SUBJECT] = s->subject_count,
                                  [AXIS_ROUND] = s->rounds,
                                  [AXIS_POINT] = s->points,
                                  [AXIS_METRIC] = s->metric_count,
                                  [AXIS_PROJECTION] = RECORD_PROJECTIONS,
                                  [AXIS_QUARTER] = RECORD_QUARTERS};
    return length[axis];
}

bool group_reserves(enum layout_group group, const char *name) {
    bool found = !strcmp(name, "case");
    for (int k = 0; k < GROUP_SCALES; k++)
        found |= !strcmp(name, axis_info[group_info[group].scales[k]].name);
    for (int d = 0; d < DATASETS; d++)
        found |= dataset_info[d].group == group && !strcmp(name, dataset_info[d].name);
    return found;
}
