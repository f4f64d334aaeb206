/* Tables as text: rows are kept until the widths of all columns are known. Of table.c alone. */
#ifndef TABLE_TEXT_H
#define TABLE_TEXT_H

#include "results/table.h"

/* Keeps a row; with one value, a line that stands between rows. */
void table_text_row(struct tables *, const struct value *, int count);
/* Prints and releases the rows. */
void table_text_end(struct tables *);

/* Prints text whose lines are broken at blanks where they are longer than `most`. */
void table_text_put(struct tables *, const char *text);

#endif
