/* The figures that are lines: against layer, and against a parameter. */
#include "suites/report/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/report/figure_data.h"

static const char triangles[] = " Triangles at the top: overflow.";
static const char not_joined[] =
    " Neighbours more than 1.5 times apart are not joined: nothing between them was computed; whiskers reach from 10 % "
    "to 90 % of the seeds.";
enum { TEXT_SIZE = 1600, COLUMNS_SIZE = 800 };

struct measure {
    const char *column, *recorded; /* in the CSV; the curve or summary in the record */
};

static void columns_of(const char *first, const struct measure *measures, int count, char *columns) {
    int used = snprintf(columns, COLUMNS_SIZE, "line,label,block,%s", first);
    for (int m = 0; m < count; m++) {
        const char *c = measures[m].column;
        used += snprintf(columns + used, (size_t)(COLUMNS_SIZE - used), ",%s_q10,%s_median,%s_q90,%s_overflow", c, c, c,
                         c);
    }
}

/* line,label,block of a row. */
static void put_head(FILE *file, int index, const struct line *line, const struct params *p) {
    fprintf(file, "%d", index + 1);
    put_field(file, line->label);
    fprintf(file, ",%s", params_word(p, "block"));
}

/* HC and the others have panels of their own, side by side where there are both. */
static bool both_families(const struct lines *lines) {
    bool hc = false, others = false;
    for (int k = 0; k < lines->count; k++) {
        bool is_hc = connection_is_hc(&connections[lines->line[k].block]);
        hc |= is_hc;
        others |= !is_hc;
    }
    return hc && others;
}

/* ---- against layer ---- */

/* From the smallest q10 to the largest q90 of HC's lines: what its axis spans. */
struct span {
    double low, high;
};

static void widen(struct span *span, struct spread s) {
    if (s.q10 > 0 && !(s.q10 >= span->low))
        span->low = s.q10;
    if (s.q90 > 0 && !(s.q90 <= span->high))
        span->high = s.q90;
}

static bool layers_data(const struct figure_source *source, const char *name, const struct lines *lines,
                        const struct measure *measures, int count, struct span *span, bool *overflow, char *why,
                        size_t why_size) {
    char columns[COLUMNS_SIZE];
    columns_of("layer", measures, count, columns);
    FILE *file = data_open(source, name, columns);
    for (int k = 0; file && k < lines->count; k++) {
        const struct group *group = &source->groups->group[lines->line[k].groups[0]];
        for (int64_t l = 0; l < group->p.depth; l++) {
            put_head(file, k, &lines->line[k], &group->p);
            fprintf(file, ",%lld", (long long)l + 1);
            for (int m = 0; m < count; m++) {
                struct spread s = groups_curve(source->reader, group, measures[m].recorded, l);
                if (connection_is_hc(params_connection(&group->p)))
                    widen(&span[m], s);
                bool computed = record_curve_computed(source->reader, measures[m].recorded, group->cases[0]);
                *overflow |= put_spread(file, s, computed && isnan(s.median));
            }
            putc('\n', file);
        }
    }
    return data_close(file, source, name, why, why_size);
}

