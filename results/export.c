/* A record as a table: its columns are fields of a case, of a layer or of a sample. */
#include "results/record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/reader.h"
#include "results/table.h"

/* Cases whose columns are read at once. */
enum { PIECE = 4096 };

/* One field of a table: a column, of which some cases at a time are read, or a curve, whose row of the current case is
 * fetched. */
struct field {
    const char *name;
    enum record_type type;
    enum layout_group group;
    const struct series *series; /* of a column; NULL: none */
    struct series piece;         /* some cases of it */
    const char *const *statuses; /* of all cases, where it is the status */
    bool is_case, is_layer, is_curve;
    const char *prefix; /* of the name: the group of a scalar that is not a summary */
    bool is_subject, is_round;
    const struct dataset_info *sample; /* of /timing; NULL: none */
};

struct export {
    struct field *field;
    struct column *column; /* of each field: its name */
    struct value *value;   /* of each field in the row at hand */
    const double **curve;  /* of each field that is a curve: the layers of the case at hand */
    int count;
    bool by_layer, by_sample;
    int64_t first; /* case of the pieces */
    struct tables out;
};

static struct field *add_field(struct export *e, const char *name, enum record_type type) {
    struct field *f = &e->field[e->count++];
    *f = (struct field){.name = name, .type = type, .prefix = "", .group = IN_CASES};
    return f;
}

static bool add_column(struct export *e, struct record_reader *r, const char *name, enum record_type type) {
    struct field *f = add_field(e, name, type);
    if (!strcmp(name, "status"))
        return (f->statuses = record_texts(r, name)) != NULL;
    return (f->series = reader_column(r, name, type)) != NULL;
}

/* Reads the piece that begins with a case. */
static bool read_pieces(struct export *e, struct record_reader *r, int64_t first) {
    const int64_t left = record_count(r) - first, count = left < PIECE ? left : PIECE;
    bool good = true;
    e->first = first;
    for (int i = 0; good && i < e->count; i++) {
        struct field *f = &e->field[i];
        series_forget(&f->piece);
        good = !f->series || series_load_some(r, group_info[f->group].name, f->series, first, count, &f->piece);
    }
    return good;
}

/* The scalars of a list, each with the prefix in front of its name. */
static bool add_scalars(struct export *e, struct record_reader *r, const char *prefix, enum record_list list) {
    for (int i = 0; i < record_list_count(r, list); i++) {
        struct record_column scalar;
        if (!record_list_item(r, list, i, &scalar))
            return false;
        struct field *f = add_field(e, scalar.name, RECORD_REAL);
        f->prefix = prefix;
        f->group = list_info[list].group;
        if (!(f->series = reader_scalar(r, list, scalar.name)))
            return false;
    }
    return true;
}

static bool fields_of_cases(struct export *e, struct record_reader *r) {
    add_field(e, "case", RECORD_INT)->is_case = true;
    if (!add_column(e, r, "key", RECORD_TEXT) || !add_column(e, r, "status", RECORD_TEXT) ||
        !add_column(e, r, "reason", RECORD_TEXT) || !add_column(e, r, "seconds", RECORD_REAL) ||
        !add_column(e, r, "layers", RECORD_INT))
        return false;
    for (int i = 0; i < record_column_count(r); i++) {
        struct record_column column;
        if (!record_column(r, i, &column) || !add_column(e, r, column.name, column.type))
            return false;
    }
    return add_scalars(e, r, "", RECORD_LIST_SUMMARIES) && add_scalars(e, r, "timing_", RECORD_LIST_TIMINGS) &&
           add_scalars(e, r, "accuracy_", RECORD_LIST_ACCURACIES);
}

/* What there is of every sample, then of every subject. */
static bool fields_of_samples(struct export *e, struct record_reader *r) {
    e->by_sample = true;
    add_field(e, "case", RECORD_INT)->is_case = true;
    if (!add_column(e, r, "key", RECORD_TEXT))
        return false;
    add_field(e, axis_info[AXIS_SUBJECT].name, RECORD_TEXT)->is_subject = true;
    add_field(e, axis_info[AXIS_ROUND].name, RECORD_INT)->is_round = true;
    for (int rank = 3; rank > 1; rank--)
        for (int i = 0; i < DATASETS; i++)
            if (dataset_info[i].group == IN_TIMING && dataset_rank(&dataset_info[i]) == rank)
                add_field(e, dataset_info[i].name, RECORD_REAL)->sample = &dataset_info[i];
    return true;
}

