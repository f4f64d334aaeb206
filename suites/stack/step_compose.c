/* The order of a training step: which row runs when, on which arrays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/step_compose.h"

static bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

static bool residual(const struct composer *m) {
    return m->s->variant == STEP_RESIDUAL;
}

/* ---- where arrays lie ---- */

/* Of what is computed again block by block; layers of a block and the one below it have different slots. */
static int64_t slot(const struct composer *m, int64_t l) {
    return m->spec->recompute && !residual(m) ? l % (m->spec->recompute + 1) : l;
}

static struct place x_place(const struct composer *m, int64_t l) {
    int64_t every = residual(m) ? 0 : m->spec->recompute;
    if (l == 0)
        return (struct place){"x", residual(m) ? "x0_residual" : "x0", -1, true};
    if (every && l < m->spec->layers && l % every)
        return (struct place){"x", "x_again", slot(m, l), false};
    return (struct place){"x", "x", l, false};
}

static struct place grad_x_place(const struct composer *m, int64_t l) {
    if (l == m->spec->layers)
        return (struct place){"grad_x", residual(m) ? "grad_out_residual" : "grad_out", -1, true};
    return (struct place){"grad_x", "grad_x", l % 2, false};
}

struct place compose_place(const struct composer *m, int64_t l, const char *name) {
    static const char *const by_slot[] = {"u", "v", "r", "pre", "post", "res"};
    for (size_t k = 0; k < sizeof by_slot / sizeof *by_slot; k++)
        if (is(name, by_slot[k]))
            return (struct place){name, name, slot(m, l), false};
    if (is(name, "x"))
        return x_place(m, l);
    if (is(name, "x_next"))
        return x_place(m, l + 1);
    if (is(name, "grad_x"))
        return grad_x_place(m, l);
    if (is(name, "grad_x_next"))
        return grad_x_place(m, l + 1);
    if (is(name, "post_below") || is(name, "res_below"))
        return (struct place){name, is(name, "post_below") ? "post" : "res", slot(m, l - 1), false};
    if (is(name, "grad_y_below"))
        return (struct place){name, "grad_y", -1, false};
    bool of_step = !strncmp(name, "grad_", 5) || !strncmp(name, "mixed", 5);
    return (struct place){name, name, of_step ? -1 : l, false};
}

/* ---- a call ---- */

/* What a held array is filled with. */
static void draw(const struct mhc_case *c, const struct mhc_arg *arg, struct step_array *a) {
    int64_t fan_in = arg->fan_in ? mhc_extent(c, arg->fan_in) : 1;
    a->every = arg->diagonal ? c->n + 1 : 1;
    a->mean = (double)arg->around;
    a->scale = (double)arg->size / sqrt((double)fan_in);
}

