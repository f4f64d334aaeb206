/* In which order things run, and what the thread sanitizer is told of it.
 *
 * EMU_SHUFFLE=seed: fibres and blocks in random order, another at every step; without it by number. The executor
 * itself is compiled without the sanitizer (its bookkeeping would only make noise); EXECUTOR_TSAN says that the
 * kernels are compiled with it. */
#ifndef ORDER_H
#define ORDER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef EXECUTOR_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void *, unsigned long);
extern "C" void __tsan_write_range(void *, unsigned long);
#endif

/* Clusters of blocks take turns on this many sets of fibres: a race between two shows unless they are on the same
 * set. The sanitizer knows 8128 threads at most. */
static inline size_t order_sets(size_t fibres) {
#ifdef EXECUTOR_TSAN
    size_t most = 6000 / fibres;
    return most < 1 ? 1 : most > 4 ? 4 : most;
#else
    (void)fibres;
    return 1;
#endif
}

/* What the executor reads and writes for the kernel. */
static inline void order_read(const void *memory, size_t bytes) {
#ifdef EXECUTOR_TSAN
    __tsan_read_range((void *)memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}
static inline void order_written(void *memory, size_t bytes) {
#ifdef EXECUTOR_TSAN
    __tsan_write_range(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

/* What is done before a release of `token` comes before what follows an acquire of it. */
static inline void order_release(void *token) {
#ifdef EXECUTOR_TSAN
    __tsan_release(token);
#else
    (void)token;
#endif
}
static inline void order_acquire(void *token) {
#ifdef EXECUTOR_TSAN
    __tsan_acquire(token);
#else
    (void)token;
#endif
}

/* Shared memory of a block: fresh, so that nothing of the last block is remembered, and exactly so large, so that the
 * address sanitizer sees the first byte too far. */
static inline unsigned char *order_shared_memory(size_t bytes) {
#ifdef EXECUTOR_TSAN
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : (unsigned char *)memory;
#else
    void *memory;
    return posix_memalign(&memory, 128, bytes ? bytes : 1) ? NULL : (unsigned char *)memory;
#endif
}
static inline void order_release_memory(unsigned char *memory, size_t bytes) {
#ifdef EXECUTOR_TSAN
    munmap(memory, bytes ? bytes : 1);
#else
    (void)bytes;
    free(memory);
#endif
}

/* --- shuffling --- */

/* 0: no shuffling. */
static inline uint64_t *order_state(void) {
    static thread_local uint64_t state;
    static thread_local bool known;
    if (!known) {
        const char *seed = getenv("EMU_SHUFFLE");
        state = seed && *seed ? strtoull(seed, NULL, 10) * 2 + 1 : 0;
        known = true;
    }
    return &state;
}

static inline uint64_t order_random(void) {
    uint64_t *s = order_state(); /* xorshift64 */
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static inline void order_shuffle(void **list, size_t count) {
    for (size_t k = count; k > 1 && *order_state(); k--) {
        size_t other = order_random() % k;
        void *kept = list[k - 1];
        list[k - 1] = list[other];
        list[other] = kept;
    }
}

/* The k-th of `count` in the order of this launch: k, or a walk through all of them in steps that share no factor
 * with count. */
struct order_walk {
    size_t start, step;
};
static inline struct order_walk order_walk_of(size_t count) {
    if (!*order_state() || count < 2)
        return order_walk{0, 1};
    struct order_walk walk = {order_random() % count, 1};
    for (size_t step = order_random() % count | 1; step < 4 * count; step += 2) {
        size_t a = step, b = count;
        while (b) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) {
            walk.step = step;
            break;
        }
    }
    return walk;
}

#endif
