/* A device that does not exist, for tests: its pointers cannot be followed by the host, and its clock is a counter that
 * every call advances by a fixed time, COST for the operation. Width 7 computes a wrong number, width 8 fails, width 9 crashes, width 10 goes
 * wrong once it has run more than a hundred times. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/mhc.h"

#ifndef COST
#define COST 3e-4
#endif
#define FAR ((uintptr_t)1 << 60) /* no address of any process */

static double device_time;
static long calls;

static void *near(const void *pointer) {
    return (void *)((uintptr_t)pointer - FAR);
}

static int allocate(void *context, void **pointer, int64_t bytes) {
    (void)context;
    void *data = aligned_alloc(256, ((size_t)bytes + 255) / 256 * 256);
    *pointer = (void *)((uintptr_t)data + FAR);
    return !data;
}
static void release(void *context, void *pointer) {
    (void)context;
    free(near(pointer));
}
static int to_device(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    memcpy(near(to), from, (size_t)bytes);
    return 0;
}
static int to_host(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    memcpy(to, near(from), (size_t)bytes);
    return 0;
}
static int64_t available(void *context) {
    (void)context;
    return (int64_t)64 << 20;
}

static int create_queue(void *context, void **queue, int high_priority) {
    (void)context, (void)high_priority;
    *queue = &device_time;
    return 0;
}
static void destroy_queue(void *context, void *queue) {
    (void)context, (void)queue;
}
static int synchronize(void *context, void *queue) {
    (void)context, (void)queue;
    return 0;
}

static int create_event(void *context, void **event) {
    (void)context;
    *event = malloc(sizeof(double));
    return !*event;
}
static void destroy_event(void *context, void *event) {
    (void)context;
    free(event);
}
static int record(void *context, void *event, void *queue) {
    (void)context, (void)queue;
    *(double *)event = device_time;
    return 0;
}
static int elapsed(void *context, void *start, void *stop, double *seconds) {
    (void)context;
    *seconds = *(double *)stop - *(double *)start;
    return 0;
}

static bool supports(const struct mhc_case *c, const char **why) {
    return c->stream == MHC_F32 || (*why = "the fake device knows float32 only", false);
}
static double flops(const struct mhc_case *c) {
    return 2.0 * (double)(c->T * c->n * c->C);
}
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return 1e-5;
}

static int post_backward_y(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                           void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const float *grad_x_next = near(arg[0]), *post = near(arg[1]);
    float *grad_y = near(arg[2]);
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t k = 0; k < c->C; k++) {
            float sum = 0;
            for (int64_t i = 0; i < c->n; i++)
                sum += post[t * c->n + i] * grad_x_next[(t * c->n + i) * c->C + k];
            grad_y[t * c->C + k] = sum;
        }
    if (c->C == 7 || (c->C == 10 && ++calls > 100))
        grad_y[c->C] += 0.5f;
    if (c->C == 9)
        abort();
    device_time += COST;
    return c->C == 8;
}

static int copy(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    memcpy(near(arg[1]), near(arg[0]), (size_t)(c->T * c->n * c->C) * sizeof(float));
    device_time += 1e-4;
    return 0;
}

static const struct mhc_row row_post_backward_y = {
    .name = "mhc.post_backward_y",
    .args = {{"grad_x_next", "TnC", MHC_STREAM, MHC_IN},
             {"post", "Tn", MHC_COEF, MHC_IN},
             {"grad_y", "TC", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = flops,
    .tolerance = tolerance,
    .run = post_backward_y,
};
static const struct mhc_row row_copy = {
    .name = "bench.copy",
    .args = {{"source", "TnC", MHC_STREAM, MHC_IN}, {"copy", "TnC", MHC_STREAM, MHC_OUT}},
    .supports = supports,
    .flops = flops,
    .tolerance = tolerance,
    .run = copy,
};

static const struct mhc_memory memory = {allocate, release, to_device, to_host, available};
static const struct mhc_queues queues = {create_queue, destroy_queue, synchronize};
static const struct mhc_events events = {create_event, destroy_event, record, elapsed};
static const struct mhc_row *const rows[] = {&row_post_backward_y, &row_copy, NULL};

const struct mhc_library mhc_library = {.abi = MHC_ABI,
                                        .size = sizeof(struct mhc_library),
                                        .name = "fake",
                                        .build = "test",
                                        .memory = &memory,
                                        .queues = &queues,
                                        .events = &events,
                                        .rows = rows};
