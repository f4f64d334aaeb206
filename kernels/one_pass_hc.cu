/* The one-pass kernels of HC. */
#include "kernels/one_pass_backward.h"
#include "kernels/one_pass_forward.h"

const struct one_pass_kernels hc_one_pass = ONE_PASS_KERNELS(hc_generator);
