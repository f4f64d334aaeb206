#include "suites/rows/gpu_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/operations.h"
#include "suites/case/params.h"

/* ---- the tables: data sheets, shares, what our kernels move beyond the contract ---- */

const struct gpu gpu_models[] = {
    {"h200", "H200 SXM", "NVIDIA H200 data sheet", 4.8e12, 989e12, 67e12, 141e9, 50e6, true},
    {"h100", "H100 SXM", "NVIDIA H100 data sheet", 3.35e12, 989e12, 67e12, 80e9, 50e6, true},
    {"a100", "A100 SXM 80 GB", "NVIDIA A100 data sheet", 2.039e12, 312e12, 19.5e12, 80e9, 40e6, false},
    {"b200", "B200 of an HGX board", "NVIDIA HGX B200 data sheet and Blackwell technical brief", 8e12, 2250e12, 80e12,
     180e9, 126e6, true},
    {"4090", "GeForce RTX 4090", "NVIDIA Ada architecture white paper", 1.008e12, 165.2e12, 82.6e12, 24e9, 72e6, false},
    {NULL}};

/* Fixed before anything was compared with them. What stands in kernels/NOTES.md is itself a model: of the machine code,
 * cycle by cycle, for an H200 that copies 4.3 TB/s; a share here is floor over time there, the mean of its three
 * widths, times 4.3/4.8. That a share is the same on another GPU is an assumption. */
#define NOTES "kernels/NOTES.md, Mends before the first GPU, with the mends"
const struct gpu_share_of gpu_shares[GPU_SHARES] = {
    [GPU_COPY] = {0.90, "a copy, of the bandwidth", "4.3 of an H200's 4.8 TB/s, assumed"},
    [GPU_STREAM] = {0.84, "kernels that only stream", "kernels/NOTES.md: 1.07 times the time of a copy"},
    [GPU_TWO_PASS] = {0.66, "connections in two passes, forward", NOTES},
    [GPU_TWO_PASS_BACKWARD] = {0.585, "connections in two passes, backward", NOTES},
    [GPU_ONE_PASS] = {0.42, "connections in one pass, forward", NOTES},
    [GPU_ACROSS] = {0.59, "connections across layers, forward", NOTES},
    [GPU_ONE_PASS_BACKWARD] = {0.54, "connections in one pass, backward", NOTES},
    [GPU_PRODUCT] = {0.70, "GEMMs, of the peak", "assumed"},
    [GPU_ATTENTION] = {0.35, "the core of attention, of the peak", "assumed"},
};

/* How our kernels do an operation, where it is not one kernel that moves the bytes of the contract. A row of clusters
 * stands for GPUs that have them and cases that the one-pass kernels take; the next one for the others. */
