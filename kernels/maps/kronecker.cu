/* The kernels of maps/kronecker.h. */
#include "kernels/maps/kronecker.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(kronecker, MHC_KRONECKER, 0);
