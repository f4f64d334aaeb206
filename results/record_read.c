/* Reading an open record. */
#include "results/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t record_count(const struct record_reader *r) {
    return r->count;
}

const char *record_attribute(struct record_reader *r, const char *name) {
    for (int i = 0; i < r->attribute_count; i++)
        if (!strcmp(r->attribute[i].name, name))
            return r->attribute[i].value;
    return NULL;
}

bool record_complete(const struct record_reader *r) {
    const char *status = record_attribute((struct record_reader *)r, "status");
    return status && !strcmp(status, RECORD_COMPLETE);
}

int record_fact_count(struct record_reader *r) {
    return r->fact_count;
}

bool record_fact(struct record_reader *r, int index, const char **name, const char **value) {
    if (index < 0 || index >= r->fact_count)
        return record_fail("%s: env: no fact %d", r->path, index);
    *name = r->fact[index].name;
    *value = r->fact[index].value;
    return true;
}

/* The series of that name and type; NULL, and why: absent, ignored when the file was opened, or of another type. */
static struct series *find(struct record_reader *r, struct series_list *list, hid_t group, const char *group_name,
                           const char *name, int rank, enum record_type type) {
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->item[i].name, name))
            continue;
        if (list->item[i].type == type)
            return &list->item[i];
        record_fail("%s: %s/%s: wrong type", r->path, group_name, name);
        return NULL;
    }
    hsize_t extent[4];
    struct series ignored;
    if (series_open(r, group, group_name, name, rank, r->count, extent, &ignored) == VERDICT_GOOD) {
        series_close(&ignored, 0);
        record_fail("%s: %s/%s: wrong type", r->path, group_name, name);
    }
    return NULL;
}

static struct series *find_column(struct record_reader *r, const char *name, enum record_type type) {
    for (int i = OWN_KEY; i < OWN_COLUMNS; i++)
        if (i != OWN_STATUS && !strcmp(record_own_column[i], name) && r->own[i].type == type)
            return &r->own[i];
    return find(r, &r->column, r->cases, "cases", name, 1, type);
}

const int64_t *record_ints(struct record_reader *r, const char *column) {
    struct series *s = find_column(r, column, RECORD_INT);
    return s && series_load(r, "cases", s, r->count) ? s->values : NULL;
}

const double *record_reals(struct record_reader *r, const char *column) {
    struct series *s = find_column(r, column, RECORD_REAL);
    return s && series_load(r, "cases", s, r->count) ? s->values : NULL;
}

static const char *const *status_texts(struct record_reader *r) {
    struct series *s = &r->own[OWN_STATUS];
    if (!s->texts && !(s->texts = malloc(((size_t)r->count + 1) * sizeof *s->texts))) {
        record_fail("%s: out of memory", r->path);
        return NULL;
    }
    for (int64_t i = 0; i < r->count; i++)
        s->texts[i] = record_status_name[((const int64_t *)s->values)[i]];
    return s->texts;
}

const char *const *record_texts(struct record_reader *r, const char *column) {
    if (!strcmp(column, "status"))
        return status_texts(r);
    struct series *s = find_column(r, column, RECORD_TEXT);
    return s && series_load(r, "cases", s, r->count) ? s->texts : NULL;
}

bool record_unfinished(struct record_reader *r, int64_t index) {
    const char *const *status = record_texts(r, "status"), *const *reason = record_texts(r, "reason");
    return status && reason && index >= 0 && index < r->count &&
           !strcmp(status[index], record_status_name[RECORD_FAILED]) &&
           !strncmp(reason[index], RECORD_UNFINISHED, strlen(RECORD_UNFINISHED));
}

static const char *text_or_empty(const char *text) {
    return text ? text : "";
}

int record_column_count(struct record_reader *r) {
    return r->column.count;
}

bool record_column(struct record_reader *r, int index, struct record_column *out) {
    if (index < 0 || index >= r->column.count)
        return record_fail("%s: cases: no column %d", r->path, index);
    const struct series *s = &r->column.item[index];
    *out = (struct record_column){s->name, text_or_empty(s->unit), text_or_empty(s->long_name), s->type};
    return true;
}

static bool describe(const struct record_reader *r, const struct series_list *list, const char *what, int index,
                     struct record_curve *out) {
    if (index < 0 || index >= list->count)
        return record_fail("%s: %s: no dataset %d", r->path, what, index);
    const struct series *s = &list->item[index];
    *out = (struct record_curve){s->name, text_or_empty(s->unit), text_or_empty(s->long_name)};
    return true;
}

int record_curve_count(struct record_reader *r) {
    return r->curve.count;
}

bool record_curve(struct record_reader *r, int index, struct record_curve *out) {
    return describe(r, &r->curve, "curves", index, out);
}

int record_summary_count(struct record_reader *r) {
    return r->summary.count;
}

bool record_summary_info(struct record_reader *r, int index, struct record_curve *out) {
    return describe(r, &r->summary, "summary", index, out);
}

static const double *scalar(struct record_reader *r, struct series_list *list, hid_t group, const char *group_name,
                            const char *name) {
    struct series *s = find(r, list, group, group_name, name, 1, RECORD_REAL);
    return s && series_load(r, group_name, s, r->count) ? s->values : NULL;
}

