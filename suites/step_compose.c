/* The order of a training step: which row runs when, on which arrays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/step.h"

/* Where an argument of a call lies, if not where its name says. */
struct place {
    const char *argument, *name;
    int64_t layer;
    bool held;
};

struct connection {
    const char *family; /* whose parameters it has */
    const struct mhc_row *pre, *post, *post_backward_y, *backward, *post_pre, *backward_y;
    const struct mhc_row *apply_pre, *apply_post, *apply_res, *merge; /* of an unfused one; pre then gives coefficients only */
};

struct composer {
    struct step *s;
    const struct step_spec *spec;
    struct mhc_case c; /* of the connection: a residual has one stream */
    struct connection k;
    bool backward;
};

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

static struct place default_place(const struct composer *m, int64_t l, const char *name) {
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

/* Of the normal numbers that a held array is filled with: products with weights keep the size of what they multiply. */
static double scale_of(const struct mhc_case *c, const struct mhc_arg *arg) {
    bool theta = !strncmp(arg->name, "theta_", 6), weight = arg->role == MHC_PARAM || is(arg->name, "w");
    int64_t fan_in = theta ? c->C : weight && strlen(arg->extents) == 2 ? mhc_extent(c, arg->extents[0]) : 1;
    return 1 / sqrt((double)fan_in);
}

static void call(struct composer *m, enum step_part part, const struct mhc_row *row, const struct mhc_case *c, int64_t l,
                 const struct place *places, int count) {
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
                                                    : default_place(m, l, arg->name);
        for (int k = 0; k < count; k++)
            if (is(places[k].argument, arg->name))
                place = places[k];
        now->argument[a] = step_array(s, place.name, place.layer, mhc_elements(c, arg), mhc_arg_type(c, arg), place.held);
        if (now->argument[a] < 0)
            return;
        struct step_array *array = &s->arrays.array[now->argument[a]];
        array = array->held ? &s->all->held.array[array->offset] : array;
        array->parameter |= arg->role == MHC_PARAM && arg->direction == MHC_OUT;
        if (place.held && !array->scale) {
            array->mean = is(arg->name, "gain");
            array->scale = scale_of(c, arg);
        }
    }
    int64_t work = row_work_bytes(row, c);
    if (work > s->arrays.array[s->work].bytes)
        s->arrays.array[s->work].bytes = s->arrays.array[s->work].count = work;
}

/* What a call keeps, or finds kept. */
static void keep(struct composer *m, const char *name, int64_t layer, int64_t bytes) {
    struct step *s = m->s;
    if (bytes > 0 && !s->failed)
        s->call[s->calls - 1].save = step_array(s, name, layer, bytes, -1, false);
}

/* ---- F ---- */

static const struct mhc_row *row_of(struct composer *m, const char *kind, const char *operation, const struct mhc_case *c) {
    const char *why;
    const struct mhc_row *row = backend_row(m->spec->backend, kind, operation, c, &why);
    if (!row && !m->s->missing[0])
        snprintf(m->s->missing, sizeof m->s->missing, "%s.%s: %.120s", kind, operation, why);
    return row;
}

static void run(struct composer *m, enum step_part part, const char *kind, const char *operation, const struct mhc_case *c, int64_t l,
                const struct place *places, int count) {
    const struct mhc_row *row = row_of(m, kind, operation, c);
    if (row && !m->s->failed)
        call(m, part, row, c, l, places, count);
}
#define PLACES(...) (const struct place[]){__VA_ARGS__}, (int)(sizeof((const struct place[]){__VA_ARGS__}) / sizeof(struct place))

static struct mhc_case product_case(const struct composer *m, int64_t inner, int64_t outer) {
    struct mhc_case c = m->c;
    c.C = inner;
    c.hidden = outer;
    return c;
}

static void product(struct composer *m, int64_t l, int64_t inner, int64_t outer, struct place a, const char *w, struct place out) {
    struct mhc_case c = product_case(m, inner, outer);
    a.argument = "a";
    out.argument = "product";
    run(m, STEP_GEMM_FORWARD, "gemm", "forward", &c, l, PLACES(a, {"w", w, l, true}, out));
}

/* The gradient of a weight, and that of what it is multiplied with. */
static void product_backward(struct composer *m, int64_t l, int64_t inner, int64_t outer, struct place a, const char *w,
                             const char *grad_w, struct place grad, const char *grad_a) {
    struct mhc_case c = product_case(m, inner, outer);
    a.argument = "a";
    grad.argument = "grad_product";
    run(m, STEP_GEMM_BACKWARD_INPUT, "gemm", "backward_input", &c, l, PLACES(grad, {"w", w, l, true}, {"grad_a", grad_a, -1, false}));
    run(m, STEP_GEMM_BACKWARD_WEIGHT, "gemm", "backward_weight", &c, l, PLACES(a, grad, {"grad_w", grad_w, l, false}));
}

static void sum(struct composer *m, int64_t l, const char *a, const char *b, const char *out) {
    run(m, STEP_SUM, "micro", "residual_merge", &m->c, l, PLACES({"x", a, -1, false}, {"y", b, -1, false}, {"x_next", out, -1, false}));
}

