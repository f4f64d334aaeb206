/* The optimizer of a training step: AdamW on every parameter, once all gradients are final, a call an array of parameters. State and master
 * copy of a parameter are held, new values have arrays of their own, so that a step can be run again with the same bits. Weights of
 * products, which are rounded to the type of the streams, are written in it besides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/stack/step_compose.h"

/* "grad_w_o" is the gradient of "w_o", "mhc.grad_phi" that of "mhc.phi". */
static void parameter_of(const char *gradient, char name[40]) {
    const char *at = strstr(gradient, "grad_");
    snprintf(name, 40, "%.*s%s", (int)(at - gradient), gradient, at + strlen("grad_"));
}

static bool is_rounded(const struct composer *m, const char *parameter, int64_t layer) {
    const struct step_arrays *arrays = &m->s->arrays;
    for (int64_t k = 0; k < arrays->count; k++)
        if (arrays->array[k].layer == layer && !strcmp(arrays->array[k].name, parameter))
            return arrays->array[k].type != m->c.param;
    return false;
}

static void update(struct composer *m, const struct step_array *gradient) {
    enum { HELD = 3, NEXT = 4, PLACES = HELD + NEXT + 1 };
    static const char *const argument[PLACES] = {"master",        "momentum", "rms",    "master_next",
                                                 "momentum_next", "rms_next", "w_next", "grad"};
    char parameter[40], name[PLACES][sizeof gradient->name];
    struct place place[PLACES];
    struct mhc_case c = m->c;
    c.n = c.T = c.hidden = 1;
    c.S = 0;
    c.C = gradient->count;
    parameter_of(gradient->name, parameter);
    for (int k = 0; k < PLACES; k++) {
        if (snprintf(name[k], sizeof name[k], "%s.%s", parameter, argument[k]) >= (int)sizeof name[k])
            abort(); /* a name that is cut would be another array's */
        place[k] = (struct place){argument[k], name[k], gradient->layer, k < HELD};
    }
    place[PLACES - 1] = (struct place){"grad", gradient->name, gradient->layer, false};
    compose_run(m, strchr(parameter, '.') ? STEP_OWN_UPDATE : STEP_UPDATE, "adamw",
                is_rounded(m, parameter, gradient->layer) ? "update_rounded" : "update", &c, gradient->layer, place,
                PLACES);
}

void compose_updates(struct composer *m) {
    int64_t before = m->s->arrays.count;
    for (int64_t k = 0; k < before && !m->s->failed; k++) {
        struct step_array array = m->s->arrays.array[k]; /* the list grows meanwhile */
        if (array.parameter)
            update(m, &array);
    }
    for (int64_t k = before; k < m->s->arrays.count; k++)
        m->s->arrays.array[k].parameter = !m->s->arrays.array[k].held;
}
