/* A file as a whole: a checkpoint, the maps of a case, vectors. */
#ifndef CHECKPOINT_FILE_H
#define CHECKPOINT_FILE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "results/place.h"

/* All set the error line where they fail. */
/* Writes an HDF5 file: laid out in memory, where `fill` fills it. false: PATH is as before. */
bool checkpoint_file_make(const char *path, bool (*fill)(hid_t file, const void *what), const void *what);
/* The same, if PATH still leads to what was seen: of several processes that saw the same one succeeds. */
bool checkpoint_file_replace(const char *path, const struct place *seen, bool (*fill)(hid_t file, const void *what),
                             const void *what);
void *checkpoint_file_read(const char *path, size_t *size); /* new memory */

#endif