static int64_t core_width(const struct composer *m) {
    return m->c.heads * m->c.head_dim;
}

static bool gated(const struct composer *m) {
    return m->c.activation == MHC_SWIGLU;
}

static struct place of(const char *name, int64_t l) {
    return (struct place){NULL, name, l, false};
}

/* An array between the projections and the core; without the core, what the core would write is held. */
static struct place core_place(const struct composer *m, const char *argument, const char *name, int64_t l, bool written) {
    return (struct place){argument, name, l, written && !m->spec->attention};
}

static void attention_forward(struct composer *m, int64_t l) {
    static const char *const name[3] = {"q", "k", "value"}, *const w[3] = {"w_q", "w_k", "w_v"};
    int64_t C = m->c.C, A = core_width(m);
    struct place o = core_place(m, "o", "o", l, true);
    for (int k = 0; k < 3; k++)
        product(m, l, C, A, default_place(m, l, "v"), w[k], of(name[k], l));
    if (m->spec->attention) {
        const struct mhc_row *row = row_of(m, "attention-core", "forward", &m->c);
        if (!row || m->s->failed)
            return;
        call(m, STEP_CORE_FORWARD, row, &m->c, l, PLACES({"q", "q", l, false}, {"k", "k", l, false}, {"v", "value", l, false}, o));
        keep(m, "core_save", l, row_save_bytes(row, &m->c));
    }
    product(m, l, A, C, o, "w_o", of("y", l));
}

static void attention_backward(struct composer *m, int64_t l, struct place grad_y) {
    static const char *const grad[3] = {"grad_q", "grad_k", "grad_value"}, *const w[3] = {"w_q", "w_k", "w_v"},
                             *const grad_w[3] = {"grad_w_q", "grad_w_k", "grad_w_v"},
                             *const part[3] = {"grad_v_0", "grad_v_1", "grad_v_2"};
    int64_t C = m->c.C, A = core_width(m), layer = m->spec->attention ? -1 : l;
    struct place o = core_place(m, "o", "o", l, true);
    product_backward(m, l, A, C, o, "w_o", "grad_w_o", grad_y, "grad_o");
    if (m->spec->attention) {
        const struct mhc_row *forward = row_of(m, "attention-core", "forward", &m->c);
        run(m, STEP_CORE_BACKWARD, "attention-core", "backward", &m->c, l,
            PLACES({"q", "q", l, false}, {"k", "k", l, false}, {"v", "value", l, false}, o, {"grad_v", "grad_value", -1, false}));
        keep(m, "core_save", l, row_save_bytes(forward, &m->c));
    }
    for (int k = 0; k < 3; k++)
        product_backward(m, l, C, A, default_place(m, l, "v"), w[k], grad_w[k], core_place(m, NULL, grad[k], layer, true), part[k]);
    sum(m, l, part[0], part[1], "grad_v_sum");
    sum(m, l, "grad_v_sum", part[2], "grad_v");
}

static void mlp_forward(struct composer *m, int64_t l) {
    int64_t C = m->c.C, H = m->c.hidden;
    struct place v = default_place(m, l, "v");
    product(m, l, C, H, v, "w_up", of("up", l));
    if (gated(m))
        product(m, l, C, H, v, "w_gate", of("gate", l));
    run(m, STEP_ACTIVATION_FORWARD, "activation", "forward", &m->c, l, NULL, 0);
    product(m, l, H, C, of("h", l), "w_down", of("y", l));
}

static void mlp_backward(struct composer *m, int64_t l, struct place grad_y) {
    int64_t C = m->c.C, H = m->c.hidden;
    struct place v = default_place(m, l, "v");
    product_backward(m, l, H, C, of("h", l), "w_down", "grad_w_down", grad_y, "grad_h");
    run(m, STEP_ACTIVATION_BACKWARD, "activation", "backward", &m->c, l, NULL, 0);
    product_backward(m, l, C, H, v, "w_up", "grad_w_up", of("grad_up", -1), gated(m) ? "grad_v_0" : "grad_v");
    if (gated(m)) {
        product_backward(m, l, C, H, v, "w_gate", "grad_w_gate", of("grad_gate", -1), "grad_v_1");
        sum(m, l, "grad_v_0", "grad_v_1", "grad_v");
    }
}

static void branch_forward(struct composer *m, int64_t l) {
    (l % 2 ? mlp_forward : attention_forward)(m, l);
}

static void branch_backward(struct composer *m, int64_t l, struct place grad_y) {
    (l % 2 ? mlp_backward : attention_backward)(m, l, grad_y);
}

/* ---- the residual ---- */

