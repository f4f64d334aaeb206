#include "suites/study/propagate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/ensemble.h"
#include "suites/study/probe.h"
#include "suites/study/train.h"

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

/* Host memory of the measurements: x0, grad_out, x, res and its logits. */
static double host_bytes(const struct params *p) {
    double T = (double)p->tokens, n = (double)p->streams, C = (double)p->width, L = (double)p->depth;
    double largest_parameter = n * C * (n * n + 2 * n) > 4 * C * C ? n * C * (n * n + 2 * n) : 4 * C * C;
    return 8 * (T * C * (2 + n) + (probe_wants(p, PROBE_OF_MAPS) ? L * T * n * (n + 2) : 0) + T * n * n +
                largest_parameter) +
           (probe_wants(p, PROBE_OF_MAPS) ? mhc_measure_bytes(p->depth, p->tokens, p->streams) : 0);
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
    if (p->from[0])
        return train_replay_estimate(p, needed, available, why, why_size);
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

static const char *run_stack(struct program_spec *spec, struct probe *probe) {
    struct program stack;
    const struct program_owner owner = {probe, give, probe_measure};
    const char *why = program_open(&stack, spec, &owner);
    probe->gradient = why ? NULL : stack.memory->host; /* between two calls nothing else is in it */
    worker_at("forward and backward", 0, 0);
    why = why ? why : program_execute(&stack, &owner);
    const struct mhc_depth depth = probe_depth(probe);
    if (!why && probe->res && !study_measure_maps(probe->p, &depth, probe->result))
        why = "out of memory";
    program_close(&stack);
    return why;
}

static void run(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    struct backend b = {0};
    struct program_spec spec;
    if (p->from[0]) {
        train_replay(context, r);
        return;
    }
    if (describe(p, &b, &spec, r->reason, sizeof r->reason) && decide(p, &spec, r->reason, sizeof r->reason) >= 0) {
        struct probe probe = {.p = p, .spec = &spec, .result = r};
        const char *why = probe_open(&probe) ? run_stack(&spec, &probe) : "out of memory";
        if (why)
            snprintf(r->reason, sizeof r->reason, "%s", why);
        probe_close(&probe);
    }
    if (b.library)
        backend_close(&b);
}

static double flops(const struct params *p) {
    return p->from[0] ? train_replay_flops(p) : study_measure_flops(p, p->tokens) + propagate_flops(p);
}

const struct study study_propagate = {.run = run, .estimate = estimate, .flops = flops};
