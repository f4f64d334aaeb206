/* What a measurement needs of the device beside events (mhc_probe in cpu_ref/operation.h): a queue that waits for the
 * host, the clock that multiprocessors really ran at, and what the device is. The special registers it reads have no
 * meaning on a host, so emu has no probe. */
#include "kernels/library.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __CUDACC__

#include "kernels/nvml.h"

enum { MOST_HELD_NS = 1000 * 1000 * 1000, MOST_EXPIRED = 3, MOST_STAMPS = 1024, STAMP_THREADS = 1024 };
enum {
    WAKE_NS = 100 * 1000 * 1000,
    TRIAL_NS = 20 * 1000 * 1000
}; /* of the trial: until an idle device has its clock up; what is measured */

/* The clocks of a multiprocessor, read one after the other. */
struct stamp {
    uint64_t time, cycles; /* ns of the device's timer; cycles of this multiprocessor */
    uint32_t processor, filled;
};

/* In the host's memory, where the device reaches it. */
struct probe_page {
    uint64_t released; /* tickets up to this one may pass */
    uint64_t expired;  /* how many passed unreleased, because their time was over */
    struct stamp stamps[2][MOST_STAMPS];
};

struct probe {
    struct probe_page *page, *d_page;
    uint64_t ticket;
    int blocks; /* of a stamp */
};

static __device__ __forceinline__ uint64_t timer_ns(void) {
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t)::"memory");
    return t;
}
static __device__ __forceinline__ uint64_t cycle_count(void) {
    uint64_t t;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(t)::"memory");
    return t;
}
static __device__ __forceinline__ uint32_t processor_id(void) {
    uint32_t id;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}

static __global__ void hold_kernel(const volatile uint64_t *released, uint64_t ticket, volatile uint64_t *expired) {
    uint64_t begin = timer_ns();
    while (*released < ticket)
        if (timer_ns() - begin < MOST_HELD_NS) {
            __nanosleep(200);
        } else {
            *expired = *expired + 1; /* one queue at a time is held */
            return;
        }
}

static __global__ void stamp_kernel(struct stamp *stamps) {
    struct stamp s;
    if (threadIdx.x)
        return;
    s.time = timer_ns();
    s.cycles = cycle_count();
    s.processor = processor_id();
    s.filled = 1;
    stamps[blockIdx.x] = s;
}

static __global__ void spin_kernel(uint64_t ns) {
    uint64_t begin = timer_ns();
    while (timer_ns() - begin < ns)
        ;
}

/* Made with the first use: a run that does not measure does not pay for it. */
static struct probe *probe_of(struct device *d) {
    struct probe *p = (struct probe *)d->probe;
    if (p)
        return p;
    p = (struct probe *)calloc(1, sizeof *p);
    if (!p || CHECKED(d, cudaHostAlloc((void **)&p->page, sizeof *p->page, cudaHostAllocMapped)) ||
        CHECKED(d, cudaHostGetDevicePointer((void **)&p->d_page, p->page, 0))) {
        if (p && p->page)
            (void)cudaFreeHost(p->page);
        free(p);
        return NULL;
    }
    memset(p->page, 0, sizeof *p->page);
    p->blocks = 2 * d->processors < MOST_STAMPS ? 2 * d->processors : MOST_STAMPS;
    d->probe = p;
    return p;
}

/* Where launches wait for the device, under CUDA_LAUNCH_BLOCKING or a tool, the host never comes to release(), and
 * every hold would last until its time is over: after a few of them there are no more. */
static int hold(void *context, void *queue) {
    struct device *d = device_of(context);
    struct probe *p = probe_of(d);
    if (p && __atomic_load_n(&p->page->expired, __ATOMIC_ACQUIRE) >= MOST_EXPIRED)
        return 0;
    return !p ||
           CHECKED(d, LAUNCH(hold_kernel, 1, 1, 0, queue, &p->d_page->released, ++p->ticket, &p->d_page->expired));
}

static int release(void *context) {
    struct probe *p = probe_of(device_of(context));
    if (p)
        __atomic_store_n(&p->page->released, p->ticket, __ATOMIC_RELEASE);
    return !p;
}

/* Two blocks of so many threads fill a multiprocessor, so that all get a stamp; shared memory would do too, but the
 * next kernel would pay for its being shared out anew. */
