#include "suites/report/figure_data.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/text.h"
#include "suites/report/paper.h"
#include "suites/rows/gpu_model.h"

/* In pixels of 1/96 inch a character of the 7 pt caption is about 5.2 wide; 8.5 cm are 321 of them. */
enum { NARROW_COLUMNS = 59, WIDE_COLUMNS = 120 };

static FILE *open_in(const char *folder, const char *name, const char *suffix) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return fopen(path, "w");
}

FILE *data_open(const struct figure_source *source, const char *name, const char *columns) {
    FILE *file = open_in(source->folder, name, "csv");
    if (file)
        fprintf(file, "# %s\n%s\n", source->provenance, columns);
    return file;
}

bool data_close(FILE *file, const struct figure_source *source, const char *name, char *why, size_t why_size) {
    int failure = file ? 0 : errno;
    if (file && (fflush(file) || ferror(file)))
        failure = errno ? errno : EIO;
    if (file && fclose(file) && !failure)
        failure = errno;
    if (failure)
        snprintf(why, why_size, "%s/%s: cannot be written: %s", source->folder, name, strerror(failure));
    return !failure;
}

void put_number(FILE *file, double value) {
    if (file)
        fprintf(file, isfinite(value) ? ",%.9g" : ",", value);
}

bool put_spread(FILE *file, struct spread s, bool broken) {
    bool overflow = broken || isinf(s.q90);
    put_number(file, s.q10);
    put_number(file, s.median);
    put_number(file, s.q90);
    if (file)
        fprintf(file, ",%d", overflow);
    return overflow;
}

bool figure_joined(const struct param *param, double from, double to) {
    return to <= 1.5 * from || (param->type == PARAM_INT && to - from <= 1);
}

int64_t failed_cases(const struct figure_source *source, const char *study) {
    const char *const *status = record_texts(source->reader, "status"), *const *studies = record_texts(source->reader,
                                                                                                       "study");
    int64_t failed = 0;
    for (int64_t k = 0; status && studies && k < record_count(source->reader); k++)
        failed += source->chosen[k] && !strcmp(status[k], "failed") && !strcmp(studies[k], study);
    return failed;
}

void device_name(const struct figure_source *source, const char *backend, char *text, size_t size) {
    char device[256];
    if (groups_device(source->reader, backend, device, sizeof device))
        snprintf(text, size, "%s (%s)", backend, device);
    else
        snprintf(text, size, "%s", backend);
}

FILE *settings_open(const struct figure_source *source, const char *name) {
    FILE *file = open_in(source->folder, name, "gp");
    if (file)
        fprintf(file,
                "PAPER_HC_GAIN = %g; PAPER_MHC_GAIN = %g; PAPER_OVERHEAD = %g # %%\n"
                "PAPER_MHC_PEAK_FROM = %d; PAPER_MHC_PEAK_TO = %d; PAPER_MHC_COLUMN_LEAST = %g; "
                "PAPER_MHC_COLUMN_MOST = %g\n",
                PAPER_HC_GAIN, PAPER_MHC_GAIN, 100 * PAPER_OVERHEAD, PAPER_MHC_PEAK_FROM, PAPER_MHC_PEAK_TO,
                PAPER_MHC_COLUMN_LEAST, PAPER_MHC_COLUMN_MOST);
    return file;
}

/* In gnuplot's single quotes only a quote has a meaning, so a look-alike replaces it. */
static void put_literal(FILE *file, char c) {
    if (c == '\'')
        fputs("’", file);
    else
        putc(c, file);
}

void put_string(FILE *file, const char *text) {
    char *clean = file ? strdup(text) : NULL;
    if (!file)
        return;
    putc('\'', file);
    for (const char *c = clean ? text_clean(clean) : ""; *c; c++)
        put_literal(file, *c);
    putc('\'', file);
    free(clean);
}

void put_field(FILE *file, const char *text) {
    char *clean = file ? strdup(text) : NULL;
    if (!file)
        return;
    fputs(",\"", file);
    for (const char *c = clean ? text_clean(clean) : ""; *c; c++)
        putc(*c == '"' ? '\'' : *c, file);
    putc('"', file);
    free(clean);
}

/* Names of the paper as it prints them. */
static const char *const typeset[][2] = {
    {"t-max", "t_{max}"}, {"t_max", "t_{max}"}, {"L_r", "L_{r}"}, {"x_l", "x_{l}"}};

