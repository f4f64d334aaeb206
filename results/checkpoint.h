/* A checkpoint: named texts and arrays in an HDF5 file of their own, described in SCHEMA.md. What they mean is said by
 * their writers.
 *
 * A file is whole or it is not believed: every array has its digest, and the root one of all texts and digests. A file
 * takes its name when all of it is on the disk. A kill or a full disk at any moment leaves the file of before.
 *
 * Every function that can fail leaves one line in record_error(). */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "results/record.h"

#define CHECKPOINT_SCHEMA "mhcbench-checkpoint/1"

/* HALVES: 16 bits each, as bf16 has them. NAMES and LINES: CHECKPOINT_NAME and CHECKPOINT_LINE bytes each, padded with
 * zeros. */
enum checkpoint_type {
    CHECKPOINT_BYTES,
    CHECKPOINT_HALVES,
    CHECKPOINT_INTEGERS,
    CHECKPOINT_FLOATS,
    CHECKPOINT_DOUBLES,
    CHECKPOINT_NAMES,
    CHECKPOINT_LINES,
    CHECKPOINT_TYPES
};
enum { CHECKPOINT_NAME = 48, CHECKPOINT_LINE = 256, CHECKPOINT_MOST = 64 /* texts, arrays */ };

struct checkpoint_array {
    const char *name, *long_name;
    enum checkpoint_type type;
    int64_t count;
    const void *data;
};
struct checkpoint {
    const char *schema; /* of a file that is made in this way and is no checkpoint; NULL: CHECKPOINT_SCHEMA */
    struct record_fact fact[CHECKPOINT_MOST];
    struct checkpoint_array array[CHECKPOINT_MOST];
    int facts, arrays;
};

/* Bytes of an element. */
int64_t checkpoint_element(enum checkpoint_type);

/* Writes PATH.part and gives it the name PATH. Two processes that write the same PATH do not disturb each other. false:
 * PATH is as before. */
bool checkpoint_write(const char *path, const struct checkpoint *);
/* The same, if PATH still leads to what was seen, by place_look(). */
struct place;
bool checkpoint_replace(const char *path, const struct place *seen, const struct checkpoint *);

/* Reads the whole file. NULL: it is none, or damaged. */
struct checkpoint *checkpoint_read(const char *path);
struct checkpoint *checkpoint_read_as(const char *path, const char *schema);
/* Does the file say that it is of that schema? */
bool checkpoint_says(const char *path, const char *schema);
void checkpoint_release(struct checkpoint *); /* of checkpoint_read() */
/* NULL where there is none of that name, or none of that type and count; count -1: any. */
const char *checkpoint_fact(const struct checkpoint *, const char *name);
const struct checkpoint_array *checkpoint_array(const struct checkpoint *, const char *name, enum checkpoint_type,
                                                int64_t count);

#endif
