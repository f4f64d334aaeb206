/* The phase diagram: composite gain over two parameters that vary on a grid, with the paper's gains as contours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/figure_data.h"
#include "suites/report/paper.h"

enum { MOST_STEPS = 512, TEXT_SIZE = 1600, LEVELS_SIZE = 40 };

struct axis {
    const struct param *param;
    double value[MOST_STEPS];
    int count;
    bool log; /* steps of a ratio rather than of a difference */
};

struct grid {
    struct axis x, y;
    double *gain;         /* [y][x]: NaN missing, Inf overflow */
    int64_t group, cells; /* one of them; how many are there */
};

static const char *phase_summary(int block) {
    return connection_is_hc(&connections[block]) ? "composite_forward_sum_max" : "composite_backward_sum_max";
}

/* ---- finding the grid ---- */

static int position(const struct axis *a, double value) {
    for (int k = 0; k < a->count; k++)
        if (a->value[k] == value)
            return k;
    return -1;
}

static void add_step(struct axis *a, double value) {
    if (a->count == MOST_STEPS || position(a, value) >= 0)
        return;
    int at = a->count++;
    for (; at > 0 && a->value[at - 1] > value; at--)
        a->value[at] = a->value[at - 1];
    a->value[at] = value;
}

static bool usable(const struct figure_source *source, const struct group *group, int block) {
    return group->p.block == block &&
           (!isnan(groups_summary(source->reader, group, phase_summary(block)).median) || group_broken(source, group));
}

static bool in_grid(const struct figure_source *source, const struct grid *grid, int64_t k, int *i, int *j) {
    const struct params *like = &source->groups->group[grid->group].p, *p = &source->groups->group[k].p;
    if (!usable(source, &source->groups->group[k], (int)like->block) ||
        !same_but(like, p, grid->x.param, grid->y.param))
        return false;
    *i = position(&grid->x, parameter_value(p, grid->x.param));
    *j = position(&grid->y, parameter_value(p, grid->y.param));
    return *i >= 0 && *j >= 0;
}

/* Drops the steps of an axis that are less than half full: other lines of a suite may cross the grid. */
static bool drop_sparse(struct axis *a, const int *filled, int full) {
    int kept = 0;
    for (int k = 0; k < a->count; k++)
        if (2 * filled[k] >= full)
            a->value[kept++] = a->value[k];
    bool dropped = kept < a->count;
    a->count = kept;
    return dropped;
}

/* The groups that are like `model` but for two parameters; 3 x 3 and half full at least. */
static bool make_grid(const struct figure_source *source, int64_t model, const struct param *a, const struct param *b,
                      struct grid *grid) {
    const struct groups *g = source->groups;
    const struct params *like = &g->group[model].p;
    bool dropped = true;
    int i, j;
    *grid = (struct grid){.x = {.param = a}, .y = {.param = b}, .group = model};
    for (int64_t k = 0; k < g->count; k++)
        if (usable(source, &g->group[k], (int)like->block) && same_but(like, &g->group[k].p, a, b)) {
            add_step(&grid->x, parameter_value(&g->group[k].p, a));
            add_step(&grid->y, parameter_value(&g->group[k].p, b));
        }
    while (dropped && grid->x.count >= 3 && grid->y.count >= 3) {
        int column[MOST_STEPS] = {0}, row[MOST_STEPS] = {0}, width = grid->x.count, height = grid->y.count;
        grid->cells = 0;
        for (int64_t k = 0; k < g->count; k++)
            if (in_grid(source, grid, k, &i, &j)) {
                column[i]++;
                row[j]++;
                grid->cells++;
            }
        dropped = drop_sparse(&grid->x, column, height);
        dropped |= drop_sparse(&grid->y, row, width);
    }
    return grid->x.count >= 3 && grid->y.count >= 3;
}

/* How many groups of the block have this d. */
static int64_t with_d(const struct figure_source *source, const struct params *like) {
    int64_t count = 0;
    for (int64_t k = 0; k < source->groups->count; k++)
        count += source->groups->group[k].p.block == like->block && source->groups->group[k].p.d == like->d;
    return count;
}

/* Whether a grid is the better one to show: more like the paper's stack, larger, of the file's most frequent d, of the
 * larger d. */
static bool better(const struct figure_source *source, const struct grid *grid, const struct grid *than) {
    const struct params *p = &source->groups->group[grid->group].p, *q = &source->groups->group[than->group].p;
    int64_t like = likeness(p, grid->x.param, grid->y.param) - likeness(q, grid->x.param, grid->y.param);
    int64_t larger = grid->cells - than->cells, commoner = with_d(source, p) - with_d(source, q);
    return like ? like > 0 : larger ? larger > 0 : commoner ? commoner > 0 : p->d > q->d;
}

static bool best_grid(const struct figure_source *source, int block, const struct param *a, const struct param *b,
                      struct grid *best) {
    const struct groups *g = source->groups;
    bool *seen = calloc((size_t)g->count + 1, sizeof *seen), found = false;
    for (int64_t k = 0; seen && k < g->count; k++) {
        struct grid grid;
        if (seen[k] || !usable(source, &g->group[k], block))
            continue;
        for (int64_t j = k; j < g->count; j++)
            seen[j] = seen[j] || same_but(&g->group[k].p, &g->group[j].p, a, b);
        if (make_grid(source, k, a, b, &grid) && (!found || better(source, &grid, best))) {
            *best = grid;
            found = true;
        }
    }
    free(seen);
    return found;
}

static bool is_axis(const struct figure_source *source, const struct param *param) {
    return source->groups->varies[param - params_table] && strcmp(param->name, "seed") &&
           (param->type == PARAM_INT || param->type == PARAM_REAL);
}

