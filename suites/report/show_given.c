/* The table of maps that come from a file: in which order they were read, and what shows whether it was the right
 * one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/report/groups.h"
#include "suites/report/shows.h"

enum { SUMS_TEXT = 8 * MHC_MAX_STREAMS + 8 };

static bool is_case(struct record_reader *r, int64_t index, struct params *p) {
    groups_params(r, index, p);
    return params_has_maps(p) && !strcmp(record_texts(r, "status")[index], "done");
}

/* "1.000 1.000 0.998 1.002"; many streams: the least and the largest. */
static void write_sums(const double *sums, int64_t n, char text[SUMS_TEXT]) {
    double least = INFINITY, most = -INFINITY;
    size_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, sums[i]);
        most = fmax(most, sums[i]);
    }
    if (n > 4 && isfinite(least) && isfinite(most))
        snprintf(text, SUMS_TEXT, "%.3f to %.3f", least, most);
    else
        for (int64_t i = 0; i < n && used < SUMS_TEXT; i++)
            used += (size_t)snprintf(text + used, SUMS_TEXT - used, "%s%.3f", i ? " " : "", sums[i]);
}

/* Row and column sums of the token mean of H_1, the first panel; "-": it was not recorded. */
static void first_sums(struct record_reader *r, int64_t index, char rows[SUMS_TEXT], char columns[SUMS_TEXT]) {
    const int64_t n = record_panel_streams(r, index);
    double panel[6 * MHC_MAX_STREAMS * MHC_MAX_STREAMS], scale[6], row[MHC_MAX_STREAMS] = {0},
                                                                   column[MHC_MAX_STREAMS] = {0};
    snprintf(rows, SUMS_TEXT, "-");
    snprintf(columns, SUMS_TEXT, "-");
    if (n < 1 || n > MHC_MAX_STREAMS || !record_panels(r, index, n, panel, scale))
        return;
    for (int64_t e = 0; e < n * n; e++) {
        const double value = panel[e] * pow(10, scale[0]);
        row[e / n] += value;
        column[e % n] += value;
    }
    write_sums(row, n, rows);
    write_sums(column, n, columns);
}

/* Entries of all maps of which a curve has the share; NaN: not recorded. */
static double entries(struct record_reader *r, int64_t index, const struct params *p, const char *curve) {
    const double *share = record_curve_computed(r, curve, index) ? record_curve_of(r, curve, index) : NULL;
    double sum = share ? 0 : NAN;
    for (int64_t l = 0; share && l < p->depth; l++)
        sum += share[l];
    return round(sum * (double)(p->tokens * p->streams * p->streams));
}

static void add_row(struct record_reader *r, int64_t index, const struct params *p, struct tables *t) {
    char rows[SUMS_TEXT], columns[SUMS_TEXT], shape[100], order[40];
    snprintf(shape, sizeof shape, "[%lld][%lld][%lld][%lld]", (long long)p->depth, (long long)p->tokens,
             (long long)p->streams, (long long)p->streams);
    snprintf(order, sizeof order, "%s", params_word(p, "order"));
    first_sums(r, index, rows, columns);
    table_row(t, in_words(p->from), in_words(params_connection(p)->label), in_wholes(p->seed), in_words(shape),
              in_words(order), in_words(rows), in_words(columns), in_reals(entries(r, index, p, "single_negative")),
              in_reals(entries(r, index, p, "single_nonfinite")));
}

void show_given(struct record_reader *r, struct tables *t, unsigned how) {
    static const struct column columns[] = {
        {"file", "file", .width = -8},
        {"connection", "shown as", .width = -8},
        {"seed", "seed", .width = 4},
        {"shape", "[L][T][n][n]", .width = -12},
        {"order", "order assumed", .width = -13},
        {"row_sums", "row sums of H_1", .width = -15},
        {"column_sums", "column sums of H_1", .width = -18},
        {"negative", "negative", .width = 8, .format = "%.0f"},
        {"nonfinite", "NaN or Inf", .width = 10, .format = "%.0f"},
    };
    enum { MOST_ROWS = 24 };
    bool all = how & SHOW_ALL;
    struct params p;
    int64_t count = 0;
    for (int64_t k = 0; k < record_count(r); k++) {
        if (!is_case(r, k, &p))
            continue;
        if (!count++) {
            tables_say(
                t, "\nMaps of a file. In the other order rows and columns change places, and so do the forward and the "
                   "backward gain: rows sum to 1 after a Sinkhorn, which ends with them. H_1 is a mean over tokens; "
                   "entries are counted over all maps.\n\n");
            table_begin(t, "maps of a file", columns);
        }
        if (all || count <= MOST_ROWS)
            add_row(r, k, &p, t);
    }
    if (!count)
        return;
    table_end(t);
    if (!all && count > MOST_ROWS)
        tables_say(t, "... %lld more rows: --all\n", (long long)(count - MOST_ROWS));
}
