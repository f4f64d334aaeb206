#include "kernels/host/counters.h"

#include <stdio.h>
#include <string.h>

#include <unordered_map>
#include <vector>

#include "cpu_ref/counters.h"
#include "kernels/host/executor.h"
#include "kernels/host/fibre.h"
#include "kernels/host/requests.h"

enum { MAX_CLUSTER = 16, MAX_WARPS = 32, PAGE = 4096, PAGE_SECTORS = PAGE / SECTOR };
enum space { GLOBAL, SHARED, REMOTE };

/* What happened to the sectors of a page: bytes since start, and the launch that was there last. */
struct page {
    uint32_t bytes[2][PAGE_SECTORS], launch[2][PAGE_SECTORS]; /* [written] */
};

/* An instruction that lanes of a warp are at. */
struct site {
    std::vector<struct request> open; /* [k]: of the (k + 1)-th time since the warp last met */
    uint32_t times[LANES] = {};
    bool listed = false;
};
struct site_key {
    const void *address;
    int kind; /* 2 space + written */
    bool operator==(const site_key &other) const {
        return address == other.address && kind == other.kind;
    }
};
struct site_hash {
    size_t operator()(const site_key &key) const {
        return (size_t)key.address * 8 + (size_t)key.kind;
    }
};
struct counted_warp {
    std::unordered_map<site_key, struct site, site_hash> sites;
    std::vector<std::pair<site_key, struct site *>> listed; /* those with open requests */
};
struct range {
    const char *from, *to;
    bool holds(const void *address) const {
        return (const char *)address >= from && (const char *)address < to;
    }
};
static struct range range_of(const void *memory, size_t bytes) {
    return {(const char *)memory, (const char *)memory + bytes};
}

struct counters {
    std::vector<struct mhc_counted_kernel> kernels;
    std::unordered_map<uintptr_t, struct page> pages;
    struct page *last_page = NULL;
    uintptr_t last_number = 0;
    uint32_t launch = 0;
    struct mhc_counted_kernel *kernel = NULL;
    std::vector<struct range> hidden;
    size_t always_hidden = 0;
    struct range shared[MAX_CLUSTER] = {}, stack = {};
    struct counted_warp warps[MAX_CLUSTER][MAX_WARPS];
    int blocks = 0, rank = 0;
    unsigned thread = 0;
    bool running = false;
};

/* NULL: this thread of the process does not count. */
static thread_local struct counters *counting;

/* --- memory --- */

static struct page *page_of(uintptr_t number) {
    struct counters *c = counting;
    if (!c->last_page || c->last_number != number) {
        c->last_page = &c->pages[number];
        c->last_number = number;
    }
    return c->last_page;
}

static void touch(uintptr_t from, uintptr_t to, bool written) {
    struct counters *c = counting;
    while (from < to) {
        struct page *page = page_of(from / PAGE);
        size_t k = from % PAGE / SECTOR;
        uint32_t mask;
        from = sector_part(from, to, &mask);
        page->bytes[written][k] |= mask;
        if (page->launch[written][k] != c->launch) {
            page->launch[written][k] = c->launch;
            c->kernel->count[written ? MHC_COUNT_dram_written : MHC_COUNT_dram_read]++;
        }
    }
}

/* --- requests --- */

static void close_request(int kind, const struct request *r) {
    int64_t *count = counting->kernel->count;
    switch (kind) {
    case 2 * GLOBAL: return request_sectors(r, &count[MHC_COUNT_load_sectors], &count[MHC_COUNT_load_least]);
    case 2 * GLOBAL + 1: return request_sectors(r, &count[MHC_COUNT_store_sectors], &count[MHC_COUNT_store_least]);
    case 2 * SHARED: return request_wavefronts(r, &count[MHC_COUNT_shared_loads], &count[MHC_COUNT_shared_loads_least]);
    case 2 * SHARED + 1:
        return request_wavefronts(r, &count[MHC_COUNT_shared_stores], &count[MHC_COUNT_shared_stores_least]);
    default: count[MHC_COUNT_remote] += r->lanes;
    }
}

/* Closes the requests that are still open when the lanes have met: only some lanes took part in them. */
static void close_warp(struct counted_warp *w) {
    for (auto &[key, site] : w->listed) {
        for (const struct request &r : site->open)
            if (r.lanes && r.lanes < LANES)
                close_request(key.kind, &r);
        site->open.clear();
        memset(site->times, 0, sizeof site->times);
        site->listed = false;
    }
    w->listed.clear();
}

