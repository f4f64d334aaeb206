/* The vocabulary every room shares, and the ABI of a library of operations.
 *
 * A layer of a residual stack is        x_next = res.x + post^T.y,   y = F(u),   u = pre.x
 * (mHC, arXiv 2512.24880, Eq. 3). Letters, used everywhere and without synonyms:
 *
 *   T  tokens = batch * S     n  streams (expansion)     C  width of one stream     S  sequence length
 *   L  layers, one connection each; a transformer block has two        t_max  Sinkhorn iterations
 *
 * Arrays are row-major: x, x_next [T][n][C]; pre, post [T][n]; res [T][n][n] (row = destination, column = source); u,
 * y [T][C]; phi [nC][2n+K] with the columns pre, post and the K logits of the residual map. Gradients are called
 * grad_<name>.
 *
 * An operation is data: one `struct mhc_row` says what it reads and writes, what it costs and how wrong it may be.
 * A backend is one `struct mhc_library` of rows. Verify, tests and benchmarks are loops over rows; there is no
 * second list. Plain C, no dependency: also included by CUDA sources. */
#ifndef OPERATION_H
#define OPERATION_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MHC_ABI 4          /* raised when a struct below changes its meaning */
#define MHC_MAX_STREAMS 16 /* largest n */
#define MHC_MAX_ARGS 24    /* arguments of one row, the closing empty one included */

enum mhc_type { MHC_F64, MHC_F32, MHC_BF16, MHC_I32 };

/* paper: Eq. 7-9, no epsilon. v4: DeepSeek-V4's arithmetic (epsilons, transposed logits). */
enum mhc_convention { MHC_PAPER, MHC_V4 };

enum mhc_activation { MHC_GELU, MHC_SWIGLU };

/* The residual map of generator mhc: what turns K logits of a token into res [n][n]; cpu_ref/maps has the formulas. A
 * map has constants but no learned parameters beside its logits. A library need not have all of them. */
enum mhc_map {
    MHC_SINKHORN, /* mHC: t_max iterations, in the convention of the case; the map of a case that does not say */
    MHC_IDENTITY, /* identity HC: res is I and stands nowhere */
    MHC_FREE,     /* the logits themselves */
    MHC_PERMUTATIONS,
    MHC_KRONECKER,
    MHC_ORTHOSTOCHASTIC, /* map_order: s, 1 or 2 */
    MHC_TRANSPORT,
    MHC_SPECTRAL,
    MHC_CIRCULANT, /* map_constant: the share that it mixes, above 0 and at most 1 */
    MHC_MAPS
};

/* One problem: shapes, constants and the element type of each role. Unused fields are 0. The extents of an argument
 * may differ from call to call of a program, because each call has its own case. */
struct mhc_case {
    int64_t T, n, C, S;              /* S = 0 means one sequence of T tokens */
    int64_t hidden, heads, head_dim; /* branches mlp and attention */
    int64_t vocabulary, sources;     /* of an embedding and a head; earlier outputs that this call sees */
    int64_t weights;                 /* elements of a flat array of parameters, gradients or moments */
    int64_t t_max;                   /* >= 1 */
    double rms_eps, sinkhorn_eps;
    int32_t convention, activation; /* enum mhc_convention, enum mhc_activation */
    int32_t map, map_order;         /* enum mhc_map; an integer constant that one map has */
    double map_constant;            /* a real constant that one map has; other maps take no notice of either */
    int32_t stream, coef, param;    /* enum mhc_type of each role */
};

/* Streams and activations | coefficients of the connection | parameters and their gradients | tokens and targets,
 * int32 | numbers that a program fills at each step (rate, decay, betas, epsilon, clip, step), float64 in every
 * library. */
enum mhc_role { MHC_STREAM, MHC_COEF, MHC_PARAM, MHC_INDEX, MHC_SCALAR };
enum mhc_direction { MHC_IN, MHC_OUT };

/* One array argument. `extents` has one letter per dimension, see mhc_extent(). Names are those of vector files. A
 * digit or an M behind another letter says that so many arrays lie side by side, q, k, v in "T3A": each of them is
 * judged on its own.
 *
 * What a natural random input looks like: around + size normal / sqrt(extent of fan_in), or of an index below the
 * extent of fan_in; see mhc_natural(). */
struct mhc_arg {
    const char *name, *extents;
    enum mhc_role role;
    enum mhc_direction direction;
    char fan_in;   /* a letter; 0: 1 */
    bool diagonal; /* [n][n], `around` on the diagonal and 0 elsewhere */
    float around, size;
};

