#include "results/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "results/html.h"
#include "results/text.h"

enum { MOST_WIDTH = 72 }; /* what is longer does not widen its column */

/* ---- how values are written ---- */

const char *table_digits(double x, int digits, char text[32]) {
    double size = fabs(x), limit = 10;
    int decimals = digits - 1;
    while (decimals > 0 && size >= limit - 0.5 * pow(10, -decimals)) {
        limit *= 10;
        decimals--;
    }
    if (isnan(x))
        strcpy(text, "-");
    else if (size < 1 || size >= pow(10, 2 * digits))
        snprintf(text, 32, "%.*g", digits, x);
    else
        snprintf(text, 32, "%.*f", decimals, x);
    return text;
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

void table_json_text(FILE *out, const char *text) {
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        const int length = text_utf8_length(c);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c == 127)
            fprintf(out, "\\u%04x", *c);
        else
            fwrite(c, 1, (size_t)length, out);
        c += length ? length : 1;
    }
    putc('"', out);
}

static void write_value(const struct tables *t, const struct value *v, double real) {
    const bool json = t->format == TABLE_JSON;
    if (v->kind == VALUE_TEXT)
        (json ? table_json_text : csv_text)(t->out, v->text);
    else if (v->kind == VALUE_WHOLE)
        fprintf(t->out, "%" PRId64, v->whole);
    else if (v->kind == VALUE_TRUTH)
        fputs(v->whole ? "true" : "false", t->out);
    else if (isfinite(real))
        fprintf(t->out, "%.17g", real);
    else if (json)
        fputs(isnan(real) ? "null" : real > 0 ? "\"Infinity\"" : "\"-Infinity\"", t->out);
}

/* ---- CSV and JSON: a row is written when it comes ---- */

/* NAME<ending>, and of a row its value. */
static void write_field(const struct tables *t, const struct column *c, const char *ending, const struct value *v,
                        double real) {
    char name[200];
    snprintf(name, sizeof name, "%s%s", c->name, ending);
    if (t->format == TABLE_JSON) {
        table_json_text(t->out, name);
        fputs(": ", t->out);
    } else if (!v)
        csv_text(t->out, name);
    if (v)
        write_value(t, v, real);
}

/* The names of the columns where `values` is NULL. */
static void write_fields(const struct tables *t, const struct value *values, int count) {
    const struct value unknown = in_reals(NAN);
    const char *comma = "", *next = t->format == TABLE_JSON ? ", " : ",";
    for (int k = 0; k < t->columns; k++) {
        const struct column *c = &t->column[k];
        const struct value *v = !values ? NULL : k < count ? &values[k] : &unknown;
        const char *const ending[3] = {"", c->low, c->high};
        const double real[3] = {v ? v->real : 0, v ? v->low : 0, v ? v->high : 0};
        for (int part = 0; c->name && part < 3 && ending[part]; part++) {
            fputs(comma, t->out);
            write_field(t, c, ending[part], v, real[part]);
            comma = next;
        }
    }
}

/* ---- text: rows are kept ---- */

static char *text_of(const struct column *c, const struct value *v) {
    char text[32], *copy;
    if (v->hidden || v->text)
        return strdup(v->hidden ? "" : v->text);
    if (v->kind == VALUE_WHOLE)
        snprintf(text, sizeof text, "%" PRId64, v->whole);
    else if (v->kind == VALUE_TRUTH)
        strcpy(text, v->whole ? "yes" : "no");
    else if (isnan(v->real) || !c->format)
        table_digits(v->real * (c->scale ? c->scale : 1), c->digits, text);
    else
        return asprintf(&copy, c->format, v->real * (c->scale ? c->scale : 1)) < 0 ? NULL : copy;
    return strdup(text);
}

