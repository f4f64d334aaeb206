/* A training step with each way of connecting, side by side: programs on the same memory that differ in the
 * connection alone. F's rows, weights and inputs are the same. The residual baseline is the best there is: u is x
 * itself and never copied, the add and the next norm are one row both ways. Embedding and head are not in it. */
#ifndef STEP_H
#define STEP_H

#include "suites/case/connections.h"
#include "suites/stack/program.h"

/* The baseline, HC, mHC in three forms, identity HC; then every other connection of the table, fused, in its order. */
enum step_variant {
    STEP_RESIDUAL,
    STEP_HC_UNFUSED,
    STEP_MHC_UNFUSED,
    STEP_MHC,
    STEP_MHC_LAYERS,
    STEP_IDENTITY,
    STEP_OTHERS,
#define STEP_IS_OTHER(source, map)                             \
    ((source) != GENERATOR_NONE && (source) != GENERATOR_HC && \
     ((source) != GENERATOR_MHC || ((map) != MHC_SINKHORN && (map) != MHC_IDENTITY)))
    STEP_VARIANTS = STEP_OTHERS
#define CONNECTION(id, words, paper, source, kind, map, ...) +STEP_IS_OTHER(source, map)
#include "suites/case/connections.def"
#undef CONNECTION
};

struct step_way {
    const char *name, *label; /* in options and records; in figures */
    const struct connection *connection;
    enum program_form form;
    int shade; /* of the connection's colour */
};
struct step_way step_way(int variant);
static inline const char *step_name(int variant) {
    return step_way(variant).name;
}

/* Whether a variant is among what is timed: a bit for each connection; the baseline always is. */
bool step_is_timed(int64_t timed, int variant);
enum { STEP_EVERY = -1 };

struct steps {
    struct program_spec spec; /* name, connection and form are each variant's own */
    struct program_memory memory;
    struct program step[STEP_VARIANTS];
};

/* Composes every variant of `timed`; one whose rows the backend lacks gets a reason in `missing`, and so do those that
 * are not timed. NULL, or why nothing can be composed. Release in any case. */
const char *steps_plan(struct steps *, const struct program_spec *, int64_t timed);
/* Takes the memory and fills what is held, the same numbers for the same spec and seed on any backend, and everything
 * else with NaN. */
const char *steps_open(struct steps *, int64_t sets, uint64_t seed);
void steps_release(struct steps *);

#endif
