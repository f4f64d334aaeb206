/* How far a map is from mixing all streams alike, and from being doubly stochastic. */
#include <float.h>
#include <math.h>

#include "analysis/lapack.h"
#include "analysis/maps.h"

/* What rounding alone leaves of a difference between the entries of a map: a smaller result is noise, and raised to
 * that, so that it says "at most this". An exact zero is one: the entries are the same. */
static double above_rounding(const struct map *map, double value) {
    double largest = 0;
    for (int64_t e = 0; e < map->n * map->n; e++)
        largest = fmax(largest, fabs(map->m[e]));
    double least = (double)map->n * DBL_EPSILON * largest;
    return value > 0 && value < least ? least : value;
}

struct scaled map_lambda2(const struct map *map) {
    int n = (int)map->n, lwork = 4 * MHC_MAX_STREAMS, one = 1, info;
    double a[MAP_SIZE], real[MHC_MAX_STREAMS], imaginary[MHC_MAX_STREAMS], work[4 * MHC_MAX_STREAMS], unused;
    for (int e = 0; e < n * n; e++)
        a[e] = map->m[e];
    dgeev_("N", "N", &n, a, &n, real, imaginary, &unused, &one, &unused, &one, work, &lwork, &info, 1, 1);
    double largest = 0, second = 0;
    for (int i = 0; i < n; i++) {
        double magnitude = hypot(real[i], imaginary[i]);
        second = fmax(second, fmin(magnitude, largest));
        largest = fmax(largest, magnitude);
    }
    return (struct scaled){info == 0 ? above_rounding(map, second) : NAN, map->exponent};
}

/* For distances to numbers of size 1: the map and they are brought to one exponent, so that neither overflows. */
static int64_t common_exponent(const struct map *map) {
    return map->exponent > 0 ? map->exponent : 0;
}

static double power_of_two(int64_t exponent) {
    return ldexp(1, exponent < -2000 ? -2000 : (int)exponent);
}

struct scaled map_uniform_distance(const struct map *map) {
    int64_t n = map->n, exponent = common_exponent(map);
    double scale = power_of_two(map->exponent - exponent), uniform = power_of_two(-exponent) / (double)n;
    double difference[MAP_SIZE];
    for (int64_t e = 0; e < n * n; e++)
        difference[e] = map->m[e] * scale - uniform;
    return (struct scaled){mhc_norm(difference, n * n), exponent};
}

struct scaled map_dobrushin(const struct map *map) {
    int64_t n = map->n;
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = i + 1; k < n; k++) {
            double distance = 0;
            for (int64_t j = 0; j < n; j++)
                distance += fabs(map->m[i * n + j] - map->m[k * n + j]);
            largest = fmax(largest, distance);
        }
    }
    return (struct scaled){above_rounding(map, largest / 2), map->exponent};
}

/* max |sum - 1| over lines of entries; strides as in gains.c */
static struct scaled sum_error(const struct map *map, int64_t line, int64_t step) {
    int64_t n = map->n, exponent = common_exponent(map);
    double scale = power_of_two(map->exponent - exponent), one = power_of_two(-exponent), largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += map->m[i * line + j * step];
        largest = fmax(largest, fabs(sum * scale - one));
    }
    return (struct scaled){largest, exponent};
}

struct scaled map_row_error(const struct map *map) {
    return sum_error(map, map->n, 1);
}

struct scaled map_column_error(const struct map *map) {
    return sum_error(map, 1, map->n);
}

struct scaled map_log_column_sum(const struct map *map) {
    int64_t n = map->n;
    double largest = 0;
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += map->m[i * n + j];
        largest = fmax(largest, fabs(scaled_log10((struct scaled){fabs(sum), map->exponent}) * M_LN10));
    }
    return (struct scaled){largest, 0};
}
