/* The calls of a connection, and the rows they are of. */
#include <stdio.h>
#include <string.h>

#include "suites/case/connections.h"
#include "suites/stack/compose.h"

/* ---- calls ---- */

static void keep(struct composer *m, int64_t l) {
    int64_t bytes = row_save_bytes(m->k.pre, &m->c), fused = row_save_bytes(m->k.post_pre, &m->c);
    compose_keep(m, "save", compose_slot(m, l), bytes > fused ? bytes : fused);
}

void compose_pre(struct composer *m, int64_t l) {
    compose_call(m, STEP_PRE, m->k.pre, &m->c, l, NULL, 0);
    keep(m, l);
    if (m->k.apply_pre)
        compose_call(m, STEP_PRE, m->k.apply_pre, &m->c, l, NULL, 0);
}

void compose_post(struct composer *m, int64_t l) {
    if (!m->k.merge) {
        compose_call(m, STEP_POST, m->k.post, &m->c, l, NULL, 0);
        return;
    }
    compose_call(m, STEP_POST, m->k.apply_post, &m->c, l, NULL, 0);
    compose_call(m, STEP_POST, m->k.apply_res, &m->c, l, NULL, 0);
    compose_call(m, STEP_POST, m->k.merge, &m->c, l, NULL, 0);
}

void compose_enter_layer(struct composer *m, int64_t l) {
    if (!m->k.post_pre || l == 0) {
        if (l > 0)
            compose_post(m, l - 1);
        compose_pre(m, l);
        return;
    }
    struct place x = compose_place(m, l - 1, "x"), x_next = compose_place(m, l, "x");
    x_next.argument = "x_next";
    compose_call(m, STEP_POST, m->k.post_pre, &m->c, l, PLACES(x, {"y", "y", l - 1, MADE}, x_next));
    keep(m, l);
}

void compose_leave_layer(struct composer *m, int64_t l, bool below) {
    compose_call(m, STEP_BACKWARD, below ? m->k.backward_y : m->k.backward, &m->c, l, NULL, 0);
    keep(m, l);
}

/* ---- rows ---- */

static void find_fused(struct composer *m, const char *kind) {
    m->k.pre = compose_row(m, kind, "pre", &m->c);
    m->k.post = compose_row(m, kind, "post", &m->c);
    if (!m->spec->backward)
        return;
    m->k.post_backward_y = compose_row(m, kind, "post_backward_y", &m->c);
    m->k.backward = compose_row(m, kind, "backward", &m->c);
}

/* Of single arrows: a kind of the backend's own, or the rows of kind micro with the fused kind's backward. */
static void find_unfused(struct composer *m, const char *kind) {
    char name[32];
    const char *why;
    snprintf(name, sizeof name, "%s-micro", kind);
    if (backend_row(m->spec->backend, name, "pre", &m->c, &why)) {
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
    snprintf(m->p->note, sizeof m->p->note, "forward of single arrows, backward fused: the backend has no %s-micro",
             kind);
}

/* Connections that are not the rows of their own name: what their rows are called and what their case needs. */
static const char *kind_of(struct composer *m) {
    const char *connection = m->spec->connection;
    if (!strcmp(connection, "residual")) {
        m->k.without_copies = true;
        m->c.n = 1;
        return NULL;
    }
    const struct connection *known = connection_find(connection);
    if (known && connection_has_one_stream(known))
        m->c.n = 1;
    if (known && known->generator == GENERATOR_MHC)
        m->c.map = known->map;
    return known ? known->rows : connection;
}

void compose_connection(struct composer *m) {
    const char *kind = kind_of(m);
    m->k.name = m->spec->connection;
    if (kind && m->spec->form == PROGRAM_ACROSS) {
        m->k.post_pre = compose_row(m, kind, "post_pre", &m->c);
        m->k.backward_y = compose_row(m, kind, "backward_y", &m->c);
    }
    if (kind)
        (m->spec->form == PROGRAM_UNFUSED ? find_unfused : find_fused)(m, kind);
}
