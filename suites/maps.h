/* Study `maps`: the residual maps of an ensemble and their composites, without streams. */
#ifndef MAPS_STUDY_H
#define MAPS_STUDY_H

#include "suites/study.h"

void maps_run(const struct params *, struct study_result *);
double maps_bytes(const struct params *);

#endif
