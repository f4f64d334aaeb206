/* The HDF5 record of a run: schema mhcbench/1.4, described in results/SCHEMA.md. This room knows HDF5 and nothing of
 * experiments: columns, curves and provenance come as data.
 *
 * Writing: one file per run, written as NAME.h5.part with every dataset created in advance and extendible, flushed
 * after each finished case, renamed to NAME.h5 by record_finish(). A killed process loses the case it was on and
 * nothing else. Reading trusts nothing: every type, rank and extent is checked, and the HDF5 library's own messages are
 * kept quiet.
 *
 * Every function that can fail returns false (or NULL) and leaves one line, without a newline, in record_error(). */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_SCHEMA "mhcbench/1.4"

/* Texts are fixed-length UTF-8 in the file, so that no case ever depends on a heap; longer ones are refused (a reason
 * is shortened). Bytes, without a terminator, at most; a schema may say that fewer are enough. */
enum { RECORD_KEY_BYTES = 1024, RECORD_REASON_BYTES = 512, RECORD_TEXT_BYTES = 256 };
enum { RECORD_MAX_LAYERS = 65536, RECORD_MAX_STREAMS = 64, RECORD_MAX_SUBJECTS = 256, RECORD_MAX_ROUNDS = 65536 };
enum { RECORD_MAX_POINTS = 65536, RECORD_MAX_METRICS = 255, RECORD_PROJECTIONS = 6, RECORD_MAX_MIXING = 1024 };

const char *record_error(void);

enum record_type { RECORD_INT, RECORD_REAL, RECORD_TEXT };

union record_value {
    int64_t i;
    double r;
    const char *text;
};

/* A typed column /cases/<name>, one value per case. */
struct record_column {
    const char *name, *unit, *long_name;
    enum record_type type;
};

/* A dataset [case, layer] at /curves/<name>, or one scalar per case at /summary/<name>, /timing/<name> or
 * /accuracy/<name>. */
struct record_curve {
    const char *name, *unit, *long_name;
};

/* A text attribute of /env. */
struct record_fact {
    const char *name, *value;
};

/* The lists of datasets that a schema names: /cases, /curves, /summary, /timing and /accuracy. */
enum record_list {
    RECORD_LIST_COLUMNS,
    RECORD_LIST_CURVES,
    RECORD_LIST_SUMMARIES,
    RECORD_LIST_TIMINGS,
    RECORD_LIST_ACCURACIES,
    RECORD_LISTS
};

struct record_reader;
struct record_schema {
    const struct record_column *columns; /* parameters; their names are not those of the record's own columns: `key`, */
    int column_count;                    /* `status`, `reason`, `seconds`, `layers`, `case` */
    const struct record_curve *curves;
    int curve_count;
    const struct record_curve *summaries;
    int summary_count;
    int64_t layers, streams; /* largest L and n of any case: widths of the curve and panel datasets */
    int64_t cases;           /* how many will be appended; more may be, but see "Killed at any moment" in SCHEMA.md */
    const struct record_fact *facts;
    int fact_count;
    const char *program, *command, *suite; /* root attributes: name and version; command line; expanded suite text */
    const char *const *subjects;           /* what cases time side by side; none: the record has no /timing */
    int subject_count;
    int64_t rounds; /* most samples of a subject in any case */
    const struct record_curve *timings, *accuracies;
    int timing_count, accuracy_count;
    const char *const *keys; /* [cases] in the order of their rows; NULL: rows come in the order of appending */
    int64_t points; /* most points at which a case that trains is measured; none: the record has no /training */
    const char *const *metrics; /* names of the curves that are kept at each */
    int metric_count;
    /* Whether cases of an earlier record may stand beside new ones; false: one line in `why`. NULL: they may. */
    bool (*agrees)(void *user, struct record_reader *earlier, char *why, size_t why_size);
    void *user;
    int64_t mixing_rows;     /* most rows of a depth mixing matrix; none: the record has no /mixing */
    const int *column_bytes; /* [columns] of the longest text of each, from 1 on; NULL: RECORD_TEXT_BYTES */
    int key_bytes;           /* of the longest key; 0: that of `keys`, or RECORD_KEY_BYTES without them */
};

enum record_status { RECORD_MISSING, RECORD_DONE, RECORD_FAILED };

/* How the reason of a failed case begins whose row holds results all the same: those of its last checkpoint, which
 * stand whatever ended the case. Behind it stands what is not done, and why. On a row that is done it says nothing. */
