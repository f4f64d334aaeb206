/* What a connection costs, from what its operations declare: for the tables and the figure that put it beside what the
 * connection does. */
#ifndef COSTS_H
#define COSTS_H

#include "suites/case/params.h"

/* Of one site, forward and backward, per token: float32, fused, at COSTS_TOKENS tokens and COSTS_WIDTH channels. */
enum { COSTS_TOKENS = 4096, COSTS_WIDTH = 2560 };
struct costs {
    double bytes, flops;
    double parameters; /* of a site */
};
/* Of the connection of a case, with its n. NaN: it has an operation that is not known. */
struct costs costs_of(const struct params *);

#endif
