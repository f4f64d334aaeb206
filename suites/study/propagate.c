#include "suites/study/propagate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/stack.h"

/* What the stack's hooks need. */
struct probe {
    const struct params *p;
    const struct stack_spec *spec;
    struct study_result *result;
    double *x;           /* [T][n][C] of the layer at hand */
    double *res;         /* [L][T][n][n], NULL when no map is measured */
    void *logits, *work; /* of row mhc.logits, in the backend's memory */
    double *logits_host;
    const struct mhc_row *logits_row;
    double branch_norm, connection_norm;
    const char *failure;
};

static bool wants(const struct params *p, unsigned groups) {
    return (unsigned)p->measure & groups;
}

enum { OF_MAPS = MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING };

static void give_parameter(void *user, int64_t layer, const char *name, int64_t count, double *values) {
    struct probe *probe = user;
    ensemble_parameter(probe->p, layer, name, count, values);
}

static void measure_logits(struct probe *probe, int64_t layer, const void *x, const struct array *parameters,
                           int count) {
    const struct mhc_case *c = &probe->spec->c;
    struct array arrays[20];
    memcpy(arrays, parameters, (size_t)count * sizeof *arrays);
    arrays[count] = (struct array){"x", (void *)x};
    arrays[count + 1] = (struct array){"logits", probe->logits};
    int64_t cells = c->T * c->n * c->n;
    const char *failure = backend_run(probe->spec->backend, probe->logits_row, c, arrays, count + 2, NULL, probe->work);
    if (!failure && !backend_download(probe->spec->backend, probe->logits_host, probe->logits, cells, c->coef))
        failure = "logits cannot be copied from the device";
    if (failure)
        probe->failure = failure;
    else if (mhc_measure_logits(probe->logits_host, c->T, c->n, layer, &probe->result->curves))
        probe->failure = "out of memory";
}

static void forward_done(void *user, int64_t layer, const void *x, const void *res, const struct array *parameters,
                         int count) {
    struct probe *probe = user;
    const struct mhc_case *c = &probe->spec->c;
    int64_t cells = c->n * c->n;
    if (wants(probe->p, MHC_GROUP_STREAM)) {
        if (!backend_download(probe->spec->backend, probe->x, x, c->T * c->n * c->C, c->stream))
            probe->failure = "x cannot be copied from the device";
        if (mhc_measure_streams(probe->x, c->T, c->n, c->C, layer, &probe->result->curves))
            probe->failure = "out of memory";
    }
    if (probe->res && res) {
        if (!backend_download(probe->spec->backend, probe->res + layer * c->T * cells, res, c->T * cells, c->coef))
            probe->failure = "res cannot be copied from the device";
    } else if (probe->res) { /* ResNet and identity HC */
        for (int64_t k = 0; k < c->T * cells; k++)
            probe->res[layer * c->T * cells + k] = k % cells % (c->n + 1) == 0;
    }
    if (probe->logits_row)
        measure_logits(probe, layer, x, parameters, count);
}

static void take_gradient(void *user, int64_t layer, const char *name, int64_t count, const double *values) {
    struct probe *probe = user;
    bool branch = name[0] == 'w' || !strcmp(name, "gain");
    double *norm = branch ? &probe->branch_norm : &probe->connection_norm;
    *norm = hypot(*norm, mhc_norm(values, count));
    probe->result->curves.curve[MHC_grad_branch_norm][MHC_MEAN][layer] = probe->branch_norm;
    probe->result->curves.curve[MHC_grad_connection_norm][MHC_MEAN][layer] = probe->connection_norm;
}

static void backward_done(void *user, int64_t layer, const void *grad_x) {
    struct probe *probe = user;
    const struct mhc_case *c = &probe->spec->c;
    probe->branch_norm = probe->connection_norm = 0;
    if (!wants(probe->p, MHC_GROUP_STREAM))
        return;
    if (!backend_download(probe->spec->backend, probe->x, grad_x, c->T * c->n * c->C, c->stream))
        probe->failure = "grad_x cannot be copied from the device";
    if (mhc_measure_gradient(probe->x, c->T, c->n, c->C, layer, &probe->result->curves))
        probe->failure = "out of memory";
}

/* Host memory of the measurements: x0, grad_out, x, res and its logits. */
static double host_bytes(const struct params *p) {
    double T = (double)p->tokens, n = (double)p->streams, C = (double)p->width, L = (double)p->depth;
    double largest_parameter = n * C * (n * n + 2 * n) > 4 * C * C ? n * C * (n * n + 2 * n) : 4 * C * C;
    return 8 * (T * C * (2 + n) + (wants(p, OF_MAPS) ? L * T * n * n : 0) + T * n * n + largest_parameter) +
           (wants(p, OF_MAPS) ? mhc_measure_bytes(p->depth, p->tokens, p->streams) : 0);
}

