/* How many cases run at once, and in which order they are handed out: by their estimates. */
#ifndef JOBS_H
#define JOBS_H

#include "suites/case/suite.h"

/* Each is a process with a pipe both ways, and most shells grant 1024 files. */
enum { JOBS_MOST = 480 };

/* A case to run: its place in the suite, about how long it takes on one thread, and the memory it needs. */
struct job {
    int64_t number;
    double seconds, bytes;
    const char *key; /* params_key() of the case, where it is to run */
};

/* Seconds on one thread that does `rate` floating-point operations per second. */
double jobs_seconds(const struct params *, double rate);
/* Do two cases differ by the seed alone? Then both take as long, and an estimate of a whole step is not made again. */
bool jobs_alike(const struct params *, const struct params *);
/* One that does for comparisons: what most cores reach in small cases. */
#define JOBS_RATE 2e9
/* What threads are worth at their best in a case that is large enough for them; in small ones they are worth nothing,
 * but those do not decide when the last one ends. */
#define JOBS_EFFICIENCY 0.8

/* The case of a suite that must have the machine to itself, because a timing beside another job is void; -1: none. */
int64_t jobs_timing(const struct suite *);

/* So many at once, with one thread each, that the end comes earlier than with one after the other on all cores; 1 where
 * it does not, where they do not fit in memory together, and where some case is a timing or runs on a device. `bytes`
 * are free for all. */
int jobs_at_once(const struct suite *, const struct job *, int64_t count, double bytes, int cores);

/* When the last one ends if each worker takes the next as soon as it is free. */
double jobs_end(const struct job *, int64_t count, int at_once);
/* Puts the longest first where that makes the end come earlier, and leaves the order otherwise. */
void jobs_order(struct job *, int64_t count, int at_once);

#endif
