/* The rows of this room as a library: libmhc_cuda.so, or, from the same sources on a CPU, libmhc_emu.so. */
#include "kernels/library.h"
#include "kernels/maps/maps.h"

#include <stdio.h>
#include <stdlib.h>

#include "build_info.h"

#define ROW(id) extern "C" const struct mhc_row id;
#include "kernels/rows.def"
#undef ROW

static const struct mhc_row *const rows[] = {
#define ROW(id) &id,
#include "kernels/rows.def"
#undef ROW
    NULL};

/* A thread's 32-bit walk over channels goes so far beyond the last at most: 1024 threads of eight channels. */
enum { LARGEST_STEP = 8192 };

bool gpu_supports(const struct mhc_case *c, const char **why) {
    if (c->stream != MHC_F32 && c->stream != MHC_BF16)
        return *why = "streams are f32 or bf16 here", false;
    if (c->coef != MHC_F32 || c->param != MHC_F32)
        return *why = "coefficients and parameters are f32 here", false;
    if (c->n < 1 || c->n > MHC_MAX_STREAMS)
        return *why = "n must be from 1 to 16", false;
    if (c->T < 1 || c->C < 1)
        return *why = "T and C must be at least 1", false;
    /* Tokens are blocks of a grid; a token is reached by 32-bit steps. */
    if (c->T > INT32_MAX || c->n * c->C > INT32_MAX - LARGEST_STEP)
        return *why = "T and n C must be below 2^31", false;
    return true;
}

bool gpu_supports_sinkhorn(const struct mhc_case *c, const char **why) {
    if (c->t_max < 1)
        return *why = "t_max must be at least 1", false;
    return gpu_supports(c, why);
}

bool gpu_supports_mhc(const struct mhc_case *c, const char **why) {
    const struct gpu_map *map = gpu_map_of(c);
    if (!map)
        return *why = "this residual map has no kernels here", false;
    if (!gpu_supports(c, why) || !map->supports(c, why))
        return false;
    return mhc_map_logits(c) >= 0 || (*why = mhc_map_needs(c), false);
}

bool gpu_supports_res(const struct mhc_case *c, const char **why) {
    if (c->map == MHC_IDENTITY)
        return *why = "res is made here, so the map cannot be the identity", false;
    return gpu_supports(c, why);
}

double gpu_tolerance(const struct mhc_case *c) {
    return c->stream == MHC_BF16 ? 2e-2 : 1e-3;
}

static const char *last_error(void *context) {
    return device_of(context)->error;
}

static void close_device(void *context) {
    gemm_close(device_of(context));
    probe_close(device_of(context));
    free(context);
}

/* Of a list too, 800,900. */
#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)

/* MHC_CLUSTER=N: as on a device whose clusters have N blocks at most, 1 one without clusters. To compare forms, and
 * to do without them. */
static int largest_cluster(int of_device) {
    const char *text = getenv("MHC_CLUSTER");
    int most = text ? atoi(text) : 0;
    return most >= 1 && most < of_device ? most : of_device;
}

#ifdef __CUDACC__

int device_check(struct device *d, int error, const char *what) {
    if (!error)
        return 0;
    const char *call = strchr(what, '(');
    snprintf(d->error, sizeof d->error, "%s (%.*s)", cudaGetErrorString((cudaError_t)error),
             (int)(call ? call - what : (long)strlen(what)), what);
    return 1;
}

static __global__ void nothing_kernel(void) {
}

