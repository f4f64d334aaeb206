/* `mhcbench compare`: two records, case by case. */
#ifndef COMPARE_H
#define COMPARE_H

#include "results/record.h"
#include "suites/gate/gate_report.h"

enum { COMPARE_BASE, COMPARE_NEW };

struct compare {
    struct gate_options options;
    struct gate_report report;
    struct record_reader *file[2];
    const char *path[2];
    char ungated[200]; /* why speed is shown and not gated; "": it is */
};

/* Judges a case that is done in both files, rows `index` of each: values first, then time. */
void compare_case(struct compare *, const int64_t index[2], struct gate_row *);

/* Time alone, of a case whose values agree. */
void compare_speed(struct compare *, const int64_t index[2], struct gate_row *);

/* What two runs on a CPU differ by anyhow, judged by the case that came out most to the other side: a SLOWER or FASTER that is not twice as large
 * is not settled. */
void compare_scatter(struct gate_report *, bool gated);

#endif
