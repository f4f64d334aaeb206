/* `mhcbench run --dry-run`. */
#ifndef RUN_DRY_H
#define RUN_DRY_H

#include "suites/case/suite.h"

/* Prints a line for each case that is wanted, then what was found in files of weights. An exit code. */
int run_dry(const struct suite *, const bool *wanted);

#endif