static const struct way {
    const char *name;
    bool clusters;
    const char *implementation;
    enum gpu_share share;
    double wide, narrow; /* further times that [T][n][C] and [T][C] elements of streams are moved */
    int kernels;
} ways[] = {
    {"mhc.pre", true, "one pass", GPU_ONE_PASS, 0, 0, 1},
    {"mhc.pre", false, "two passes over x", GPU_TWO_PASS, 1, 0, 5},
    {"mhc.post_pre", true, "one pass", GPU_ACROSS, 0, 0, 1},
    {"mhc.backward", true, "one pass", GPU_ONE_PASS_BACKWARD, 1, 0, 6},
    {"mhc.backward", false, "two passes over x", GPU_TWO_PASS_BACKWARD, 3, 1, 10},
    {"mhc.backward_y", true, "one pass", GPU_ONE_PASS_BACKWARD, 1, 0, 6},
    {"mhc.logits", false, NULL, GPU_TWO_PASS, 0, 0, 3},
    {"hc.pre", true, "one pass", GPU_ONE_PASS, 0, 0, 1},
    {"hc.pre", false, "two passes over x", GPU_TWO_PASS, 1, 0, 5},
    {"hc.post_pre", true, "one pass", GPU_ACROSS, 0, 0, 1},
    {"hc.backward", true, "one pass", GPU_ONE_PASS_BACKWARD, 1, 0, 6},
    {"hc.backward", false, "two passes over x", GPU_TWO_PASS_BACKWARD, 3, 1, 10},
    {"hc.backward_y", true, "one pass", GPU_ONE_PASS_BACKWARD, 1, 0, 6},
    {"hc-static.backward", false, NULL, GPU_STREAM, 1, 0, 4},
    {"mhc-micro.pre", false, "one kernel per arrow", GPU_STREAM, 2, 0, 5},
    {"mhc-micro.post", false, "one kernel per arrow", GPU_STREAM, 4, 0, 3},
    {"mhc-micro.backward", false, "one kernel per arrow", GPU_STREAM, 13, 1, 12},
    {"hc-micro.pre", false, "one kernel per arrow", GPU_STREAM, 2, 0, 5},
    {"hc-micro.post", false, "one kernel per arrow", GPU_STREAM, 4, 0, 3},
    {"hc-micro.backward", false, "one kernel per arrow", GPU_STREAM, 13, 1, 12},
    {"bench.copy", false, NULL, GPU_COPY, 0, 0, 1},
    {"attention-core.forward", false, NULL, GPU_ATTENTION, 0, 0, 1},
    {"attention-core.backward", false, NULL, GPU_ATTENTION, 0, 0, 3},
    {"micro.coefficients_mhc", false, "one kernel per arrow", GPU_STREAM, 1, 0, 4},
    {"micro.coefficients_hc", false, "one kernel per arrow", GPU_STREAM, 1, 0, 4},
    {"norm.backward", false, NULL, GPU_STREAM, 0, 0, 2},
    {"addnorm.backward", false, NULL, GPU_STREAM, 0, 0, 2},
};

/* Kinds whose floating-point operations are products on tensor cores where the streams are bf16. */
static bool is_product(const char *name) {
    static const char *const kinds[] = {"gemm.", "bench.gemm", "linear.", "mlp.", "attention.", "head."};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (!strncmp(name, kinds[k], strlen(kinds[k])))
            return true;
    return false;
}

static const struct way *way_of(const char *name, bool clusters) {
    static const struct way plain = {.share = GPU_STREAM, .kernels = 1};
    const struct way *other = NULL;
    bool known = false;
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++)
        if (!strcmp(ways[k].name, name)) {
            known = true;
            if (ways[k].clusters == clusters)
                return &ways[k];
            other = ways[k].clusters ? other : &ways[k];
        }
    return known ? other : &plain;
}

/* The cases that the one-pass kernels are made for. */
static bool is_one_pass(const struct gpu *gpu, const struct mhc_case *c) {
    return gpu->clusters && (c->n == 1 || c->n == 2 || c->n == 4) && c->stream == MHC_BF16 && c->C % 8 == 0;
}

bool gpu_model_cost(const struct gpu *gpu, const struct mhc_row *row, const struct mhc_case *c, struct gpu_cost *cost) {
    const struct way *way = way_of(row->name, is_one_pass(gpu, c));
    if (!way)
        return false;
    bool product = is_product(row->name), attention = way->share == GPU_ATTENTION;
    double stream = (double)mhc_type_bytes(c->stream) * (double)c->T * (double)c->C,
           bandwidth = gpu->bandwidth * gpu_shares[product || attention ? GPU_STREAM : way->share].share,
           peak = product || attention ? (c->stream == MHC_BF16 ? gpu->tensor_flops : gpu->plain_flops) *
                                             gpu_shares[attention ? GPU_ATTENTION : GPU_PRODUCT].share
                                       : INFINITY; /* what our own kernels compute is in their share of the bandwidth */
    cost->kernels = way->kernels;
    cost->flops = row->flops(c);
    cost->bytes = row->traffic(c) + stream * (way->wide * (double)c->n + way->narrow);
    cost->seconds = way->kernels * GPU_GAP + fmax(cost->bytes / bandwidth, cost->flops / peak);
    return true;
}

/* ---- the rows ---- */

/* A model of a GPU that is open; its library hands itself out as the context. */
struct model {
    struct mhc_library library;
    const struct gpu *gpu;
    char name[40], build[300];
    double clock;  /* seconds */
    double *graph; /* that is being captured; NULL: none */
    uintptr_t memory;
    struct mhc_row *row;
    const struct mhc_row **rows;
};

