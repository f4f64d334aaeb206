/* The figures of depth mixing: the matrix M of each connection, and what each connection costs and does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/costs.h"
#include "suites/report/figure_trained.h"
#include "suites/report/over_seeds.h"

enum { TEXT_SIZE = 1800 };
static const char recorded_with[] = "reach_forward_max"; /* the curve that says a case has reach */

/* ---- mixing ---- */

/* Colours span this many powers of ten either way of 1, at least and at most. */
static const double least_span = 0.5, most_span = 3;
/* Neighbours in a row whose log10 differ by less are one box. */
static const double same_shade = 0.01;

struct matrix {
    int64_t rows, stride;
    double *value;
};

static bool read_matrix(const struct figure_source *source, const struct group *group, struct matrix *m) {
    *m = (struct matrix){.rows = record_mixing_rows(source->reader, group->cases[0])};
    m->value = malloc((size_t)(m->rows * m->rows + 1) * sizeof *m->value);
    return m->rows > 0 && m->value && record_mixing(source->reader, group->cases[0], m->rows, m->value, &m->stride) &&
           m->stride > 0;
}

/* One row of CSV per stretch of sources that have about the same weight. */
static void put_matrix(FILE *file, int index, const struct line *line, const struct params *p, const struct matrix *m) {
    for (int64_t q = 0; q < m->rows; q++) {
        const double *row = m->value + q * m->rows;
        const long long input = p->depth - (m->rows - 1 - q) * m->stride + 1;
        for (int64_t from = 0, to; from < m->rows && !isnan(row[from]); from = to) {
            double sum = 0;
            for (to = from; to < m->rows && fabs(row[to] - row[from]) < same_shade; to++)
                sum += row[to];
            if (to == from)
                sum = row[to++];
            fprintf(file, "%d", index + 1);
            put_field(file, line->label);
            fprintf(file, ",%s,%lld,%lld,%lld", params_word(p, "block"), input, (long long)(from * m->stride),
                    (long long)((to - 1) * m->stride));
            put_number(file, sum / (double)(to - from));
            putc('\n', file);
        }
    }
}

static double largest_of(const struct matrix *m) {
    double most = -INFINITY;
    for (int64_t k = 0; k < m->rows * m->rows; k++)
        most = fmax(most, m->value[k]);
    return most;
}

/* `largest`: of each line; false: a matrix cannot be read. */
static bool mixing_data(FILE *file, const struct figure_source *source, const struct lines *lines, double *largest,
                        int64_t *stride) {
    bool good = true;
    *stride = 1;
    for (int k = 0; k < lines->count && good; k++) {
        const struct group *group = &source->groups->group[lines->line[k].groups[0]];
        struct matrix m;
        good = read_matrix(source, group, &m);
        if (good) {
            largest[k] = largest_of(&m);
            *stride = m.stride;
            if (file)
                put_matrix(file, k, &lines->line[k], &group->p, &m);
        }
        free(m.value);
    }
    return good;
}

static bool mixing_settings(const struct figure_source *source, const char *name, const struct lines *lines,
                            const double *largest, int64_t stride, char *why, size_t why_size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], seed[32] = "unknown";
    const struct group *first = &source->groups->group[lines->line[0].groups[0]];
    const int64_t *seeds = record_ints(source->reader, "seed");
    double span = least_span;
    for (int k = 0; k < lines->count; k++)
        span = fmax(span, fmin(largest[k], most_span));
    describe_lines(source, lines, shared, sizeof shared);
    char *end = strrchr(shared, ';'); /* how many seeds: one is shown */
    if (seeds)
        snprintf(seed, sizeof seed, "%lld", (long long)seeds[first->cases[0]]);
    snprintf(text, sizeof text,
             "Depth mixing matrix: how much of each source (column: 0 the embedding, then the branch of each layer) is "
             "in the input of each layer's branch (row; the last row is the exit, the mean of the streams). Token mean "
             "of |M|, norms in front of branches left out. White: as in a ResNet; steps of colour are "
             "finer near it and end at the ends of the scale. %.*s; seed %s.",
             end ? (int)(end - shared) : 0, shared, seed);
    FILE *file = settings_open(source, name);
    put_lines(file, source, lines);
    put_caption(file, source, true, text);
    if (file)
        fprintf(file, "LAYERS = %lld\nSTRIDE = %lld\nSPAN = %.4g\narray LARGEST[LINES]\n", (long long)first->p.depth,
                (long long)stride, span);
    for (int k = 0; file && k < lines->count; k++) { /* the legend's labels may say how many seeds: one is shown */
        fprintf(file, "LARGEST[%d] = %.4g; LABEL[%d] = ", k + 1, isfinite(largest[k]) ? largest[k] : 0.0, k + 1);
        put_string(file, connections[lines->line[k].block].label);
        putc('\n', file);
    }
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_mixing(const struct figure_source *all, const struct figure *figure, char *why,
                                  size_t size) {
    struct figure_source one = *all, *const source = &one;
    struct lines lines;
    double largest[MOST_LINES];
    int64_t stride;
    one.lines = 1; /* a panel for each connection */
    lines_by_layer(source, recorded_with, connections_where(NULL), 1, &lines);
    if (!lines.count || !record_max_mixing_rows(source->reader)) {
        lines_release(&lines);
        return snprintf(why, size, "no case of it has its depth mixing matrix recorded"), FIGURE_SKIPPED;
    }
    FILE *file = data_open(source, figure->name, "line,label,block,layer,first_source,last_source,log10_mean");
    const bool there = mixing_data(file, source, &lines, largest, &stride);
    bool good = data_close(file, source, figure->name, why, size);
    if (!there)
        snprintf(why, size, "%s", record_error());
    good = good && there && mixing_settings(source, figure->name, &lines, largest, stride, why, size);
    if (good)
        describe_left_out(&lines, why, size);
    lines_release(&lines);
    return good ? FIGURE_WRITTEN : there ? FIGURE_FAILED : FIGURE_SKIPPED;
}

