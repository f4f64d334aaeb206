/* `mhcbench compare`: two records, case by case. */
#ifndef COMPARE_H
#define COMPARE_H

#include "results/record.h"
#include "suites/gate/gate_report.h"

enum { COMPARE_BASE, COMPARE_NEW };
enum { COMPARE_BACKEND = 200 };

/* On one machine, with one compiler and one set of flags, float64 differs by the order of its sums alone. Values
 * that are apart by more than this share are counted. Beyond COMPARE_TOLERANCE, the default of --tolerance, they are
 * wrong. */
#define COMPARE_NOTED 1e-9
#define COMPARE_TOLERANCE 1e-6

struct compare_key {
    const char *text;
    int64_t index;
};
struct compare_keys {
    const char *const *whole;
    char **text; /* of each case: its key, or the part of it that both files may have */
    struct compare_key *sorted;
    int64_t count;
};

/* Trained stacks of both files that are compared by statements over seeds; see compare_trained.c. */
struct compare_pair {
    char *group; /* the key without its seed */
    int64_t index[2];
};
struct compare_trained {
    char why[160]; /* why they are; "": value by value */
    struct compare_pair *pair;
    int64_t count, room;
};

struct compare {
    struct gate_options options;
    struct gate_report report;
    struct record_reader *file[2];
    const char *path[2];
    struct compare_keys keys[2];
    char backend[2][COMPARE_BACKEND]; /* of all cases of each file, where the cases meet without it; else "" */
    bool model;                       /* one of those is a model of a GPU, which ran nothing */
    char ungated[200];                /* why memory is shown and not gated; "": it is */
    bool no_memory;                   /* for the values of a case, of which nothing can be said then */
    bool same_machine;                /* nor do flags or libraries differ */
    double tolerance;                 /* a share, of float64 values of two such files */
    struct compare_trained trained;
};

/* Reads the keys of both files. The backend does not count where each file has one, they differ, and one of them is
 * a path or a model, as in records of two builds of a library; the note then says so. Beside a model rounds, budget
 * and seed do not count either. false: reported. */
bool compare_keys_read(struct compare *);
/* The case of `other` that matches one of `own`: the one of the same key, or else one whose key differs in nothing
 * that counts and is no other case's. -1: none. */
int64_t compare_partner(const struct compare_keys *other, const struct compare_keys *own, int64_t index);
void compare_keys_release(struct compare_keys *);
/* Takes an option, " --name ", and its value out of a key, which may be NULL or without it. */
void compare_take_out(char *key, const char *name);

/* Whether a case is asked for; `glob` NULL: all are. */
bool compare_wanted(const char *glob, const char *key);

/* Where one of the files is of a model: prints the times of both side by side. Returns the exit code. */
int compare_models(struct compare *, const char *glob);

/* A row of that name, with the line that runs the case of `key` again and compares it. NULL: reported. */
struct gate_row *compare_row(struct compare *, const char *name, const char *key);

/* What was found so far in the values of a case, and one more of them. */
struct values;
void compare_note(struct values *, enum mhc_metric, const char *name, int64_t layer, double base, double now);

/* Judges a case that is done in both files, rows `index` of each: values first, then memory. */
void compare_case(struct compare *, const int64_t index[2], struct gate_row *);

/* Says what the case needs more memory for, beside what was said of it before, and names the scalar that grew most.
 * Workspace may follow the threads or the device, so it is gated on the same machine alone. */
void compare_memory(struct compare *, const int64_t index[2], struct gate_row *);

/* A last bit grows to all digits while a stack trains. Only one build on one type of CPU, with one number of threads
 * and one set of BLAS kernels, gives the same bits. Decides for all cases that trained and are done in both files,
 * and says in the note what was decided. */
void compare_trained_decide(struct compare *);
/* Whether such a case is compared by statements. */
bool compare_trained_leaves(const struct compare *, const int64_t index[2]);
/* Keeps it for that. false: reported. */
bool compare_trained_take(struct compare *, const int64_t index[2]);
/* Adds one row per setting: its losses, its gains and, where the rows of its maps sum to 1, its forward gain. false:
 * reported. */
bool compare_trained_judge(struct compare *);
void compare_trained_release(struct compare_trained *);
/* Compares what /training holds of the case, value by value. false: NEW was measured at other steps, and the row
 * says so. */
bool compare_trained_values(struct compare *, const int64_t index[2], struct gate_row *, struct values *);

#endif
