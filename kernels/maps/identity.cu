/* The kernels of maps/identity.h. */
#include "kernels/maps/identity.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(identity, MHC_IDENTITY, 0);
