/* The ends of a model: from tokens to x0, from out to the mean loss, and back; then the update of every parameter.
 *
 * The owner gives `tokens` and `targets` before the forward half, and before the updates `hyper` of each group of
 * parameters, by the layer of that array: rate, betas, epsilon, decay, clip and the step, see cpu_ref/adamw.h. */
#include "suites/stack/compose.h"

static struct place made(const char *argument, const char *name) {
    return (struct place){argument, name, -1, MADE};
}
static struct place given(const char *name) {
    return (struct place){name, name, -1, GIVEN};
}

void compose_model_enter(struct composer *m) {
    compose_run(m, STEP_OTHER, "embedding", "forward", &m->c, -1, PLACES(given("tokens"), made("x0", "x0")));
}

static void keep_head(struct composer *m) {
    compose_keep(m, "head_save", -1, row_save_bytes(compose_row(m, "head", "forward", &m->c), &m->c));
}

void compose_model_leave(struct composer *m) {
    compose_run(m, STEP_OTHER, "head", "forward", &m->c, -1, PLACES(made("u", "out"), made("logits", "logits")));
    keep_head(m);
    compose_run(
        m, STEP_OTHER, "cross-entropy", "forward", &m->c, -1,
        PLACES(made("logits", "logits"), given("targets"), made("loss", "loss"), made("grad_logits", "grad_logits")));
}

void compose_model_enter_backward(struct composer *m) {
    compose_run(m, STEP_OTHER, "head", "backward", &m->c, -1,
                PLACES(made("u", "out"), made("grad_logits", "grad_logits"), made("grad_u", "grad_out")));
    keep_head(m);
}

/* The tokens are those of the forward half. */
void compose_model_leave_backward(struct composer *m) {
    compose_run(m, STEP_OTHER, "embedding", "backward", &m->c, -1,
                PLACES(made("tokens", "tokens"), made("grad_x0", "grad_x0")));
}

/* ---- the update ---- */

/* Names a flat array, or the part of it that belongs to a group. */
static struct place flat(struct composer *m, const char *argument, const char *name, enum program_flat which, bool next,
                         int group, int64_t count) {
    struct program *p = m->p;
    struct place place = {argument, name, group, MADE};
    int64_t at = plan_array(p, &place, false, count, m->c.param);
    if (at >= 0) {
        plan_slice(p, at, which, group < 0 ? FLAT_ALL : -1 - group, GROUP_PLAIN);
        p->arrays.array[at].next_values = next;
    }
    place.source = FLAT;
    return place;
}

static void update(struct composer *m, int group) {
    struct mhc_case c = {.stream = m->c.stream, .coef = m->c.coef, .param = m->c.param};
    int64_t W = c.weights = program_memory_group(m->p->memory, (enum parameter_group)group, mhc_type_bytes(c.param));
    if (W == 0)
        return;
    compose_run(m, group == GROUP_CONNECTION ? STEP_OWN_UPDATE : STEP_UPDATE, "adamw", "update", &c, group,
                PLACES(flat(m, "master", "flat.master", FLAT_PARAMETER, false, group, W),
                       flat(m, "momentum", "flat.momentum", FLAT_MOMENTUM, false, group, W),
                       flat(m, "rms", "flat.rms", FLAT_RMS, false, group, W),
                       flat(m, "grad", "flat.grad", FLAT_GRADIENT, false, group, W),
                       flat(m, "master_next", "flat.master_next", FLAT_PARAMETER, true, group, W),
                       flat(m, "momentum_next", "flat.momentum_next", FLAT_MOMENTUM, true, group, W),
                       flat(m, "rms_next", "flat.rms_next", FLAT_RMS, true, group, W), made("norm", "norm"),
                       {"hyper", "hyper", group, GIVEN}));
}

void compose_model_updates(struct composer *m) {
    struct program *p = m->p;
    struct mhc_case c = {.stream = m->c.stream, .coef = m->c.coef, .param = m->c.param};
    if (p->failed || p->missing[0])
        return;
    plan_flat(p->memory);
    c.weights = p->memory->flat.first[PARAMETER_GROUPS] / mhc_type_bytes(c.param);
    compose_run(m, STEP_UPDATE, "gradient", "norm", &c, -1,
                PLACES(flat(m, "grad", "flat.grad", FLAT_GRADIENT, false, -1, c.weights), made("norm", "norm")));
    for (int group = 0; group < PARAMETER_GROUPS; group++)
        update(m, group);
}
