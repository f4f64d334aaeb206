#include "suites/study/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "suites/study/fits.h"
#include "suites/study/study.h"

double jobs_seconds(const struct params *p, double rate) {
    return study_flops(p) / rate + study_seconds(p);
}

bool jobs_alike(const struct params *one, const struct params *other) {
    struct params copy = *one;
    copy.seed = other->seed;
    return !memcmp(&copy, other, sizeof copy);
}

int64_t jobs_timing(const struct suite *s) {
    for (int64_t k = 0; k < s->count; k++)
        if (params_has(&s->cases[k], STUDY_TIMES))
            return k;
    return -1;
}

/* The backends that compute on the cores: of a library at a path one does not know. */
static bool runs_on_cores(const struct params *p) {
    static const char *const names[] = {"cpu64", "cpu32", "emu"};
    bool found = !params_has(p, STUDY_RUNS);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        found = found || !strcmp(p->backend, names[k]);
    return found;
}

static int by_bytes(const void *a, const void *b) {
    const struct job *one = a, *other = b;
    return (one->bytes < other->bytes) - (one->bytes > other->bytes);
}

/* Longest first, otherwise in the order of the suite. */
static int by_seconds(const void *a, const void *b) {
    const struct job *one = a, *other = b;
    int later = (one->seconds < other->seconds) - (one->seconds > other->seconds);
    return later ? later : (one->number > other->number) - (one->number < other->number);
}

static struct job *sorted(const struct job *jobs, int64_t count, int (*compare)(const void *, const void *)) {
    struct job *copy = malloc(((size_t)count + 1) * sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy, jobs, (size_t)count * sizeof *copy);
    qsort(copy, (size_t)count, sizeof *copy, compare);
    return copy;
}

/* How many fit whichever they are: of the largest. */
static int that_fit(const struct job *jobs, int64_t count, double bytes, int most) {
    struct job *largest = sorted(jobs, count, by_bytes);
    int fitting = 0;
    for (double sum = 0; largest && fitting < most; fitting++) {
        sum += largest[fitting].bytes;
        if (sum > MEMORY_SHARE * bytes)
            break;
    }
    free(largest);
    return fitting;
}

int jobs_at_once(const struct suite *s, const struct job *jobs, int64_t count, double bytes, int cores) {
    int most = count < cores ? (int)count : cores;
    double sum = 0, end;
    if (most > JOBS_MOST)
        most = JOBS_MOST;
    for (int64_t k = 0; k < count; k++) {
        if (params_has(&s->cases[jobs[k].number], STUDY_TIMES) || !runs_on_cores(&s->cases[jobs[k].number]))
            return 1;
        sum += jobs[k].seconds;
    }
    most = that_fit(jobs, count, bytes, most);
    struct job *longest = most > 1 ? sorted(jobs, count, by_seconds) : NULL;
    if (!longest)
        return 1;
    end = jobs_end(longest, count, most);
    free(longest);
    return end < sum / (JOBS_EFFICIENCY * cores) ? most : 1;
}

double jobs_end(const struct job *jobs, int64_t count, int at_once) {
    double end[JOBS_MOST] = {0}, last = 0;
    for (int64_t k = 0; k < count; k++) {
        int first = 0;
        for (int j = 1; j < at_once; j++)
            first = end[j] < end[first] ? j : first;
        end[first] += jobs[k].seconds;
        last = end[first] > last ? end[first] : last;
    }
    return last;
}

void jobs_order(struct job *jobs, int64_t count, int at_once) {
    const double worth = 0.98; /* less is within what estimates know */
    struct job *longest = at_once > 1 ? sorted(jobs, count, by_seconds) : NULL;
    if (longest && jobs_end(longest, count, at_once) < worth * jobs_end(jobs, count, at_once))
        memcpy(jobs, longest, (size_t)count * sizeof *jobs);
    free(longest);
}
