/* Study `propagate`: a deep stack, forward and backward, measured at every layer. */
#ifndef PROPAGATE_H
#define PROPAGATE_H

#include "suites/study/study.h"

/* Floating-point operations of the stack, forward and backward, without what is measured. */
double propagate_flops(const struct params *);

#endif
