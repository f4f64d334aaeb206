#include "suites/study/trained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- when ---- */

bool trained_is_point(const struct params *p, int64_t step) {
    static const int64_t early[] = {0, 5, 10, 20, 30, 40, 60, 80};
    bool found = step == p->steps || step == 0;
    if (p->every != EVERY_AUTO)
        return found || step % p->every == 0;
    for (size_t k = 0; k < sizeof early / sizeof *early; k++)
        found |= step == early[k];
    return found || (step > 80 && step % 20 == 0);
}

int64_t trained_points(const struct params *p) {
    int64_t points = 0;
    for (int64_t step = 0; step <= p->steps; step++)
        points += trained_is_point(p, step);
    return points;
}

/* ---- what ---- */

enum { REALS = 11, QUARTERS = 4 };

/* Gives every array its place: reals first. */
static void lay_out(struct trained_result *r) {
    struct record_training *is = &r->is;
    double **const of_point[REALS] = {
        &is->loss,          &is->held_out_loss, &is->gradient_norm, &is->gradient_norm_max, &is->rate,
        &is->alpha,         &is->alpha_max,     &is->logit_range,   &is->mean_diagonal,     &is->smallest_column_sum,
        &is->row_sum_spread};
    double *at = r->memory;
    for (int k = 0; k < REALS; k++, at += r->room)
        *of_point[k] = at;
    is->curves = at;
    is->t_max_curves = is->curves + r->room * MHC_METRICS
    *r->L;
    is->t_max_held_out_loss = is->t_max_curves + RECORD_PROJECTIONS * MHC_METRICS
    *r->L;
    is->held_out_loss_without_quarter = is->t_max_held_out_loss + RECORD_PROJECTIONS;
    is->step = (int64_t *)(is->held_out_loss_without_quarter + QUARTERS);
    is->t_max = is->step + r->room;
}

static int64_t reals(int64_t points, int64_t L) {
    return points * (REALS + MHC_METRICS * L) + RECORD_PROJECTIONS * (1 + MHC_METRICS * L) + QUARTERS;
}

struct trained_result *trained_new(const struct params *p) {
    struct trained_result *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->room = trained_points(p);
    r->L = p->depth;
    int64_t count = reals(r->room, r->L);
    r->bytes = sizeof(double) * (size_t)count + sizeof(int64_t) * (size_t)(r->room + RECORD_PROJECTIONS);
    r->memory = calloc(1, r->bytes);
    r->is.seconds_per_step = NAN;
    if (!r->memory) {
        free(r);
        return NULL;
    }
    for (int64_t k = 0; k < count; k++)
        ((double *)r->memory)[k] = NAN;
    lay_out(r);
    return r;
}

double trained_bytes(const struct params *p) {
    return 8.0 * (double)(reals(trained_points(p), p->depth) + trained_points(p));
}

void trained_release(struct trained_result *r) {
    if (r)
        free(r->memory);
    free(r);
}

double *trained_curve(const struct trained_result *r, int64_t point, int metric) {
    return r->is.curves + (point * MHC_METRICS + metric) * r->L;
}

double *trained_projected_curve(const struct trained_result *r, int64_t projection, int metric) {
    return r->is.t_max_curves + (projection * MHC_METRICS + metric) * r->L;
}

/* ---- through the pipe ---- */

static void each(struct message *m, struct trained_result *r, void (*piece)(struct message *, void *, size_t)) {
    piece(m, &r->is.points, sizeof r->is.points);
    piece(m, &r->is.steps, sizeof r->is.steps);
    piece(m, &r->is.diverged, sizeof r->is.diverged);
    piece(m, &r->is.seconds_per_step, sizeof r->is.seconds_per_step);
    piece(m, r->memory, r->bytes);
}

static void put(struct message *m, void *data, size_t size) {
    message_put(m, data, size);
}

void trained_put(struct message *m, const struct trained_result *r) {
    each(m, (struct trained_result *)r, put);
}

struct trained_result *trained_take(struct message *m, const struct params *p) {
    struct trained_result *r = trained_new(p);
    if (r)
        each(m, r, message_take);
    return r;
}

/* ---- in a record ---- */

void trained_schema(const struct suite *s, struct record_schema *schema) {
    static const char *metrics[MHC_METRICS];
    for (int m = 0; m < MHC_METRICS; m++)
        metrics[m] = mhc_metric_info[m].name;
    for (int64_t k = 0; k < s->count; k++) {
        int64_t points = s->cases[k].study == STUDY_TRAIN ? trained_points(&s->cases[k]) : 0;
        schema->points = points > schema->points ? points : schema->points;
    }
    schema->metrics = metrics;
    schema->metric_count = schema->points ? MHC_METRICS : 0;
}
