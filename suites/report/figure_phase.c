/* The phase diagram: composite gain over two parameters that vary on a grid, with the paper's gains as contours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/figure_grid.h"
#include "suites/report/paper.h"

enum { TEXT_SIZE = 1600, LEVELS_SIZE = 40, PLANES_SIZE = 240 };

/* ---- contours ---- */

/* Whether a contour of a level passes between computed points: some three corners of a square lie on both sides of it,
 * because gnuplot draws contours in triangles. */
static bool crosses(const struct grid *g, double level) {
    for (int j = 0; j + 1 < g->y.count; j++)
        for (int i = 0; i + 1 < g->x.count; i++) {
            int above = 0, below = 0;
            for (int c = 0; c < 4; c++) {
                double gain = g->gain[(j + c / 2) * g->x.count + i + c % 2];
                above += gain >= level;
                below += gain < level;
            }
            if (above && below && above + below >= 3)
                return true;
        }
    return false;
}

/* The paper's gains that are contours of a panel, "1.6 3000"; those that are not are named in `absent`. */
static void find_levels(int block, const struct grid *g, char levels[LEVELS_SIZE], char *absent, size_t size) {
    static const double paper[] = {PAPER_MHC_GAIN, PAPER_HC_GAIN}; /* the second is HC's */
    const int wanted = connection_is_hc(&connections[block]) ? 2 : 1;
    levels[0] = 0;
    for (int k = 0; k < wanted; k++) {
        size_t used = strlen(absent), length = strlen(levels);
        if (crosses(g, paper[k]))
            snprintf(levels + length, LEVELS_SIZE - length, "%s%g", length ? " " : "", paper[k]);
        else
            snprintf(absent + used, size - used, " %s: no %g contour in this range.", connections[block].label,
                     paper[k]);
    }
}

static double share_of(const struct axis *a, double value) {
    double low = a->value[0], high = a->value[a->count - 1];
    return a->log ? log(value / low) / log(high / low) : (value - low) / (high - low);
}

/* ---- files ---- */

/* Half way to the neighbours, as far beyond the ends. */
static double edge(const struct axis *a, int k) {
    double low = a->value[k > 0 ? k - 1 : 0], high = a->value[k < a->count ? k : a->count - 1];
    if (k > 0 && k < a->count)
        return a->log ? sqrt(low * high) : (low + high) / 2;
    double inner = edge(a, k ? a->count - 1 : 1), end = k ? low : high;
    return a->log ? end * end / inner : 2 * end - inner;
}

/* A blank line after each row: gnuplot reads them as a grid then. */
static void put_grid(FILE *file, int panel, const char *block, const struct grid *g) {
    for (int j = 0; j < g->y.count; j++) {
        for (int i = 0; i < g->x.count; i++) {
            double gain = g->gain[j * g->x.count + i];
            fprintf(file, "%d,%s,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", panel, block, g->x.value[i], g->y.value[j],
                    edge(&g->x, i), edge(&g->x, i + 1), edge(&g->y, j), edge(&g->y, j + 1));
            put_number(file, gain);
            fprintf(file, ",%d\n", isinf(gain));
        }
        putc('\n', file);
    }
}

/* Whether the numbers of every `stride`-th step stand apart, at about 0.024 of the panel's width a digit. */
static bool ticks_fit(const struct axis *a, int stride) {
    double free_from = -INFINITY, whole = share_of(a, edge(a, a->count)) - share_of(a, edge(a, 0));
    for (int k = 0; k < a->count; k += stride) {
        double half = 0.012 * snprintf(NULL, 0, "%g", a->value[k]), at = share_of(a, a->value[k]) / whole;
        if (at - half < free_from)
            return false;
        free_from = at + half + 0.03;
    }
    return true;
}

/* Ticks at points that were computed: X_TICKS[1] = '0, 0.5, 1'. Every step, every second, every fourth, ... has one. */
static void put_ticks(FILE *file, const char *name, int panel, const struct axis *a) {
    static const int strides[] = {1, 2, 4, 5, 8, 10, 20, 40, 50, 100, 200, MOST_STEPS};
    int stride = 0;
    while (strides[stride] < a->count && !ticks_fit(a, strides[stride]))
        stride++;
    fprintf(file, "%s[%d] = '", name, panel);
    for (int k = 0; k < a->count; k += strides[stride])
        fprintf(file, "%s%g", k ? ", " : "", a->value[k]);
    fprintf(file, "'\n");
}

/* A coarse grid has a dot at each point. On a fine one they would hide the colours, and each cell is a point. */
static bool has_dots(const struct grid *g) {
    return g->x.count * g->y.count <= 150;
}

/* The rows of its grid in the CSV are from `row` on, counted from 0. */
static void put_panel_settings(FILE *file, int panel, int block, const struct grid *g, const char *levels, int row) {
    double high = 0;
    for (int k = 0; k < g->x.count * g->y.count; k++)
        high = isfinite(g->gain[k]) ? fmax(high, g->gain[k]) : high;
    fprintf(file, "BLOCK[%d] = %d; X_NAME[%d] = '%s'; Y_NAME[%d] = '%s'; X_LOG[%d] = %d; Y_LOG[%d] = %d\n", panel,
            connections[block].colour, panel, g->x.param->name, panel, g->y.param->name, panel, g->x.log, panel,
            g->y.log);
    fprintf(file, "X_FROM[%d] = %.9g; X_TO[%d] = %.9g; Y_FROM[%d] = %.9g; Y_TO[%d] = %.9g; HIGH[%d] = %.9g\n", panel,
            edge(&g->x, 0), panel, edge(&g->x, g->x.count), panel, edge(&g->y, 0), panel, edge(&g->y, g->y.count),
            panel, high > 1 ? high : 1.0);
    fprintf(file, "LEVELS[%d] = '%s'; ROW_FROM[%d] = %d; ROW_TO[%d] = %d; DOTS[%d] = %d\n", panel, levels, panel, row,
            panel, row + g->y.count - 1, panel, has_dots(g));
    put_ticks(file, "X_TICKS", panel, &g->x);
    put_ticks(file, "Y_TICKS", panel, &g->y);
}

