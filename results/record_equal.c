/* Whether two records have the same values of a case. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/record.h"

/* Both NaN, or the same. */
static bool same(const double *a, const double *b, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        if (a[k] != b[k] && !(isnan(a[k]) && isnan(b[k])))
            return false;
    return true;
}

struct pair {
    struct record_reader *a, *b;
    int64_t i, j, layers;
    char *what;
    size_t size;
};

static bool differ(const struct pair *p, const char *group, const char *name) {
    snprintf(p->what, p->size, "%s%s%s", group, *name ? "/" : "", name);
    return false;
}

/* A reader keeps one stretch of a curve, and both cases may be of one reader: the first is copied. */
static bool same_curve(const struct pair *p, const char *curve, double *kept) {
    const double *x = record_curve_of(p->a, curve, p->i), *y = NULL;
    if (x) {
        memcpy(kept, x, (size_t)p->layers * sizeof *kept);
        y = record_curve_of(p->b, curve, p->j);
    }
    return y && record_curve_computed(p->a, curve, p->i) == record_curve_computed(p->b, curve, p->j) &&
           same(kept, y, p->layers);
}

static bool same_curves(const struct pair *p) {
    struct record_curve c = {"", "", ""};
    double *kept = malloc(((size_t)p->layers + 1) * sizeof *kept);
    bool good = kept != NULL;
    for (int k = 0; good && k < record_curve_count(p->a); k++)
        good = record_curve(p->a, k, &c) && same_curve(p, c.name, kept);
    free(kept);
    return good || differ(p, "curves", c.name);
}

static bool same_scalars(const struct pair *p, enum record_list list, const char *group) {
    struct record_column c = {.name = ""};
    for (int k = 0; k < record_list_count(p->a, list); k++) {
        const double *x, *y;
        if (!record_list_item(p->a, list, k, &c) || !(x = record_list_values(p->a, list, c.name)) ||
            !(y = record_list_values(p->b, list, c.name)) || !same(x + p->i, y + p->j, 1))
            return differ(p, group, c.name);
    }
    return true;
}

static bool same_arrays(const struct pair *p) {
    const int64_t n = record_panel_streams(p->a, p->i), q = record_spectrum_streams(p->a, p->i);
    if (n != record_panel_streams(p->b, p->j))
        return differ(p, "panels", "");
    if (q != record_spectrum_streams(p->b, p->j))
        return differ(p, "spectra", "");
    const int64_t panel = 6 * n * n, spectrum = p->layers * q, room = panel > spectrum ? panel : spectrum;
    double *x = malloc((size_t)(2 * room + 1) * sizeof *x), *y = x + room, scale[12] = {0};
    bool good = x || differ(p, "out of memory", "");
    if (good && n > 0)
        good = (record_panels(p->a, p->i, n, x, scale) && record_panels(p->b, p->j, n, y, scale + 6) &&
                same(x, y, panel) && same(scale, scale + 6, 6)) ||
               differ(p, "panels", "");
    if (good && q > 0)
        good = (record_spectrum(p->a, p->i, q, x) && record_spectrum(p->b, p->j, q, y) && same(x, y, spectrum)) ||
               differ(p, "spectra", "");
    free(x);
    return good;
}

static bool same_training(const struct pair *p) {
    const int64_t points = record_points(p->a, p->i), metrics = record_metric_count(p->a);
    struct record_training x, y;
    if (points != record_points(p->b, p->j) || metrics != record_metric_count(p->b))
        return differ(p, "training", "points");
    if (!points)
        return true;
    if (!record_training(p->a, p->i, &x) || !record_training(p->b, p->j, &y))
        return differ(p, "training", "");
    const double *const arrays[][2] = {
        {x.loss, y.loss},
        {x.held_out_loss, y.held_out_loss},
        {x.gradient_norm, y.gradient_norm},
        {x.gradient_norm_max, y.gradient_norm_max},
        {x.rate, y.rate},
        {x.alpha, y.alpha},
        {x.alpha_max, y.alpha_max},
        {x.logit_range, y.logit_range},
        {x.mean_diagonal, y.mean_diagonal},
        {x.smallest_column_sum, y.smallest_column_sum},
        {x.row_sum_spread, y.row_sum_spread},
    };
    bool good = x.steps == y.steps && x.diverged == y.diverged;
    for (size_t k = 0; good && k < sizeof arrays / sizeof *arrays; k++)
        good = same(arrays[k][0], arrays[k][1], points);
    good = good && same(x.curves, y.curves, points * metrics * p->layers) &&
           same(x.t_max_held_out_loss, y.t_max_held_out_loss, RECORD_PROJECTIONS) &&
           same(x.t_max_curves, y.t_max_curves, RECORD_PROJECTIONS * metrics * p->layers) &&
           same(x.held_out_loss_without_quarter, y.held_out_loss_without_quarter, 4);
    return good || differ(p, "training", "");
}

bool record_same_values(struct record_reader *a, int64_t i, struct record_reader *b, int64_t j, char *what,
                        size_t size) {
    const int64_t *x = record_ints(a, "layers"), *y = record_ints(b, "layers");
    const struct pair p = {a, b, i, j, x ? x[i] : 0, what, size};
    if (!x || !y || x[i] != y[j])
        return differ(&p, "cases", "layers");
    return same_curves(&p) && same_scalars(&p, RECORD_LIST_SUMMARIES, "summary") &&
           same_scalars(&p, RECORD_LIST_ACCURACIES, "accuracy") && same_arrays(&p) && same_training(&p);
}