static bool fields_of_curves(struct export *e, struct record_reader *r) {
    e->by_layer = true;
    add_field(e, "case", RECORD_INT)->is_case = true;
    if (!add_column(e, r, "key", RECORD_TEXT))
        return false;
    add_field(e, "layer", RECORD_INT)->is_layer = true;
    for (int i = 0; i < record_curve_count(r); i++) {
        struct record_curve curve;
        if (!record_curve(r, i, &curve))
            return false;
        add_field(e, curve.name, RECORD_REAL)->is_curve = true;
    }
    return true;
}

/* A sample: subject s, round k. */
struct sample {
    const char *subject;
    const struct record_timing *timing;
    int64_t s, k;
};

static struct value value_of_sample(const struct dataset_info *d, const struct sample *at) {
    const void *array = *(const void *const *)((const char *)at->timing + d->offset);
    const int64_t place = d->axis[1] == AXIS_ROUND ? at->s * at->timing->rounds + at->k : at->s;
    return d->kind == KIND_REAL   ? in_reals(((const double *)array)[place])
           : d->kind == KIND_FLAG ? in_wholes(((const int8_t *)array)[place])
                                  : in_wholes(((const int64_t *)array)[place]);
}

/* Of case `index`, by its place in the piece. */
static struct value value_of_column(const struct field *f, int64_t index, int64_t place) {
    return f->statuses              ? in_words(f->statuses[index])
           : f->type == RECORD_INT  ? in_wholes(((const int64_t *)f->piece.values)[place])
           : f->type == RECORD_REAL ? in_reals(((const double *)f->piece.values)[place])
                                    : in_words(f->piece.texts[place]);
}

/* `curve`: the current case's row of a curve's field. */
static struct value value_of(const struct field *f, int64_t number, int64_t index, int64_t place, int64_t layer,
                             const double *curve, const struct sample *sample) {
    return f->is_case      ? in_wholes(number)
           : f->is_subject ? in_words(sample->subject)
           : f->is_round   ? in_wholes(sample->k + 1)
           : f->sample     ? value_of_sample(f->sample, sample)
           : f->is_layer   ? in_wholes(layer + 1)
           : f->is_curve   ? in_reals(curve[layer])
                           : value_of_column(f, index, place);
}

/* One row; `curve` has the current case's row of each curve field. */
static void write_row(struct export *e, const struct record_reader *r, int64_t index, int64_t layer,
                      const struct sample *sample) {
    for (int i = 0; i < e->count; i++)
        e->value[i] = value_of(&e->field[i], record_number(r, index), index, index - e->first, layer, e->curve[i],
                               sample);
    table_row_of(&e->out, e->value, e->count);
}

/* One row per sample of every subject that was timed; a subject of fewer rounds than others has none behind them. */
static bool write_samples(struct export *e, struct record_reader *r, int64_t index) {
    struct record_timing timing;
    if (record_rounds(r, index) == 0)
        return true;
    if (!record_timing(r, index, &timing))
        return false;
    for (int64_t s = 0; s < record_subject_count(r); s++)
        for (int64_t k = 0; k < timing.rounds && timing.batch[s] > 0; k++)
            if (!isnan(timing.seconds[s * timing.rounds + k]))
                write_row(e, r, index, 0, &(struct sample){record_subject(r, (int)s), &timing, s, k});
    return true;
}

/* The rows of one case: itself, its layers or its samples. */
static bool write_case(struct export *e, struct record_reader *r, int64_t index) {
    if (e->by_sample)
        return write_samples(e, r, index);
    const int64_t rows = e->by_layer ? record_ints(r, "layers")[index] : 1;
    if (e->by_layer && strcmp(record_texts(r, "status")[index], "done"))
        return true;
    for (int i = 0; i < e->count; i++)
        if (e->field[i].is_curve && !(e->curve[i] = record_curve_of(r, e->field[i].name, index)))
            return false;
    for (int64_t row = 0; row < rows; row++)
        write_row(e, r, index, row, NULL);
    return true;
}

