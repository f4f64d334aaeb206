/* Sinkhorn of tokens [from, to), in the calling thread. Matrices are `stride` reals apart (>= n*n).
 * logits are laid out as the convention says; res and grad_res always [destination][source]. history: sinkhorn_history_bytes(). */
#ifndef SINKHORN_H
#define SINKHORN_H

#include "cpu_ref/real.h"

void NAME(sinkhorn_tokens)(const struct mhc_case *, const real *logits, int64_t stride, real *res, int64_t from,
                           int64_t to);
#define sinkhorn_backward_tokens NAME(sinkhorn_backward_tokens)
void sinkhorn_backward_tokens(const struct mhc_case *, const real *logits, int64_t stride, const real *grad_res,
                              real *grad_logits, int64_t from, int64_t to, void *history);
int64_t NAME(sinkhorn_history_bytes)(const struct mhc_case *);
bool NAME(sinkhorn_supports)(const struct mhc_case *, const char **why);

#endif