static void residual_step(struct composer *m) {
    const struct mhc_case *c = &m->c;
    int64_t L = m->spec->layers;
    for (int64_t l = 0; l < L; l++) {
        struct place x = x_place(m, l), gain = {"gain", "gain", l, true};
        if (l == 0) {
            x.argument = "u";
            run(m, STEP_NORM_FORWARD, "norm", "forward", c, l, PLACES(x, gain));
        } else {
            struct place below = x_place(m, l - 1);
            x.argument = "sum";
            run(m, STEP_NORM_FORWARD, "addnorm", "forward", c, l, PLACES(below, {"y", "y", l - 1, false}, gain, x));
        }
        branch_forward(m, l);
    }
    run(m, STEP_POST, "resnet", "post", c, L - 1, NULL, 0);
    m->backward = true;
    for (int64_t l = L; l-- > 0;) {
        struct place x = x_place(m, l), above = grad_x_place(m, l + 1);
        branch_backward(m, l, above);
        x.argument = "sum";
        above.argument = "grad_sum";
        run(m, STEP_NORM_BACKWARD, "addnorm", "backward", c, l, PLACES(x, {"gain", "gain", l, true}, above, {"grad_gain", "grad_gain", l, false}));
    }
}

/* ---- connections with streams ---- */

static int64_t save_bytes(const struct composer *m) {
    int64_t bytes = row_save_bytes(m->k.pre, &m->c), fused = row_save_bytes(m->k.post_pre, &m->c);
    return bytes > fused ? bytes : fused;
}

static void pre(struct composer *m, int64_t l) {
    call(m, STEP_PRE, m->k.pre, &m->c, l, NULL, 0);
    keep(m, "save", slot(m, l), save_bytes(m));
    if (m->k.apply_pre)
        call(m, STEP_PRE, m->k.apply_pre, &m->c, l, NULL, 0);
}

static void post(struct composer *m, int64_t l) {
    if (!m->k.merge) {
        call(m, STEP_POST, m->k.post, &m->c, l, NULL, 0);
        return;
    }
    call(m, STEP_POST, m->k.apply_post, &m->c, l, NULL, 0);
    call(m, STEP_POST, m->k.apply_res, &m->c, l, NULL, 0);
    call(m, STEP_POST, m->k.merge, &m->c, l, NULL, 0);
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
    call(m, STEP_POST, m->k.post_pre, &m->c, l, PLACES(x, {"y", "y", l - 1, false}, x_next));
    keep(m, "save", slot(m, l), save_bytes(m));
}

static void norm(struct composer *m, int64_t l) {
    run(m, STEP_NORM_FORWARD, "norm", "forward", &m->c, l, PLACES({"gain", "gain", l, true}));
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
        branch_forward(m, l);
    }
    post(m, L - 1);
    m->backward = true;
    for (int64_t l = L; l-- > 0 && !m->s->failed;) {
        if (every && (l + 1 == L || (l + 1) % every == 0))
            compute_again(m, l / every * every, l + 1);
        if (!grad_y_known)
            call(m, STEP_POST_BACKWARD_Y, m->k.post_backward_y, &m->c, l, NULL, 0);
        branch_backward(m, l, of("grad_y", -1));
        run(m, STEP_NORM_BACKWARD, "norm", "backward", &m->c, l,
            PLACES({"gain", "gain", l, true}, {"grad_gain", "grad_gain", l, false}));
        grad_y_known = m->k.backward_y && l > 0 && !(every && l % every == 0);
        call(m, STEP_BACKWARD, grad_y_known ? m->k.backward_y : m->k.backward, &m->c, l, NULL, 0);
        keep(m, "save", slot(m, l), save_bytes(m));
    }
}

/* ---- which rows ---- */

static bool has(const struct composer *m, const char *kind) {
    const char *why;
    return backend_row(m->spec->backend, kind, "pre", &m->c, &why) != NULL;
}

static void find_fused(struct composer *m, const char *kind) {
    m->k.pre = row_of(m, kind, "pre", &m->c);
    m->k.post = row_of(m, kind, "post", &m->c);
    m->k.post_backward_y = row_of(m, kind, "post_backward_y", &m->c);
    m->k.backward = row_of(m, kind, "backward", &m->c);
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
    m->k.pre = row_of(m, "micro", name, &m->c);
    m->k.apply_pre = row_of(m, "micro", "apply_pre", &m->c);
    m->k.apply_post = row_of(m, "micro", "apply_post", &m->c);
    m->k.apply_res = row_of(m, "micro", "apply_res", &m->c);
    m->k.merge = row_of(m, "micro", "merge", &m->c);
    snprintf(m->s->note, sizeof m->s->note, "forward of single arrows, backward fused: the backend has no %s-micro", kind);
}

static void find_rows(struct composer *m) {
    switch (m->s->variant) {
    case STEP_HC_UNFUSED:
        find_unfused(m, "hc");
        break;
    case STEP_MHC_UNFUSED:
        find_unfused(m, "mhc");
        break;
    case STEP_MHC_LAYERS:
        m->k.post_pre = row_of(m, "mhc", "post_pre", &m->c);
        m->k.backward_y = row_of(m, "mhc", "backward_y", &m->c);
        /* fall through */
    case STEP_MHC:
        m->k.family = "mhc";
        find_fused(m, "mhc");
        break;
    case STEP_IDENTITY:
        m->k.family = "identity";
        find_fused(m, "identity");
        break;
    default:
        m->k.family = "residual";
        m->c.n = 1;
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
}
