/* The kernels of maps/spectral.h. */
#include "kernels/maps/spectral.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(spectral, MHC_SPECTRAL, 0);
