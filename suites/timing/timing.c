#include "suites/timing/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/analysis.h"
#include "analysis/ratio.h"
#include "cpu_ref/philox.h"
#include "suites/worker/worker.h"

const char *const timing_stop_name[TIMING_STOPS] = {"", "precise", "rounds", "seconds", "MODEL"};

struct timing_rules timing_rules_for(const struct backend *b, int64_t most_rounds, double most_seconds) {
    bool device = b->library->queues != NULL;
    if (b->model) /* every sample would be the same */
        return (struct timing_rules){.model = true, .most_rounds = 1, .seed = 1};
    return (struct timing_rules){.sample_seconds = 2e-4,
                                 .warm_up_seconds = device ? 0.1 : 0.01,
                                 .even = !device,
                                 .settled = device ? 0.01 : 0,
                                 .settle_seconds = device ? 2 : 1,
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

int64_t timing_held_calls(int64_t batch, int launches) {
    int64_t most = launches > 0 ? TIMING_HELD_LAUNCHES / launches : 0;
    return batch < most ? batch : most;
}

double timing_flagged(const int8_t *flags, int64_t samples, int flag) {
    int64_t flagged = 0;
    for (int64_t k = 0; k < samples; k++)
        flagged += (flags[k] & flag) != 0;
    return (double)flagged / (double)samples;
}

double timing_pause(int64_t throttled_in_a_row) {
    if (throttled_in_a_row < 1 || throttled_in_a_row >= TIMING_MOST_THROTTLED)
        return 0;
    return throttled_in_a_row > 4 ? 0.5 : 0.05 * (double)(1 << (throttled_in_a_row - 1));
}

enum { SETTLED_SAMPLES = 10 };

/* Median of the last clocks of a warm-up. */
static double last_clock(const double *clocks, int64_t count) {
    double last[SETTLED_SAMPLES];
    int64_t kept = count < SETTLED_SAMPLES ? count : SETTLED_SAMPLES;
    memcpy(last, clocks + count - kept, (size_t)kept * sizeof *last);
    return mhc_quantile(last, kept, 0.5);
}

bool timing_settled(const double *clocks, int64_t count, double share) {
    if (count > 0 && isnan(clocks[count - 1]))
        return true;
    if (count < SETTLED_SAMPLES)
        return false;
    double median = last_clock(clocks, count);
    for (int64_t k = count - SETTLED_SAMPLES; k < count; k++)
        if (!(fabs(clocks[k] - median) <= share * median))
            return false;
    return true;
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
    if (rules->model)
        return TIMING_MODEL;
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
    if (!strcmp(b->library->name, "emu"))
        return 0;
    if (b->library->memory) {
        int64_t cache = b->library->probe ? b->library->probe->cache_bytes(b->context) : 0;
        return cache > 0 ? 2 * cache : (int64_t)256 << 20;
    }
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

/* --- the loop --- */

enum { FASTEST = 3 };

/* What the loop knows of a subject beside its samples. */
struct runner {
    const struct timing_subject *subject;
    int64_t set; /* whose turn it is */
    /* The warm-up: trials so far and their seconds, the last clocks, the fastest calls, the clock in the end. */
    bool warm;
    int trials, kept;
    double spent, clocks[SETTLED_SAMPLES], fastest[FASTEST], frequency;
};

/* `batch` calls between start and stop; where the queue is held, it is let go when it has enough to be ahead with. It
 * is not in a subject's first sample: a kernel that is loaded with its first launch may wait for what the queue is
 * held by. */
static const char *sample(struct runner *r, int64_t batch, const struct timing_clock *clock, double *seconds) {
    int64_t held = clock->hold && r->trials > 0 ? timing_held_calls(batch, r->subject->launches) : 0;
    const char *why = held ? clock->hold(clock->user) : NULL;
    why = why ? why : clock->start(clock->user);
    for (int64_t k = 0; k < batch && !why; k++) {
        why = r->subject->run(r->subject->user, r->set);
        r->set = (r->set + 1) % r->subject->sets;
        if (k + 1 == held && k + 1 < batch && !why)
            why = clock->release(clock->user);
    }
    if (why && held)
        (void)clock->release(clock->user); /* what failed must not leave the device waiting */
    return why ? why : clock->stop(clock->user, seconds);
}

/* Three fastest calls of a warm-up that agree so well were undisturbed: what other work adds differs from trial to
 * trial. */
#define AGREE 1.05

static void keep_fastest(double fastest[FASTEST], double call) {
    for (int k = 0; k < FASTEST; k++)
        if (call < fastest[k]) {
            double slower = fastest[k];
            fastest[k] = call;
            call = slower;
        }
}

/* One trial of a warm-up: finds the batch, for as long as it lasts and time and clock take to settle. The fastest
 * trial decides it: the first calls are slow, and one that lost its CPU for a while would pass for a long one, whose
 * sample needs no batch. */
static const char *warm_up_once(struct runner *r, const struct timing_rules *rules, const struct timing_clock *clock,
                                double begin, int64_t *batch) {
    enum { LEAST_TRIALS = 3, MANY_TRIALS = 20, MOST_TRIALS = 100000 };
    double seconds = 0;
    const char *why = sample(r, *batch, clock, &seconds);
    if (why)
        return why;
    r->trials++;
    r->spent += seconds;
    if (r->kept == SETTLED_SAMPLES)
        memmove(r->clocks, r->clocks + 1, (size_t)--r->kept * sizeof *r->clocks);
    r->clocks[r->kept++] = clock->frequency ? clock->frequency(clock->user) : NAN;
    keep_fastest(r->fastest, seconds / (double)*batch);
    int64_t next = timing_next_batch(*batch, r->fastest[0] * (double)*batch, rules->sample_seconds);
    bool tried = r->trials >= LEAST_TRIALS && r->spent >= rules->warm_up_seconds &&
                 (r->trials >= MANY_TRIALS || r->spent >= 10 * rules->warm_up_seconds);
    bool settled = r->fastest[FASTEST - 1] <= AGREE * r->fastest[0] &&
                   (!(rules->settled > 0) || timing_settled(r->clocks, r->kept, rules->settled));
    bool late = clock->now(clock->user) - begin >= rules->settle_seconds;
    r->warm = (tried && next == *batch && (settled || late)) || r->trials == MOST_TRIALS;
    *batch = r->warm ? *batch : next;
    return NULL;
}

/* In turns, so that what is slow for a while is slow for all. */
static const char *warm_up(struct runner *runners, int count, const struct timing_rules *rules,
                           const struct timing_clock *clock, int64_t *batch) {
    double begin = clock->now(clock->user);
    const char *why = NULL;
    for (int cold = count; cold > 0 && !why;) {
        cold = 0;
        for (int s = 0; s < count && !why; s++)
            if (!runners[s].warm) {
                why = warm_up_once(&runners[s], rules, clock, begin, &batch[s]);
                cold += !runners[s].warm;
            }
    }
    for (int s = 0; s < count && !why; s++)
        runners[s].frequency = last_clock(runners[s].clocks, runners[s].kept);
    return why;
}

/* Where other work steals the CPU for longer than a sample lasts, a sample of many calls loses less for each of them
 * than one of few: all samples of a round last as long as the longest, and subjects that take the same time make the
 * same number of calls. */
void timing_even_batches(int64_t *batch, const double *call, int subjects) {
    double longest = 0;
    for (int s = 0; s < subjects; s++)
        longest = fmax(longest, (double)batch[s] * call[s]);
    for (int s = 0; s < subjects; s++) {
        double wanted = call[s] > 0 ? round(longest / call[s]) : (double)batch[s];
        batch[s] = wanted > 1e9 ? (int64_t)1e9 : (int64_t)wanted;
        for (int alike = 0; alike < s; alike++)
            if (fabs(call[s] - call[alike]) <= TIMING_ALIKE * call[s])
                batch[s] = batch[alike];
    }
}

/* A throttled device is given time to cool down, more from sample to sample; one that stays so is measured as it is. */
static void count_throttled(struct timing *t, bool throttled, const struct timing_clock *clock) {
    bool hopeless = t->throttled_in_a_row >= TIMING_MOST_THROTTLED;
    t->throttled_in_a_row = hopeless || throttled ? t->throttled_in_a_row + 1 : 0;
    double seconds = timing_pause(t->throttled_in_a_row);
    if (seconds > 0 && clock->pause) {
        clock->pause(clock->user, seconds);
        t->pauses++;
    }
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
        bool throttled = t->clock[k] < TIMING_SLOW_CLOCK;
        bool gaps = clock->held_in_vain && clock->held_in_vain(clock->user);
        t->flags[k] = (int8_t)((preempted ? TIMING_PREEMPTED : 0) | (throttled ? TIMING_THROTTLED : 0) |
                               (gaps ? TIMING_NOT_HELD : 0));
        count_throttled(t, throttled, clock);
    }
    return NULL;
}

const char *timing_run(struct timing *t, const struct timing_subject *subjects, int count,
                       const struct timing_rules *rules, const struct timing_clock *clock) {
    struct runner runners[TIMING_SUBJECTS];
    double call[TIMING_SUBJECTS];
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
    for (int s = 0; s < count; s++) {
        runners[s] = (struct runner){.subject = &subjects[s], .fastest = {INFINITY, INFINITY, INFINITY}};
        t->batch[s] = 1;
    }
    worker_at("warm-up", 0, 0);
    why = warm_up(runners, count, rules, clock, t->batch);
    for (int s = 0; s < count; s++)
        call[s] = runners[s].fastest[0];
    if (!why && rules->even)
        timing_even_batches(t->batch, call, count);
    for (int s = 1; s < rules->alike && s < count && !why; s++)
        for (int other = 0; other < s; other++)
            t->batch[s] = t->batch[other] = t->batch[s] > t->batch[other] ? t->batch[s] : t->batch[other];
    if (!why)
        why = run_round(t, runners, rules, clock, 0, -1);
    double begin = clock->now(clock->user);
    for (int64_t round = 1; !why && t->stop == TIMING_GO_ON; round++) {
        worker_at("round", round, rules->most_rounds);
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
