/* Arrays in a library's memory with bands on either side: whatever is written outside shows, and so does what was never
 * written. For gates and checks, not for timing. */
#ifndef GUARDED_H
#define GUARDED_H

#include "suites/rows/backend.h"

/* `image` is what all of it should look like on the host, `seen` what was found there after a run. */
struct buffer {
    unsigned char *image, *seen;
    void *block;
    int64_t bytes, offset, size; /* of the data; where it starts in the block; of the block */
};

/* How memory looks before a run, two patterns of NaN in every type at two alignments, and how the row is run. */
struct poison {
    uint16_t pattern;
    int64_t shift; /* bytes, a multiple of 64 */
    bool tight;    /* no bands, and what the row has to write is left as it was allocated: compute-sanitizer watches */
    bool graph;    /* captured first and launched as a graph, where the library has graphs */
};

enum { MAX_FAILURE = 400 };

bool buffer_open(const struct backend *, struct buffer *, int64_t bytes, const struct poison *);
void buffer_close(const struct backend *, struct buffer *);

static inline void *buffer_data(const struct buffer *m) {
    return (char *)m->block + m->offset;
}

/* Makes the image hold what is at `from` in the library's memory. */
bool buffer_fill(const struct backend *, struct buffer *, const void *from);

/* The whole block, bands and all, to and from the library's memory. Between the two the bands belong to nobody. */
bool buffer_send(const struct backend *, const struct buffer *);
bool buffer_fetch(const struct backend *, const struct buffer *);

/* Compares what was fetched with the image: the bands, and the data too where nobody may write. */
bool buffer_untouched(const struct buffer *, bool data_too, const char *name, const char *what, char why[MAX_FAILURE]);

/* Elements of `size` bytes that hold the pattern of both poisons after a run with each: they were never written. */
int64_t poison_left(const unsigned char *const run[2], const struct poison p[2], int64_t count, int64_t size,
                    int64_t *first);

#endif