#define RECORD_UNFINISHED "unfinished: "

/* The samples of a case: rounds that visited every subject once. Arrays are [subjects][rounds] with the case's own
 * rounds; NaN in `seconds` where a subject was not timed. */
struct record_timing {
    int64_t rounds;
    const double *seconds, *clock; /* of one call; clock of the device, as a share of the warm-up's, NaN: unknown */
    const int8_t *order, *flags;   /* place in the round, from 0; bits 1: preempted, 2: throttled, 4: not held */
    const int64_t *batch, *sets;   /* [subjects] calls a sample, buffer sets they rotated over */
    const char *stop;              /* why the loop stopped */
};

/* What a case that trains leaves: arrays are [points], and curves [points][metrics][layers] with the case's own layers;
 * NaN where there is nothing. */
struct record_training {
    int64_t points, steps, diverged; /* steps that were made; after which the loss was no number, 0: none */
    double seconds_per_step;
    int64_t *step;
    double *loss, *held_out_loss, *gradient_norm, *gradient_norm_max, *rate;
    double *alpha, *alpha_max, *logit_range, *mean_diagonal, *smallest_column_sum, *row_sum_spread;
    double *curves;
    int64_t *t_max;                             /* [RECORD_PROJECTIONS] the same weights at other t_max; 0: not done */
    double *t_max_held_out_loss, *t_max_curves; /* [RECORD_PROJECTIONS], [RECORD_PROJECTIONS][metrics][layers] */
    double *held_out_loss_without_quarter;      /* [4] */
};

/* One finished case. Unused arrays are NULL. NaN in a curve means "computed, and not a number"; layers beyond a case's
 * own L and curves that were not asked for hold the fill value, NaN, and /cases/layers and /curves/computed tell them
 * apart. */
struct record_case {
    const char *key; /* the line that reproduces it; unique in a file */
    enum record_status status;
    const char *reason; /* of a failure, RECORD_UNFINISHED... at a checkpoint, "" otherwise */
    double seconds;
    int64_t layers, streams;          /* of this case */
    const union record_value *values; /* one a column */
    const double *const *curves;      /* one pointer to `layers` doubles a curve, NULL where not computed */
    const double *summaries;          /* one a summary */
    const double *panels;             /* [6][streams][streams], see mhc_composite_panels() */
    const double *panel_log10_scale;  /* [6] */
    const double *qr_spectrum;        /* [layers][streams] */
    const struct record_timing *timing;
    const double *timings, *accuracies; /* one a scalar */
    const struct record_training *training;
    const double *mixing; /* [mixing_rows][mixing_rows], log10, see mhc_depth_matrix() */
    int64_t mixing_rows, mixing_stride;
};

struct record;

/* In the error line where a run is gone on with of which nothing is left to do. */
#define RECORD_NOTHING_LEFT "exists already, and no case of it failed"
/* Starts PATH.part, having checked that it can be written. `overwrite` replaces an existing PATH and PATH.part; without
 * it, an existing one is refused. `resume` continues a PATH.part left by an interrupted run, or a PATH that lacks cases
 * or of which some failed: columns, curves, summaries, sizes and suite text must be the same, and the schema's agrees()
 * must say so; cases done are kept, failed ones are dropped so that they run again. A child reads the earlier file
 * first. If two processes start on one PATH at once, one is refused, or told later that its file was replaced. */
struct record *record_create(const char *path, const struct record_schema *, bool resume, bool overwrite);
/* Why there is no lock that would tell two processes apart that write it; "": there is, or the user wants none. */
const char *record_unlocked(const struct record *);
bool record_has(const struct record *, const char *key); /* already in the file */
/* Flushed when it returns. After a failure (a full disk) the file is not touched again: its finished cases stay
 * readable in PATH.part, and every later call fails with the same line. A case refused for its own sake (key repeated,
 * text too long, sizes beyond the schema's) changes nothing, and the next one may be appended. Writers should ignore
 * SIGXFSZ. */
bool record_append(struct record *, const struct record_case *);
/* The same for many short cases: two flushes of record_commit() serve all that were appended since the last one. A
 * case whose checkpoint is in the record is flushed at once. */
bool record_append_soon(struct record *, const struct record_case *);
bool record_commit(struct record *);
/* Writes what a case has so far, as a failed case whose reason begins with RECORD_UNFINISHED, and as safely as
 * record_append(). The next call with the same key, a later checkpoint or record_append(), replaces it in its row and
 * has at least its arrays and rounds; other cases may be written meanwhile. After record_append() of its key the row
 * stays as it is. A writer that is killed while it replaces leaves a row that is unfinished, each value the old or the
 * new one, or done. */
