/* The optimizer: AdamW on every parameter, once all gradients are final, one call per array of parameters. State and
 * master copy of a parameter are held, new values have arrays of their own, so that a step can be run again with the
 * same bits. Weights of products, which are rounded to the type of the streams, are written in it besides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/compose.h"

/* "grad_w_o" is the gradient of "w_o", "mhc.grad_phi" that of "mhc.phi". */
static void parameter_of(const char *gradient, char name[40]) {
    const char *at = strstr(gradient, "grad_");
    snprintf(name, 40, "%.*s%s", (int)(at - gradient), gradient, at + strlen("grad_"));
}

static bool is_rounded(const struct composer *m, const char *parameter, int64_t layer) {
    int64_t at = program_find(&m->p->arrays, parameter, layer);
    return at >= 0 && m->p->arrays.array[at].type != m->c.param;
}

static void update(struct composer *m, const struct program_array *gradient) {
    enum { STATE = 3, NEXT = 4, OWN = STATE + NEXT, ALL = OWN + 3 };
    static const char *const argument[OWN] = {"master",        "momentum", "rms",   "master_next",
                                              "momentum_next", "rms_next", "w_next"};
    char parameter[40], name[OWN][sizeof gradient->name];
    struct place place[ALL];
    struct mhc_case c = {.weights = gradient->count, .stream = m->c.stream, .coef = m->c.coef, .param = m->c.param};
    parameter_of(gradient->name, parameter);
    for (int k = 0; k < OWN; k++) {
        if (snprintf(name[k], sizeof name[k], "%s.%s", parameter, argument[k]) >= (int)sizeof name[k])
            abort(); /* a name that is cut would be another array's */
        place[k] = (struct place){argument[k], name[k], gradient->layer, k < STATE ? HELD : MADE};
    }
    place[OWN] = (struct place){"grad", gradient->name, gradient->layer, MADE};
    place[OWN + 1] = (struct place){"norm", "adamw.norm", -1, HELD};
    place[OWN + 2] = (struct place){"hyper", "adamw.hyper", -1, HELD};
    compose_run(m, strchr(parameter, '.') ? STEP_OWN_UPDATE : STEP_UPDATE, "adamw",
                is_rounded(m, parameter, gradient->layer) ? "update_rounded" : "update", &c, gradient->layer, place,
                ALL);
}

void compose_updates(struct composer *m) {
    int64_t before = m->p->arrays.count;
    for (int64_t k = 0; k < before && !m->p->failed; k++) {
        struct program_array array = m->p->arrays.array[k]; /* the list grows meanwhile */
        if (array.parameter)
            update(m, &array);
    }
    for (int64_t k = before; k < m->p->arrays.count; k++)
        m->p->arrays.array[k].parameter = !m->p->arrays.array[k].held;
}
