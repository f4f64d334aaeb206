/* The kernels of mHC with one residual map: MAP_KERNELS(name, id, order) makes them, one file per map and order. */
#ifndef KERNELS_MAPS_KERNELS_H
#define KERNELS_MAPS_KERNELS_H

#include "kernels/maps/maps.h"
#include "kernels/maps/row.h"
#include "kernels/one_pass_backward.h"
#include "kernels/one_pass_forward.h"
#include "kernels/two_pass_coefficients.h"

#define MAP_KERNELS(name, id, order)                                                                    \
    static const struct one_pass_kernels name##_one_pass = ONE_PASS_KERNELS(mhc_generator<name##_map>); \
    const struct gpu_map name##_kernels = {id,                                                          \
                                           order,                                                       \
                                           name##_map::supports,                                        \
                                           two_pass_coefficients<name##_map>,                           \
                                           two_pass_chain<name##_map>,                                  \
                                           &name##_one_pass,                                            \
                                           map_forward_of<name##_map>,                                  \
                                           map_backward_of<name##_map>}

#endif
