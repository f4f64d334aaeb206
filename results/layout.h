/* What the writer and the reader of the record share: names, limits, the error line. Private to results/. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <hdf5.h>

#include "results/datasets.h"

#define RECORD_SCHEMA_FAMILY "mhcbench/1." /* what this program reads: any minor version */
#define RECORD_SUFFIX ".part"

enum { RECORD_STATUS_BYTES = 16 };

/* Values of the root attribute `status`. */
#define RECORD_RUNNING "running"
#define RECORD_COMPLETE "complete"
#define RECORD_INTERRUPTED "interrupted"

extern const char *const record_status_name[3];

/* Sets the error line, which text_clean() keeps one line. Always false. */
bool record_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, followed by the reason HDF5 gave for the call that just failed, the operating system's if there is one. */
bool record_fail_hdf5(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Has HDF5 keep its messages for record_fail_hdf5() instead of printing them, and load no filter plugins. */
void record_quiet_hdf5(void);

/* Types; the caller closes them. Text of `bytes` bytes, padded with zeros; the enum of /cases/status on `base`. -1:
 * failed. */
hid_t record_text_type(size_t bytes);
hid_t record_status_type(hid_t base);

/* printf into new memory; NULL when there is none. */
char *record_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* record_open() for copying: texts are as they are in the file. */
struct record_reader *record_open_raw(const char *path);

/* Does an earlier file have the columns, curves, summaries, sizes and suite text of the schema? `path` is for the error
 * line. */
bool record_agrees(struct record_reader *, const struct record_schema *, const char *path);
/* Appends cases of an earlier file by record_append_soon(): those that are `wanted` [its cases], which stay selected;
 * NULL: that are done. */
bool record_copy_cases(struct record *, struct record_reader *, const bool *wanted, const char *path);

/* The schema of an open record, in which it lives until borrowed_free(). false: out of memory; to be freed all the
 * same. */
struct borrowed {
    struct record_schema schema;
    void *items[RECORD_LISTS];
    const char **subjects, **metrics;
    int *column_bytes;
    struct record_fact *facts;
    char **joined; /* values of the facts */
};
bool borrow_schema(struct borrowed *, struct record_reader *);
void borrowed_free(struct borrowed *);

/* Bytes that a file has for each text of a column, by its place; -1: for each key. 0: no text, or none such. */
int record_text_bytes(const struct record_reader *, int column);
/* record_commit() for a file that may not have its name yet. */
bool writer_commit(struct record *);
/* record_finish(), and a file with any status may be renamed to PATH. */
bool record_finish_as(struct record *, const char *status, bool rename_it);
/* Closes and removes the file. Keeps the error line. */
void record_discard(struct record *);

#endif
