/* The tables of `mhcbench show`, for that command and for `report`. */
#ifndef SHOW_H
#define SHOW_H

#include "results/record.h"
#include "results/table.h"
#include "suites/report/groups.h"
#include "suites/report/shows.h"

/* The head of a record and its tables; `how`: SHOW_ALL, SHOW_ACCOUNT. */
void show_write(struct record_reader *, const struct groups *, const char *path, unsigned how, struct tables *);

#endif
