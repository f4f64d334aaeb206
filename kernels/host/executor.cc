#include "kernels/host/executor.h"

#include <stdarg.h>
#include <stdlib.h>

#include "kernels/host/fibre.h"
#include "kernels/host/order.h"

enum { WARP_SIZE = 32, MAX_THREADS = 1024, MAX_CLUSTER = 16, MAX_SHARED = 227 * 1024, POISON = 0xff };

/* Where threads meet. There are two sets of slots. No thread is a whole meeting behind, so threads read the set of the
 * meeting before while this one fills. */
struct meeting {
    int expected = 0, arrived = 0;
    unsigned generation = 0;
    const char *file = "";
    int line = 0;
    /* Their addresses stand for the order that meetings make. There are two, because the first thread at the next
     * meeting must not order it before the last thread that leaves this one. */
    char sync[2] = {0, 0};
};
static struct meeting meeting_of(int expected) {
    struct meeting m;
    m.expected = expected;
    return m;
}
struct warp {
    struct meeting meeting;
    unsigned char slots[2][(int)WARP_SIZE * (int)EMU_SLOT];
};

struct copy {
    void *shared;
    const void *global;
    int bytes, group;
};
enum { MAX_COPIES = 256 };

struct block;
struct thread {
    struct emu_place place;
    struct block *block;
    struct warp *warp;
    struct fibre *fibre;
    const unsigned *watch; /* ready when it no longer reads `seen`; NULL: ready */
    unsigned seen;
    unsigned met; /* meetings of the cluster it has waited for */
    bool arrived; /* at the next one, without having waited */
    bool started, done;
    struct copy copies[MAX_COPIES];
    int copy_count, group;
};
struct block {
    struct thread *threads;
    struct warp *warps;
    struct meeting barrier;
    unsigned char *shared;
    int ended;      /* threads */
    unsigned met;   /* meetings that its ended threads have seen */
    unsigned needs; /* meetings that it must see, so that stores from other blocks find it alive */
};

/* One launch at a time in a thread of the process. */
struct executor {
    ~executor();
    const struct emu_launch *launch;
    struct block blocks[MAX_CLUSTER];
    int cluster, threads, warps;
    struct meeting cluster_barrier;
    struct thread *self, **order;
    struct fibre **fibres;
    size_t fibre_count;
    char begin, end; /* stand for the order between launches */
};
static thread_local struct executor executor;

/* Fibres live as long as the thread of the process that runs launches on them. */
executor::~executor() {
    for (size_t k = 0; k < fibre_count; k++)
        fibre_destroy(fibres[k]);
    free(fibres);
}

const struct emu_place *emu_place(void) {
    return &executor.self->place;
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    const struct emu_place *p = executor.self ? &executor.self->place : NULL;
    va_list list;
    fflush(stdout);
    fprintf(stderr, "emu: kernel %s", executor.launch->name);
    if (p)
        fprintf(stderr, ", block (%u,%u,%u), thread %u", p->block.x, p->block.y, p->block.z, p->thread.x);
    fprintf(stderr, ": ");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    abort();
}

/* --- waiting --- */

static void wait_for(const unsigned *counter, unsigned seen) {
    struct thread *self = executor.self;
    self->watch = counter;
    self->seen = seen;
    fibre_yield();
}

/* Arrives and, unless it is the last, waits for the others. All must come from the same line. `orders`: what each did
 * before, the others see after. `met` tells the counters of the last one. */
static void meet(struct meeting *m, bool orders, void met(void), const char *what, const char *file, int line) {
    if (m->arrived && (m->line != line || strcmp(m->file, file)))
        fail("%s at %s:%d while others of it wait at %s:%d", what, file, line, m->file, m->line);
    m->file = file;
    m->line = line;
    unsigned seen = m->generation;
    if (orders)
        order_release(&m->sync[seen % 2]);
    if (++m->arrived == m->expected) {
        met();
        m->arrived = 0;
        m->generation++;
    } else {
        wait_for(&m->generation, seen);
    }
    if (orders)
        order_acquire(&m->sync[seen % 2]);
}

void emu_barrier(const char *file, int line) {
    meet(&executor.self->block->barrier, true, count_block_met, "__syncthreads", file, line);
}

static void meet_warp(bool orders, const char *file, int line) {
    count_event(COUNT_WARP);
    meet(&executor.self->warp->meeting, orders, count_warp_met, "warp operation", file, line);
}

void emu_warp_barrier(const char *file, int line) {
    meet_warp(true, file, line);
}

/* Lanes wait for each other, and yet a GPU promises nothing of the memory they wrote before a shuffle or a matrix
 * instruction. */
const unsigned char *emu_exchange(const void *mine, size_t bytes, const char *file, int line) {
    struct warp *warp = executor.self->warp;
    unsigned char *slots = warp->slots[warp->meeting.generation % 2];
    volatile unsigned char *slot = slots + executor.self->place.thread.x % WARP_SIZE * (unsigned)EMU_SLOT;
    for (size_t k = 0; k < bytes; k++) /* not memcpy, which the thread sanitizer would take for the kernel's */
        slot[k] = ((const unsigned char *)mine)[k];
    meet_warp(false, file, line);
    return slots;
}

