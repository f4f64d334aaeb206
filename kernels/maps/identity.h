/* Identity HC: res is I, has no logits, and stands nowhere. */
#ifndef KERNELS_MAPS_IDENTITY_H
#define KERNELS_MAPS_IDENTITY_H

#include "kernels/maps/maps.h"

struct identity_map {
    static constexpr bool RES = false, RECORDS = false, SLOW = false;
    static __host__ __device__ constexpr int logits(int) {
        return 0;
    }
    static bool supports(const struct mhc_case *, const char **) {
        return true;
    }
    template <int N> using trace = no_trace;
};

#endif
