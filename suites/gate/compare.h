/* `mhcbench compare`: two records, case by case. */
#ifndef COMPARE_H
#define COMPARE_H

#include "results/record.h"
#include "suites/gate/gate_report.h"

enum { COMPARE_BASE, COMPARE_NEW };
enum { COMPARE_BACKEND = 200 };

/* Float64 on one machine, with one compiler and one set of flags, differs by the order of its sums alone: what is apart
 * by more than this share is counted, and by more than COMPARE_TOLERANCE, the default of --tolerance, wrong. */
#define COMPARE_NOTED 1e-9
#define COMPARE_TOLERANCE 1e-6

struct compare_key {
    const char *text;
    int64_t index;
};
struct compare_keys {
    char **text; /* of each case: its key, or what of it both files may have */
    struct compare_key *sorted;
    int64_t count;
};

struct compare {
    struct gate_options options;
    struct gate_report report;
    struct record_reader *file[2];
    const char *path[2];
    struct compare_keys keys[2];
    char backend[2][COMPARE_BACKEND]; /* of all cases of each file, where the cases meet without it; else "" */
    char ungated[200];                /* why memory is shown and not gated; "": it is */
    bool same_machine;                /* nor do flags or libraries differ */
    double tolerance;                 /* of values that such two files have in float64, a share */
    int64_t noted;                    /* such values beyond COMPARE_NOTED */
};

/* Reads the keys of both. Where each file has one backend, one of them a path, and they differ, as builds of one
 * library in two places do, cases are partners whose keys are equal but for it, and the note says so. false:
 * reported. */
bool compare_keys_read(struct compare *);
/* The case of that text; -1: none. */
int64_t compare_partner(const struct compare_keys *, const char *text);
void compare_keys_release(struct compare_keys *);

/* Judges a case that is done in both files, rows `index` of each: values first, then memory. */
void compare_case(struct compare *, const int64_t index[2], struct gate_row *);

#endif
