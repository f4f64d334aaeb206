/* Amax gains (mHC, Sec. 3.1), LANES tokens at a time: largest |sum| and sum of |entries|, of rows and of columns. */
#include <string.h>

#include "analysis/maps.h"

/* The largest of values >= 0, as long as their total is a number: lanes_max() alone would lose a NaN. */
struct gain {
    lanes largest, total;
};

LANES_INLINE void gain_add(struct gain *gain, lanes value) {
    gain->largest = lanes_max(value, gain->largest);
    gain->total += value;
}

LANES_INLINE lanes gain_value(const struct gain *gain) {
    return lanes_select((lanes_int)(gain->total == gain->total), gain->largest, gain->total);
}

/* Both readings over n lines of n entries: rows with line = n, step = 1; columns with line = 1, step = n. */
LANES_INLINE void line_gains(int n, const lanes *m, int line, int step, lanes *gain_sum, lanes *gain_abs) {
    struct gain sums = {{0}, {0}}, magnitudes = {{0}, {0}};
    for (int i = 0; i < n; i++) {
        lanes sum = m[i * line], magnitude = lanes_abs(m[i * line]);
        for (int j = 1; j < n; j++) {
            sum += m[i * line + j * step];
            magnitude += lanes_abs(m[i * line + j * step]);
        }
        gain_add(&sums, lanes_abs(sum));
        gain_add(&magnitudes, magnitude);
    }
    *gain_sum = gain_value(&sums);
    *gain_abs = gain_value(&magnitudes);
}

LANES_INLINE void store(struct maps *w, enum mhc_metric metric, int64_t tile, lanes value, lanes_int exponent) {
    w->value[metric][tile] = value;
    w->value_exponent[metric][tile] = exponent;
}

/* Both return a norm of m: the gain in the abs reading. */
LANES_INLINE lanes single_gains(int n, struct maps *w, int64_t tile, const lanes *m, lanes_int exponent) {
    lanes row_sum, row_abs, column_sum, column_abs;
    line_gains(n, m, n, 1, &row_sum, &row_abs);
    line_gains(n, m, 1, n, &column_sum, &column_abs);
    store(w, MHC_single_forward_sum, tile, row_sum, exponent);
    store(w, MHC_single_forward_abs, tile, row_abs, exponent);
    store(w, MHC_single_backward_sum, tile, column_sum, exponent);
    store(w, MHC_single_backward_abs, tile, column_abs, exponent);
    return row_abs;
}

LANES_INLINE lanes composite_gains(int n, struct maps *w, int64_t tile, const lanes *m, lanes_int exponent, bool rows) {
    lanes sum, abs;
    line_gains(n, m, rows ? n : 1, rows ? 1 : n, &sum, &abs);
    store(w, rows ? MHC_composite_forward_sum : MHC_composite_backward_sum, tile, sum, exponent);
    store(w, rows ? MHC_composite_forward_abs : MHC_composite_backward_abs, tile, abs, exponent);
    return abs;
}

LANES_INLINE void load_layer(int n, const struct maps *w, int64_t layer, int64_t tile, lanes *m, lanes_int *exponent) {
    int64_t t = tile * LANES;
    tile_load(n, w->res + (layer * w->T + t) * n * n, w->T - t, m);
    *exponent = (lanes_int){0};
}

/* product = single composite (rows: forward) or composite single, or single when it comes first. */
LANES_INLINE void combine(int n, const lanes *single, const lanes *composite, bool first, bool rows, lanes *product) {
    if (first)
        memcpy(product, single, (size_t)(n * n) * sizeof *product);
    else
        tile_multiply(n, rows ? single : composite, rows ? composite : single, product);
}

/* The composite and its gains with one more layer. A product is formed of what is there, and scaled only where its norm
 * (its gain) comes near an end of the range of doubles; then it is formed again, of scaled factors. */
LANES_INLINE void extend(int n, struct maps *w, int64_t tile, lanes *single, lanes_int *single_exponent, bool first,
                         bool rows) {
    lanes *composite = w->composite + tile * n * n, product[MAP_SIZE];
    lanes_int before = first ? (lanes_int){0} : w->exponent[tile], exponent = before + *single_exponent;
    combine(n, single, composite, first, rows, product);
    if (!lanes_moderate(composite_gains(n, w, tile, product, exponent, rows))) {
        tile_normalise(n, single, single_exponent);
        combine(n, single, composite, first, rows, product);
        exponent = before + *single_exponent;
        tile_normalise(n, product, &exponent);
        composite_gains(n, w, tile, product, exponent, rows);
    }
    memcpy(composite, product, (size_t)(n * n) * sizeof *product);
    w->exponent[tile] = exponent;
}

LANES_INLINE void forward(int n, struct maps *w, int64_t layer, int64_t tile, lanes *single, lanes_int *exponent) {
    load_layer(n, w, layer, tile, single, exponent);
    if (!lanes_moderate(single_gains(n, w, tile, single, *exponent))) {
        tile_normalise(n, single, exponent);
        single_gains(n, w, tile, single, *exponent);
    }
    extend(n, w, tile, single, exponent, layer == 0, true);
}

LANES_INLINE void backward(int n, struct maps *w, int64_t layer, int64_t tile, lanes *single, lanes_int *exponent) {
    load_layer(n, w, layer, tile, single, exponent);
    extend(n, w, tile, single, exponent, layer == w->L - 1, false);
}

/* One body for every n; the usual ones unrolled. */
#define FOR_EACH_N(n, CALL)         \
    switch (n) {                    \
    case 1: CALL(1); break;         \
    case 2: CALL(2); break;         \
    case 4: CALL(4); break;         \
    case 8: CALL(8); break;         \
    default: CALL((int)(n)); break; \
    }

void gains_forward(struct maps *w, int64_t layer, int64_t tile, lanes *single, lanes_int *single_exponent) {
#define CALL(n) forward(n, w, layer, tile, single, single_exponent)
    FOR_EACH_N(w->n, CALL)
#undef CALL
}

void gains_backward(struct maps *w, int64_t layer, int64_t tile, lanes *single, lanes_int *single_exponent){
#define CALL(n) backward(n, w, layer, tile, single, single_exponent)
    FOR_EACH_N(w->n, CALL)
#undef CALL
}

LANES_INLINE void compose_layer(int n, const struct maps *w, int64_t layer, bool first, int64_t tile, lanes *m,
                                lanes_int *exponent) {
    lanes single[MAP_SIZE], product[MAP_SIZE];
    lanes_int single_exponent;
    load_layer(n, w, layer, tile, single, &single_exponent);
    tile_normalise(n, single, &single_exponent);
    combine(n, single, m, first, true, product);
    *exponent += single_exponent;
    tile_normalise(n, product, exponent);
    memcpy(m, product, (size_t)(n * n) * sizeof *product);
}

void compose(const double *res, int64_t T, int64_t n, int64_t first, int64_t last, int64_t tile, lanes *m,
             lanes_int *exponent) {
    const struct maps w = {.res = res, .T = T, .n = n};
    *exponent = (lanes_int){0};
    for (int e = 0; e < n * n; e++)
        m[e] = (lanes){0} + (double)(e % (n + 1) == 0);
    for (int64_t layer = first; layer <= last; layer++) {
#define CALL(n) compose_layer(n, &w, layer, layer == first, tile, m, exponent)
        FOR_EACH_N(n, CALL)
#undef CALL
    }
}