bool record_checkpoint(struct record *, const struct record_case *);
/* Marks the run complete or interrupted, synchronises and closes. An interrupted one stays PATH.part. A complete one is
 * copied into a file with checksums, which is read back and compared before it takes the name PATH; PATH.part goes.
 * Where PATH or PATH.part was replaced by others meanwhile, they keep it, and it fails. Frees, whatever it returns. */
bool record_finish(struct record *, bool complete);

/* Reading. Strings and arrays belong to the reader and live until it is closed. */
struct record_reader;
struct record_reader *record_open(const char *path);
void record_close(struct record_reader *);
/* From now on the name of the record that is being read is kept there, for a parent process that shares the memory and
 * asks when the reader has crashed. NULL: nowhere. */
void record_tell_reading(char *place, size_t size);
int64_t record_count(const struct record_reader *); /* cases: rows whose status is set */
/* Does a process hold the lock of a file that it writes? */
enum record_holding { RECORD_FREE, RECORD_HELD, RECORD_NO_LOCKS };
enum record_holding record_holding(const char *path);
bool record_complete(const struct record_reader *);                     /* false: an interrupted or running .part */
const char *record_attribute(struct record_reader *, const char *name); /* root, e.g. "suite"; NULL if absent */
int record_fact_count(struct record_reader *);
bool record_fact(struct record_reader *, int index, const char **name, const char **value);
const char *record_fact_called(struct record_reader *, const char *name); /* NULL: the record does not say */
/* Columns by name: `key`, `status` (text), `reason`, `seconds`, `layers` and every parameter. NULL if absent or of
 * another type. */
const int64_t *record_ints(struct record_reader *, const char *column);
const double *record_reals(struct record_reader *, const char *column);
const char *const *record_texts(struct record_reader *, const char *column);
bool record_unfinished(struct record_reader *, int64_t index); /* failed, with the results of a checkpoint */
/* Unfinished because the run ended or goes on, and not by a failure of its own, which would stand behind what is
 * missing: "unfinished: MISSING: WHY; NOTE". */
bool record_cut_off(struct record_reader *, int64_t index);
/* The datasets of a list, in the order of the schema, and the values of those that are one number per case, [cases]. */
int record_list_count(const struct record_reader *, enum record_list);
bool record_list_item(const struct record_reader *, enum record_list, int index, struct record_column *);
const double *record_list_values(struct record_reader *, enum record_list, const char *name);
/* Leaves the cases that are not chosen (one entry per case) out of everything that follows: the others are counted from
 * 0. What was read before is gone. */
bool record_select(struct record_reader *, const bool *chosen);
/* Place of a case among all of the file, chosen or not. */
int64_t record_number(const struct record_reader *, int64_t index);
/* One case of a curve: `layers` doubles of that case, all NaN where not computed; NULL if the file has no such curve.
 * Valid until the same curve of another case is asked for. */
const double *record_curve_of(struct record_reader *, const char *curve, int64_t index);
/* Was it computed for that case? */
bool record_curve_computed(struct record_reader *, const char *curve, int64_t index);
/* Largest L and n the file has room for; n is 0 in a file without panels. */
int64_t record_max_layers(const struct record_reader *);
int64_t record_max_streams(const struct record_reader *);
/* n of the case's panels; 0 if none are recorded, or the case does not exist. */
int64_t record_panel_streams(struct record_reader *, int64_t index);
/* panel [6][n][n] and scale [6] of a case with n streams; false if not recorded. */
bool record_panels(struct record_reader *, int64_t index, int64_t n, double *panel, double scale[6]);
/* As above for the QR spectrum, out [layers][n] with the case's own number of layers. */
int64_t record_spectrum_streams(struct record_reader *, int64_t index);
bool record_spectrum(struct record_reader *, int64_t index, int64_t n, double *out);
/* As above for the depth mixing matrix, out [rows][rows]; how many layers two rows are apart. */
int64_t record_max_mixing_rows(const struct record_reader *);
int64_t record_mixing_rows(struct record_reader *, int64_t index);
bool record_mixing(struct record_reader *, int64_t index, int64_t rows, double *out, int64_t *stride);

