#include "suites/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "analysis/ratio.h"
#include "cpu_ref/philox.h"

const char *const timing_stop_name[TIMING_STOPS] = {"", "precise", "rounds", "seconds"};

struct timing_rules timing_rules_for(const struct backend *b, int64_t most_rounds, double most_seconds) {
    bool device = b->library->queues != NULL;
    return (struct timing_rules){.sample_seconds = device ? 2e-4 : 1e-3,
                                 .warm_up_seconds = device ? 0.05 : 0.01,
                                 .least_rounds = 30,
                                 .most_rounds = most_rounds,
                                 .least_seconds = 0.1,
                                 .most_seconds = most_seconds,
                                 .half_width = 0.01,
                                 .seed = 1};
}

/* --- the parts that decide --- */

int64_t timing_next_batch(int64_t batch, double seconds, double wanted) {
    if (seconds >= wanted && (batch == 1 || seconds <= 2 * wanted))
        return batch;
    double most = 10 * (double)batch, next = seconds > 0 ? ceil(1.2 * wanted * (double)batch / seconds) : most;
    next = next > most ? most : next < 1 ? 1 : next;
    return seconds < wanted && next <= (double)batch ? batch + 1 : (int64_t)next;
}

void timing_shuffle(int *order, int count, uint64_t seed, int64_t round) {
    for (int k = 0; k < count; k++)
        order[k] = k;
    for (int k = count - 1; k > 0; k--) {
        int other = (int)(mhc_bits(seed, 0, (uint32_t)round, (uint64_t)k) % (uint64_t)(k + 1)), swap = order[k];
        order[k] = order[other];
        order[other] = swap;
    }
}

/* Half the interval of the median ratio to the first subject, as a share; of a lone subject that of its own median. */
static double half_width(const struct timing *t, int subject, double *work) {
    const double *samples = t->seconds + subject * t->room;
    struct mhc_interval x;
    if (subject == 0) {
        memcpy(work, samples, (size_t)t->rounds * sizeof *work);
        x = mhc_median_interval(work, t->rounds);
    } else
        x = mhc_ratio_interval(samples, t->seconds, t->rounds, work);
    return (x.high - x.low) / 2 / x.median;
}

enum timing_stop timing_decide(const struct timing *t, const struct timing_rules *rules, double elapsed) {
    if (t->rounds >= rules->most_rounds)
        return TIMING_ROUNDS;
    if (t->rounds > 0 && elapsed >= rules->most_seconds)
        return TIMING_SECONDS;
    if (t->rounds < rules->least_rounds || t->rounds < 1)
        return TIMING_GO_ON;
    double *work = malloc((size_t)t->rounds * sizeof *work);
    bool enough = work != NULL;
    for (int s = 0; s < t->subjects && enough; s++) {
        double spent = 0;
        for (int64_t k = 0; k < t->rounds; k++)
            spent += t->seconds[s * t->room + k] * (double)t->batch[s];
        enough = spent >= rules->least_seconds &&
                 ((s == 0 && t->subjects > 1) || half_width(t, s, work) <= rules->half_width);
    }
    free(work);
    return enough ? TIMING_PRECISE : TIMING_GO_ON;
}

int64_t timing_sets(int64_t set_bytes, int64_t cache_bytes, int64_t memory_bytes) {
    int64_t sets = set_bytes > 0 ? 1 + (cache_bytes + set_bytes - 1) / set_bytes : 1;
    int64_t fit = set_bytes > 0 ? memory_bytes / set_bytes : 1;
    return sets < fit ? sets : fit > 1 ? fit : 1;
}

int64_t timing_cache_bytes(const struct backend *b) {
    int64_t largest = 0;
    if (b->library->memory)
        return (int64_t)256 << 20;
    for (int index = 0; index < 8; index++) {
        char path[80], unit = 0;
        long long size = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%lld%c", &size, &unit) >= 1) {
            int64_t bytes = size * (unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1);
            largest = bytes > largest ? bytes : largest;
        }
        if (file)
            fclose(file);
    }
    if (!largest)
        largest = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return largest > 0 ? largest : (int64_t)64 << 20;
}

/* --- clocks --- */

struct stopwatch {
    const struct backend *backend;
    void *start, *stop; /* events; NULL: the wall clock */
    double from;
};

