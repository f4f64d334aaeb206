/* Two parameters of a record that vary on a grid: what the figure `phase` draws. */
#ifndef FIGURE_GRID_H
#define FIGURE_GRID_H

#include "suites/report/figure_lines.h"

enum { MOST_STEPS = 512 };

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

/* Finds the grid of a connection that the figure draws: w and s if they form one, else the first two parameters in the
 * order of the table. Of several grids it takes the nearest to the paper's stack. false: there is none of 3 x 3 and
 * more. */
bool grid_find(const struct figure_source *, int block, struct grid *);

/* Reads the gains; the caller frees `gain`. false: out of memory. */
bool grid_fill(const struct figure_source *, struct grid *);

/* Appends the other planes of a sweep, "mHC d=0, d=6; mHC over d and s": grids of the same two parameters by what tells
 * them from the one drawn, and other pairs of parameters that form a grid. */
void grid_name_others(const struct figure_source *, int block, const struct grid *drawn, char *text, size_t size);

#endif
