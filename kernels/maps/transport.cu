/* The kernels of maps/transport.h. */
#include "kernels/maps/transport.h"

#include "kernels/maps/kernels.h"

MAP_KERNELS(transport, MHC_TRANSPORT, 0);