static double now(void *user) {
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *wait_for_queue(const struct backend *b) {
    return b->library->queues && b->library->queues->synchronize(b->context, b->queue) ? "the device failed" : NULL;
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

static const char *start_events(void *user) {
    struct stopwatch *w = user;
    const struct backend *b = w->backend;
    const char *why = wait_for_queue(b);
    return why ? why : b->library->events->record(b->context, w->start, b->queue) ? "no event can be recorded" : NULL;
}

static const char *stop_events(void *user, double *seconds) {
    struct stopwatch *w = user;
    const struct backend *b = w->backend;
    if (b->library->events->record(b->context, w->stop, b->queue))
        return "no event can be recorded";
    const char *why = wait_for_queue(b);
    return why                                                                   ? why
           : b->library->events->elapsed(b->context, w->start, w->stop, seconds) ? "events do not tell the time"
                                                                                 : NULL;
}

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

/* --- the loop --- */

/* What the loop knows of a subject beside its samples. */
struct runner {
    const struct timing_subject *subject;
    int64_t set;      /* whose turn it is */
    double frequency; /* in the warm-up */
};

/* `batch` calls between start and stop. */
static const char *sample(struct runner *r, int64_t batch, const struct timing_clock *clock, double *seconds) {
    const char *why = clock->start(clock->user);
    for (int64_t k = 0; k < batch && !why; k++) {
        why = r->subject->run(r->subject->user, r->set);
        r->set = (r->set + 1) % r->subject->sets;
    }
    return why ? why : clock->stop(clock->user, seconds);
}

/* Finds the batch, for as long as the warm-up lasts; the first calls, which are slower, decide nothing. */
static const char *warm_up(struct runner *r, const struct timing_rules *rules, const struct timing_clock *clock,
                           int64_t *batch) {
    enum { LEAST_TRIALS = 3, MOST_TRIALS = 1000 };
    double spent = 0;
    *batch = 1;
    for (int trial = 0; trial < MOST_TRIALS; trial++) {
        double seconds = 0;
        const char *why = sample(r, *batch, clock, &seconds);
        if (why)
            return why;
        spent += seconds;
        r->frequency = clock->frequency ? clock->frequency(clock->user) : NAN;
        int64_t next = timing_next_batch(*batch, seconds, rules->sample_seconds);
        if (trial + 1 >= LEAST_TRIALS && spent >= rules->warm_up_seconds && next == *batch)
            break;
        *batch = next;
    }
    return NULL;
}

/* One round, kept at `at`; negative: not kept. */
static const char *run_round(struct timing *t, struct runner *runners, const struct timing_rules *rules,
                             const struct timing_clock *clock, int64_t round, int64_t at) {
    int order[TIMING_SUBJECTS];
    timing_shuffle(order, t->subjects, rules->seed, round);
    for (int place = 0; place < t->subjects; place++) {
        int s = order[place];
        double seconds = 0;
        int64_t before = clock->preemptions ? clock->preemptions(clock->user) : 0;
        const char *why = sample(&runners[s], t->batch[s], clock, &seconds);
        if (why)
            return why;
        if (at < 0)
            continue;
        int64_t k = s * t->room + at;
        bool preempted = clock->preemptions && clock->preemptions(clock->user) != before;
        t->seconds[k] = seconds / (double)t->batch[s];
        t->clock[k] = clock->frequency ? clock->frequency(clock->user) / runners[s].frequency : NAN;
        t->order[k] = (int8_t)place;
        t->flags[k] =
            (int8_t)((preempted ? TIMING_PREEMPTED : 0) | (t->clock[k] < TIMING_SLOW_CLOCK ? TIMING_THROTTLED : 0));
    }
    return NULL;
}

const char *timing_run(struct timing *t, const struct timing_subject *subjects, int count,
                       const struct timing_rules *rules, const struct timing_clock *clock) {
    struct runner runners[TIMING_SUBJECTS];
    size_t room = (size_t)count * (size_t)rules->most_rounds;
    *t = (struct timing){.subjects = count,
                         .room = rules->most_rounds,
                         .seconds = calloc(room, sizeof(double)),
                         .clock = calloc(room, sizeof(double)),
                         .order = calloc(room, 1),
                         .flags = calloc(room, 1)};
    if (!t->seconds || !t->clock || !t->order || !t->flags)
        return "out of memory";
    const char *why = NULL;
    for (int s = 0; s < count && !why; s++) {
        runners[s] = (struct runner){.subject = &subjects[s]};
        why = warm_up(&runners[s], rules, clock, &t->batch[s]);
    }
    for (int s = 1; s < rules->alike && s < count && !why; s++)
        for (int other = 0; other < s; other++)
            t->batch[s] = t->batch[other] = t->batch[s] > t->batch[other] ? t->batch[s] : t->batch[other];
    if (!why)
        why = run_round(t, runners, rules, clock, 0, -1);
    double begin = clock->now(clock->user);
    for (int64_t round = 1; !why && t->stop == TIMING_GO_ON; round++) {
        why = run_round(t, runners, rules, clock, round, t->rounds);
        t->rounds += !why;
        t->stop = why ? TIMING_GO_ON : timing_decide(t, rules, clock->now(clock->user) - begin);
    }
    return why;
}

void timing_release(struct timing *t) {
    free(t->seconds);
    free(t->clock);
    free(t->order);
    free(t->flags);
    *t = (struct timing){0};
}
