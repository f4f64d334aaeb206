/* Between the files that compose a program; no other file includes it. */
#ifndef COMPOSE_H
#define COMPOSE_H

#include "suites/stack/program.h"

/* Where the values of an array come from: a call, the memory's owner once, the owner before every use; or it is a
 * piece of a flat array that has a name already. */
enum source { MADE, HELD, GIVEN, FLAT };

/* Where an argument of a call lies, if not where its name says. */
struct place {
    const char *argument, *name;
    int64_t layer;
    enum source source;
};

struct connection_rows {
    const char *name;    /* in front of those of its parameters */
    bool without_copies; /* the residual: u is x itself */
    const struct mhc_row *pre, *post, *post_backward_y, *backward, *post_pre, *backward_y;
    const struct mhc_row *apply_pre, *apply_post, *apply_res,
        *merge; /* of an unfused one; pre then gives coefficients only */
};

struct composer {
    struct program *p;
    const struct program_spec *spec;
    struct mhc_case c; /* of the connection: a residual has one stream */
    struct connection_rows k;
    bool backward;
    int64_t pass; /* what was given in a pass is not asked for again */
};

/* Where an argument lies by its name alone: x, y, u and coefficients of any layer. */
struct place compose_place(const struct composer *, int64_t layer, const char *argument);
/* Of what is computed again block by block; layers of a block and the one below it have different slots. */
int64_t compose_slot(const struct composer *, int64_t layer);

/* "grad_w_o" is the gradient of "w_o", "mhc.grad_phi" that of "mhc.phi". */
void compose_parameter_of(const char *gradient, char name[48]);

/* The row "<kind>.<operation>"; NULL: the program says what it misses. */
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

/* The rows of the connection, and its calls: compose_connection.c. enter_layer is post of the layer below with pre of
 * this one; leave_layer is backward of this one, with post_backward_y of the layer below where `below`. */
void compose_connection(struct composer *);
void compose_pre(struct composer *, int64_t layer);
void compose_post(struct composer *, int64_t layer);
void compose_enter_layer(struct composer *, int64_t layer);
void compose_leave_layer(struct composer *, int64_t layer, bool below);

/* F of a layer behind its norm, from v to y and back: compose_branch.c. */
void compose_branch(struct composer *, int64_t layer);
void compose_branch_backward(struct composer *, int64_t layer, struct place grad_y);

/* The optimizer, behind everything else: compose_update.c. */
void compose_updates(struct composer *);

/* Arrays of a program and their memory: plan.c. An array by name and layer; `fresh` makes one even where there is one
 * of that name, and from now on the name means the new one. -1: none, the program says why. */
int64_t plan_array(struct program *, const struct place *, bool fresh, int64_t count, int32_t type);
void plan_memory(struct program *);

/* Flat arrays: flat.c. Puts an array of a program into one, as `slice` of struct program_array says. A held array is
 * its own slice, and has a group. */
void plan_slice(struct program *, int64_t array, enum program_flat, int64_t slice, enum parameter_group);
/* Where slices lie, once all parameters are known; bytes of all flat arrays. */
void plan_flat(struct program_memory *);
double plan_flat_bytes(struct program_memory *);
char *plan_flat_pointer(const struct program_memory *, enum program_flat, bool next, int64_t set);
int64_t plan_slice_offset(const struct program_memory *, int64_t slice);
const char *plan_clear_flat(const struct program_memory *, int64_t set);

/* The ends of a model: compose_model.c. */
void compose_model_enter(struct composer *);
void compose_model_leave(struct composer *);
void compose_model_enter_backward(struct composer *);
void compose_model_leave_backward(struct composer *);
void compose_model_updates(struct composer *);

#endif
