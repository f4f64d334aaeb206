/* The table of study `kernels`. */
#ifndef SHOW_KERNELS_H
#define SHOW_KERNELS_H

#include "results/record.h"

/* Prints a table for all timed cases that differ in operation and shape alone; nothing where there are none. */
void show_kernels(struct record_reader *);

#endif
