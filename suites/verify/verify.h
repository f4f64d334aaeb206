/* `mhcbench verify FILE.h5`: operations of a backend against the numbers of a vector file. */
#ifndef VERIFY_H
#define VERIFY_H

#include "suites/worker/worker.h"
#include "suites/rows/backend.h"
#include "suites/verify/vectors.h"

enum verdict { VERIFY_PASS, VERIFY_FAIL, VERIFY_SKIP, VERIFY_BAD, VERDICTS };

/* One dataset of one case. Plain bytes: it travels through a pipe. */
struct verify_line {
    char dataset[64];        /* "" when the line is about the whole case */
    char element[64];        /* the worst one, "[t][i][c]"; "" when nothing was compared */
    double error, tolerance; /* of that element; NaN error: one side is not finite and the other is something else */
    int32_t verdict;
    int32_t analysis; /* a gain: of the analysis, the same whatever the backend */
    double asked;     /* share of scale that the file or the row allows, where it is more than counts; else 0 */
    char text[200];   /* got and wanted, or the reason of a skip, a failure or a BAD (the file is at fault) */
};

enum { VERIFY_LINES = VECTOR_ARRAYS + VECTOR_EXTRAS };

/* Shares of scale. */
struct verify_limits {
    double own;  /* the backend's tolerance, which counts where it is larger than the file's; 0 in f64 */
    double most; /* that either may allow: the contract's tolerance; Inf: no bound */
};

/* Compares one dataset: |got - want| <= max(atol, rtol scale), scale = the largest finite |want|; of `gain` the
 * element's own (curves) or the token's largest (singular values). NaN and Inf pass only where the same one is wanted.
 * An atol counts up to the same share of the largest of all results. */
void verify_compare(const struct vector_case *, const struct vector_array *want, const double *got,
                    struct verify_limits, struct verify_line *);

/* Runs a case on a backend at a stream type (-1: its widest) and compares; returns the number of lines. Below f64 the
 * tolerance is the row's own where that is larger; with MHC_BF16 the inputs are rounded and what is wanted comes from
 * cpu64. `trusting`: what file and row allow has no bound. The case's `in` and `out` may change. */
int verify_case(const struct backend *, int type, bool trusting, struct vector_case *,
                struct verify_line lines[VERIFY_LINES]);

/* Fills `out` with what cpu64 makes of `in`. NULL, or why not. */
const char *vector_answer(struct vector_case *);

/* The sub-command, and its side in the worker under the handler name "verify". Exit codes: 0 something was checked and
 * nothing failed, 1 something failed, 2 not a vector file, data missing or misshapen, or nothing of the backend checked
 * though something was asked of it, 130 interrupted. */
int verify_command(int argc, char **argv);
/* `mhcbench vectors`: writes such files, of inputs that it draws. */
int vectors_command(int argc, char **argv);
void verify_answer(struct message *request, struct message *reply);

#endif
