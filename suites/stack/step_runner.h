/* How a step is put on the device: row by row on one queue; two micro-batches on two queues; either kept as a graph.
 *
 * Overlap: both micro-batches run the whole step. Products, attention and activations go to the backend's queue, what
 * only streams (the connection, norms and the residual's adds) to one of high priority. A micro-batch is a chain, so
 * each of its stretches waits for the one before, and the connection of one runs beside the GEMMs of the other; that is
 * the single-device analogue of DualPipe. */
#ifndef STEP_RUNNER_H
#define STEP_RUNNER_H

#include "suites/stack/step.h"

struct step_runner {
    const struct step *step;
    int part;     /* of the step alone; -1: all of it */
    void *high;   /* the second queue; NULL: no overlap */
    void **event; /* one for the end of each stretch, and two */
    void **graph; /* one a set; NULL: none */
    int64_t events, graphs;
    char uncaptured[160]; /* why there is no graph although one was asked for; the runner then launches row by row */
};

/* Whether the backend can; false: one line in `why`. */
bool step_runner_possible(const struct backend *, bool graphs, bool overlap, char *why, size_t why_size);

/* With `high` both lanes of the step are run. Everything runs once, so that what is captured is known to run. NULL, or
 * why not; close in either case. */
const char *step_runner_open(struct step_runner *, const struct step *, int part, bool graphs, void *high);
void step_runner_close(struct step_runner *);
/* Gives the graphs up: from now on row by row. */
void step_runner_without_graphs(struct step_runner *);

/* Queues a step on a set of arrays, without waiting for it; a subject of timing.h, `user` is the runner. */
const char *step_runner_run(void *user, int64_t set);

#endif
