/* The maps of a case in an HDF5 file of their own, described in SCHEMA.md. */
#ifndef MAPS_FILE_H
#define MAPS_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct maps_file {
    const char *key; /* of the case */
    int64_t L, T, n;
    const double *res;        /* [L][T][n][n], destination and source */
    const double *pre, *post; /* [L][T][n], or NULL */
};

/* Whole, or PATH is as before. false: one line in record_error(). */
bool maps_file_write(const char *path, const struct maps_file *);

#endif
