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
};

struct table {
    struct field *field;
    int count;
    bool by_layer;
};

static struct field *add_field(struct table *t, const char *name, enum record_type type) {
    struct field *f = &t->field[t->count++];
    *f = (struct field){.name = name, .type = type};
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
    for (int i = 0; i < record_summary_count(r); i++) {
        struct record_curve summary;
        if (!record_summary_info(r, i, &summary) ||
            !(add_field(t, summary.name, RECORD_REAL)->reals = record_summary(r, summary.name)))
            return false;
    }
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

/* Writes one row; `curve` has the current case's row of each curve field. */
static void write_row(FILE *out, const struct format *format, const struct table *t, int64_t index, int64_t layer,
                      const double *const *curve) {
    fputs(format->row, out);
    for (int i = 0; i < t->count; i++) {
        const struct field *f = &t->field[i];
        if (i)
            putc(',', out);
        if (format->names) {
            format->text(out, f->name);
            putc(':', out);
        }
        if (f->is_case)
            fprintf(out, "%" PRId64, index);
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

/* The rows of one case: itself, or its layers. */
static bool write_case(FILE *out, const struct format *format, const struct table *t, struct record_reader *r,
                       int64_t index, const double **curve, bool *first) {
    const int64_t rows = t->by_layer ? record_ints(r, "layers")[index] : 1;
    if (t->by_layer && strcmp(record_texts(r, "status")[index], "done"))
        return true;
    for (int i = 0; i < t->count; i++)
        if (t->field[i].is_curve && !(curve[i] = record_curve_of(r, t->field[i].name, index)))
            return false;
    for (int64_t row = 0; row < rows; row++) {
        if (!*first)
            fputs(format->next_row, out);
        *first = false;
        write_row(out, format, t, index, row, curve);
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
        csv_text(out, t->field[i].name);
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
    const bool curves = !strcmp(what, "curves");
    if (!curves && strcmp(what, "cases"))
        return record_fail("export: %s: neither cases nor curves", what);
    struct table t = {.field =
                          calloc((size_t)(record_column_count(r) + record_curve_count(r) + record_summary_count(r) + 8),
                                 sizeof *t.field)};
    if (!t.field)
        return record_fail("out of memory");
    bool good = curves ? table_of_curves(&t, r) : table_of_cases(&t, r);
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
            good =
                record_fail("cannot write %s: %s", to_stdout ? "standard output" : path, strerror(errno ? errno : EIO));
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