struct phase {
    struct grid grid[2];
    int block[2], panels;
    char levels[2][LEVELS_SIZE];
};

/* Whether a cell overflowed (INFINITY) or is missing (NAN). */
static bool any_cell(const struct phase *phase, double like) {
    bool any = false;
    for (int p = 0; p < phase->panels; p++)
        for (int k = 0; k < phase->grid[p].x.count * phase->grid[p].y.count; k++)
            any |= isnan(like) ? isnan(phase->grid[p].gain[k]) : isinf(phase->grid[p].gain[k]);
    return any;
}

static bool write_phase(const struct figure_source *source, const char *name, struct phase *phase, char *why,
                        size_t size) {
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], absent[200] = "", planes[PLANES_SIZE] = "";
    struct lines lines = {.count = phase->panels};
    FILE *file = data_open(source, name, "panel,block,x,y,x_low,x_high,y_low,y_high,median,overflow");
    for (int k = 0; k < phase->panels; k++) {
        if (file)
            put_grid(file, k + 1, connections[phase->block[k]].name, &phase->grid[k]);
        find_levels(phase->block[k], &phase->grid[k], phase->levels[k], absent, sizeof absent);
        grid_name_others(source, phase->block[k], &phase->grid[k], planes, sizeof planes);
        lines.line[k] = (struct line){.groups = (int64_t *)&phase->grid[k].group,
                                      .count = 1,
                                      .block = phase->block[k],
                                      .axes = {phase->grid[k].x.param, phase->grid[k].y.param}};
    }
    if (!data_close(file, source, name, why, size))
        return false;
    describe_lines(source, &lines, shared, sizeof shared);
    if (*planes)
        snprintf(shared + strlen(shared), sizeof shared - strlen(shared),
                 ". Planes of the record that are not drawn: %s", planes);
    snprintf(
        text, sizeof text,
        "Gain of the composite maps, the largest over layers, averaged over tokens, median over seeds: %s. Each cell "
        "is a point that was computed%s; its colour reaches half way to the next. The paper's gains are drawn as "
        "contours, interpolated between the points.%s%s%s %s.",
        phase->panels > 1 ? "the largest |sum| of a row in HC (forward), of a column in mHC (backward)"
        : !connection_is_hc(&connections[phase->block[0]]) ? "the largest |sum| of a column (backward)"
                                                           : "the largest |sum| of a row (forward)",
        has_dots(&phase->grid[0]) || has_dots(&phase->grid[phase->panels - 1]) ? " (dots, where there is room)" : "",
        any_cell(phase, INFINITY) ? " Triangles: overflow." : "",
        any_cell(phase, NAN) ? " Grey without a colour: not in the record." : "", absent, shared);
    file = settings_open(source, name);
    put_caption(file, source, phase->panels > 1, text);
    static const char *const arrays[] = {"BLOCK",  "X_NAME",   "Y_NAME", "X_LOG", "Y_LOG",   "X_FROM",
                                         "X_TO",   "Y_FROM",   "Y_TO",   "HIGH",  "X_TICKS", "Y_TICKS",
                                         "LEVELS", "ROW_FROM", "ROW_TO", "DOTS"};
    if (file)
        fprintf(file, "PANELS = %d\n", phase->panels);
    for (size_t k = 0; file && k < sizeof arrays / sizeof *arrays; k++)
        fprintf(file, "array %s[%d]\n", arrays[k], phase->panels);
    for (int k = 0; file && k < phase->panels; k++)
        put_panel_settings(file, k + 1, phase->block[k], &phase->grid[k], phase->levels[k],
                           k ? phase->grid[0].y.count : 0);
    if (!data_close(file, source, name, why, size))
        return false;
    if (*planes)
        snprintf(why, size, "planes that are not drawn: %s", planes);
    return true;
}

enum figure_outcome figure_phase(const struct figure_source *source, const struct figure *figure, char *why,
                                 size_t why_size) {
    const int blocks[] = {(int)(connection_find("hc") - connections), (int)(connection_find("mhc") - connections)};
    struct phase phase = {.panels = 0};
    for (int k = 0; k < 2; k++) {
        struct grid *grid = &phase.grid[phase.panels];
        if (grid_find(source, blocks[k], grid) && grid_fill(source, grid))
            phase.block[phase.panels++] = blocks[k];
    }
    enum figure_outcome outcome = FIGURE_SKIPPED;
    if (!phase.panels)
        snprintf(why, why_size, "no two parameters of it vary on a grid of 3 x 3 and more");
    else
        outcome = write_phase(source, figure->name, &phase, why, why_size) ? FIGURE_WRITTEN : FIGURE_FAILED;
    for (int k = 0; k < phase.panels; k++)
        free(phase.grid[k].gain);
    return outcome;
}
