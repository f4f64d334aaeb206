/* What the figures of trained stacks have in common. */
#ifndef FIGURE_TRAINED_H
#define FIGURE_TRAINED_H

#include "suites/report/figure_data.h"
#include "suites/report/trained_seeds.h"

/* The same source with the trained groups alone; `groups` keeps them and is released with free(groups->group). false:
 * there are none, with a line in `why`. */
bool figure_of_trained(const struct figure_source *all, struct figure_source *trained, struct groups *groups, char *why,
                       size_t why_size);

/* Connections whose maps keep the sums of rows are shown backward, others forward, as the paper shows HC. One bit per
 * connection of either sort; a ResNet is of neither. */
unsigned figure_unbounded(void);
unsigned figure_bounded(void);

/* ",least,median,most", an empty field where one is not finite. */
void put_range(FILE *, struct range);
/* Runs of the lines whose loss ended as no number, as a sentence; nothing where there are none. */
void describe_ended(const struct figure_source *, const struct lines *, char *text, size_t size);
/* PANEL[k] and SLOT[k], the place of line k in the legend of its panel, from 0; 0 and -1: it has none. */
void put_places(FILE *, const struct lines *, const int *panel, const int *slot);

#endif
