/* A summary of a group of cases over its seeds, and how tables write it. */
#ifndef OVER_SEEDS_H
#define OVER_SEEDS_H

#include "results/table.h"
#include "suites/report/groups.h"

/* As it is stored: log10 of gains. NaN and Inf, what an overflow leaves, sort above everything. */
struct over_seeds {
    bool measured, logarithmic;
    double least, q10, median, q90, most;
    double low, high; /* 95 % interval of the median, from order statistics */
    int64_t seeds, unresolved;
};
struct over_seeds over_seeds_of(struct record_reader *, const struct group *, const char *summary);

/* Three digits, without an exponent where that is readable; beyond double as a power of ten. Returns `text`. */
const char *over_seeds_number(double stored, bool logarithmic, char *text, size_t size);

enum { OVER_SEEDS_TEXT = 120 };
/* "1.62 [1.31, 2.04]": median [q10, q90], or [least, most]; the median alone where there is one seed. */
struct value in_quantiles(struct over_seeds, char text[OVER_SEEDS_TEXT]);
struct value in_range(struct over_seeds, char text[OVER_SEEDS_TEXT]);

#endif
