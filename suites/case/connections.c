#include "suites/case/connections.h"

#include <string.h>

const struct connection connections[] = {
#define CONNECTION(id, words, paper, source, kind, residual_map, number, sums, sign) \
    {.name = #id,                                                                    \
     .label = words,                                                                 \
     .reference = paper,                                                             \
     .generator = source,                                                            \
     .rows = kind,                                                                   \
     .map = residual_map,                                                            \
     .colour = number,                                                               \
     .exact = sums,                                                                  \
     .negative = sign},
#include "suites/case/connections.def"
#undef CONNECTION
};
const int connections_count = sizeof connections / sizeof *connections;

const struct connection *connection_find(const char *name) {
    for (int k = 0; k < connections_count; k++)
        if (!strcmp(connections[k].name, name))
            return &connections[k];
    return NULL;
}