/* `# name: value`; the further lines of a value are comments as well. */
static void comment(FILE *out, const char *name, const char *value) {
    fprintf(out, "# %s: ", name);
    for (const char *c = value; *c; c++) {
        putc(*c == '\r' ? ' ' : *c, out);
        if (*c == '\n' && c[1])
            fputs("#   ", out);
    }
    if (!*value || value[strlen(value) - 1] != '\n')
        putc('\n', out);
}

static void write_origin(FILE *out, struct record_reader *r) {
    static const char *const attribute[] = {"schema",  "status",  "created_utc", "run_uuid",
                                            "program", "command", "suite"};
    for (size_t i = 0; i < sizeof attribute / sizeof *attribute; i++) {
        const char *value = record_attribute(r, attribute[i]);
        if (value)
            comment(out, attribute[i], value);
    }
    for (int i = 0; i < record_fact_count(r); i++) {
        const char *name, *value;
        if (record_fact(r, i, &name, &value))
            comment(out, name, value);
    }
}

static bool write_table(struct export *e, struct record_reader *r) {
    bool good = true;
    for (int i = 0; good && i < e->count; i++)
        good = (e->column[i].name = record_format("%s%s", e->field[i].prefix, e->field[i].name)) != NULL;
    if (!good)
        return record_fail("out of memory");
    if (e->out.format == TABLE_CSV)
        write_origin(e->out.out, r);
    table_begin_of(&e->out, NULL, e->column, e->count);
    for (int64_t i = 0; good && i < record_count(r); i++)
        good = (i % PIECE || read_pieces(e, r, i)) && write_case(e, r, i);
    table_end(&e->out);
    return good;
}

static bool write_file(struct export *e, struct record_reader *r, const char *path) {
    const bool to_stdout = !strcmp(path, "-");
    FILE *out = e->out.out = to_stdout ? stdout : fopen(path, "w");
    if (!out)
        return record_fail("cannot write %s: %s", path, strerror(errno));
    bool good = write_table(e, r);
    errno = 0;
    const bool written = fflush(out) == 0 && !ferror(out);
    const bool closed = to_stdout || fclose(out) == 0;
    if (good && !(written && closed))
        good = record_fail("cannot write %s: %s", to_stdout ? "standard output" : path, strerror(errno ? errno : EIO));
    return good;
}

static bool export(struct record_reader *r, enum table_format format, const char *what, const char *path) {
    const bool curves = !strcmp(what, "curves"), samples = !strcmp(what, "samples");
    if (!curves && !samples && strcmp(what, "cases"))
        return record_fail("export: %s: not cases, curves or samples", what);
    size_t most = 16 + DATASETS;
    for (int list = 0; list < RECORD_LISTS; list++)
        most += (size_t)record_list_count(r, (enum record_list)list);
    struct export e = {calloc(most, sizeof *e.field), calloc(most, sizeof *e.column), calloc(most, sizeof *e.value),
                       calloc(most, sizeof *e.curve), .out = {.format = format}};
    bool good = (e.field && e.column && e.value && e.curve) || record_fail("out of memory");
    good = good &&
           (curves    ? fields_of_curves(&e, r)
            : samples ? fields_of_samples(&e, r)
                      : fields_of_cases(&e, r)) &&
           write_file(&e, r, path);
    for (int i = 0; i < e.count; i++) {
        free((char *)e.column[i].name);
        series_forget(&e.field[i].piece);
    }
    free(e.field);
    free(e.column);
    free(e.value);
    free(e.curve);
    return good;
}

bool record_export_csv(struct record_reader *r, const char *what, const char *path) {
    return export(r, TABLE_CSV, what, path);
}

bool record_export_json(struct record_reader *r, const char *what, const char *path) {
    return export(r, TABLE_JSON, what, path);
}
