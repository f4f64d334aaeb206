/* The clocks of the timing loop: the wall clock around a synchronised queue, or a device's events and its probe. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "suites/timing/timing.h"

struct stopwatch {
    const struct backend *backend;
    void *start, *stop; /* events; NULL: the wall clock */
    double from, held_from;
    bool held, in_vain; /* in_vain: the last sample's hold */
};

/* A probe holds a queue for a second at most, by a timer of its own that may tick coarsely, and may stop trying where
 * that ran out a few times: launches wait for the device there, under CUDA_LAUNCH_BLOCKING or a profiler, and do so
 * for every library of the process. */
#define MOST_HELD 0.99
enum { MOST_RUN_OUT = 3 };
static int holds_run_out;

static double now(void *user) {
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_for(void *user, double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    (void)user;
    nanosleep(&t, NULL);
}

static const char *wait_for_queue(const struct backend *b) {
    return b->library->queues && b->library->queues->synchronize(b->context, b->queue) ? backend_failure(b) : NULL;
}

static const char *start_wall(void *user) {
    struct stopwatch *w = user;
    const char *why = wait_for_queue(w->backend);
    w->from = now(NULL);
    return why;
}

static const char *stop_wall(void *user, double *seconds) {
    struct stopwatch *w = user;
    const char *why = wait_for_queue(w->backend);
    *seconds = now(NULL) - w->from;
    return why;
}

/* --- a device --- */

static const char *hold(void *user) {
    struct stopwatch *w = user;
    const struct backend *b = w->backend;
    const char *why = wait_for_queue(b);
    w->held_from = now(NULL);
    if (!why && b->library->probe->hold(b->context, b->queue))
        why = "the queue cannot be held";
    w->held = !why;
    w->in_vain = false;
    return why;
}

static const char *let_go(void *user) {
    struct stopwatch *w = user;
    bool held = w->held;
    w->held = false;
    if (held) {
        bool ran_out = now(NULL) - w->held_from >= MOST_HELD;
        holds_run_out += ran_out;
        w->in_vain = ran_out || holds_run_out >= MOST_RUN_OUT;
    }
    return held && w->backend->library->probe->release(w->backend->context) ? "the queue cannot be released" : NULL;
}

static const char *stamp(const struct backend *b, int place) {
    const struct mhc_probe *probe = b->library->probe;
    return probe && probe->stamp(b->context, b->queue, place) ? "the device's clocks cannot be read" : NULL;
}

/* The stamps lie outside the events, so that they cost the sample nothing. */
static const char *start_events(void *user) {
    struct stopwatch *w = user;
    const struct backend *b = w->backend;
    const char *why = w->held ? NULL : wait_for_queue(b);
    w->in_vain = w->in_vain && w->held;
    why = why ? why : stamp(b, 0);
    return why ? why : b->library->events->record(b->context, w->start, b->queue) ? "no event can be recorded" : NULL;
}

static const char *stop_events(void *user, double *seconds) {
    struct stopwatch *w = user;
    const struct backend *b = w->backend;
    const char *why = b->library->events->record(b->context, w->stop, b->queue) ? "no event can be recorded"
                                                                                : stamp(b, 1);
    const char *stuck = let_go(w);
    why = why ? why : stuck ? stuck : wait_for_queue(b);
    if (!why && b->library->events->elapsed(b->context, w->start, w->stop, seconds))
        why = "events do not tell the time";
    return why;
}

static bool held_in_vain(void *user) {
    return ((const struct stopwatch *)user)->in_vain;
}

static double frequency(void *user) {
    const struct stopwatch *w = user;
    double hertz = NAN;
    return w->backend->library->probe->frequency(w->backend->context, &hertz) ? NAN : hertz;
}

/* --- either --- */

static int64_t involuntary_switches(void *user) {
    struct rusage usage;
    (void)user;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_nivcsw;
}

bool timing_clock_open(struct timing_clock *clock, const struct backend *b, char *why, size_t why_size) {
    struct stopwatch *w = calloc(1, sizeof *w);
    const struct mhc_events *events = b->library->queues ? b->library->events : NULL;
    *clock = (struct timing_clock){.user = w,
                                   .start = events ? start_events : start_wall,
                                   .stop = events ? stop_events : stop_wall,
                                   .now = now,
                                   .preemptions = b->library->queues ? NULL : involuntary_switches};
    if (events && b->library->probe) {
        clock->frequency = frequency;
        clock->hold = hold;
        clock->release = let_go;
        clock->held_in_vain = held_in_vain;
        clock->pause = pause_for;
    }
    if (!w)
        return snprintf(why, why_size, "out of memory"), false;
    w->backend = b;
    if (events && (events->create(b->context, &w->start) || events->create(b->context, &w->stop))) {
        timing_clock_close(clock);
        return snprintf(why, why_size, "no event can be created"), false;
    }
    return true;
}

void timing_clock_close(struct timing_clock *clock) {
    struct stopwatch *w = clock->user;
    if (w && w->start)
        w->backend->library->events->destroy(w->backend->context, w->start);
    if (w && w->stop)
        w->backend->library->events->destroy(w->backend->context, w->stop);
    free(w);
    *clock = (struct timing_clock){0};
}