void emu_cluster_arrive(void) {
    struct meeting *m = &executor.cluster_barrier;
    if (executor.self->arrived)
        fail("cluster_arrive twice without cluster_wait");
    executor.self->arrived = true;
    count_event(COUNT_ARRIVAL);
    order_release(&m->sync[executor.self->met % 2]);
    if (++m->arrived == m->expected) {
        m->arrived = 0;
        m->generation++;
    }
}

void emu_cluster_wait(void) {
    struct thread *self = executor.self;
    struct meeting *m = &executor.cluster_barrier;
    if (!self->arrived)
        fail("cluster_wait without cluster_arrive");
    if (m->generation == self->met)
        wait_for(&m->generation, self->met);
    order_acquire(&m->sync[self->met % 2]);
    self->met++;
    self->arrived = false;
}

/* A block can be written to from its first meeting with the others on, and until the last it takes part in. */
unsigned char *emu_shared_to_write(int rank) {
    struct thread *self = executor.self;
    if (rank < 0 || rank >= executor.cluster)
        fail("the cluster has no block %d", rank);
    struct block *b = &executor.blocks[rank];
    if (b == self->block)
        return b->shared;
    if (!self->met)
        fail("it writes to block %d before the cluster has met, which may not have started", rank);
    if (b->ended == executor.threads)
        fail("it writes to block %d, which has ended", rank);
    unsigned needs = self->met + 1 + self->arrived;
    if (b->needs < needs)
        b->needs = needs;
    return b->shared;
}

void emu_check_aligned(const void *address) {
    if ((uintptr_t)address % 16)
        fail("a row of a matrix in shared memory is not aligned to 16 bytes");
}

/* --- asynchronous copies: done as late as the kernel allows --- */

void emu_copy_async(void *shared, const void *global, int bytes) {
    struct thread *self = executor.self;
    if ((uintptr_t)shared % bytes || (uintptr_t)global % bytes)
        fail("an asynchronous copy of %d bytes is not aligned to %d", bytes, bytes);
    if (self->copy_count == MAX_COPIES)
        fail("more than %d asynchronous copies under way in a thread", (int)MAX_COPIES);
    self->copies[self->copy_count++] = copy{shared, global, bytes, self->group};
    count_copy(shared, global, bytes, __builtin_return_address(0));
    order_written(shared, bytes);
    memset(shared, POISON, bytes);
}

void emu_copy_commit(void) {
    executor.self->group++;
}

void emu_copy_wait(int left) {
    struct thread *self = executor.self;
    int kept = 0;
    for (int k = 0; k < self->copy_count; k++) {
        const struct copy *c = &self->copies[k];
        if (c->group < self->group - left) {
            order_read(c->global, c->bytes);
            order_written(c->shared, c->bytes);
            memcpy(c->shared, c->global, c->bytes);
        } else {
            self->copies[kept++] = *c;
        }
    }
    self->copy_count = kept;
}

/* --- running --- */

static void thread_body(void *argument) {
    struct thread *self = (struct thread *)argument;
    order_acquire(&executor.begin);
    executor.launch->run(executor.launch->arguments);
    if (self->copy_count)
        fail("it ended with asynchronous copies under way");
    if (self->arrived)
        fail("it ended between cluster_arrive and cluster_wait");
    struct block *b = self->block;
    if (b->met < self->met)
        b->met = self->met;
    if (++b->ended == executor.threads && b->met < b->needs)
        fail("its block ended while another of the cluster may still write to its shared memory");
    order_release(&executor.end);
    self->done = true;
}

static void run_thread(struct thread *t) {
    executor.self = t;
    count_running(t->place.rank, t->place.thread.x, t->fibre);
    t->watch = NULL;
    if (t->started) {
        fibre_resume(t->fibre);
    } else {
        t->started = true;
        fibre_start(t->fibre, thread_body, t);
    }
    count_running(0, 0, NULL);
    executor.self = NULL;
}

/* No thread can go on: says where one of them waits. */
static void report_standstill(int total) {
    int ended = 0;
    for (int k = 0; k < total; k++)
        ended += executor.order[k]->done;
    for (int k = 0; k < total; k++) {
        struct thread *t = executor.order[k];
        if (t->done)
            continue;
        executor.self = t;
        const struct meeting *m = t->watch == &t->warp->meeting.generation ? &t->warp->meeting : &t->block->barrier;
        if (t->watch == &executor.cluster_barrier.generation)
            fail("it waits at the cluster's barrier for ever; %d of %d threads have ended", ended, total);
        fail("it waits at %s:%d for ever, with %d of %d others; %d of %d threads have ended", m->file, m->line,
             m->arrived, m->expected, ended, total);
    }
}

