/* SHA-256 (FIPS 180-4) of a file, as `sha256sum` prints it. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_SIZE = 65 };
/* false: no regular file, or one that cannot be read; `text` is then "". */
bool digest_file(const char *path, char text[DIGEST_SIZE]);
void digest_bytes(const void *bytes, size_t size, char text[DIGEST_SIZE]);

#endif
