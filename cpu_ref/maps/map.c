/* The list of residual maps, and the one of a case as rows of its own. */
#include "cpu_ref/maps/map.h"

#include <omp.h>

const struct residual_map *NAME(map_of)(const struct mhc_case *c) {
    switch (c->map) {
#define MAP(id, name) \
    case id:          \
        return &NAME(map_##name);
#include "cpu_ref/maps/maps.def"
#undef MAP
    default: return NULL;
    }
}

bool NAME(map_supports)(const struct mhc_case *c, const char **why) {
    const struct residual_map *map = NAME(map_of)(c);
    if (!map)
        return *why = "it has no such residual map", false;
    if (mhc_map_logits(c) < 0)
        return *why = mhc_map_needs(c), false;
    return (!map->supports || map->supports(c, why)) && NAME(supports)(c, why);
}

int64_t NAME(map_history_bytes)(const struct mhc_case *c) {
    const struct residual_map *map = NAME(map_of)(c);
    return map && map->history_bytes ? map->history_bytes(c) : 0;
}

void NAME(map_start)(const struct mhc_case *c, uint64_t seed, int64_t layer, double *b) {
    NAME(map_of)(c)->start(c, seed, layer, b);
}

enum { BLOCK = 64 }; /* tokens of a task */

RUN(map_forward) {
    const struct residual_map *map = NAME(map_of)(c);
    const real *logits = a->logits;
    real *res = a->res;
    int64_t K = mhc_map_logits(c), cells = c->n * mhc_extent(c, 'N');
#pragma omp parallel for schedule(dynamic, 8) if (c->T > BLOCK)
    for (int64_t t = 0; t < c->T; t += BLOCK)
        map->forward(c, c->T - t < BLOCK ? c->T - t : BLOCK, logits + t * K, res + t * cells);
    return 0;
}

RUN(map_backward) {
    const struct residual_map *map = NAME(map_of)(c);
    const real *logits = a->logits, *grad_res = a->grad_res;
    real *grad_logits = a->grad_logits;
    int64_t K = mhc_map_logits(c), cells = c->n * mhc_extent(c, 'N'), bytes = NAME(map_history_bytes)(c);
#pragma omp parallel for schedule(dynamic, 8) if (c->T > BLOCK)
    for (int64_t t = 0; t < c->T; t += BLOCK)
        map->backward(c, c->T - t < BLOCK ? c->T - t : BLOCK, logits + t * K, grad_res + t * cells, grad_logits + t * K,
                      (char *)work + omp_get_thread_num() * bytes);
    return 0;
}

static int64_t backward_work(const struct mhc_case *c) {
    return omp_get_max_threads() * NAME(map_history_bytes)(c);
}

const struct mhc_row NAME(map_forward) = {MHC_OPERATION(map_forward), .supports = NAME(map_supports),
                                          .tolerance = NAME(tolerance), .run = map_forward_run};
const struct mhc_row NAME(map_backward) = {MHC_OPERATION(map_backward), .supports = NAME(map_supports),
                                           .work_bytes = backward_work, .tolerance = NAME(tolerance),
                                           .run = map_backward_run};
