/* The rows of its kind that must run before a row, in the reference's order: it reads their outputs, or what they
 * keep in save (pre, save, backward). */
#ifndef CHAIN_H
#define CHAIN_H

#include <string.h>

#include "suites/rows/backend.h"

enum { CHAIN_ROWS = 16 };

/* The rows to run, of cpu64; the last is `row` itself. Without `inputs` only the row that keeps something for it
 * comes before it. Returns how many. */
int chain_of(const struct mhc_row *row, bool inputs, const struct mhc_row *chain[CHAIN_ROWS]);

/* A library's own row for one of the reference's: of the kind `form`, such as "mhc-micro" (NULL: none), else of the
 * reference's kind. NULL, and why. */
const struct mhc_row *chain_row(const struct backend *, const char *form, const struct mhc_row *reference,
                                const struct mhc_case *, const char **why);

/* Rows of one name must have the same arguments in one order. Returns the name of the first that differs; NULL: they
 * are the same. */
const char *rows_differ(const struct mhc_row *, const struct mhc_row *);

/* "pre" of "mhc.pre"; whether an operation reads what a row of its kind before it kept. */
const char *row_operation(const struct mhc_row *);
bool row_reads_save(const struct mhc_row *);

/* The reference's row of an operation, by the name of its kind or of any row of it; NULL: there is none. */
const struct mhc_row *reference_row(const char *kind, const char *operation);

/* A crossing between layers: two operations in one row. The second reads, as its `input`, what the first wrote as
 * `from`, rounded. Two further arrays of the row `second` have other names there. */
struct crossing {
    const char *operation, *from, *second, *input, *given, *stands_for, *made, *is;
};
const struct crossing *crossing_of(const struct mhc_row *); /* NULL: it is none */

#endif
