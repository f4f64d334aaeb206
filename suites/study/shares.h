/* A suite cut into shares that take about as long as each other. */
#ifndef SHARES_H
#define SHARES_H

#include "suites/case/suite.h"

enum { SHARES_MOST = 1000000 };

/* A case's estimate in whole microseconds, at least 1: sums of integers are the same on every machine, so that every
 * process makes the same shares. */
int64_t shares_cost(const struct params *);
/* The estimates of a suite's cases, [count]; the caller frees them. NULL: out of memory. */
int64_t *shares_costs(const struct suite *);

/* Gives every case to a share: the longest case first, each to the share that has least so far, the lowest number
 * where several have. `of` receives the share of each case, [count of the suite]; `load`, NULL or [shares], the sum of
 * costs of each. false: out of memory. */
bool shares_cut(const struct suite *, int64_t shares, int32_t *of, int64_t *load);
/* The same for `count` cases whose costs are known. */
bool shares_cut_costs(const int64_t *cost, int64_t count, int64_t shares, int32_t *of, int64_t *load);

#endif
