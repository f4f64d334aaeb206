/* Residual maps in an HDF5 file of their own, described in SCHEMA.md: those of a case, or a user's. */
#ifndef MAPS_FILE_H
#define MAPS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct maps_file {
    const char *key; /* of the case */
    int64_t L, T, n;
    const double *res;        /* [L][T][n][n], destination and source */
    const double *pre, *post; /* [L][T][n], or NULL */
};

/* Whole, or PATH is as before. false: one line in record_error(). */
bool maps_file_write(const char *path, const struct maps_file *);

/* ---- reading: maps_read.c ---- */

/* Which of the two streams of res comes first; of option --order too. */
enum maps_order { MAPS_ORDER_UNSAID, MAPS_DESTINATION_SOURCE, MAPS_SOURCE_DESTINATION };
enum { MAPS_FILE_TEXT = 1200 };

/* What a file says of its maps: dataset `res` [L][T][n][n] or [seed][L][T][n][n] of any floating-point type, and
 * where it has them `pre` and `post` [L][T][n] or [seed][L][T][n]. */
struct maps_shape {
    int64_t seeds, L, T, n;
    enum maps_order order;           /* attribute `order` of res or of the file */
    char key[MAPS_FILE_TEXT];        /* attribute `case`, of a file that this program wrote; "": none */
    char connection[MAPS_FILE_TEXT]; /* attribute `connection` */
    bool pre, post;
};

/* Whether PATH is an HDF5 file that has a `res`. */
bool maps_file_is(const char *path);
/* "H, pre": what is in an HDF5 file that has no `res` and does not say what it is; "nothing": it is empty. false: it is
 * no such file. */
bool maps_file_other(const char *path, char *names, size_t size);
/* false: it cannot serve, and record_error() says why. */
bool maps_file_look(const char *path, struct maps_shape *);
/* The maps of a seed, from 0, as float64 with the destination first: res [L][T][n][n], pre and post [L][T][n] or
 * NULL where they are not wanted. The file must still have that shape. false: one line in record_error(). */
bool maps_file_read(const char *path, const struct maps_shape *, int64_t seed, enum maps_order, double *res,
                    double *pre, double *post);

/* Streams that maps are made under: dataset `x` [L][T][n][C] of any floating-point type, before each of L sites. */
struct states_shape {
    int64_t L, T, n, C;
};
bool states_file_look(const char *path, struct states_shape *);
/* Those of a site, x [T][n][C]. The file must still have that shape. Both: false: one line in record_error(). */
bool states_file_read(const char *path, const struct states_shape *, int64_t layer, double *x);

#endif
