/* A record as CSV or JSON. Both walk the same fields; a format is how a field is written. */
#include "results/record.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/layout.h"

/* One field of a table: the values of all cases, or a curve, whose row of the current case is fetched. */
struct field {
    const char *name;
    enum record_type type;
    const int64_t *ints;
    const double *reals;
    const char *const *texts;
    bool is_case, is_layer, is_curve;
    const char *prefix; /* of the name: the group of a scalar that is not a summary */
    bool is_subject, is_round;
    const struct dataset_info *sample; /* of /timing; NULL: none */
};

struct table {
    struct field *field;
    int count;
    bool by_layer, by_sample;
};

static struct field *add_field(struct table *t, const char *name, enum record_type type) {
    struct field *f = &t->field[t->count++];
    *f = (struct field){.name = name, .type = type, .prefix = ""};
    return f;
}

static bool add_column(struct table *t, struct record_reader *r, const char *name, enum record_type type) {
    struct field *f = add_field(t, name, type);
    if (type == RECORD_INT)
        return (f->ints = record_ints(r, name)) != NULL;
    if (type == RECORD_REAL)
        return (f->reals = record_reals(r, name)) != NULL;
    return (f->texts = record_texts(r, name)) != NULL;
}

/* The scalars of a list, each with the prefix in front of its name. */
static bool add_scalars(struct table *t, struct record_reader *r, const char *prefix, enum record_list list) {
    for (int i = 0; i < record_list_count(r, list); i++) {
        struct record_column scalar;
        if (!record_list_item(r, list, i, &scalar))
            return false;
        struct field *f = add_field(t, scalar.name, RECORD_REAL);
        f->prefix = prefix;
        if (!(f->reals = record_list_values(r, list, scalar.name)))
            return false;
    }
    return true;
}

static bool table_of_cases(struct table *t, struct record_reader *r) {
    add_field(t, "case", RECORD_INT)->is_case = true;
    if (!add_column(t, r, "key", RECORD_TEXT) || !add_column(t, r, "status", RECORD_TEXT) ||
        !add_column(t, r, "reason", RECORD_TEXT) || !add_column(t, r, "seconds", RECORD_REAL) ||
        !add_column(t, r, "layers", RECORD_INT))
        return false;
    for (int i = 0; i < record_column_count(r); i++) {
        struct record_column column;
        if (!record_column(r, i, &column) || !add_column(t, r, column.name, column.type))
            return false;
    }
    return add_scalars(t, r, "", RECORD_LIST_SUMMARIES) && add_scalars(t, r, "timing_", RECORD_LIST_TIMINGS) &&
           add_scalars(t, r, "accuracy_", RECORD_LIST_ACCURACIES);
}

/* What there is of every sample, then of every subject. */
static bool table_of_samples(struct table *t, struct record_reader *r) {
    t->by_sample = true;
    add_field(t, "case", RECORD_INT)->is_case = true;
    if (!add_column(t, r, "key", RECORD_TEXT))
        return false;
    add_field(t, axis_info[AXIS_SUBJECT].name, RECORD_TEXT)->is_subject = true;
    add_field(t, axis_info[AXIS_ROUND].name, RECORD_INT)->is_round = true;
    for (int rank = 3; rank > 1; rank--)
        for (int i = 0; i < DATASETS; i++)
            if (dataset_info[i].group == IN_TIMING && dataset_rank(&dataset_info[i]) == rank)
                add_field(t, dataset_info[i].name, RECORD_REAL)->sample = &dataset_info[i];
    return true;
}

static bool table_of_curves(struct table *t, struct record_reader *r) {
    t->by_layer = true;
    add_field(t, "case", RECORD_INT)->is_case = true;
    if (!add_column(t, r, "key", RECORD_TEXT))
        return false;
    add_field(t, "layer", RECORD_INT)->is_layer = true;
    for (int i = 0; i < record_curve_count(r); i++) {
        struct record_curve curve;
        if (!record_curve(r, i, &curve))
            return false;
        add_field(t, curve.name, RECORD_REAL)->is_curve = true;
    }
    return true;
}

static void csv_text(FILE *out, const char *text) {
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}

/* Bytes of the UTF-8 character at `c`; 0 if it is none. */
static int utf8_length(const unsigned char *c) {
    const int length = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF0 && c[1] < 0x90) ||
        (c[0] == 0xF4 && c[1] > 0x8F))
        return 0;
    return length;
}

static void json_text(FILE *out, const char *text) {
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        const int length = utf8_length(c);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ')
            fprintf(out, "\\u%04x", *c);
        else
            fwrite(c, 1, (size_t)length, out);
        c += length ? length : 1;
    }
    putc('"', out);
}

static void csv_real(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, "%.17g", value);
}

static void json_real(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, "%.17g", value);
    else
        fputs(isnan(value) ? "null" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"", out);
}

struct format {
    void (*text)(FILE *, const char *);
    void (*real)(FILE *, double);
    const char *begin, *row, *next_row, *row_end, *end; /* of the table; next_row stands between rows */
    bool names;                                         /* each field carries its name */
};

static const struct format csv = {csv_text, csv_real, "", "", "", "\n", "", false};
static const struct format json = {json_text, json_real, "[", "\n{", ",", "}", "\n]\n", true};

/* A sample: subject s, round k. */
struct sample {
    const char *subject;
    const struct record_timing *timing;
    int64_t s, k;
};

static void write_sample(FILE *out, const struct format *format, const struct dataset_info *d,
                         const struct sample *at) {
    const void *array = *(const void *const *)((const char *)at->timing + d->offset);
    const int64_t place = d->axis[1] == AXIS_ROUND ? at->s * at->timing->rounds + at->k : at->s;
    if (d->kind == KIND_REAL)
        format->real(out, ((const double *)array)[place]);
    else if (d->kind == KIND_FLAG)
        fprintf(out, "%d", ((const int8_t *)array)[place]);
    else
        fprintf(out, "%" PRId64, ((const int64_t *)array)[place]);
}

