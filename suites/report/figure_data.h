/* The files that the gnuplot script of a figure reads. */
#ifndef FIGURE_DATA_H
#define FIGURE_DATA_H

#include <stdio.h>

#include "suites/report/figure_lines.h"

/* Files of a figure. data_open() writes the provenance line and the header row of <name>.csv; data_close() is false,
 * with one line in `why`, when anything could not be written, opening included. */
FILE *data_open(const struct figure_source *, const char *name, const char *columns);
bool data_close(FILE *, const struct figure_source *, const char *name, char *why, size_t why_size);

/* ",value", an empty field when it is not finite. */
void put_number(FILE *, double value);
/* ",q10,median,q90,overflow": overflow is 1 when a tenth of the seeds left the range of a double, or when `broken`; so
 * is the result. */
bool put_spread(FILE *, struct spread, bool broken);

/* Whether a line may join two neighbouring points of a parameter, from < to. It may if no whole number lies between
 * them, or if `to` is at most 1.5 times `from`. A longer line would suggest values that were not computed. */
bool figure_joined(const struct param *, double from, double to);

/* How many of the chosen cases of a study failed. */
int64_t failed_cases(const struct figure_source *, const char *study);

/* "cuda (NVIDIA H100 80GB HBM3)": a backend and, where the record says it, its device. */
void device_name(const struct figure_source *, const char *backend, char *text, size_t size);

/* ,"text": a field of CSV that gnuplot reads as it is. */
void put_field(FILE *, const char *text);

/* Settings <name>.gp, with the numbers of paper.h; closed by data_close(). Strings are quoted, and have no quote that
 * could end them; put_lines()
 * and put_caption() write enhanced text, in which t_max, L_r and x_l are set with subscripts and all else is
 * literal. */
FILE *settings_open(const struct figure_source *, const char *name);
void put_string(FILE *, const char *text);
void put_lines(FILE *, const struct figure_source *, const struct lines *);
/* PAPER: whether the lines can stand beside the paper's numbers; SEEDS: the most that a point has. */
void put_paper(FILE *, const struct figure_source *, const struct lines *);
/* The caption, wrapped for 8.5 or 17 cm, the provenance below it. `wide`: what the panels need; the source may say
 * otherwise. */
void put_caption(FILE *, const struct figure_source *, bool wide, const char *text);

#endif
