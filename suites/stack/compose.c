/* The order of a program: which row runs when, on which arrays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/compose.h"

static bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

int64_t program_recompute_rule(int64_t layers, int64_t n) {
    int64_t rule = (int64_t)lround(sqrt((double)n * (double)layers / (double)(n + 2)));
    return rule < 1 ? 1 : rule;
}

/* ---- where arrays lie ---- */

static int64_t recompute(const struct composer *m) {
    return m->k.without_copies ? 0 : m->spec->recompute;
}

int64_t compose_slot(const struct composer *m, int64_t l) {
    return recompute(m) ? l % (recompute(m) + 1) : l;
}

/* Whether the ends have one stream, while those of the other connections on the same memory may have more. */
static bool has_one_stream(const struct composer *m) {
    return m->k.without_copies || m->c.n != m->spec->c.n;
}

static struct place x_place(const struct composer *m, int64_t l) {
    int64_t every = recompute(m);
    if (l == 0 && !m->spec->ends)
        return (struct place){"x", has_one_stream(m) ? "x0_residual" : "x0", -1, HELD};
    if (every && l < m->spec->layers && l % every)
        return (struct place){"x", "x_again", compose_slot(m, l), MADE};
    return (struct place){"x", "x", l, MADE};
}

static struct place grad_x_place(const struct composer *m, int64_t l) {
    if (l == m->spec->layers && !m->spec->ends)
        return (struct place){"grad_x", has_one_stream(m) ? "grad_out_residual" : "grad_out", -1, HELD};
    return (struct place){"grad_x", "grad_x", l % 2, MADE};
}

struct place compose_place(const struct composer *m, int64_t l, const char *name) {
    static const char *const by_slot[] = {"u", "v", "r", "pre", "post", "res"};
    for (size_t k = 0; k < sizeof by_slot / sizeof *by_slot; k++)
        if (is(name, by_slot[k]))
            return (struct place){name, name, compose_slot(m, l), MADE};
    if (is(name, "x"))
        return x_place(m, l);
    if (is(name, "x_next"))
        return x_place(m, l + 1);
    if (is(name, "grad_x"))
        return grad_x_place(m, l);
    if (is(name, "grad_x_next"))
        return grad_x_place(m, l + 1);
    if (is(name, "post_below") || is(name, "res_below"))
        return (struct place){name, is(name, "post_below") ? "post" : "res", compose_slot(m, l - 1), MADE};
    if (is(name, "grad_y_below"))
        return (struct place){name, "grad_y", -1, MADE};
    bool of_program = !strncmp(name, "grad_", 5) || !strncmp(name, "mixed", 5);
    return (struct place){name, name, of_program ? -1 : l, MADE};
}

/* ---- a call ---- */

/* What a held array is filled with. */
static void draw(const struct mhc_case *c, const struct mhc_arg *arg, struct program_array *a) {
    int64_t fan_in = arg->fan_in ? mhc_extent(c, arg->fan_in) : 1;
    a->every = arg->diagonal ? c->n + 1 : 1;
    a->mean = (double)arg->around;
    a->scale = (double)arg->size / sqrt((double)fan_in);
}

static struct program_call *append(struct composer *m, const struct program_call *call) {
    struct program *p = m->p;
    if (p->calls == p->room) {
        int64_t room = p->room ? 2 * p->room : 64;
        struct program_call *grown = realloc(p->call, (size_t)room * sizeof *grown);
        p->failed |= !grown;
        if (!grown)
            return NULL;
        p->call = grown;
        p->room = room;
    }
    p->call[p->calls] = *call;
    return &p->call[p->calls++];
}

/* The last call reads or writes an array. */
static void touch(struct program *p, int64_t array, bool writes) {
    const struct program_call *call = &p->call[p->calls - 1];
    struct program_array *a = &p->arrays.array[array];
    a->last = p->calls - 1;
    a->first = a->first < 0 ? a->last : a->first;
    a->kept |= call->backward && !writes && !a->again;
    a->again |= call->backward && writes;
}

static struct program_call empty_call(const struct composer *m, const struct mhc_case *c, int64_t l) {
    struct program_call call = {.c = *c, .part = STEP_OTHER, .backward = m->backward, .layer = l, .save = -1};
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        call.argument[a] = -1;
    return call;
}

