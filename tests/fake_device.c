/* A device that does not exist, for tests: its pointers cannot be followed by the host, and its clock is a counter
 * that every call advances by a fixed time, COST for the operation; the first after a rest comes late, unless the
 * queue was held. Width 7 computes a wrong number, width 8 fails, width 9 crashes, width 10 goes wrong once it has
 * run more than a hundred times, width 12 slows the clock down for good after forty calls, width 13 is short, width
 * 14 slows it down in every fiftieth call, width 15 fails from the sixth call on. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fake_device.h"

#ifndef COST
#define COST FAKE_DEVICE_CALL
#endif
#ifndef FACTOR
#define FACTOR 1 /* on the result: how wrong the library is */
#endif
#define FAR ((uintptr_t)1 << 60) /* no address of any process */

struct fake_device_log fake_device_log;

static double device_time, cycles, hertz = FAKE_DEVICE_HERTZ;
static long calls, held_calls;
static bool held, resting = true;
static int blocked; /* holds, where launches block */

/* A call takes its time, at the clock of the moment. */
static void work_for(double seconds) {
    fake_device_log.calls++;
    if (held && ++held_calls > fake_device_log.most_held)
        fake_device_log.most_held = held_calls;
    if (resting && !held)
        seconds += FAKE_DEVICE_LATENCY;
    resting = false;
    device_time += seconds;
    cycles += seconds * hertz;
}

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
    resting = true;
    return held; /* no call would ever release it */
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

static int hold(void *context, void *queue) {
    (void)context, (void)queue;
    fake_device_log.holds++;
    held_calls = 0;
    /* Every launch waits for the device: a hold lasts its second, and after three there are none. */
    if (getenv("FAKE_DEVICE_BLOCKING")) {
        if (blocked++ < 3)
            nanosleep(&(struct timespec){1, 0}, NULL);
        return 0;
    }
    return held ? 1 : (held = true, 0);
}
static int release_queue(void *context) {
    (void)context;
    held = false;
    return 0;
}
static double stamp_time[2], stamp_cycles[2];
static int stamp(void *context, void *queue, int place) {
    (void)context, (void)queue;
    fake_device_log.stamps[place]++;
    stamp_time[place] = device_time;
    stamp_cycles[place] = cycles;
    return 0;
}
static int frequency(void *context, double *value) {
    (void)context;
    *value = (stamp_cycles[1] - stamp_cycles[0]) / (stamp_time[1] - stamp_time[0]);
    return 0;
}
static int64_t cache_bytes(void *context) {
    (void)context;
    return FAKE_DEVICE_CACHE;
}
static int describe(void *context, char *text, size_t size) {
    (void)context;
    snprintf(text, size, "Fake 1000; driver 1.2%s; L2 1 MB",
             getenv("FAKE_DEVICE_BUSY") ? "; ! it is busy with a test" : "");
    return 0;
}

/* The widths of faults are there for tests that ask for them, not for the fixed cases of `check`. */
static bool supports(const struct mhc_case *c, const char **why) {
    if (c->C >= 7 && c->C <= 15 && (c->T % 2 || c->T == 2 || c->T >= 96))
        return *why = "the fake device knows no such shape", false;
    return c->stream == MHC_F32 || (*why = "the fake device knows float32 only", false);
}
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return 1e-5;
}

static int post_backward_y(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                           void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const struct mhc_post_backward_y_args *a = (const struct mhc_post_backward_y_args *)arg;
    const float *grad_x_next = near(a->grad_x_next), *post = near(a->post);
    float *grad_y = near(a->grad_y);
    for (int64_t t = 0; t < c->T; t++)
        for (int64_t k = 0; k < c->C; k++) {
            float sum = 0;
            for (int64_t i = 0; i < c->n; i++)
                sum += post[t * c->n + i] * grad_x_next[(t * c->n + i) * c->C + k];
            grad_y[t * c->C + k] = FACTOR * sum;
        }
    if (c->C == 7 || (c->C == 10 && ++calls > 100))
        grad_y[c->C] += 0.5f;
    if (c->C == 9)
        abort();
    calls += c->C == 12 || c->C == 14 || c->C == 15;
    hertz = FAKE_DEVICE_HERTZ * ((c->C == 12 && calls > 40) || (c->C == 14 && calls % 50 == 0) ? 0.5 : 1);
    work_for(c->C == 13 ? FAKE_DEVICE_SHORT : COST);
    return c->C == 8 || (c->C == 15 && calls > 5);
}

static int copy(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)save, (void)work;
    const struct bench_copy_args *a = (const struct bench_copy_args *)arg;
    memcpy(near(a->copy), near(a->source), (size_t)(c->T * c->n * c->C) * sizeof(float));
    hertz = FAKE_DEVICE_HERTZ;
    work_for(FAKE_DEVICE_COPY);
    return 0;
}

static const struct mhc_row row_post_backward_y = {MHC_OPERATION(mhc_post_backward_y), .supports = supports,
                                                   .tolerance = tolerance, .run = post_backward_y};
static const struct mhc_row row_copy = {MHC_OPERATION(bench_copy), .supports = supports, .tolerance = tolerance,
                                        .run = copy};

static const struct mhc_memory memory = {allocate, release, to_device, to_host, available};
static const struct mhc_queues queues = {create_queue, destroy_queue, synchronize};
static const struct mhc_events events = {create_event, destroy_event, record, elapsed};
static const struct mhc_probe probe = {hold, release_queue, stamp, frequency, cache_bytes, describe};
static const struct mhc_row *const rows[] = {&row_post_backward_y, &row_copy, NULL};

const struct mhc_library mhc_library = {.abi = MHC_ABI,
                                        .size = sizeof(struct mhc_library),
                                        .name = "fake",
                                        .build = "test",
                                        .memory = &memory,
                                        .queues = &queues,
                                        .events = &events,
                                        .probe = &probe,
                                        .rows = rows};
