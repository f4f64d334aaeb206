/* Study `maps` on the weights of a model (suites/case/sites.h): each site's static map, or its maps under streams. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "suites/study/study.h"

void weights_run(const struct study_context *, struct study_result *);
bool weights_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
double weights_flops(const struct params *);

#endif
