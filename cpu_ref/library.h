/* The CPU backends that are linked into the program. libmhc_cpu.so exports the rows of both as one `mhc_library`. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "cpu_ref/operation.h"

extern const struct mhc_library mhc_cpu64; /* the oracle: float64 */
extern const struct mhc_library mhc_cpu32; /* the path people time: float32 */

/* The biases [K] that the publication of the residual map of a case starts at, in a layer; one that is drawn depends on
 * the seed. cpu_ref/maps. The map has to exist. */
void map_start_f64(const struct mhc_case *, uint64_t seed, int64_t layer, double *b);

#endif
