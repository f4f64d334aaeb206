#include "suites/study/propagate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"

/* What is measured on the way. */
struct probe {
    const struct params *p;
    const struct program_spec *spec;
    struct study_result *result;
    double *x;           /* [T][n][C] of the layer at hand */
    double *res;         /* [L][T][n][n], NULL when no map is measured */
    void *logits, *work; /* of row mhc.logits, in the backend's memory */
    double *logits_host, *gradient;
    const struct mhc_row *logits_row;
    double branch_norm, connection_norm;
};

static bool wants(const struct params *p, unsigned groups) {
    return (unsigned)p->measure & groups;
}

enum { OF_MAPS = MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING };

static const char *give(void *user, const struct program_array *a, double *values) {
    static _Thread_local char why[256];
    const struct probe *probe = user;
    if (!strcmp(a->argument, "x0"))
        return ensemble_tokens(probe->p, values, why, sizeof why) ? NULL : why;
    if (!strcmp(a->argument, "grad_out"))
        ensemble_output_gradient(probe->p, values);
    else
        ensemble_parameter(probe->p, a->layer, a->argument, a->count, values);
    return NULL;
}

/* Row mhc.logits on what pre has read. */
static const char *measure_logits(struct probe *probe, const struct program *stack, const struct program_call *pre) {
    const struct mhc_case *c = &probe->spec->c;
    struct array arrays[MHC_MAX_ARGS + 1] = {{"logits", probe->logits}};
    int count = 1;
    for (const struct mhc_arg *arg = pre->row->args; arg->name; arg++)
        arrays[count++] = (struct array){arg->name, program_argument(stack, pre, arg->name)};
    int64_t cells = c->T * c->n * c->n;
    const char *failure = backend_run(probe->spec->backend, probe->logits_row, c, arrays, count, NULL, probe->work);
    if (!failure && !backend_download(probe->spec->backend, probe->logits_host, probe->logits, cells, c->coef))
        failure = "logits cannot be copied from the device";
    if (!failure && mhc_measure_logits(probe->logits_host, c->T, c->n, pre->layer, &probe->result->curves))
        failure = "out of memory";
    return failure;
}

/* A layer of the forward pass has its coefficients. */
static const char *measure_layer(struct probe *probe, const struct program *stack, const struct program_call *pre) {
    const struct mhc_case *c = &probe->spec->c;
    const struct backend *b = probe->spec->backend;
    const void *res = mhc_extent(&pre->c, 'N') ? program_argument(stack, pre, "res") : NULL;
    int64_t cells = c->n * c->n;
    double *own = probe->res ? probe->res + pre->layer * c->T * cells : NULL;
    if (wants(probe->p, MHC_GROUP_STREAM)) {
        if (!backend_download(b, probe->x, program_argument(stack, pre, "x"), c->T * c->n * c->C, c->stream))
            return "x cannot be copied from the device";
        if (mhc_measure_streams(probe->x, c->T, c->n, c->C, pre->layer, &probe->result->curves))
            return "out of memory";
    }
    if (own && res && !backend_download(b, own, res, c->T * cells, c->coef))
        return "res cannot be copied from the device";
    for (int64_t k = 0; k < c->T * cells && own && !res; k++) /* ResNet and identity HC */
        own[k] = k % cells % (c->n + 1) == 0;
    return probe->logits_row ? measure_logits(probe, stack, pre) : NULL;
}

/* Norms of a layer's gradients, of F's and of the connection's. */
static const char *measure_gradients(struct probe *probe, const struct program *stack, const struct program_call *call,
                                     double *norm) {
    const struct mhc_case *c = &probe->spec->c;
    for (const struct mhc_arg *arg = call->row->args; arg->name; arg++) {
        int64_t count = mhc_elements(c, arg);
        if (arg->role != MHC_PARAM || arg->direction != MHC_OUT || !count)
            continue;
        if (!backend_download(probe->spec->backend, probe->gradient, program_argument(stack, call, arg->name), count,
                              c->param))
            return "gradients cannot be copied from the device";
        *norm = hypot(*norm, mhc_norm(probe->gradient, count));
    }
    probe->result->curves.curve[MHC_grad_branch_norm][MHC_MEAN][call->layer] = probe->branch_norm;
    probe->result->curves.curve[MHC_grad_connection_norm][MHC_MEAN][call->layer] = probe->connection_norm;
    return NULL;
}

