/* Kernels with a planted bug, each beside the same kernel without it: `planted NAME... good|bad`. Exit 0: the numbers
 * are right; 1: they are not; 2: the launch was refused; the first such kernel ends it. tests/test_executor.c builds
 * this file plainly and with the sanitizers, and says which build must catch which bug. */
#include "kernels/device.h"

#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 64, COUNT = 256 };

static float *in, *out; /* COUNT each; in[k] = k + 1, out is NaN */

static bool all_of(int count, float (*wanted)(int k)) {
    for (int k = 0; k < count; k++)
        if (out[k] != wanted(k))
            return false;
    return true;
}
static float next_but_last(int k) {
    return (float)((k + 1) % THREADS + 1);
}

/* --- shared memory and barriers --- */

/* Each thread writes its own slot and reads its neighbour's. */
template <bool BUG> static __global__ void neighbour(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    slot[k] = from[k];
    if (!BUG)
        __syncthreads();
    to[k] = slot[(k + 1) % THREADS];
}

/* The slots are used again before everybody has read them. */
template <bool BUG> static __global__ void reuse(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    slot[k] = from[k] - 1;
    __syncthreads();
    float kept = slot[(k + 1) % THREADS];
    if (!BUG)
        __syncthreads();
    slot[k] = kept + 1;
    __syncthreads();
    to[k] = slot[k];
}

/* Lanes of one warp pass values through shared memory. */
template <bool BUG> static __global__ void lanes(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x, warp = k / WARP * WARP;
    slot[k] = from[k];
    if (!BUG)
        __syncwarp();
    to[k] = slot[warp + (k + 1) % WARP];
}
/* A shuffle between them lets lanes meet, but orders no memory. */
template <bool BUG> static __global__ void lanes_shuffled(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x, warp = k / WARP * WARP;
    slot[k] = from[k];
    float nothing = shuffle(0.0f, 0);
    if (!BUG)
        __syncwarp();
    to[k] = slot[warp + (k + 1) % WARP] + nothing;
}
static float next_in_warp(int k) {
    return (float)(k / WARP * WARP + (k + 1) % WARP + 1);
}

/* The last thread leaves before the barrier. */
template <bool BUG> static __global__ void early_return(const float *from, float *to) {
    int k = (int)threadIdx.x;
    to[k] = from[k];
    if (BUG && k == THREADS - 1)
        return;
    __syncthreads();
}

/* Two barriers in two branches are not one. */
template <bool BUG> static __global__ void two_barriers(const float *from, float *to) {
    int k = (int)threadIdx.x;
    if (BUG && k % 2)
        __syncthreads();
    else
        __syncthreads();
    to[k] = from[k];
}

template <bool BUG> static __global__ void uninitialised(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    if (!BUG || k != 5)
        slot[k] = from[k];
    __syncthreads();
    to[k] = slot[(k + 1) % THREADS];
}

/* --- bounds --- */

template <bool BUG> static __global__ void shared_overrun(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    slot[k + (BUG && k == THREADS - 1)] = from[k];
    __syncthreads();
    to[k] = k == THREADS - 1 ? 1 : slot[k + 1 - (BUG && k == THREADS - 2)];
}
template <bool BUG> static __global__ void global_write_overrun(const float *from, float *to) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k < COUNT)
        to[k] = from[k];
    if (BUG && k == COUNT)
        to[k] = 0;
}
template <bool BUG> static __global__ void global_read_overrun(const float *from, float *to) {
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k < COUNT)
        to[k] = from[k] + 0 * (BUG ? from[k + 1] : 0);
}
template <bool BUG> static __global__ void misaligned(const float *from, float *to) {
    int k = (int)threadIdx.x;
    if (k >= COUNT / 4 - 1)
        return;
    float4 four = *(const float4 *)(from + 4 * k + (BUG ? 1 : 4));
    to[k] = four.x;
}
static float identity(int k) {
    return (float)(k + 1);
}
static float every_fourth(int k) {
    return (float)(4 * k + 5);
}

/* --- warps --- */

