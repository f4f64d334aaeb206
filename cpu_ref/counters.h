/* What a library of kernels says besides, when it was built to count (`make emu-counts`): what its kernels ask of
 * memory and of each other, counted while they run on the CPU. Exact, the same at every run and in every order of
 * threads. Its second data symbol is `const struct mhc_counters mhc_counters`. */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(id, what): a sector has 32 bytes, a request is what the lanes of a warp ask for in one instruction, and a
 * wavefront is one turn of the 32 banks of shared memory. "least" is what the same bytes would need if they lay side
 * by side. */
#define MHC_COUNTS(X)                                                     \
    X(dram_read, "sectors read from DRAM at least")                       \
    X(dram_written, "sectors written to DRAM at least")                   \
    X(load_sectors, "sectors of global loads")                            \
    X(load_least, "least sectors of global loads")                        \
    X(store_sectors, "sectors of global stores")                          \
    X(store_least, "least sectors of global stores")                      \
    X(shared_loads, "wavefronts of shared loads")                         \
    X(shared_loads_least, "least wavefronts of shared loads")             \
    X(shared_stores, "wavefronts of shared stores")                       \
    X(shared_stores_least, "least wavefronts of shared stores")           \
    X(remote, "accesses of a lane to the shared memory of another block") \
    X(barriers, "barriers of a block")                                    \
    X(arrivals, "arrivals of a block at its cluster's barrier")           \
    X(warp_operations, "operations of a warp other than mma")             \
    X(mma, "matrix products of a warp")

enum mhc_count {
#define MHC_COUNT_ID(id, what) MHC_COUNT_##id,
    MHC_COUNTS(MHC_COUNT_ID)
#undef MHC_COUNT_ID
        MHC_COUNT_KINDS
};

/* Launches of one kernel in one shape, added up. */
struct mhc_counted_kernel {
    char name[104];
    int64_t launches, blocks, threads, cluster; /* blocks of a launch, threads of a block, blocks of a cluster */
    int64_t count[MHC_COUNT_KINDS];
};

enum { MHC_COUNTERS_ABI = 1 };

/* All of it is about the thread that calls. */
struct mhc_counters {
    uint32_t abi, size; /* MHC_COUNTERS_ABI, sizeof(struct mhc_counters) */
    const char *compiler;
    void (*start)(void); /* counts from here on, from 0 */
    void (*stop)(void);
    /* Kernels since start, in the order of their first launch, at most `room`; returns how many there are. */
    int (*kernels)(struct mhc_counted_kernel *, int room);
    /* Bytes of this memory that kernels have read (or written) since start, each once. */
    int64_t (*touched)(const void *memory, int64_t bytes, int written);
};

#ifdef __cplusplus
}
#endif
#endif
