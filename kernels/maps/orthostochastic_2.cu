/* The kernels of maps/orthostochastic.h with s = 2. */
#include "kernels/maps/orthostochastic.h"

#include "kernels/maps/kernels.h"

typedef orthostochastic_map<2> orthostochastic_2_map;
MAP_KERNELS(orthostochastic_2, MHC_ORTHOSTOCHASTIC, 2);
