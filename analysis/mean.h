/* A mean and its standard error, number by number. */
#ifndef MEAN_H
#define MEAN_H

#include <math.h>
#include <stdint.h>

struct mhc_mean {
    double mean, squares; /* squares: sum of squared distances to the mean */
    int64_t count;
};

/* Welford's update: equal numbers have no error at all. What is not finite is left out. */
static inline void mhc_mean_add(struct mhc_mean *m, double x) {
    if (!isfinite(x))
        return;
    double off = x - m->mean;
    m->mean += off / (double)++m->count;
    m->squares += off * (x - m->mean);
}

/* NaN of no numbers. */
static inline double mhc_mean_of(const struct mhc_mean *m) {
    return m->count ? m->mean : NAN;
}

/* The standard error of the mean; NaN with fewer than two numbers. */
static inline double mhc_mean_error(const struct mhc_mean *m) {
    double count = (double)m->count;
    return m->count > 1 ? sqrt(m->squares / (count - 1) / count) : NAN;
}

#endif
