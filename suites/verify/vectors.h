/* Vector files: inputs and expected outputs of single operations in HDF5, so that any backend can be checked against
 * numbers that came from elsewhere. Nothing in the file is trusted: every attribute has a range, every dataset's shape
 * follows from the arguments of the reference's rows, and all shapes are checked before anything is read. */
#ifndef VECTORS_H
#define VECTORS_H

#include "suites/verify/vector_case.h"

struct vectors;

/* Opens a regular file and follows nothing but hard links in it. `list`: also reads the names of its cases. NULL: `why`
 * is one line. */
struct vectors *vectors_open(const char *path, bool list, char *why, size_t why_size);
void vectors_close(struct vectors *);
int64_t vectors_count(const struct vectors *);
const char *vectors_name(const struct vectors *, int64_t index); /* sorted */

/* Reads a case whole. false: `why` is one line, and nothing needs to be released. */
bool vectors_read(struct vectors *, const char *name, struct vector_case *, char *why, size_t why_size);
void vector_case_release(struct vector_case *);

/* Room for all arrays of a case whose op, sizes and constants are set. false: out of memory; release in either case. */
bool vector_case_allocate(struct vector_case *);

/* The array of that name, or NULL. */
struct vector_array *vector_find(struct vector_array *, int count, const char *name);

/* The reference's row <kind>.<operation>, which names and shapes what a vector holds; NULL if there is none. */
const struct mhc_row *vector_row(const char *kind, const char *operation);

#endif
