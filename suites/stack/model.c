#include "suites/stack/model.h"

#include <math.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/stack/ensemble.h"

int64_t model_sequence(const struct params *p) {
    return p->sequence ? p->sequence : p->tokens;
}

struct program_spec model_spec(const struct params *p, const struct backend *b, int64_t tokens) {
    struct program_spec spec = ensemble_stack(p, b);
    spec.branch = "transformer";
    spec.c.T = tokens;
    spec.c.S = model_sequence(p);
    spec.c.vocabulary = MODEL_VOCABULARY;
    spec.model = true;
    return spec;
}

static const struct start {
    double pre_at, pre_off, post_at, post_off, diagonal;
} starts[] = {[START_LITE] = {1, -1, 1, -1, 8},
              [START_ONE_HOT] = {4, -4, 0, 0, 8},
              [START_ZERO] = {0, 0, 0, 0, 0},
              [START_PRE_NORM] = {20, -20, 0, 0, 40}},
  start_of_hc = {1, 0, 1, 1, 1};

static void fill(double *values, int64_t count, double value) {
    for (int64_t k = 0; k < count; k++)
        values[k] = value;
}

static void fill_normal(const struct params *p, const struct program_array *a, double std, double *values) {
    uint32_t what = mhc_what(a->argument);
    for (int64_t k = 0; k < a->count; k++)
        values[k] = std * mhc_normal((uint64_t)p->seed, what, (uint32_t)a->layer, (uint64_t)k);
}

static void fill_streams(const struct params *p, int64_t layer, double at, double off, double *values) {
    fill(values, p->streams, off);
    values[layer % p->streams] = at;
}

/* The biases of res: HC's map itself, or the logits of a map. */
static void fill_res(const struct params *p, const struct start *start, int64_t layer, int64_t count, double *values) {
    const struct mhc_case c = ensemble_case(p);
    bool matrix = connection_is_hc(params_connection(p)) || connection_has_sinkhorn(params_connection(p));
    fill(values, count, 0);
    if (!matrix && p->start != START_ZERO)
        map_start_f64(&c, (uint64_t)p->seed, layer, values);
    for (int64_t i = 0; i < p->streams && matrix; i++)
        values[i * (p->streams + 1)] = start->diagonal;
}

/* The connection's own. */
static void fill_connection(const struct params *p, const struct program_array *a, double *values) {
    const struct start *start = connection_is_hc(params_connection(p)) ? &start_of_hc : &starts[p->start];
    int64_t n = p->streams;
    if (!strcmp(a->argument, "alpha"))
        fill(values, a->count, p->alpha);
    else if (!strcmp(a->argument, "scale"))
        fill(values, a->count, 1);
    else if (!strcmp(a->argument, "phi") && p->start == START_ZERO)
        fill_normal(p, a, 0.02, values);
    else if (!strcmp(a->argument, "b_pre"))
        fill_streams(p, a->layer, start->pre_at, start->pre_off, values);
    else if (!strcmp(a->argument, "b_post"))
        fill_streams(p, a->layer, start->post_at, start->post_off, values);
    else if (!strcmp(a->argument, "b_res"))
        fill_res(p, start, a->layer, a->count, values);
    else if (!strcmp(a->argument, "b")) {
        fill_streams(p, a->layer, start->pre_at, start->pre_off, values);
        fill_streams(p, a->layer, start->post_at, start->post_off, values + n);
        if (a->count > 2 * n)
            fill_res(p, start, a->layer, a->count - 2 * n, values + 2 * n);
    } else
        fill(values, a->count, 0);
}

void model_parameter(const struct params *p, const struct program_array *a, double *values) {
    if (a->group == GROUP_CONNECTION)
        fill_connection(p, a, values);
    else if (!strcmp(a->argument, "table"))
        fill_normal(p, a, 1, values);
    else if (!strcmp(a->argument, "positions"))
        fill_normal(p, a, 0.5, values);
    else if (a->layer < 0 && a->group == GROUP_MATRICES)
        fill_normal(p, a, 0.5 / sqrt((double)p->width), values);
    else
        ensemble_parameter(p, a->layer, a->argument, a->count, values);
}
