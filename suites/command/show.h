/* The tables of `mhcbench show`, for whatever shows them. */
#ifndef SHOW_H
#define SHOW_H

#include "results/record.h"
#include "results/table.h"
#include "suites/report/groups.h"

/* The head of a record and its tables; `all`: every row. */
void show_write(struct record_reader *, const struct groups *, const char *path, bool all, struct tables *);

#endif
