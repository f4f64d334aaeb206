/* Tensors of safetensors files: an 8-byte little-endian length, a JSON header, data. One file, a folder of them, or
 * an index with shards. Nothing of a header is trusted, and only the numbers that are asked for are read. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

enum { TENSOR_RANK = 8, TENSOR_TYPE = 16 };

struct tensor {
    char *name, type[TENSOR_TYPE]; /* "F32", as the header has it */
    int rank, shard;
    int64_t extent[TENSOR_RANK], elements;
    int64_t at, bytes; /* in its shard */
};

struct safetensors {
    struct tensor *tensor; /* sorted by name */
    int64_t count;
    char **shard; /* paths */
    int shards;
    int64_t unread; /* tensors that an index has in shards that are not needed and were not opened */
};

/* Whether PATH is a folder, a safetensors file or an index, by what is in it. */
bool safetensors_is(const char *path);
/* Reads the headers; with an index, those of the shards that hold a `wanted` tensor. NULL: one line in record_error(),
 * which names the shards that are missing. */
struct safetensors *safetensors_open(const char *path, bool (*wanted)(const char *name));
void safetensors_close(struct safetensors *);

/* Whether a tensor is F32, BF16 or F16. */
bool tensor_is_real(const struct tensor *);
/* "F32 [24][16384]"; returns `text`. */
enum { TENSOR_TEXT = 200 };
const char *tensor_text(const struct tensor *, char text[TENSOR_TEXT]);
/* Its numbers, of a tensor that is real. false: one line in record_error(). */
bool tensor_read(const struct safetensors *, const struct tensor *, double *values);

#endif