static int open_device(void **context, char *why, size_t why_size) {
    int count = 0, shared = 0, major = 0, minor = 0, driver = 0;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES"); /* --device sets it */
    struct cudaFuncAttributes code;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver && !cudaDriverGetVersion(&driver) && driver)
        return snprintf(why, why_size, "backend cuda: the driver is one for CUDA %d.%d, this library needs %d.%d",
                        driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10),
               1;
    if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice || (!error && !count))
        return snprintf(why, why_size, "backend cuda: this machine has no CUDA device or no driver for it%s%.80s",
                        visible ? ", where CUDA_VISIBLE_DEVICES is " : "", visible ? visible : ""),
               1;
    struct device *d = (struct device *)calloc(1, sizeof *d);
    if (error || !d || (error = cudaSetDevice(0)) ||
        (error = cudaDeviceGetAttribute(&d->processors, cudaDevAttrMultiProcessorCount, 0)) ||
        (error = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0)) ||
        (error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0)) ||
        (error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0))) {
        free(d);
        return snprintf(why, why_size, "backend cuda: %s", error ? cudaGetErrorString(error) : "out of memory"), 1;
    }
    /* Machine code of one kind of device is all there is in here. */
    if ((error = cudaFuncGetAttributes(&code, (const void *)nothing_kernel))) {
        free(d);
        return snprintf(why, why_size,
                        "backend cuda: %s: compute capability %d.%d; this library has code for __CUDA_ARCH__ " TEXT(
                            __CUDA_ARCH_LIST__),
                        cudaGetErrorString(error), major, minor),
               1;
    }
    d->shared_bytes = shared;
    d->largest_cluster = largest_cluster(major >= 9 ? 16 : 1);
    if (gemm_open(d)) {
        snprintf(why, why_size, "backend cuda: %s", d->error);
        free(d);
        return 1;
    }
    *context = d;
    return 0;
}

static struct known_clusters *known_clusters(struct device *d, const void *kernel, unsigned cluster, unsigned threads,
                                             size_t shared) {
    for (int k = 0; k < d->known_count; k++) {
        struct known_clusters *known = &d->known[k];
        if (known->kernel == kernel && known->cluster == cluster && known->threads == threads &&
            known->shared == shared)
            return known;
    }
    return NULL;
}

int device_clusters(struct device *d, const void *kernel, unsigned cluster, unsigned threads, size_t shared) {
    struct known_clusters *known = known_clusters(d, kernel, cluster, threads, shared);
    return known ? known->count : -1;
}

void device_keep_clusters(struct device *d, const void *kernel, unsigned cluster, unsigned threads, size_t shared,
                          int count) {
    if (d->known_count < (int)(sizeof d->known / sizeof *d->known))
        d->known[d->known_count++] = (struct known_clusters){kernel, cluster, threads, shared, count};
}

static int allocate(void *context, void **pointer, int64_t bytes) {
    int failed = CHECKED(device_of(context), cudaMalloc(pointer, (size_t)bytes));
    if (failed)
        (void)cudaGetLastError(); /* no memory is no error of later calls */
    return failed;
}
static void release(void *context, void *pointer) {
    (void)context;
    (void)cudaFree(pointer);
}
/* A copy from pageable memory may return while its last part is under way, and nothing orders our queues after it. */
static int to_device(void *context, void *destination, const void *source, int64_t bytes) {
    return CHECKED(device_of(context), cudaMemcpy(destination, source, (size_t)bytes, cudaMemcpyHostToDevice)) ||
           CHECKED(device_of(context), cudaStreamSynchronize(cudaStreamLegacy));
}
static int to_host(void *context, void *destination, const void *source, int64_t bytes) {
    return CHECKED(device_of(context), cudaMemcpy(destination, source, (size_t)bytes, cudaMemcpyDeviceToHost));
}
/* Less what the driver takes for local memory when the kernel with the largest stack, the backward of go-mHC, s = 2,
 * with n = 8, is first launched: sass.txt says how large it is. */
static int64_t available(void *context) {
    enum { THREADS_A_PROCESSOR = 2048, LARGEST_STACK = 14 * 1024 };
    size_t unused = 0, total = 0;
    if (CHECKED(device_of(context), cudaMemGetInfo(&unused, &total)))
        return 0;
    int64_t left = (int64_t)unused - (int64_t)device_of(context)->processors * THREADS_A_PROCESSOR * LARGEST_STACK;
    return left > 0 ? left : 0;
}
static const struct mhc_memory memory = {allocate, release, to_device, to_host, available};

static int create_queue(void *context, void **queue, int high_priority) {
    int least = 0, greatest = 0;
    (void)cudaDeviceGetStreamPriorityRange(&least, &greatest);
    return CHECKED(device_of(context), cudaStreamCreateWithPriority((cudaStream_t *)queue, cudaStreamNonBlocking,
                                                                    high_priority ? greatest : least));
}
static void destroy_queue(void *context, void *queue) {
    (void)context;
    (void)cudaStreamDestroy((cudaStream_t)queue);
}
static int synchronize(void *context, void *queue) {
    return CHECKED(device_of(context), cudaStreamSynchronize((cudaStream_t)queue));
}
static int wait_for_event(void *context, void *queue, void *event) {
    return CHECKED(device_of(context), cudaStreamWaitEvent((cudaStream_t)queue, (cudaEvent_t)event, 0));
}
static const struct mhc_queues queues = {create_queue, destroy_queue, synchronize, wait_for_event};

