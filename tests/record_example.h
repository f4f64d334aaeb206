/* A run that can be predicted, case by case: what the tests of the record write. */
#ifndef RECORD_EXAMPLE_H
#define RECORD_EXAMPLE_H

#include "results/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 3, CURVES = 4, SUMMARIES = 2, STREAMS = 3, PANEL = 6, SUBJECTS = 2, ROUNDS = 5, TIMINGS = 2 };
enum { POINTS = 4, METRICS = 2, MIXING = 4 };

static const struct record_column columns[COLUMNS] = {
    {"width", "1", "channels of a stream", RECORD_INT},
    {"gain", "1", "branch gain", RECORD_REAL},
    {"input", "", "what the streams start from", RECORD_TEXT},
};
static const struct record_curve curves[CURVES] = {{"zeta", "1", "the first by creation, the last by name"},
                                                   {"forward", "1", "gain"},
                                                   {"rare", "1", "seldom computed"},
                                                   {"never", "s", ""}};
static const struct record_curve summaries[SUMMARIES] = {{"peak", "1", "largest value"}, {"area", "m", "nonsense"}};
static const char *const subjects[SUBJECTS] = {"baseline", "subject"};
static const struct record_curve timings[TIMINGS] = {{"median", "s", "of the samples"}, {"ratio", "1", ""}},
                                 accuracies[] = {{"error", "1", "largest"}};
static const char *const metrics[METRICS] = {"first", "second"};
static const struct record_fact facts[] = {{"host", "here"}, {"cpu", "µ-processor"}, {"empty", ""}};

static inline struct record_schema schema_of(int64_t layers, const char *suite) {
    return (struct record_schema){columns,
                                  COLUMNS,
                                  curves,
                                  CURVES,
                                  summaries,
                                  SUMMARIES,
                                  layers,
                                  STREAMS,
                                  200,
                                  facts,
                                  3,
                                  "mhcbench test",
                                  "mhcbench run x.suite",
                                  suite,
                                  subjects,
                                  SUBJECTS,
                                  ROUNDS,
                                  timings,
                                  accuracies,
                                  TIMINGS,
                                  1,
                                  NULL,
                                  layers ? POINTS : 0,
                                  metrics,
                                  METRICS,
                                  NULL,
                                  NULL,
                                  MIXING,
                                  NULL,
                                  0};
}

struct example {
    char key[64], text[64];
    union record_value values[COLUMNS];
    double summaries[SUMMARIES], panels[PANEL * STREAMS * STREAMS], scale[PANEL], mixing[MIXING * MIXING];
    double *curve[CURVES], *spectrum;
    double seconds[SUBJECTS * ROUNDS], clock[SUBJECTS * ROUNDS], timings[TIMINGS], accuracy;
    int8_t order[SUBJECTS * ROUNDS], flags[SUBJECTS * ROUNDS];
    int64_t batch[SUBJECTS], sets[SUBJECTS];
    struct record_timing timing;
    double *reals; /* of training */
    int64_t step[POINTS], t_max[RECORD_PROJECTIONS];
    struct record_training training;
    struct record_case c;
};

static inline double number(int64_t i, int what, int64_t k) {
    const int64_t mixed = (i * 7919 + what * 104729 + k * 1299709) % 1000003;
    if (mixed % 97 == 0)
        return NAN;
    if (mixed % 89 == 0)
        return mixed % 2 ? INFINITY : -INFINITY;
    return ((double)mixed - 500000) / 3;
}

static inline bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

/* The arrays of reals of training, and how many elements each has. */
enum { TRAINED = 15 };
static inline void trained_arrays(struct record_training *t, int64_t layers, double **array[TRAINED],
                                  int64_t count[TRAINED]) {
    double **const all[TRAINED] = {&t->loss,
                                   &t->held_out_loss,
                                   &t->gradient_norm,
                                   &t->gradient_norm_max,
                                   &t->rate,
                                   &t->alpha,
                                   &t->alpha_max,
                                   &t->logit_range,
                                   &t->mean_diagonal,
                                   &t->smallest_column_sum,
                                   &t->row_sum_spread,
                                   &t->curves,
                                   &t->t_max_held_out_loss,
                                   &t->t_max_curves,
                                   &t->held_out_loss_without_quarter};
    for (int k = 0; k < TRAINED; k++) {
        array[k] = all[k];
        count[k] = k < 11    ? t->points
                   : k == 11 ? t->points * METRICS * layers
                   : k == 12 ? RECORD_PROJECTIONS
                   : k == 13 ? RECORD_PROJECTIONS * METRICS * layers
                             : 4;
    }
}

