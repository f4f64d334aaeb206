/* The figures of what training led to: gain along the layers, over learning rates and depths, and what each quarter of
 * the branches is worth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_trained.h"

enum { TEXT_SIZE = 1800, MOST_T_MAX = 3 };

/* ---- training_layers ---- */

static const char along_layers[] = "composite_backward_sum";

struct at_layer {
    int64_t t_max, layer;
};

static double projected_gain(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    const struct at_layer *at = what;
    struct record_training is;
    int metric = record_metric_called(reader, along_layers);
    if (metric < 0 || !record_training(reader, index, &is))
        return NAN;
    for (int k = 0; k < RECORD_PROJECTIONS; k++)
        if (is.t_max[k] == at->t_max)
            return is.t_max_curves[(k * record_metric_count(reader) + metric) * p->depth + at->layer];
    return NAN;
}

/* The smallest or the largest column sum of the token mean of H_L...H_(h+1), h = ceil(L / 2). */
static double column_sum(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    enum { UPPER_HALF = 4, PANELS = 6 };
    const bool largest = *(const bool *)what;
    const int64_t n = p->streams;
    double scale[PANELS], *panels = malloc((size_t)(PANELS * n * n) * sizeof *panels), found = NAN;
    if (panels && record_panels(reader, index, n, panels, scale))
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += panels[UPPER_HALF * n * n + i * n + j];
            sum *= pow(10, scale[UPPER_HALF]);
            found = largest ? fmax(found, sum) : fmin(found, sum);
        }
    free(panels);
    return found;
}

/* The trained t_max and the next two that were looked at. */
static int find_t_max(const struct figure_source *source, const struct group *group, int64_t t_max[MOST_T_MAX]) {
    struct record_training is;
    int count = 0;
    if (record_training(source->reader, group->cases[0], &is))
        for (int k = 0; k < RECORD_PROJECTIONS && count < MOST_T_MAX; k++)
            if (is.t_max[k] >= group->p.t_max)
                t_max[count++] = is.t_max[k];
    return count;
}

static bool layers_data(const struct figure_source *source, const char *name, const struct group *group,
                        const int64_t *t_max, int count, double *highest, char *why, size_t why_size) {
    static const char *const columns[] = {"column_least", "column_most"};
    FILE *file = data_open(source, name, "kind,line,t_max,layer,least,median,most");
    for (int k = 0; file && k < count; k++)
        for (int64_t l = 0; l < group->p.depth; l++) {
            struct at_layer at = {t_max[k], l};
            struct range r = trained_over_seeds(source->reader, group, projected_gain, &at);
            r = (struct range){pow(10, r.least), pow(10, r.median), pow(10, r.most)};
            *highest = isfinite(r.most) ? fmax(*highest, r.most) : *highest;
            fprintf(file, "gain,%d,%lld,%lld", k + 1, (long long)t_max[k], (long long)l + 1);
            put_range(file, r);
            putc('\n', file);
        }
    for (int k = 0; file && k < 2; k++) {
        const bool largest = k == 1;
        struct range r = trained_over_seeds(source->reader, group, column_sum, &largest);
        *highest = isfinite(r.most) ? fmax(*highest, r.most) : *highest;
        fprintf(file, "%s,0,%lld,%lld", columns[k], (long long)group->p.t_max, (long long)(group->p.depth + 1) / 2 + 1);
        put_range(file, r);
        putc('\n', file);
    }
    return data_close(file, source, name, why, why_size);
}

static bool write_layers(const struct figure_source *source, const char *name, const struct lines *lines,
                         const int64_t *t_max, int count, char *why, size_t why_size) {
    const struct group *group = &source->groups->group[lines->line[0].groups[0]];
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2];
    double highest = 1.5;
    const bool like = lines_like_paper(source, lines);
    if (!layers_data(source, name, group, t_max, count, &highest, why, why_size))
        return false;
    describe_lines(source, lines, shared, sizeof shared);
    snprintf(
        text, sizeof text,
        "Trained weights of %s with %lld Sinkhorn iterations, as in training, and with more: backward gain of the "
        "composite of layers l to %lld, mean over held-out tokens; median over seeds, and band from the smallest to "
        "the largest. Circles: smallest and largest column sum of the composite of layers %lld to %lld, of its token "
        "mean, median and range over seeds.%s %s.",
        connections[lines->line[0].block].label, (long long)t_max[0], (long long)group->p.depth,
        (long long)(group->p.depth + 1) / 2 + 1, (long long)group->p.depth,
        like ? " Crosses: the paper's (Fig. 8); grey: where its curve is at its largest (Fig. 7b, read off)." : "",
        shared);
    FILE *file = settings_open(source, name);
    put_caption(file, source, false, text);
    put_paper(file, source, lines);
    if (file) {
        fprintf(file, "LAYERS = %lld\nBLOCK = %d\nHIGH = %.9g\nT_MAXES = %d\narray T_MAX[T_MAXES]\n",
                (long long)group->p.depth, connections[lines->line[0].block].colour, highest, count);
        for (int k = 0; k < count; k++)
            fprintf(file, "T_MAX[%d] = %lld\n", k + 1, (long long)t_max[k]);
    }
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_training_layers(const struct figure_source *all, const struct figure *figure, char *why,
                                           size_t size) {
    struct figure_source source;
    struct groups groups;
    struct lines lines;
    int64_t t_max[MOST_T_MAX];
    if (!figure_of_trained(all, &source, &groups, why, size))
        return FIGURE_SKIPPED;
    source.lines = 1;
    lines_by_layer(&source, along_layers, connections_where(connection_has_sinkhorn), 1, &lines);
    int count = lines.count ? find_t_max(&source, &groups.group[lines.line[0].groups[0]], t_max) : 0;
    enum figure_outcome outcome = FIGURE_SKIPPED;
    if (!count)
        snprintf(why, size, "no case of it trained a connection with Sinkhorn iterations and looked at other t_max");
    else if (!write_layers(&source, figure->name, &lines, t_max, count, why, size))
        outcome = FIGURE_FAILED;
    else {
        outcome = FIGURE_WRITTEN;
        describe_left_out(&lines, why, size);
    }
    lines_release(&lines);
    free(groups.group);
    return outcome;
}

