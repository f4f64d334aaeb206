/* Study `maps`: the residual maps of an ensemble and their composites, without streams. */
#include "suites/study/study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/maps_file.h"
#include "results/safetensors.h"
#include "suites/rows/backend.h"
#include "suites/stack/ensemble.h"
#include "suites/stack/rounding.h"
#include "suites/study/given.h"
#include "suites/study/train.h"
#include "suites/study/weights.h"

/* Tokens that are drawn: without a dynamic part all are the same, and one stands for them. */
static int64_t token_count(const struct params *p) {
    return ensemble_dynamic(p) ? p->tokens : 1;
}

/* Numbers that a map of a token is made of: its logits, or its own cells. */
static int64_t drawn_count(const struct params *p) {
    const struct mhc_case c = ensemble_case(p);
    return connection_has_logits(params_connection(p)) ? mhc_map_logits(&c) : p->streams * p->streams;
}

static double bytes(const struct params *p) {
    double maps = (double)p->depth * (double)token_count(p), cells = (double)(p->streams * p->streams);
    double logits = connection_has_logits(params_connection(p)) ? (double)drawn_count(p) : 0;
    return 8 * maps * (cells + logits + 2 * (double)p->streams) +
           mhc_measure_bytes(p->depth, token_count(p), p->streams);
}

/* Logits [L][T][K] (mHC) or maps [L][T][n][n] (HC) of all layers: the static part, and alpha times the dynamic one. */
static void draw(const struct params *p, int64_t T, double *out) {
    int64_t cells = drawn_count(p);
    bool dynamic = ensemble_dynamic(p), hc = connection_is_hc(params_connection(p));
    double fixed[MAP_LOGITS];
    for (int64_t l = 0; l < p->depth; l++) {
        double *layer = out + l * T * cells;
        worker_at("drawing layer", l + 1, p->depth);
        if (!connection_mixes(params_connection(p))) {
            for (int64_t k = 0; k < T * cells; k++)
                layer[k] = k % cells % (p->streams + 1) == 0;
            continue;
        }
        ensemble_static(p, l, fixed);
        if (dynamic)
            ensemble_dynamic_draw(p, l, T * cells, layer);
        for (int64_t k = 0; k < T * cells; k++) {
            double moving = dynamic ? p->alpha * (hc ? tanh(layer[k]) : layer[k]) : 0;
            layer[k] = fixed[k % cells] + moving;
        }
    }
}

/* res of all logits, in the precision asked for. */
static const char *project(const struct params *p, int64_t T, double *logits, double *res) {
    int64_t cells = p->streams * p->streams, count = p->depth * T;
    if (p->rounding != ROUND_NONE) {
#pragma omp parallel for schedule(static)
        for (int64_t m = 0; m < count; m++)
            rounded_sinkhorn((enum rounding)p->rounding, p->streams, p->t_max, logits + m * cells, res + m * cells);
        return NULL;
    }
    struct backend cpu;
    static char why[256];
    const char *reason = NULL;
    if (!backend_open(&cpu, "cpu64", why, sizeof why))
        return why;
    struct mhc_case c = ensemble_case(p);
    c.T = count;
    backend_types(&cpu, -1, &c);
    const struct mhc_row *row = backend_row(&cpu, "map", "forward", &c, &reason);
    struct array arrays[] = {{"logits", logits}, {"res", res}};
    reason = row ? backend_run(&cpu, row, &c, arrays, 2, NULL, NULL) : reason;
    backend_close(&cpu);
    return reason;
}

static void measure(const struct params *p, const double *logits, const struct mhc_depth *d, struct study_result *r) {
    const int64_t cells = p->streams * p->streams, T = d->T;
    worker_at("measuring", 0, 0);
    bool good = study_measure_maps(p, d, r), matrices = logits && connection_has_sinkhorn(params_connection(p));
    for (int64_t l = 0; l < p->depth && matrices && p->measure & MHC_GROUP_LOGIT; l++)
        good &= !mhc_measure_logits(logits + l * T * cells, T, p->streams, l, &r->curves);
    if (!good)
        snprintf(r->reason, sizeof r->reason, "out of memory");
}

/* What a case is made of: logits [L][T][K] or NULL, and what belongs to a layer. */
struct drawn {
    int64_t T;
    double *logits, *res, *pre, *post;
};

static double *room(int64_t count) {
    return aligned_alloc(64, ((size_t)count * sizeof(double) + 64) / 64 * 64);
}

static bool open_drawn(struct drawn *d, const struct params *p) {
    const int64_t T = token_count(p), maps = p->depth * T;
    const bool logits = connection_has_logits(params_connection(p));
    *d = (struct drawn){T, logits ? room(maps * drawn_count(p)) : NULL, room(maps * p->streams * p->streams),
                        room(maps * p->streams), room(maps * p->streams)};
    return d->res && d->pre && d->post && (d->logits || !logits);
}

