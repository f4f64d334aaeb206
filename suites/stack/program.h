/* A stack of layers as a program: calls of rows on named arrays, composed once and run in order.
 *
 *   layer l:  u = pre.x_l,  y = F(u),  x_(l+1) = res.x_l + post^T.y
 *   then back, every gradient final; then the optimizer
 *
 * Ends. With `ends`, x_0 is n copies of x0 [T][C], out is the sum of the streams of x_L, and the owner gives x0 and
 * grad_out at every run. Without, x_0 and grad_out are held arrays with streams. Branch. F is one row per direction,
 * or in parts: a norm, then attention in even layers and the MLP in odd ones. Without `attention` the core's outputs
 * are held arrays. Recompute. 0 keeps what every layer's backward needs. L_r >= 1 keeps x once every L_r layers and y
 * of every layer, and computes the rest again, a block of L_r layers at a time (mHC section 4.3.2, Table 3). Both
 * give the same bits. F runs again only where it is one row that keeps more than u. The residual without copies needs
 * none of it. Memory. Arrays are known by name and layer. Without `share` each has a place of its own. With `share`
 * an array lives from the call that writes it to the last that reads it, and arrays of one size whose lives do not
 * overlap share a place; what a call makes and no other reads, like a gradient without an optimizer, can be read
 * right behind that call alone.
 *
 * Model. With `model`, the ends are an embedding, a head and the mean cross entropy, and the owner gives tokens and
 * targets. Parameters then are slices of one flat array, ordered by the groups of the optimizer, and so are their
 * gradients and both moments: the norm of the whole gradient is one call, an update one per group. What an update
 * makes goes to a second flat array, as no output is an input; program_memory_turn() makes the new values the
 * parameters of the next run. Programs on one memory share them. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "suites/rows/backend.h"

/* What a call belongs to; up to STEP_UPDATE it is F's and the same for every connection. */
enum step_part {
    STEP_ALL = -1, /* where a part may be named: the whole program */
    STEP_GEMM_FORWARD,
    STEP_GEMM_BACKWARD_INPUT,
    STEP_GEMM_BACKWARD_WEIGHT,
    STEP_CORE_FORWARD,
    STEP_CORE_BACKWARD,
    STEP_ACTIVATION_FORWARD,
    STEP_ACTIVATION_BACKWARD,
    STEP_UPDATE, /* of the parameters that every connection has */
    STEP_NORM_FORWARD,
    STEP_NORM_BACKWARD,
    STEP_PRE,
    STEP_POST,
    STEP_POST_BACKWARD_Y,
    STEP_BACKWARD,
    STEP_OWN_UPDATE, /* of the connection's parameters */
    STEP_PARTS,
    STEP_OTHER = STEP_PARTS /* the ends, a branch of one row, what the owner gives: in no account */
};
enum { STEP_SHARED_PARTS = STEP_UPDATE + 1 };
extern const char *const step_part_name[STEP_PARTS];

static inline bool step_is_connection(enum step_part part) {
    return part >= STEP_PRE && part < STEP_PARTS;
}

/* How a connection's rows are cut: pre, post, post_backward_y and backward; besides, across layers, post_pre and
 * backward_y; or single arrows. */
enum program_form { PROGRAM_FUSED, PROGRAM_ACROSS, PROGRAM_UNFUSED };

/* What the optimizer tells apart: weights of products; embedding, positions and gains; the connection's own. */
enum parameter_group { GROUP_MATRICES, GROUP_PLAIN, GROUP_CONNECTION, PARAMETER_GROUPS };

/* The flat arrays of a model. Those in pairs have a place for what an update reads and for what it makes. */
enum program_flat { FLAT_NONE, FLAT_GRADIENT, FLAT_PARAMETER, FLAT_MOMENTUM, FLAT_RMS, FLAT_KINDS };

struct program_spec {
    const char *name; /* what messages call it; NULL: nothing needs to */
    const struct backend *backend;
    struct mhc_case c;      /* types filled by backend_types() */
    const char *connection; /* compose_connection.c: "residual" without copies, a connection, which has one stream
                              * where it cannot have more, or the kind of its rows */
    enum program_form form;
    const char *branch; /* kind of its rows, "linear", or "transformer": attention and mlp by turns; NULL: in parts */
    int64_t layers, recompute; /* recompute: 0 or L_r */
    bool ends, backward, attention, adamw;
    bool model;        /* ends, of the kind above; c.vocabulary is given */
    bool regenerate;   /* the owner gives parameters at every use: they are not held */
    bool share;        /* memory */
    int micro_batches; /* 0 or 1: one; 2 for overlap */
};

/* An array at an offset in the memory of its set: among the held ones, which programs read and none writes, or among
 * those of a micro-batch. */
