/* Scores of a sequence of maps: one pass up (forward composites) and one down (backward composites), layer by layer.
 * Threads share the tokens of a layer, then its metrics, so that no result depends on how many threads there are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/maps.h"

enum { BLOCK_TILES = 16 }; /* tiles of tokens that are worth a thread */

/* What a metric is taken of, and how where a function of one map says it; gains.c and map_spectrum() store the rest. */
enum subject { NOT_OF_MAPS, SINGLE, FORWARD, BACKWARD };
static const struct {
    enum subject subject;
    struct scaled (*score)(const struct map *);
} plan[MHC_METRICS] = {
    [MHC_single_forward_sum] = {SINGLE, NULL},
    [MHC_single_forward_abs] = {SINGLE, NULL},
    [MHC_single_backward_sum] = {SINGLE, NULL},
    [MHC_single_backward_abs] = {SINGLE, NULL},
    [MHC_composite_forward_sum] = {FORWARD, NULL},
    [MHC_composite_forward_abs] = {FORWARD, NULL},
    [MHC_composite_backward_sum] = {BACKWARD, NULL},
    [MHC_composite_backward_abs] = {BACKWARD, NULL},
    [MHC_composite_spectral_norm] = {FORWARD, NULL},
    [MHC_composite_smallest_singular] = {FORWARD, NULL},
    [MHC_composite_condition] = {FORWARD, NULL},
    [MHC_composite_unresolved] = {FORWARD, NULL},
    [MHC_composite_log10_det] = {FORWARD, NULL},
    [MHC_single_lambda2] = {SINGLE, map_lambda2},
    [MHC_composite_lambda2] = {FORWARD, map_lambda2},
    [MHC_single_uniform_distance] = {SINGLE, map_uniform_distance},
    [MHC_composite_uniform_distance] = {FORWARD, map_uniform_distance},
    [MHC_single_dobrushin] = {SINGLE, map_dobrushin},
    [MHC_composite_dobrushin] = {FORWARD, map_dobrushin},
    [MHC_single_row_error] = {SINGLE, map_row_error},
    [MHC_single_column_error] = {SINGLE, map_column_error},
    [MHC_single_log_column_sum] = {SINGLE, map_log_column_sum},
    [MHC_composite_log_column_sum] = {BACKWARD, map_log_column_sum},
    [MHC_single_negative] = {SINGLE, NULL},
    [MHC_single_nonfinite] = {SINGLE, NULL},
};

bool map_of_lane(struct map *map, int64_t n, const lanes *m, const lanes_int *exponent, int k) {
    bool finite = true;
    map->n = n;
    map->exponent = (*exponent)[k];
    for (int64_t e = 0; e < n * n; e++) {
        map->m[e] = m[e][k];
        finite = finite && isfinite(m[e][k]);
    }
    return finite;
}

