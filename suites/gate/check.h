/* mhcbench check: any library of the ABI against cpu64, row by row, on random shapes. Parts:
 *   check.c         options, the parent, the verdict
 *   check_rows.c    the loop over rows, what is said of them
 *   check_cover.c   the fixed cases of a row
 *   check_case.c    random cases
 *   check_input.c   the inputs of a case
 *   check_trial.c   one case of one row
 *   check_large.c   arrays of more elements than 32 bits count */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

#include "suites/rows/examine.h"
#include "suites/worker/progress.h"

/* --- cases --- */

extern const char *const type_words[]; /* of enum mhc_type */

struct randoms {
    uint64_t seed;
    uint32_t what;
    uint64_t at;
};
double random_uniform(struct randoms *);
int64_t random_below(struct randoms *, int64_t count);

/* One row of the library under test. */
struct subject {
    const struct mhc_row *row;
    char label[96];               /* its name, with #2, #3 for further rows of one name */
    char kind[64], base[64];      /* "mhc-micro" and the kind of cpu64 that says what it means, "mhc" */
    const struct mhc_row *oracle; /* of cpu64; NULL: there is none */
};

struct trial {
    struct mhc_case c;
    uint64_t seed;
    double logit_std, x_scale, grad_scale;
    bool steep_b;                    /* large logits come from b, not alpha */
    int64_t zero_token, large_token; /* tokens of x that are 0, and a thousand times larger; -1: none */
    bool ties;                       /* some logits are equal, the largest too */
    double edge; /* half the rows of logits hold +edge and -edge alone, the others lie above it; 0: no such logits */
    int32_t indices, step; /* of enum check_indices and enum check_step */
    bool state;            /* two cases in turn; see state_examine() */
    bool fixed, mild;      /* fixed: no random case; mild: errors must stay far below the tolerance */
    bool shared;           /* inputs of streams that have as many elements are one array */
    bool through_post_pre;
    const struct examination *beside; /* the case whose arrays' ends its inputs repeat; NULL: none */
    char text[300];
};

/* How tokens and targets are chosen. */
enum check_indices {
    INDICES_DRAWN, /* as the contract draws them */
    INDICES_LAST,  /* all are the last of the vocabulary */
    INDICES_ENDS,  /* the first and the last in turn */
    INDICES_RUNS,  /* three of a kind side by side */
    CHECK_INDICES
};

/* A step of the optimizer, or a gradient whose norm is asked for. */
enum check_step {
    STEP_DRAWN,         /* as the contract draws it */
    STEP_FIRST,         /* the first, with an epsilon that cannot matter */
    STEP_MILLIONTH,     /* without decay; squares of the gradients overflow a float */
    STEP_CLIPPED,       /* to a hundredth */
    STEP_BELOW_CLIP,    /* the clip is above the norm */
    STEP_LARGE_EPSILON, /* as large as the moments */
    STEP_NO_GRADIENT,   /* the weights never had one */
    STEP_TINY,          /* squares of gradients and moments vanish in a float */
    CHECK_STEPS
};

/* Letters whose extents depend on n. */
#define CHECK_STREAMS "nNDKQEP"

/* A row's first trials, cover_count() of them, are its fixed cases. Random ones follow. */
int64_t cover_count(const struct mhc_row *);
void cover_case(struct trial *, const struct mhc_row *, int64_t index);
bool cover_state(struct trial *, int attempt); /* gives the case of state other shapes; false: there are no more */

/* In exact arithmetic the gradient of x / |x| is 0 for a vector of one element and small for a few. What is left is
 * rounding, which a tiny x enlarges. So shorter vectors than this are kept away from 0. */
enum { CHECK_SHORT = 16 };

/* Draws a case that the row supports. A random one has at most about `size` elements of x. false: the row does not
 * support this fixed case, or no case was found; *why is the row's last reason. */
bool trial_draw(struct trial *, const struct subject *, uint64_t seed, int64_t trial, int64_t size, const char **why);
examine_draw trial_input; /* an input; `user` is the trial */

/* --- rows --- */

struct check_options {
    const char *library, *operations;
    int64_t trials, trial, size; /* trial < 0: all cases */
    uint64_t seed;
    double minutes, large; /* large: elements; 0: no such cases */
    double timeout;        /* seconds per case, 0: no limit */
    bool tight, trusting;
};

/* It lies in memory that parent and child share, so that what was found outlives a crash. A library can write to it:
 * check.c says which numbers the verdict does not take from it. */
struct checker {
    struct backend backend;
    const char *name; /* of the library, as given */
    uint64_t seed;
    int64_t size;
    bool tight, trusting;         /* trusting: --trust-tolerance */
    bool silent;                  /* nothing is printed: `first` gets the first failure */
    double large, timeout, start; /* elements, 0: no large cases; seconds per case; when the check began */
    double began;                 /* when the present case began; 0: nothing runs that has a limit */
    int rows, next;               /* rows in all, 0: not yet known; the row after the present one */
    int missing;                  /* operations that the library lacks */
    int again;                    /* row to be checked once more, by itself, counted from 1; 0: none */
    bool fresh;                   /* the child ended on purpose: the next row gets a fresh one */
    struct progress progress;
    bool opened, closed;                        /* the library: by the present child; after the last row */
    int64_t cases, checks, failed, all_skipped; /* of all rows */
    /* of the present row */
    char label[96];   /* "": between rows */
    char doing[3000]; /* the present case and the command that repeats it */
    const struct subject *subject;
    int64_t trial;
    int failures, skipped; /* skipped: fixed cases that it does not support, and why */
    char skipped_why[120], first[720];
    double widest;                 /* tolerance that the row allows itself beyond the contract's; 0: none */
    double worst[3], tolerance[3]; /* by type of the streams: largest errors; the widest tolerances that counted */
    char worst_text[500];
};

/* The stream of the report. */
extern FILE *check_report;

/* Opens the library and checks its rows from k->next on. Returns an exit code. */
int check_rows(struct checker *, const struct check_options *);

/* Counts a check; a failed one is printed with the command that repeats it. Returns `good`. */
bool check(struct checker *, bool good, const struct trial *, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A row of a library and what it means. */
struct subject check_subject(const struct backend *, const struct mhc_row *);

/* Checks all fixed cases of a row. Returns how many of them the row supports. */
int64_t check_fixed(struct checker *, const struct subject *);
void trial_run(struct checker *, const struct subject *, const struct trial *);

/* Opens the examination of a trial: its row, the row before it whose outputs and save it reads, and their inputs.
 * NULL, or why not; examine_close() in either case. */
const char *trial_open(const struct checker *, const struct subject *, const struct trial *, struct examination *);

/* Compares the row on arrays of more than `elements` elements with itself on few. false: that cannot be done, and
 * why. */
bool large_run(struct checker *, const struct subject *, double elements, char why[MAX_FAILURE]);

#endif