/* ---- training_sweep ---- */

enum { PANELS = 2 };
static const char *const sweeps[PANELS] = {"learning-rate", "depth"};

static const char *curve_of(int block) {
    return figure_unbounded() >> block & 1 ? "composite_forward_sum" : "composite_backward_sum";
}

/* Lines along a parameter of either sort of connection, each by its own gain. */
static void sweep_lines(const struct figure_source *source, const char *parameter, struct lines *lines) {
    const unsigned shown = figure_unbounded() | figure_bounded();
    lines_along(source, params_find(parameter), NULL, "composite_forward_sum_max", shown, 2, lines);
}

static void sweep_data(FILE *file, const struct figure_source *source, int panel, const struct lines *lines) {
    const struct param *along = params_find(sweeps[panel]);
    for (int k = 0; file && k < lines->count; k++)
        for (int64_t j = 0; j < lines->line[k].count; j++) {
            const struct group *group = &source->groups->group[lines->line[k].groups[j]];
            const char *curve = curve_of(lines->line[k].block);
            struct range r = trained_over_seeds(source->reader, group, trained_end, curve);
            fprintf(file, "%d,%d,\"%s\",%s", panel + 1, k + 1, lines->line[k].label, params_word(&group->p, "block"));
            put_number(file, parameter_value(&group->p, along));
            put_range(file, (struct range){pow(10, r.least), pow(10, r.median), pow(10, r.most)});
            fprintf(file, ",%lld\n", (long long)group->count);
        }
}

/* XTICS_1 = '0.003, 0.01': what was computed, as far apart as its numbers need; from the smallest to the largest,
 * A_FROM and A_TO. */
static void sweep_ticks(FILE *file, const struct figure_source *source, int panel, const struct lines *lines) {
    const struct param *along = params_find(sweeps[panel]);
    double least = INFINITY, most = 0, last = 0, next = 0;
    for (int k = 0; k < lines->count; k++)
        for (int64_t j = 0; j < lines->line[k].count; j++) {
            double at = parameter_value(&source->groups->group[lines->line[k].groups[j]].p, along);
            least = fmin(least, at);
            most = fmax(most, at);
        }
    fprintf(file, "FROM_%d = %.9g; TO_%d = %.9g; XTICS_%d = '", panel + 1, least, panel + 1, most, panel + 1);
    for (; next < INFINITY; last = next) {
        next = INFINITY;
        for (int k = 0; k < lines->count; k++)
            for (int64_t j = 0; j < lines->line[k].count; j++) {
                double at = parameter_value(&source->groups->group[lines->line[k].groups[j]].p, along);
                bool free_from = last == 0 || log(at / last) > 0.1 * log(most / least);
                next = at > last && free_from ? fmin(next, at) : next;
            }
        if (next < INFINITY)
            fprintf(file, "%s%g", last > 0 ? ", " : "", next);
    }
    fprintf(file, "'\n");
}

/* Each panel has a legend of its own: the labels of its lines. */
static void sweep_settings(FILE *file, const struct figure_source *source, int panel, const struct lines *lines) {
    fprintf(file, "LINES_%d = %d\n", panel + 1, lines->count);
    if (!lines->count)
        return;
    put_lines(file, source, lines);
    for (int k = 0; k < lines->count; k++)
        fprintf(file, "LABEL_%d_%d = LABEL[%d] . ', %s'; BLOCK_%d_%d = BLOCK[%d]; RANK_%d_%d = RANK[%d]\n", panel + 1,
                k + 1, k + 1, figure_unbounded() >> lines->line[k].block & 1 ? "forward" : "backward", panel + 1, k + 1,
                k + 1, panel + 1, k + 1, k + 1);
    fprintf(file, "undefine LABEL BLOCK RANK BROKEN\n");
    sweep_ticks(file, source, panel, lines);
}