static void close_drawn(struct drawn *d) {
    free(d->logits);
    free(d->res);
    free(d->pre);
    free(d->post);
}

/* NULL, or why the maps cannot be made. */
static const char *draw_case(struct drawn *d, const struct params *p) {
    const int64_t T = d->T, n = p->streams;
    const enum rounding rounding = (enum rounding)p->rounding;
    const char *failure = NULL;
    draw(p, T, d->logits ? d->logits : d->res);
    worker_at("projecting", 0, 0);
    if (d->logits)
        failure = project(p, T, d->logits, d->res);
    else
        for (int64_t k = 0; k < p->depth * T * n * n; k++)
            d->res[k] = round_to(rounding, d->res[k]);
    for (int64_t l = 0; l < p->depth; l++)
        ensemble_gates(p, l, T, d->pre + l * T * n, d->post + l * T * n);
    for (int64_t k = 0; k < p->depth * T * n; k++) {
        d->pre[k] = round_to(rounding, d->pre[k]);
        d->post[k] = round_to(rounding, d->post[k]);
    }
    return failure;
}

const char *maps_keep(const struct study_context *context, int64_t T, const double *res, const double *pre,
                      const double *post) {
    static _Thread_local char why[250];
    const struct params *p = context->p;
    char path[STUDY_PATH], key[2048];
    if (p->study != STUDY_MAPS || !context->keeping || !context->keeping->maps[0])
        return NULL;
    study_path(p, context->keeping->maps, path);
    params_key(p, key, sizeof key);
    const struct maps_file file = {key, p->depth, T, p->streams, res, pre, post};
    return maps_file_write(path, &file) ? NULL
                                        : (snprintf(why, sizeof why, "no file of maps: %.220s", record_error()), why);
}

const char *maps_result(const struct study_context *context, const double *res, const double *pre, const double *post,
                        struct study_result *r) {
    const struct params *p = context->p;
    const struct mhc_depth d = {p->depth, p->tokens, p->streams, res, pre, post};
    const unsigned groups = (unsigned)p->measure & (pre && post ? PROBE_OF_MAPS : PROBE_OF_MAPS & ~MHC_GROUP_REACH);
    if (!mhc_curves_allocate(&r->curves, p->depth, groups, p->record == RECORD_CURVES) || !study_measure_maps(p, &d, r))
        return "out of memory";
    return maps_keep(context, p->tokens, res, pre, post);
}

/* What makes the maps of a case with --from: maps of a file, weights of a model, or a trained model. */
static const struct study *source_of(const struct params *p) {
    static const struct study given = {.run = given_run, .estimate = given_estimate, .flops = given_flops},
                              weights = {.run = weights_run, .estimate = weights_estimate, .flops = weights_flops},
                              model = {
                                  .run = train_replay, .estimate = train_replay_estimate, .flops = train_replay_flops};
    return params_has_maps(p) ? &given : safetensors_is(p->from) ? &weights : &model;
}

static void run(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    if (p->from[0]) {
        source_of(p)->run(context, r);
        return;
    }
    struct drawn d;
    const unsigned of_maps = (unsigned)p->measure & PROBE_OF_MAPS;
    const unsigned of_logits = connection_has_sinkhorn(params_connection(p)) ? (unsigned)MHC_GROUP_LOGIT : 0;
    const char *failure = "out of memory";
    if (open_drawn(&d, p) && mhc_curves_allocate(&r->curves, p->depth, of_maps | ((unsigned)p->measure & of_logits),
                                                 p->record == RECORD_CURVES)) {
        failure = draw_case(&d, p);
        if (!failure) {
            const struct mhc_depth depth = {p->depth, d.T, p->streams, d.res, d.pre, d.post};
            measure(p, d.logits, &depth, r);
        }
        if (!failure && !r->reason[0])
            failure = maps_keep(context, d.T, d.res, d.pre, d.post);
    }
    if (failure)
        snprintf(r->reason, sizeof r->reason, "%s", failure);
    close_drawn(&d);
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend cpu;
    if (p->from[0])
        return source_of(p)->estimate(p, needed, available, why, why_size);
    if (!backend_open(&cpu, "cpu64", why, why_size))
        return false;
    *needed = bytes(p);
    *available = (double)backend_available(&cpu);
    backend_close(&cpu);
    return true;
}

static double flops(const struct params *p) {
    return p->from[0] ? source_of(p)->flops(p) : study_measure_flops(p, token_count(p));
}

const struct study study_maps = {.run = run, .estimate = estimate, .flops = flops};
