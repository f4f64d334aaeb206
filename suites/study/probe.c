#include "suites/study/probe.h"

#include <math.h>
#include <stdlib.h>

bool probe_wants(const struct params *p, unsigned groups) {
    return (unsigned)p->measure & groups;
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

/* pre and post, which stay 1 where the connection has none. */
static const char *take_gates(struct probe *probe, const struct program *stack, const struct program_call *call) {
    const struct mhc_case *c = &probe->spec->c;
    const struct backend *b = probe->spec->backend;
    const void *pre = program_argument(stack, call, "pre"), *post = program_argument(stack, call, "post");
    const int64_t count = c->T * c->n, at = call->layer * count;
    if (!probe->pre || !pre || !post)
        return NULL;
    return backend_download(b, probe->pre + at, pre, count, c->coef) &&
                   backend_download(b, probe->post + at, post, count, c->coef)
               ? NULL
               : "pre and post cannot be copied from the device";
}

/* A layer of the forward pass has its coefficients. */
static const char *measure_layer(struct probe *probe, const struct program *stack, const struct program_call *pre) {
    const struct mhc_case *c = &probe->spec->c;
    const struct backend *b = probe->spec->backend;
    const void *res = mhc_extent(&pre->c, 'N') ? program_argument(stack, pre, "res") : NULL;
    int64_t cells = c->n * c->n;
    double *own = probe->res ? probe->res + pre->layer * c->T * cells : NULL;
    if (probe_wants(probe->p, MHC_GROUP_STREAM)) {
        if (!backend_download(b, probe->x, program_argument(stack, pre, "x"), c->T * c->n * c->C, c->stream))
            return "x cannot be copied from the device";
        if (mhc_measure_streams(probe->x, c->T, c->n, c->C, pre->layer, &probe->result->curves))
            return "out of memory";
    }
    if (own && res && !backend_download(b, own, res, c->T * cells, c->coef))
        return "res cannot be copied from the device";
    for (int64_t k = 0; k < c->T * cells && own && !res; k++) /* ResNet and identity HC */
        own[k] = k % cells % (c->n + 1) == 0;
    const char *why = take_gates(probe, stack, pre);
    return !why && probe->logits_row ? measure_logits(probe, stack, pre) : why;
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

const char *probe_measure(void *user, const struct program *stack, const struct program_call *call) {
    struct probe *probe = user;
    bool backward = call->part == STEP_BACKWARD, branch = call->part == STEP_OTHER && call->layer >= 0;
    if (call->part == STEP_PRE && !call->backward)
        return measure_layer(probe, stack, call);
    if (!call->backward || !(backward || branch))
        return NULL;
    const char *why = NULL;
    if (probe_wants(probe->p, MHC_GROUP_GRADIENT))
        why = measure_gradients(probe, stack, call, backward ? &probe->connection_norm : &probe->branch_norm);
    if (backward && !why && probe_wants(probe->p, MHC_GROUP_STREAM))
        why = measure_grad_x(probe, stack, call);
    if (backward)
        probe->branch_norm = probe->connection_norm = 0;
    return why;
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

bool probe_open(struct probe *probe) {
    const struct params *p = probe->p;
    const struct program_spec *spec = probe->spec;
    const struct mhc_case *c = &spec->c;
    const char *why;
    size_t cells = (size_t)(c->T * c->n * c->n);
    probe->x = malloc((size_t)(c->T * c->n * c->C) * sizeof(double));
    probe->res = probe_wants(p, PROBE_OF_MAPS) ? malloc((size_t)spec->layers * cells * sizeof(double)) : NULL;
    if (probe->res) {
        const size_t gates = (size_t)(spec->layers * c->T * c->n);
        probe->pre = malloc(gates * sizeof(double));
        probe->post = malloc(gates * sizeof(double));
        for (size_t k = 0; k < gates && probe->pre && probe->post; k++)
            probe->pre[k] = probe->post[k] = 1;
    }
    if (connection_has_sinkhorn(params_connection(p)) && probe_wants(p, MHC_GROUP_LOGIT))
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
    return probe->x && ((probe->res && probe->pre && probe->post) || !probe_wants(p, PROBE_OF_MAPS)) &&
           (!probe->logits_row || (probe->logits && probe->work && probe->logits_host)) &&
           allocate_curves(&probe->result->curves, spec->layers, groups, p);
}

struct mhc_depth probe_depth(const struct probe *probe) {
    const struct mhc_case *c = &probe->spec->c;
    return (struct mhc_depth){probe->spec->layers, c->T, c->n, probe->res, probe->pre, probe->post};
}

void probe_close(struct probe *probe) {
    free(probe->x);
    free(probe->res);
    free(probe->pre);
    free(probe->post);
    free(probe->logits_host);
    backend_release(probe->spec->backend, probe->logits);
    backend_release(probe->spec->backend, probe->work);
}
