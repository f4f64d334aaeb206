/* Internal: one map and what is computed from it, for the files that measure sequences of maps. */
#ifndef MAPS_H
#define MAPS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/analysis.h"
#include "analysis/lanes.h"
#include "cpu_ref/operation.h"

enum { MAP_SIZE = MHC_MAX_STREAMS * MHC_MAX_STREAMS };

/* value * 2^exponent */
struct scaled {
    double value;
    int64_t exponent;
};

/* The sum of two that are not negative. Inline: means of gains add one number per token, layer and gain. */
static inline struct scaled scaled_add(struct scaled a, struct scaled b) {
    if (a.exponent == b.exponent)
        return (struct scaled){a.value + b.value, a.exponent};
    if (a.value == 0 || b.value == 0)
        return a.value == 0 ? b : a;
    struct scaled large = a.exponent > b.exponent ? a : b, small = a.exponent > b.exponent ? b : a;
    int64_t shift = large.exponent - small.exponent;
    large.value += ldexp(small.value, shift > 3000 ? -3000 : -(int)shift);
    return large;
}

/* A map or composite of one token, m * 2^exponent, all entries finite. */
struct map {
    double m[MAP_SIZE];
    int64_t exponent, n;
};

/* Takes lane k out of a tile; false (and the copy made) when an entry is not finite. */
bool map_of_lane(struct map *, int64_t n, const lanes *m, const lanes_int *exponent, int k);

/* Zeroed and 64-byte aligned; NULL when out of memory. Released by free(). */
void *maps_allocate(int64_t count, size_t size);

/* What mhc_measure_maps() works on: the composites after a layer, and every score of that layer, lane by lane. */
struct maps {
    const double *res; /* [L][T][n][n] */
    int64_t L, T, n, tiles;
    lanes *composite;          /* [tiles][n][n] */
    lanes_int *exponent;       /* [tiles] */
    lanes *value[MHC_METRICS]; /* score = value * 2^value_exponent, [tiles] */
    lanes_int *value_exponent[MHC_METRICS];
};

/* Loads H_l of a tile into `single`, puts it on the left (forward) or right (backward) of the composite unless it comes
 * first, and stores the gains: single and composite forward, or composite backward. */
void gains_forward(struct maps *, int64_t layer, int64_t tile, lanes *single, lanes_int *single_exponent);
void gains_backward(struct maps *, int64_t layer, int64_t tile, lanes *single, lanes_int *single_exponent);

/* H_last ... H_first of a tile; the identity when last < first. Layers count from 0. */
void compose(const double *res, int64_t T, int64_t n, int64_t first, int64_t last, int64_t tile, lanes *m,
             lanes_int *exponent);

/* Puts a token's score in its place. */
void maps_store(struct maps *, enum mhc_metric, int64_t t, struct scaled score);

/* spectrum.c: the SPECTRUM scores of a token; NULL for a map that is not finite. Called for every layer in turn. */
void maps_spectrum(struct maps *, int64_t t, const struct map *single, const struct map *composite);

/* mixing.c, definitions in metrics.h */
struct scaled map_lambda2(const struct map *);
struct scaled map_uniform_distance(const struct map *);
struct scaled map_dobrushin(const struct map *);
struct scaled map_row_error(const struct map *);
struct scaled map_column_error(const struct map *);
struct scaled map_log_column_sum(const struct map *);

/* streams.c. Effective rank of x [n][C]: exp(entropy of the normalised singular values), NaN where x is not finite;
 * scratch [n][C]. */
double streams_rank(const double *x, int64_t n, int64_t C, double *scratch);

/* summary.c. Mean of value[t] * 2^exponent[t]; exponent may be NULL. */
struct scaled scaled_mean(const double *value, const int64_t *exponent, int64_t T);
/* As a double: 0 or Inf where it is beyond their range. */
double scaled_linear(struct scaled);
/* log10; an exact zero gives log10 of the smallest normal double. */
double scaled_log10(struct scaled);
#define LOG10_2 0.30102999566398119521

#endif
