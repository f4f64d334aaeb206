/* What would fit where a case does not. */
#ifndef FITS_H
#define FITS_H

#include "suites/case/params.h"
#include "suites/worker/worker.h"

/* The part of a backend's free memory that a case may need. */
#define MEMORY_SHARE 0.95

/* ": --tokens 96 or --depth 12 would fit", each with everything else as it is; empty when neither helps. Asks the
 * worker for estimates. */
void fits_text(struct worker *, const struct params *, char *text, size_t size);

#endif
