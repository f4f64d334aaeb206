/* Arrays of float64 on the host, found by name: what a row is given and what it makes. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include <stdbool.h>
#include <stdint.h>

struct arrays {
    struct arrays_entry {
        const char *name; /* belongs to a row */
        double *values;   /* 64-byte aligned */
        int64_t count;
        bool owned;
    } entry[64];
    int count;
};

double *arrays_get(const struct arrays *, const char *name);   /* NULL: there is none */
int64_t arrays_count(const struct arrays *, const char *name); /* its elements; -1: there is none */
/* A new array under a name; the one that had the name is forgotten. NULL: out of memory. */
double *arrays_put(struct arrays *, const char *name, int64_t count);
/* A name for an array that belongs to the caller. */
void arrays_lend(struct arrays *, const char *name, double *values, int64_t count);
/* `name` becomes another name for an array that belongs to `from`, if it is there. */
void arrays_alias(struct arrays *, const char *name, const struct arrays *from, const char *its_name);
void arrays_alias_all(struct arrays *, const struct arrays *from);
void arrays_clear(struct arrays *);

#endif