/* The array of an argument that the owner gives: asked for, unless it was in this pass. */
static int64_t give(struct composer *m, const struct place *place, const struct mhc_case *c, int64_t count,
                    int32_t type) {
    struct program *p = m->p;
    int64_t at = program_find(&p->arrays, place->name, place->layer);
    if (at >= 0 && p->arrays.array[at].given == m->pass)
        return at;
    struct program_call call = empty_call(m, c, place->layer);
    at = plan_array(p, place, p->spec.share, count, type);
    call.argument[0] = (int32_t)at;
    if (at < 0 || !append(m, &call))
        return -1;
    p->arrays.array[at].given = m->pass;
    touch(p, at, true);
    return at;
}

void compose_parameter_of(const char *gradient, char name[48]) {
    const char *at = strstr(gradient, "grad_");
    snprintf(name, 48, "%.*s%s", (int)(at - gradient), gradient, at + strlen("grad_"));
}

/* A parameter of a model, or its gradient, is a slice of a flat array. */
static void slice(struct composer *m, const struct place *place, int64_t at) {
    struct program *p = m->p;
    enum parameter_group group = strchr(place->name, '.')    ? GROUP_CONNECTION
                                 : place->argument[0] == 'w' ? GROUP_MATRICES
                                                             : GROUP_PLAIN;
    char parameter[48];
    if (place->source == HELD) {
        plan_slice(p, at, FLAT_PARAMETER, 0, group);
        return;
    }
    compose_parameter_of(place->name, parameter);
    plan_slice(p, at, FLAT_GRADIENT, program_find(&p->memory->held, parameter, place->layer), group);
}

/* The array that an argument is bound to, by its place. */
static int64_t bind(struct composer *m, const struct mhc_case *c, const struct mhc_arg *arg, struct place place) {
    struct program *p = m->p;
    int64_t count = mhc_elements(c, arg);
    bool made = arg->direction == MHC_OUT,
         given = place.source == GIVEN || (place.source == HELD && p->spec.regenerate && place.layer >= 0);
    place.argument = arg->name;
    place.source = given ? GIVEN : place.source;
    if (place.source == FLAT)
        return program_find(&p->arrays, place.name, place.layer);
    if (given && count > 0)
        return give(m, &place, c, count, mhc_arg_type(c, arg));
    if (p->spec.share && !made && place.source == MADE && count > 0 &&
        program_find(&p->arrays, place.name, place.layer) < 0) {
        if (!p->missing[0])
            snprintf(p->missing, sizeof p->missing, "array %s is read before a row has made it", place.name);
        return -1;
    }
    int64_t at = plan_array(p, &place, p->spec.share && made, count, mhc_arg_type(c, arg));
    struct program_array *array = at < 0 ? NULL : &p->arrays.array[at];
    array = array && array->held ? &p->memory->held.array[array->offset] : array;
    if (array)
        array->parameter |= arg->role == MHC_PARAM && made;
    if (array && place.source == HELD && array->scale == 0)
        draw(c, arg, array);
    if (array && p->spec.model && arg->role == MHC_PARAM)
        slice(m, &place, at);
    return at;
}

void compose_call(struct composer *m, enum step_part part, const struct mhc_row *row, const struct mhc_case *c,
                  int64_t l, const struct place *places, int count) {
    struct program *p = m->p;
    struct program_call call = empty_call(m, c, l);
    call.row = row;
    call.part = part;
    if (p->failed || p->missing[0])
        return;
    for (int a = 0; row->args[a].name; a++) {
        const struct mhc_arg *arg = &row->args[a];
        struct place place = compose_place(m, l, arg->name);
        char name[48];
        if (arg->role == MHC_PARAM)
            place = (struct place){arg->name, arg->name, l, arg->direction == MHC_IN ? HELD : MADE};
        if (arg->role == MHC_PARAM && step_is_connection(part)) {
            snprintf(name, sizeof name, "%s.%s", m->k.name, arg->name);
            place.name = name;
        }
        for (int k = 0; k < count; k++)
            if (is(places[k].argument, arg->name))
                place = places[k];
        call.argument[a] = (int32_t)bind(m, c, arg, place);
        if (call.argument[a] < 0)
            return;
    }
    if (!append(m, &call))
        return;
    for (int a = 0; row->args[a].name; a++)
        touch(p, call.argument[a], row->args[a].direction == MHC_OUT);
    struct program_array *work = &p->arrays.array[p->work];
    int64_t bytes = row_work_bytes(row, c);
    if (bytes > work->bytes)
        work->bytes = work->count = bytes;
}

