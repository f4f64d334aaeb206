#include "suites/stack/stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMETERS = 16, MAX_OUTPUTS = 4, MAX_ARRAYS = 64 };

/* What one layer needs between its forward and its backward. */
struct slot {
    void *x;                   /* unless it is a checkpoint */
    void *output[MAX_OUTPUTS]; /* u and the coefficients: what `pre` writes */
    void *save, *branch_save;
};

struct parameter {
    const struct mhc_arg *arg;
    int64_t count;
    char grad_name[32];
    void *gradient;
};

struct stack {
    struct stack_spec spec;
    const struct mhc_row *entry, *entry_backward, *exit, *exit_backward, *pre, *post, *post_backward_y, *backward,
        *branch_forward, *branch_backward;
    struct parameter parameters[MAX_PARAMETERS];
    int parameter_count, output_count;
    const struct mhc_arg *outputs[MAX_OUTPUTS];

    int64_t slot_count, checkpoint_count;
    struct slot *slots;
    void **checkpoints; /* x of layers 0, L_r, 2 L_r, ...; of every layer when all is kept */
    void *pass[2], **y; /* x on its way; y of every layer, or one */
    void **values;      /* parameters [layers held or 1][parameter_count] */
    bool filled;
    void *edge, *grad[2], *grad_y, *grad_u, *work;
    double *host;

    bool counting; /* sizes only: nothing is allocated */
    double bytes;
    void **blocks;
    int64_t block_count, block_room;
    bool out_of_memory;
    const char *error;
};

int64_t stack_recompute_rule(int64_t L, int64_t n) {
    int64_t rule = (int64_t)lround(sqrt((double)n * (double)L / (double)(n + 2)));
    return rule < 1 ? 1 : rule;
}

static void *reserve(struct stack *s, double bytes) {
    s->bytes += bytes;
    if (s->counting || s->out_of_memory || bytes == 0)
        return NULL;
    if (s->block_count == s->block_room) {
        int64_t room = s->block_room ? 2 * s->block_room : 64;
        void **grown = realloc(s->blocks, (size_t)room * sizeof *grown);
        if (!grown) {
            s->out_of_memory = true;
            return NULL;
        }
        s->blocks = grown;
        s->block_room = room;
    }
    void *block = bytes < 0x1p62 ? backend_allocate(s->spec.backend, (int64_t)bytes) : NULL;
    if (block)
        s->blocks[s->block_count++] = block;
    else
        s->out_of_memory = true;
    return block;
}

static double size_of(const struct mhc_case *c, const struct mhc_arg *arg) {
    double size = (double)mhc_type_bytes(mhc_arg_type(c, arg));
    for (const char *letter = arg->extents; *letter; letter++)
        size *= (double)mhc_extent(c, *letter);
    return size;
}

/* Finds the rows; what the block and the branch take as parameters and give as coefficients follows from them. */
static bool find_rows(struct stack *s, char *why, size_t why_size) {
    struct {
        const struct mhc_row **row;
        const char *kind, *operation;
    } wanted[] = {{&s->entry, "stack", "entry"},
                  {&s->exit, "stack", "exit"},
                  {&s->pre, s->spec.block, "pre"},
                  {&s->post, s->spec.block, "post"},
                  {&s->branch_forward, s->spec.branch, "forward"},
                  {&s->entry_backward, "stack", "entry_backward"},
                  {&s->exit_backward, "stack", "exit_backward"},
                  {&s->post_backward_y, s->spec.block, "post_backward_y"},
                  {&s->backward, s->spec.block, "backward"},
                  {&s->branch_backward, s->spec.branch, "backward"}};
    for (size_t k = 0; k < (s->spec.gradients ? 10 : 5); k++) {
        const char *reason;
        *wanted[k].row = backend_row(s->spec.backend, wanted[k].kind, wanted[k].operation, &s->spec.c, &reason);
        if (!*wanted[k].row)
            return snprintf(why, why_size, "%s.%s: %s", wanted[k].kind, wanted[k].operation, reason), false;
    }
    const struct mhc_row *rows[2] = {s->pre, s->branch_forward};
    for (int r = 0; r < 2; r++)
        for (const struct mhc_arg *arg = rows[r]->args; arg->name; arg++) {
            int64_t count = mhc_elements(&s->spec.c, arg);
            if (r == 0 && arg->direction == MHC_OUT && s->output_count < MAX_OUTPUTS)
                s->outputs[s->output_count++] = arg;
            if (arg->role == MHC_PARAM && arg->direction == MHC_IN && count && s->parameter_count < MAX_PARAMETERS) {
                struct parameter *p = &s->parameters[s->parameter_count++];
                *p = (struct parameter){.arg = arg, .count = count};
                snprintf(p->grad_name, sizeof p->grad_name, "grad_%s", arg->name);
            }
        }
    return true;
}

