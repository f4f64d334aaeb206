/* The parameters of a model in a checkpoint, and the case that it is of. Studies train, maps and propagate. */
#ifndef TRAIN_FILE_H
#define TRAIN_FILE_H

#include "results/checkpoint.h"
#include "suites/case/params.h"
#include "suites/stack/program.h"

/* Flat arrays on the host, and which parameter lies where: name, layer, first element, elements. */
struct train_parts {
    enum checkpoint_type type;
    int64_t elements, count;
    void *flat[3]; /* parameters and both moments */
    char (*name)[CHECKPOINT_NAME];
    int64_t *layer, *first, *length;
};

/* From a model's memory. NULL, or why not; release in any case. */
const char *train_parts_take(struct train_parts *, const struct program_memory *);
void train_parts_release(struct train_parts *);
/* Appends them to a checkpoint, which they outlive. */
void train_parts_put(const struct train_parts *, struct checkpoint *);

/* Into a model's memory. exactly: the same arrays at the same places, in the same type, with their moments; else each
 * parameter by its name, in whatever type. NULL, or what is different. */
const char *train_parts_give(const struct checkpoint *, const struct program_memory *, bool exactly);

/* Where a case differs from that of a key: "--depth 8 there, 4 here". */
void train_case_difference(const char *key, const struct params *here, char *text, size_t size);

#endif