template <bool BUG> static __global__ void half_a_warp(const float *from, float *to) {
    int k = (int)threadIdx.x;
    float x = from[k];
    if (!BUG || k % WARP < WARP / 2)
        x = shuffle(x, k % WARP);
    to[k] = x;
}
template <bool BUG> static __global__ void two_shuffles(const float *from, float *to) {
    int k = (int)threadIdx.x;
    float x = from[k];
    if (BUG && k % 2)
        x = shuffle(x, k % WARP);
    else
        x = shuffle(x, k % WARP);
    to[k] = x;
}

/* --- between blocks --- */

/* Every block adds to the same element. */
template <bool BUG> static __global__ void blocks_share(const float *from, float *to) {
    int k = (int)threadIdx.x, at = (int)(BUG ? k : blockIdx.x * blockDim.x + threadIdx.x);
    to[at] = from[at];
}

/* --- asynchronous copies --- */

template <int WAIT, bool BARRIER> static __device__ void copied(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    if (k < THREADS / 4)
        copy16_async(slot + 4 * k, from + 4 * k);
    copy_commit();
    if (WAIT == 0)
        copy_wait<0>();
    if (BARRIER)
        __syncthreads();
    to[k] = slot[(k + 1) % THREADS];
    copy_wait<0>();
}
template <bool BUG> static __global__ void copy_not_waited(const float *from, float *to) {
    copied<BUG ? 1 : 0, true>(from, to);
}
template <bool BUG> static __global__ void copy_no_barrier(const float *from, float *to) {
    copied<0, !BUG>(from, to);
}
template <bool BUG> static __global__ void copy_left(const float *from, float *to) {
    float *slot = (float *)shared_memory();
    int k = (int)threadIdx.x;
    if (k < THREADS / 4)
        copy16_async(slot + 4 * k, from + 4 * k);
    copy_commit();
    if (!BUG)
        copy_wait<0>();
    to[k] = from[k];
}

/* --- clusters --- */

/* Thread 0 of every block sends its rank + 1 to all; all add up what came. */
enum { NO_BUG, NO_FIRST_MEETING, NO_WAIT, NO_LAST_MEETING, ARRIVES_TWICE };
template <int BUG> static __global__ void cluster_sum(float *to) {
    float *inbox = (float *)shared_memory();
    int size = cluster_size(), rank = cluster_rank(), k = (int)threadIdx.x;
    if (BUG != NO_FIRST_MEETING) {
        cluster_arrive();
        cluster_wait();
    }
    if (k < size)
        cluster_store(inbox + rank, k, (float)(rank + 1));
    if (BUG != NO_LAST_MEETING)
        cluster_arrive();
    if (BUG == ARRIVES_TWICE)
        cluster_arrive();
    if (BUG != NO_WAIT && BUG != NO_LAST_MEETING)
        cluster_wait();
    float sum = 0;
    for (int r = 0; r < size; r++)
        sum += inbox[r];
    if (BUG == NO_WAIT)
        cluster_wait();
    if (k == 0)
        to[blockIdx.x] = BUG == NO_LAST_MEETING ? 10 : sum;
}
static float ten(int) {
    return 10;
}

/* --- running --- */

static bool bad;
static int refused;

#define RUN(kernel, grid, block, shared)                                                       \
    (refused = bad ? LAUNCH((kernel<true>), grid, block, shared, NULL, (const float *)in, out) \
                   : LAUNCH((kernel<false>), grid, block, shared, NULL, (const float *)in, out))
#define IN_ONE_BLOCK(kernel, wanted) (RUN(kernel, 1, THREADS, THREADS * sizeof(float)), all_of(THREADS, wanted))
#define IN_ALL(kernel) (RUN(kernel, COUNT / THREADS + 1, THREADS, 0), all_of(COUNT, identity))
#define IN_CLUSTER(bug)                                                                                  \
    (refused = bad ? LAUNCH_CLUSTER((cluster_sum<bug>), 4, 4, WARP, WARP * sizeof(float), NULL, out)     \
                   : LAUNCH_CLUSTER((cluster_sum<NO_BUG>), 4, 4, WARP, WARP * sizeof(float), NULL, out), \
     all_of(4, ten))

