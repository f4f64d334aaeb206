/* A trained model as the ensemble of a case, or maps that were made elsewhere: what a file says of their shape. */
#ifndef FROM_H
#define FROM_H

#include "suites/case/params.h"

/* The case of a key, as params_key() writes it. false: one line in `why`. */
bool from_read_key(struct params *, const char *key, char *why, size_t why_size);

/* Gives a case with --from what its model has decided (ROLE_MODEL), and where it is not given otherwise what its
 * model was trained with (ROLE_MODELS); or the shape of its maps, and the order in which they are stored. `given` are
 * the parameters that a line names. false: it has been given something else, or the file cannot serve. */
bool from_apply(struct params *, const struct param *const *given, int count, char *why, size_t why_size);
/* How many seeds a line has that names none: those of a file of maps, else 1. */
int64_t from_seeds(const struct params *, const struct param *const *given, int count);

#endif
