/* Study `overhead` on a device whose clocks are counters, and its record, for tests. */
#ifndef OVERHEAD_EXAMPLE_H
#define OVERHEAD_EXAMPLE_H

#include "tests/command.h"

#include <math.h>

#include "results/record.h"
#include "suites/study/overhead_record.h"

static inline void enter_with_device(void) {
    char rows[PATH_MAX];
    const char *build = getenv("BUILD");
    snprintf(rows, sizeof rows, "%s/libmhc_cpu.so", build ? build : "build");
    char *full = realpath(rows, NULL);
    cr_assert(full, "build %s first", rows);
    setenv("FAKE_ROWS", full, 1);
    free(full);
    enter();
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_queues.c -o fake.so");
}

static inline struct record_reader *open_record(const char *path) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "%s", record_error());
    return r;
}

static inline double timing(struct record_reader *r, const char *name, int64_t index) {
    const double *values = record_timing_value(r, name);
    cr_assert(values, "no /timing/%s", name);
    return values[index];
}

static inline void expect_value(struct record_reader *r, const char *name, int64_t index, double want) {
    double got = timing(r, name, index);
    cr_expect(isnan(want) ? isnan(got) : fabs(got - want) < 1e-9 * fmax(1, fabs(want)),
              "%s of case %lld is %.12g, wanted %.12g", name, (long long)index, got, want);
}

#endif
