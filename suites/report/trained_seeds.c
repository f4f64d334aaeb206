#include "suites/report/trained_seeds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "analysis/verdict.h"

bool trained_groups(struct record_reader *reader, const struct groups *all, struct groups *trained) {
    *trained = *all;
    trained->count = 0;
    trained->group = malloc((size_t)(all->count + 1) * sizeof *trained->group);
    for (int64_t k = 0; trained->group && k < all->count; k++)
        if (all->group[k].p.study == STUDY_TRAIN && record_points(reader, all->group[k].cases[0]) > 0)
            trained->group[trained->count++] = all->group[k];
    return trained->group != NULL;
}

struct range trained_range(double *values, int64_t count) {
    int64_t missing = 0;
    for (int64_t k = 0; k < count; k++)
        missing += isnan(values[k]);
    if (missing == count)
        return (struct range){NAN, NAN, NAN};
    struct mhc_range r = mhc_range_of(values, count);
    return (struct range){r.least, r.median, r.most};
}

static double value_at(struct record_reader *reader, const struct record_training *is, const struct quantity *q,
                       int64_t layers, int64_t point) {
    if (!q->curve)
        return (*(double *const *)((const char *)is + q->field))[point];
    int metric = record_metric_called(reader, q->curve);
    return metric < 0 ? NAN
                      : mhc_curve_max(is->curves + (point * record_metric_count(reader) + metric) * layers, layers);
}

struct range trained_over_seeds(struct record_reader *reader, const struct group *group, trained_number *number,
                                const void *what) {
    double *values = malloc((size_t)group->count * sizeof *values);
    for (int64_t k = 0; values && k < group->count; k++)
        values[k] = number(reader, group->cases[k], &group->p, what);
    struct range r = values ? trained_range(values, group->count) : (struct range){NAN, NAN, NAN};
    free(values);
    return r;
}

double trained_end(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    const struct quantity q = {"", what, 0};
    struct record_training is;
    if (!record_training(reader, index, &is) || is.diverged)
        return NAN;
    return value_at(reader, &is, &q, p->depth, is.points - 1);
}

double trained_without_quarter(struct record_reader *reader, int64_t index, const struct params *p, const void *what) {
    struct record_training is;
    (void)p;
    if (!record_training(reader, index, &is))
        return NAN;
    return is.held_out_loss_without_quarter[*(const int *)what] - is.held_out_loss[is.points - 1];
}

/* The case with the most points says at which steps they are; the others have the first of them. */
static bool lay_out(struct record_reader *reader, const struct group *group, int quantities, struct course *c) {
    struct record_training is;
    int64_t longest = group->cases[0];
    *c = (struct course){.seeds = group->count};
    for (int64_t k = 0; k < group->count; k++) {
        int64_t points = record_points(reader, group->cases[k]);
        longest = points > c->points ? group->cases[k] : longest;
        c->points = points > c->points ? points : c->points;
    }
    size_t count = (size_t)(quantities * c->points * c->seeds);
    c->step = malloc((size_t)(c->points + 1) * sizeof *c->step);
    c->value = malloc((count + 1) * sizeof *c->value);
    if (!c->step || !c->value || !record_training(reader, longest, &is))
        return false;
    memcpy(c->step, is.step, (size_t)c->points * sizeof *c->step);
    for (size_t k = 0; k < count; k++)
        c->value[k] = NAN;
    return true;
}

bool course_read(struct record_reader *reader, const struct group *group, const struct quantity *quantity,
                 int quantities, struct course *c) {
    struct record_training is;
    if (!lay_out(reader, group, quantities, c))
        return course_release(c), false;
    for (int64_t k = 0; k < c->seeds; k++) {
        if (!record_training(reader, group->cases[k], &is))
            continue;
        c->ended += is.diverged > 0;
        for (int q = 0; q < quantities; q++)
            for (int64_t point = 0; point < is.points; point++)
                c->value[(q * c->points + point) * c->seeds + k] = value_at(reader, &is, &quantity[q], group->p.depth,
                                                                            point);
    }
    return true;
}

void course_release(struct course *c) {
    free(c->step);
    free(c->value);
    *c = (struct course){0};
}

struct range course_range(const struct course *c, const struct quantity *quantity, int index, int64_t point) {
    struct range r = trained_range(c->value + (index * c->points + point) * c->seeds, c->seeds);
    const char *curve = quantity[index].curve;
    if (curve && mhc_metric_info[mhc_metric_of(curve)].scale == MHC_LOG10)
        r = (struct range){pow(10, r.least), pow(10, r.median), pow(10, r.most)};
    return r;
}
