/* The figures that are matrices: composites with their row and column sums (the paper's Fig. 8), and the phase diagram.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/paper.h"

enum { PANELS = 6, TEXT_SIZE = 1600 };

/* What the paper reports, and for which composite. */
static double paper_gain(int block) {
    return connection_is_hc(&connections[block]) ? PAPER_HC_GAIN : PAPER_MHC_GAIN;
}

static const char *paper_summary(int block) {
    return connection_is_hc(&connections[block]) ? "composite_forward_sum_max" : "composite_backward_sum_max";
}

/* ---- composite_maps ---- */

static bool is_trained(const struct group *group) {
    return group->p.study == STUDY_TRAIN;
}

/* The group with panels that is most like the paper's stack, trained ones first, and among equals the one whose gain is
 * nearest to the paper's. `beside`: if there is one of that depth and n, trained or not like it, one of those; NULL:
 * any. */
static const struct group *panel_group(const struct figure_source *source, unsigned blocks,
                                       const struct group *beside) {
    const struct groups *g = source->groups;
    const struct group *best = NULL;
    double nearest = INFINITY;
    for (int64_t k = 0; k < g->count; k++) {
        const struct group *group = &g->group[k];
        if (!(blocks >> group->p.block & 1) ||
            record_panel_streams(source->reader, group->cases[0]) != group->p.streams ||
            (beside && (beside->p.depth != group->p.depth || beside->p.streams != group->p.streams ||
                        is_trained(beside) != is_trained(group))))
            continue;
        double gain = groups_summary(source->reader, group, paper_summary((int)group->p.block)).median;
        double distance = fabs(log(gain / paper_gain((int)group->p.block)));
        int64_t better = !best ? 1
                         : is_trained(group) != is_trained(best)
                             ? is_trained(group) - is_trained(best)
                             : likeness(&group->p, NULL, NULL) - likeness(&best->p, NULL, NULL);
        if (better > 0 || (better == 0 && distance < nearest)) {
            best = group;
            nearest = distance;
        }
    }
    return best || !beside ? best : panel_group(source, blocks, NULL);
}

/* Cells of a panel, sums included: [n+1][n+1], column n the row sums, row n the column sums, the corner unused. */
static void with_sums(const double *panel, int64_t n, double scale, double *cells) {
    int64_t m = n + 1;
    memset(cells, 0, (size_t)(m * m) * sizeof *cells);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double value = panel[i * n + j] * scale;
            cells[i * m + j] = value;
            cells[i * m + n] += value;
            cells[n * m + j] += value;
        }
}

/* The power of ten that a panel is divided by, so that three digits say it: 0 unless its sums reach 1000 or are below
 * 0.01. */
static int panel_exponent(const double *panel, int64_t n, double log10_scale, double *cells) {
    double largest = 0;
    with_sums(panel, n, 1, cells);
    for (int64_t k = 0; k < (n + 1) * (n + 1); k++)
        largest = fmax(largest, fabs(cells[k]));
    double magnitude = log10(largest) + log10_scale;
    return largest > 0 && isfinite(largest) && (magnitude >= 3 || magnitude < -2) ? (int)floor(magnitude) : 0;
}

struct map_panel {
    int exponent;
    double largest; /* |entry|, divided by 10^exponent */
};

static void put_panel(FILE *file, int model, int panel, int64_t n, const double *cells, struct map_panel *said) {
    double widest = 0;
    for (int64_t i = 0; i <= n; i++)
        for (int64_t j = 0; j <= n; j++) {
            double size = fabs(cells[i * (n + 1) + j]);
            widest = fmax(widest, size);
            if (i < n && j < n)
                said->largest = fmax(said->largest, size);
        }
    int digits = widest >= 99.5 ? 0 : widest >= 9.995 ? 1 : 2;
    for (int64_t i = 0; i <= n; i++)
        for (int64_t j = 0; j <= n; j++) {
            double value = cells[i * (n + 1) + j];
            if (i == n && j == n)
                continue;
            fprintf(file, "%d,%d,%s,%lld,%lld", model, panel,
                    i == n   ? "column_sum"
                    : j == n ? "row_sum"
                             : "entry",
                    (long long)i + 1, (long long)j + 1);
            put_number(file, value);
            double shown = fabs(value) < 0.5 * pow(10, -digits) ? 0 : value;
            if (isfinite(value))
                fprintf(file, ",%s%.*f\n", shown < 0 ? "−" : "", digits, fabs(shown));
            else
                fprintf(file, ",overflow\n");
        }
}

