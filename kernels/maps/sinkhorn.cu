/* The kernels of maps/sinkhorn.h. */
#include "kernels/maps/sinkhorn.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(sinkhorn, MHC_SINKHORN, 0);
