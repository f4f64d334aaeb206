/* `mhcbench run --dry-run`. */
#ifndef RUN_DRY_H
#define RUN_DRY_H

#include "suites/case/suite.h"

/* Prints one line per case of the share, then what was found in files of weights. Returns an exit code. */
int run_dry(const struct suite *, const bool *wanted);

#endif