/* Opens the backend and describes the stack, L_r decided. */
static bool describe(const struct params *p, struct backend *b, struct stack_spec *spec, double *needed,
                     double *available, char *why, size_t why_size) {
    if (!backend_open(b, p->backend, why, why_size))
        return false;
    static _Thread_local char block[PARAM_TEXT_SIZE], branch[PARAM_TEXT_SIZE];
    snprintf(block, sizeof block, "%s", params_word(p, "block"));
    snprintf(branch, sizeof branch, "%s", params_word(p, "branch"));
    *spec = (struct stack_spec){.backend = b,
                                .c = ensemble_case(p),
                                .block = block,
                                .branch = branch,
                                .L = p->depth,
                                .hold = p->weights == 0,
                                .gradients = p->gradient != 0};
    backend_types(b, (int)p->type - 1, &spec->c);
    *available = (double)backend_available(b);
    spec->recompute = p->recompute == RECOMPUTE_AUTO ? 0 : p->recompute;
    *needed = stack_bytes(spec, why, why_size);
    double host = b->library->memory ? 0 : host_bytes(p);
    if (p->recompute == RECOMPUTE_AUTO && *needed + host > 0.7 * *available) {
        spec->recompute = stack_recompute_rule(p->depth, p->streams);
        *needed = stack_bytes(spec, why, why_size);
    }
    if (*needed < 0)
        return false;
    *needed += host;
    return true;
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend b = {0};
    struct stack_spec spec;
    bool good = ensemble_check_input(p, why, why_size) && describe(p, &b, &spec, needed, available, why, why_size);
    if (b.library)
        backend_close(&b);
    return good;
}

double propagate_flops(const struct params *p) {
    struct backend b = {0};
    struct stack_spec spec;
    double needed, available, sum = 0;
    char why[256];
    if (describe(p, &b, &spec, &needed, &available, why, sizeof why))
        for (const struct mhc_row *const *row = b.library->rows; *row; row++) {
            const char *dot = strchr((*row)->name, '.');
            size_t length = (size_t)(dot - (*row)->name);
            bool part = (strlen(spec.block) == length && !strncmp(spec.block, (*row)->name, length)) ||
                        (strlen(spec.branch) == length && !strncmp(spec.branch, (*row)->name, length));
            bool crossing = !strcmp(dot, ".post_pre") || !strcmp(dot, ".backward_y"); /* of parts that are counted */
            if (part && !crossing && (*row)->flops && (spec.gradients || !strstr(dot, "backward")))
                sum += (*row)->flops(&spec.c);
        }
    if (b.library)
        backend_close(&b);
    return sum * (double)p->depth;
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

static bool open_probe(struct probe *probe, struct stack_spec *spec) {
    const struct params *p = probe->p;
    const struct mhc_case *c = &spec->c;
    const char *why;
    size_t cells = (size_t)(c->T * c->n * c->n);
    probe->x = malloc((size_t)(c->T * c->n * c->C) * sizeof(double));
    probe->res = wants(p, OF_MAPS) ? malloc((size_t)spec->L * cells * sizeof(double)) : NULL;
    if (p->block == BLOCK_MHC && wants(p, MHC_GROUP_LOGIT))
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
           allocate_curves(&probe->result->curves, spec->L, groups, p);
}

static void close_probe(struct probe *probe) {
    free(probe->x);
    free(probe->res);
    free(probe->logits_host);
    backend_release(probe->spec->backend, probe->logits);
    backend_release(probe->spec->backend, probe->work);
}

static void run_stack(const struct params *p, struct stack_spec *spec, struct probe *probe) {
    char *why = probe->result->reason;
    size_t why_size = sizeof probe->result->reason, edge = (size_t)(spec->c.T * spec->c.C);
    double *values = malloc(edge * sizeof *values);
    struct stack *stack = values ? stack_create(spec, why, why_size) : NULL;
    const char *failure = values ? NULL : "out of memory";
    if (stack && ensemble_tokens(p, values, why, why_size)) {
        failure = stack_forward(stack, values, NULL);
        if (!failure && spec->gradients) {
            ensemble_output_gradient(p, values);
            failure = stack_backward(stack, values, NULL);
        }
        if (!failure)
            failure = probe->failure;
        if (!failure && probe->res && !study_measure_maps(p, spec->c.T, probe->res, probe->result))
            failure = "out of memory";
    }
    if (failure)
        snprintf(why, why_size, "%s", failure);
    stack_release(stack);
    free(values);
}

static void run(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    struct backend b = {0};
    struct stack_spec spec;
    double needed, available;
    if (describe(p, &b, &spec, &needed, &available, r->reason, sizeof r->reason)) {
        struct probe probe = {.p = p, .spec = &spec, .result = r};
        bool gradients = spec.gradients && wants(p, MHC_GROUP_GRADIENT);
        spec.owner = (struct stack_owner){.user = &probe,
                                          .parameter = give_parameter,
                                          .forward = forward_done,
                                          .backward = backward_done,
                                          .gradient = gradients ? take_gradient : NULL};
        if (open_probe(&probe, &spec))
            run_stack(p, &spec, &probe);
        else
            snprintf(r->reason, sizeof r->reason, "out of memory");
        close_probe(&probe);
    }
    if (b.library)
        backend_close(&b);
}

static double flops(const struct params *p) {
    return study_measure_flops(p, p->tokens) + propagate_flops(p);
}

const struct study study_propagate = {.run = run, .estimate = estimate, .flops = flops};
