/* A trained model as the ensemble of a case: what its checkpoint says of its shape. */
#ifndef FROM_H
#define FROM_H

#include "suites/case/params.h"

/* The case of a key, as params_key() writes it. false: one line in `why`. */
bool from_read_key(struct params *, const char *key, char *why, size_t why_size);

#endif
