/* F in parts: attention in even layers, the MLP in odd ones. */
#include "suites/stack/compose.h"

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
    compose_run(m, STEP_GEMM_FORWARD, "gemm", "forward", &c, l, PLACES(a, {"w", w, l, HELD}, out));
}

/* The gradient of a weight, and that of what it is multiplied with. */
static void product_backward(struct composer *m, int64_t l, int64_t inner, int64_t outer, struct place a, const char *w,
                             const char *grad_w, struct place grad, const char *grad_a) {
    struct mhc_case c = product_case(m, inner, outer);
    a.argument = "a";
    grad.argument = "grad_product";
    compose_run(m, STEP_GEMM_BACKWARD_INPUT, "gemm", "backward_input", &c, l,
                PLACES(grad, {"w", w, l, HELD}, {"grad_a", grad_a, -1, MADE}));
    compose_run(m, STEP_GEMM_BACKWARD_WEIGHT, "gemm", "backward_weight", &c, l,
                PLACES(a, grad, {"grad_w", grad_w, l, MADE}));
}

static struct place of(const char *name, int64_t l) {
    return (struct place){NULL, name, l, MADE};
}

/* What the core would write is held where there is no core. */
static struct place core_place(const struct composer *m, const char *argument, const char *name, int64_t l) {
    return (struct place){argument, name, l, m->spec->attention ? MADE : HELD};
}

/* ---- attention: w_q, w_k and w_v are one weight, q, k, v one array ---- */

static void attention_forward(struct composer *m, int64_t l) {
    int64_t C = m->c.C, A = m->c.heads * m->c.head_dim;
    product(m, l, C, 3 * A, compose_place(m, l, "v"), "w_qkv", of("qkv", l));
    if (m->spec->attention) {
        const struct mhc_row *row = compose_row(m, "attention-core", "forward", &m->c);
        if (!row)
            return;
        compose_call(m, STEP_CORE_FORWARD, row, &m->c, l, NULL, 0);
        compose_keep(m, "core_save", l, row_save_bytes(row, &m->c));
    }
    product(m, l, A, C, core_place(m, "o", "o", l), "w_o", of("y", l));
}

static void attention_backward(struct composer *m, int64_t l, struct place grad_y) {
    int64_t C = m->c.C, A = m->c.heads * m->c.head_dim, layer = m->spec->attention ? -1 : l;
    product_backward(m, l, A, C, core_place(m, "o", "o", l), "w_o", "grad_w_o", grad_y, "grad_o");
    if (m->spec->attention) {
        const struct mhc_row *forward = compose_row(m, "attention-core", "forward", &m->c);
        compose_run(m, STEP_CORE_BACKWARD, "attention-core", "backward", &m->c, l, NULL, 0);
        compose_keep(m, "core_save", l, row_save_bytes(forward, &m->c));
    }
    product_backward(m, l, C, 3 * A, compose_place(m, l, "v"), "w_qkv", "grad_w_qkv",
                     core_place(m, NULL, "grad_qkv", layer), "grad_v");
}

/* ---- the MLP: w_up and w_gate are one weight ---- */

static int64_t inner(const struct composer *m) {
    return mhc_extent(&m->c, 'M') * m->c.hidden;
}

static void mlp_forward(struct composer *m, int64_t l) {
    int64_t C = m->c.C, H = m->c.hidden;
    product(m, l, C, inner(m), compose_place(m, l, "v"), "w_in", of("inner", l));
    compose_run(m, STEP_ACTIVATION_FORWARD, "activation", "forward", &m->c, l, NULL, 0);
    product(m, l, H, C, of("h", l), "w_down", of("y", l));
}

static void mlp_backward(struct composer *m, int64_t l, struct place grad_y) {
    int64_t C = m->c.C, H = m->c.hidden;
    product_backward(m, l, H, C, of("h", l), "w_down", "grad_w_down", grad_y, "grad_h");
    compose_run(m, STEP_ACTIVATION_BACKWARD, "activation", "backward", &m->c, l, NULL, 0);
    product_backward(m, l, C, inner(m), compose_place(m, l, "v"), "w_in", "grad_w_in", of("grad_inner", -1), "grad_v");
}

void compose_branch(struct composer *m, int64_t l) {
    (l % 2 ? mlp_forward : attention_forward)(m, l);
}

void compose_branch_backward(struct composer *m, int64_t l, struct place grad_y) {
    (l % 2 ? mlp_backward : attention_backward)(m, l, grad_y);
}
