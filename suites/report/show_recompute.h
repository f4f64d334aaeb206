/* Which cases of study `recompute` stand in one table. */
#ifndef SHOW_RECOMPUTE_H
#define SHOW_RECOMPUTE_H

#include "results/record.h"
#include "suites/case/params.h"

/* A case that was measured; its parameters go to *p. */
bool recompute_is_case(struct record_reader *, int64_t index, struct params *p);
/* They differ in L_r alone. */
bool recompute_alike(const struct params *, const struct params *);
/* Whether an earlier case is like this one, which is then in its table. */
bool recompute_has_table(struct record_reader *, int64_t index, const struct params *);

#endif
