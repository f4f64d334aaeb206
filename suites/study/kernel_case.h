/* A case of study kernels as an examination: an operation of a backend at the shapes and types of its parameters. */
#ifndef KERNEL_CASE_H
#define KERNEL_CASE_H

#include "suites/case/params.h"
#include "suites/rows/examine.h"
#include "suites/timing/timing.h"

/* The rows to run. `form`: another form of its kind, by the backend's rows of "mhc-micro" for mhc, and before the
 * last its plain ones too; NULL: the kind itself. NULL, or why the operation cannot be run here. */
const char *kernel_case_plan(struct examination *, const struct backend *, const struct params *, const char *form);

/* Leaves to the backend only what it must run itself before the last row, because that reads what it keeps; all other
 * inputs come from the reference. So two backends get the same. After planning, before opening. */
void kernel_case_share_inputs(struct examination *);

/* Draws natural inputs, runs the reference and the rows before the last. NULL, or why not; examine_close() in either
 * case. */
const char *kernel_case_open(struct examination *, uint64_t seed);

/* Binds the row to as many sets of arrays as find it out of the cache, one where the cache is to be hot; `save`: what
 * it reads, or room for what it writes. */
const char *kernel_case_bind(struct bound_row *, const struct params *, const struct examination *,
                             const struct save *);
int64_t kernel_case_sets(const struct params *, const struct backend *, int64_t set_bytes);

/* A rate beyond so many times a copy's is too fast to be true: every byte of the contract must move once. */
#define KERNEL_TOO_FAST 1.5

/* Of a call that took `seconds` the rate as a share of KERNEL_TOO_FAST times a copy's: above 1 it cannot have done its
 * work. `copy` is a copy of as many bytes. Where four last-level caches hold the bytes it is found hot, as what is
 * timed may be; reading alone may be faster than a copy by the half. NULL, or why not. */
const char *kernel_case_too_fast(const struct examination *, double seconds, struct bound_row *copy,
                                 const struct timing_clock *, double *share);

#endif