static enum figure_outcome layers_figure(const struct figure_source *source, const char *name, unsigned wanted,
                                         int most, const struct measure *measures, int count, const char *statement,
                                         char *why, size_t why_size) {
    struct lines lines;
    bool overflow = false;
    struct span span[8];
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], start[240] = "";
    for (int m = 0; m < count; m++)
        span[m] = (struct span){NAN, NAN};
    lines_by_layer(source, measures[0].recorded, wanted, most, &lines);
    if (!lines.count)
        return snprintf(why, why_size, "no case of it has the curve %s", measures[0].recorded), FIGURE_SKIPPED;
    describe_lines(source, &lines, shared, sizeof shared);
    bool good = layers_data(source, name, &lines, measures, count, span, &overflow, why, why_size);
    if (wanted == connections_where(NULL)) /* a figure of streams */
        describe_start(source, &lines, start, sizeof start);
    snprintf(text, sizeof text, "%s%s%s %s.", statement, start, overflow ? triangles : "", shared);
    if (good) {
        describe_left_out(&lines, why, why_size);
        const struct params *last = &source->groups->group[lines.line[lines.count - 1].groups[0]].p;
        FILE *file = settings_open(source, name);
        put_lines(file, source, &lines);
        put_caption(file, source, wanted == connections_where(NULL) || both_families(&lines), text);
        put_paper(file, source, &lines);
        if (file)
            fprintf(file, "LAYERS = %lld\nSTREAMS = %lld\n", (long long)last->depth,
                    (long long)lines_streams(source, &lines));
        for (int m = 0; file && m < count; m++)
            fprintf(file, span[m].high < INFINITY ? "SPAN_%s = %.9g\n" : "SPAN_%s = 1e300\n", measures[m].column,
                    span[m].high / span[m].low);
        good = data_close(file, source, name, why, why_size);
    }
    lines_release(&lines);
    return good ? FIGURE_WRITTEN : FIGURE_FAILED;
}

static enum figure_outcome single_gain(const struct figure_source *source, const struct figure *figure, char *why,
                                       size_t size) {
    static const struct measure measures[] = {{"forward_sum", "single_forward_sum"},
                                              {"forward_abs", "single_forward_abs"},
                                              {"backward_sum", "single_backward_sum"},
                                              {"backward_abs", "single_backward_abs"}};
    return layers_figure(
        source, figure->name, connections_where(connection_mixes), 4, measures, 4,
        "Gain of each layer's own map H_l, averaged over tokens. Solid: the largest |sum| of a row (forward) or of a "
        "column (backward), median over seeds; band: from 10 % to 90 % of the seeds. Dashed: the largest sum of "
        "|entries|, median.",
        why, size);
}

static enum figure_outcome composite_gain(const struct figure_source *source, const struct figure *figure, char *why,
                                          size_t size) {
    static const struct measure measures[] = {{"forward_sum", "composite_forward_sum"},
                                              {"forward_abs", "composite_forward_abs"},
                                              {"backward_sum", "composite_backward_sum"},
                                              {"backward_abs", "composite_backward_abs"}};
    return layers_figure(
        source, figure->name, connections_where(connection_mixes), 4, measures, 4,
        "Gain of the composite maps of layers 1 to l (forward) and l to L (backward), averaged over tokens. Solid: the "
        "largest |sum| of a row (forward) or of a column (backward), median over seeds; band: from 10 % to 90 % of the "
        "seeds. Dashed: the largest sum of |entries|, median.",
        why, size);
}

static enum figure_outcome streams(const struct figure_source *source, const struct figure *figure, char *why,
                                   size_t size) {
    static const struct measure measures[] = {{"x_rms", "x_rms"},
                                              {"grad_rms", "grad_x_rms"},
                                              {"similarity", "stream_similarity"},
                                              {"rank", "effective_rank"}};
    return layers_figure(
        source, figure->name, connections_where(NULL), 2, measures, 4,
        "Streams x_l at the input of layer l, averaged over tokens: median over seeds, and band from 10 % to 90 % of "
        "the seeds. Effective rank: exp of the entropy of their singular values; it says how many streams differ.",
        why, size);
}

static enum figure_outcome reach(const struct figure_source *source, const struct figure *figure, char *why,
                                 size_t size) {
    static const struct measure measures[] = {{"forward", "reach_forward_max"},
                                              {"backward", "reach_backward"},
                                              {"sources", "reach_sources"},
                                              {"rank", "reach_rank"}};
    return layers_figure(
        source, figure->name, connections_where(NULL), 1, measures, 4,
        "Depth mixing, averaged over tokens. Forward: the largest weight of a source in what is read behind layer l. "
        "Backward: the mean weight of the branch of layer l in all later inputs. Both are 1 in a ResNet. Sources: exp "
        "of the entropy of the weights behind layer l, divided by l + 1. Rank: effective number of streams that hold "
        "different mixtures "
        "there. Median over seeds, and band from 10 % to 90 % of the seeds.",
        why, size);
}