/* A field's name: with the prefix of its group. */
static void write_name(FILE *out, const struct format *format, const struct field *f) {
    char *name = record_format("%s%s", f->prefix, f->name);
    format->text(out, name ? name : f->name);
    free(name);
}

/* Writes one row; `curve` has the current case's row of each curve field. */
static void write_row(FILE *out, const struct format *format, const struct table *t, int64_t index, int64_t layer,
                      const double *const *curve, const struct sample *sample) {
    fputs(format->row, out);
    for (int i = 0; i < t->count; i++) {
        const struct field *f = &t->field[i];
        if (i)
            putc(',', out);
        if (format->names) {
            write_name(out, format, f);
            putc(':', out);
        }
        if (f->is_case)
            fprintf(out, "%" PRId64, index);
        else if (f->is_subject)
            format->text(out, sample->subject);
        else if (f->is_round)
            fprintf(out, "%" PRId64, sample->k + 1);
        else if (f->sample)
            write_sample(out, format, f->sample, sample);
        else if (f->is_layer)
            fprintf(out, "%" PRId64, layer + 1);
        else if (f->is_curve)
            format->real(out, curve[i][layer]);
        else if (f->type == RECORD_INT)
            fprintf(out, "%" PRId64, f->ints[index]);
        else if (f->type == RECORD_REAL)
            format->real(out, f->reals[index]);
        else
            format->text(out, f->texts[index]);
    }
    fputs(format->row_end, out);
}

static void part_rows(FILE *out, const struct format *format, bool *first) {
    if (!*first)
        fputs(format->next_row, out);
    *first = false;
}

/* A row a sample of every subject that was timed; a subject of fewer rounds than others has none behind them. */
static bool write_samples(FILE *out, const struct format *format, const struct table *t, struct record_reader *r,
                          int64_t index, bool *first) {
    struct record_timing timing;
    if (record_rounds(r, index) == 0)
        return true;
    if (!record_timing(r, index, &timing))
        return false;
    for (int64_t s = 0; s < record_subject_count(r); s++)
        for (int64_t k = 0; k < timing.rounds && timing.batch[s] > 0; k++) {
            if (isnan(timing.seconds[s * timing.rounds + k]))
                continue;
            part_rows(out, format, first);
            write_row(out, format, t, index, 0, NULL, &(struct sample){record_subject(r, (int)s), &timing, s, k});
        }
    return true;
}

/* The rows of one case: itself, its layers or its samples. */
static bool write_case(FILE *out, const struct format *format, const struct table *t, struct record_reader *r,
                       int64_t index, const double **curve, bool *first) {
    if (t->by_sample)
        return write_samples(out, format, t, r, index, first);
    const int64_t rows = t->by_layer ? record_ints(r, "layers")[index] : 1;
    if (t->by_layer && strcmp(record_texts(r, "status")[index], "done"))
        return true;
    for (int i = 0; i < t->count; i++)
        if (t->field[i].is_curve && !(curve[i] = record_curve_of(r, t->field[i].name, index)))
            return false;
    for (int64_t row = 0; row < rows; row++) {
        part_rows(out, format, first);
        write_row(out, format, t, index, row, curve, NULL);
    }
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

static void csv_header(FILE *out, const struct table *t, struct record_reader *r) {
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
    for (int i = 0; i < t->count; i++) {
        if (i)
            putc(',', out);
        write_name(out, &csv, &t->field[i]);
    }
    putc('\n', out);
}

static bool write_table(FILE *out, const struct format *format, const struct table *t, struct record_reader *r) {
    const double **curve = calloc((size_t)t->count, sizeof *curve);
    bool good = curve || record_fail("out of memory"), first = true;
    if (good && format == &csv)
        csv_header(out, t, r);
    fputs(format->begin, out);
    for (int64_t i = 0; good && i < record_count(r); i++)
        good = write_case(out, format, t, r, i, curve, &first);
    fputs(format->end, out);
    free(curve);
    return good;
}

static bool export(struct record_reader *r, const struct format *format, const char *what, const char *path) {
    const bool curves = !strcmp(what, "curves"), samples = !strcmp(what, "samples");
    if (!curves && !samples && strcmp(what, "cases"))
        return record_fail("export: %s: not cases, curves or samples", what);
    int most = 16 + DATASETS;
    for (int list = 0; list < RECORD_LISTS; list++)
        most += record_list_count(r, (enum record_list)list);
    struct table t = {.field = calloc((size_t)most, sizeof *t.field)};
    if (!t.field)
        return record_fail("out of memory");
    bool good = curves ? table_of_curves(&t, r) : samples ? table_of_samples(&t, r) : table_of_cases(&t, r);
    const bool to_stdout = !strcmp(path, "-");
    FILE *out = !good ? NULL : to_stdout ? stdout : fopen(path, "w");
    if (good && !out)
        good = record_fail("cannot write %s: %s", path, strerror(errno));
    if (out) {
        good = write_table(out, format, &t, r);
        errno = 0;
        const bool written = fflush(out) == 0 && !ferror(out);
        const bool closed = to_stdout || fclose(out) == 0;
        if (good && !(written && closed))
            good = record_fail("cannot write %s: %s", to_stdout ? "standard output" : path,
                               strerror(errno ? errno : EIO));
    }
    free(t.field);
    return good;
}

bool record_export_csv(struct record_reader *r, const char *what, const char *path) {
    return export(r, &csv, what, path);
}

bool record_export_json(struct record_reader *r, const char *what, const char *path) {
    return export(r, &json, what, path);
}
