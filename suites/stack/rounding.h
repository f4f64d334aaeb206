/* Sinkhorn in a short format: every result of every operation is rounded to it, as a kernel that keeps its
 * coefficients in that format would. */
#ifndef ROUNDING_H
#define ROUNDING_H

#include <stdint.h>

#include "suites/case/params.h"

/* x to the nearest bf16 or fp16 number, ties to even; both have subnormals; fp16 overflows to Inf from 65520. */
double round_to(enum rounding, double x);

/* res [n][n] of logits [n][n], both [destination][source], by Eq. 9 with the column maximum taken off first. */
void rounded_sinkhorn(enum rounding, int64_t n, int64_t t_max, const double *logits, double *res);

#endif
