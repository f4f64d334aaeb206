/* Study `propagate`: a deep stack, forward and backward, measured at every layer. */
#ifndef PROPAGATE_H
#define PROPAGATE_H

#include "suites/study/study.h"

void propagate_run(const struct params *, struct study_result *);
bool propagate_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
double propagate_flops(const struct params *);

#endif