void compose_keep(struct composer *m, const char *name, int64_t layer, int64_t bytes) {
    struct program *p = m->p;
    if (bytes <= 0 || p->failed || p->missing[0])
        return;
    struct program_call *call = &p->call[p->calls - 1];
    const struct place place = {NULL, name, layer, MADE};
    call->save = (int32_t)plan_array(p, &place, p->spec.share && !program_reads_save(call), bytes, -1);
    if (call->save >= 0)
        touch(p, call->save, !program_reads_save(call));
}

const struct mhc_row *compose_row(struct composer *m, const char *kind, const char *operation,
                                  const struct mhc_case *c) {
    const char *why;
    const struct mhc_row *row = backend_row(m->spec->backend, kind, operation, c, &why);
    if (!row && !m->p->missing[0])
        snprintf(m->p->missing, sizeof m->p->missing, "%s.%s: %.120s", kind, operation, why);
    return row;
}

void compose_run(struct composer *m, enum step_part part, const char *kind, const char *operation,
                 const struct mhc_case *c, int64_t l, const struct place *places, int count) {
    const struct mhc_row *row = compose_row(m, kind, operation, c);
    if (row)
        compose_call(m, part, row, c, l, places, count);
}

/* ---- the residual ---- */

static void residual_forward(struct composer *m) {
    const struct mhc_case *c = &m->c;
    int64_t L = m->spec->layers;
    for (int64_t l = 0; l < L; l++) {
        struct place x = x_place(m, l);
        x.argument = l ? "sum" : "u";
        if (l == 0)
            compose_run(m, STEP_NORM_FORWARD, "norm", "forward", c, l, PLACES(x));
        else
            compose_run(m, STEP_NORM_FORWARD, "addnorm", "forward", c, l,
                        PLACES(x_place(m, l - 1), {"y", "y", l - 1, MADE}, x));
        compose_branch(m, l);
    }
    compose_run(m, STEP_POST, "resnet", "post", c, L - 1, NULL, 0);
}

static void residual_backward(struct composer *m) {
    for (int64_t l = m->spec->layers; l-- > 0;) {
        struct place x = x_place(m, l), above = grad_x_place(m, l + 1);
        compose_branch_backward(m, l, above);
        x.argument = "sum";
        above.argument = "grad_sum";
        compose_run(m, STEP_NORM_BACKWARD, "addnorm", "backward", &m->c, l, PLACES(x, above));
    }
}

/* ---- connections with streams ---- */

/* A transformer block is two layers. */
static const char *branch_of(const struct composer *m, int64_t l) {
    return !is(m->spec->branch, "transformer") ? m->spec->branch : l % 2 ? "mlp" : "attention";
}

/* F in one row, which keeps what it needs; with its norm in parts. */
static void row_branch(struct composer *m, int64_t l) {
    const struct mhc_row *row = compose_row(m, branch_of(m, l), "forward", &m->c);
    if (!row || (m->backward && !row_save_bytes(row, &m->c)))
        return;
    compose_call(m, STEP_OTHER, row, &m->c, l, NULL, 0);
    compose_keep(m, "branch_save", compose_slot(m, l), row_save_bytes(row, &m->c));
}

static void row_branch_backward(struct composer *m, int64_t l) {
    const struct mhc_row *row = compose_row(m, branch_of(m, l), "forward", &m->c);
    compose_run(m, STEP_OTHER, branch_of(m, l), "backward", &m->c, l, NULL, 0);
    compose_keep(m, "branch_save", compose_slot(m, l), row_save_bytes(row, &m->c));
}

static void branch(struct composer *m, int64_t l) {
    if (m->spec->branch) {
        row_branch(m, l);
        return;
    }
    compose_run(m, STEP_NORM_FORWARD, "norm", "forward", &m->c, l, NULL, 0);
    if (!m->backward)
        compose_branch(m, l);
}

