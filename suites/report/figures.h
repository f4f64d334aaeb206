/* The list of figures. */
#ifndef FIGURES_H
#define FIGURES_H

#include "suites/report/figure.h"

extern const struct figure figures[];
extern const int figures_count;

#endif
