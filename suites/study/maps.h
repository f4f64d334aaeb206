/* Study `maps`: the residual maps of an ensemble and their composites, without streams. */
#ifndef MAPS_STUDY_H
#define MAPS_STUDY_H

#include "suites/study/study.h"

void maps_run(const struct params *, struct study_result *);
double maps_bytes(const struct params *);

/* Tokens that are drawn: without a dynamic part all are the same, and one stands for them. */
int64_t maps_token_count(const struct params *);

#endif
