/* The kernels of maps/permutations.h. */
#include "kernels/maps/permutations.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(permutations, MHC_PERMUTATIONS, 0);
