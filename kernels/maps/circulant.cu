/* The kernels of maps/circulant.h. */
#include "kernels/maps/circulant.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(circulant, MHC_CIRCULANT, 0);
