/* `mhcbench list FILE.suite --shards N`: what a sweep on N processes would be, by a model. */
#ifndef LIST_SHARDS_H
#define LIST_SHARDS_H

#include "suites/case/suite.h"

/* Prints it for 1, 10, 100, ... and N processes. `reading`: seconds that reading the suite took here. false: out of
 * memory. */
bool list_shards(const struct suite *, int64_t shards, double reading);

#endif
