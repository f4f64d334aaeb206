#include "results/table_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_WIDTH = 72, /* what is longer does not widen its column */
    MOST_FIRST = 44, /* the same of a first column where lines have a limit: a longer text gets lines of its own */
    INDENT = 4,      /* of the rest of a line that was broken */
};

/* ---- lines ---- */

/* Columns that a text takes: its characters, not its bytes. */
static int columns_of(const char *text) {
    int count = 0;
    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

/* The bytes of a line from here that fit into `room` columns, up to a blank where there is one. */
static int fitting(const char *line, int length, int room) {
    int best = 0, used = 0;
    for (int k = 0; k < length; k++) {
        used += (line[k] & 0xc0) != 0x80;
        if (line[k] == ' ' && used <= room + 1)
            best = k;
        if (used > room && best > 0)
            return best;
    }
    return length;
}

/* A text that begins at column `at`; what does not fit goes on below, from column `indent`. */
static void put_broken(const struct tables *t, const char *text, int length, int at, int indent) {
    while (length > 0) {
        int now = t->most ? fitting(text, length, t->most - at) : length;
        fwrite(text, 1, (size_t)now, t->out);
        text += now, length -= now;
        while (length > 0 && *text == ' ')
            text++, length--;
        if (length > 0)
            fprintf(t->out, "\n%*s", indent, "");
        at = indent;
    }
}

void table_text_put(struct tables *t, const char *text) {
    while (*text) {
        int length = (int)strcspn(text, "\n"), blanks = (int)strspn(text, " ");
        put_broken(t, text, length, 0, blanks < length && blanks > 0 ? blanks + INDENT : INDENT * (*text == '-'));
        text += length;
        if (*text)
            putc(*text++, t->out);
    }
}

/* ---- rows ---- */

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

void table_text_row(struct tables *t, const struct value *values, int count) {
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

/* ---- widths ---- */

/* What a table is printed with. `shown`: the columns of the part at hand. */
struct layout {
    int *width; /* [columns], negative: aligned left */
    bool *shown, first_part;
};

/* Whether any row has a value in a column. */
static bool has_values(const struct tables *t, int k) {
    for (int64_t r = 0; r < t->rows; r++) {
        const char *cell = t->cell[r * t->columns + k];
        if (cell && *cell && strcmp(cell, "-"))
            return true;
    }
    return false;
}

/* Whether a column stands in the lines of rows; where lines have a limit one without any value does not. */
static bool in_line(const struct tables *t, int k) {
    const struct column *c = &t->column[k];
    return c->head && !c->below && (!t->most || k == 0 || t->rows == 0 || has_values(t, k));
}

static void find_widths(const struct tables *t, int *width) {
    for (int k = 0; k < t->columns; k++) {
        const struct column *c = &t->column[k];
        int most = in_line(t, k) ? columns_of(c->head) : 0, limit = t->most && k == 0 ? MOST_FIRST : MOST_WIDTH;
        most = abs(c->width) > most ? abs(c->width) : most;
        for (int64_t r = 0; r < t->rows; r++) {
            char *const *cell = t->cell + r * t->columns + k;
            bool ends = k + 1 < t->columns && !cell[1]; /* what ends a line early has room */
            int length = cell[0] && !ends ? columns_of(cell[0]) : 0;
            most = length > most && length <= limit ? length : most;
        }
        width[k] = c->width < 0 ? -most : most;
    }
}

static bool stays(const struct tables *t, int k) {
    bool any = false;
    for (int other = 0; other < t->columns; other++)
        any |= t->column[other].stays;
    return any ? t->column[k].stays : k == 0;
}

/* Shows the columns from `from` on that fit beside those that stay; returns the first that does not. */
static int choose_columns(const struct tables *t, struct layout *l, int from) {
    int used = -2, k;
    bool any = false;
    for (k = 0; k < t->columns; k++) {
        l->shown[k] = in_line(t, k) && stays(t, k);
        used += l->shown[k] ? abs(l->width[k]) + 2 : 0;
    }
    for (k = from; k < t->columns; k++) {
        if (!in_line(t, k) || l->shown[k])
            continue;
        used += abs(l->width[k]) + 2;
        if (t->most && used > t->most && any)
            return k;
        l->shown[k] = any = true;
    }
    return k;
}

/* ---- printing ---- */

/* Blanks are written when something stands behind them. */
static void put_cell(FILE *out, int *blanks, const char *text, int width) {
    int pad = abs(width) - columns_of(text);
    pad = pad > 0 ? pad : 0;
    if (*text)
        fprintf(out, "%*s%s", *blanks + (width > 0 ? pad : 0), "", text);
    *blanks = (*text ? width > 0 ? 0 : pad : *blanks + pad) + 2;
}

/* What stands above columns that share it. */
static void print_groups(const struct tables *t, const struct layout *l) {
    int blanks = 0, grouped = 0;
    for (int k = 0, next; k < t->columns; k = next) {
        const char *group = t->column[k].group;
        int span = l->shown[k] ? abs(l->width[k]) : -2;
        for (next = k + 1; group && next < t->columns && t->column[next].group && !strcmp(t->column[next].group, group);
             next++)
            span += l->shown[next] ? abs(l->width[next]) + 2 : 0;
        if (span >= 0)
            put_cell(t->out, &blanks, group ? group : "", -span);
        grouped += group && span >= 0;
    }
    if (grouped)
        putc('\n', t->out);
}

static void print_heads(const struct tables *t, const struct layout *l) {
    int blanks = 0;
    for (int k = 0; k < t->columns; k++)
        if (l->shown[k])
            put_cell(t->out, &blanks, t->column[k].head, l->width[k]);
    putc('\n', t->out);
}

/* The last cell of a row that ends early, or of a column that is aligned left, goes on below where it is too long. */
static void print_row(const struct tables *t, const struct layout *l, char *const *cell) {
    int blanks = 0, at = 0;
    for (int k = 0; k < t->columns && cell[k]; k++) {
        bool last = k + 1 == t->columns || !cell[k + 1], first = k == 0 && t->most;
        if (!l->shown[k] && !(k == 0 && last))
            continue;
        if (first && !last && columns_of(cell[k]) > abs(l->width[k])) {
            put_broken(t, cell[k], (int)strlen(cell[k]), 0, INDENT);
            putc('\n', t->out);
            put_cell(t->out, &blanks, "", l->width[k]);
        } else if (t->most && last && (l->width[k] <= 0 || k + 1 < t->columns)) {
            fprintf(t->out, "%*s", *cell[k] ? blanks : 0, "");
            put_broken(t, cell[k], (int)strlen(cell[k]), at, at + (k == 0 ? INDENT : 0));
        } else
            put_cell(t->out, &blanks, cell[k], l->width[k]);
        at += abs(l->width[k]) + 2;
    }
    putc('\n', t->out);
    for (int k = 0; k < t->columns && cell[k] && l->first_part; k++)
        if (t->column[k].below && *cell[k])
            fprintf(t->out, "%*s%s\n", abs(l->width[0]) + 2, "", cell[k]);
}

/* Whether a row has something in the columns of the part. */
static bool has_part(const struct tables *t, const struct layout *l, char *const *cell, int from) {
    if (l->first_part)
        return true;
    for (int k = from; k < t->columns && cell[k]; k++)
        if (l->shown[k])
            return true;
    return false;
}

static void print(const struct tables *t, struct layout *l) {
    find_widths(t, l->width);
    for (int from = 0; from < t->columns;) {
        int next = choose_columns(t, l, from);
        l->first_part = from == 0;
        if (!l->first_part)
            putc('\n', t->out);
        print_groups(t, l);
        print_heads(t, l);
        for (int64_t r = 0; r < t->rows; r++)
            if (has_part(t, l, t->cell + r * t->columns, from))
                print_row(t, l, t->cell + r * t->columns);
        from = next;
    }
}

void table_text_print(struct tables *t) {
    struct layout l = {calloc((size_t)t->columns + 1, sizeof *l.width), calloc((size_t)t->columns + 1, sizeof *l.shown),
                       false};
    t->failed |= !l.width || !l.shown;
    if (t->failed)
        fputs("no table: out of memory\n", t->out);
    else
        print(t, &l);
    free(l.width);
    free(l.shown);
}

void table_text_forget(struct tables *t) {
    for (int64_t k = 0; k < t->rows * t->columns; k++)
        free(t->cell[k]);
    free(t->cell);
    t->cell = NULL;
}
