/* The facts behind a result, taken at run time in the process that measures, for /env of the record. */
#ifndef PROVENANCE_FACTS_H
#define PROVENANCE_FACTS_H

#include "results/record.h"

/* The facts, valid until the next call. */
const struct record_fact *provenance_facts(int *count);

/* One of the facts; "" if it is not known. */
const char *provenance_fact(const char *name);
/* Adds a fact that another process has found out; an empty one is left out. */
void provenance_add(const char *name, const char *value, int *count);

#endif
