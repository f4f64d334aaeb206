/* One deep stack that runs whole: what it is made of, and all that comes out of it. */
#ifndef STACK_TRIAL_H
#define STACK_TRIAL_H

#include <criterion/criterion.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"

/* One stack: what it is made of, and all that comes out of it. */
struct trial {
    struct params p;
    struct backend backend;
    struct program_spec spec;
    double along_x, along_parameters; /* steps of the finite difference */
    double *out, *grad_x0;
    double *gradients; /* of all parameters, in the order they come */
    int64_t gradient_count, gradient_room;
    double derivative; /* <gradients, direction> */
    int layers_forward, layers_backward;
};

enum { WHAT_X = 1, WHAT_DX, WHAT_GRAD };

static inline double direction(const char *name, int64_t layer, int64_t k) {
    uint32_t what = 17;
    for (; *name; name++)
        what = what * 31 + (unsigned char)*name;
    return mhc_normal(8, what, (uint32_t)layer, (uint64_t)k);
}

static inline const char *give(void *user, const struct program_array *a, double *values) {
    const struct trial *t = user;
    bool x0 = !strcmp(a->argument, "x0"), grad_out = !strcmp(a->argument, "grad_out");
    if (!x0 && !grad_out)
        ensemble_parameter(&t->p, a->layer, a->argument, a->count, values);
    for (int64_t k = 0; k < a->count; k++)
        if (x0)
            values[k] = mhc_normal(2, WHAT_X, 0, (uint64_t)k) + t->along_x * mhc_normal(2, WHAT_DX, 0, (uint64_t)k);
        else if (grad_out)
            values[k] = mhc_normal(2, WHAT_GRAD, 0, (uint64_t)k);
        else if (t->along_parameters != 0)
            values[k] += t->along_parameters * direction(a->argument, a->layer, k);
    return NULL;
}

static inline void take_gradient(struct trial *t, int64_t layer, const char *name, int64_t count,
                                 const double *values) {
    if (t->gradient_count + count > t->gradient_room) {
        t->gradient_room = 2 * (t->gradient_count + count);
        t->gradients = realloc(t->gradients, (size_t)t->gradient_room * sizeof(double));
    }
    memcpy(t->gradients + t->gradient_count, values, (size_t)count * sizeof(double));
    t->gradient_count += count;
    for (int64_t k = 0; k < count; k++)
        t->derivative += values[k] * direction(name, layer, k);
}

/* Results of a call: out, grad_x0 and gradients of parameters. Layers come in order, forward and back. */
static inline const char *take(void *user, const struct program *stack, const struct program_call *call) {
    struct trial *t = user;
    if (call->part == STEP_PRE && !call->backward)
        cr_assert(program_argument(stack, call, "x") && call->layer == t->layers_forward++);
    if (call->part == STEP_BACKWARD)
        cr_assert(program_argument(stack, call, "grad_x") && call->layer == t->spec.layers - ++t->layers_backward);
    for (const struct mhc_arg *arg = call->row->args; arg->name; arg++) {
        int64_t count = mhc_elements(&t->spec.c, arg);
        bool out = !strcmp(arg->name, "out"), gradient = arg->role == MHC_PARAM && arg->direction == MHC_OUT && count;
        if (!out && !gradient && strcmp(arg->name, "grad_x0"))
            continue;
        double *own = gradient ? malloc((size_t)count * sizeof *own) : NULL, *to = own   ? own
                                                                                   : out ? t->out
                                                                                         : t->grad_x0;
        bool copied = backend_download(&t->backend, to, program_argument(stack, call, arg->name), count,
                                       mhc_arg_type(&t->spec.c, arg));
        if (copied && gradient)
            take_gradient(t, call->layer, arg->name + strlen("grad_"), count, own);
        free(own);
        if (!copied)
            return "a result cannot be copied from the device";
    }
    return NULL;
}

static inline void release(struct trial *t) {
    free(t->out);
    free(t->grad_x0);
    free(t->gradients);
    t->out = t->grad_x0 = t->gradients = NULL;
    t->gradient_count = t->gradient_room = t->layers_forward = t->layers_backward = 0;
    t->derivative = 0;
}

