/* A row of a library that counts (cpu_ref/counters.h), run once at the shapes of a case: what its kernels ask for,
 * beside what the contract says must move. Counts are exact: two runs, on any machine, give the same. */
#ifndef COUNTED_H
#define COUNTED_H

#include "cpu_ref/counters.h"
#include "suites/case/params.h"
#include "suites/rows/backend.h"

enum { COUNTED_KERNELS = 24 };
struct counted {
    char row[80];    /* "mhc.pre", "mhc.pre#2" */
    double contract; /* bytes that must move once, by the row's traffic */
    int64_t touched; /* bytes of its arguments that its kernels read or write, each once */
    int64_t moved;   /* bytes that its kernels move at least, each kernel for itself, in whole sectors */
    int kernels;
    struct mhc_counted_kernel kernel[COUNTED_KERNELS];
};

/* NULL, and why: the library was not built to count. */
const struct mhc_counters *counted_counters(const struct backend *, const char **why);

/* The which-th row, from 0, of the library for the operation and form ("": the kind itself) of a case that supports
 * it. NULL, or why not; where there is no such row `*none` is set. */
const char *counted_run(const struct backend *, const struct params *, const char *form, int which, struct counted *,
                        bool *none);

/* A count of all kernels. */
int64_t counted_total(const struct counted *, enum mhc_count);

extern const char *const counted_what[MHC_COUNT_KINDS];

#endif
