/* mHC, with any residual map, and HC in two passes over x each way, for any n <= 16, C and T and any GPU: what a
 * faster way falls back on.
 *
 * `save` is, of mHC, product [T][columns] and then r [T], of HC product [T][n][n+2] and then r [T][n]. Either way of
 * forward writes it, and either way of backward reads it. */
#ifndef TWO_PASS_H
#define TWO_PASS_H

#include "kernels/library.h"

/* The rows, for those that try another way first and end here. */
extern "C" const struct mhc_row mhc_pre, mhc_backward, hc_pre, hc_backward;

#endif