static int stamp(void *context, void *queue, int place) {
    struct device *d = device_of(context);
    struct probe *p = probe_of(d);
    return !p || CHECKED(d, LAUNCH(stamp_kernel, (unsigned)p->blocks, STAMP_THREADS, 0, queue,
                                   p->d_page->stamps[place != 0]));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Over the multiprocessors that have both stamps; the median, for a timer that ticks coarsely cuts some short. */
static int frequency(void *context, double *hertz) {
    struct device *d = device_of(context);
    struct probe *p = probe_of(d);
    double rates[MOST_STAMPS];
    int count = 0;
    for (int i = 0; p && i < p->blocks; i++)
        for (int j = 0; j < p->blocks; j++) {
            const struct stamp *from = &p->page->stamps[0][i], *to = &p->page->stamps[1][j];
            if (!from->filled || !to->filled || from->processor != to->processor)
                continue;
            if (to->time > from->time)
                rates[count++] = 1e9 * (double)(to->cycles - from->cycles) / (double)(to->time - from->time);
            break;
        }
    if (!count)
        return snprintf(d->error, sizeof d->error, "no multiprocessor has two stamps"), 1;
    qsort(rates, (size_t)count, sizeof *rates, ascending);
    *hertz = rates[count / 2];
    return 0;
}

static int64_t cache_bytes(void *) {
    int bytes = 0, device = 0;
    return cudaGetDevice(&device) || cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device) ? 0 : bytes;
}

/* --- what the device is --- */

static int attribute(enum cudaDeviceAttr which, int device) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, device))
        (void)cudaGetLastError(); /* one that this device does not know is 0 */
    return value;
}

/* The clock under a load that hardly needs power: well below what is promised says that something slows the device. */
static double trial_clock(void *context) {
    struct device *d = device_of(context);
    cudaStream_t queue = NULL;
    double hertz = 0;
    if (CHECKED(d, cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking)))
        return 0;
    int failed = CHECKED(d, LAUNCH(spin_kernel, (unsigned)d->processors, 32, 0, queue, (uint64_t)WAKE_NS)) ||
                 stamp(d, queue, 0) ||
                 CHECKED(d, LAUNCH(spin_kernel, (unsigned)d->processors, 32, 0, queue, (uint64_t)TRIAL_NS)) ||
                 stamp(d, queue, 1) || CHECKED(d, cudaStreamSynchronize(queue)) || frequency(d, &hertz);
    (void)cudaStreamDestroy(queue);
    return failed ? 0 : hertz;
}

static void describe_memory(struct device *d, int device, char *text, size_t size) {
    size_t unused = 0, total = 0;
    if (CHECKED(d, cudaMemGetInfo(&unused, &total)))
        return;
    double rate = 1e3 * (double)attribute(cudaDevAttrMemoryClockRate, device),
           width = (double)attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8;
    snprintf(text, size, "; memory %.1f GB, datasheet peak %.0f GB/s; ECC %s", 1e-9 * (double)total,
             2e-9 * rate * width, attribute(cudaDevAttrEccEnabled, device) ? "on" : "off");
    /* A context of one's own takes less than this. */
    if ((double)(total - unused) > 2e9)
        snprintf(text + strlen(text), size - strlen(text), "; ! %.1f GB of the device's memory are in use",
                 1e-9 * (double)(total - unused));
}

static int describe(void *context, char *text, size_t size) {
    struct device *d = device_of(context);
    cudaDeviceProp properties;
    int device = 0, driver = 0, runtime = 0;
    char memory[200] = "", nvml[300] = "", bus[32] = "", slow[80] = "";
    if (CHECKED(d, cudaGetDevice(&device)) || CHECKED(d, cudaGetDeviceProperties(&properties, device)) ||
        CHECKED(d, cudaDriverGetVersion(&driver)) || CHECKED(d, cudaRuntimeGetVersion(&runtime)) ||
        CHECKED(d, cudaDeviceGetPCIBusId(bus, sizeof bus, device)))
        return 1;
    describe_memory(d, device, memory, sizeof memory);
    nvml_describe(bus, nvml, sizeof nvml);
    double promised = 1e3 * (double)attribute(cudaDevAttrClockRate, device), clock = trial_clock(d);
    const char *blocking = getenv("CUDA_LAUNCH_BLOCKING"), *cluster = getenv("MHC_CLUSTER");
    if (clock > 0 && clock < 0.85 * promised)
        snprintf(slow, sizeof slow, "; ! its clock stays far below that");
    snprintf(text, size,
             "%s; driver for CUDA %d.%d, runtime %d.%d; compute capability %d.%d, %d multiprocessors; L2 %.0f MB; "
             "clock %.0f of %.0f MHz%s%s%s%s%s%s",
             properties.name, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, properties.major,
             properties.minor, d->processors, 1e-6 * (double)cache_bytes(d), 1e-6 * clock, 1e-6 * promised, slow,
             cluster ? "; MHC_CLUSTER=" : "", cluster ? cluster : "", memory, nvml,
             blocking && strcmp(blocking, "0")
                 ? "; ! CUDA_LAUNCH_BLOCKING is set, so the gaps between launches are measured too"
                 : "");
    return 0;
}

extern "C" const struct mhc_probe cuda_probe = {hold, release, stamp, frequency, cache_bytes, describe};

void probe_close(struct device *d) {
    struct probe *p = (struct probe *)d->probe;
    if (p)
        (void)cudaFreeHost(p->page);
    free(p);
    d->probe = NULL;
}

#else

void probe_close(struct device *) {
}

#endif
