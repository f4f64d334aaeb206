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

bool connection_operation_has_one_stream(const char *operation) {
    size_t kind = strcspn(operation, ".");
    for (int k = 0; k < CONNECTIONS; k++)
        if (strlen(connections[k].rows) == kind && !strncmp(connections[k].rows, operation, kind))
            return connection_has_one_stream(&connections[k]);
    return false;
}

unsigned connections_where(bool (*holds)(const struct connection *)) {
    unsigned bits = 0;
    for (int k = 0; k < CONNECTIONS; k++)
        bits |= (unsigned)(!holds || holds(&connections[k])) << k;
    return bits;
}