static int create_event(void *context, void **event) {
    return CHECKED(device_of(context), cudaEventCreate((cudaEvent_t *)event));
}
static void destroy_event(void *context, void *event) {
    (void)context;
    (void)cudaEventDestroy((cudaEvent_t)event);
}
static int record_event(void *context, void *event, void *queue) {
    return CHECKED(device_of(context), cudaEventRecord((cudaEvent_t)event, (cudaStream_t)queue));
}
static int elapsed(void *context, void *start, void *stop, double *seconds) {
    float milliseconds = 0;
    if (CHECKED(device_of(context), cudaEventElapsedTime(&milliseconds, (cudaEvent_t)start, (cudaEvent_t)stop)))
        return 1;
    *seconds = (double)milliseconds * 1e-3;
    return 0;
}
static const struct mhc_events events = {create_event, destroy_event, record_event, elapsed};

static int capture(void *context, void *queue) {
    return CHECKED(device_of(context), cudaStreamBeginCapture((cudaStream_t)queue, cudaStreamCaptureModeThreadLocal));
}
/* Kernels keep the priority of the queue they were captured from; else all would have that of the queue the graph is
 * launched into. */
static int finish_capture(void *context, void *queue, void **graph) {
    cudaGraph_t captured = NULL;
    int failed = CHECKED(device_of(context), cudaStreamEndCapture((cudaStream_t)queue, &captured));
    if (!failed)
        failed = CHECKED(device_of(context), cudaGraphInstantiate((cudaGraphExec_t *)graph, captured,
                                                                  cudaGraphInstantiateFlagUseNodePriority));
    if (captured)
        (void)cudaGraphDestroy(captured);
    return failed;
}
static int launch_graph(void *context, void *queue, void *graph) {
    return CHECKED(device_of(context), cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)queue));
}
static void destroy_graph(void *context, void *graph) {
    (void)context;
    (void)cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
static const struct mhc_graphs graphs = {capture, finish_capture, launch_graph, destroy_graph};

#define LIBRARY_NAME "cuda"
#define LIBRARY_BUILD                                                                                 \
    PROVENANCE_REVISION ", nvcc " TEXT(__CUDACC_VER_MAJOR__) "." TEXT(__CUDACC_VER_MINOR__) "." TEXT( \
        __CUDACC_VER_BUILD__) ", " PROVENANCE_CUDA
#define LIBRARY_MEMORY &memory
#define LIBRARY_QUEUES &queues
#define LIBRARY_EVENTS &events
#define LIBRARY_GRAPHS &graphs
#define LIBRARY_PROBE &cuda_probe

#else

int device_check(struct device *d, int error, const char *what) {
    if (error)
        snprintf(d->error, sizeof d->error, "launch refused: %s", what);
    return error;
}

/* A small device, so that persistent kernels take several turns on small problems. */
static int open_device(void **context, char *why, size_t why_size) {
    struct device *d = (struct device *)calloc(1, sizeof *d);
    if (!d || gemm_open(d)) {
        free(d);
        return snprintf(why, why_size, "backend emu: out of memory"), 1;
    }
    d->processors = 4;
    d->shared_bytes = 227 * 1024;
    d->largest_cluster = largest_cluster(16);
    *context = d;
    return 0;
}

#define LIBRARY_NAME "emu"
#define LIBRARY_BUILD PROVENANCE_BUILD
#define LIBRARY_MEMORY NULL
#define LIBRARY_QUEUES NULL
#define LIBRARY_EVENTS NULL
#define LIBRARY_GRAPHS NULL
#define LIBRARY_PROBE NULL

#endif

extern "C" __attribute__((visibility("default"))) const struct mhc_library mhc_library;
const struct mhc_library mhc_library = {MHC_ABI,
                                        sizeof(struct mhc_library),
                                        LIBRARY_NAME,
                                        LIBRARY_BUILD,
                                        open_device,
                                        close_device,
                                        last_error,
                                        LIBRARY_MEMORY,
                                        LIBRARY_QUEUES,
                                        LIBRARY_EVENTS,
                                        LIBRARY_GRAPHS,
                                        LIBRARY_PROBE,
                                        rows};
