/* The figure of a history: speed over commits. */
#ifndef FIGURE_HISTORY_H
#define FIGURE_HISTORY_H

#include "results/history.h"
#include "suites/report/figure.h"

#define FIGURE_HISTORY "history"

/* Writes history.csv and history.gp; of the source its folder and provenance count. SKIPPED: nothing was timed. */
enum figure_outcome figure_history(const struct history *, const struct figure_source *, char *why, size_t why_size);

#endif