/* ---- against a parameter ---- */

/* The curve at layer 1, where a gradient has come through all layers. */
static struct spread first_layer(const struct figure_source *source, const struct group *group, const char *summary) {
    static const char *const suffix = "_first";
    char curve[64];
    size_t length = strlen(summary), tail = strlen(suffix);
    if (length < tail || strcmp(summary + length - tail, suffix))
        return groups_summary(source->reader, group, summary);
    snprintf(curve, sizeof curve, "%.*s", (int)(length - tail), summary);
    return groups_curve(source->reader, group, curve, 0);
}

/* Whether a line may join points j - 1 and j of a line: both are there, and near one another. */
static bool is_joined(const struct figure_source *source, const struct line *line, int64_t j,
                      const struct param *along) {
    const struct group *group = source->groups->group;
    return j > 0 && j < line->count &&
           figure_joined(along, parameter_value(&group[line->groups[j - 1]].p, along),
                         parameter_value(&group[line->groups[j]].p, along));
}

/* A blank line parts points that no line may join; `apart` is 1 where a point is joined to neither neighbour. */
static bool parameter_data(const struct figure_source *source, const char *name, const struct param *along,
                           const struct lines *lines, const struct measure *measures, int count, bool *recorded,
                           bool *overflow, bool *some_apart, char *why, size_t why_size) {
    char columns[COLUMNS_SIZE], first[64];
    snprintf(first, sizeof first, "%s,apart", along->name);
    columns_of(first, measures, count, columns);
    FILE *file = data_open(source, name, columns);
    for (int k = 0; file && k < lines->count; k++)
        for (int64_t j = 0; j < lines->line[k].count; j++) {
            const struct group *group = &source->groups->group[lines->line[k].groups[j]];
            const bool joined = is_joined(source, &lines->line[k], j, along);
            if (j > 0 && !joined)
                putc('\n', file);
            put_head(file, k, &lines->line[k], &group->p);
            put_number(file, parameter_value(&group->p, along));
            const bool apart = !joined && !is_joined(source, &lines->line[k], j + 1, along);
            *some_apart |= apart;
            fprintf(file, ",%d", apart);
            for (int m = 0; m < count; m++) {
                struct spread s = first_layer(source, group, measures[m].recorded);
                bool broken = isnan(s.median) && group_broken(source, group);
                recorded[m] |= broken || !isnan(s.median);
                *overflow |= put_spread(file, s, broken);
            }
            putc('\n', file);
        }
    return data_close(file, source, name, why, why_size);
}

/* `streams`: what is said when there is more than gains in the record. */
static enum figure_outcome parameter_figure(const struct figure_source *source, const char *name, const char *parameter,
                                            const char *beside, unsigned wanted, int most,
                                            const struct measure *measures, int count, const char *statement,
                                            const char *streams, char *why, size_t why_size) {
    const struct param *along = params_find(parameter);
    struct lines lines;
    bool recorded[8] = {false}, overflow = false, apart = false, more = false;
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2];
    lines_along(source, along, beside ? params_find(beside) : NULL, measures[0].recorded, wanted, most, &lines);
    if (!lines.count)
        return snprintf(why, why_size, "no two groups of it differ in %s alone", parameter), FIGURE_SKIPPED;
    describe_lines(source, &lines, shared, sizeof shared);
    bool good = parameter_data(source, name, along, &lines, measures, count, recorded, &overflow, &apart, why,
                               why_size);
    for (int m = 2; m < count; m++)
        more |= recorded[m];
    snprintf(text, sizeof text,
             "%s%s, averaged over tokens: median over seeds, and band from 10 %% to 90 %% of the seeds.%s%s %s.",
             statement, more ? streams : "", apart ? not_joined : "", overflow ? triangles : "", shared);
    if (good) {
        describe_left_out(&lines, why, why_size);
        FILE *file = settings_open(source, name);
        put_lines(file, source, &lines);
        put_caption(file, source, wanted == connections_where(NULL) || both_families(&lines), text);
        put_paper(file, source, &lines);
        for (int m = 0; file && m < count; m++)
            fprintf(file, "HAS_%s = %d\n", measures[m].column, recorded[m]);
        good = data_close(file, source, name, why, why_size);
    }
    lines_release(&lines);
    return good ? FIGURE_WRITTEN : FIGURE_FAILED;
}

