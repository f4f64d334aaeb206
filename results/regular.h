/* Reading of files that anybody may have put there: a pipe, a device or a folder is refused. */
#ifndef REGULAR_H
#define REGULAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor of the regular file and its size in bytes. -1: one line in record_error(). */
int regular_open(const char *path, int64_t *size);
/* `size` bytes from the byte `at` on. false: one line in record_error(). */
bool regular_read(int file, const char *path, void *to, size_t size, int64_t at);

#endif
