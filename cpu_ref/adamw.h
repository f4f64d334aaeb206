/* What both forms of `adamw` share, and its constants. A step costs the same with any; these are the mHC paper's (Table 5) but for rate and
 * decay, which are so large that a comparison sees the whole update, and epsilon, which is the usual one. The step is a late one: no bias
 * corrections. */
#ifndef ADAMW_H
#define ADAMW_H

#include "cpu_ref/operation.h"

#define ADAMW_BETA1 0.9
#define ADAMW_BETA2 0.95
#define ADAMW_EPSILON 1e-8
#define ADAMW_RATE 0.25
#define ADAMW_DECAY 0.5

#define ADAMW_ARRAYS                                                                                              \
    {"master", "CH", MHC_PARAM, MHC_IN}, {"momentum", "CH", MHC_PARAM, MHC_IN}, {"rms", "CH", MHC_PARAM, MHC_IN}, \
        {"grad", "CH", MHC_PARAM, MHC_IN}, {"master_next", "CH", MHC_PARAM, MHC_OUT},                             \
        {"momentum_next", "CH", MHC_PARAM, MHC_OUT}, {                                                            \
        "rms_next", "CH", MHC_PARAM, MHC_OUT                                                                      \
    }

/* A root and a division count as one. */
static inline double adamw_flops(const struct mhc_case *c) {
    return 15.0 * (double)c->C * (double)c->hidden;
}

#endif