static void ask(int kind, uintptr_t at, int bytes, const void *address) {
    struct counters *c = counting;
    struct counted_warp *w = &c->warps[c->rank][c->thread / LANES];
    const struct site_key key = {address, kind};
    struct site *site = &w->sites[key];
    if (!site->listed) {
        site->listed = true;
        w->listed.push_back({key, site});
    }
    unsigned lane = c->thread % LANES, time = site->times[lane]++;
    if (site->open.size() <= time)
        site->open.resize(time + 1, {});
    struct request *r = &site->open[time];
    r->at[lane] = at;
    r->bytes[lane] = (uint8_t)bytes;
    if (++r->lanes == LANES)
        close_request(kind, r);
}

static bool is_hidden(const struct counters *c, const void *address) {
    for (const struct range &r : c->hidden)
        if (r.holds(address))
            return true;
    return false;
}

static void count_access(const void *address, size_t bytes, bool written, const void *site) {
    struct counters *c = counting;
    if (!c || !c->running || c->stack.holds(address))
        return;
    int space = GLOBAL;
    uintptr_t at = (uintptr_t)address;
    for (int rank = 0; rank < c->blocks && space == GLOBAL; rank++)
        if (c->shared[rank].holds(address)) {
            space = rank == c->rank ? SHARED : REMOTE;
            at -= (uintptr_t)c->shared[rank].from;
        }
    if (space == GLOBAL && is_hidden(c, address))
        return;
    if (space == GLOBAL)
        touch(at, at + bytes, written);
    for (size_t done = 0; done < bytes; done += 16) /* no instruction takes more */
        ask(2 * space + written, at + done, (int)(bytes - done < 16 ? bytes - done : 16), site);
}

/* --- what the executor tells --- */

void count_hidden(const void *memory, size_t bytes) {
    if (counting)
        counting->hidden.push_back(range_of(memory, bytes));
}

static struct mhc_counted_kernel *kernel_of(const char *name, int64_t blocks, int64_t threads, int64_t cluster) {
    struct counters *c = counting;
    size_t length = strlen(name);
    bool bracketed = *name == '(' && name[length - 1] == ')';
    struct mhc_counted_kernel made = {};
    snprintf(made.name, sizeof made.name, "%.*s", (int)(length - 2 * bracketed), name + bracketed);
    made.blocks = blocks, made.threads = threads, made.cluster = cluster;
    for (struct mhc_counted_kernel &k : c->kernels)
        if (!strcmp(k.name, made.name) && k.blocks == blocks && k.threads == threads && k.cluster == cluster)
            return k.launches++, &k;
    made.launches = 1;
    c->kernels.push_back(made);
    return &c->kernels.back();
}

void count_launch(const struct emu_launch *l) {
    if (!counting)
        return;
    counting->kernel = kernel_of(l->name, (int64_t)l->grid.x * l->grid.y * l->grid.z, (int64_t)l->block.x,
                                 (int64_t)l->cluster.x);
    counting->launch++;
    counting->blocks = (int)l->cluster.x;
    count_hidden(l->arguments, l->arguments_size); /* parameters: constant memory on a GPU */
}

void count_launch_end(void) {
    struct counters *c = counting;
    if (!c)
        return;
    c->kernel = NULL;
    c->hidden.resize(c->always_hidden);
}

void count_block(int rank, const void *shared, size_t bytes) {
    if (counting)
        counting->shared[rank] = range_of(shared, bytes);
}

void count_block_end(int rank) {
    if (!counting)
        return;
    for (struct counted_warp &w : counting->warps[rank]) {
        close_warp(&w);
        w.sites.clear();
    }
}

void count_running(int rank, unsigned thread, const struct fibre *fibre) {
    struct counters *c = counting;
    if (!c)
        return;
    c->running = fibre != NULL;
    c->rank = rank;
    c->thread = thread;
    if (fibre) {
        size_t bytes;
        const void *stack = fibre_stack(fibre, &bytes);
        c->stack = range_of(stack, bytes);
    }
}

