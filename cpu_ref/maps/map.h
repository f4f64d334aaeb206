/* A residual map turns the K logits of a token into res [n][n] (row = destination, column = source). Each map is one
 * file of this folder and a line of maps.def; mhc.c calls it for blocks of tokens. K is mhc_map_logits() of
 * operation.h. */
#ifndef MAP_H
#define MAP_H

#include "cpu_ref/real.h"

#define MAP_MOST_LOGITS 512 /* of a token, at any n and of any map */

#define residual_map NAME(residual_map)
struct residual_map {
    /* Whether the map has what it needs of a case, beside its logits (mhc_map_logits()); false: one line in *why. NULL:
     * it needs no more. */
    bool (*supports)(const struct mhc_case *, const char **why);
    /* logits [count][K] -> res [count][n][n], in the calling thread. Both arrays lie token after token. */
    void (*forward)(const struct mhc_case *, int64_t count, const real *logits, real *res);
    /* grad_res [count][n][n] -> grad_logits [count][K], from the same logits. `history` has history_bytes(). */
    void (*backward)(const struct mhc_case *, int64_t count, const real *logits, const real *grad_res,
                     real *grad_logits, void *history);
    int64_t (*history_bytes)(const struct mhc_case *); /* scratch of one thread, 64-byte aligned; NULL: none */
    /* The biases [K] at which the published implementation starts; a start that is drawn depends on seed and layer. */
    void (*start)(const struct mhc_case *, uint64_t seed, int64_t layer, double *b);
};

#define MAP(id, name) extern const struct residual_map NAME(map_##name);
#include "cpu_ref/maps/maps.def"
#undef MAP

/* The map of a case; NULL: this library does not have it. */
const struct residual_map *NAME(map_of)(const struct mhc_case *);
/* As residual_map.supports, with the types of a row too. */
bool NAME(map_supports)(const struct mhc_case *, const char **why);
int64_t NAME(map_history_bytes)(const struct mhc_case *);
/* residual_map.start of the map of a case, which exists. */
void NAME(map_start)(const struct mhc_case *, uint64_t seed, int64_t layer, double *b);

#endif