/* Runs the trial; NULL or why it failed. */
static inline const char *run(struct trial *t) {
    static char why[300];
    struct program stack;
    const struct program_owner owner = {t, give, take};
    size_t edge = (size_t)(t->spec.c.T * t->spec.c.C) * sizeof(double);
    release(t);
    t->spec.backend = &t->backend;
    t->out = malloc(edge);
    t->grad_x0 = malloc(edge);
    const char *failure = program_open(&stack, &t->spec, &owner);
    failure = failure ? failure : program_execute(&stack, &owner);
    if (failure)
        snprintf(why, sizeof why, "%s", failure);
    program_close(&stack);
    return failure ? why : NULL;
}

struct kind {
    const char *block, *branch;
    int32_t convention, activation;
};
static const struct kind kinds[] = {
    {"resnet", "linear", 0, 0},         {"hc", "linear", 0, 0},           {"hc-static", "linear", 0, 0},
    {"mhc", "linear", MHC_PAPER, 0},    {"mhc", "linear", MHC_V4, 0},     {"identity", "linear", MHC_PAPER, 0},
    {"resnet", "mlp", 0, MHC_GELU},     {"hc", "mlp", 0, MHC_SWIGLU},     {"mhc", "mlp", MHC_PAPER, MHC_GELU},
    {"mhc", "mlp", MHC_V4, MHC_SWIGLU}, {"resnet", "attention", 0, 0},    {"mhc", "attention", MHC_PAPER, 0},
    {"hc-static", "attention", 0, 0},   {"identity", "mlp", 0, MHC_GELU}, {"skip", "linear", 0, 0}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static inline struct trial make(const struct kind *kind, const char *backend, int64_t L) {
    char why[300];
    struct trial t = {0};
    params_defaults(&t.p);
    cr_assert(params_set(&t.p, params_find("block"), kind->block, why, sizeof why), "%s", why);
    t.p.streams = connection_has_one_stream(params_connection(&t.p)) ? 1 : 3;
    t.p.width = 8, t.p.tokens = 6, t.p.sequence = 3, t.p.heads = 2, t.p.head_dim = 3, t.p.hidden = 5, t.p.t_max = 4;
    t.p.d = 1, t.p.s = 0.5, t.p.w = 0.3, t.p.alpha = 0.4, t.p.rms_eps = 1e-6, t.p.init = INIT_LATENT;
    t.p.convention = kind->convention, t.p.activation = kind->activation;
    if (params_connection(&t.p)->generator == GENERATOR_MHC)
        t.p.init = INIT_DIAGONAL; /* latent saturates pre and post */
    cr_assert(backend_open(&t.backend, backend, why, sizeof why), "%s", why);
    omp_set_num_threads(1); /* arrays of a few dozen numbers */
    t.spec = (struct program_spec){.c = ensemble_case(&t.p),
                                   .connection = kind->block,
                                   .branch = kind->branch,
                                   .layers = L,
                                   .ends = true,
                                   .backward = true,
                                   .share = true};
    backend_types(&t.backend, -1, &t.spec.c);
    return t;
}

static inline void describe(const struct trial *t, char *text, size_t size) {
    snprintf(text, size, "%s, %s x %s, convention %d, activation %d, L %lld, L_r %lld, %s", t->backend.library->name,
             t->spec.connection, t->spec.branch, t->spec.c.convention, t->spec.c.activation, (long long)t->spec.layers,
             (long long)t->spec.recompute, t->spec.regenerate ? "regenerate" : "hold");
}

static inline void expect_same_bits(const struct trial *a, const struct trial *b) {
    char what[300];
    size_t edge = (size_t)(a->spec.c.T * a->spec.c.C) * sizeof(double);
    describe(b, what, sizeof what);
    cr_expect(!memcmp(a->out, b->out, edge), "%s: out differs", what);
    cr_expect(!memcmp(a->grad_x0, b->grad_x0, edge), "%s: grad_x0 differs", what);
    cr_expect(a->gradient_count == b->gradient_count &&
                  !memcmp(a->gradients, b->gradients, (size_t)a->gradient_count * sizeof(double)),
              "%s: parameter gradients differ (%lld and %lld of them)", what, (long long)a->gradient_count,
              (long long)b->gradient_count);
}

#endif