static void branch_backward(struct composer *m, int64_t l) {
    if (m->spec->branch) {
        row_branch_backward(m, l);
        return;
    }
    compose_branch_backward(m, l, (struct place){NULL, "grad_y", -1, MADE});
    compose_run(m, STEP_NORM_BACKWARD, "norm", "backward", &m->c, l, NULL, 0);
}

static void streams_forward(struct composer *m) {
    for (int64_t l = 0; l < m->spec->layers; l++) {
        compose_enter_layer(m, l);
        branch(m, l);
    }
    compose_post(m, m->spec->layers - 1);
}

/* Of the layers [from, to): what their backward needs, from the kept x of the first and every y. */
static void compute_again(struct composer *m, int64_t from, int64_t to) {
    m->pass++;
    for (int64_t l = from; l < to; l++) {
        if (l == from)
            compose_pre(m, l);
        else
            compose_enter_layer(m, l);
        branch(m, l);
    }
    m->pass++;
}

static void streams_backward(struct composer *m) {
    int64_t L = m->spec->layers, every = recompute(m);
    bool grad_y_known = false;
    for (int64_t l = L; l-- > 0 && !m->p->failed;) {
        if (every && (l + 1 == L || (l + 1) % every == 0))
            compute_again(m, l / every * every, l + 1);
        if (!grad_y_known)
            compose_call(m, STEP_POST_BACKWARD_Y, m->k.post_backward_y, &m->c, l, NULL, 0);
        branch_backward(m, l);
        grad_y_known = m->k.backward_y && l > 0 && !(every && l % every == 0);
        compose_leave_layer(m, l, grad_y_known);
    }
}

/* ---- all of it ---- */

static void end(struct composer *m, const char *operation, int64_t layer, struct place edge) {
    struct place x = x_place(m, layer), grad_x = grad_x_place(m, layer);
    if (m->spec->ends)
        compose_run(m, STEP_OTHER, "stack", operation, &m->c, -1, PLACES(x, grad_x, edge));
}

/* An array that the owner reads when all calls are done. */
static void keep_to_the_end(struct composer *m, const char *name) {
    int64_t at = program_find(&m->p->arrays, name, -1);
    if (at >= 0)
        m->p->arrays.array[at].last = INT64_MAX;
}

static void compose(struct composer *m) {
    int64_t L = m->spec->layers;
    bool model = m->spec->model;
    if (model)
        compose_model_enter(m);
    end(m, "entry", 0, (struct place){"x0", "x0", -1, model ? MADE : GIVEN});
    (m->k.without_copies ? residual_forward : streams_forward)(m);
    end(m, "exit", L, (struct place){"out", "out", -1, MADE});
    if (model)
        compose_model_leave(m);
    m->backward = true;
    m->pass++;
    if (m->spec->backward) {
        if (model)
            compose_model_enter_backward(m);
        end(m, "exit_backward", L, (struct place){"grad_out", "grad_out", -1, model ? MADE : GIVEN});
        (m->k.without_copies ? residual_backward : streams_backward)(m);
        end(m, "entry_backward", 0, (struct place){"grad_x0", "grad_x0", -1, MADE});
        if (model)
            compose_model_leave_backward(m);
    }
    if (model)
        keep_to_the_end(m, "loss");
    if (m->spec->adamw)
        (model ? compose_model_updates : compose_updates)(m);
}

const char *program_compose(struct program *p, const struct program_spec *spec, struct program_memory *memory) {
    struct composer m = {.p = p, .spec = &p->spec, .c = spec->c, .pass = 1};
    *p = (struct program){.spec = *spec, .memory = memory};
    memory->backend = spec->backend;
    memory->micro_batches = spec->micro_batches > 1 ? spec->micro_batches : 1;
    p->work = plan_array(p, &(struct place){"work", "work", -1, MADE}, false, 0, -1);
    compose_connection(&m);
    if (m.k.without_copies && spec->branch)
        snprintf(p->missing, sizeof p->missing, "the residual without copies has its branch in parts");
    if (!p->failed && !p->missing[0])
        compose(&m);
    if (!p->failed && !p->missing[0])
        plan_memory(p);
    return p->failed ? "out of memory" : p->missing[0] ? p->missing : NULL;
}
