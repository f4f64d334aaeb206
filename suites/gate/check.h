/* mhcbench check: any library of the ABI against cpu64, row by row, on random shapes. Parts:
 *   check.c         options, the loop over rows, the report
 *   check_case.c    random cases and inputs
 *   check_memory.c  tables of float64 arrays; a row run in guarded buffers
 *   check_trial.c   one case of one row: chain, oracle, comparison
 *   check_composed.c   what rows mean that are made of others
 *   check_large.c   arrays of more elements than 32 bits count */
#ifndef CHECK_H
#define CHECK_H

#include "suites/rows/guarded.h"

/* --- named float64 arrays --- */

struct table {
    struct table_entry {
        const char *name; /* belongs to a row */
        double *values;
        int64_t count;
        bool owned;
    } entry[64];
    int count;
};

double *table_get(const struct table *, const char *name); /* NULL: it has none */
/* A new array of a name; one that it had is forgotten. NULL: out of memory. */
double *table_put(struct table *, const char *name, int64_t count);
/* `name` becomes another name for an array that belongs to `from`. */
void table_alias(struct table *, const char *name, const struct table *from, const char *its_name);
void table_alias_all(struct table *, const struct table *from);
void table_clear(struct table *);

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
    char label[96];          /* its name, with #2, #3 for further rows of one name */
    char kind[64], base[64]; /* "mhc-micro" and the kind of cpu64 that says what it means, "mhc" */
    const char *operation;
    const struct mhc_row *oracle; /* of cpu64; NULL: a crossing, or there is none */
};

struct trial {
    struct mhc_case c;
    uint64_t seed;
    double logit_std, x_scale, grad_scale;
    bool steep_b;       /* large logits come from b, not alpha */
    int64_t zero_token; /* a token of x that is 0; -1: none */
    bool through_post_pre;
    char text[300];
};

/* A case that the row supports, at most about `size` elements of x; false: none was found, *why is the row's last reason. */
bool trial_draw(struct trial *, const struct subject *, uint64_t seed, int64_t trial, int64_t size, const char **why);
/* An input, rounded to its type. */
void trial_input(const struct trial *, const struct mhc_arg *, double *values);
void round_values(double *values, int64_t count, int32_t type);

/* --- runs in guarded memory --- */

/* What a run left: the outputs as bytes. */
struct outputs {
    unsigned char *bytes[MHC_MAX_ARGS];
};
void outputs_clear(struct outputs *);

/* Runs a row: inputs from `given`, its outputs as bytes and, in float64, in `given`. `save` is written when `writes_save`, else must stay as it
 * is. false: `why` says what is wrong: the run failed, a band or an input was written to. */
bool run_guarded(const struct backend *, const struct mhc_row *, const struct mhc_case *, struct table *given,
                 struct buffer *save, bool writes_save, const struct poison *, struct outputs *, char why[MAX_FAILURE]);

/* --- trials --- */

/* In memory that parent and child share: what was found outlives a crash. */
struct checker {
    struct backend backend;
    const char *name; /* of the library, as given */
    uint64_t seed;
    int64_t size;
    bool tight;
    double large, timeout, start;  /* elements, 0: random cases; seconds a case; when all began */
    int rows, next;                /* rows in all, 0: not yet known; the row after the one at hand */
    int lost;                      /* rows that nothing is known of */
    bool opened, closed;           /* the library, by the child at hand; after the last row */
    int64_t cases, checks, failed; /* of all rows */
    /* of the row at hand */
    char label[96];   /* "": between rows */
    char doing[3000]; /* the case at hand and the command that repeats it */
    const struct subject *subject;
    int64_t trial;
    int failures;
    double worst[3]; /* by type of the streams */
    char worst_text[500];
};

/* Counts a check; a failed one is printed with the command that repeats it. Returns `good`. */
bool check(struct checker *, bool good, const struct trial *, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

const struct mhc_row *oracle_row(const char *kind, const char *operation);
/* Runs a row of cpu64: inputs from the table, outputs into it. *save is made by a row that writes it, and the caller's to free. */
void oracle_run(const char *kind, const char *operation, const struct mhc_case *, struct table *, void **save);

/* Rows composed of those that cpu64 has: whether this is one, and what it should make, given what the library `made`. */
bool composed_known(const struct subject *);
bool composed_crossing(const struct subject *); /* post_pre or backward_y */
void composed_run(const struct trial *, const struct subject *, struct table *want, const struct table *made,
                  void **save);

void trial_run(struct checker *, const struct subject *, const struct trial *);

/* What a caller runs before the row, because the row reads what it keeps and makes; NULL: nothing. */
const struct mhc_row *trial_row_before(const struct checker *, const struct trial *);
/* Draws the inputs of a row that neither are there nor come from the row before (NULL: there is none). A row of NULL has none. */
void trial_draw_inputs(const struct trial *, const struct mhc_row *, const struct mhc_row *before, struct table *drawn);

/* The row on arrays of more than `elements` elements, against itself on few. false: it cannot be done, and why. */
bool large_run(struct checker *, const struct subject *, double elements, char why[MAX_FAILURE]);

#endif