static bool supports(const struct mhc_case *c, const char **why) {
    if (c->stream == MHC_F64)
        return *why = "a model of a GPU knows f32 and bf16", false;
    if (c->n > MHC_MAX_STREAMS)
        return *why = "n is at most 16", false;
    return mhc_map_logits(c) >= 0 || (*why = mhc_map_needs(c), false);
}
static bool supports_one_pass(const struct mhc_case *c, const char **why) {
    const struct gpu any = {.clusters = true};
    return supports(c, why) &&
           (is_one_pass(&any, c) || (*why = "the one-pass kernels take bf16, n of 1, 2 or 4, C of eights", false));
}
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return 1; /* nothing is computed that could be held to it */
}

static int spend(void *context, const struct mhc_row *row, const struct mhc_case *c) {
    struct model *m = context;
    struct gpu_cost cost;
    if (!gpu_model_cost(m->gpu, row, c, &cost))
        return 1;
    if (m->graph)
        *m->graph += cost.seconds - cost.kernels * (GPU_GAP - GPU_GRAPH_GAP);
    else
        m->clock += cost.seconds;
    return 0;
}

/* Every operation of the contract; run() tells a row by its own function. */
#define IN(name, extents, role, natural)
#define OUT(name, extents, role)
#define OPERATION(id, name, flops, bytes, arguments)                                                         \
    static int run_##id(void *, void *, const struct mhc_case *, void *const[], void *, void *);             \
    static const struct mhc_row row_##id = {MHC_OPERATION(id), .supports = supports, .tolerance = tolerance, \
                                            .run = run_##id};                                                \
    static int run_##id(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, \
                        void *work) {                                                                        \
        (void)queue, (void)arg, (void)save, (void)work;                                                      \
        return spend(context, &row_##id, c);                                                                 \
    }
#include MHC_OPERATIONS
#undef OPERATION
#define OPERATION(id, name, flops, bytes, arguments) &row_##id,
static const struct mhc_row *const operations[] = {
#include MHC_OPERATIONS
};
#undef OPERATION
#undef OUT
#undef IN
enum { OPERATIONS = sizeof operations / sizeof *operations };

/* The rows of a GPU, each with the name of its implementation. Where a GPU has clusters a row of one pass comes first,
 * and that of two passes behind it takes what the first does not, as in the library for GPUs. */
static bool take_rows(struct model *m) {
    int count = 0;
    m->row = calloc((size_t)2 * OPERATIONS, sizeof *m->row);
    m->rows = calloc((size_t)2 * OPERATIONS + 1, sizeof *m->rows);
    for (int k = 0; m->row && m->rows && k < OPERATIONS; k++) {
        const struct way *fast = m->gpu->clusters ? way_of(operations[k]->name, true) : NULL,
                         *plain = way_of(operations[k]->name, false);
        for (int one_pass = 1; one_pass >= 0; one_pass--) {
            const struct way *way = one_pass ? fast : plain;
            if (!way || (one_pass && !way->clusters))
                continue;
            m->row[count] = *operations[k];
            m->row[count].implementation = way->implementation;
            if (one_pass)
                m->row[count].supports = supports_one_pass;
            m->rows[count] = &m->row[count];
            count++;
        }
    }
    return m->row && m->rows;
}

/* ---- the device ---- */

static int allocate(void *context, void **pointer, int64_t bytes) {
    struct model *m = context;
    *pointer = (void *)m->memory;
    m->memory += ((uintptr_t)bytes + 255) / 256 * 256;
    return (double)bytes > m->gpu->memory;
}
static void release(void *context, void *pointer) {
    (void)context, (void)pointer;
}
static int to_device(void *context, void *to, const void *from, int64_t bytes) {
    (void)context, (void)to, (void)from, (void)bytes;
    return 0;
}
static int to_host(void *context, void *to, const void *from, int64_t bytes) {
    (void)context, (void)to, (void)from, (void)bytes;
    return 1;
}
static int64_t available(void *context) {
    return (int64_t)((const struct model *)context)->gpu->memory;
}

static int create_queue(void *context, void **queue, int high_priority) {
    *queue = context;
    return high_priority; /* how two queues share a device is not modelled */
}
static void destroy(void *context, void *what) {
    (void)context, (void)what;
}
static int synchronize(void *context, void *queue) {
    (void)context, (void)queue;
    return 0;
}

static int create_event(void *context, void **event) {
    (void)context;
    return !(*event = calloc(1, sizeof(double)));
}
static void destroy_event(void *context, void *event) {
    (void)context;
    free(event);
}
static int record(void *context, void *event, void *queue) {
    (void)queue;
    *(double *)event = ((const struct model *)context)->clock;
    return 0;
}
static int elapsed(void *context, void *start, void *stop, double *seconds) {
    (void)context;
    *seconds = *(double *)stop - *(double *)start;
    return 0;
}

static int capture(void *context, void *queue) {
    struct model *m = context;
    (void)queue;
    return !(m->graph = calloc(1, sizeof *m->graph));
}
static int finish(void *context, void *queue, void **graph) {
    struct model *m = context;
    (void)queue;
    *graph = m->graph;
    m->graph = NULL;
    return 0;
}
static int launch(void *context, void *queue, void *graph) {
    (void)queue;
    ((struct model *)context)->clock += *(double *)graph;
    return 0;
}

static int hold(void *context, void *queue) {
    (void)context, (void)queue;
    return 0;
}
static int let_go(void *context) {
    (void)context;
    return 0;
}
static int stamp(void *context, void *queue, int place) {
    (void)context, (void)queue, (void)place;
    return 0;
}
static int frequency(void *context, double *hertz) {
    (void)context, (void)hertz;
    return 1; /* it has none */
}
static int64_t cache_bytes(void *context) {
    return (int64_t)((const struct model *)context)->gpu->cache;
}
static int describe(void *context, char *text, size_t size) {
    snprintf(text, size, "%s", ((const struct model *)context)->build);
    return 0;
}

static const char *error(void *context) {
    (void)context;
    return "a model of a GPU has no numbers";
}

static void close_model(void *context) {
    struct model *m = context;
    free(m->row);
    free(m->rows);
    free(m->graph);
    free(m);
}

static const struct mhc_memory memory = {allocate, release, to_device, to_host, available};
static const struct mhc_queues queues = {create_queue, destroy, synchronize, NULL};
static const struct mhc_events events = {create_event, destroy_event, record, elapsed};
static const struct mhc_graphs graphs = {capture, finish, launch, destroy_event};
static const struct mhc_probe probe = {hold, let_go, stamp, frequency, cache_bytes, describe};

/* What the library is asked for in the place of an open(): itself. */
const struct mhc_library *gpu_model_library(const char *name, char *why, size_t why_size) {
    const struct gpu *gpu = gpu_models;
    struct model *m = calloc(1, sizeof *m);
    while (gpu->name && strcmp(gpu->name, name + strlen(BACKEND_MODEL)))
        gpu++;
    if (m)
        *m = (struct model){.gpu = gpu, .memory = (uintptr_t)1 << 44};
    if (!gpu->name || !m || !take_rows(m)) {
        size_t used = (size_t)snprintf(why, why_size, gpu->name ? "out of memory" : "backend %s: models are of", name);
        for (const struct gpu *g = gpu_models; g->name && !gpu->name && used < why_size; g++)
            used += (size_t)snprintf(why + used, why_size - used, "%s %s", g == gpu_models ? "" : ",", g->name);
        if (m)
            close_model(m);
        return NULL;
    }
    snprintf(m->name, sizeof m->name, BACKEND_MODEL "%s", gpu->name);
    snprintf(m->build, sizeof m->build,
             DEVICE_MODEL "%s by its data sheet; %.3g TB/s; %.3g TFLOP/s in bf16; %.3g GB; nothing is measured",
             gpu->product, gpu->bandwidth * 1e-12, gpu->tensor_flops * 1e-12, gpu->memory * 1e-9);
    m->library = (struct mhc_library){.abi = MHC_ABI,
                                      .size = sizeof m->library,
                                      .name = m->name,
                                      .build = m->build,
                                      .close = close_model,
                                      .error = error,
                                      .memory = &memory,
                                      .queues = &queues,
                                      .events = &events,
                                      .graphs = &graphs,
                                      .probe = &probe,
                                      .rows = m->rows};
    return &m->library;
}
