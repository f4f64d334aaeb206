/* What a call leaves must follow from its arguments alone: not from the calls before it, their number, their pointers
 * or their time. For gates, beside the examination of one call. */
#ifndef STATE_H
#define STATE_H

#include "suites/rows/examine.h"

/* Gives `other` both ends of every input of `first`, whose case it has, and all of one input beside which there are
 * others: a library that knows its inputs again by these takes one for the other. Between examine_give() and
 * examine_reference(). */
void state_same_ends(struct examination *other, const struct examination *first);

/* Calls of the last row on two examinations that are open, their rows before the last having run: in turn without a
 * pause, the second's inputs at the first's pointers, many calls without a look. NULL, or what is wrong. */
const char *state_examine(const struct examination *first, const struct examination *other);

#endif
