/* What the executor tells the counters (cpu_ref/counters.h). With EMU_COUNTED, kernels are compiled with
 * -fsanitize=thread, and the calls that the compiler puts before every access of memory end in counters.cc; without it
 * all of this is nothing.
 *
 * Lanes of a warp that are at the same instruction for the k-th time since they last met make one request. */
#ifndef HOST_COUNTERS_H
#define HOST_COUNTERS_H

#include <stddef.h>

struct fibre;
struct emu_launch;

#ifdef EMU_COUNTED
#define COUNTED(...) __VA_ARGS__;
#else
#define COUNTED(...)            \
    static inline __VA_ARGS__ { \
    }
#endif

enum counted_event {
    COUNT_MMA,    /* a lane's */
    COUNT_WARP,   /* a lane's; those of mma are among them */
    COUNT_ARRIVAL /* a thread's at the cluster's barrier */
};

/* Memory that kernels see only because they run on a CPU. */
COUNTED(void count_hidden(const void *, size_t))
COUNTED(void count_launch(const struct emu_launch *))
COUNTED(void count_launch_end(void))
/* Begin and end of a block of the cluster, with its rank and its shared memory. */
COUNTED(void count_block(int, const void *, size_t))
COUNTED(void count_block_end(int))
/* From here on a thread runs: rank of its block, its number there, its fibre; NULL: none does. */
COUNTED(void count_running(int, unsigned, const struct fibre *))
COUNTED(void count_event(enum counted_event))
/* All threads of the running one's warp, or block, have met. */
COUNTED(void count_warp_met(void))
COUNTED(void count_block_met(void))
/* An asynchronous copy: shared, global, bytes, the instruction. */
COUNTED(void count_copy(const void *, const void *, int, const void *))
/* What a library of the host does in place of a kernel. Each matrix has rows, bytes per row, bytes from row to row, and
 * whether it is written. */
COUNTED(void count_call(const char *))
COUNTED(void count_matrix(const void *, long, long, long, bool))
COUNTED(void count_call_end(void))

#endif
