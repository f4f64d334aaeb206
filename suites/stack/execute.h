/* How a program is run: in order on one queue, with its owner between the calls; or queued, row by row or as a graph,
 * on one queue or two.
 *
 * Overlap: two micro-batches run the whole program. Products, attention and activations go to the backend's queue, what
 * only streams (the connection, norms and the residual's adds) to one of high priority. A micro-batch is a chain, so
 * each of its stretches waits for the one before, and the connection of one runs beside the GEMMs of the other; that is
 * the single-device analogue of DualPipe. */
#ifndef EXECUTE_H
#define EXECUTE_H

#include "suites/stack/program.h"

/* Brings values in and looks at results; asked while no call is under way, on set 0 and micro-batch 0. */
struct program_owner {
    void *user;
    program_give *give; /* NULL: nothing is given */
    /* A call is done: what it has read and written is there, in shared memory perhaps for the last time. NULL, or why
     * to stop. The function itself may be NULL. */
    const char *(*after)(void *user, const struct program *, const struct program_call *);
};

/* Composes a program on memory of its own, takes and fills that. NULL, or why not; close in either case. */
const char *program_open(struct program *, const struct program_spec *, const struct program_owner *);
void program_close(struct program *);
/* Bytes that it takes; -1, and why it cannot be composed. */
double program_estimate(const struct program_spec *, char *why, size_t why_size);

/* Runs all calls and waits for them; NULL, or why it failed. Without an owner nothing may have to be given. */
const char *program_execute(const struct program *, const struct program_owner *);
/* Where the argument of a row of that name lies in a call; NULL: it has none. */
void *program_argument(const struct program *, const struct program_call *, const char *name);

/* Queues a call, without waiting for it. */
const char *program_queue_call(const struct program *, const struct program_call *, int64_t set, int micro_batch,
                               void *queue);

/* A program in which the owner gives nothing, or a part of it, set up to be run many times. */
struct program_runner {
    const struct program *program;
    int part;     /* enum step_part, or STEP_ALL */
    void *high;   /* the second queue; NULL: no overlap */
    void **event; /* one for the end of each stretch, and two */
    void **graph; /* one per set; NULL: none */
    int64_t events, graphs;
    char uncaptured[160]; /* why there is no graph although one was asked for; the runner then launches row by row */
};

/* Whether the backend can; false: one line in `why`. */
bool program_runner_possible(const struct backend *, bool graphs, bool overlap, char *why, size_t why_size);

/* With `high` both micro-batches are run. Everything runs once, so that what is captured is known to run. NULL, or
 * why not; close in either case. */
const char *program_runner_open(struct program_runner *, const struct program *, int part, bool graphs, void *high);
void program_runner_close(struct program_runner *);
/* Gives the graphs up: from now on row by row. */
void program_runner_without_graphs(struct program_runner *);

/* Queues the program on a set of arrays, without waiting for it; a subject of timing.h, `user` is the runner. */
const char *program_runner_run(void *user, int64_t set);

#endif
