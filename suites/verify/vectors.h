/* Vector files: inputs and expected outputs of single operations in HDF5, so that any backend can be checked against
 * numbers that came from elsewhere. Nothing in the file is trusted: every attribute has a range, every dataset's shape
 * follows from the arguments of the reference's rows, and all shapes are checked before anything is read. */
#ifndef VECTORS_H
#define VECTORS_H

#include "cpu_ref/operation.h"

enum { VECTOR_ARRAYS = 32, VECTOR_EXTRAS = 16 };

/* A dataset: name, a letter per dimension (those of mhc_extent(), and L for layers), values in float64. */
struct vector_array {
    const char *name;
    char extents[8];
    enum mhc_role role;
    int64_t count;
    double *values;
};

/* What an `op` of the format consists of: rows of a library to be run one after the other, or none (stack and gain). */
struct vector_op {
    const char *name;          /* op, or stack.<block> */
    const char *attributes[8]; /* that must be there */
    const char *operations[5]; /* of the rows <op>.<operation> */
};

struct vector_case {
    const struct vector_op *op;
    char block[16]; /* kind of rows of the connection, for a stack */
    int64_t L;
    double rtol, atol;
    struct mhc_case c; /* element types are left to the caller */
    struct vector_array in[VECTOR_ARRAYS], out[VECTOR_ARRAYS];
    int ins, outs;
    char extra[VECTOR_EXTRAS][64]; /* datasets in `out` that no operation computes */
    int extras;
};

struct vectors;

/* NULL: `why` is one line. */
struct vectors *vectors_open(const char *path, char *why, size_t why_size);
void vectors_close(struct vectors *);
int64_t vectors_count(const struct vectors *);
const char *vectors_name(const struct vectors *, int64_t index); /* sorted */

/* Reads a case whole. false: `why` is one line, and nothing needs to be released. */
bool vectors_read(struct vectors *, const char *name, struct vector_case *, char *why, size_t why_size);
void vector_case_release(struct vector_case *);

/* The array of that name, or NULL. */
struct vector_array *vector_find(struct vector_array *, int count, const char *name);

/* Size of a dimension of a vector's dataset. */
static inline int64_t vector_extent(const struct vector_case *v, char letter) {
    return letter == 'L' ? v->L : mhc_extent(&v->c, letter);
}

/* The reference's row <kind>.<operation>, which names and shapes what a vector holds; NULL if there is none. */
const struct mhc_row *vector_row(const char *kind, const char *operation);

#endif
