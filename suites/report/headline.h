/* The headline of a record: the gains of HC and mHC, trained and random, beside the paper's. */
#ifndef HEADLINE_H
#define HEADLINE_H

#include "results/table.h"
#include "suites/report/groups.h"

enum { HEADLINE_RANDOM = 1, HEADLINE_TRAINED = 2 };
/* Which gains the table has; 0: the record has nothing to put beside the paper. `brief`: without the ensembles' options
 * and the gains at other rates. */
unsigned headline_gains(struct record_reader *, const struct groups *, bool brief, struct tables *);

#endif
