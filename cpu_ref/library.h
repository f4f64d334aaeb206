/* The CPU backends that are linked into the program. libmhc_cpu.so exports the rows of both as one `mhc_library`. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "cpu_ref/operation.h"

extern const struct mhc_library mhc_cpu64; /* the oracle: float64 */
extern const struct mhc_library mhc_cpu32; /* the path people time: float32 */

/* The biases [K] that the publication of the residual map of a case starts at; cpu_ref/maps. The map has to exist. */
void map_start_f64(const struct mhc_case *, double *b);

#endif
