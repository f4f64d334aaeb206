/* Study `recompute`: memory and time of a whole step (forward and backward) of a stack that keeps x once every L_r
 * layers, beside one with the L_r of the paper's rule, which --recompute auto stands for here, round by round. A step
 * includes bringing x0 and grad_out to the device. It computes the gradients of all parameters; one that no later
 * call reads leaves its place to others. */
#ifndef RECOMPUTE_H
#define RECOMPUTE_H

#include "suites/study/study.h"

/* Eq. 20 of the paper: bytes of what it counts, nC ceil(L / L_r) + (n + 2) C L_r elements per token; of L_r = 0, where
 * all x are kept, nC L. */
double recompute_paper_bytes(int64_t T, int64_t n, int64_t C, int64_t L, int64_t every, int64_t element_bytes);
/* Its smallest L_r as a real number, sqrt(n L / (n + 2)). */
double recompute_paper_optimum(int64_t L, int64_t n);

#endif
