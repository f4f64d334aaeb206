/* Study `maps` on maps that were made elsewhere: those of a file (results/maps_file.h). */
#ifndef GIVEN_H
#define GIVEN_H

#include "suites/study/study.h"

void given_run(const struct study_context *, struct study_result *);
bool given_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);
double given_flops(const struct params *);

#endif
