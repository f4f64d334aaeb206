/* A row with all its arrays, in so many copies that it finds them out of the cache. */
#ifndef BOUND_ROW_H
#define BOUND_ROW_H

#include "suites/rows/guarded.h"

struct bound_row {
    const struct backend *backend;
    const struct mhc_row *row;
    struct mhc_case c;
    int64_t sets, set_bytes, save_bytes;           /* a set: arguments and save; scratch is shared by all sets */
    int64_t offset[MHC_MAX_ARGS + 1], save_offset; /* in a set */
    char *slab;                                    /* [sets][set_bytes] */
    void *work;
    bool shares; /* slab and work are another's */
};

/* Bytes of a set; `save_bytes` are those of the row that writes what this one reads or writes. */
int64_t bound_row_bytes(const struct mhc_row *, const struct mhc_case *, int64_t save_bytes);

/* Bytes of save in a set: those that the row writes, or what it is given. */
int64_t bound_row_save(const struct mhc_row *, const struct mhc_case *, const struct save *);

/* Takes the memory and fills every set: inputs by name (one that is not among them: a fixed pattern of small
 * numbers), what the row reads as save (NULL: nothing), outputs with NaN. NULL, or why not; close in either case. */
const char *bound_row_open(struct bound_row *, const struct backend *, const struct mhc_row *, const struct mhc_case *,
                           int64_t sets, const struct arrays *inputs, const struct save *);
/* Binds the same operation of another backend in host memory to the very arrays of one that is open and stays open
 * longer: whichever runs, it finds the same memory. What the other reads as save lies at `save_offset` of a set.
 * NULL, or why not; close in either case. */
const char *bound_row_share(struct bound_row *, struct bound_row *first, const struct backend *, const struct mhc_row *,
                            int64_t save_offset);
void bound_row_close(struct bound_row *);

/* A set as bytes on the host: inputs and save as above, every byte of the outputs `spoilt`. false: out of memory. */
bool bound_row_image(const struct bound_row *, const struct arrays *inputs, const struct save *, int spoilt,
                     char *image);
/* Gives the next call on a set other contents at the same pointers, and no answer in its outputs. NULL, or why not. */
const char *bound_row_refill(const struct bound_row *, int64_t set, const struct arrays *inputs, const struct save *,
                             int spoilt);
/* Bytes of outputs that are neither NaN nor the answer: about 0.0115 in every type. */
enum { BOUND_ROW_SPOILT = 0x3c };

/* More launches than a row of this repository queues; one that queues more is held a second at most (mhc_probe). */
enum { BOUND_ROW_LAUNCHES = 10 };

/* Queues the row on a set, without waiting for it; a subject of timing.h, `user` is the bound row. */
const char *bound_row_run(void *user, int64_t set);
/* The same, and waits for it. */
const char *bound_row_finish(struct bound_row *, int64_t set);

/* Argument `a` of a set, in the backend's memory. */
static inline void *bound_row_argument(const struct bound_row *b, int64_t set, int a) {
    return b->slab + set * b->set_bytes + b->offset[a];
}

#endif
