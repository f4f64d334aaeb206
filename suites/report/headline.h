/* The headline of a record: the gains of HC and mHC, trained and random, beside the paper's. */
#ifndef HEADLINE_H
#define HEADLINE_H

#include "results/table.h"
#include "suites/report/groups.h"

/* false: the record has nothing to put beside the paper; headline_needs says what it takes. */
bool headline_gains(struct record_reader *, const struct groups *, struct tables *);
extern const char headline_needs[];

#endif
