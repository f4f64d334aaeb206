#include "suites/case/connections.h"

#include <string.h>

const struct connection connections[CONNECTIONS] = {
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

const struct connection *connection_find(const char *name) {
    for (int k = 0; k < CONNECTIONS; k++)
        if (!strcmp(connections[k].name, name))
            return &connections[k];
    return NULL;
}

unsigned connections_where(bool (*holds)(const struct connection *)) {
    unsigned bits = 0;
    for (int k = 0; k < CONNECTIONS; k++)
        bits |= (unsigned)(!holds || holds(&connections[k])) << k;
    return bits;
}
