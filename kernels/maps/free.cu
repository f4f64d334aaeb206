/* The kernels of maps/free.h. */
#include "kernels/maps/free.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(free, MHC_FREE, 0);
