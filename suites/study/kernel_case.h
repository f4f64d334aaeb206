/* One operation of one backend at one shape: its inputs and the reference's answer to them.
 *
 * Inputs that no row computes are drawn (Philox) and rounded to the backend's types, so that both sides get the same
 * numbers; the others, and what is kept for a backward, come from the rows of its kind before it, which each side runs
 * itself. Where the backend lacks such a row, both sides get what the reference makes of it. */
#ifndef KERNEL_CASE_H
#define KERNEL_CASE_H

#include "suites/case/params.h"
#include "suites/rows/bound_row.h"

enum { KERNEL_ARRAYS = 64, KERNEL_CHAIN = 16 };

struct kernel_case {
    const struct backend *backend;
    struct mhc_case c, exact; /* in the backend's types; in float64 */
    /* Rows to run, the last is the one in question; others may be NULL in `chain`. */
    const struct mhc_row *chain[KERNEL_CHAIN], *reference[KERNEL_CHAIN];
    int rows;
    struct array array[KERNEL_ARRAYS];  /* by name, in the backend's memory */
    struct array answer[KERNEL_ARRAYS]; /* the same in float64 on the host */
    int arrays;
    void *save, *exact_save; /* of the row of the chain that keeps something */
    int64_t save_bytes;
    bool joined; /* `answer` is another case's */
};

struct kernel_accuracy {
    double error, tolerance; /* of the worst element, both as a share of its array's largest; infinite: not finite */
};

/* The rows to run. NULL, or why the operation cannot be run here. */
const char *kernel_case_plan(struct kernel_case *, const struct backend *, const struct params *);
/* The same in another form: by the backend's rows of `kind`, "mhc-micro" for mhc, and before the last its plain ones too. */
const char *kernel_case_plan_as(struct kernel_case *, const struct backend *, const struct params *, const char *kind);
/* Bytes that the arrays and two sets of them need in the backend's memory, and the reference on the host. */
void kernel_case_bytes(const struct kernel_case *, double *backend, double *host);
/* Draws and runs the rows before the last, and the last by the reference. NULL, or why not; close in either case. */
const char *kernel_case_open(struct kernel_case *, uint64_t seed);
/* Opens the same case on another backend: inputs and answer are those of one that is open, of the same types, and stays
 * open longer. */
const char *kernel_case_join(struct kernel_case *, const struct kernel_case *first);
void kernel_case_close(struct kernel_case *);

/* Sets of arrays of `set_bytes` to rotate over: one where the cache is to be hot. */
int64_t kernel_case_sets(const struct params *, const struct backend *, int64_t set_bytes);

static inline const struct mhc_row *kernel_case_row(const struct kernel_case *k) {
    return k->chain[k->rows - 1];
}

/* Leaves to the backend only what it must run itself before the last row, because that reads what it keeps; all other
 * inputs come from the reference. So two backends get the same. After planning, before opening. */
void kernel_case_share_inputs(struct kernel_case *);

/* The array of that name, or NULL. */
void *kernel_case_find(const struct array *, int count, const char *name);

/* What a crossing between layers should make besides what it wrote first, given that (`outputs`, by place among the arguments of the last row):
 * `count` arrays (MHC_MAX_ARGS at most) by name, in float64, to be released; of other rows none. NULL, or why not. */
const char *kernel_case_cross(const struct kernel_case *, void *const *outputs, struct array *made, int *count);
void kernel_case_uncross(struct array *made, int count);

/* Compares outputs, by place among the arguments of the last row, with the answer. NULL: within the row's tolerance;
 * else what is wrong. */
const char *kernel_case_compare(const struct kernel_case *, void *const *outputs, struct kernel_accuracy *);
/* The same of the outputs in a set. */
const char *kernel_case_check(const struct kernel_case *, const struct bound_row *, int64_t set,
                              struct kernel_accuracy *);

#endif