void *maps_allocate(int64_t count, size_t size) {
    size_t bytes = ((size_t)count * size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void maps_store(struct maps *w, enum mhc_metric metric, int64_t t, struct scaled score) {
    w->value[metric][t / LANES][t % LANES] = score.value;
    w->value_exponent[metric][t / LANES][t % LANES] = score.exponent;
}

static bool wanted(const struct mhc_curves *curves, int metric) {
    for (int statistic = 0; statistic < MHC_STATISTICS; statistic++)
        if (curves->curve[metric][statistic])
            return true;
    return false;
}

static bool wanted_of(const struct mhc_curves *curves, enum subject subject, int group) {
    for (int metric = 0; metric < MHC_METRICS; metric++)
        if (plan[metric].subject == subject && (mhc_metric_info[metric].group & group) && wanted(curves, metric))
            return true;
    return false;
}

/* Every score of one map that is a function of it alone. */
static void score_map(struct maps *w, const struct mhc_curves *curves, enum subject subject, int64_t t,
                      const struct map *map, bool finite) {
    for (int metric = 0; metric < MHC_METRICS; metric++)
        if (plan[metric].subject == subject && plan[metric].score && wanted(curves, metric))
            maps_store(w, metric, t, finite ? plan[metric].score(map) : (struct scaled){NAN, 0});
}

/* Shares of entries that a doubly stochastic map does not have, of the map as it was given. */
static void count_entries(struct maps *w, int64_t layer, int64_t t) {
    const int64_t cells = w->n * w->n;
    const double *map = w->res + (layer * w->T + t) * cells;
    int64_t negative = 0, nonfinite = 0;
    for (int64_t e = 0; e < cells; e++) {
        negative += map[e] < 0;
        nonfinite += !isfinite(map[e]);
    }
    maps_store(w, MHC_single_negative, t, (struct scaled){(double)negative / (double)cells, 0});
    maps_store(w, MHC_single_nonfinite, t, (struct scaled){(double)nonfinite / (double)cells, 0});
}

/* The scores that need a token's map as a whole, for the tokens of one tile. */
static void score_tokens(struct maps *w, const struct mhc_curves *curves, bool up, int64_t layer, int64_t tile,
                         const lanes *single, const lanes_int *single_exponent) {
    bool spectrum = wanted_of(curves, FORWARD, MHC_GROUP_SPECTRUM);
    for (int k = 0; k < LANES && tile * LANES + k < w->T; k++) {
        int64_t t = tile * LANES + k;
        struct map map, composite;
        bool finite = map_of_lane(&map, w->n, single, single_exponent, k);
        bool composite_finite = map_of_lane(&composite, w->n, w->composite + tile * w->n * w->n, &w->exponent[tile], k);
        if (up) {
            count_entries(w, layer, t);
            score_map(w, curves, SINGLE, t, &map, finite);
            score_map(w, curves, FORWARD, t, &composite, composite_finite);
            if (spectrum)
                maps_spectrum(w, t, finite ? &map : NULL, composite_finite ? &composite : NULL);
        } else {
            score_map(w, curves, BACKWARD, t, &composite, composite_finite);
        }
    }
}

/* smallest_singular and condition are summarised over resolved tokens alone: moves those to the front and counts them.
 * A token that is neither (NaN) stays. */
static int64_t keep_resolved(struct maps *w, enum mhc_metric metric) {
    const double *unresolved = (const double *)w->value[MHC_composite_unresolved];
    double *value = (double *)w->value[metric];
    int64_t *exponent = (int64_t *)w->value_exponent[metric];
    int64_t count = 0;
    for (int64_t t = 0; t < w->T; t++) {
        if (unresolved[t] == 1)
            continue;
        value[count] = value[t];
        exponent[count++] = exponent[t];
    }
    return count;
}

static int summarise(struct maps *w, struct mhc_curves *curves, enum mhc_metric metric, int64_t layer) {
    bool of_resolved = metric == MHC_composite_smallest_singular || metric == MHC_composite_condition;
    int64_t count = of_resolved ? keep_resolved(w, metric) : w->T;
    const double nothing = NAN;
    if (count == 0)
        return mhc_summarise(curves, metric, layer, &nothing, NULL, 1);
    return mhc_summarise(curves, metric, layer, (const double *)w->value[metric],
                         (const int64_t *)w->value_exponent[metric], count);
}

static int pass(struct maps *w, struct mhc_curves *curves, bool up) {
    bool tokens = up ? wanted_of(curves, SINGLE, MHC_GROUP_MIXING) ||
                           wanted_of(curves, FORWARD, MHC_GROUP_MIXING | MHC_GROUP_SPECTRUM)
                     : wanted_of(curves, BACKWARD, MHC_GROUP_MIXING);
    int failed = 0;
#pragma omp parallel if (w->tiles >= BLOCK_TILES) /* a handful of tokens is not worth waking a thread at every layer */
    for (int64_t step = 0; step < w->L; step++) {
        int64_t layer = up ? step : w->L - 1 - step;
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < w->tiles; tile++) {
            lanes single[MAP_SIZE];
            lanes_int single_exponent;
            (up ? gains_forward : gains_backward)(w, layer, tile, single, &single_exponent);
            if (tokens)
                score_tokens(w, curves, up, layer, tile, single, &single_exponent);
        }
#pragma omp for schedule(dynamic, 1)
        for (int metric = 0; metric < MHC_METRICS; metric++) {
            enum subject subject = plan[metric].subject;
            bool now = up ? subject == SINGLE || subject == FORWARD : subject == BACKWARD;
            if (now && wanted(curves, metric) && summarise(w, curves, metric, layer)) {
#pragma omp atomic write
                failed = -1;
            }
        }
    }
    return failed;
}

/* ---- means of gains alone: what thousands of points of a phase diagram ask for ----
 *
 * A block of tokens goes through all layers, up and down, while its maps are in the cache, and only sums leave it.
 * Blocks do not depend on the number of threads, and are added in their order. */
enum { GAINS = 8 };
static const enum mhc_metric gains[GAINS] = {
    MHC_single_forward_sum,    MHC_single_forward_abs,    MHC_single_backward_sum,    MHC_single_backward_abs,
    MHC_composite_forward_sum, MHC_composite_forward_abs, MHC_composite_backward_sum, MHC_composite_backward_abs};
enum { GAINS_UP = 6 }; /* the first six are known on the way up */

static bool only_mean_gains(const struct mhc_curves *curves) {
    for (int metric = 0; metric < MHC_METRICS; metric++) {
        bool gain = mhc_metric_info[metric].group == MHC_GROUP_GAIN, of_maps = plan[metric].subject != NOT_OF_MAPS;
        for (int statistic = 0; statistic < MHC_STATISTICS && of_maps; statistic++)
            if (curves->curve[metric][statistic] && (!gain || statistic != MHC_MEAN))
                return false;
    }
    return true;
}

/* Adds the scores of a tile's tokens, left in w->value by gains_forward() or gains_backward(). */
static void add_scores(const struct maps *w, int64_t tile, int from, int to, struct scaled *sums) {
    int64_t tokens = w->T - tile * LANES < LANES ? w->T - tile * LANES : LANES;
    for (int g = from; g < to; g++) {
        lanes value = w->value[gains[g]][tile];
        lanes_int exponent = w->value_exponent[gains[g]][tile];
        struct scaled sum = {0, exponent[0]};
        for (int k = 0; k < tokens; k++)
            sum = scaled_add(sum, (struct scaled){value[k], exponent[k]});
        sums[g] = scaled_add(sums[g], sum);
    }
}

static int mean_gains(struct maps *w, struct mhc_curves *curves) {
    int64_t blocks = (w->tiles + BLOCK_TILES - 1) / BLOCK_TILES;
    struct scaled *sums = maps_allocate(blocks * w->L * GAINS, sizeof *sums);
    if (!sums)
        return -1;
#pragma omp parallel for schedule(dynamic) if (blocks > 1)
    for (int64_t block = 0; block < blocks; block++) {
        int64_t first = block * BLOCK_TILES, end = first + BLOCK_TILES < w->tiles ? first + BLOCK_TILES : w->tiles;
        for (int64_t step = 0; step < 2 * w->L; step++) {
            bool up = step < w->L;
            int64_t layer = up ? step : 2 * w->L - 1 - step;
            for (int64_t tile = first; tile < end; tile++) {
                lanes single[MAP_SIZE];
                lanes_int exponent;
                (up ? gains_forward : gains_backward)(w, layer, tile, single, &exponent);
                add_scores(w, tile, up ? 0 : GAINS_UP, up ? GAINS_UP : GAINS, sums + (block * w->L + layer) * GAINS);
            }
        }
    }
    for (int64_t layer = 0; layer < w->L; layer++)
        for (int g = 0; g < GAINS; g++) {
            struct scaled sum = sums[layer * GAINS + g];
            for (int64_t block = 1; block < blocks; block++)
                sum = scaled_add(sum, sums[(block * w->L + layer) * GAINS + g]);
            sum.value /= (double)w->T;
            if (curves->curve[gains[g]][MHC_MEAN])
                curves->curve[gains[g]][MHC_MEAN][layer] = scaled_log10(sum);
        }
    free(sums);
    return 0;
}

double mhc_measure_bytes(int64_t L, int64_t T, int64_t n) {
    /* A token: value and exponent of every metric, a composite and its exponent, a copy for quantiles; panels and QR
     * need 8 matrices. */
    double token = 16.0 * (1 + MHC_METRICS) + 8.0 * (double)(9 * n * n + 2 * n);
    /* Reach keeps seven scores of every token and layer, three of them with an exponent, and what the streams of each
     * thread's token hold. */
    const double reach = 8.0 * (double)L * (10 * (double)T + 64 * (4 * (double)n + 5));
    return (double)T * token + 8.0 * (double)L * (MHC_METRICS * MHC_STATISTICS + (double)n) + reach;
}

int mhc_measure_maps(const double *res, int64_t L, int64_t T, int64_t n, struct mhc_curves *curves) {
    struct maps w = {.res = res, .L = L, .T = T, .n = n, .tiles = (T + LANES - 1) / LANES};
    w.composite = maps_allocate(w.tiles * n * n, sizeof *w.composite);
    w.exponent = maps_allocate(w.tiles, sizeof *w.exponent);
    lanes *values = maps_allocate(MHC_METRICS * w.tiles, sizeof *values);
    lanes_int *exponents = maps_allocate(MHC_METRICS * w.tiles, sizeof *exponents);
    int failed = w.composite && w.exponent && values && exponents ? 0 : -1;
    for (int metric = 0; metric < MHC_METRICS && !failed; metric++) {
        w.value[metric] = values + metric * w.tiles;
        w.value_exponent[metric] = exponents + metric * w.tiles;
    }
    const int of_maps = MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING;
    bool means = only_mean_gains(curves);
    if (!failed && means)
        failed = mean_gains(&w, curves);
    if (!failed && !means && (wanted_of(curves, SINGLE, of_maps) || wanted_of(curves, FORWARD, of_maps)))
        failed = pass(&w, curves, true);
    if (!failed && !means && wanted_of(curves, BACKWARD, of_maps))
        failed = pass(&w, curves, false);
    free(exponents);
    free(values);
    free(w.exponent);
    free(w.composite);
    return failed;
}
