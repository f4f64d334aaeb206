/* Whether a training step is right: what it leaves, compared with what another one leaves. */
#ifndef STEP_CHECK_H
#define STEP_CHECK_H

#include "suites/step.h"

/* What a step leaves: x_L, grad_x of layer 0 and the gradient of every parameter, on the host in the types of the
 * backend. */
struct step_result {
    struct step_output {
        char name[32];
        int64_t layer, count;
        int32_t type;
        void *bytes;
    } * output;
    int64_t outputs;
};

/* Copies them from a set and lane; without `weights` not the gradients of F's weights, which are most of the memory.
 * false: no memory, or the device failed. Release in any case. */
bool step_result_take(struct step_result *, const struct step *, int64_t set, int lane, bool weights);
void step_result_release(struct step_result *);

/* The largest difference, as a share of the largest element of the array it is in; infinite where one side is not
 * finite or an output is missing. `where` names it. */
double step_result_error(const struct step_result *got, const struct step_result *want, char *where, size_t size);

/* What may become of the rows' tolerances: each layer, there and back, may add the largest of them. */
double step_tolerance(const struct step *);

struct step_accuracy {
    double error, tolerance; /* NaN: the variant cannot be run */
};

/* Runs every variant on a few tokens and layers of the spec, and its like on cpu64, which composes it of the same
 * parts. NULL, or what is wrong; how wrong in either case. */
const char *step_check(const struct step_spec *, uint64_t seed, struct step_accuracy accuracy[STEP_VARIANTS]);
/* The spec that is checked, and bytes that it takes on the host for cpu64. */
struct step_spec step_check_spec(const struct step_spec *);
double step_check_bytes(const struct step_spec *);

#endif