struct program_array {
    char name[48];                             /* of a connection's parameter "mhc.phi" */
    const char *argument;                      /* what the row that met it first calls it: "phi" */
    int64_t layer;                             /* or slot; -1: of the program */
    int64_t count, bytes, offset, first, last; /* first, last: calls between which it lives; -1: none */
    int32_t type;
    bool held, parameter; /* parameter: the gradient of one, or what the optimizer makes of it */
    bool kept, again;     /* read in the backward half before it was written there; written there */
    /* How natural numbers for a held one look: scale times a normal one, plus the mean in every so many-th
     * element. */
    double mean, scale;
    int64_t every;
    int64_t given, next; /* in which pass the owner gave it; the next in its bucket or, dead, of its size */
    /* Of a model: which flat array it is in; there, the place of its parameter among the held ones, or -1 - group for
     * all of a group, or FLAT_ALL. Of a held parameter, the group; its offset is that in the flat array. */
    enum program_flat flat;
    int64_t slice;
    bool next_values; /* what an update makes */
    enum parameter_group group;
};
enum { FLAT_ALL = -1 - PARAMETER_GROUPS };

struct program_arrays {
    struct program_array *array;
    int64_t count, room;
    double bytes; /* that they take; a double, as huge requests must not wrap */
    int64_t *bucket, buckets;
};

struct program_call {
    const struct mhc_row *row; /* NULL: the owner gives the values of argument 0 */
    struct mhc_case c;
    enum step_part part;
    bool backward;                        /* in the backward half, which also computes again */
    int64_t layer;                        /* -1: none */
    int32_t argument[MHC_MAX_ARGS], save; /* indices of arrays; save -1: none */
};

/* Memory that programs share, each from its start: `sets` times [held | micro-batch | micro-batch ...]. */
struct program_memory {
    const struct backend *backend;
    struct program_arrays held;
    int micro_batches;
    double batch_bytes, set_bytes;
    struct {
        double bytes, begin;                 /* of one flat array, 0: there is none; where they begin in a set */
        int64_t first[PARAMETER_GROUPS + 1]; /* bytes in front of each group */
        int turn;                            /* which of each pair is the present one */
    } flat;
    int64_t sets, largest; /* elements of the largest array that its owner fills or gives */
    double *host;          /* room for those */
    char *slab;
};

struct program {
    struct program_spec spec;
    struct program_memory *memory;
    char missing[200], note[200]; /* why it cannot be run; how it is composed, where that is worth saying */
    struct program_arrays arrays;
    struct program_call *call;
    int64_t calls, room, work; /* work: the index of the scratch array */
    bool failed;               /* out of memory while it was composed */
};

/* Composes a program on memory that starts as zeros and must stay where it is. NULL, or why it cannot be run. Release
 * in any case, before the memory. */
const char *program_compose(struct program *, const struct program_spec *, struct program_memory *);
void program_release(struct program *);

/* The paper's rule L_r = sqrt(n L / (n + 2)), rounded, at least 1. */
int64_t program_recompute_rule(int64_t layers, int64_t n);

/* Gives the values of a held array, or of one that a call asks for. NULL, or why not. */
typedef const char *program_give(void *user, const struct program_array *, double *values);

/* Takes the memory, set_bytes per set. Then fills the held arrays of all sets. NULL, or why it failed. */
const char *program_memory_open(struct program_memory *, int64_t sets);
const char *program_memory_fill(struct program_memory *, program_give *, void *user);
void program_memory_release(struct program_memory *);

/* ---- of a model ---- */

/* What the last update made becomes what the next run reads. */
void program_memory_turn(struct program_memory *);
/* Where a flat array begins in set 0, flat.first[PARAMETER_GROUPS] bytes, and in it the parameter of a place among the
 * held arrays. Of a pair, the present one. */
char *program_memory_flat(const struct program_memory *, enum program_flat);
char *program_memory_parameter(const struct program_memory *, int64_t held);
/* Elements of a group, with the zeros between its slices. */
int64_t program_memory_group(const struct program_memory *, enum parameter_group, int64_t element_bytes);

/* An array by name and layer, the youngest where there are several; -1: none. */
int64_t program_find(const struct program_arrays *, const char *name, int64_t layer);
/* Where an array lies. */
char *program_pointer(const struct program *, int64_t array, int64_t set, int micro_batch);
/* Fill an array, or all memory, with NaN. false: the device failed. */
bool program_memory_poison(const struct program_memory *);
bool program_poison(const struct program *, int64_t array, int64_t set, int micro_batch);

/* ---- what a program says of itself: account.c ---- */

/* By the model of each row. */
double program_bytes(const struct program *, enum step_part);
double program_flops(const struct program *, enum step_part);
int64_t program_calls(const struct program *, enum step_part);
/* Bytes of the arrays that the calls of a part touch, each once. */
double program_footprint(const struct program *, enum step_part);
/* Bytes kept from forward to backward; of all arrays that are neither held nor kept nor a parameter's gradient. */
double program_activation_bytes(const struct program *);
double program_workspace_bytes(const struct program *);

/* Whether a call reads what an earlier one kept in `save`, or writes it. */
bool program_reads_save(const struct program_call *);

#endif
