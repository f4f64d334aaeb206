/* The table of study `recompute`. */
#ifndef SHOW_RECOMPUTE_H
#define SHOW_RECOMPUTE_H

#include "results/record.h"

/* A line for every L_r; nothing where the record has no such case. */
void show_recompute(struct record_reader *);

#endif
