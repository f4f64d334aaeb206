/* Is one operation of one backend right? Check, regress, the study of kernels and tests ask it here and nowhere else.
 *
 * An examination is a case of a row with all that it leans on: the rows before it, its inputs by name, what the
 * reference makes of them. Inputs that no row computes are drawn and rounded to the backend's types, so that both
 * sides get the same numbers; the others, and what is kept for a backward, come from the rows before it, which each
 * side runs itself. Where the backend has no such row, both sides get what the reference makes of it. A row is right
 * when
 *
 *   it writes its outputs, `save` and `work`, and nothing else              run_guarded()
 *   every element of its outputs is written                                 outcome_written()
 *   two runs leave the same bits, whatever was in memory before             outcome_same()
 *   no output is farther from the reference's than the row's tolerance      examine_compare()
 *
 * The measure of the last is array_error(): the largest difference as a share of the array's largest element.
 *
 * A model of a GPU (backend.h) computes nothing: of it nothing is drawn and nothing judged, and its error is NaN. */
#ifndef EXAMINE_H
#define EXAMINE_H

#include "suites/rows/bound_row.h"
#include "suites/rows/chain.h"
#include "suites/rows/guarded.h"

struct examination {
    const struct backend *backend;
    struct mhc_case c, exact; /* in the backend's types; in float64 */
    /* Rows to run, the last is in question. `row[k]` NULL: the backend gets what the reference makes. */
    const struct mhc_row *row[CHAIN_ROWS], *reference[CHAIN_ROWS];
    int rows;
    double x_scale;        /* of x and u where inputs may be extreme; 0: they are natural */
    double share;          /* of the contract's tolerance that counts, where inputs are mild; 0: all of it */
    bool trusting;         /* a row's own tolerance counts also where it is wider than the contract's */
    struct arrays given;   /* to all rows */
    double allowed;        /* a row's own tolerance, where the row itself is not at hand */
    int32_t judged;        /* its number elsewhere; 0: here */
    struct arrays want;    /* what the reference makes, beside it; elsewhere but for what the backend is given of it */
    struct outcome before; /* of the backend's rows before the last, after examine_before() */
};

static inline const struct mhc_row *examined_row(const struct examination *e) {
    return e->row[e->rows - 1];
}

/* The patterns of two runs that are to leave the same bits: NaN, and a number in every type, because a library may
 * take an output that holds a number for its own answer. */
extern const struct poison examine_poison[2];

/* All that follow return NULL, or why not. Close in either case. */

/* An input of a case; the caller rounds it. */
typedef void examine_draw(const void *user, const struct mhc_case *, const struct mhc_arg *, double *values);
/* Normal numbers, of a size that keeps every operation away from saturation; `user` is the seed, an uint64_t. */
examine_draw examine_natural;

/* Draws every input that no row before it makes. */
const char *examine_give(struct examination *, examine_draw *, const void *user);

/* Runs the reference: `want`. A layer that lies behind a crossing reads the x_next that the crossing `made`. */
const char *examine_reference(struct examination *, const struct arrays *made);
bool examine_behind_crossing(const struct examination *);

/* The same case of another backend: inputs and answer are those of one that is open, of the same types, and stays
 * open longer. */
const char *examine_join(struct examination *, const struct examination *first);
const char *examine_same_answer(struct examination *, const struct examination *first); /* that alone */

/* Runs the backend's rows before the last, or all of them, in guarded memory. */
const char *examine_before(struct examination *);
bool examine_run(const struct examination *, const struct poison *, struct outcome *, char why[MAX_FAILURE]);

void examine_close(struct examination *);

/* Bytes that two sets of the arrays need in the backend's memory, and the reference on the host. */
void examine_bytes(const struct examination *, double *backend, double *host);

/* --- findings --- */

/* One output against the reference's: its worst element, and the error as a share of the array's largest. */
struct finding {
    const struct mhc_arg *argument; /* NULL: this argument is no output */
    bool good;
    double error, tolerance; /* infinite: not finite */
    int64_t element;
    double got, want;
    char text[MAX_FAILURE]; /* of one that is not good */
};
/* `smallest`: the scale of its error at least. */
struct finding finding_of(const struct mhc_row *, const struct mhc_case *, const struct mhc_arg *, const double *got,
                          const double *want, double smallest, double tolerance);

/* What the types of an output need, the contract's own value: 1e-9 in f64, 1e-3 in f32, 2e-2 where streams are bf16;
 * coefficients are judged by their own type. A row may ask for less. */
double examine_contract(const struct mhc_row *, const struct mhc_case *, const struct mhc_arg *);
double examine_tolerance(const struct examination *, const struct mhc_arg *);
/* What is added to both where large logits come through alpha and a product. */
double product_rounding(const struct examination *, const struct mhc_arg *);
/* Why a row's own tolerance proves nothing; NULL: it may prove something. */
const char *examine_allows_itself(const struct examination *);
/* The scale of an output's error at least, where inputs may be extreme; in the output's unit. */
double examine_smallest(const struct examination *, const struct mhc_arg *);

/* An array that is 0 in exact arithmetic holds rounding of the row's other results: its error is measured against
 * this share of the largest of them. */
#define EXAMINE_SMALLEST 1e-3

/* Every output of the last row, by argument. What a crossing makes besides what it wrote first is judged from what it
 * wrote, as it rounded it itself: a last bit of that, harmless there, can move what follows by more than the row's
 * tolerance. */
const char *examine_compare(const struct examination *, const struct arrays *made, struct finding[MHC_MAX_ARGS]);

/* The worst of all outputs. NULL: all are good; else what is wrong. */
struct accuracy {
    double error, tolerance;
};
const char *examine_accuracy(const struct examination *, const struct arrays *made, struct accuracy *);
/* The same of the outputs in a set of a row that is bound to arrays. */
const char *examine_set(const struct examination *, const struct bound_row *, int64_t set, struct accuracy *);

/* Computes the reference and compares with it in the place of this process (judge.h); NULL: this process does. */
struct examiner {
    const char *(*reference)(struct examination *, const struct arrays *made);
    const char *(*join)(struct examination *, const struct examination *first);
    const char *(*compare)(const struct examination *, const struct arrays *made, struct finding[MHC_MAX_ARGS]);
    void (*close)(const struct examination *);
};
extern const struct examiner *examine_elsewhere;

/* Bits of an output after runs with both patterns: whether every element was written, else `why` says which was not;
 * whether they are the same; the first element that differs, -1: none. */
bool outcome_written(const struct examination *, int argument, const struct outcome run[2], char why[MAX_FAILURE]);
bool outcome_same(const struct examination *, int argument, const struct outcome *, const struct outcome *);

#endif
