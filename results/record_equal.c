/* Whether two records have the same values of a case. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/reader.h"

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

/* Of both cases, as reader_fill() left them. */
static bool same_dataset(const struct pair *p, enum layout_dataset which, const void *in_a, const void *in_b) {
    const struct dataset_info *d = &dataset_info[which];
    const bool array = dataset_rank(d) > 1;
    const void *x = (const char *)in_a + d->offset, *y = (const char *)in_b + d->offset;
    const size_t count = reader_elements(p->a, which, p->i);
    x = array ? *(const void *const *)x : x;
    y = array ? *(const void *const *)y : y;
    return count == reader_elements(p->b, which, p->j) &&
           (d->kind == KIND_REAL ? same(x, y, (int64_t)count) : !memcmp(x, y, count * (d->kind == KIND_FLAG ? 1 : 8)));
}

/* All that the table of datasets has of a group, but for times. */
static bool same_group(const struct pair *p, enum layout_group g) {
    const struct group_info *info = &group_info[g];
    const int64_t count = reader_counted(p->a, g, p->i);
    union {
        struct record_case row;
        struct record_training training;
    } x, y;
    void *memory[2] = {NULL, NULL};
    if (count != reader_counted(p->b, g, p->j))
        return differ(p, info->name, dataset_info[info->counter].name);
    if (count == 0)
        return true;
    bool good = (reader_fill(p->a, g, p->i, &x, &memory[0]) && reader_fill(p->b, g, p->j, &y, &memory[1])) ||
                differ(p, info->name, "");
    for (int i = 0; good && i < DATASETS; i++) {
        const struct dataset_info *d = &dataset_info[i];
        if (d->group == g && d->in != PLACE_OWN && strcmp(d->unit, "s") != 0)
            good = same_dataset(p, (enum layout_dataset)i, &x, &y) || differ(p, info->name, d->name);
    }
    free(memory[0]);
    free(memory[1]);
    return good;
}

static bool same_groups(const struct pair *p) {
    bool good = true;
    for (int g = 0; good && g < GROUPS; g++)
        good = g == IN_TIMING || group_info[g].counter == DATASETS || same_group(p, (enum layout_group)g);
    return good;
}

bool record_same_values(struct record_reader *a, int64_t i, struct record_reader *b, int64_t j, char *what,
                        size_t size) {
    const int64_t *x = record_ints(a, "layers"), *y = record_ints(b, "layers");
    const struct pair p = {a, b, i, j, x ? x[i] : 0, what, size};
    if (!x || !y || x[i] != y[j])
        return differ(&p, "cases", "layers");
    return same_curves(&p) && same_scalars(&p, RECORD_LIST_SUMMARIES, "summary") &&
           same_scalars(&p, RECORD_LIST_ACCURACIES, "accuracy") && same_groups(&p);
}
