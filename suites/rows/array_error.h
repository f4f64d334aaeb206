/* How far an array is from the one it should be: the measure of every comparison with cpu64. */
#ifndef ARRAY_ERROR_H
#define ARRAY_ERROR_H

#include "cpu_ref/operation.h"

/* The largest finite |value|. */
double array_largest(const double *values, int64_t count);

/* The largest |got - want| as a share of the largest finite |want|, or of `smallest` if that is more, because an
 * array that is 0 in exact arithmetic holds rounding. Arrays that lie side by side in one argument (mhc_arg) have a
 * share each. Infinite if one side is not finite and the other something else, or if both are NaN: an array that was
 * never written is no match for another. `*element`, if not NULL, is the first element that is so far off. */
double array_error(const struct mhc_arg *, const struct mhc_case *, const double *got, const double *want,
                   double smallest, int64_t *element);

#endif
