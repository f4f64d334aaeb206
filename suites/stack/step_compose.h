/* Between the files that compose a step; nobody else includes it. */
#ifndef STEP_COMPOSE_H
#define STEP_COMPOSE_H

#include "suites/stack/step.h"

/* Where an argument of a call lies, if not where its name says. */
struct place {
    const char *argument, *name;
    int64_t layer;
    bool held;
};

struct connection {
    const char *family; /* whose parameters it has */
    const struct mhc_row *pre, *post, *post_backward_y, *backward, *post_pre, *backward_y;
    const struct mhc_row *apply_pre, *apply_post, *apply_res,
        *merge; /* of an unfused one; pre then gives coefficients only */
};

struct composer {
    struct step *s;
    const struct step_spec *spec;
    struct mhc_case c; /* of the connection: a residual has one stream */
    struct connection k;
    bool backward;
};

/* Where an argument lies by its name alone. */
struct place compose_place(const struct composer *, int64_t layer, const char *argument);

/* The row "<kind>.<operation>"; NULL: the step says what it misses. */
const struct mhc_row *compose_row(struct composer *, const char *kind, const char *operation, const struct mhc_case *);

/* Appends a call of a row, with the places of those arguments that are not where their names say; the same by name. */
void compose_call(struct composer *, enum step_part, const struct mhc_row *, const struct mhc_case *, int64_t layer,
                  const struct place *, int count);
void compose_run(struct composer *, enum step_part, const char *kind, const char *operation, const struct mhc_case *,
                 int64_t layer, const struct place *, int count);
#define PLACES(...) \
    (const struct place[]){__VA_ARGS__}, (int)(sizeof((const struct place[]){__VA_ARGS__}) / sizeof(struct place))

/* What the last call keeps, or finds kept. */
void compose_keep(struct composer *, const char *name, int64_t layer, int64_t bytes);

/* F of a layer, from v to y and back: step_branch.c. */
void compose_branch(struct composer *, int64_t layer);
void compose_branch_backward(struct composer *, int64_t layer, struct place grad_y);

/* The optimizer, behind everything else: step_update.c. */
void compose_updates(struct composer *);

#endif