static double largest(double a, double b) {
    return a > b ? a : b;
}

static void reserve_slots(struct stack *s, double x_bytes) {
    const struct mhc_case *c = &s->spec.c;
    for (int64_t k = 0; k < s->slot_count; k++) {
        struct slot slot = {0};
        if (s->spec.gradients && s->spec.recompute && k)
            slot.x = reserve(s, x_bytes);
        for (int o = 0; o < s->output_count; o++)
            slot.output[o] = reserve(s, size_of(c, s->outputs[o]));
        slot.save = reserve(s, (double)row_save_bytes(s->pre, c));
        slot.branch_save = reserve(s, (double)row_save_bytes(s->branch_forward, c));
        if (!s->counting)
            s->slots[k] = slot;
    }
}

static void reserve_parameters(struct stack *s) {
    int64_t sets = s->spec.hold ? s->spec.L : 1;
    for (int64_t set = 0; set < sets; set++)
        for (int p = 0; p < s->parameter_count; p++) {
            void *block = reserve(s, size_of(&s->spec.c, s->parameters[p].arg));
            if (!s->counting)
                s->values[set * s->parameter_count + p] = block;
        }
    for (int p = 0; p < s->parameter_count && s->spec.gradients; p++)
        s->parameters[p].gradient = reserve(s, size_of(&s->spec.c, s->parameters[p].arg));
}

/* Everything in the backend's memory, allocated or only counted: one function, so that the estimate cannot drift. */
static void reserve_all(struct stack *s) {
    const struct mhc_case *c = &s->spec.c;
    double element = (double)mhc_type_bytes(c->stream), y_bytes = (double)c->T * (double)c->C * element;
    double x_bytes = y_bytes * (double)c->n, work = 0;
    const struct mhc_row *rows[] = {s->pre,      s->post,           s->branch_forward, s->post_backward_y,
                                    s->backward, s->branch_backward};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        work = largest(work, (double)row_work_bytes(rows[r], c));
    for (int64_t k = 0; k < s->checkpoint_count; k++) {
        void *block = reserve(s, x_bytes);
        if (!s->counting)
            s->checkpoints[k] = block;
    }
    for (int64_t l = 0; l < (s->spec.gradients ? s->spec.L : 1); l++) {
        void *block = reserve(s, y_bytes);
        if (!s->counting)
            s->y[l] = block;
    }
    reserve_slots(s, x_bytes);
    reserve_parameters(s);
    s->pass[0] = reserve(s, x_bytes);
    s->pass[1] = reserve(s, x_bytes);
    s->edge = reserve(s, y_bytes);
    s->work = reserve(s, work);
    if (s->spec.gradients) {
        s->grad[0] = reserve(s, x_bytes);
        s->grad[1] = reserve(s, x_bytes);
        s->grad_y = reserve(s, y_bytes);
        s->grad_u = reserve(s, y_bytes);
    }
}

static bool prepare(struct stack *s, const struct stack_spec *spec, char *why, size_t why_size) {
    *s = (struct stack){.spec = *spec};
    if (s->spec.recompute > s->spec.L)
        s->spec.recompute = s->spec.L;
    int64_t every = s->spec.recompute ? s->spec.recompute : 1;
    s->slot_count = !s->spec.gradients ? 1 : s->spec.recompute ? s->spec.recompute : s->spec.L;
    s->checkpoint_count = s->spec.gradients ? (s->spec.L + every - 1) / every : 0;
    return find_rows(s, why, why_size);
}

double stack_bytes(const struct stack_spec *spec, char *why, size_t why_size) {
    struct stack s;
    if (!prepare(&s, spec, why, why_size))
        return -1;
    s.counting = true;
    reserve_all(&s);
    return s.bytes;
}

