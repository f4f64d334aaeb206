/* Whether a training step is right: call by call against cpu64 on a few tokens. */
#ifndef STEP_CHECK_H
#define STEP_CHECK_H

#include "suites/stack/step.h"

struct step_accuracy {
    double error, tolerance; /* of the call that comes nearest to its tolerance; NaN: the variant cannot be run */
};

/* Runs every variant of `timed` on a few tokens and layers of the spec, call by call; each against cpu64 on the very
 * numbers that it got, within the tolerance of its row. Then all calls at once, which must leave the same bits. NULL,
 * or what is wrong; how wrong in either case. */
const char *step_check(const struct program_spec *, int64_t timed, uint64_t seed,
                       struct step_accuracy accuracy[STEP_VARIANTS]);
/* The spec that is checked, and bytes that it takes on the host for cpu64. */
struct program_spec step_check_spec(const struct program_spec *);
double step_check_bytes(const struct program_spec *, int64_t timed);

#endif