static const char *measure_grad_x(struct probe *probe, const struct program *stack, const struct program_call *call) {
    const struct mhc_case *c = &probe->spec->c;
    if (!backend_download(probe->spec->backend, probe->x, program_argument(stack, call, "grad_x"), c->T * c->n * c->C,
                          c->stream))
        return "grad_x cannot be copied from the device";
    return mhc_measure_gradient(probe->x, c->T, c->n, c->C, call->layer, &probe->result->curves) ? "out of memory"
                                                                                                 : NULL;
}

static const char *measure(void *user, const struct program *stack, const struct program_call *call) {
    struct probe *probe = user;
    bool backward = call->part == STEP_BACKWARD, branch = call->part == STEP_OTHER && call->layer >= 0;
    if (call->part == STEP_PRE && !call->backward)
        return measure_layer(probe, stack, call);
    if (!call->backward || !(backward || branch))
        return NULL;
    const char *why = NULL;
    if (wants(probe->p, MHC_GROUP_GRADIENT))
        why = measure_gradients(probe, stack, call, backward ? &probe->connection_norm : &probe->branch_norm);
    if (backward && !why && wants(probe->p, MHC_GROUP_STREAM))
        why = measure_grad_x(probe, stack, call);
    if (backward)
        probe->branch_norm = probe->connection_norm = 0;
    return why;
}

/* Host memory of the measurements: x0, grad_out, x, res and its logits. */
static double host_bytes(const struct params *p) {
    double T = (double)p->tokens, n = (double)p->streams, C = (double)p->width, L = (double)p->depth;
    double largest_parameter = n * C * (n * n + 2 * n) > 4 * C * C ? n * C * (n * n + 2 * n) : 4 * C * C;
    return 8 * (T * C * (2 + n) + (wants(p, OF_MAPS) ? L * T * n * n : 0) + T * n * n + largest_parameter) +
           (wants(p, OF_MAPS) ? mhc_measure_bytes(p->depth, p->tokens, p->streams) : 0);
}

/* Opens the backend and describes the stack. */
static bool describe(const struct params *p, struct backend *b, struct program_spec *spec, char *why, size_t why_size) {
    if (!backend_open(b, p->backend, why, why_size))
        return false;
    *spec = ensemble_stack(p, b);
    spec->recompute = p->recompute == RECOMPUTE_AUTO ? 0 : p->recompute;
    spec->backward = p->gradient != 0;
    spec->regenerate = p->weights != 0;
    return true;
}

/* Bytes that a case takes, L_r decided; -1: it cannot be run. */
static double decide(const struct params *p, struct program_spec *spec, char *why, size_t why_size) {
    double host = spec->backend->library->memory ? 0 : host_bytes(p), needed = program_estimate(spec, why, why_size);
    if (p->recompute == RECOMPUTE_AUTO && needed + host > 0.7 * (double)backend_available(spec->backend)) {
        spec->recompute = program_recompute_rule(p->depth, p->streams);
        needed = program_estimate(spec, why, why_size);
    }
    return needed < 0 ? -1 : needed + host;
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend b = {0};
    struct program_spec spec;
    bool good = ensemble_check_input(p, why, why_size) && describe(p, &b, &spec, why, why_size);
    if (good) {
        *available = (double)backend_available(&b);
        good = (*needed = decide(p, &spec, why, why_size)) >= 0;
    }
    if (b.library)
        backend_close(&b);
    return good;
}

