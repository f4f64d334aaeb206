/* The kernels of maps/orthostochastic.h with s = 1. */
#include "kernels/maps/orthostochastic.h"

#include "kernels/maps/kernels.h"

typedef orthostochastic_map<1> orthostochastic_1_map;
MAP_KERNELS(orthostochastic_1, MHC_ORTHOSTOCHASTIC, 1);