/* Called by every lane, or thread; counted once for all of them: the first one's. */
void count_event(enum counted_event event) {
    struct counters *c = counting;
    if (!c)
        return;
    int64_t *count = c->kernel->count;
    if (event == COUNT_ARRIVAL && c->thread == 0)
        count[MHC_COUNT_arrivals]++;
    if (event == COUNT_MMA && c->thread % LANES == 0)
        count[MHC_COUNT_mma]++, count[MHC_COUNT_warp_operations]--;
    if (event == COUNT_WARP && c->thread % LANES == 0)
        count[MHC_COUNT_warp_operations]++;
}

void count_warp_met(void) {
    if (counting)
        close_warp(&counting->warps[counting->rank][counting->thread / LANES]);
}

void count_block_met(void) {
    struct counters *c = counting;
    if (!c)
        return;
    c->kernel->count[MHC_COUNT_barriers]++;
    for (struct counted_warp &w : c->warps[c->rank])
        close_warp(&w);
}

void count_copy(const void *shared, const void *global, int bytes, const void *site) {
    count_access(global, (size_t)bytes, false, site);
    count_access(shared, (size_t)bytes, true, site);
}

void count_call(const char *name) {
    if (!counting)
        return;
    counting->kernel = kernel_of(name, 0, 0, 0);
    counting->launch++;
}

void count_matrix(const void *matrix, long rows, long row_bytes, long stride_bytes, bool written) {
    for (long k = 0; k < rows && counting; k++)
        touch((uintptr_t)matrix + (uintptr_t)(k * stride_bytes),
              (uintptr_t)matrix + (uintptr_t)(k * stride_bytes + row_bytes), written);
}

void count_call_end(void) {
    if (counting)
        counting->kernel = NULL;
}

/* --- what the compiler calls --- */

void emu_copy_whole(void *to, const void *from, size_t bytes) {
    count_access(from, bytes, false, __builtin_return_address(0));
    count_access(to, bytes, true, __builtin_return_address(0));
    memcpy(to, from, bytes);
}
void emu_count_load(const void *from, size_t bytes, const void *site) {
    count_access(from, bytes, false, site);
}

#define HOOK(name, bytes, written)                                          \
    extern "C" void __tsan_##name(void *address) {                          \
        count_access(address, bytes, written, __builtin_return_address(0)); \
    }
#define HOOKS(bytes)                          \
    HOOK(read##bytes, bytes, false)           \
    HOOK(write##bytes, bytes, true)           \
    HOOK(unaligned_read##bytes, bytes, false) \
    HOOK(unaligned_write##bytes, bytes, true)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __tsan_read_range(void *address, unsigned long bytes) {
    count_access(address, bytes, false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void *address, unsigned long bytes) {
    count_access(address, bytes, true, __builtin_return_address(0));
}
extern "C" void __tsan_func_entry(void *) {
}
extern "C" void __tsan_func_exit(void) {
}
extern "C" void __tsan_init(void) {
}
extern "C" void __tsan_vptr_update(void **, void *) {
}
extern "C" void __tsan_vptr_read(void **) {
}

/* --- what the library says --- */

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden"))),
    _end[] __attribute__((visibility("hidden")));

static void stop(void) {
    delete counting;
    counting = NULL;
}

static void start(void) {
    stop();
    counting = new struct counters;
    count_hidden(__ehdr_start, (size_t)(_end - __ehdr_start)); /* the library's own tables */
    counting->always_hidden = counting->hidden.size();
}

static int kernels(struct mhc_counted_kernel *to, int room) {
    int count = counting ? (int)counting->kernels.size() : 0;
    for (int k = 0; k < count && k < room; k++)
        to[k] = counting->kernels[(size_t)k];
    return count;
}

static int64_t touched(const void *memory, int64_t bytes, int written) {
    int64_t sum = 0;
    uintptr_t from = (uintptr_t)memory, to = from + (uintptr_t)bytes;
    for (uintptr_t at = from; at < to && counting;) {
        auto found = counting->pages.find(at / PAGE);
        size_t k = at % PAGE / SECTOR;
        uint32_t mask;
        at = sector_part(at, to, &mask);
        if (found != counting->pages.end())
            sum += __builtin_popcount(found->second.bytes[written != 0][k] & mask);
    }
    return sum;
}

extern "C" __attribute__((visibility("default"))) const struct mhc_counters mhc_counters;
const struct mhc_counters mhc_counters = {
    MHC_COUNTERS_ABI, sizeof(struct mhc_counters), "gcc " __VERSION__, start, stop, kernels, touched};