/* CSV rows of a group's first seed. false: its panels cannot be read. */
static bool put_model(FILE *file, const struct figure_source *source, int model, const struct group *group,
                      struct map_panel said[PANELS]) {
    int64_t n = group->p.streams;
    double scale[PANELS], *panels = malloc((size_t)(PANELS * n * n) * sizeof *panels);
    double *cells = malloc((size_t)((n + 1) * (n + 1)) * sizeof *cells);
    bool good = panels && cells && record_panels(source->reader, group->cases[0], n, panels, scale);
    for (int k = 0; good && file && k < PANELS; k++) {
        const double *panel = panels + k * n * n;
        said[k] = (struct map_panel){panel_exponent(panel, n, scale[k], cells), 0};
        with_sums(panel, n, pow(10, scale[k] - said[k].exponent), cells);
        put_panel(file, model, k + 1, n, cells, &said[k]);
    }
    free(cells);
    free(panels);
    return good;
}

/* Enhanced text: H_60...H_1 x 10^17. */
static void put_titles(FILE *file, int model, const struct params *p, const struct map_panel said[PANELS]) {
    long long L = p->depth, h = (L + 1) / 2;
    const long long ends[PANELS][2] = {{1, 1}, {h, h}, {L, L}, {h, 1}, {L, h + 1}, {L, 1}};
    for (int k = 0; k < PANELS; k++) {
        int index = (model - 1) * PANELS + k + 1;
        fprintf(file, "TITLE[%d] = '", index);
        if (ends[k][0] < ends[k][1])
            fprintf(file, "I");
        else if (ends[k][0] == ends[k][1])
            fprintf(file, "H_{%lld}", ends[k][0]);
        else
            fprintf(file, "H_{%lld}…H_{%lld}", ends[k][0], ends[k][1]);
        if (said[k].exponent)
            fprintf(file, "  / 10^{%d}", said[k].exponent);
        fprintf(file, "'; LARGEST[%d] = %.9g\n", index,
                isfinite(said[k].largest) && said[k].largest > 0 ? said[k].largest : 1.0);
    }
}

enum figure_outcome figure_composite_maps(const struct figure_source *source, const struct figure *figure, char *why,
                                          size_t why_size) {
    const struct group *const hc = panel_group(source, connections_where(connection_is_hc), NULL),
                              *const found[] = {hc,
                                                panel_group(source, connections_where(connection_has_sinkhorn), hc)};
    struct map_panel said[2][PANELS] = {{{0, 0}}};
    struct lines lines = {.count = 0};
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2];
    int64_t indices[2];
    bool wide = false; /* cells too small for numbers */
    int models = 0;
    if (!found[0] && !found[1])
        return snprintf(why, why_size, "no case of it has matrices recorded"), FIGURE_SKIPPED;
    FILE *file = data_open(source, figure->name, "model,panel,kind,row,column,value,text");
    for (int k = 0; k < 2; k++) {
        if (!found[k])
            continue;
        wide |= found[k]->p.streams > 5;
        indices[models] = found[k] - source->groups->group;
        lines.line[models] = (struct line){.groups = &indices[models], .count = 1, .block = (int)found[k]->p.block};
        if (file && !put_model(file, source, models + 1, found[k], said[models]))
            return fclose(file), snprintf(why, why_size, "%s", record_error()), FIGURE_SKIPPED;
        lines.count = ++models;
    }
    if (!data_close(file, source, figure->name, why, why_size))
        return FIGURE_FAILED;
    describe_lines(source, &lines, shared, sizeof shared);
    char *seeds = strrchr(shared, ';'), seed[32] = "unknown"; /* one seed is shown: which */
    const int64_t *all_seeds = record_ints(source->reader, "seed");
    if (all_seeds)
        snprintf(seed, sizeof seed, "%lld", (long long)all_seeds[found[!found[0]]->cases[0]]);
    snprintf(text, sizeof text,
             "%s of single maps and composites (rows: streams written, columns: streams read), row sums at the right, "
             "column sums below%s. %.*s; seed %s.",
             !is_trained(found[!found[0]])          ? "Token mean"
             : models == 2 && !is_trained(found[1]) ? "Trained HC and drawn mHC: token mean"
                                                    : "Trained stacks: token mean",
             wide ? " (their colours end at those of the entries)" : "", seeds ? (int)(seeds - shared) : 0, shared,
             seed);
    file = settings_open(source, figure->name);
    put_caption(file, source, true, text);
    if (file)
        fprintf(file, "MODELS = %d\narray N[%d]\narray BLOCK[%d]\narray TITLE[%d]\narray LARGEST[%d]\n", models, models,
                models, models * PANELS, models * PANELS);
    for (int k = 0; file && k < models; k++) {
        const struct params *p = &source->groups->group[indices[k]].p;
        fprintf(file, "N[%d] = %lld; BLOCK[%d] = %d\n", k + 1, (long long)p->streams, k + 1,
                params_connection(p)->colour);
        put_titles(file, k + 1, p, said[k]);
    }
    return data_close(file, source, figure->name, why, why_size) ? FIGURE_WRITTEN : FIGURE_FAILED;
}
