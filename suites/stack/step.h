/* A training step with each way of connecting, side by side: programs on the same memory that differ in the
 * connection alone. F's rows, weights and inputs are the same. The residual baseline is the best there is: u is x
 * itself and never copied, the add and the next norm are one row both ways. Embedding and head are not in it. */
#ifndef STEP_H
#define STEP_H

#include "suites/stack/program.h"

enum step_variant {
    STEP_RESIDUAL,
    STEP_HC_UNFUSED,
    STEP_MHC_UNFUSED,
    STEP_MHC,
    STEP_MHC_LAYERS,
    STEP_IDENTITY,
    STEP_VARIANTS
};
extern const char *const step_variant_name[STEP_VARIANTS];

struct steps {
    struct program_spec spec; /* name, connection and form are each variant's own */
    struct program_memory memory;
    struct program step[STEP_VARIANTS];
};

/* Composes every variant; one whose rows the backend lacks gets a reason in `missing`. NULL, or why nothing can be
 * composed. Release in any case. */
const char *steps_plan(struct steps *, const struct program_spec *);
/* Takes the memory and fills what is held, the same numbers for the same spec and seed on any backend, and everything
 * else with NaN. */
const char *steps_open(struct steps *, int64_t sets, uint64_t seed);
void steps_release(struct steps *);

#endif
