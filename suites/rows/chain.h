/* What a row leans on: the rows of its kind before it, in the reference's order, whose outputs it reads or which keep
 * what it finds in save (pre, save, backward). */
#ifndef CHAIN_H
#define CHAIN_H

#include <string.h>

#include "suites/rows/backend.h"

enum { CHAIN_ROWS = 16 };

/* The rows to run, of cpu64; the last is `row` itself. Without `inputs` only the one that keeps something for it.
 * Returns how many. */
int chain_of(const struct mhc_row *row, bool inputs, const struct mhc_row *chain[CHAIN_ROWS]);

/* A library's own row for one of the reference's: of kind `form`, "mhc-micro" (NULL: none), else of the reference's.
 * NULL, and why. */
const struct mhc_row *chain_row(const struct backend *, const char *form, const struct mhc_row *reference,
                                const struct mhc_case *, const char **why);

/* Rows of one name have the same arguments in one order: the name of one that differs; NULL: they have. */
const char *rows_differ(const struct mhc_row *, const struct mhc_row *);

/* "pre" of "mhc.pre"; whether an operation reads what a row of its kind before it kept. */
const char *row_operation(const struct mhc_row *);
bool row_reads_save(const struct mhc_row *);

/* The reference's row of an operation, of the kind of a row's or another name; NULL: there is none. */
const struct mhc_row *reference_row(const char *kind, const char *operation);

/* A crossing between layers: two operations in one, which goes on from what the first of them wrote as `from`,
 * rounded. Of the row `second` that is the `input`; two further arrays have other names there. */
struct crossing {
    const char *operation, *from, *second, *input, *given, *stands_for, *made, *is;
};
const struct crossing *crossing_of(const struct mhc_row *); /* NULL: it is none */

#endif
