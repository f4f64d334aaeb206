/* Whether a training step is right: call by call against cpu64 on a few tokens, and what it leaves at full size compared with what
 * another one leaves. */
#ifndef STEP_CHECK_H
#define STEP_CHECK_H

#include "suites/stack/step.h"

/* What a step leaves: x_L, grad_x of layer 0, the gradient of every parameter and what the optimizer makes of it, on the host in the types
 * of the backend. */
struct step_result {
    struct step_output {
        char name[48];
        int64_t layer, count;
        int32_t type;
        void *bytes;
    } * output;
    int64_t outputs;
};

/* Copies them from a set and lane; without `weights` not the gradients of F's weights and
 * what becomes of these, which are most of the memory.
 * false: no memory, or the device failed. Release in any case. */
bool step_result_take(struct step_result *, const struct step *, int64_t set, int lane, bool weights);
void step_result_release(struct step_result *);

/* Fills them with NaN, so that nothing old can pass. false: the device failed. */
bool step_result_spoil(const struct step *, int64_t set, int lane, bool weights);

/* The largest difference, as a share of the largest element of all arrays of its name: a sum over tokens may cancel in one layer and not
 * in all. Infinite where one side is not finite or an output is missing. `where` names it. */
double step_result_error(const struct step_result *got, const struct step_result *want, char *where, size_t size);
/* Whether every bit of `want` is in `got`; if not, `where` names an array. */
bool step_result_same(const struct step_result *got, const struct step_result *want, char *where, size_t size);

/* The largest tolerance of a row that counts, whatever a library allows itself. */
#define STEP_MOST_TOLERANCE 0.1

/* How far two ways of the same connection may be apart, of one that is right: they round at different places, in every layer there and
 * back, and roundings add like a walk of 2 L steps. The tolerance of a row is four such steps and more. */
double step_tolerance(const struct step *);

struct step_accuracy {
    double error, tolerance; /* of the call that comes nearest to its tolerance; NaN: the variant cannot be run */
};

/* Runs every variant on a few tokens and layers of the spec, call by call; each against cpu64 on the very numbers that it got, within the
 * tolerance of its row. Then all calls at once, which must leave the same bits. NULL, or what is wrong; how wrong in either case. */
const char *step_check(const struct step_spec *, uint64_t seed, struct step_accuracy accuracy[STEP_VARIANTS]);
/* The spec that is checked, and bytes that it takes on the host for cpu64. */
struct step_spec step_check_spec(const struct step_spec *);
double step_check_bytes(const struct step_spec *);

#endif