static void keep_row(struct tables *t, const struct value *values, int count) {
    if (t->rows == t->room) {
        int64_t room = t->room ? 2 * t->room : 64;
        char **grown = realloc(t->cell, (size_t)room * (size_t)t->columns * sizeof *grown);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->cell = grown;
        t->room = room;
    }
    char **cell = t->cell + t->rows++ * t->columns;
    for (int k = 0; k < t->columns; k++) {
        cell[k] = k < count ? text_of(&t->column[k], &values[k]) : NULL;
        t->failed |= k < count && !cell[k];
    }
}

/* Blanks are written when something stands behind them. */
static void put_cell(FILE *out, int *blanks, const char *text, int width) {
    int pad = abs(width) - (int)strlen(text);
    pad = pad > 0 ? pad : 0;
    if (*text)
        fprintf(out, "%*s%s", *blanks + (width > 0 ? pad : 0), "", text);
    *blanks = (*text ? width > 0 ? 0 : pad : *blanks + pad) + 2;
}

static bool in_line(const struct column *c) {
    return c->head && !c->below;
}

static void find_widths(const struct tables *t, int *width) {
    for (int k = 0; k < t->columns; k++) {
        const struct column *c = &t->column[k];
        int most = in_line(c) ? (int)strlen(c->head) : 0;
        most = abs(c->width) > most ? abs(c->width) : most;
        for (int64_t r = 0; r < t->rows; r++) {
            char *const *cell = t->cell + r * t->columns + k;
            bool ends = k + 1 < t->columns && !cell[1]; /* what ends a line early has room */
            int length = cell[0] && !ends ? (int)strlen(cell[0]) : 0;
            most = length > most && length <= MOST_WIDTH ? length : most;
        }
        width[k] = c->width < 0 ? -most : most;
    }
}

/* What stands above columns that share it. */
static void print_groups(const struct tables *t, const int *width) {
    int blanks = 0, grouped = 0;
    for (int k = 0, next; k < t->columns; k = next) {
        const char *group = t->column[k].group;
        int span = in_line(&t->column[k]) ? abs(width[k]) : -2;
        for (next = k + 1; group && next < t->columns && t->column[next].group && !strcmp(t->column[next].group, group);
             next++)
            span += in_line(&t->column[next]) ? abs(width[next]) + 2 : 0;
        if (span >= 0)
            put_cell(t->out, &blanks, group ? group : "", -span);
        grouped += group != NULL;
    }
    if (grouped)
        putc('\n', t->out);
}

static void print_line(const struct tables *t, const int *width, char *const *cell) {
    int blanks = 0;
    for (int k = 0; k < t->columns && (!cell || cell[k]); k++)
        if (in_line(&t->column[k]))
            put_cell(t->out, &blanks, cell ? cell[k] : t->column[k].head, width[k]);
    putc('\n', t->out);
    for (int k = 0; k < t->columns && cell && cell[k]; k++)
        if (t->column[k].below && *cell[k])
            fprintf(t->out, "%*s%s\n", abs(width[0]) + 2, "", cell[k]);
}

static void print_text(struct tables *t) {
    int *width = calloc((size_t)t->columns + 1, sizeof *width);
    t->failed |= !width;
    if (t->failed)
        fputs("no table: out of memory\n", t->out);
    else {
        find_widths(t, width);
        print_groups(t, width);
        print_line(t, width, NULL);
        for (int64_t r = 0; r < t->rows; r++)
            print_line(t, width, t->cell + r * t->columns);
    }
    free(width);
}

/* ---- HTML: of the same cells ---- */

static void end_saying(struct tables *t) {
    if (t->saying)
        fputs("</pre>\n", t->out);
    t->saying = false;
}

static void print_cell(const struct tables *t, const char *element, const struct column *c, const char *text) {
    fprintf(t->out, "<%s%s>", element, c->width < 0 ? " class=\"l\"" : "");
    html_text(t->out, text);
    fprintf(t->out, "</%s>", element);
}

static void print_row(const struct tables *t, const char *element, char *const *cell) {
    fputs("<tr>", t->out);
    for (int k = 0; k < t->columns && (!cell || cell[k]); k++)
        if (t->column[k].head)
            print_cell(t, element, &t->column[k], cell ? cell[k] : t->column[k].head);
    fputs("</tr>\n", t->out);
}