/* w and s if they form a grid, else the first two parameters in the order of the table that do. */
static bool find_grid(const struct figure_source *source, int block, struct grid *grid) {
    if (best_grid(source, block, params_find("w"), params_find("s"), grid))
        return true;
    for (int a = 0; a < params_count; a++)
        for (int b = a + 1; b < params_count; b++)
            if (is_axis(source, &params_table[a]) && is_axis(source, &params_table[b]) &&
                best_grid(source, block, &params_table[a], &params_table[b], grid))
                return true;
    return false;
}

static void choose_scale(struct axis *a) {
    a->log = a->value[0] > 0 && a->value[a->count - 1] >= 20 * a->value[0];
}

static bool fill_grid(const struct figure_source *source, struct grid *grid) {
    const struct groups *g = source->groups;
    size_t cells = (size_t)grid->x.count * (size_t)grid->y.count;
    int i, j;
    grid->gain = malloc(cells * sizeof *grid->gain);
    for (size_t k = 0; grid->gain && k < cells; k++)
        grid->gain[k] = NAN;
    for (int64_t k = 0; grid->gain && k < g->count; k++) {
        if (!in_grid(source, grid, k, &i, &j))
            continue;
        double gain = groups_summary(source->reader, &g->group[k], phase_summary((int)g->group[k].p.block)).median;
        grid->gain[j * grid->x.count + i] = isnan(gain) ? INFINITY : gain; /* usable: NaN is overflow here */
    }
    choose_scale(&grid->x);
    choose_scale(&grid->y);
    return grid->gain != NULL;
}

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

/* Ticks at points that were computed, as far apart as their numbers need: X_TICKS[1] = '0, 0.5, 1'. */
static void put_ticks(FILE *file, const char *name, int panel, const struct axis *a) {
    double free_from = -INFINITY, whole = share_of(a, edge(a, a->count)) - share_of(a, edge(a, 0));
    fprintf(file, "%s[%d] = '", name, panel);
    for (int k = 0; k < a->count; k++) {
        char text[32];
        double half = 0.012 * snprintf(text, sizeof text, "%g", a->value[k]),
               at = share_of(a, a->value[k]) / whole; /* of the panel */
        if (at - half < free_from)
            continue;
        fprintf(file, "%s%s", k ? ", " : "", text);
        free_from = at + half + 0.03;
    }
    fprintf(file, "'\n");
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
    fprintf(file, "LEVELS[%d] = '%s'; ROW_FROM[%d] = %d; ROW_TO[%d] = %d\n", panel, levels, panel, row, panel,
            row + g->y.count - 1);
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
    char text[TEXT_SIZE], shared[TEXT_SIZE / 2], absent[200] = "";
    struct lines lines = {.count = phase->panels};
    FILE *file = data_open(source, name, "panel,block,x,y,x_low,x_high,y_low,y_high,median,overflow");
    for (int k = 0; k < phase->panels; k++) {
        if (file)
            put_grid(file, k + 1, connections[phase->block[k]].name, &phase->grid[k]);
        find_levels(phase->block[k], &phase->grid[k], phase->levels[k], absent, sizeof absent);
        lines.line[k] = (struct line){.groups = (int64_t *)&phase->grid[k].group,
                                      .count = 1,
                                      .block = phase->block[k],
                                      .axes = {phase->grid[k].x.param, phase->grid[k].y.param}};
    }
    if (!data_close(file, source, name, why, size))
        return false;
    describe_lines(source, &lines, shared, sizeof shared);
    snprintf(
        text, sizeof text,
        "Largest gain of composites (max |sum|%s) over layers of the token mean, median over seeds. Dots: the points computed, "
        "whose colour reaches half way to the next; contours (the paper's gains) are interpolated between them.%s%s%s %s.",
        phase->panels > 1                                  ? " of rows in HC, of columns in mHC"
        : !connection_is_hc(&connections[phase->block[0]]) ? " of columns"
                                                           : " of rows",
        any_cell(phase, INFINITY) ? " Triangles: overflow." : "",
        any_cell(phase, NAN) ? " Grey without one: not in the record." : "", absent, shared);
    file = settings_open(source, name);
    put_caption(file, source, phase->panels > 1, text);
    static const char *const arrays[] = {"BLOCK",   "X_NAME",  "Y_NAME", "X_LOG",    "Y_LOG",
                                         "X_FROM",  "X_TO",    "Y_FROM", "Y_TO",     "HIGH",
                                         "X_TICKS", "Y_TICKS", "LEVELS", "ROW_FROM", "ROW_TO"};
    if (file)
        fprintf(file, "PANELS = %d\n", phase->panels);
    for (size_t k = 0; file && k < sizeof arrays / sizeof *arrays; k++)
        fprintf(file, "array %s[%d]\n", arrays[k], phase->panels);
    for (int k = 0; file && k < phase->panels; k++)
        put_panel_settings(file, k + 1, phase->block[k], &phase->grid[k], phase->levels[k],
                           k ? phase->grid[0].y.count : 0);
    return data_close(file, source, name, why, size);
}

enum figure_outcome figure_phase(const struct figure_source *source, const struct figure *figure, char *why,
                                 size_t why_size) {
    const int blocks[] = {(int)(connection_find("hc") - connections), (int)(connection_find("mhc") - connections)};
    struct phase phase = {.panels = 0};
    for (int k = 0; k < 2; k++) {
        struct grid *grid = &phase.grid[phase.panels];
        if (find_grid(source, blocks[k], grid) && fill_grid(source, grid))
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
