/* What the figures of study `overhead` have in common: their cases, and what their captions say of them. */
#ifndef FIGURE_OVERHEAD_H
#define FIGURE_OVERHEAD_H

#include <stdio.h>

#include "suites/report/figure.h"
#include "suites/report/overhead_lines.h"

/* The cases that were timed to the end and chosen, in the order of the record; release with free(). NULL only
 * where *count is 0. */
struct overhead_line *overhead_chosen(const struct figure_source *, int *count);

/* Returns SKIPPED and says why: there is no such case. */
enum figure_outcome overhead_nothing(char *why, size_t size);

/* Options that a figure may leave open, and whether two cases differ in nothing but those. */
enum { OPEN_SHAPE = 1, OPEN_TOKENS = 2, OPEN_CORE = 4, OPEN_KIND = 8 };
bool overhead_like(const struct params *, const struct params *, int open);

/* The variants that some case was to time, in order: their place in the data, from 1; 0 for the others. */
struct overhead_places {
    int of[STEP_VARIANTS], count;
};
struct overhead_places overhead_places_of(const struct overhead_line *, int count);
/* Their names and colours. */
void overhead_put_variants(FILE *settings, const struct overhead_places *);

/* The end of a row of data: a variant's overhead and its interval, in percent. Adds 1 to `unknown` where it was timed
 * in too few rounds for an interval. */
void overhead_put(FILE *, const struct figure_source *, const struct overhead_line *, int variant, int *unknown);

/* "One step on cpu32, 4 layers, n=4, T=128": what a figure holds fixed. The functions below append to a caption. */
void overhead_constants(const struct figure_source *, const struct overhead_line *, int open, char *text, size_t size);
/* " Dashed: the paper's 6.7 %.", and the setting that draws it; neither beside times of a CPU, as it is of GPUs. */
void overhead_say_paper(FILE *settings, const struct overhead_line *, char *text, size_t size);
/* Names the values that have too few rounds for an interval and are not drawn. */
void overhead_say_unknown(int unknown, char *text, size_t size);
/* Names the variants that the backend could not run. */
void overhead_say_missing(const struct figure_source *, const struct overhead_line *, char *text, size_t size);
/* Names the cases that a figure leaves out and those that failed; `why` says it beside the figure. */
void overhead_say_left_out(const struct figure_source *, int cases, char *text, size_t text_size, char *why,
                           size_t size);

#endif