static void run_cluster_of_blocks(int total) {
    order_shuffle((void **)executor.order, (size_t)total);
    for (int left = total; left;) {
        bool moved = false;
        for (int k = 0; k < total; k++) {
            struct thread *t = executor.order[k];
            if (t->done || (t->watch && *t->watch == t->seen))
                continue;
            run_thread(t);
            moved = true;
            left -= t->done;
        }
        if (!moved)
            report_standstill(total);
        order_shuffle((void **)executor.order, (size_t)total);
    }
}

/* `index`: of the block in the grid, counted along x first. */
static void set_up_block(struct block *b, int rank, size_t index, size_t fibre_at) {
    const struct emu_launch *launch = executor.launch;
    const size_t x = launch->grid.x, y = launch->grid.y;
    const dim3 place((unsigned)(index % x), (unsigned)(index / x % y), (unsigned)(index / x / y));
    b->shared = order_shared_memory(launch->shared);
    if (!b->shared)
        fail("no memory for %zu bytes of shared memory", launch->shared);
    memset(b->shared, POISON, launch->shared);
    count_block(rank, b->shared, launch->shared);
    b->barrier = meeting_of(executor.threads);
    b->ended = 0;
    b->met = b->needs = 0;
    for (int w = 0; w < executor.warps; w++)
        b->warps[w].meeting = meeting_of(WARP_SIZE);
    for (int k = 0; k < executor.threads; k++) {
        struct thread *t = &b->threads[k];
        t->place = {dim3((unsigned)k, 0, 0), place, launch->block, launch->grid, rank, executor.cluster, b->shared};
        t->block = b;
        t->warp = &b->warps[k / WARP_SIZE];
        t->fibre = executor.fibres[fibre_at + (size_t)k];
        t->watch = NULL;
        t->started = t->done = t->arrived = false;
        t->met = 0;
        t->copy_count = t->group = 0;
        executor.order[rank * executor.threads + k] = t;
    }
}

static bool make_room(void) {
    size_t total = (size_t)executor.cluster * (size_t)executor.threads, wanted = total * order_sets(total);
    bool good = true;
    executor.order = (struct thread **)calloc(total, sizeof *executor.order);
    executor.fibres = (struct fibre **)realloc(
        executor.fibres, (wanted > executor.fibre_count ? wanted : executor.fibre_count) * sizeof *executor.fibres);
    while (good && executor.fibre_count < wanted)
        good = (executor.fibres[executor.fibre_count] = fibre_create()) && ++executor.fibre_count;
    for (int r = 0; r < executor.cluster; r++) {
        executor.blocks[r].threads = (struct thread *)calloc((size_t)executor.threads, sizeof(struct thread));
        executor.blocks[r].warps = (struct warp *)calloc((size_t)executor.warps, sizeof(struct warp));
        good = good && executor.blocks[r].threads && executor.blocks[r].warps;
        count_hidden(executor.blocks[r].threads, (size_t)executor.threads * sizeof(struct thread));
        count_hidden(executor.blocks[r].warps, (size_t)executor.warps * sizeof(struct warp));
    }
    return good && executor.order;
}

static bool sizes_fit(const struct emu_launch *l) {
    return l->block.x >= 1 && l->block.y == 1 && l->block.z == 1 && l->block.x <= MAX_THREADS &&
           l->block.x % WARP_SIZE == 0 && l->grid.x >= 1 && l->grid.x <= 2147483647u && l->grid.y >= 1 &&
           l->grid.y <= 65535 && l->grid.z >= 1 && l->grid.z <= 65535 && l->shared <= MAX_SHARED && l->cluster.x >= 1 &&
           l->cluster.x <= MAX_CLUSTER && l->grid.x % l->cluster.x == 0;
}

int emu_run(const struct emu_launch *launch) {
    if (!sizes_fit(launch))
        return 1;
    executor.launch = launch;
    executor.cluster = (int)launch->cluster.x;
    executor.threads = (int)launch->block.x;
    executor.warps = executor.threads / WARP_SIZE;
    int total = executor.cluster * executor.threads;
    size_t clusters = (size_t)launch->grid.x / launch->cluster.x * launch->grid.y * launch->grid.z;
    count_launch(launch);
    bool room = make_room();
    struct order_walk walk = order_walk_of(clusters);
    for (size_t k = 0; k < clusters && room; k++) {
        size_t at = (walk.start + k * walk.step) % clusters;
        executor.cluster_barrier = meeting_of(total);
        for (int r = 0; r < executor.cluster; r++)
            set_up_block(&executor.blocks[r], r, at * (size_t)executor.cluster + (size_t)r,
                         k % order_sets((size_t)total) * (size_t)total + (size_t)(r * executor.threads));
        order_release(&executor.begin);
        run_cluster_of_blocks(total);
        for (int r = 0; r < executor.cluster; r++) {
            count_block_end(r);
            order_release_memory(executor.blocks[r].shared, launch->shared);
        }
    }
    order_acquire(&executor.end);
    count_launch_end();
    for (int r = 0; r < executor.cluster; r++) {
        free(executor.blocks[r].threads);
        free(executor.blocks[r].warps);
    }
    free(executor.order);
    return !room;
}
