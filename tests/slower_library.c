/* A library that is PERCENT slower than another one, INNER: every operation does the other's work, then spins for
 * that share of the time it took. For tests of the gate, which has to find it. Where LOG names a file, every load
 * adds the path it was loaded by. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cpu_ref/operation.h"

#ifndef PERCENT
#define PERCENT 10
#endif

enum { MOST_ROWS = 128 };

struct mhc_library mhc_library; /* filled before the program reads it */
static struct mhc_row row[MOST_ROWS];
static const struct mhc_row *rows[MOST_ROWS + 1];
static int (*inner_run[MOST_ROWS])(void *, void *, const struct mhc_case *, void *const *, void *, void *);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int slowed(int which, void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                  void *work) {
    double start = now();
    int failed = inner_run[which](context, queue, c, arg, save, work);
    double end = start + (now() - start) * (1 + PERCENT / 100.0);
    while (now() < end)
        ;
    return failed;
}

/* clang-format off */
/* A row's run() is not told which row it is of: one function per row. */
#define RUN(k)                                                                                          \
    static int run_##k(void *a, void *b, const struct mhc_case *c, void *const d[], void *e, void *f) { \
        return slowed(0x##k, a, b, c, d, e, f);                                                         \
    }
#define RUNS(h)                                                                                   \
    RUN(h##0) RUN(h##1) RUN(h##2) RUN(h##3) RUN(h##4) RUN(h##5) RUN(h##6) RUN(h##7)               \
    RUN(h##8) RUN(h##9) RUN(h##a) RUN(h##b) RUN(h##c) RUN(h##d) RUN(h##e) RUN(h##f)
#define NAMES(h)                                                                                    \
    run_##h##0, run_##h##1, run_##h##2, run_##h##3, run_##h##4, run_##h##5, run_##h##6, run_##h##7, \
    run_##h##8, run_##h##9, run_##h##a, run_##h##b, run_##h##c, run_##h##d, run_##h##e, run_##h##f
RUNS(0) RUNS(1) RUNS(2) RUNS(3) RUNS(4) RUNS(5) RUNS(6) RUNS(7)
static int (*const run_of[MOST_ROWS])(void *, void *, const struct mhc_case *, void *const *, void *, void *) = {
    NAMES(0), NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6), NAMES(7)};
/* clang-format on */

__attribute__((constructor)) static void wrap(void) {
    void *handle = dlopen(INNER, RTLD_NOW | RTLD_LOCAL);
    const struct mhc_library *inner = handle ? dlsym(handle, "mhc_library") : NULL;
    if (!inner) {
        fprintf(stderr, "slower_library: %s\n", dlerror());
        abort();
    }
#ifdef LOG
    Dl_info own;
    FILE *log = dladdr(&mhc_library, &own) ? fopen(LOG, "a") : NULL;
    if (log) {
        fprintf(log, "%s\n", own.dli_fname);
        fclose(log);
    }
#endif
    for (int k = 0; k < MOST_ROWS && inner->rows[k]; k++) {
        row[k] = *inner->rows[k];
        inner_run[k] = row[k].run;
        row[k].run = run_of[k];
        rows[k] = &row[k];
    }
    mhc_library = *inner;
    mhc_library.rows = rows;
}