/* One operation in one implementation.
 *
 * `name` is "<kind>.<operation>". Every block kind has the four connection operations
 *     pre              x, params                              -> u, pre, post, res
 *     post             x, y, post, res                        -> x_next
 *     post_backward_y  grad_x_next, post                      -> grad_y
 *     backward         grad_x_next, x, y, grad_u, coefs, params -> grad_x and every parameter gradient
 * for the loss <grad_x_next, x_next> + <grad_u, u> with y independent; the caller runs post_backward_y, the branch's
 * backward, then backward, so res^T.grad_x_next is never stored. A branch has `forward` and `backward`.
 *
 * The caller allocates everything, 64-byte aligned; outputs are overwritten, never accumulated into, and never alias
 * inputs. Two inputs may be one array. `save` (save_bytes) is written by pre or forward and read by the matching
 * backward; `work` (work_bytes) is scratch. run() returns 0, or nonzero when the device failed.
 *
 * A library may have several rows of one name, the preferred first: a caller takes the first that supports its case.
 * `implementation` says in a few words how a row does it, where that is worth saying.
 *
 * MHC_OPERATION(id) of operations.h fills in the contract: name, args, flops, traffic. Behind `args` the arguments of
 * a call lie as pointers in that order, struct id_args; an argument of no elements may be NULL. */
struct mhc_row {
    const char *name;
    const struct mhc_arg *args; /* ends with an empty name */
    double (*flops)(const struct mhc_case *);
    double (*traffic)(const struct mhc_case *); /* bytes that must move once */
    const char *implementation;                 /* the members from here on are the implementer's */
    bool (*supports)(const struct mhc_case *, const char **why);
    int64_t (*save_bytes)(const struct mhc_case *); /* NULL: none */
    int64_t (*work_bytes)(const struct mhc_case *); /* NULL: none */
    double (*tolerance)(const struct mhc_case *);   /* max |error| as a share of the array's largest element */
    int (*run)(void *context, void *queue, const struct mhc_case *, void *const arg[], void *save, void *work);
};

/* What a device library adds, each of them or NULL; a library without `memory` and `queues` works on host memory,
 * synchronously. Functions return 0, or nonzero when the device failed. */
struct mhc_memory {
    int (*allocate)(void *context, void **pointer, int64_t bytes);
    void (*release)(void *context, void *pointer);
    int (*to_device)(void *context, void *destination, const void *source, int64_t bytes);
    int (*to_host)(void *context, void *destination, const void *source, int64_t bytes);
    int64_t (*available)(void *context); /* bytes */
};
struct mhc_queues {
    int (*create)(void *context, void **queue, int high_priority);
    void (*destroy)(void *context, void *queue);
    int (*synchronize)(void *context, void *queue);
    int (*wait)(void *context, void *queue, void *event); /* what follows in the queue waits for a recorded event */
};
struct mhc_events {
    int (*create)(void *context, void **event);
    void (*destroy)(void *context, void *event);
    int (*record)(void *context, void *event, void *queue);
    int (*elapsed)(void *context, void *start, void *stop, double *seconds);
};

/* What a queue is given between capture and finish is not run but kept as a graph, which launch() runs as often as
 * wanted. */
struct mhc_graphs {
    int (*capture)(void *context, void *queue);
    int (*finish)(void *context, void *queue, void **graph);
    int (*launch)(void *context, void *queue, void *graph);
    void (*destroy)(void *context, void *graph);
};
/* For a measurement. hold() keeps a queue from running what follows until release(), or for a second at most, so
 * that the host is ahead of the device; where that never comes about, it may stop trying; stamp() notes the device's
 * clocks at `place` 0 or 1; frequency() is what a multiprocessor ran at between the two, known once both
 * have passed. */
struct mhc_probe {
    int (*hold)(void *context, void *queue);
    int (*release)(void *context);
    int (*stamp)(void *context, void *queue, int place);
    int (*frequency)(void *context, double *hertz);
    int64_t (*cache_bytes)(void *context); /* last-level cache */
    /* The device, its driver and runtime, "name; driver 1.2; ..."; a part that begins with "! " would spoil a
     * measurement. */
    int (*describe)(void *context, char *text, size_t size);
};

/* The one data symbol of a library is `const struct mhc_library mhc_library`. */
struct mhc_library {
    uint32_t abi, size; /* MHC_ABI, sizeof(struct mhc_library) */
    const char *name, *build;
    int (*open)(void **context, char *why, size_t why_size); /* NULL: no context */
    void (*close)(void *context);
    const char *(*error)(void *context); /* why the last call failed; NULL: it cannot say */
    const struct mhc_memory *memory;
    const struct mhc_queues *queues;
    const struct mhc_events *events;
    const struct mhc_graphs *graphs;
    const struct mhc_probe *probe;
    const struct mhc_row *const *rows; /* ends with NULL */
};

static inline int64_t mhc_type_bytes(int32_t type) {
    return type == MHC_F64 ? 8 : type == MHC_BF16 ? 2 : 4;
}

static inline int64_t mhc_sequence(const struct mhc_case *c) {
    return c->S ? c->S : c->T;
}