static bool write_sweep(const struct figure_source *source, const char *name, const struct lines lines[PANELS],
                        char *why, size_t why_size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], ended[PANELS][200] = {"", ""};
    FILE *file = data_open(source, name, "panel,line,label,block,at,least,median,most,seeds");
    for (int p = 0; p < PANELS; p++)
        sweep_data(file, source, p, &lines[p]);
    if (!data_close(file, source, name, why, why_size))
        return false;
    snprintf(
        text, sizeof text,
        "Trained stacks at their last point. Gain of the composite maps, averaged over held-out tokens, the largest "
        "over layers: forward where nothing bounds the maps, backward where their rows sum to 1. Median over seeds, "
        "and whiskers from the smallest to the largest.");
    for (int p = 0; p < PANELS; p++) {
        if (!lines[p].count)
            continue;
        size_t used = strlen(text);
        describe_lines(source, &lines[p], shared, sizeof shared);
        describe_ended(source, &lines[p], ended[p], sizeof ended[p]);
        snprintf(text + used, sizeof text - used, "%s Against %s: %s.", ended[p], p ? "depth" : "rate", shared);
    }
    file = settings_open(source, name);
    put_caption(file, source, lines[0].count && lines[1].count, text);
    for (int p = 0; file && p < PANELS; p++)
        sweep_settings(file, source, p, &lines[p]);
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_training_sweep(const struct figure_source *all, const struct figure *figure, char *why,
                                          size_t size) {
    struct figure_source source;
    struct groups groups;
    struct lines lines[PANELS];
    if (!figure_of_trained(all, &source, &groups, why, size))
        return FIGURE_SKIPPED;
    for (int p = 0; p < PANELS; p++)
        sweep_lines(&source, sweeps[p], &lines[p]);
    enum figure_outcome outcome = FIGURE_SKIPPED;
    if (!lines[0].count && !lines[1].count)
        snprintf(why, size, "no two of its trained stacks differ in learning-rate or in depth alone");
    else if (!write_sweep(&source, figure->name, lines, why, size))
        outcome = FIGURE_FAILED;
    else {
        outcome = FIGURE_WRITTEN;
        describe_left_out(&lines[lines[0].count ? 0 : 1], why, size);
    }
    for (int p = 0; p < PANELS; p++)
        lines_release(&lines[p]);
    free(groups.group);
    return outcome;
}

/* ---- training_quarters ---- */

static bool write_quarters(const struct figure_source *source, const char *name, const struct lines *lines, char *why,
                           size_t why_size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2];
    FILE *file = data_open(source, name, "line,label,block,quarter,first,last,least,median,most");
    for (int k = 0; file && k < lines->count; k++)
        for (int q = 0; q < 4; q++) {
            const struct group *group = &source->groups->group[lines->line[k].groups[0]];
            fprintf(file, "%d,\"%s\",%s,%d,%lld,%lld", k + 1, lines->line[k].label, params_word(&group->p, "block"),
                    q + 1, (long long)(q * group->p.depth / 4 + 1), (long long)((q + 1) * group->p.depth / 4));
            put_range(file, trained_over_seeds(source->reader, group, trained_without_quarter, &q));
            putc('\n', file);
        }
    if (!data_close(file, source, name, why, why_size))
        return false;
    describe_lines(source, lines, shared, sizeof shared);
    snprintf(
        text, sizeof text,
        "What the branches of a quarter of the layers are worth: held-out loss of the trained stack with these "
        "branches set to zero, minus that with all; median over seeds, and whiskers from the smallest to the largest. "
        "Right: the same without the first quarter. %s.",
        shared);
    file = settings_open(source, name);
    put_lines(file, source, lines);
    put_caption(file, source, true, text);
    if (file)
        fprintf(file, "LAYERS = %lld\n", (long long)source->groups->group[lines->line[0].groups[0]].p.depth);
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_training_quarters(const struct figure_source *all, const struct figure *figure, char *why,
                                             size_t size) {
    struct figure_source source;
    struct groups groups;
    struct lines lines;
    const int first = 0;
    if (!figure_of_trained(all, &source, &groups, why, size))
        return FIGURE_SKIPPED;
    lines_by_layer(&source, NULL, connections_where(NULL), 2, &lines);
    bool any = false;
    for (int k = 0; k < lines.count; k++)
        any |= !isnan(
            trained_over_seeds(source.reader, &groups.group[lines.line[k].groups[0]], trained_without_quarter, &first)
                .median);
    enum figure_outcome outcome = FIGURE_SKIPPED;
    if (!any)
        snprintf(why, size, "no case of it has losses with a quarter of its branches switched off");
    else if (!write_quarters(&source, figure->name, &lines, why, size))
        outcome = FIGURE_FAILED;
    else {
        outcome = FIGURE_WRITTEN;
        describe_left_out(&lines, why, size);
    }
    lines_release(&lines);
    free(groups.group);
    return outcome;
}
