/* Chooses which timed operations the figures of study `kernels` show: those of one shape, on one backend and in one
 * type, because others cannot be compared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/report/figure_data.h"
#include "suites/report/figure_dots.h"

enum { MOST_OPERATIONS = 200 };

/* Whether an argument of the operation has an extent. */
static bool has_extent(const char *operation, char letter) {
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, operation);
    for (const struct mhc_arg *arg = row ? row->args : NULL; arg && arg->name; arg++)
        if (strchr(arg->extents, letter))
            return true;
    return !row;
}

double figure_dot_value(const struct figure_source *source, const char *name, int64_t index) {
    const double *values = record_timing_value(source->reader, name);
    return values ? values[index] : NAN;
}

static bool alike(const struct dot *a, const struct dot *b) {
    return !strcmp(a->backend, b->backend) && !strcmp(a->type, b->type) && !strcmp(a->cache, b->cache);
}

/* All timed cases of the study that were chosen. */
static struct dots read_dots(const struct figure_source *source) {
    struct record_reader *r = source->reader;
    const char *const *study = record_texts(r, "study"), *const *status = record_texts(r, "status");
    const char *const *operation = record_texts(r, "operation"), *const *backend = record_texts(r, "backend");
    const char *const *type = record_texts(r, "type"), *const *cache = record_texts(r, "cache");
    const int64_t *tokens = record_ints(r, "tokens"), *width = record_ints(r, "width"),
                  *streams = record_ints(r, "streams");
    const int64_t *t_max = record_ints(r, "t-max");
    const char *const *map = record_texts(r, "map"); /* old records have none */
    struct dots d = {.dot = malloc((size_t)(record_count(r) + 1) * sizeof *d.dot)};
    if (!study || !status || !operation || !backend || !type || !cache || !tokens || !width || !streams || !t_max)
        return d;
    for (int64_t i = 0; d.dot && i < record_count(r); i++) {
        if (strcmp(study[i], "kernels") || strcmp(status[i], "done") || !(figure_dot_value(source, "median", i) > 0) ||
            !source->chosen[i])
            continue;
        struct dot dot = {i,
                          -1,
                          "",
                          backend[i],
                          type[i],
                          cache[i],
                          {tokens[i], width[i], streams[i], t_max[i], !has_extent(operation[i], 'C'),
                           connection_operation_has_one_stream(operation[i]) || !has_extent(operation[i], 'n')}};
        bool own = map && strcmp(map[i], "sinkhorn");
        snprintf(dot.operation, sizeof dot.operation, own ? "%.40s (%.20s)" : "%.40s", operation[i], own ? map[i] : "");
        for (int64_t j = 0; j < d.count && dot.id < 0; j++)
            dot.id = strcmp(d.dot[j].operation, dot.operation) ? -1 : d.dot[j].id;
        if (dot.id < 0 && d.operations < MOST_OPERATIONS)
            dot.id = d.operations++;
        if (dot.id >= 0)
            d.dot[d.count++] = dot;
    }
    return d;
}

static bool fits(const struct shape *s, const struct shape *wanted) {
    return s->tokens == wanted->tokens && s->t_max == wanted->t_max && (s->any_width || s->width == wanted->width) &&
           (s->any_streams || s->streams == wanted->streams);
}

/* Keeps the cases of the most frequent backend, type and cache. */
static void choose_way(struct dots *d) {
    int64_t most = 0, kept = 0;
    struct dot best = {0};
    for (int64_t i = 0; i < d->count; i++) {
        int64_t same = 0;
        for (int64_t j = 0; j < d->count; j++)
            same += alike(&d->dot[i], &d->dot[j]);
        if (same > most) {
            most = same;
            best = d->dot[i];
        }
    }
    for (int64_t i = 0; i < d->count; i++)
        if (alike(&d->dot[i], &best))
            d->dot[kept++] = d->dot[i];
    d->otherwise = d->count - kept;
    d->count = kept;
}

/* Chooses the shape that most operations have; of several, the largest. */
static void choose_shape(struct dots *d) {
    int most = 0;
    double largest = 0;
    bool widths = false, streams = false; /* an operation without channels says nothing of C */
    for (int64_t i = 0; i < d->count; i++) {
        widths |= !d->dot[i].shape.any_width;
        streams |= !d->dot[i].shape.any_streams;
    }
    for (int64_t i = 0; i < d->count; i++) {
        const struct shape *s = &d->dot[i].shape;
        if (most && ((s->any_width && widths) || (s->any_streams && streams)))
            continue;
        bool has[MOST_OPERATIONS] = {false};
        double size = (double)s->tokens * (double)s->width * (double)s->streams;
        int count = 0;
        for (int64_t j = 0; j < d->count; j++)
            if (!has[d->dot[j].id] && fits(&d->dot[j].shape, s)) {
                has[d->dot[j].id] = true;
                count++;
            }
        bool vague = most && ((d->shape.any_width && widths) || (d->shape.any_streams && streams));
        if (vague || count > most || (count == most && size > largest)) {
            most = count;
            largest = size;
            d->shape = *s;
        }
    }
}

/* Keeps what is shown, the first case of every operation at the shape, and names the operations that have none. */
static void choose(struct dots *d) {
    bool shown[MOST_OPERATIONS] = {false}, named[MOST_OPERATIONS] = {false}, taken[MOST_OPERATIONS] = {false};
    int64_t kept = 0;
    choose_way(d);
    choose_shape(d);
    for (int64_t i = 0; i < d->count; i++)
        shown[d->dot[i].id] |= fits(&d->dot[i].shape, &d->shape);
    for (int64_t i = 0; i < d->count; i++) {
        const struct dot *dot = &d->dot[i];
        size_t used = strlen(d->elsewhere_names);
        if (shown[dot->id] || named[dot->id])
            continue;
        named[dot->id] = true;
        d->elsewhere++;
        if (used + strlen(dot->operation) + 8 < NAMES)
            snprintf(d->elsewhere_names + used, NAMES - used, "%s%s", used ? ", " : "", dot->operation);
    }
    for (int64_t i = 0; i < d->count; i++)
        if (!taken[d->dot[i].id] && fits(&d->dot[i].shape, &d->shape)) {
            taken[d->dot[i].id] = true;
            d->dot[kept++] = d->dot[i];
        }
    d->count = kept;
}

struct dots figure_dots(const struct figure_source *source) {
    struct dots d = read_dots(source);
    choose(&d);
    return d;
}
