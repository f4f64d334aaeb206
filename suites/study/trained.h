/* What a case that trains leaves beside its last curves, and its place in a record. */
#ifndef TRAINED_H
#define TRAINED_H

#include "analysis/analysis.h"
#include "results/record.h"
#include "suites/case/suite.h"
#include "suites/worker/worker.h"

/* The arrays of `is` lie in `memory`, with room for all points of the case; the metrics are those of analysis/. */
struct trained_result {
    struct record_training is;
    int64_t room, L;
    size_t bytes;
    void *memory;
};

/* The steps behind which a case is measured: how many, and whether one is among them. 0 and the last always are. */
int64_t trained_points(const struct params *);
bool trained_is_point(const struct params *, int64_t step);

/* No points yet, and NaN everywhere; NULL: out of memory. */
struct trained_result *trained_new(const struct params *);
double trained_bytes(const struct params *); /* that it takes */
void trained_release(struct trained_result *);
/* The curve of a metric at a point, or of the projection with another t_max. */
double *trained_curve(const struct trained_result *, int64_t point, int metric);
double *trained_projected_curve(const struct trained_result *, int64_t projection, int metric);

void trained_put(struct message *, const struct trained_result *);
struct trained_result *trained_take(struct message *, const struct params *); /* NULL: out of memory */

/* Room for the cases of a suite in the schema of its record. */
void trained_schema(const struct suite *, struct record_schema *);

#endif
