/* Bytes of a checkpoint's file, as a whole. Private to results/. */
#ifndef CHECKPOINT_FILE_H
#define CHECKPOINT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Both set the error line where they fail. */
bool checkpoint_file_write(const char *path, const void *bytes, size_t size);
void *checkpoint_file_read(const char *path, size_t *size); /* new memory */

#endif
