/* What a case of the circulant map must be, besides an n that it exists for: the rule of the CPU and of the kernels. */
#ifndef CPU_REF_MAPS_CIRCULANT_H
#define CPU_REF_MAPS_CIRCULANT_H

#include "cpu_ref/operation.h"

static inline bool mhc_circulant_mixes(const struct mhc_case *c, const char **why) {
    return (c->map_constant > 0 && c->map_constant <= 1) ||
           (*why = "map_constant, the share that this residual map mixes, must be above 0 and at most 1", false);
}

#endif
