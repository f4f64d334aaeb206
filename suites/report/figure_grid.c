#include "suites/report/figure_grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *phase_summary(int block) {
    return connection_is_hc(&connections[block]) ? "composite_forward_sum_max" : "composite_backward_sum_max";
}

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

/* Drops the steps of an axis that are less than half full, because other lines of a suite may cross the grid. */
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

/* Whether a grid is the better one to show: the one that is more like the paper's stack; if both are equal in that, the
 * larger one, then the one with the d of more groups, then the one with the larger d. */
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

bool grid_find(const struct figure_source *source, int block, struct grid *grid) {
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

bool grid_fill(const struct figure_source *source, struct grid *grid) {
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

/* ---- the other planes ---- */

/* Whether a group lies in a plane: it differs from the plane's in its two parameters alone. */
static bool in_plane(const struct figure_source *source, const struct grid *plane, int64_t group) {
    return same_but(&source->groups->group[plane->group].p, &source->groups->group[group].p, plane->x.param,
                    plane->y.param);
}

/* "d=6 t-max=50": what tells a plane from the one drawn. */
static void put_differences(const struct params *p, const struct params *drawn, const struct grid *plane, char *text,
                            size_t size) {
    text[0] = 0;
    for (int k = 0; k < params_count; k++) {
        const struct param *param = &params_table[k];
        char value[PARAM_TEXT_SIZE];
        if (param == plane->x.param || param == plane->y.param || !strcmp(param->name, "seed") ||
            !params_differ(p, drawn, param))
            continue;
        params_text(p, param, value, sizeof value);
        const char *const words[] = {*text ? " " : "", param->letter ? param->letter : param->name, "=", value};
        for (size_t w = 0; w < sizeof words / sizeof *words; w++)
            strncat(text, words[w], size - strlen(text) - 1);
    }
}

/* Adds a name to a list of names: with what comes before it if it is the first, and while there is room. */
static void add_name(char *text, size_t size, const char *before, bool *first, const char *name) {
    static const char more[] = ", …";
    size_t used = strlen(text);
    if (used >= sizeof more && !strcmp(text + used - (sizeof more - 1), more))
        return;
    if (used + strlen(before) + strlen(name) + sizeof more + 4 > size)
        snprintf(text + used, size - used, "%s", more);
    else
        snprintf(text + used, size - used, "%s%s%s", *first ? (used ? "; " : "") : ", ", *first ? before : "", name);
    *first = false;
}

void grid_name_others(const struct figure_source *source, int block, const struct grid *drawn, char *text,
                      size_t size) {
    const struct groups *g = source->groups;
    const char *label = connections[block].label;
    bool *seen = calloc((size_t)g->count + 1, sizeof *seen), first = true;
    char before[64], name[200];
    snprintf(before, sizeof before, "%s at ", label);
    for (int64_t k = 0; seen && k < g->count; k++) {
        struct grid other;
        if (seen[k] || in_plane(source, drawn, k) || !usable(source, &g->group[k], block) ||
            !make_grid(source, k, drawn->x.param, drawn->y.param, &other))
            continue;
        for (int64_t j = k; j < g->count; j++)
            seen[j] = seen[j] || in_plane(source, &other, j);
        put_differences(&g->group[k].p, &g->group[drawn->group].p, drawn, name, sizeof name);
        add_name(text, size, before, &first, name);
    }
    free(seen);
    first = true;
    snprintf(before, sizeof before, "%s over ", label);
    for (int a = 0; a < params_count; a++)
        for (int b = a + 1; b < params_count; b++) {
            const struct param *x = &params_table[a], *y = &params_table[b];
            struct grid other;
            bool same = (x == drawn->x.param && y == drawn->y.param) || (y == drawn->x.param && x == drawn->y.param);
            if (same || !is_axis(source, x) || !is_axis(source, y) || !best_grid(source, block, x, y, &other))
                continue;
            snprintf(name, sizeof name, "%s and %s", x->letter ? x->letter : x->name, y->letter ? y->letter : y->name);
            add_name(text, size, before, &first, name);
        }
}
