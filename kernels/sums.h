/* Sums over a block, and the second stage of a sum over a grid: every block leaves one double in `work`, and one more
 * block adds them up in a fixed order. The first stage splits its data by their number alone, never by the device, so
 * that every device gets the same bits. */
#ifndef KERNELS_SUMS_H
#define KERNELS_SUMS_H

#include "kernels/library.h"

/* Over the block, float or double, the same bits in every thread; `room` for WARP of them in shared memory. */
template <typename R> static __device__ __forceinline__ R block_sum(R x, R *room) {
    x = warp_sum(x);
    __syncthreads(); /* what was in `room` has been read */
    if (threadIdx.x % WARP == 0)
        room[threadIdx.x / WARP] = x;
    __syncthreads();
    R sum = room[0];
    for (unsigned w = 1; w < blockDim.x / WARP; w++)
        sum += room[w];
    return sum;
}
static __device__ __forceinline__ float block_max(float x, float *room) {
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0)
        room[threadIdx.x / WARP] = x;
    __syncthreads();
    float largest = room[0];
    for (unsigned w = 1; w < blockDim.x / WARP; w++)
        largest = fmaxf(largest, room[w]);
    return largest;
}

/* What becomes of the sum. */
enum finish {
    AS_MEAN,    /* a double: the sum divided by the count */
    AS_ROOT,    /* a double: the root of the sum */
    AS_GRADIENT /* a float */
};

/* `*out` from the sum of `count` >= 1 doubles. 0, or 1 with device.error set. */
int gpu_finish_sum(struct device *, void *queue, int64_t count, const double *partial, enum finish, void *out);

#endif