void compose_call(struct composer *m, enum step_part part, const struct mhc_row *row, const struct mhc_case *c,
                  int64_t l, const struct place *places, int count) {
    struct step *s = m->s;
    if (s->calls == s->room) {
        int64_t room = s->room ? 2 * s->room : 64;
        struct step_call *grown = realloc(s->call, (size_t)room * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->call = grown;
        s->room = room;
    }
    struct step_call *now = &s->call[s->calls++];
    *now = (struct step_call){.row = row, .c = *c, .part = part, .backward = m->backward, .save = -1};
    for (int a = 0; row->args[a].name; a++) {
        const struct mhc_arg *arg = &row->args[a];
        char family[48];
        snprintf(family, sizeof family, "%s.%s", m->k.family, arg->name);
        struct place place = arg->role == MHC_PARAM ? (struct place){arg->name, family, l, arg->direction == MHC_IN}
                                                    : compose_place(m, l, arg->name);
        for (int k = 0; k < count; k++)
            if (is(places[k].argument, arg->name))
                place = places[k];
        now->argument[a] = step_array(s, place.name, place.layer, mhc_elements(c, arg), mhc_arg_type(c, arg),
                                      place.held);
        if (now->argument[a] < 0)
            return;
        struct step_array *array = &s->arrays.array[now->argument[a]];
        array = array->held ? &s->all->held.array[array->offset] : array;
        array->parameter |= arg->role == MHC_PARAM && arg->direction == MHC_OUT;
        if (place.held && !array->scale)
            draw(c, arg, array);
    }
    int64_t work = row_work_bytes(row, c);
    if (work > s->arrays.array[s->work].bytes)
        s->arrays.array[s->work].bytes = s->arrays.array[s->work].count = work;
}

/* What a call keeps, or finds kept. */
void compose_keep(struct composer *m, const char *name, int64_t layer, int64_t bytes) {
    struct step *s = m->s;
    if (bytes > 0 && !s->failed)
        s->call[s->calls - 1].save = step_array(s, name, layer, bytes, -1, false);
}

const struct mhc_row *compose_row(struct composer *m, const char *kind, const char *operation,
                                  const struct mhc_case *c) {
    const char *why;
    const struct mhc_row *row = backend_row(m->spec->backend, kind, operation, c, &why);
    if (!row && !m->s->missing[0])
        snprintf(m->s->missing, sizeof m->s->missing, "%s.%s: %.120s", kind, operation, why);
    return row;
}

void compose_run(struct composer *m, enum step_part part, const char *kind, const char *operation,
                 const struct mhc_case *c, int64_t l, const struct place *places, int count) {
    const struct mhc_row *row = compose_row(m, kind, operation, c);
    if (row && !m->s->failed)
        compose_call(m, part, row, c, l, places, count);
}

/* ---- the residual ---- */

static void residual_step(struct composer *m) {
    const struct mhc_case *c = &m->c;
    int64_t L = m->spec->layers;
    for (int64_t l = 0; l < L; l++) {
        struct place x = x_place(m, l), gain = {"gain", "gain", l, true};
        if (l == 0) {
            x.argument = "u";
            compose_run(m, STEP_NORM_FORWARD, "norm", "forward", c, l, PLACES(x, gain));
        } else {
            struct place below = x_place(m, l - 1);
            x.argument = "sum";
            compose_run(m, STEP_NORM_FORWARD, "addnorm", "forward", c, l,
                        PLACES(below, {"y", "y", l - 1, false}, gain, x));
        }
        compose_branch(m, l);
    }
    compose_run(m, STEP_POST, "resnet", "post", c, L - 1, NULL, 0);
    m->backward = true;
    for (int64_t l = L; l-- > 0;) {
        struct place x = x_place(m, l), above = grad_x_place(m, l + 1);
        compose_branch_backward(m, l, above);
        x.argument = "sum";
        above.argument = "grad_sum";
        compose_run(m, STEP_NORM_BACKWARD, "addnorm", "backward", c, l,
                    PLACES(x, {"gain", "gain", l, true}, above, {"grad_gain", "grad_gain", l, false}));
    }
}

/* ---- connections with streams ---- */

static int64_t save_bytes(const struct composer *m) {
    int64_t bytes = row_save_bytes(m->k.pre, &m->c), fused = row_save_bytes(m->k.post_pre, &m->c);
    return bytes > fused ? bytes : fused;
}

static void pre(struct composer *m, int64_t l) {
    compose_call(m, STEP_PRE, m->k.pre, &m->c, l, NULL, 0);
    compose_keep(m, "save", slot(m, l), save_bytes(m));
    if (m->k.apply_pre)
        compose_call(m, STEP_PRE, m->k.apply_pre, &m->c, l, NULL, 0);
}

static void post(struct composer *m, int64_t l) {
    if (!m->k.merge) {
        compose_call(m, STEP_POST, m->k.post, &m->c, l, NULL, 0);
        return;
    }
    compose_call(m, STEP_POST, m->k.apply_post, &m->c, l, NULL, 0);
    compose_call(m, STEP_POST, m->k.apply_res, &m->c, l, NULL, 0);
    compose_call(m, STEP_POST, m->k.merge, &m->c, l, NULL, 0);
}

/* post of the layer below with pre of this one */
static void enter_layer(struct composer *m, int64_t l) {
    if (!m->k.post_pre || l == 0) {
        if (l > 0)
            post(m, l - 1);
        pre(m, l);
        return;
    }
    struct place x = x_place(m, l - 1), x_next = x_place(m, l);
    x_next.argument = "x_next";
    compose_call(m, STEP_POST, m->k.post_pre, &m->c, l, PLACES(x, {"y", "y", l - 1, false}, x_next));
    compose_keep(m, "save", slot(m, l), save_bytes(m));
}

static void norm(struct composer *m, int64_t l) {
    compose_run(m, STEP_NORM_FORWARD, "norm", "forward", &m->c, l, PLACES({"gain", "gain", l, true}));
}

/* Of the layers [from, to): what their backward needs, from the kept x of the first and every y. */
static void compute_again(struct composer *m, int64_t from, int64_t to) {
    for (int64_t l = from; l < to; l++) {
        if (l == from)
            pre(m, l);
        else
            enter_layer(m, l);
        norm(m, l);
    }
}

static void streams_step(struct composer *m) {
    int64_t L = m->spec->layers, every = m->spec->recompute;
    bool grad_y_known = false;
    for (int64_t l = 0; l < L; l++) {
        enter_layer(m, l);
        norm(m, l);
        compose_branch(m, l);
    }
    post(m, L - 1);
    m->backward = true;
    for (int64_t l = L; l-- > 0 && !m->s->failed;) {
        if (every && (l + 1 == L || (l + 1) % every == 0))
            compute_again(m, l / every * every, l + 1);
        if (!grad_y_known)
            compose_call(m, STEP_POST_BACKWARD_Y, m->k.post_backward_y, &m->c, l, NULL, 0);
        compose_branch_backward(m, l, (struct place){NULL, "grad_y", -1, false});
        compose_run(m, STEP_NORM_BACKWARD, "norm", "backward", &m->c, l,
                    PLACES({"gain", "gain", l, true}, {"grad_gain", "grad_gain", l, false}));
        grad_y_known = m->k.backward_y && l > 0 && !(every && l % every == 0);
        compose_call(m, STEP_BACKWARD, grad_y_known ? m->k.backward_y : m->k.backward, &m->c, l, NULL, 0);
        compose_keep(m, "save", slot(m, l), save_bytes(m));
    }
}

/* ---- which rows ---- */

static bool has(const struct composer *m, const char *kind) {
    const char *why;
    return backend_row(m->spec->backend, kind, "pre", &m->c, &why) != NULL;
}

static void find_fused(struct composer *m, const char *kind) {
    m->k.pre = compose_row(m, kind, "pre", &m->c);
    m->k.post = compose_row(m, kind, "post", &m->c);
    m->k.post_backward_y = compose_row(m, kind, "post_backward_y", &m->c);
    m->k.backward = compose_row(m, kind, "backward", &m->c);
}

/* Of single arrows: a kind of the backend's own, or the rows of kind micro with the fused kind's backward. */
static void find_unfused(struct composer *m, const char *kind) {
    char name[32];
    snprintf(name, sizeof name, "%s-micro", kind);
    m->k.family = kind;
    if (has(m, name)) {
        find_fused(m, name);
        return;
    }
    find_fused(m, kind);
    snprintf(name, sizeof name, "coefficients_%s", kind);
    m->k.pre = compose_row(m, "micro", name, &m->c);
    m->k.apply_pre = compose_row(m, "micro", "apply_pre", &m->c);
    m->k.apply_post = compose_row(m, "micro", "apply_post", &m->c);
    m->k.apply_res = compose_row(m, "micro", "apply_res", &m->c);
    m->k.merge = compose_row(m, "micro", "merge", &m->c);
    snprintf(m->s->note, sizeof m->s->note, "forward of single arrows, backward fused: the backend has no %s-micro",
             kind);
}

static void find_rows(struct composer *m) {
    switch (m->s->variant) {
    case STEP_HC_UNFUSED: find_unfused(m, "hc"); break;
    case STEP_MHC_UNFUSED: find_unfused(m, "mhc"); break;
    case STEP_MHC_LAYERS:
        m->k.post_pre = compose_row(m, "mhc", "post_pre", &m->c);
        m->k.backward_y = compose_row(m, "mhc", "backward_y", &m->c);
        /* fall through */
    case STEP_MHC:
        m->k.family = "mhc";
        find_fused(m, "mhc");
        break;
    case STEP_IDENTITY:
        m->k.family = "identity";
        find_fused(m, "identity");
        break;
    default: m->k.family = "residual"; m->c.n = 1;
    }
}

void step_compose(struct step *s) {
    struct composer m = {.s = s, .spec = &s->all->spec, .c = s->all->spec.c};
    s->work = step_array(s, "work", -1, 0, -1, false);
    find_rows(&m);
    if (s->failed || s->missing[0])
        return;
    if (s->variant == STEP_RESIDUAL)
        residual_step(&m);
    else
        streams_step(&m);
    if (m.spec->adamw)
        compose_updates(&m);
}
