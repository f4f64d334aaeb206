/* What a record consists of, in tables: groups, dimensions, datasets, and lists of datasets that a schema names.
 * Private to results/. */
#ifndef DATASETS_H
#define DATASETS_H

#include "results/record.h"

enum {
    RECORD_PANELS = 6,
    RECORD_QUARTERS = 4,
    RECORD_MAX_NAME = 255,
    RECORD_MOST_ITEMS = 8192 /* datasets of a group, facts */
};

/* Dimensions behind `case`. Each has a scale in every group that has it. */
enum layout_axis {
    AXIS_NONE,
    AXIS_LAYER,
    AXIS_CURVE,
    AXIS_PANEL,
    AXIS_DESTINATION,
    AXIS_SOURCE,
    AXIS_STREAM,
    AXIS_ROW,
    AXIS_COLUMN,
    AXIS_SUBJECT,
    AXIS_ROUND,
    AXIS_POINT,
    AXIS_METRIC,
    AXIS_PROJECTION,
    AXIS_QUARTER,
    AXES
};
struct axis_info {
    const char *name, *long_name;
    int64_t least, most; /* lengths */
    bool named;          /* its scale is texts; else it counts from 1 */
};
extern const struct axis_info axis_info[AXES];

enum layout_group {
    IN_CASES,
    IN_CURVES,
    IN_SUMMARY,
    IN_PANELS,
    IN_SPECTRA,
    IN_MIXING,
    IN_TIMING,
    IN_ACCURACY,
    IN_TRAINING,
    GROUPS
};

/* What the elements of a dataset are. */
enum layout_kind { KIND_INT, KIND_REAL, KIND_TEXT, KIND_KEY, KIND_REASON, KIND_STATUS, KIND_FLAG, KINDS };

static inline bool kind_is_text(enum layout_kind kind) {
    return kind == KIND_TEXT || kind == KIND_KEY || kind == KIND_REASON;
}

enum layout_dataset {
#define DATASET(id, ...) id,
#include "results/datasets.def"
#undef DATASET
    DATASETS
};

struct dataset_info {
    const char *name, *unit, *long_name;
    enum layout_group group;
    enum layout_kind kind;
    enum layout_axis axis[3];
    enum { PLACE_OWN, PLACE_CASE, PLACE_TIMING, PLACE_TRAINING } in;
    size_t offset; /* there */
};
extern const struct dataset_info dataset_info[DATASETS];
int dataset_rank(const struct dataset_info *); /* `case` included */

enum { GROUP_SCALES = 5 };
struct group_info {
    const char *name;
    enum layout_axis scales[GROUP_SCALES], needs[2]; /* dimensions; a file that lacks one of `needs` lacks the group */
    size_t given;                /* the pointer in struct record_case that is NULL where a case has nothing here */
    enum layout_dataset counter; /* 0 where nothing was recorded, else the length of the case in... (DATASETS: none) */
    enum layout_axis counted;    /* ...these */
    bool only_listed;            /* a file that lacks its list lacks the group */
};
extern const struct group_info group_info[GROUPS];

/* Lists of datasets whose names a schema gives: [case], curves [case, layer]. */
struct list_info {
    const char *what; /* one of them, for messages */
    enum layout_group group;
    enum layout_axis axis;
    size_t items, count; /* in struct record_schema */
    size_t values;       /* in struct record_case: one value per dataset, or one pointer */
};
extern const struct list_info list_info[RECORD_LISTS];
int schema_count(const struct record_schema *, enum record_list);
struct record_column schema_item(const struct record_schema *, enum record_list, int index);

/* Length of a dimension in a file with that schema. */
int64_t schema_length(const struct record_schema *, enum layout_axis);

/* Is this the name of a scale or of a dataset that the group has anyway? */
bool group_reserves(enum layout_group, const char *name);

#endif
