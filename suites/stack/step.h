/* A training step of a stack of transformer blocks as a program: rows bound once to arrays, run in order.
 *
 *   layer l:  u = pre.x_l,  v = norm(u),  y = F(v),  x_(l+1) = res.x_l + post^T.y,   F of even layers attention, of odd
 * ones the MLP
 *
 * forward through all layers and back, every gradient final, then the optimizer if there is one; embedding, stream
 * entry and exit and head are not in it. The variants differ in the connection alone: F's rows, weights and inputs are the same. The residual
 * baseline is the best there is: u is x itself and never copied, the add and the next norm are one row both ways.
 * Without attention's core (`attention` false) its outputs are arrays that somebody else wrote. With recompute L_r the
 * variants with streams keep x every L_r layers and compute x, u, v and the coefficients again, a block at a time (mHC
 * section 4.3.2); F's own activations and y are kept; the baseline needs none of it. */
#ifndef STEP_H
#define STEP_H

#include "suites/rows/backend.h"

enum step_variant {
    STEP_RESIDUAL,
    STEP_HC_UNFUSED,
    STEP_MHC_UNFUSED,
    STEP_MHC,
    STEP_MHC_LAYERS,
    STEP_IDENTITY,
    STEP_VARIANTS
};
extern const char *const step_variant_name[STEP_VARIANTS];

/* What a call belongs to; up to STEP_UPDATE it is F's and the same in every variant. */
enum step_part {
    STEP_GEMM_FORWARD,
    STEP_GEMM_BACKWARD_INPUT,
    STEP_GEMM_BACKWARD_WEIGHT,
    STEP_CORE_FORWARD,
    STEP_CORE_BACKWARD,
    STEP_ACTIVATION_FORWARD,
    STEP_ACTIVATION_BACKWARD,
    STEP_UPDATE, /* of the parameters that every variant has */
    STEP_NORM_FORWARD,
    STEP_NORM_BACKWARD,
    STEP_PRE,
    STEP_POST,
    STEP_POST_BACKWARD_Y,
    STEP_BACKWARD,
    STEP_OWN_UPDATE, /* of the connection's parameters */
    STEP_PARTS
};
enum { STEP_SHARED_PARTS = STEP_UPDATE + 1 };
extern const char *const step_part_name[STEP_PARTS];

struct step_spec {
    const struct backend *backend;
    struct mhc_case c;         /* types filled by backend_types() */
    int64_t layers, recompute; /* recompute: 0 or L_r */
    bool attention, adamw;
    int lanes; /* micro-batches: 1, or 2 for overlap */
};

/* An array of a program, at an offset in the memory of its set: among the arrays that every variant reads and none
 * writes, or among those of a micro-batch. */
struct step_array {
    char name[48];
    int64_t layer; /* or slot; -1: of the step */
    int64_t count, bytes, offset;
    int32_t type;
    double mean,
        scale; /* of what a held one is filled with; the mean is that of every so many-th element, of the others it is 0 */
    int64_t every;
    int64_t next;         /* of those whose layers meet in step_arrays.first */
    bool held, parameter; /* parameter: the gradient of one, or what the optimizer makes of it */
};

struct step_arrays {
    struct step_array *array;
    int64_t count, room, bytes;
    int64_t first[512]; /* by layer: the place of its youngest array, from 1 */
};

struct step_call {
    const struct mhc_row *row;
    struct mhc_case c;
    enum step_part part;
    bool backward;
    int64_t argument[MHC_MAX_ARGS], save; /* indices of arrays; save -1: none */
};

struct step {
    enum step_variant variant;
    char missing[200], note[200]; /* why it cannot be run; how it is composed, where that is worth saying */
    struct step_arrays arrays;
    struct step_call *call;
    int64_t calls, room, work; /* work: the index of the scratch array */
    bool failed;               /* out of memory while it was composed */
    struct steps *all;
};

/* All variants of a case and the memory they share, which each uses from its start: `sets` times [held | lane | lane
 * ...]. */
struct steps {
    struct step_spec spec;
    struct step step[STEP_VARIANTS];
    struct step_arrays held;
    int64_t lane_bytes, set_bytes, sets;
    char *slab;
};

/* Composes every variant; one whose rows the backend lacks gets a reason in `missing`. NULL, or why nothing can be
 * composed. Release in any case. */
const char *steps_plan(struct steps *, const struct step_spec *);
/* Takes the memory and fills what is held, the same numbers for the same spec and seed on any backend, and everything
 * else with NaN. */
const char *steps_open(struct steps *, int64_t sets, uint64_t seed);
void steps_release(struct steps *);

/* Composes one variant (step_compose.c). */
void step_compose(struct step *);

/* For step_compose.c: an array by name and layer, made where there is none yet. */
int64_t step_array(struct step *, const char *name, int64_t layer, int64_t count, int32_t type, bool held);

/* Where an array lies. */
char *step_pointer(const struct step *, int64_t array, int64_t set, int lane);
/* Fills an array with NaN. false: the device failed. */
bool step_poison(const struct step *, int64_t array, int64_t set, int lane);
/* Queues a call, or all of them; NULL, or why it failed. */
const char *step_run_call(const struct step *, const struct step_call *, int64_t set, int lane, void *queue);
const char *step_run(const struct step *, int64_t set, int lane, void *queue);

/* What the program says of itself. Bytes by the model of each row; activations: kept from forward to backward;
 * workspace: of all arrays that are neither held nor kept nor a parameter's gradient. */
double step_bytes(const struct step *, enum step_part);
double step_flops(const struct step *, enum step_part);
int64_t step_calls(const struct step *, enum step_part);
double step_footprint(const struct step *, enum step_part); /* bytes of the arrays that its calls touch, each once */
double step_activation_bytes(const struct step *);
double step_workspace_bytes(const struct step *);

static inline bool step_is_connection(enum step_part part) {
    return part >= STEP_PRE;
}

#endif
