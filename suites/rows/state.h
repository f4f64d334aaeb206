/* What a call leaves must follow from its arguments alone, not from earlier calls, their number, their pointers or
 * their time. Gates ask this beside the examination of one call. */
#ifndef STATE_H
#define STATE_H

#include "suites/rows/examine.h"

/* Gives `other` both ends of every input of `first`, whose case it has, and all of one input if there are others
 * beside it. A library that recognises its inputs by these takes one for the other. To be called between
 * examine_give() and examine_reference(). */
void state_same_ends(struct examination *other, const struct examination *first);

/* Calls the last row of two open examinations, whose earlier rows have run: in turn without a pause, with the
 * second's inputs at the first's pointers, many times without a look, and many times with one. NULL, or what is
 * wrong. */
const char *state_examine(const struct examination *first, const struct examination *other);

#endif
