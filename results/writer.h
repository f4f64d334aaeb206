/* The file being written, as record_create() leaves it to record_append(). Private to results/. */
#ifndef WRITER_H
#define WRITER_H

#include <sys/types.h>

#include "results/layout.h"
#include "results/place.h"

/* Rows the datasets are extended by, and whose numbers and texts are gathered: appending within a block changes no
 * header. Chunks hold whole blocks. */
enum { WRITER_BLOCK = 32 };

/* HDF5 indexes up to this many chunks in one node, and a node is smaller than a page, on which it is aligned: a process
 * that is killed stops writing between pages. See "Killed at any moment" in SCHEMA.md. */
enum { WRITER_NODE_CHUNKS = 64, WRITER_NODE_BYTES = 2048, WRITER_PAGE = 4096 };
/* A finished file may have nodes over nodes, and most datasets have one chunk: so few. */
enum { WRITER_SEALED_CHUNKS = 8 };

/* A machine that loses its power loses the cases of so many seconds: between them a finished case is with the operating
 * system, and survives the death of every process. */
enum { WRITER_SYNC_SECONDS = 5 };

/* A dataset [case, ...]. */
struct writer_dataset {
    hid_t id;
    hid_t type;   /* of a value in memory; a text's belongs to the dataset, the others to the record */
    hid_t memory; /* the dataspace of a whole row */
    hid_t file;   /* that of the dataset as it is now */
    enum layout_kind kind;
    int rank;
    hsize_t extent[4], chunk[4];
    /* Of rank 1: values of some blocks of rows that are not yet given to HDF5. */
    size_t bytes; /* of a value in memory */
    unsigned char *gathered;
    uint32_t *held; /* [blocks of the record] bit k: row k of that block */
    int64_t window; /* the place of those blocks, counted in as many */
    bool holds;     /* any */
};

/* What the writer knows of a key: its row, what stands there, and what a checkpoint has left in it. */
struct known_case {
    char *key;
    int64_t row;
    bool written, unfinished; /* unfinished: by a checkpoint, which the case's next call replaces */
    bool panels, spectrum, mixing;
    int64_t layers, rounds, points;
    bool done;                  /* the status that waits for record_commit() */
    struct known_case *waiting; /* the next one that waits */
};

struct record {
    char *path, *part;
    hid_t file;
    int descriptor; /* under `file` */
    int lock;       /* keeps others away until the record is freed; -1: there are no locks, */
    int no_lock;    /* by this errno; 0: the user wants none */
    hid_t type_in_file[KINDS], type[KINDS];
    struct writer_dataset *dataset; /* all of them: */
    struct writer_dataset *number;  /* [GROUPS] the scale `case` of each group, */
    struct writer_dataset *fixed;   /* [DATASETS] those that are always there, */
    struct writer_dataset *list[RECORD_LISTS];
    int dataset_count, list_count[RECORD_LISTS];
    char **column_name; /* for messages */
    int *column_bytes;  /* of texts, at most */
    int key_bytes;
    int8_t *computed;         /* a row of /curves/computed */
    int64_t length[AXES];     /* largest of any case */
    int64_t cases;            /* expected */
    int64_t rows, capacity;   /* rows: to the last that is written */
    int64_t next;             /* row of the next case that no key of the schema has a row for */
    double synchronised;      /* when, by the clock that only goes on */
    int64_t blocks;           /* that are gathered */
    off_t reserve;            /* bytes that appending a case can take at most */
    hid_t end;                /* the dataset without a name at the end of the file; -1: none yet */
    hssize_t room;            /* free bytes in the file when they were last enough */
    void *known;              /* a tsearch tree of struct known_case */
    char *broken;             /* why nothing more can be written; NULL while all is well */
    struct place own, target; /* the file under `part`; what PATH led to when it was begun */
    bool sealed;              /* chunks with checksums: for a file that is not written to again */

    /* Those that record_commit() makes count, in the order of the calls. */
    struct known_case *waiting, *last_waiting;
};

/* Bytes of a text of that kind, at most: in a column, that column's. */
int writer_text_bytes(const struct record *, enum layout_kind, int column);
/* A record without a file; NULL: out of memory. */
struct record *writer_allocate(const char *path, const struct record_schema *);
/* A new file under that name, and in it the attributes of a record and its datasets, without rows. `of`: the record
 * whose run this is; NULL: a new one. */
bool writer_create_file(struct record *r, const char *name);
bool writer_lay_out(struct record *r, const struct record_schema *, struct record_reader *of, const char *status);
/* Copies PATH.part, closed and whole, into a new file with checksums, and reads that back. Its name in new memory;
 * NULL: failed. */
char *writer_seal(const struct record *was, const char *status);

/* Creates groups, types and datasets of the schema in r->file, without rows. */
bool writer_create_layout(struct record *r, const struct record_schema *);
/* A text attribute of an object, with room for `least_bytes` >= 1. */
bool writer_create_attribute(hid_t object, const char *name, const char *value, size_t least_bytes);
/* Gives a key the next row; NULL: out of memory. */
struct known_case *writer_expect(struct record *, const char *key);
void writer_forget(struct record *); /* all of them */

/* Makes the file fit to be killed: a first block of rows, in place what otherwise comes into being with a first case,
 * and known how much room a case may need. */
bool writer_prepare(struct record *r);
/* All datasets have the same number of rows at any time; they grow by blocks and are cut to the cases at the end. */
bool writer_resize(struct record *, int64_t rows);
/* Gathers as many blocks as fit into `bytes`, for rows that come in another order than theirs. Their number of rows:
 * those between two multiples of it go out together, by record_commit() at the latest. */
int64_t writer_gather(struct record *, size_t bytes);
/* The value of a row, or its array where that is whole; in the file after writer_flush(). */
bool writer_put(struct record *, struct writer_dataset *, int64_t row, const void *value);
/* What a row holds of an array; `block` is its extent in the further dimensions. */
bool writer_write_block(const struct record *, const struct writer_dataset *, int64_t row, const hsize_t *block,
                        const void *data);
bool writer_settle(struct record *);           /* gives HDF5 what is gathered */
bool writer_flush(struct record *);            /* and makes HDF5 write everything */
bool writer_flush_file(const struct record *); /* what HDF5 has been given */
/* Takes the room for a case, on the disk and within the end that the file states. See "Killed at any moment" and
 * "A full disk" in SCHEMA.md. */
bool writer_reserve(struct record *);
/* Makes whatever HDF5 still wants to write go nowhere, so that the file stays as its last complete flush left it. */
void writer_leave(const struct record *r);
/* The same after a failure: nothing more can be written. */
void writer_abandon(struct record *r);
/* Closes every HDF5 object of the record, abandoned or not. false: the file could not be written to its end. */
bool writer_close(struct record *r);
void writer_free(struct record *r);

#endif
