/* Inputs of a vector that is drawn, and not read. */
#ifndef VECTOR_DRAW_H
#define VECTOR_DRAW_H

#include "suites/verify/vector_case.h"

struct vector_inputs {
    uint64_t seed;
    double logits; /* standard deviation of the logits of res */
    bool hard;     /* with tokens that are 0 or as small as the epsilon of the norm, and ties at the maximum */
};

/* Fills `in`. Every number is a function of the seed, the array's name and the element. */
void vector_draw(struct vector_case *, const struct vector_inputs *);

#endif