/* A line between rows, and what ends one early, is one cell. */
static void print_html(struct tables *t) {
    fputs("<table>\n<thead>", t->out);
    print_row(t, "th", NULL);
    fputs("</thead>\n<tbody>\n", t->out);
    for (int64_t r = 0; r < t->rows; r++) {
        char *const *cell = t->cell + r * t->columns;
        const bool alone = t->columns > 1 && cell[0] && !cell[1];
        if (!alone) {
            print_row(t, "td", cell);
            continue;
        }
        fprintf(t->out, "<tr><td class=\"l\" colspan=\"%d\">", t->columns);
        html_text(t->out, cell[0]);
        fputs("</td></tr>\n", t->out);
    }
    fputs("</tbody>\n</table>\n", t->out);
}

static bool keeps_rows(const struct tables *t) {
    return t->format == TABLE_TEXT || t->format == TABLE_HTML;
}

static void forget_rows(struct tables *t) {
    for (int64_t k = 0; k < t->rows * t->columns; k++)
        free(t->cell[k]);
    free(t->cell);
    t->cell = NULL;
}

/* ---- tables ---- */

void tables_say(struct tables *t, const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = keeps_rows(t) ? vasprintf(&text, format, arguments) : 0;
    va_end(arguments);
    t->failed |= length < 0;
    if (length <= 0)
        return;
    if (t->column)
        text[length - (text[length - 1] == '\n')] = 0; /* its row ends the line */
    if (t->column)
        keep_row(t, &(struct value){.text = text}, 1);
    else if (t->format == TABLE_TEXT)
        fputs(text, t->out);
    else {
        const bool blank = !t->saying && !text[strspn(text, "\n")];
        if (!t->saying && !blank)
            fputs("<pre>", t->out);
        html_text(t->out, blank ? "" : t->saying ? text : text + strspn(text, "\n"));
        t->saying |= !blank;
    }
    free(text);
}

bool tables_end(struct tables *t) {
    end_saying(t);
    if (t->format == TABLE_JSON)
        fputs(t->count ? "\n]\n" : "[\n]\n", t->out);
    return !t->failed;
}

void table_begin_of(struct tables *t, const char *title, const struct column *columns, int count) {
    end_saying(t);
    *t = (struct tables){t->out, t->format, t->count, columns, count, title != NULL, t->failed, 0, 0, NULL, false};
    if (t->format == TABLE_CSV && title) {
        fputs(t->count ? "\n# " : "# ", t->out);
        for (; *title; title++)
            putc((unsigned char)*title < ' ' ? ' ' : *title, t->out);
        putc('\n', t->out);
    } else if (t->format == TABLE_JSON && title) {
        fprintf(t->out, "%s\n{\"table\": ", t->count ? "," : "[");
        table_json_text(t->out, title);
        fputs(", \"rows\": ", t->out);
    }
    t->count += t->titled;
    if (t->format == TABLE_CSV) {
        write_fields(t, NULL, 0);
        putc('\n', t->out);
    } else if (t->format == TABLE_JSON)
        putc('[', t->out);
}

void table_row_of(struct tables *t, const struct value *values, int count) {
    if (keeps_rows(t)) {
        keep_row(t, values, count);
        return;
    }
    if (t->format == TABLE_JSON)
        fputs(t->rows ? ",\n{" : "\n{", t->out);
    write_fields(t, values, count);
    fputs(t->format == TABLE_JSON ? "}" : "\n", t->out);
    t->rows++;
}

void table_end(struct tables *t) {
    if (t->format == TABLE_TEXT)
        print_text(t);
    else if (t->format == TABLE_HTML)
        print_html(t);
    else if (t->format == TABLE_JSON)
        fputs(t->titled ? "\n]}" : "\n]\n", t->out);
    if (keeps_rows(t))
        forget_rows(t);
    t->column = NULL;
}
