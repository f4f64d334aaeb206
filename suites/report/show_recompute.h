/* Which cases of study `recompute` stand in one table. */
#ifndef SHOW_RECOMPUTE_H
#define SHOW_RECOMPUTE_H

#include "results/record.h"
#include "suites/case/params.h"

/* A case that was measured; its parameters go to *p. */
bool recompute_is_case(struct record_reader *, int64_t index, struct params *p);
/* They differ in L_r alone. */
bool recompute_alike(const struct params *, const struct params *);
/* The first case after `index` of a stack that no earlier case is of; -1: there is none. A walk begins with -1. */
int64_t recompute_next(struct record_reader *, int64_t index, struct params *);

#endif
