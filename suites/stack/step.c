#include "suites/stack/step.h"

#include "cpu_ref/philox.h"

const char *const step_variant_name[STEP_VARIANTS] = {"residual", "hc-unfused", "mhc-unfused",
                                                      "mhc",      "mhc-layers", "identity"};

static const struct {
    const char *connection;
    enum program_form form;
} variants[STEP_VARIANTS] = {
    [STEP_RESIDUAL] = {"residual", PROGRAM_FUSED}, [STEP_HC_UNFUSED] = {"hc", PROGRAM_UNFUSED},
    [STEP_MHC_UNFUSED] = {"mhc", PROGRAM_UNFUSED}, [STEP_MHC] = {"mhc", PROGRAM_FUSED},
    [STEP_MHC_LAYERS] = {"mhc", PROGRAM_ACROSS},   [STEP_IDENTITY] = {"identity", PROGRAM_FUSED}};

const char *steps_plan(struct steps *all, const struct program_spec *spec) {
    *all = (struct steps){.spec = *spec};
    for (int v = 0; v < STEP_VARIANTS; v++) {
        struct program_spec own = *spec;
        own.name = step_variant_name[v];
        own.connection = variants[v].connection;
        own.form = variants[v].form;
        program_compose(&all->step[v], &own, &all->memory);
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
