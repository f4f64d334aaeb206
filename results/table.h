/* Tables: columns, and rows that come one by one. Text, HTML, CSV and JSON are made from the same columns and rows. */
#ifndef TABLE_H
#define TABLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* HTML shows what text shows, as elements of a page. */
enum table_format { TABLE_TEXT, TABLE_CSV, TABLE_JSON, TABLE_HTML };

struct column {
    const char *name;       /* in CSV and JSON, whose numbers are in SI units; NULL: text alone has this column */
    const char *head;       /* above it in text, with its unit ("time/ms"); NULL: CSV and JSON alone have this column */
    int width;              /* least width in text; negative: aligned left. Values of up to 72 characters widen it */
    const char *format;     /* how text writes a real number, of printf; NULL: with `digits` */
    int digits;             /* significant digits, as table_digits() */
    double scale;           /* text writes a real number times this: 1e3 for ms; 0: 1 */
    const char *low, *high; /* an interval: CSV and JSON have NAME, NAME<low> and NAME<high>; NULL: none */
    const char *group;      /* text: stands once above neighbours that share it; NULL: nothing does */
    bool below;             /* text: on a line of its own under the row, without a head */
    bool stays;             /* text: where a table is folded each part repeats this column; none: the first */
};

#define COLUMN_PERCENT .format = "%.1f %%", .scale = 100
#define COLUMN_INTERVAL .low = "_low", .high = "_high"

/* One value of a row. */
struct value {
    enum { VALUE_TEXT, VALUE_WHOLE, VALUE_REAL, VALUE_TRUTH } kind;
    const char *text; /* the text; of the other kinds what text shows in place of the number, NULL: the number */
    int64_t whole;
    double real, low, high; /* NaN: unknown, "-" in text, null in JSON */
    bool hidden;            /* text leaves it blank */
};

static inline struct value in_words(const char *text) {
    return (struct value){.kind = VALUE_TEXT, .text = text};
}
static inline struct value in_wholes(int64_t whole) {
    return (struct value){.kind = VALUE_WHOLE, .whole = whole};
}
static inline struct value in_reals(double real) {
    return (struct value){.kind = VALUE_REAL, .real = real, .low = NAN, .high = NAN};
}
static inline struct value in_truth(bool truth) {
    return (struct value){.kind = VALUE_TRUTH, .whole = truth};
}
/* Low, middle and high in CSV and JSON; text shows `text`, NULL: the middle. */
static inline struct value in_interval(const char *text, double middle, double low, double high) {
    return (struct value){.kind = VALUE_REAL, .text = text, .real = middle, .low = low, .high = high};
}

/* Where tables go, and the one at hand. Zero but for `out`, `format` and `most` to begin with. */
struct tables {
    FILE *out;
    enum table_format format;
    /* Columns of a line of text: wider tables are folded, longer lines broken, columns without a value left out;
     * 0: no limit. */
    int most;
    int count; /* of tables so far that have a title */
    const struct column *column;
    int columns;
    bool titled, failed;
    int64_t rows, room;
    char **cell; /* of text and HTML: rows x columns, NULL where a row has ended; kept until the table ends */
    bool saying; /* HTML: within what stands between tables */
};

/* What stands between tables or, whole lines, between rows: text and HTML have it. */
void tables_say(struct tables *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends what has several tables. false: out of memory. */
bool tables_end(struct tables *);

/* `columns` must stay until table_end(). The title is for CSV (a comment) and JSON; NULL: the only table. */
#define table_begin(tables, title, columns) \
    table_begin_of(tables, title, columns, (int)(sizeof(columns) / sizeof *(columns)))
void table_begin_of(struct tables *, const char *title, const struct column *, int count);
void table_end(struct tables *);

/* A row: as many values as columns, or fewer: then the others are unknown, and text ends the line early. */
#define table_row(tables, ...)                                \
    table_row_of(tables, (const struct value[]){__VA_ARGS__}, \
                 (int)(sizeof(struct value[]){__VA_ARGS__} / sizeof(struct value)))
void table_row_of(struct tables *, const struct value *, int count);

/* x with so many significant digits, without an exponent from 1 to 10^(2 digits); "-": NaN. Returns `text`. */
const char *table_digits(double x, int digits, char text[32]);

/* A text as a string of JSON, in quotes; bytes that are no UTF-8 become U+FFFD. */
void table_json_text(FILE *, const char *);

#endif
