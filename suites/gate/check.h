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
    bool ties;                       /* among the logits, at their maximum too */
    double edge;                     /* half the rows of logits hold + and - this alone, the other rows lie above it;
                                        0: no such logits */
    int32_t indices, step;           /* enum check_indices, enum check_step */
    bool state;                      /* two cases in turn; see state_examine() */
    bool fixed, mild;                /* no random case; inputs from which errors far below the tolerance are asked */
    bool shared;                     /* inputs of streams that have as many elements are one array */
    bool through_post_pre;
    const struct examination *beside; /* that its inputs are to have the ends of; NULL: none */
    char text[300];
};

/* Tokens and targets: as the contract draws them; all the last of the vocabulary; the first and the last in turn; three
 * of a kind side by side. */
enum check_indices { INDICES_DRAWN, INDICES_LAST, INDICES_ENDS, INDICES_RUNS, CHECK_INDICES };

/* A step of the optimizer, and a gradient whose norm is asked: as the contract draws them; the first step with an
 * epsilon that cannot matter; the millionth without decay, of gradients whose squares overflow a float; clipped to a
 * hundredth; a clip above the norm; an epsilon as large as the moments; weights that never had a gradient; gradients
 * and moments whose squares vanish in a float. */
enum check_step {
    STEP_DRAWN,
    STEP_FIRST,
    STEP_MILLIONTH,
    STEP_CLIPPED,
    STEP_BELOW_CLIP,
    STEP_LARGE_EPSILON,
    STEP_NO_GRADIENT,
    STEP_TINY,
    CHECK_STEPS
};

/* Letters whose extents depend on n. */
#define CHECK_STREAMS "nNDKQEP"

/* Trial 0, 1, ... of a row are its fixed cases, so many, then come random ones. */
int64_t cover_count(const struct mhc_row *);
void cover_case(struct trial *, const struct mhc_row *, int64_t index);
bool cover_state(struct trial *, int attempt); /* other shapes for the case of state; false: there are no more */

/* The gradient of x / |x| is 0 for a vector of one element, and small for a few, so rounding would be compared, which
 * a tiny x makes large. */
enum { CHECK_SHORT = 16 };

/* A case that the row supports, a random one of at most about `size` elements of x; false: it is a fixed one that the
 * row does not support, or none was found: *why is the row's last reason. */
bool trial_draw(struct trial *, const struct subject *, uint64_t seed, int64_t trial, int64_t size, const char **why);
examine_draw trial_input; /* an input; `user` is the trial */

/* --- rows --- */

struct check_options {
    const char *library, *operations;
    int64_t trials, trial, size; /* trial < 0: all */
    uint64_t seed;
    double minutes, large; /* large: elements, 0: not these */
    double timeout;        /* seconds a case, 0: no limit */
    bool tight, trusting;
};

/* In memory that parent and child share: what was found outlives a crash. A library can write to it: check.c says what
 * the verdict does not take from it. */
struct checker {
    struct backend backend;
    const char *name; /* of the library, as given */
    uint64_t seed;
    int64_t size;
    bool tight, trusting;         /* trusting: --trust-tolerance */
    bool silent;                  /* nothing is printed: `first` gets the first failure */
    double large, timeout, start; /* elements, 0: random cases; seconds a case; when all began */
    double began;                 /* when what is at hand began; 0: nothing that has a limit */
    int rows, next;               /* rows in all, 0: not yet known; the row after the one at hand */
    int missing;                  /* operations that the library lacks */
    int again;                    /* row to be looked at once more, by itself, counted from 1; 0: none */
    bool fresh;                   /* the child ended so that the next row gets a fresh one */
    struct progress progress;
    bool opened, closed;                        /* the library, by the child at hand; after the last row */
    int64_t cases, checks, failed, all_skipped; /* of all rows */
    /* of the row at hand */
    char label[96];   /* "": between rows */
    char doing[3000]; /* the case at hand and the command that repeats it */
    const struct subject *subject;
    int64_t trial;
    int failures, skipped; /* skipped: fixed cases that it does not support, and why */
    char skipped_why[120], first[720];
    double widest;                 /* tolerance that the row allows itself beyond the contract's; 0: none */
    double worst[3], tolerance[3]; /* by type of the streams; the widest that counted */
    char worst_text[500];
};

/* Where everything that is said goes. */
extern FILE *check_report;

/* Opens the library and checks its rows from k->next on; an exit code. */
int check_rows(struct checker *, const struct check_options *);

/* Counts a check; a failed one is printed with the command that repeats it. Returns `good`. */
bool check(struct checker *, bool good, const struct trial *, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A row of a library and what it means. */
struct subject check_subject(const struct backend *, const struct mhc_row *);

/* All fixed cases of a row; how many it supports. */
int64_t check_fixed(struct checker *, const struct subject *);
void trial_run(struct checker *, const struct subject *, const struct trial *);

/* The row of a trial with the one before it, whose outputs and save it reads, and their inputs. NULL, or why not;
 * examine_close() in either case. */
const char *trial_open(const struct checker *, const struct subject *, const struct trial *, struct examination *);

/* The row on arrays of more than `elements` elements, against itself on few. false: it cannot be done, and why. */
bool large_run(struct checker *, const struct subject *, double elements, char why[MAX_FAILURE]);

#endif
