/* Rows that are kept until a table ends, and the table as text, whose widths are known then. Private to table.c. */
#ifndef TABLE_TEXT_H
#define TABLE_TEXT_H

#include "results/table.h"

/* Keeps a row as text; with one value, a line that stands between rows. */
void table_text_row(struct tables *, const struct value *, int count);
void table_text_print(struct tables *);
void table_text_forget(struct tables *);

/* Prints text whose lines are broken at blanks where they are longer than `most`. */
void table_text_put(struct tables *, const char *text);

#endif
