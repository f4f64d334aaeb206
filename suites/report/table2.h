/* The paper's Table 2 (mHC, section 4.2): what each arrow of an unfused connection reads and writes, in elements a
 * token. */
#ifndef TABLE2_H
#define TABLE2_H

#include "cpu_ref/operation.h"
#include "results/record.h"
#include "results/table.h"

/* By the paper's formulas, of row `micro.<arrow>`; false: the table has no such arrow. */
bool table2_paper(const char *name, int64_t n, int64_t C, double *read, double *write);

/* By the arguments that a row declares: streams and coefficients; parameters are read once for all tokens and do not
 * count. */
void table2_declared(const struct mhc_row *, const struct mhc_case *, double *read, double *write);

/* Prints the table for the largest shape for which the record has such cases, what was measured beside it; nothing
 * where there are none. */
void show_table2(struct record_reader *, struct tables *);

#endif