/* Enhanced text of gnuplot; its markup characters are escaped. */
static void put_enhanced(FILE *file, const char *words) {
    bool start = true; /* of a word */
    char *clean = strdup(words);
    const char *text = clean ? text_clean(clean) : "";
    putc('\'', file);
    for (size_t step; *text; text += step) {
        const char *set = NULL;
        step = 1;
        for (size_t k = 0; start && k < sizeof typeset / sizeof *typeset && !set; k++)
            if (!strncmp(text, typeset[k][0], strlen(typeset[k][0])) &&
                !isalnum((unsigned char)text[strlen(typeset[k][0])])) {
                set = typeset[k][1];
                step = strlen(typeset[k][0]);
            }
        start = !isalnum((unsigned char)*text) && !strchr("/_.-", *text);
        if (set)
            fputs(set, file);
        else if (strchr("_^@&~{}\\", *text))
            fprintf(file, "\\%c", *text);
        else
            put_literal(file, *text);
    }
    putc('\'', file);
    free(clean);
}

/* Lines of two connections may coincide if both are of HC or neither is. This counts the connections of the same sort
 * before one in the table, so that its dashes differ from theirs. 0: solid. */
static int broken(int block) {
    int before = 0;
    for (int b = 0; b < block; b++)
        before += connection_is_hc(&connections[b]) == connection_is_hc(&connections[block]);
    return before;
}

void put_lines(FILE *file, const struct figure_source *source, const struct lines *lines) {
    if (!file)
        return;
    size_t longest = 0;
    fprintf(file, "LINES = %d\narray LABEL[LINES]\narray BLOCK[LINES]\narray RANK[LINES]\narray BROKEN[LINES]\n",
            lines->count);
    for (int k = 0; k < lines->count; k++) {
        char text[LINE_LABEL + 40];
        line_legend(source, lines, k, text, sizeof text);
        longest = strlen(text) > longest ? strlen(text) : longest;
        fprintf(file, "BLOCK[%d] = %d; RANK[%d] = %d; BROKEN[%d] = %d; LABEL[%d] = ", k + 1,
                connections[lines->line[k].block].colour, k + 1, lines->line[k].rank, k + 1,
                broken(lines->line[k].block), k + 1);
        put_enhanced(file, text);
        fprintf(file, "\n");
    }
    fprintf(file, "LONGEST = %zu\n", longest);
}

void put_paper(FILE *file, const struct figure_source *source, const struct lines *lines) {
    if (file)
        fprintf(file, "PAPER = %d\nSEEDS = %lld\n", lines_like_paper(source, lines),
                (long long)lines_most_seeds(source, lines));
}

/* Bytes of `text` that fit a row, cut at a blank where there is one. */
static size_t row_of(const char *text, size_t columns) {
    size_t length = strlen(text), cut = columns;
    if (length <= columns)
        return length;
    while (cut > columns / 2 && text[cut] != ' ')
        cut--;
    if (text[cut] != ' ')
        for (cut = columns; cut > 1 && ((unsigned char)text[cut] & 0xC0) == 0x80;) /* not inside a UTF-8 character */
            cut--;
    return cut;
}

void put_caption(FILE *file, const struct figure_source *source, bool wide, const char *text) {
    bool model = strstr(text, "(" DEVICE_MODEL); /* what the device says of itself */
    const char *const parts[] = {
        model ? "MODEL: every time here is computed from bytes, flops and a data sheet; nothing was "
                "run or measured, and there are no intervals."
              : "",
        text, source->provenance};
    int rows = 0;
    wide = source->columns ? source->columns == 2 : wide;
    for (int part = 0; file && part < 3; part++)
        for (const char *at = parts[part]; *at;) {
            char row[WIDE_COLUMNS + 1];
            size_t length = row_of(at, wide ? WIDE_COLUMNS : NARROW_COLUMNS);
            snprintf(row, sizeof row, "%.*s", (int)length, at);
            fprintf(file, "CAPTION_%d = ", ++rows);
            put_enhanced(file, row);
            fprintf(file, "\n");
            at += length + strspn(at + length, " ");
        }
    if (file)
        fprintf(file, "CAPTION_ROWS = %d\nWIDE = %d\nMODEL = %d\n", source->no_caption ? 0 : rows, wide, model);
}
