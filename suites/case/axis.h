/* One option of a line of a suite and the values it takes: lists a,b,c of values, ranges low:high:step and
 * low:high:xFACTOR, patterns of operations. */
#ifndef AXIS_H
#define AXIS_H

#include "suites/case/params.h"

struct axis {
    const struct param *param;
    const char *text; /* as it was given */
    char **values;
    int64_t count;
    int zip; /* axes of one group step together; 0: alone */
};

/* Reads the values of a new axis. false: one line in `why`; release in either case. */
bool axis_read(struct axis *, const struct param *, const char *text, char *why, size_t why_size);
void axis_release(struct axis *);

/* --zip a,b: the named ones of `count` axes step together, as group number `group`. false: one line in `why`. */
bool axis_zip(struct axis *axes, int count, int group, const char *text, char *why, size_t why_size);
/* Whether an axis steps with one before it. */
bool axis_follows(const struct axis *axes, int at);
/* Cases of the product of all. */
double axis_combinations(const struct axis *axes, int count);

/* Whether an axis names an operation itself: a pattern asks for less. */
bool axis_names(const struct axis *, const char *operation);

#endif
