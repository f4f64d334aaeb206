/* A row run in guarded memory: bands on either side of every array, a pattern in what it has to write. So it shows
 * what a row writes outside its arrays, and what it never writes. For gates and checks, not for timing. */
#ifndef GUARDED_H
#define GUARDED_H

#include "suites/rows/arrays.h"
#include "suites/rows/backend.h"

enum { MAX_FAILURE = 400 };

/* How memory looks before a run, which is a pattern at an alignment, and how the row is run. */
struct poison {
    uint16_t pattern;
    int64_t shift; /* bytes, a multiple of 64 */
    bool tight;    /* no bands, and what the row has to write is left as it was allocated: compute-sanitizer watches */
    bool graph;    /* captured first and launched as a graph, where the library has graphs */
    bool paged;    /* on the host: arrays end at a page that cannot be touched, and inputs cannot be written to */
};

/* --- buffers in a library's memory --- */

/* `image` is what all of it should look like on the host, `seen` what was found there after a run. */
struct buffer {
    unsigned char *image, *seen;
    void *block;
    int64_t bytes, offset, size; /* of the data; where it starts in the block; of the block */
    bool paged;                  /* one more page lies behind it */
};

bool buffer_open(const struct backend *, struct buffer *, int64_t bytes, const struct poison *);
void buffer_close(const struct backend *, struct buffer *);

static inline void *buffer_data(const struct buffer *m) {
    return (char *)m->block + m->offset;
}

/* Copies the whole block, with its bands, to and from the library's memory. In between AddressSanitizer forbids the
 * bands. */
bool buffer_send(const struct backend *, const struct buffer *);
/* From here on a write to a paged buffer crashes. That finds a library that restores what it has written. */
void buffer_protect(const struct buffer *);
bool buffer_fetch(const struct backend *, const struct buffer *);

/* Compares what was fetched with the image: the bands, and the data too where nothing may write. */
bool buffer_untouched(const struct buffer *, bool data_too, const char *name, const char *what, char why[MAX_FAILURE]);

/* Counts elements of `size` bytes that hold the pattern of both poisons after a run with each: they were never
 * written. */
int64_t poison_left(const unsigned char *const run[2], const struct poison p[2], int64_t count, int64_t size,
                    int64_t *first);

/* --- a run --- */

/* What a row keeps for the backward of its kind, as bytes on the host. */
struct save {
    unsigned char *bytes; /* NULL: nothing */
    int64_t count;
};

/* What a row and the rows before it left; all zero at first. */
struct outcome {
    struct arrays made;                 /* float64, beside what they were given */
    unsigned char *bytes[MHC_MAX_ARGS]; /* the outputs of the last, by argument */
    struct save save;
};
void outcome_clear(struct outcome *);

/* Runs a row: its inputs are in `made`, its outputs come there and into `bytes`, in the place of another row's. Inputs
 * that are one array in `made` are one array for the row too. A row that has save_bytes() writes `save` anew; for
 * another one it must stay as it is. false: `why` says what is wrong: the run failed, a band or an input was written
 * to. */
bool run_guarded(const struct backend *, const struct mhc_row *, const struct mhc_case *, const struct poison *,
                 struct outcome *, char why[MAX_FAILURE]);

#endif