/* Names of the subjects; 0 of them in a file without /timing. */
int record_subject_count(const struct record_reader *);
const char *record_subject(const struct record_reader *, int index);
int record_subject_called(const struct record_reader *, const char *name); /* its index; -1: there is none */
int64_t record_max_rounds(const struct record_reader *);
/* Rounds of the case; 0 if none are recorded, or the case does not exist. */
int64_t record_rounds(struct record_reader *, int64_t index);
/* The samples of a case with such rounds; its arrays are valid until the next call. */
bool record_timing(struct record_reader *, int64_t index, struct record_timing *);

/* Names of the curves of /training; 0 of them in a file without it. */
int record_metric_count(const struct record_reader *);
const char *record_metric(const struct record_reader *, int index);
int record_metric_called(const struct record_reader *, const char *name); /* its index; -1: there is none */
/* Points of a case; 0 if it trained nothing. Then what it left; its arrays are valid until the next call. */
int64_t record_points(struct record_reader *, int64_t index);
int64_t record_max_points(const struct record_reader *);
bool record_training(struct record_reader *, int64_t index, struct record_training *);

/* The same by list. */
static inline bool record_list_curve(struct record_reader *r, enum record_list list, int index,
                                     struct record_curve *out) {
    struct record_column item;
    if (!record_list_item(r, list, index, &item))
        return false;
    *out = (struct record_curve){item.name, item.unit, item.long_name};
    return true;
}
static inline int record_column_count(struct record_reader *r) {
    return record_list_count(r, RECORD_LIST_COLUMNS);
}
static inline bool record_column(struct record_reader *r, int index, struct record_column *out) {
    return record_list_item(r, RECORD_LIST_COLUMNS, index, out);
}
static inline int record_curve_count(struct record_reader *r) {
    return record_list_count(r, RECORD_LIST_CURVES);
}
static inline bool record_curve(struct record_reader *r, int index, struct record_curve *out) {
    return record_list_curve(r, RECORD_LIST_CURVES, index, out);
}
static inline const double *record_summary(struct record_reader *r, const char *name) {
    return record_list_values(r, RECORD_LIST_SUMMARIES, name);
}
static inline const double *record_timing_value(struct record_reader *r, const char *name) {
    return record_list_values(r, RECORD_LIST_TIMINGS, name);
}
static inline const double *record_accuracy(struct record_reader *r, const char *name) {
    return record_list_values(r, RECORD_LIST_ACCURACIES, name);
}

/* Exporting. `what` is "cases" (one row per case: case, key, status, reason, seconds, layers, parameters, summaries,
 * timing_<name>, accuracy_<name>), "curves" (tidy: one row per finished case and layer: case, key, layer, the curves)
 * or "samples" (tidy: one row per sample: case, key, subject, round, seconds, order, flags, clock, batch, sets). `case`
 * counts all cases of the file from 0 and joins them. CSV: provenance in # lines first, then a header row; empty field
 * for a non-finite number; RFC 4180 quoting, lines end in LF. JSON: an array of objects; null for NaN, "Infinity" and
 * "-Infinity" as strings. */
bool record_export_csv(struct record_reader *, const char *what, const char *path); /* path "-": stdout */
bool record_export_json(struct record_reader *, const char *what, const char *path);

/* Whether a case that is done has the same values in two records: curves, summaries, accuracies and every array, NaN
 * where the other has NaN; times are not compared. false: `what` names the dataset. */
bool record_same_values(struct record_reader *a, int64_t i, struct record_reader *b, int64_t j, char *what,
                        size_t size);

/* Joins shards: every case of every part into a new file OUT, in the order of the suite; schema, columns, curves and
 * suite text must agree. Of a case that several parts have, one that is done is taken, and all that are done must have
 * the same values. Facts that differ are joined with "; ". With cases of the suite that no part has, or that failed in
 * an unfinished part, OUT is written and marked interrupted; `gaps` (may be NULL) says which. `tell` (may be NULL) is
 * called whenever a part is opened; `done` of `total` may repeat. An open part takes some megabytes, whatever is in it,
 * so a merge has RECORD_PARTS_OPEN of them open at most. */
enum { RECORD_PARTS_OPEN = 17 };
struct record_gaps {
    int64_t lines, missing; /* of the suite text; lines that are no case's key */
    bool *is_missing;       /* [lines], new memory */
    char first[RECORD_KEY_BYTES + 1];
    int64_t repeated; /* rows that another part has too */
};
bool record_merge(const char *out, const char *const *parts, int count, bool overwrite, struct record_gaps *gaps,
                  void (*tell)(int64_t done, int64_t total, const char *part));

#endif
