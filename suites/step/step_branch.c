/* F of a training step: attention in even layers, the MLP in odd ones, as rows. */
#include "suites/step/step_compose.h"

static struct mhc_case product_case(const struct composer *m, int64_t inner, int64_t outer) {
    struct mhc_case c = m->c;
    c.C = inner;
    c.hidden = outer;
    return c;
}

static void product(struct composer *m, int64_t l, int64_t inner, int64_t outer, struct place a, const char *w,
                    struct place out) {
    struct mhc_case c = product_case(m, inner, outer);
    a.argument = "a";
    out.argument = "product";
    compose_run(m, STEP_GEMM_FORWARD, "gemm", "forward", &c, l, PLACES(a, {"w", w, l, true}, out));
}

/* The gradient of a weight, and that of what it is multiplied with. */
static void product_backward(struct composer *m, int64_t l, int64_t inner, int64_t outer, struct place a, const char *w,
                             const char *grad_w, struct place grad, const char *grad_a) {
    struct mhc_case c = product_case(m, inner, outer);
    a.argument = "a";
    grad.argument = "grad_product";
    compose_run(m, STEP_GEMM_BACKWARD_INPUT, "gemm", "backward_input", &c, l,
                PLACES(grad, {"w", w, l, true}, {"grad_a", grad_a, -1, false}));
    compose_run(m, STEP_GEMM_BACKWARD_WEIGHT, "gemm", "backward_weight", &c, l,
                PLACES(a, grad, {"grad_w", grad_w, l, false}));
}

static void sum(struct composer *m, int64_t l, const char *a, const char *b, const char *out) {
    compose_run(m, STEP_SUM, "micro", "residual_merge", &m->c, l,
                PLACES({"x", a, -1, false}, {"y", b, -1, false}, {"x_next", out, -1, false}));
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
static struct place core_place(const struct composer *m, const char *argument, const char *name, int64_t l,
                               bool written) {
    return (struct place){argument, name, l, written && !m->spec->attention};
}

static void attention_forward(struct composer *m, int64_t l) {
    static const char *const name[3] = {"q", "k", "value"}, *const w[3] = {"w_q", "w_k", "w_v"};
    int64_t C = m->c.C, A = core_width(m);
    struct place o = core_place(m, "o", "o", l, true);
    for (int k = 0; k < 3; k++)
        product(m, l, C, A, compose_place(m, l, "v"), w[k], of(name[k], l));
    if (m->spec->attention) {
        const struct mhc_row *row = compose_row(m, "attention-core", "forward", &m->c);
        if (!row || m->s->failed)
            return;
        compose_call(m, STEP_CORE_FORWARD, row, &m->c, l,
                     PLACES({"q", "q", l, false}, {"k", "k", l, false}, {"v", "value", l, false}, o));
        compose_keep(m, "core_save", l, row_save_bytes(row, &m->c));
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
        const struct mhc_row *forward = compose_row(m, "attention-core", "forward", &m->c);
        compose_run(m, STEP_CORE_BACKWARD, "attention-core", "backward", &m->c, l,
                    PLACES({"q", "q", l, false}, {"k", "k", l, false}, {"v", "value", l, false}, o,
                           {"grad_v", "grad_value", -1, false}));
        compose_keep(m, "core_save", l, row_save_bytes(forward, &m->c));
    }
    for (int k = 0; k < 3; k++)
        product_backward(m, l, C, A, compose_place(m, l, "v"), w[k], grad_w[k],
                         core_place(m, NULL, grad[k], layer, true), part[k]);
    sum(m, l, part[0], part[1], "grad_v_sum");
    sum(m, l, "grad_v_sum", part[2], "grad_v");
}

static void mlp_forward(struct composer *m, int64_t l) {
    int64_t C = m->c.C, H = m->c.hidden;
    struct place v = compose_place(m, l, "v");
    product(m, l, C, H, v, "w_up", of("up", l));
    if (gated(m))
        product(m, l, C, H, v, "w_gate", of("gate", l));
    compose_run(m, STEP_ACTIVATION_FORWARD, "activation", "forward", &m->c, l, NULL, 0);
    product(m, l, H, C, of("h", l), "w_down", of("y", l));
}

static void mlp_backward(struct composer *m, int64_t l, struct place grad_y) {
    int64_t C = m->c.C, H = m->c.hidden;
    struct place v = compose_place(m, l, "v");
    product_backward(m, l, H, C, of("h", l), "w_down", "grad_w_down", grad_y, "grad_h");
    compose_run(m, STEP_ACTIVATION_BACKWARD, "activation", "backward", &m->c, l, NULL, 0);
    product_backward(m, l, C, H, v, "w_up", "grad_w_up", of("grad_up", -1), gated(m) ? "grad_v_0" : "grad_v");
    if (gated(m)) {
        product_backward(m, l, C, H, v, "w_gate", "grad_w_gate", of("grad_gate", -1), "grad_v_1");
        sum(m, l, "grad_v_0", "grad_v_1", "grad_v");
    }
}

void compose_branch(struct composer *m, int64_t l) {
    (l % 2 ? mlp_forward : attention_forward)(m, l);
}

void compose_branch_backward(struct composer *m, int64_t l, struct place grad_y) {
    (l % 2 ? mlp_backward : attention_backward)(m, l, grad_y);
}