struct stack *stack_create(const struct stack_spec *spec, char *why, size_t why_size) {
    struct stack *s = malloc(sizeof *s);
    if (!s)
        return snprintf(why, why_size, "out of memory"), NULL;
    if (!prepare(s, spec, why, why_size)) {
        free(s);
        return NULL;
    }
    int64_t most = spec->c.T * spec->c.C;
    for (int p = 0; p < s->parameter_count; p++)
        most = s->parameters[p].count > most ? s->parameters[p].count : most;
    int64_t sets = spec->hold ? spec->L : 1;
    s->host = malloc((size_t)most * sizeof *s->host);
    s->slots = calloc((size_t)s->slot_count, sizeof *s->slots);
    s->checkpoints = calloc((size_t)s->checkpoint_count + 1, sizeof *s->checkpoints);
    s->y = calloc((size_t)spec->L, sizeof *s->y);
    s->values = calloc((size_t)(sets * s->parameter_count + 1), sizeof *s->values);
    if (s->host && s->slots && s->checkpoints && s->y && s->values)
        reserve_all(s);
    else
        s->out_of_memory = true;
    if (s->out_of_memory) {
        snprintf(why, why_size, "out of memory: the stack needs %.3g GB", s->bytes * 1e-9);
        stack_release(s);
        return NULL;
    }
    return s;
}

void stack_release(struct stack *s) {
    if (!s)
        return;
    for (int64_t k = 0; k < s->block_count; k++)
        backend_release(s->spec.backend, s->blocks[k]);
    free(s->blocks);
    free(s->host);
    free(s->slots);
    free(s->checkpoints);
    free(s->y);
    free(s->values);
    free(s);
}

/* The names a row of this layer may ask for. */
struct table {
    struct array array[MAX_ARRAYS];
    int count;
};

static void bind(struct table *t, const char *name, void *pointer) {
    t->array[t->count++] = (struct array){name, pointer};
}

static void run(struct stack *s, const struct mhc_row *row, const struct table *t, void *save) {
    if (!s->error)
        s->error = backend_run(s->spec.backend, row, &s->spec.c, t->array, t->count, save, s->work);
}

static void **values_of(struct stack *s, int64_t layer) {
    return s->values + (s->spec.hold ? layer * s->parameter_count : 0);
}

/* Asks the owner for the parameters of a layer, unless they are held already. */
static void load_parameters(struct stack *s, int64_t layer) {
    if (s->spec.hold && s->filled)
        return;
    for (int p = 0; p < s->parameter_count && !s->error; p++) {
        const struct parameter *parameter = &s->parameters[p];
        s->spec.owner.parameter(s->spec.owner.user, layer, parameter->arg->name, parameter->count, s->host);
        if (!backend_upload(s->spec.backend, values_of(s, layer)[p], s->host, parameter->count, s->spec.c.param))
            s->error = "parameters cannot be copied to the device";
    }
}

static struct table layer_table(struct stack *s, int64_t layer, struct slot *slot, void *x, void *y) {
    struct table t = {.count = 0};
    for (int p = 0; p < s->parameter_count; p++)
        bind(&t, s->parameters[p].arg->name, values_of(s, layer)[p]);
    for (int o = 0; o < s->output_count; o++)
        bind(&t, s->outputs[o]->name, slot->output[o]);
    bind(&t, "x", x);
    bind(&t, "y", y);
    return t;
}

static void *output_of(const struct stack *s, const struct slot *slot, const char *name) {
    for (int o = 0; o < s->output_count; o++)
        if (!strcmp(s->outputs[o]->name, name))
            return slot->output[o];
    return NULL;
}

/* Where x of a layer lies during the forward pass. */
static void *forward_x(struct stack *s, int64_t layer) {
    int64_t every = s->spec.recompute ? s->spec.recompute : 1;
    if (s->spec.gradients && layer < s->spec.L && layer % every == 0)
        return s->checkpoints[layer / every];
    return s->pass[layer % 2];
}

static struct slot *slot_of(struct stack *s, int64_t layer) {
    return &s->slots[layer % s->slot_count];
}

const char *stack_forward(struct stack *s, const double *x0, double *out) {
    const struct mhc_case *c = &s->spec.c;
    const struct stack_owner *owner = &s->spec.owner;
    int64_t L = s->spec.L, edge = c->T * c->C;
    s->error = backend_upload(s->spec.backend, s->edge, x0, edge, c->stream) ? NULL
                                                                             : "x0 cannot be copied to the device";
    struct table ends = {.count = 0};
    bind(&ends, "x0", s->edge);
    bind(&ends, "out", s->edge);
    bind(&ends, "x", forward_x(s, 0));
    run(s, s->entry, &ends, NULL);
    for (int64_t l = 0; l < L && !s->error; l++) {
        struct slot *slot = slot_of(s, l);
        load_parameters(s, l);
        struct table t = layer_table(s, l, slot, forward_x(s, l), s->y[s->spec.gradients ? l : 0]);
        bind(&t, "x_next", forward_x(s, l + 1));
        run(s, s->pre, &t, slot->save);
        run(s, s->branch_forward, &t, slot->branch_save);
        run(s, s->post, &t, NULL);
        if (owner->forward && !s->error)
            owner->forward(owner->user, l, forward_x(s, l), output_of(s, slot, "res"), t.array, s->parameter_count);
    }
    s->filled = true;
    ends.array[2].pointer = forward_x(s, L);
    run(s, s->exit, &ends, NULL);
    if (out && !s->error && !backend_download(s->spec.backend, out, s->edge, edge, c->stream))
        s->error = "out cannot be copied from the device";
    return s->error;
}

