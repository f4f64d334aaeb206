/* What a program leaves, beside what another one or another run of it leaves. */
#ifndef RESULT_H
#define RESULT_H

#include "suites/stack/program.h"

/* What a program without `share` leaves: x_L, grad_x of layer 0, the gradient of every parameter and what the
 * optimizer makes of it, on the host in the types of the backend. */
struct program_result {
    struct program_output {
        char name[48];
        int64_t layer, count;
        int32_t type;
        void *bytes;
    } * output;
    int64_t outputs;
};

/* Copies them from a set and micro-batch; without `weights` not the gradients of F's weights and
 * what becomes of these, which are most of the memory.
 * false: no memory, or the device failed. Release in any case. */
bool program_result_take(struct program_result *, const struct program *, int64_t set, int micro_batch, bool weights);
void program_result_release(struct program_result *);

/* Fills them with NaN, so that nothing old can pass. false: the device failed. */
bool program_result_spoil(const struct program *, int64_t set, int micro_batch, bool weights);

/* The largest difference, as a share of the largest element of all arrays of its name: a sum over tokens may cancel
 * in one layer and not in all. Infinite where one side is not finite or an output is missing. `where` names it. */
double program_result_error(const struct program_result *got, const struct program_result *want, char *where,
                            size_t size);
/* Whether every bit of `want` is in `got`; if not, `where` names an array. */
bool program_result_same(const struct program_result *got, const struct program_result *want, char *where, size_t size);

/* The largest tolerance of a row that counts, whatever a library allows itself. */
#define PROGRAM_MOST_TOLERANCE 0.1

/* How far two ways of the same connection may be apart, of one that is right: they round at different places, in
 * every layer there and back, and roundings add like a walk of 2 L steps. The tolerance of a row is four such steps
 * and more. */
double program_tolerance(const struct program *);

#endif
