/* The connections as data; see connections.def. */
#ifndef CONNECTIONS_H
#define CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu_ref/operation.h"

/* Where pre, post and res come from: there are none; parameters alone; HC's Eq. 5; mHC's Eq. 7 and a residual map; res
 * is one parameter, without pre and post. */
enum generator { GENERATOR_NONE, GENERATOR_STATIC, GENERATOR_HC, GENERATOR_MHC, GENERATOR_SKIP };

struct connection {
    const char *name, *label, *reference;
    enum generator generator;
    const char *rows; /* kind of its operations */
    int32_t map;      /* enum mhc_map */
    int colour;
    bool exact, negative;
};

enum {
    CONNECTIONS = 0 /* how many */
#define CONNECTION(...) +1
#include "suites/case/connections.def"
#undef CONNECTION
};
extern const struct connection connections[CONNECTIONS];

/* NULL: there is none of that name. */
const struct connection *connection_find(const char *name);

/* n is 1: a ResNet, and a scaled skip. */
static inline bool connection_has_one_stream(const struct connection *c) {
    return c->generator == GENERATOR_NONE || c->generator == GENERATOR_SKIP;
}
/* The same by the name of one of its operations. */
bool connection_operation_has_one_stream(const char *operation);

/* Maps [n][n] that differ from layer to layer: all but ResNet and identity HC have them. */
static inline bool connection_mixes(const struct connection *c) {
    return c->generator != GENERATOR_NONE && c->map != MHC_IDENTITY;
}
/* Maps of HC, which are parameters or tanh() of something, and no projection of logits. */
static inline bool connection_is_hc(const struct connection *c) {
    return c->generator == GENERATOR_STATIC || c->generator == GENERATOR_HC;
}
/* Maps that are made of logits. */
static inline bool connection_has_logits(const struct connection *c) {
    return c->generator == GENERATOR_MHC && c->map != MHC_IDENTITY;
}
static inline bool connection_has_sinkhorn(const struct connection *c) {
    return c->generator == GENERATOR_MHC && c->map == MHC_SINKHORN;
}

/* A bit for each connection of which that holds; for every one where `holds` is NULL. */
unsigned connections_where(bool (*holds)(const struct connection *));

#endif
