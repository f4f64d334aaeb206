/* The tables of study `overhead`. */
#ifndef SHOW_OVERHEAD_H
#define SHOW_OVERHEAD_H

#include "results/record.h"

/* Overheads of all timed cases, then the account of the first, or with `all` of each; nothing where there are none. */
void show_overhead(struct record_reader *, bool all);
/* The overheads of the case that is nearest to the paper's. */
void show_overhead_headline(struct record_reader *);

#endif
