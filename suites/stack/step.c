#include "suites/stack/step.h"

#include <stdio.h>

#include "cpu_ref/philox.h"

static const struct {
    const char *name, *connection, *label; /* label NULL: the connection's */
    enum program_form form;
    int shade;
} fixed[STEP_OTHERS] = {
    [STEP_RESIDUAL] = {"residual", "resnet", "residual", PROGRAM_FUSED, 0},
    [STEP_HC_UNFUSED] = {"hc-unfused", "hc", "HC, unfused", PROGRAM_UNFUSED, 0},
    [STEP_MHC_UNFUSED] = {"mhc-unfused", "mhc", "mHC, unfused", PROGRAM_UNFUSED, 3},
    [STEP_MHC] = {"mhc", "mhc", "mHC, fused", PROGRAM_FUSED, 0},
    [STEP_MHC_LAYERS] = {"mhc-layers", "mhc", "mHC, across layers", PROGRAM_ACROSS, 2},
    [STEP_IDENTITY] = {"identity", "identity", NULL, PROGRAM_FUSED, 0},
};

/* The connections that are not among the fixed ones, one behind the other. */
static const struct connection *other(int at) {
    for (int k = 0; k < CONNECTIONS; k++)
        if (STEP_IS_OTHER(connections[k].generator, connections[k].map) && at-- == 0)
            return &connections[k];
    return NULL;
}

struct step_way step_way(int v) {
    if (v >= STEP_OTHERS) {
        const struct connection *c = other(v - STEP_OTHERS);
        return (struct step_way){c->name, c->label, c, PROGRAM_FUSED, 0};
    }
    const struct connection *c = connection_find(fixed[v].connection);
    return (struct step_way){fixed[v].name, fixed[v].label ? fixed[v].label : c->label, c, fixed[v].form,
                             fixed[v].shade};
}

bool step_is_timed(int64_t timed, int v) {
    return v == STEP_RESIDUAL || timed >> (step_way(v).connection - connections) & 1;
}

const char *steps_plan(struct steps *all, const struct program_spec *spec, int64_t timed) {
    *all = (struct steps){.spec = *spec};
    for (int v = 0; v < STEP_VARIANTS; v++) {
        const struct step_way way = step_way(v);
        struct program_spec own = *spec;
        own.name = way.name;
        own.connection = v == STEP_RESIDUAL ? way.name : way.connection->name;
        own.form = way.form;
        if (step_is_timed(timed, v))
            program_compose(&all->step[v], &own, &all->memory);
        else
            snprintf(all->step[v].missing, sizeof all->step[v].missing, "not timed");
        if (all->step[v].failed)
            return "out of memory";
    }
    return NULL;
}

void steps_release(struct steps *all) {
    for (int v = 0; v < STEP_VARIANTS; v++)
        program_release(&all->step[v]);
    program_memory_release(&all->memory);
    *all = (struct steps){0};
}

/* Normal numbers of a size that keeps every operation away from saturation. Numbers that bf16 holds, so that every
 * backend gets the same. */
static const char *draw(void *user, const struct program_array *a, double *values) {
    const uint64_t seed = *(const uint64_t *)user;
    const uint32_t array = mhc_what(a->name);
#pragma omp parallel for schedule(static) if (a->count > 4096)
    for (int64_t k = 0; k < a->count; k++)
        values[k] = (k % a->every ? 0 : a->mean) +
                    a->scale * mhc_normal(seed, array, (uint32_t)(a->layer + 1), (uint64_t)k);
    return backend_round(values, a->count, MHC_BF16) ? NULL : "out of memory";
}

const char *steps_open(struct steps *all, int64_t sets, uint64_t seed) {
    const char *why = program_memory_open(&all->memory, sets);
    why = why || program_memory_poison(&all->memory) ? why : "an array cannot be copied";
    return why ? why : program_memory_fill(&all->memory, draw, &seed);
}