/* x of a layer during the backward pass: a checkpoint, or the block's own copy. */
static void *backward_x(struct stack *s, int64_t layer) {
    int64_t every = s->spec.recompute ? s->spec.recompute : 1;
    return layer % every == 0 ? s->checkpoints[layer / every] : slot_of(s, layer)->x;
}

/* Computes again what the layers [from, to) need, from the checkpoint and the kept y. F runs again only if its backward needs more
 * than u; the same operations on the same bits give the same bits. */
static void recompute_block(struct stack *s, int64_t from, int64_t to) {
    for (int64_t l = from; l < to && !s->error; l++) {
        struct slot *slot = slot_of(s, l);
        load_parameters(s, l);
        struct table t = layer_table(s, l, slot, backward_x(s, l), s->y[l]);
        run(s, s->pre, &t, slot->save);
        if (row_save_bytes(s->branch_forward, &s->spec.c))
            run(s, s->branch_forward, &t, slot->branch_save);
        if (l + 1 < to) {
            bind(&t, "x_next", backward_x(s, l + 1));
            run(s, s->post, &t, NULL);
        }
    }
}

static void report_gradients(struct stack *s, int64_t layer) {
    const struct stack_owner *owner = &s->spec.owner;
    for (int p = 0; p < s->parameter_count && owner->gradient && !s->error; p++) {
        const struct parameter *parameter = &s->parameters[p];
        if (!backend_download(s->spec.backend, s->host, parameter->gradient, parameter->count, s->spec.c.param))
            s->error = "gradients cannot be copied from the device";
        else
            owner->gradient(owner->user, layer, parameter->arg->name, parameter->count, s->host);
    }
}

static void backward_layer(struct stack *s, int64_t l, void *grad_x_next, void *grad_x) {
    struct slot *slot = slot_of(s, l);
    struct table t = layer_table(s, l, slot, backward_x(s, l), s->y[l]);
    bind(&t, "grad_x_next", grad_x_next);
    bind(&t, "grad_x", grad_x);
    bind(&t, "grad_y", s->grad_y);
    bind(&t, "grad_u", s->grad_u);
    for (int p = 0; p < s->parameter_count; p++)
        bind(&t, s->parameters[p].grad_name, s->parameters[p].gradient);
    run(s, s->post_backward_y, &t, NULL);
    run(s, s->branch_backward, &t, slot->branch_save);
    run(s, s->backward, &t, slot->save);
    report_gradients(s, l);
}

const char *stack_backward(struct stack *s, const double *grad_out, double *grad_x0) {
    const struct mhc_case *c = &s->spec.c;
    const struct stack_owner *owner = &s->spec.owner;
    int64_t edge = c->T * c->C, every = s->spec.recompute;
    s->error = backend_upload(s->spec.backend, s->edge, grad_out, edge, c->stream)
                   ? NULL
                   : "grad_out cannot be copied to the device";
    struct table ends = {.count = 0};
    bind(&ends, "grad_out", s->edge);
    bind(&ends, "grad_x0", s->edge);
    bind(&ends, "grad_x", s->grad[s->spec.L % 2]);
    run(s, s->exit_backward, &ends, NULL);
    for (int64_t l = s->spec.L; l-- > 0 && !s->error;) {
        if (every && (l + 1 == s->spec.L || (l + 1) % every == 0))
            recompute_block(s, l / every * every, l + 1);
        load_parameters(s, l);
        backward_layer(s, l, s->grad[(l + 1) % 2], s->grad[l % 2]);
        if (owner->backward && !s->error)
            owner->backward(owner->user, l, s->grad[l % 2]);
    }
    ends.array[2].pointer = s->grad[0];
    run(s, s->entry_backward, &ends, NULL);
    if (grad_x0 && !s->error && !backend_download(s->spec.backend, grad_x0, s->edge, edge, c->stream))
        s->error = "grad_x0 cannot be copied from the device";
    return s->error;
}
