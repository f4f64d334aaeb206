/* mHC, identity HC and HC in two passes over x, for any n <= 16, C and T and any GPU: what a faster way falls back on.
 *
 * Arguments are those of the rows <kind>.pre and <kind>.backward. `save` is, of mHC and identity HC, product
 * [T][columns] and then r [T], of HC product [T][n][n+2] and then r [T][n]; whoever writes it, either way of backward
 * reads it. 0, or 1 with device.error set. */
#ifndef KERNELS_MHC_H
#define KERNELS_MHC_H

#include "kernels/library.h"

/* The rows, for whoever tries another way first and ends here. */
extern "C" const struct mhc_row mhc_pre, mhc_backward, identity_pre, identity_backward, hc_pre, hc_backward;

int mhc_pre_two_pass(struct device *, void *queue, const struct mhc_case *, void *const arg[], void *save, void *work,
                     bool identity);
int mhc_backward_two_pass(struct device *, void *queue, const struct mhc_case *, void *const arg[], void *save,
                          void *work, bool identity);
int64_t mhc_save_bytes(const struct mhc_case *, bool identity);
int64_t mhc_pre_two_pass_work_bytes(const struct mhc_case *, bool identity);
int64_t mhc_backward_two_pass_work_bytes(const struct mhc_case *, bool identity);
double mhc_pre_flops(const struct mhc_case *, bool identity);
double mhc_backward_flops(const struct mhc_case *, bool identity);

int hc_pre_two_pass(struct device *, void *queue, const struct mhc_case *, void *const arg[], void *save, void *work);
int hc_backward_two_pass(struct device *, void *queue, const struct mhc_case *, void *const arg[], void *save,
                         void *work);
int64_t hc_save_bytes(const struct mhc_case *);
int64_t hc_pre_two_pass_work_bytes(const struct mhc_case *);
int64_t hc_backward_two_pass_work_bytes(const struct mhc_case *);
double hc_pre_flops(const struct mhc_case *);
double hc_backward_flops(const struct mhc_case *);

#endif
