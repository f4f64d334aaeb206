/* A planted library. Every row does the work of a row of a good library, INNER. One of them does it wrong in the way
 * that the environment names, PLANT. One source per family defines plant_call(); plant.c is the library around it. */
#ifndef PLANT_H
#define PLANT_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/operation.h"

/* One call of a row, of all types. */
struct call {
    const struct mhc_row *row; /* of INNER */
    const struct mhc_case *c;
    void *const *arg;
    void *save, *work;
    long number; /* of this row's calls, from 1 */
    int index;   /* of the row in the library */
};

/* Does the work of a call, right or wrong. */
int plant_call(struct call *);
/* Changes the copies of rows before the library is seen; `count` may become smaller. */
void plant_rows(struct mhc_row *rows, int *count);

/* INNER's own work. */
int plant_inner(const struct call *);
/* The same on another case, or on other arrays. */
int plant_inner_case(const struct call *, const struct mhc_case *);
/* A row of INNER by its name, of the types of a case. */
const struct mhc_row *plant_row(const char *name, const struct mhc_case *);

bool plant_is(const char *name);                           /* PLANT */
bool plant_on(const struct call *, const char *operation); /* "mhc.post" */

/* An output or input by name; NULL: the row has none. */
void *plant_array(const struct call *, const char *name, int64_t *count);
/* Elements of an array of streams. */
double plant_get(const struct call *, const void *array, int64_t at);
void plant_put(const struct call *, void *array, int64_t at, double value);
/* The first output. */
void *plant_output(const struct call *, int64_t *count, int64_t *bytes);

#endif
