/* What a result is made of, taken in the measuring process at run time: for /env of the record. */
#ifndef PROVENANCE_FACTS_H
#define PROVENANCE_FACTS_H

#include "results/record.h"

/* The facts, valid until the next call. */
const struct record_fact *provenance_facts(int *count);

/* One of them, "" where it is not known. */
const char *provenance_fact(const char *name);
/* One more, which another process has found out; an empty one is left out. */
void provenance_add(const char *name, const char *value, int *count);

#endif
