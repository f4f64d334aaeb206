/* The file being written, as record_create() leaves it to record_append(). Private to results/. */
#ifndef WRITER_H
#define WRITER_H

#include <sys/types.h>

#include "results/layout.h"

/* Rows the datasets are extended by at once: appending within a block changes no header. */
enum { WRITER_BLOCK = 32 };

/* HDF5 indexes up to this many chunks in one node, and a node is smaller than a page, on which it is aligned: a process
 * that is killed stops writing between pages. See "Killed at any moment" in SCHEMA.md. */
enum { WRITER_NODE_CHUNKS = 64, WRITER_NODE_BYTES = 2048, WRITER_PAGE = 4096 };

/* What the elements of a dataset are. */
enum writer_kind { KIND_INT, KIND_REAL, KIND_TEXT, KIND_KEY, KIND_REASON, KIND_STATUS, KIND_FLAG, KINDS };

/* A dataset [case, ...]. */
struct writer_dataset {
    hid_t id;
    enum writer_kind kind;
    int rank;
    hsize_t extent[4], chunk[4];
};

/* Datasets outside /cases that every record with such a group has. */
enum writer_extra {
    CURVE_CASE,
    CURVE_COMPUTED,
    SUMMARY_CASE,
    PANEL_CASE,
    PANEL_STREAMS,
    PANEL_COMPOSITE,
    PANEL_LOG10_SCALE,
    SPECTRUM_CASE,
    SPECTRUM_STREAMS,
    SPECTRUM_QR,
    TIMING_CASE,
    TIMING_ROUNDS,
    TIMING_STOP,
    TIMING_BATCH,
    TIMING_SETS,
    TIMING_SECONDS,
    TIMING_ORDER,
    TIMING_FLAGS,
    TIMING_CLOCK,
    ACCURACY_CASE,
    WRITER_EXTRAS
};

struct record {
    char *path, *part;
    hid_t file;
    int descriptor; /* under `file` */
    hid_t type_in_file[KINDS], type[KINDS];
    struct writer_dataset *dataset; /* all of them, in the order of the pointers below */
    struct writer_dataset *own, *columns, *curves, *summaries, *timings, *accuracies, *extra;
    int dataset_count, column_count, curve_count, summary_count, timing_count, accuracy_count;
    char **column_name;      /* for messages */
    int8_t *computed;        /* a row of /curves/computed */
    int64_t layers, streams; /* largest of any case */
    int64_t subjects, rounds;
    int64_t cases; /* expected */
    int64_t rows, capacity;
    off_t reserve; /* bytes that appending a case can take at most */
    void *keys;    /* a tsearch tree */
    struct {       /* what the last row is a checkpoint of; key NULL: it is none */
        char *key;
        int64_t layers, rounds;
        bool panels, spectrum;
    } checkpoint;
    char *broken; /* why nothing more can be written; NULL while all is well */
};

/* Creates groups, types and datasets of the schema in r->file, without rows. */
bool writer_create_layout(struct record *r, const struct record_schema *);
/* A text attribute of an object, with room for `least_bytes` >= 1. */
bool writer_create_attribute(hid_t object, const char *name, const char *value, size_t least_bytes);
size_t writer_text_bytes(enum writer_kind);

/* A dimension: the scale in the dataset's own group, and its length (of `case`: any). */
struct writer_axis {
    const char *name;
    hsize_t length;
};
extern const struct writer_axis writer_case_axis;
/* A dataset [case, further axes], still without rows. The one called `case` is the scale of that dimension. */
bool writer_create_dataset(const struct record *r, struct writer_dataset *d, hid_t group, const char *name,
                           enum writer_kind kind, const char *unit, const char *long_name, int rank,
                           const struct writer_axis *axes);
bool writer_create_case_scale(const struct record *r, struct writer_dataset *d, hid_t group);
/* A fixed scale that counts from `first`; one of names. */
bool writer_create_scale(hid_t group, struct writer_axis axis, int64_t first, const char *long_name);
bool writer_create_names(const struct record *r, hid_t group, const char *scale, const char *const *names, int count,
                         const char *long_name);
/* Writes what a row holds of a dataset; `block` is its extent in the further dimensions, NULL where all of it. */
bool writer_write_block(const struct record *r, const struct writer_dataset *d, int64_t row, const hsize_t *block,
                        const void *data);
bool writer_write_text(const struct record *r, const struct writer_dataset *d, int64_t row, const char *text);

/* record_timing.c: the groups /timing and /accuracy, and a row of them. */
bool writer_create_timing(struct record *r, hid_t group, const struct record_schema *);
bool writer_create_accuracy(struct record *r, hid_t group, const struct record_schema *);
bool writer_write_timing(const struct record *r, const struct record_case *, int64_t row);

/* Makes the file fit to be killed: a first block of rows, in place what otherwise comes into being with a first case,
 * and known how much room a case may need. */
bool writer_prepare(struct record *r);
/* Makes whatever HDF5 still wants to write go nowhere, so that the file stays as its last complete flush left it. */
void writer_abandon(struct record *r);
/* Closes every HDF5 object of the record, abandoned or not. false: the file could not be written to its end. */
bool writer_close(struct record *r);
void writer_free(struct record *r);

#endif