static inline void example_train(struct example *e, int64_t i, int64_t layers) {
    double **array[TRAINED];
    int64_t count[TRAINED], used = 0;
    struct record_training *t = &e->training;
    *t = (struct record_training){.points = 1 + i % POINTS,
                                  .steps = 10 * i,
                                  .diverged = i % 3,
                                  .seconds_per_step = number(i, 40, 0),
                                  .step = e->step,
                                  .t_max = e->t_max};
    trained_arrays(t, layers, array, count);
    for (int k = 0; k < TRAINED; k++)
        used += count[k];
    e->reals = malloc((size_t)used * sizeof(double));
    used = 0;
    for (int k = 0; k < TRAINED; k++) {
        *array[k] = e->reals + used;
        used += count[k];
        for (int64_t at = 0; at < count[k]; at++)
            (*array[k])[at] = number(i, 41 + k, at);
    }
    for (int k = 0; k < POINTS; k++)
        e->step[k] = i * k;
    for (int k = 0; k < RECORD_PROJECTIONS; k++)
        e->t_max[k] = i + k;
}

static inline void example_time(struct example *e, int64_t i) {
    for (int k = 0; k < SUBJECTS * ROUNDS; k++) {
        e->seconds[k] = number(i, 30, k);
        e->clock[k] = number(i, 31, k);
        e->order[k] = (int8_t)((i + k) % 2);
        e->flags[k] = (int8_t)((i * 3 + k) % 4);
    }
    for (int s = 0; s < SUBJECTS; s++) {
        e->batch[s] = 1 + i * s;
        e->sets[s] = i + s;
        e->timings[s] = number(i, 32, s);
    }
    e->accuracy = number(i, 33, 0);
    e->timing = (struct record_timing){1 + i % ROUNDS, e->seconds, e->clock, e->order,
                                       e->flags,       e->batch,   e->sets,  "rounds"};
}

static inline void example_init(struct example *e, int64_t i, int64_t largest) {
    const int64_t layers = largest - i % 3 > 0 ? largest - i % 3 : 1, n = 1 + i % STREAMS;
    *e = (struct example){0};
    snprintf(e->key, sizeof e->key, "--case %lld", (long long)i);
    snprintf(e->text, sizeof e->text, "file \"%lld\", ünïcode\n", (long long)i);
    e->values[0].i = i * ((int64_t)1 << 40) - 5;
    e->values[1].r = number(i, 1, 0);
    e->values[2].text = e->text;
    for (int k = 0; k < SUMMARIES; k++)
        e->summaries[k] = number(i, 2, k);
    for (int k = 0; k < PANEL * STREAMS * STREAMS; k++)
        e->panels[k] = number(i, 3, k);
    for (int k = 0; k < PANEL; k++)
        e->scale[k] = number(i, 4, k);
    for (int k = 0; k < MIXING * MIXING; k++)
        e->mixing[k] = number(i, 5, k);
    for (int q = 0; q < 3; q++) { /* the curve `never` stays NULL */
        if (q == 2 && i % 5)
            continue;
        e->curve[q] = malloc((size_t)layers * sizeof(double));
        for (int64_t l = 0; l < layers; l++)
            e->curve[q][l] = number(i, 10 + q, l);
    }
    e->spectrum = malloc((size_t)(layers * n) * sizeof(double));
    for (int64_t l = 0; l < layers * n; l++)
        e->spectrum[l] = number(i, 20, l);
    const bool failed = i % 11 == 10, matrices = i % 2 == 0, timed = i % 4 != 3;
    example_time(e, i);
    const bool trained = largest && i % 3 != 1;
    if (trained)
        example_train(e, i, layers);
    e->c = (struct record_case){e->key,
                                failed ? RECORD_FAILED : RECORD_DONE,
                                failed ? "killed by signal 11" : "",
                                0.25 * (double)i,
                                layers,
                                n,
                                e->values,
                                (const double *const *)e->curve,
                                failed ? NULL : e->summaries,
                                matrices ? e->panels : NULL,
                                matrices ? e->scale : NULL,
                                matrices ? e->spectrum : NULL,
                                timed ? &e->timing : NULL,
                                timed ? e->timings : NULL,
                                timed ? &e->accuracy : NULL,
                                trained ? &e->training : NULL,
                                i % 3 ? e->mixing : NULL,
                                1 + i % MIXING,
                                1 + i % 7};
}

static inline void example_free(struct example *e) {
    for (int q = 0; q < CURVES; q++)
        free(e->curve[q]);
    free(e->spectrum);
    free(e->reals);
}

static inline bool append_by(bool (*way)(struct record *, const struct record_case *), struct record *r, int64_t i,
                             int64_t layers) {
    struct example e;
    example_init(&e, i, layers);
    const bool good = way(r, &e.c);
    example_free(&e);
    return good;
}

static inline bool append(struct record *r, int64_t i, int64_t layers) {
    return append_by(record_append, r, i, layers);
}

#endif