/* ---- costs ---- */

/* What a connection does, each over seeds. */
enum { DONE = 5 };
static const struct {
    const char *column, *summary;
} does[DONE] = {{"gain_forward", "composite_forward_abs_max"},
                {"gain_backward", "composite_backward_abs_max"},
                {"reach_forward", "reach_forward_max_max"},
                {"reach_backward", "reach_backward_max"},
                {"rank", "reach_rank_last"}};

static double last_loss(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    struct record_training is;
    (void)p;
    (void)what;
    return record_points(reader, index) && record_training(reader, index, &is) ? is.held_out_loss[is.points - 1] : NAN;
}

/* least, median, most; linear. */
static struct range range_of(const struct figure_source *source, const struct group *group, const char *summary) {
    const struct over_seeds r = over_seeds_of(source->reader, group, summary);
    if (!r.measured)
        return (struct range){NAN, NAN, NAN};
    return r.logarithmic ? (struct range){pow(10, r.least), pow(10, r.median), pow(10, r.most)}
                         : (struct range){r.least, r.median, r.most};
}

static void costs_data(FILE *file, const struct figure_source *source, const struct lines *lines, bool trained) {
    for (int k = 0; file && k < lines->count; k++) {
        const struct group *group = &source->groups->group[lines->line[k].groups[0]];
        const struct connection *connection = params_connection(&group->p);
        const struct costs costs = costs_of(&group->p);
        fprintf(file, "%d", k + 1);
        put_field(file, lines->line[k].label);
        fprintf(file, ",%s,%d", connection->name, connection->exact);
        put_number(file, costs.bytes);
        put_number(file, costs.flops);
        put_number(file, costs.parameters);
        for (int m = 0; m < DONE; m++)
            put_range(file, range_of(source, group, does[m].summary));
        const struct range loss = trained ? trained_over_seeds(source->reader, group, last_loss, NULL)
                                          : (struct range){NAN, NAN, NAN};
        put_range(file, loss);
        fprintf(file, ",%lld\n", (long long)group->count);
    }
}

static bool write_costs(const struct figure_source *source, const char *name, const struct lines *lines, bool trained,
                        char *why, size_t why_size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], columns[800];
    int used = snprintf(columns, sizeof columns, "line,label,block,exact,bytes,flops,parameters");
    for (int m = 0; m <= DONE; m++) {
        const char *c = m < DONE ? does[m].column : "loss";
        used += snprintf(columns + used, sizeof columns - (size_t)used, ",%s_least,%s_median,%s_most", c, c, c);
    }
    snprintf(columns + used, sizeof columns - (size_t)used, ",seeds");
    FILE *file = data_open(source, name, columns);
    costs_data(file, source, lines, trained);
    if (!data_close(file, source, name, why, why_size))
        return false;
    describe_lines(source, lines, shared, sizeof shared);
    snprintf(
        text, sizeof text,
        "What each connection costs and does. Bytes that a site must move per token, forward and backward, fused, "
        "float32, C = %d; its parameters. Gain: induced norm of the composite maps, the largest over layers. Reach: "
        "the largest |M| of a source forward, the mean |M| of a branch over later inputs backward, the largest over "
        "layers; 1 in a ResNet. Rank: effective number of different streams at the exit. Exact: rows and columns "
        "of the maps sum to 1 by construction. Median over seeds, and whiskers from the smallest to the "
        "largest.%s %s.",
        COSTS_WIDTH, trained ? " Trained stacks; loss: held-out nats per byte at the end." : "", shared);
    file = settings_open(source, name);
    put_lines(file, source, lines);
    put_caption(file, source, true, text);
    if (file)
        fprintf(file, "STREAMS = %lld\nTRAINED = %d\narray EXACT[LINES]\n", (long long)lines_streams(source, lines),
                trained);
    for (int k = 0; file && k < lines->count; k++)
        fprintf(file, "EXACT[%d] = %d\n", k + 1, connections[lines->line[k].block].exact);
    return data_close(file, source, name, why, why_size);
}

enum figure_outcome figure_costs(const struct figure_source *all, const struct figure *figure, char *why, size_t size) {
    struct figure_source source = *all;
    struct groups groups = {0};
    struct lines lines;
    const bool trained = figure_of_trained(all, &source, &groups, why, size);
    if (!trained)
        source.groups = all->groups;
    lines_by_layer(&source, recorded_with, connections_where(NULL), 1, &lines);
    enum figure_outcome outcome = FIGURE_SKIPPED;
    if (lines.count < 2)
        snprintf(why, size, "it has reach of fewer than two connections of one depth and n");
    else if (!write_costs(&source, figure->name, &lines, trained, why, size))
        outcome = FIGURE_FAILED;
    else {
        outcome = FIGURE_WRITTEN;
        describe_left_out(&lines, why, size);
    }
    lines_release(&lines);
    if (trained)
        free(groups.group);
    return outcome;
}
