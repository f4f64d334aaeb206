#include "results/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "results/html.h"
#include "results/table_text.h"
#include "results/text.h"

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
        table_text_row(t, &(struct value){.text = text}, 1);
    else if (t->format == TABLE_TEXT)
        table_text_put(t, text);
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
    *t = (struct tables){.out = t->out,
                         .format = t->format,
                         .most = t->most,
                         .count = t->count,
                         .column = columns,
                         .columns = count,
                         .titled = title != NULL,
                         .failed = t->failed};
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
        table_text_row(t, values, count);
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
        table_text_print(t);
    else if (t->format == TABLE_HTML)
        print_html(t);
    else if (t->format == TABLE_JSON)
        fputs(t->titled ? "\n]}" : "\n]\n", t->out);
    if (keeps_rows(t))
        table_text_forget(t);
    t->column = NULL;
}