const double *record_summary(struct record_reader *r, const char *name) {
    return scalar(r, &r->summary, r->summaries, "summary", name);
}

int record_timing_count(struct record_reader *r) {
    return r->timing_scalar.count;
}

bool record_timing_info(struct record_reader *r, int index, struct record_curve *out) {
    return describe(r, &r->timing_scalar, "timing", index, out);
}

const double *record_timing_value(struct record_reader *r, const char *name) {
    return scalar(r, &r->timing_scalar, r->timing_group, "timing", name);
}

int record_accuracy_count(struct record_reader *r) {
    return r->accuracy.count;
}

bool record_accuracy_info(struct record_reader *r, int index, struct record_curve *out) {
    return describe(r, &r->accuracy, "accuracy", index, out);
}

const double *record_accuracy(struct record_reader *r, const char *name) {
    return scalar(r, &r->accuracy, r->accuracy_group, "accuracy", name);
}

static bool check_index(const struct record_reader *r, int64_t index) {
    return (index >= 0 && index < r->count) || record_fail("%s: no case %lld", r->path, (long long)index);
}

static int64_t layers_of(const struct record_reader *r, int64_t index) {
    return ((const int64_t *)r->own[OWN_LAYERS].values)[index];
}

static bool was_computed(const struct record_reader *r, const struct series *s, int64_t index) {
    return s->flag < 0 || r->computed[index * r->flags + s->flag];
}

bool record_curve_computed(struct record_reader *r, const char *curve, int64_t index) {
    const struct series *s = find(r, &r->curve, r->curves, "curves", curve, 2, RECORD_REAL);
    return s && check_index(r, index) && was_computed(r, s, index);
}

const double *record_curve_of(struct record_reader *r, const char *curve, int64_t index) {
    struct series *s = find(r, &r->curve, r->curves, "curves", curve, 2, RECORD_REAL);
    if (!s || !check_index(r, index))
        return NULL;
    if (!s->rows && !(s->rows = calloc((size_t)r->count, sizeof *s->rows))) {
        record_fail("%s: out of memory", r->path);
        return NULL;
    }
    if (s->rows[index])
        return s->rows[index];
    const int64_t layers = layers_of(r, index);
    double *row = malloc(((size_t)layers + 1) * sizeof *row);
    const hsize_t start[] = {(hsize_t)index, 0}, count[] = {1, (hsize_t)layers};
    bool good = row || record_fail("%s: out of memory", r->path);
    for (int64_t l = 0; good && l < layers; l++)
        row[l] = NAN;
    if (good && layers > 0 && was_computed(r, s, index))
        good = series_read_block(r, "curves", s, 2, start, count, H5T_NATIVE_DOUBLE, row);
    if (good)
        return s->rows[index] = row;
    free(row);
    return NULL;
}

int64_t record_max_layers(const struct record_reader *r) {
    return r->max_layers;
}

int64_t record_max_streams(const struct record_reader *r) {
    return r->panel_width;
}

/* n of what is recorded for a case in panels or spectra, checked against the width of the data. */
static int64_t recorded_streams(struct record_reader *r, const char *group_name, struct series *s, int64_t width,
                                int64_t index) {
    if (s->dataset < 0 || !check_index(r, index) || !series_load(r, group_name, s, r->count))
        return 0;
    const int64_t n = ((const int64_t *)s->values)[index];
    if (n >= 0 && n <= width)
        return n;
    record_fail("%s: %s/streams: case %lld has %lld", r->path, group_name, (long long)index, (long long)n);
    return 0;
}

int64_t record_panel_streams(struct record_reader *r, int64_t index) {
    return recorded_streams(r, "panels", &r->panel_streams, r->panel_width, index);
}

bool record_panels(struct record_reader *r, int64_t index, int64_t n, double *panel, double scale[6]) {
    if (n < 1 || record_panel_streams(r, index) != n)
        return record_fail("%s: panels: none of %lld streams for case %lld", r->path, (long long)n, (long long)index);
    const hsize_t start[4] = {(hsize_t)index}, count[] = {1, RECORD_PANELS, (hsize_t)n, (hsize_t)n};
    return series_read_block(r, "panels", &r->panel, 4, start, count, H5T_NATIVE_DOUBLE, panel) &&
           series_read_block(r, "panels", &r->panel_scale, 2, start, count, H5T_NATIVE_DOUBLE, scale);
}

int64_t record_spectrum_streams(struct record_reader *r, int64_t index) {
    return recorded_streams(r, "spectra", &r->spectrum_streams, r->spectrum_width, index);
}

bool record_spectrum(struct record_reader *r, int64_t index, int64_t n, double *out) {
    if (n < 1 || record_spectrum_streams(r, index) != n || layers_of(r, index) > r->spectrum.width)
        return record_fail("%s: spectra: none of %lld streams for case %lld", r->path, (long long)n, (long long)index);
    const hsize_t start[3] = {(hsize_t)index}, count[] = {1, (hsize_t)layers_of(r, index), (hsize_t)n};
    return !count[1] || series_read_block(r, "spectra", &r->spectrum, 3, start, count, H5T_NATIVE_DOUBLE, out);
}
