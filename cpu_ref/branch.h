/* What the branches F share: each starts with an RMSNorm of its own. */
#ifndef BRANCH_H
#define BRANCH_H

#include "cpu_ref/real.h"

/* v = gain * u / r, r = sqrt(mean_C(u^2) + rms_eps); u, v [T][C], r [T]. */
void NAME(normalise)(const struct mhc_case *, const real *u, const real *gain, real *r, real *v);

/* From grad_v: grad_u = gain grad_v / r - u <gain grad_v, u> / (C r^3), plus grad_sum where it is not NULL; grad_gain
 * = sum_t grad_v u / r. */
void NAME(normalise_backward)(const struct mhc_case *, const real *u, const real *gain, const real *r,
                              const real *grad_v, const real *grad_sum, real *grad_u, real *grad_gain);

#endif
