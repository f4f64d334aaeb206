/* One case of a vector file: what an operation gets, and what it should make of it. */
#ifndef VECTOR_CASE_H
#define VECTOR_CASE_H

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

/* Size of a dimension of a vector's dataset. */
static inline int64_t vector_extent(const struct vector_case *v, char letter) {
    return letter == 'L' ? v->L : mhc_extent(&v->c, letter);
}

#endif
