/* The timed operations that the figures of study `kernels` show. */
#ifndef FIGURE_DOTS_H
#define FIGURE_DOTS_H

#include "suites/report/figure.h"

enum { NAMES = 160 };

/* The shape of a timed operation. An extent that no argument has is open: a ResNet's n is 1, Sinkhorn has no C. */
struct shape {
    int64_t tokens, width, streams, t_max;
    bool any_width, any_streams;
};

/* A timed case; `backend`, `type` and `cache` as they stand in the record; `id` numbers the operations. */
struct dot {
    int64_t index;
    int id;
    char operation[64]; /* "mhc.pre", or "mhc.pre (identity)" of another map than Sinkhorn's */
    const char *backend, *type, *cache;
    struct shape shape;
};

struct dots {
    struct dot *dot;
    int64_t count;
    int operations;     /* that the record has */
    struct shape shape; /* that is shown */
    int elsewhere;      /* operations that were not timed at it */
    char elsewhere_names[NAMES];
    int64_t otherwise; /* cases of another backend, type or cache */
    int64_t failed;    /* cases */
};

/* Chooses one backend, type and cache, that of most cases, and one shape, that of most operations, and keeps the first
 * case of each operation there. The caller frees `dot`; no memory: count 0. */
struct dots figure_dots(const struct figure_source *);

/* The figure `name` of a case's timing, as the record stores it; NaN: none. */
double figure_dot_value(const struct figure_source *, const char *name, int64_t index);

#endif