double propagate_flops(const struct params *p) {
    struct backend b = {0};
    struct program_spec spec;
    struct program layer;
    struct program_memory memory = {0};
    char why[256];
    double flops = 0;
    if (describe(p, &b, &spec, why, sizeof why)) {
        spec.layers = 1;
        spec.recompute = 0;
        flops = program_compose(&layer, &spec, &memory) ? 0 : program_flops(&layer, STEP_ALL);
        program_release(&layer);
        program_memory_release(&memory);
    }
    if (b.library)
        backend_close(&b);
    return flops * (double)p->depth;
}

/* Without a gradient there is no curve of it. */
static bool allocate_curves(struct mhc_curves *curves, int64_t L, unsigned groups, const struct params *p) {
    if (!mhc_curves_allocate(curves, L, groups, p->record == RECORD_CURVES))
        return false;
    for (int s = 0; s < MHC_STATISTICS && p->gradient == 0; s++) {
        free(curves->curve[MHC_grad_x_rms][s]);
        curves->curve[MHC_grad_x_rms][s] = NULL;
    }
    return true;
}

static bool open_probe(struct probe *probe, struct program_spec *spec) {
    const struct params *p = probe->p;
    const struct mhc_case *c = &spec->c;
    const char *why;
    size_t cells = (size_t)(c->T * c->n * c->n);
    probe->x = malloc((size_t)(c->T * c->n * c->C) * sizeof(double));
    probe->res = wants(p, OF_MAPS) ? malloc((size_t)spec->layers * cells * sizeof(double)) : NULL;
    if (connection_has_sinkhorn(params_connection(p)) && wants(p, MHC_GROUP_LOGIT))
        probe->logits_row = backend_row(spec->backend, "mhc", "logits", c, &why);
    if (probe->logits_row) {
        probe->logits = backend_allocate(spec->backend, (int64_t)cells * mhc_type_bytes(c->coef));
        probe->work = backend_allocate(spec->backend, row_work_bytes(probe->logits_row, c));
        probe->logits_host = malloc(cells * sizeof(double));
    }
    unsigned groups = (unsigned)p->measure;
    if (!probe->logits_row)
        groups &= ~(unsigned)MHC_GROUP_LOGIT;
    if (p->gradient == 0)
        groups &= ~(unsigned)MHC_GROUP_GRADIENT;
    return probe->x && (probe->res || !wants(p, OF_MAPS)) &&
           (!probe->logits_row || (probe->logits && probe->work && probe->logits_host)) &&
           allocate_curves(&probe->result->curves, spec->layers, groups, p);
}

static void close_probe(struct probe *probe) {
    free(probe->x);
    free(probe->res);
    free(probe->logits_host);
    backend_release(probe->spec->backend, probe->logits);
    backend_release(probe->spec->backend, probe->work);
}

static const char *run_stack(struct program_spec *spec, struct probe *probe) {
    struct program stack;
    const struct program_owner owner = {probe, give, measure};
    const char *why = program_open(&stack, spec, &owner);
    probe->gradient = why ? NULL : stack.memory->host; /* between two calls nothing else is in it */
    why = why ? why : program_execute(&stack, &owner);
    if (!why && probe->res && !study_measure_maps(probe->p, spec->c.T, probe->res, probe->result))
        why = "out of memory";
    program_close(&stack);
    return why;
}

static void run(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    struct backend b = {0};
    struct program_spec spec;
    if (describe(p, &b, &spec, r->reason, sizeof r->reason) && decide(p, &spec, r->reason, sizeof r->reason) >= 0) {
        struct probe probe = {.p = p, .spec = &spec, .result = r};
        const char *why = open_probe(&probe, &spec) ? run_stack(&spec, &probe) : "out of memory";
        if (why)
            snprintf(r->reason, sizeof r->reason, "%s", why);
        close_probe(&probe);
    }
    if (b.library)
        backend_close(&b);
}

static double flops(const struct params *p) {
    return study_measure_flops(p, p->tokens) + propagate_flops(p);
}

const struct study study_propagate = {.run = run, .estimate = estimate, .flops = flops};