/* K: logits of the residual map of a case, per token; -1 where the map does not exist for this n. */
static inline int64_t mhc_map_logits(const struct mhc_case *c) {
    int64_t n = c->n, product = 1, bits = 0;
    switch (c->map) {
    case MHC_IDENTITY: return 0;
    case MHC_PERMUTATIONS:
        for (int64_t k = 2; k <= n; k++)
            product *= k;
        return n <= 5 ? product : -1;
    case MHC_KRONECKER:
        while ((int64_t)1 << bits < n)
            bits++;
        return (int64_t)1 << bits == n ? 2 * bits : -1;
    case MHC_ORTHOSTOCHASTIC:
        return c->map_order < 1 || c->map_order > 2 ? -1 : c->map_order * n * (c->map_order * n - 1) / 2;
    case MHC_TRANSPORT:
    case MHC_SPECTRAL: return (n - 1) * (n - 1);
    case MHC_CIRCULANT: return n;
    default: return n * n;
    }
}

/* What a case must have where that is -1. */
static inline const char *mhc_map_needs(const struct mhc_case *c) {
    return c->map == MHC_PERMUTATIONS ? "this residual map, of n! logits, needs n from 1 to 5"
           : c->map == MHC_KRONECKER  ? "this residual map needs n of 1, 2, 4, 8 or 16"
                                      : "this residual map needs map_order 1 or 2";
}

/* Size of the dimension a letter stands for; -1 for a letter without meaning.
 *   T n C S as above | D nC | H hidden | G hidden when SwiGLU, else 0 | M 2 when SwiGLU, else 1 | A heads*head_dim
 *   K logits of the residual map | Q 2n+K, columns of phi | E parts of Q with an alpha: 3, or 2 when K = 0
 *   N n, or 0 when res is I
 *   V vocabulary | R sources | W weights | 1..9 */
static inline int64_t mhc_extent(const struct mhc_case *c, char letter) {
    switch (letter) {
    case 'T': return c->T;
    case 'n': return c->n;
    case 'C': return c->C;
    case 'S': return mhc_sequence(c);
    case 'D': return c->n * c->C;
    case 'K': return mhc_map_logits(c);
    case 'Q': return 2 * c->n + mhc_map_logits(c);
    case 'E': return mhc_map_logits(c) ? 3 : 2;
    case 'N': return c->map == MHC_IDENTITY ? 0 : c->n;
    case 'H': return c->hidden;
    case 'G': return c->activation == MHC_SWIGLU ? c->hidden : 0;
    case 'M': return c->activation == MHC_SWIGLU ? 2 : 1;
    case 'A': return c->heads * c->head_dim;
    case 'V': return c->vocabulary;
    case 'R': return c->sources;
    case 'W': return c->weights;
    default: return letter >= '1' && letter <= '9' ? letter - '0' : -1;
    }
}

/* Whether a letter behind the first counts arrays that lie side by side. */
static inline bool mhc_is_beside(char letter) {
    return letter == 'M' || (letter >= '1' && letter <= '9');
}

/* Elements of an argument. */
static inline int64_t mhc_elements(const struct mhc_case *c, const struct mhc_arg *arg) {
    int64_t count = 1;
    for (const char *letter = arg->extents; *letter; letter++)
        count *= mhc_extent(c, *letter);
    return count;
}

static inline int32_t mhc_arg_type(const struct mhc_case *c, const struct mhc_arg *arg) {
    switch (arg->role) {
    case MHC_STREAM: return c->stream;
    case MHC_COEF: return c->coef;
    case MHC_PARAM: return c->param;
    case MHC_INDEX: return MHC_I32;
    default: return MHC_F64;
    }
}

static inline int64_t mhc_arg_bytes(const struct mhc_case *c, const struct mhc_arg *arg) {
    return mhc_elements(c, arg) * mhc_type_bytes(mhc_arg_type(c, arg));
}

/* Bytes of all arguments, each once. */
static inline double mhc_bytes_once(const struct mhc_case *c, const struct mhc_arg *args) {
    double bytes = 0;
    for (const struct mhc_arg *arg = args; arg->name; arg++)
        bytes += (double)mhc_arg_bytes(c, arg);
    return bytes;
}

/* Element k of a natural input, made from a standard normal number. */
static inline double mhc_natural(const struct mhc_case *c, const struct mhc_arg *arg, int64_t k, double normal) {
    int64_t fan_in = arg->fan_in ? mhc_extent(c, arg->fan_in) : 1;
    if (arg->role == MHC_INDEX) /* thousandths of a normal number, wrapped, reach every value */
        return (double)((int64_t)((normal < 0 ? -normal : normal) * 1e6) % (fan_in > 0 ? fan_in : 1));
    double around = arg->diagonal && k % (c->n * c->n) % (c->n + 1) ? 0 : (double)arg->around;
    return around + (double)arg->size * normal / sqrt((double)(fan_in > 0 ? fan_in : 1));
}

/* The first row of a library with a name; the argument of a row with a name and a direction. NULL: there is none. */
static inline const struct mhc_row *mhc_row_find(const struct mhc_library *library, const char *name) {
    const struct mhc_row *const *row = library->rows;
    while (*row && strcmp((*row)->name, name))
        row++;
    return *row;
}
static inline const struct mhc_arg *mhc_arg_find(const struct mhc_row *row, const char *name,
                                                 enum mhc_direction direction) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == direction && !strcmp(arg->name, name))
            return arg;
    return NULL;
}

#ifdef __cplusplus
}
#endif
#endif
