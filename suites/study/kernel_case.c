#include "suites/study/kernel_case.h"

#include <math.h>
#include <stdio.h>
#include <omp.h>
#include <string.h>
#include <time.h>

#include "cpu_ref/library.h"
#include "suites/stack/ensemble.h"
#include "suites/rows/yardstick.h"

const char *kernel_case_plan(struct examination *e, const struct backend *b, const struct params *p, const char *form) {
    static _Thread_local char message[200];
    static const struct backend cpu64 = {.library = &mhc_cpu64};
    const struct mhc_row *last = mhc_row_find(&mhc_cpu64, p->operation);
    *e = (struct examination){.backend = b, .c = ensemble_case(p), .exact = ensemble_case(p)};
    if (!last)
        return "no such operation";
    backend_types(&cpu64, MHC_F64, &e->exact);
    backend_types(b, (int)p->type - 1, &e->c);
    e->rows = chain_of(last, true, e->reference);
    for (int k = 0; k < e->rows; k++) {
        const struct mhc_row *reference = e->reference[k];
        const char *why;
        bool in_question = k + 1 == e->rows, supported = reference->supports(&e->exact, &why);
        if (supported && in_question && form)
            e->row[k] = backend_row(b, form, row_operation(reference), &e->c, &why);
        else if (supported)
            e->row[k] = chain_row(b, form, reference, &e->c, &why);
        bool needed = in_question || (row_reads_save(last) && reference->save_bytes);
        if (!supported || (!e->row[k] && needed))
            return snprintf(message, sizeof message, "%s: %s", reference->name, why), message;
    }
    return NULL;
}

void kernel_case_share_inputs(struct examination *e) {
    for (int k = 0; k + 1 < e->rows; k++)
        if (!(row_reads_save(examined_row(e)) && (e->reference[k]->save_bytes || row_save_bytes(e->row[k], &e->c))))
            e->row[k] = NULL;
}

const char *kernel_case_open(struct examination *e, uint64_t seed) {
    const char *why = examine_give(e, examine_natural, &seed);
    why = why ? why : examine_reference(e, NULL);
    return why ? why : examine_before(e);
}

const char *kernel_case_bind(struct bound_row *b, const struct params *p, const struct examination *e,
                             const struct save *save) {
    const struct mhc_row *row = examined_row(e);
    int64_t bytes = bound_row_bytes(row, &e->c, bound_row_save(row, &e->c, save));
    return bound_row_open(b, e->backend, row, &e->c, kernel_case_sets(p, e->backend, bytes), &e->before.made, save);
}

int64_t kernel_case_sets(const struct params *p, const struct backend *b, int64_t set_bytes) {
    return p->cache == CACHE_HOT ? 1 : timing_sets(set_bytes, timing_cache_bytes(b), backend_available(b) / 4);
}

/* What threads wait for each other costs a small copy much more than its bytes: on the host no copy is faster than
 * memcpy, shared out over all threads without a loss. */
static double fastest_memcpy(const struct bound_row *copy) {
    enum { SAMPLES = 12 };
    size_t bytes = (size_t)(yardstick_copy_bytes(&copy->c) / 2);
    double fastest = INFINITY;
    for (int sample = 0; sample < SAMPLES; sample++) {
        int64_t calls = 1 + (int64_t)(1e6 / (double)(bytes + 1));
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int64_t k = 0; k < calls; k++) {
            memcpy(bound_row_argument(copy, 0, 1), bound_row_argument(copy, 0, 0), bytes);
            __asm__ volatile("" ::: "memory"); /* each of them */
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        fastest = fmin(fastest, seconds / (double)calls);
    }
    return fastest / omp_get_max_threads();
}

/* The fastest of a few samples of calls on one set. */
static const char *fastest_call(struct bound_row *b, bool hot, const struct timing_clock *clock, double *fastest) {
    enum { SAMPLES = 12, MOST_CALLS = 1 << 20 };
    const char *why = NULL;
    int64_t calls = 1;
    double seconds = 0;
    *fastest = INFINITY;
    for (int sample = 0; sample < SAMPLES && !why;) {
        why = clock->start(clock->user);
        for (int64_t k = 0; k < calls && !why; k++)
            why = bound_row_run(b, hot ? 0 : k % b->sets);
        why = why ? why : clock->stop(clock->user, &seconds);
        *fastest = fmin(*fastest, seconds / (double)calls);
        if (seconds < 1e-4 && calls < MOST_CALLS)
            calls *= 2;
        else
            sample++;
    }
    return why;
}

/* Bytes of the arguments that are written. */
static double written(const struct examination *e) {
    double bytes = 0;
    for (const struct mhc_arg *arg = examined_row(e)->args; arg->name; arg++)
        bytes += arg->direction == MHC_OUT ? (double)mhc_arg_bytes(&e->c, arg) : 0;
    return bytes;
}

const char *kernel_case_too_fast(const struct examination *e, double seconds, struct bound_row *copy,
                                 const struct timing_clock *clock, double *share) {
    double bytes = e->reference[e->rows - 1]->traffic(&e->c), copied = yardstick_copy_bytes(&copy->c), call;
    double out = fmin(written(e), bytes),
           cost = fmin(1, (bytes + out) / (1.5 * bytes)); /* a copy's write counts twice */
    bool hot = bytes < 4 * (double)timing_cache_bytes(e->backend);
    const char *why = fastest_call(copy, hot, clock, &call);
    if (!why && !copy->backend->library->memory)
        call = fmin(call, fastest_memcpy(copy));
    *share = bytes / seconds * cost / (KERNEL_TOO_FAST * copied / call);
    return why;
}
