/* An open record. Private to results/. */
#ifndef READER_H
#define READER_H

#include "results/layout.h"

/* What is read of one dataset whose first dimension is the case. */
struct series {
    char *name, *unit, *long_name;
    enum record_type type;
    bool is_status; /* an enum, read as an integer */
    hid_t dataset;
    int64_t width;      /* of the dimension behind `case` */
    int64_t flag;       /* of a curve: its place in a row of /curves/computed, -1 where that says nothing */
    void *values;       /* int64_t or double [cases], once read */
    const char **texts; /* [cases], once read; they point into `arena` */
    char *arena;
    double *window; /* of a curve: `width` values of each of so many cases, those read last */
    int64_t window_first, window_count;
};

struct series_list {
    struct series *item;
    int count;
    /* The place of the item that a caller found last. A search begins here, because most callers go from an item to the
     * next one. */
    int last;
};

struct fact {
    char *name, *value;
};

struct record_reader {
    char *path;
    bool raw;                  /* texts as they are; else text_clean() */
    hid_t file, group[GROUPS]; /* -1 where absent */
    int64_t file_bytes, count;
    int64_t rows;                  /* to the last that counts; */
    int64_t *row;                  /* [cases] of each case; NULL: its index, because all count */
    int64_t *number;               /* [cases] of each case in the file; NULL: its index, because all are chosen */
    struct series fixed[DATASETS]; /* dataset -1 where absent; CURVE_COMPUTED stays so */
    struct series_list list[RECORD_LISTS];
    int64_t length[GROUPS][AXES]; /* of the dimensions of a group; 0 where absent */
    struct series names[AXES];    /* of a named axis; only of those whose names a schema gives by themselves */
    int8_t *computed;             /* [cases][flags] */
    int64_t flags;
    void *timing, *training; /* the samples, the training that were read last */
    struct fact *attribute, *fact;
    int attribute_count, fact_count;
};

/* What examining a dataset found: as the schema has it; something that this version does not know; wrong. */
enum verdict { VERDICT_GOOD, VERDICT_UNKNOWN, VERDICT_BAD };

/* Opens group/name as a dataset [at least `rows`, ...] of the given rank, of a kind that belongs there, after checking
 * everything that reading relies on. Sets the error line unless VERDICT_GOOD. `extent` receives the rank's extents. */
enum verdict series_open(const struct record_reader *, hid_t group, const char *group_name, const char *name, int rank,
                         int64_t rows, hsize_t *extent, struct series *);
void series_close(struct series *);

/* Text attributes of an object; others are ignored. `what` names the object in the error line. */
bool reader_facts(struct record_reader *, hid_t object, const char *what, struct fact **, int *count);
/* Every dataset [case] or [case, layer] of a list's group that has the right kind of elements. */
bool reader_list(struct record_reader *, enum record_list);
/* Frees the lists, the attributes and the facts. */
void reader_free_lists(struct record_reader *);

/* Tells whom it concerns that this file is being read, see record_tell_reading(). */
void reader_begins(const char *path);

/* Reads [rows] values or texts into the series, once. */
bool series_load(const struct record_reader *, const char *group_name, struct series *, int64_t rows);
/* The same of a dataset whose first dimension is the case: one value per case, without the rows that do not count. */
bool series_load_cases(const struct record_reader *, const char *group_name, struct series *);
/* So many cases from the first on, as series_load_cases() has all of them, in a series that shares the dataset of the
 * other, which is to be open longer; to be forgotten. */
bool series_load_some(const struct record_reader *, const char *group_name, const struct series *, int64_t first,
                      int64_t count, struct series *some);
/* Frees what was read. */
void series_forget(struct series *);
/* The series behind a column, or behind the values of a list, not read; NULL: absent or of another type. */
struct series *reader_column(struct record_reader *, const char *name, enum record_type);
struct series *reader_scalar(struct record_reader *, enum record_list, const char *name);
/* Reads so many cases from the first on, of a dataset [case] (width 0) or [case, width]. */
bool series_read_cases(const struct record_reader *, const char *group_name, const struct series *, int64_t first,
                       int64_t count, int64_t width, hid_t memory_type, void *out);
static inline int64_t reader_row(const struct record_reader *r, int64_t index) {
    return r->row ? r->row[index] : index;
}
/* Reads the block start[], count[] of a dataset of doubles or integers. */
bool series_read_block(const struct record_reader *, const char *group_name, const struct series *, int rank,
                       const hsize_t *start, const hsize_t *count, hid_t memory_type, void *out);

/* How many of what a group counts (streams, rounds) a case has; 0 where nothing is recorded. */
int64_t reader_counted(struct record_reader *, enum layout_group, int64_t index);
/* Elements that a case has of a dataset; 1 where it is a number or a text. */
size_t reader_elements(struct record_reader *, enum layout_dataset, int64_t index);
/* Fills the members of a struct record_case, or of a struct record_timing or record_training from those groups, with
 * what a case has in a group; arrays and texts live in `memory` (freed before and set) and in the reader. */
bool reader_fill(struct record_reader *, enum layout_group, int64_t index, void *members, void **memory);

/* A fixed-length text attribute as it is, new memory; NULL if absent or of another kind. */
char *read_text_attribute(hid_t object, const char *name, int64_t largest);

#endif
