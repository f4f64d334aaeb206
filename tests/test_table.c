/* Tables: the same rows as text, CSV and JSON. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "results/table.h"

static const struct column columns[] = {
    {"name", "name", .width = -6},
    {"seconds", "time/ms", .width = 3, .digits = 3, .scale = 1e3, COLUMN_INTERVAL, .group = "measured"},
    {"share", "of all", .width = 3, COLUMN_PERCENT, .group = "measured"},
    {NULL, "flags", .width = -1},
    {"good", .width = 0},
    {"count", "n", .width = 2},
    {"again", "again", .below = true},
};

/* Two tables of two rows each, as the format writes them. */
static char *write_tables(enum table_format format) {
    char *text = NULL;
    size_t size;
    struct tables t = {.out = open_memstream(&text, &size), .format = format};
    tables_say(&t, "before\n");
    table_begin(&t, "first \"one\"", columns);
    table_row(&t, in_words("a"), in_interval(NULL, 0.0125, 0.01, 0.02), in_reals(0.5), in_words("x"), in_truth(true),
              in_wholes(-7), in_words("do it, again"));
    tables_say(&t, "\nbetween\n");
    table_row(&t, in_words("longer name"), in_interval("12 or so", 0.012, NAN, INFINITY), in_reals(NAN), in_words(""),
              in_truth(false), in_wholes(INT64_MIN), in_words(""));
    table_end(&t);
    table_begin(&t, "second", columns);
    table_row(&t, in_words("b"), in_interval("- too long to widen a column", NAN, NAN, NAN));
    table_end(&t);
    cr_expect(tables_end(&t));
    fclose(t.out);
    return text;
}

static void expect_tables(enum table_format format, const char *want) {
    char *got = write_tables(format);
    cr_expect_str_eq(got, want);
    free(got);
}

Test(table, text_is_aligned) {
    expect_tables(TABLE_TEXT, "before\n"
                              "             measured\n"
                              "name          time/ms  of all  flags                     n\n"
                              "a                12.5  50.0 %  x                        -7\n"
                              "             do it, again\n"
                              "\n"
                              "between\n"
                              "longer name  12 or so       -         -9223372036854775808\n"
                              "        measured\n"
                              "name    time/ms  of all  flags   n\n"
                              "b       - too long to widen a column\n");
}

Test(table, csv_has_every_number) {
    expect_tables(TABLE_CSV, "# first \"one\"\n"
                             "name,seconds,seconds_low,seconds_high,share,good,count,again\n"
                             "a,0.012500000000000001,0.01,0.02,0.5,true,-7,\"do it, again\"\n"
                             "longer name,0.012,,,,false,-9223372036854775808,\n"
                             "\n"
                             "# second\n"
                             "name,seconds,seconds_low,seconds_high,share,good,count,again\n"
                             "b,,,,,,,\n");
}

Test(table, json_is_a_list_of_tables) {
    expect_tables(
        TABLE_JSON,
        "[\n{\"table\": \"first \\\"one\\\"\", \"rows\": [\n"
        "{\"name\": \"a\", \"seconds\": 0.012500000000000001, \"seconds_low\": 0.01, \"seconds_high\": 0.02, "
        "\"share\": 0.5, \"good\": true, \"count\": -7, \"again\": \"do it, again\"},\n"
        "{\"name\": \"longer name\", \"seconds\": 0.012, \"seconds_low\": null, \"seconds_high\": \"Infinity\", "
        "\"share\": null, \"good\": false, \"count\": -9223372036854775808, \"again\": \"\"}\n]},\n"
        "{\"table\": \"second\", \"rows\": [\n"
        "{\"name\": \"b\", \"seconds\": null, \"seconds_low\": null, \"seconds_high\": null, \"share\": null, "
        "\"good\": null, \"count\": null, \"again\": null}\n]}\n]\n");
}

Test(table, digits) {
    static const struct {
        double x;
        int digits;
        const char *text;
    } want[] = {{0, 3, "0"},        {0.9994, 3, "0.999"}, {1, 3, "1.00"},      {9.994, 3, "9.99"},
                {9.996, 3, "10.0"}, {99.94, 3, "99.9"},   {99.96, 3, "100"},   {123456, 3, "123456"},
                {1e6, 3, "1e+06"},  {1234.5, 4, "1234"},  {999.96, 4, "1000"}, {-12.34, 3, "-12.3"},
                {1e-5, 4, "1e-05"}, {NAN, 3, "-"}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        char text[32];
        cr_expect_str_eq(table_digits(want[k].x, want[k].digits, text), want[k].text);
    }
}