/* Clusters of a size, in a grid that cannot have them; without the bug of one block. */
#define IN_CLUSTERS(size, grid) \
    (refused = LAUNCH_CLUSTER((cluster_sum<NO_BUG>), bad ? size : 1, grid, WARP, WARP * sizeof(float), NULL, out), true)

static bool run(const char *name) {
#define PLANT(plant, call)     \
    if (!strcmp(name, #plant)) \
        return call;
    PLANT(neighbour, IN_ONE_BLOCK(neighbour, next_but_last))
    PLANT(reuse, IN_ONE_BLOCK(reuse, next_but_last))
    PLANT(lanes, IN_ONE_BLOCK(lanes, next_in_warp))
    PLANT(lanes_shuffled, IN_ONE_BLOCK(lanes_shuffled, next_in_warp))
    PLANT(early_return, IN_ONE_BLOCK(early_return, identity))
    PLANT(two_barriers, IN_ONE_BLOCK(two_barriers, identity))
    PLANT(uninitialised, IN_ONE_BLOCK(uninitialised, next_but_last))
    PLANT(shared_overrun, IN_ONE_BLOCK(shared_overrun, next_but_last))
    PLANT(misaligned, IN_ONE_BLOCK(misaligned, every_fourth) || all_of(THREADS - 1, every_fourth))
    PLANT(global_write_overrun, IN_ALL(global_write_overrun))
    PLANT(global_read_overrun, IN_ALL(global_read_overrun))
    PLANT(half_a_warp, IN_ONE_BLOCK(half_a_warp, identity))
    PLANT(two_shuffles, IN_ONE_BLOCK(two_shuffles, identity))
    PLANT(blocks_share, (RUN(blocks_share, COUNT / THREADS, THREADS, 0), all_of(bad ? THREADS : COUNT, identity)))
    PLANT(copy_not_waited, IN_ONE_BLOCK(copy_not_waited, next_but_last))
    PLANT(copy_no_barrier, IN_ONE_BLOCK(copy_no_barrier, next_but_last))
    PLANT(copy_left, IN_ONE_BLOCK(copy_left, identity))
    PLANT(no_first_meeting, IN_CLUSTER(NO_FIRST_MEETING))
    PLANT(no_cluster_wait, IN_CLUSTER(NO_WAIT))
    PLANT(no_last_meeting, IN_CLUSTER(NO_LAST_MEETING))
    PLANT(arrives_twice, IN_CLUSTER(ARRIVES_TWICE))
    PLANT(odd_block, (RUN(neighbour, 1, bad ? THREADS - 1 : THREADS, THREADS * sizeof(float)), true))
    PLANT(large_block, (RUN(neighbour, 1, bad ? 1056 : THREADS, 1056 * sizeof(float)), true))
    PLANT(much_shared_memory, (RUN(neighbour, 1, THREADS, bad ? 227 * 1024 + 1 : 227 * 1024), true))
    PLANT(tall_grid, (RUN(neighbour, dim3(1, bad ? 65536 : 1), THREADS, THREADS * sizeof(float)), true))
    PLANT(odd_cluster, IN_CLUSTERS(3, 4))
    PLANT(large_cluster, IN_CLUSTERS(32, 32))
    PLANT(empty_grid, (RUN(neighbour, bad ? 0 : 1, THREADS, THREADS * sizeof(float)), true))
    fprintf(stderr, "planted: no kernel %s\n", name);
    exit(3);
}

int main(int count, char **argument) {
    if (count < 3)
        return 3;
    bad = !strcmp(argument[count - 1], "bad");
    for (int name = 1; name < count - 1; name++) {
        in = (float *)aligned_alloc(64, COUNT * sizeof *in); /* exactly so large, for the sanitizers */
        out = (float *)aligned_alloc(64, COUNT * sizeof *out);
        for (int k = 0; k < COUNT; k++) {
            in[k] = (float)(k + 1);
            out[k] = NAN;
        }
        bool right = run(argument[name]);
        free(in);
        free(out);
        if (!refused && right)
            continue;
        if (!bad)
            fprintf(stderr, "%s\n", argument[name]);
        return refused ? 2 : 1;
    }
    return 0;
}