static enum figure_outcome depth(const struct figure_source *source, const struct figure *figure, char *why,
                                 size_t size) {
    static const struct measure measures[] = {{"forward", "composite_forward_sum_max"},
                                              {"backward", "composite_backward_sum_max"},
                                              {"x_rms", "x_rms_last"},
                                              {"grad_rms", "grad_x_rms_first"},
                                              {"grad_rms_max", "grad_x_rms_max"}};
    return parameter_figure(
        source, figure->name, "depth", NULL, connections_where(NULL), 2, measures, 5,
        "Gain of the composite maps (largest |sum| of a row forward, of a column backward), the largest over layers",
        "; RMS of the streams at layer L and of the gradient", why, size);
}

static enum figure_outcome t_max(const struct figure_source *source, const struct figure *figure, char *why,
                                 size_t size) {
    static const struct measure measures[] = {{"backward", "composite_backward_sum_max"},
                                              {"column_error", "single_column_error_max"}};
    return parameter_figure(
        source, figure->name, "t-max", "round", connections_where(connection_has_sinkhorn), 4, measures, 2,
        "Backward gain of the composite maps (largest |sum| of a column) and what a layer's column sums lack to 1, the "
        "largest over layers",
        "", why, size);
}

static enum figure_outcome streams_n(const struct figure_source *source, const struct figure *figure, char *why,
                                     size_t size) {
    static const struct measure measures[] = {{"forward", "composite_forward_sum_max"},
                                              {"backward", "composite_backward_sum_max"}};
    return parameter_figure(
        source, figure->name, "streams", NULL, connections_where(connection_mixes), 4, measures, 2,
        "Gain of the composite maps (largest |sum| of a row forward, of a column backward), the largest over layers",
        "", why, size);
}

const struct figure figures[] = {
    {"single_gain", "gain of single layers, against layer", single_gain},
    {"composite_gain", "gain of composites, against layer (the paper's Fig. 3 and 7)", composite_gain},
    {"composite_maps", "single maps and composites as matrices (the paper's Fig. 8)", figure_composite_maps},
    {"composite_spectrum", "singular values of composites, against layer", figure_composite_spectrum},
    {"mixing", "depth mixing matrix of each connection", figure_mixing},
    {"reach", "forward and backward reach over depth, against layer", reach},
    {"costs", "what each connection costs and does", figure_costs},
    {"phase", "composite gain over two parameters of a grid, 3 x 3 and more", figure_phase},
    {"depth", "largest gain, streams and gradient against depth", depth},
    {"t_max", "backward gain and column error against Sinkhorn iterations", t_max},
    {"streams", "RMS, similarity and rank of the streams, against layer", streams},
    {"streams_n", "composite gain against the number of streams", streams_n},
    {"training_gain", "trained stacks: largest gain against step", figure_training_gain},
    {"training_layers", "trained mHC: backward gain against layer, at other t_max too", figure_training_layers},
    {"training_loss", "training: loss and gradient norm against step (the paper's Fig. 2)", figure_training_loss},
    {"training_sweep", "trained stacks: largest gain against learning rate and depth", figure_training_sweep},
    {"training_quarters", "trained stacks: loss added without a quarter of the branches", figure_training_quarters},
    {"roofline", "operations: GFLOP/s against FLOP per byte, at one shape", figure_roofline},
    {"bandwidth", "operations: share of a copy's bandwidth, at one shape", figure_bandwidth},
    {"recompute", "memory and time of a step against the recomputation block", figure_recompute},
    {"overhead", "overhead of a training step, by shape", figure_overhead},
    {"overhead_step", "time of a training step, by part", figure_overhead_step},
    {"overhead_sweep", "overhead of a training step against C and T", figure_overhead_sweep},
};
const int figures_count = sizeof figures / sizeof *figures;
