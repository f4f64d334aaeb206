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

const char *record_fact_called(struct record_reader *r, const char *wanted) {
    const char *name, *value;
    for (int k = 0; k < record_fact_count(r); k++)
        if (record_fact(r, k, &name, &value) && !strcmp(name, wanted))
            return value;
    return NULL;
}

/* The series of that name and type; NULL, and why: absent, ignored when the file was opened, or of another type. */
static struct series *find(struct record_reader *r, enum record_list which, const char *name, enum record_type type) {
    const struct list_info *info = &list_info[which];
    const char *group = group_info[info->group].name;
    struct series_list *list = &r->list[which];
    for (int k = 0; k < list->count; k++) {
        const int i = (list->last + k) % list->count;
        if (strcmp(list->item[i].name, name))
            continue;
        list->last = i;
        if (list->item[i].type == type)
            return &list->item[i];
        record_fail("%s: %s/%s: wrong type", r->path, group, name);
        return NULL;
    }
    hsize_t extent[4];
    struct series ignored;
    if (series_open(r, r->group[info->group], group, name, info->axis == AXIS_NONE ? 1 : 2, r->rows, extent,
                    &ignored) == VERDICT_GOOD) {
        series_close(&ignored);
        record_fail("%s: %s/%s: wrong type", r->path, group, name);
    }
    return NULL;
}

struct series *reader_column(struct record_reader *r, const char *name, enum record_type type) {
    for (int i = OWN_KEY; i <= OWN_LAYERS; i++)
        if (i != OWN_STATUS && !strcmp(dataset_info[i].name, name) && r->fixed[i].type == type)
            return &r->fixed[i];
    return find(r, RECORD_LIST_COLUMNS, name, type);
}

struct series *reader_scalar(struct record_reader *r, enum record_list list, const char *name) {
    return find(r, list, name, RECORD_REAL);
}

/* A column of the parameters or of every record, loaded. */
static struct series *column(struct record_reader *r, const char *name, enum record_type type) {
    struct series *found = reader_column(r, name, type);
    return found && series_load_cases(r, group_info[IN_CASES].name, found) ? found : NULL;
}

const int64_t *record_ints(struct record_reader *r, const char *name) {
    struct series *s = column(r, name, RECORD_INT);
    return s ? s->values : NULL;
}

const double *record_reals(struct record_reader *r, const char *name) {
    struct series *s = column(r, name, RECORD_REAL);
    return s ? s->values : NULL;
}

static const char *const *status_texts(struct record_reader *r) {
    struct series *s = &r->fixed[OWN_STATUS];
    if (s->texts)
        return s->texts;
    if (!(s->texts = malloc(((size_t)r->count + 1) * sizeof *s->texts))) {
        record_fail("%s: out of memory", r->path);
        return NULL;
    }
    for (int64_t i = 0; i < r->count; i++)
        s->texts[i] = record_status_name[((const int64_t *)s->values)[i]];
    return s->texts;
}

const char *const *record_texts(struct record_reader *r, const char *name) {
    if (!strcmp(name, "status"))
        return status_texts(r);
    struct series *s = column(r, name, RECORD_TEXT);
    return s ? s->texts : NULL;
}

bool record_unfinished(struct record_reader *r, int64_t index) {
    const char *const *status = record_texts(r, "status"), *const *reason = record_texts(r, "reason");
    return status && reason && index >= 0 && index < r->count &&
           !strcmp(status[index], record_status_name[RECORD_FAILED]) &&
           !strncmp(reason[index], RECORD_UNFINISHED, strlen(RECORD_UNFINISHED));
}

bool record_cut_off(struct record_reader *r, int64_t index) {
    if (!record_unfinished(r, index))
        return false;
    const char *missing = record_texts(r, "reason")[index] + strlen(RECORD_UNFINISHED);
    return missing[strcspn(missing, ":;")] != ':';
}

static const char *text_or_empty(const char *text) {
    return text ? text : "";
}

int record_list_count(const struct record_reader *r, enum record_list list) {
    return r->list[list].count;
}

bool record_list_item(const struct record_reader *r, enum record_list list, int index, struct record_column *out) {
    if (index < 0 || index >= r->list[list].count)
        return record_fail("%s: %s: no dataset %d", r->path, group_info[list_info[list].group].name, index);
    const struct series *s = &r->list[list].item[index];
    *out = (struct record_column){s->name, text_or_empty(s->unit), text_or_empty(s->long_name), s->type};
    return true;
}

const double *record_list_values(struct record_reader *r, enum record_list list, const char *name) {
    struct series *s = find(r, list, name, RECORD_REAL);
    return s && series_load_cases(r, group_info[list_info[list].group].name, s) ? s->values : NULL;
}

int record_text_bytes(const struct record_reader *r, int column) {
    const struct series_list *list = &r->list[RECORD_LIST_COLUMNS];
    const struct series *s = column < 0 ? &r->fixed[OWN_KEY] : column < list->count ? &list->item[column] : NULL;
    if (!s || s->type != RECORD_TEXT || s->dataset < 0)
        return 0;
    hid_t type = H5Dget_type(s->dataset);
    const size_t bytes = H5Tget_size(type);
    H5Tclose(type);
    const size_t most = column < 0 ? RECORD_KEY_BYTES : RECORD_TEXT_BYTES;
    return (int)(bytes < most ? bytes : most);
}

static bool check_index(const struct record_reader *r, int64_t index) {
    return (index >= 0 && index < r->count) || record_fail("%s: no case %lld", r->path, (long long)index);
}

static int64_t layers_of(const struct record_reader *r, int64_t index) {
    return ((const int64_t *)r->fixed[OWN_LAYERS].values)[index];
}

static bool was_computed(const struct record_reader *r, const struct series *s, int64_t index) {
    return s->flag < 0 || r->computed[index * r->flags + s->flag];
}

bool record_curve_computed(struct record_reader *r, const char *curve, int64_t index) {
    const struct series *s = find(r, RECORD_LIST_CURVES, curve, RECORD_REAL);
    return s && check_index(r, index) && was_computed(r, s, index);
}

/* Cases that are read at once of a curve: together the curves keep at most this many bytes, or a case each. Of a file
 * that may be being written, one: rows between those that count are not touched. */
static const int64_t WINDOW_BYTES = 32 << 20;

static int64_t window_of(const struct record_reader *r, const struct series *s, int64_t index) {
    const int64_t fit = WINDOW_BYTES / 8 / r->list[RECORD_LIST_CURVES].count / (s->width ? s->width : 1);
    const int64_t left = r->count - index, most = fit < 1 || !record_complete(r) ? 1 : fit;
    return left < most ? left : most;
}

static bool read_window(struct record_reader *r, struct series *s, int64_t index) {
    const int64_t count = window_of(r, s, index);
    series_forget(s);
    s->window = malloc(((size_t)(count * s->width) + 1) * sizeof *s->window);
    if (!s->window)
        return record_fail("%s: out of memory", r->path);
    const bool asked = count > 1 || was_computed(r, s, index);
    if (asked && s->width > 0 &&
        !series_read_cases(r, "curves", s, index, count, s->width, H5T_NATIVE_DOUBLE, s->window))
        return false;
    for (int64_t i = 0; i < count; i++)
        for (int64_t l = 0; l < s->width && !was_computed(r, s, index + i); l++)
            s->window[i * s->width + l] = NAN;
    s->window_first = index;
    s->window_count = count;
    return true;
}

const double *record_curve_of(struct record_reader *r, const char *curve, int64_t index) {
    struct series *s = find(r, RECORD_LIST_CURVES, curve, RECORD_REAL);
    if (!s || !check_index(r, index))
        return NULL;
    const bool there = index >= s->window_first && index < s->window_first + s->window_count;
    return there || read_window(r, s, index) ? s->window + (index - s->window_first) * s->width : NULL;
}

int64_t record_max_layers(const struct record_reader *r) {
    return r->length[IN_CURVES][AXIS_LAYER];
}

int64_t record_max_streams(const struct record_reader *r) {
    return r->length[IN_PANELS][AXIS_SOURCE];
}

int64_t record_max_rounds(const struct record_reader *r) {
    return r->length[IN_TIMING][AXIS_ROUND];
}

/* --- what the table of datasets says --- */

int64_t reader_counted(struct record_reader *r, enum layout_group g, int64_t index) {
    const struct group_info *info = &group_info[g];
    struct series *s = info->counter == DATASETS ? NULL : &r->fixed[info->counter];
    if (!s || s->dataset < 0 || !check_index(r, index) || !series_load_cases(r, info->name, s))
        return 0;
    const int64_t count = ((const int64_t *)s->values)[index];
    if (count >= 0 && count <= r->length[g][info->counted])
        return count;
    record_fail("%s: %s/%s: case %lld has %lld", r->path, info->name, s->name, (long long)index, (long long)count);
    return 0;
}

/* What a case has of an array; its number of elements. */
static size_t block_of(struct record_reader *r, const struct dataset_info *d, int64_t index, hsize_t count[4]) {
    size_t elements = count[0] = 1;
    for (int k = 1; k < dataset_rank(d); k++) {
        const enum layout_axis axis = d->axis[k - 1];
        const bool counted = axis == group_info[d->group].counted || axis == AXIS_DESTINATION || axis == AXIS_COLUMN;
        count[k] = (hsize_t)(axis == AXIS_LAYER ? layers_of(r, index)
                             : counted          ? reader_counted(r, d->group, index)
                                                : r->length[d->group][axis]);
        elements *= count[k];
    }
    return elements;
}

size_t reader_elements(struct record_reader *r, enum layout_dataset which, int64_t index) {
    hsize_t count[4];
    return block_of(r, &dataset_info[which], index, count);
}

static bool read_array(struct record_reader *r, enum layout_dataset which, int64_t index, void *out) {
    const struct dataset_info *d = &dataset_info[which];
    const hsize_t start[4] = {(hsize_t)reader_row(r, index)};
    hsize_t count[4];
    const size_t elements = block_of(r, d, index, count);
    for (int k = 1; k < dataset_rank(d); k++)
        if (d->axis[k - 1] == AXIS_LAYER && (int64_t)count[k] > r->length[d->group][AXIS_LAYER])
            return record_fail("%s: %s/%s: not so many layers", r->path, group_info[d->group].name, d->name);
    const hid_t type = d->kind == KIND_REAL  ? H5T_NATIVE_DOUBLE
                       : d->kind == KIND_INT ? H5T_NATIVE_INT64
                                             : H5T_NATIVE_INT8;
    return elements == 0 ||
           series_read_block(r, group_info[d->group].name, &r->fixed[which], dataset_rank(d), start, count, type, out);
}

bool reader_fill(struct record_reader *r, enum layout_group g, int64_t index, void *members, void **memory) {
    size_t bytes = 8, at = 0;
    hsize_t count[4];
    for (int i = 0; i < DATASETS; i++)
        if (dataset_info[i].group == g && dataset_info[i].in != PLACE_OWN)
            bytes += 8 * block_of(r, &dataset_info[i], index, count);
    free(*memory);
    if (!(*memory = malloc(bytes)))
        return record_fail("%s: out of memory", r->path);
    for (int i = 0; i < DATASETS; i++) {
        const struct dataset_info *d = &dataset_info[i];
        struct series *s = &r->fixed[i];
        void *member = (char *)members + d->offset;
        if (d->group != g || d->in == PLACE_OWN)
            continue;
        if (dataset_rank(d) > 1) {
            *(void **)member = (char *)*memory + at;
            at += 8 * block_of(r, d, index, count);
            if (!read_array(r, (enum layout_dataset)i, index, *(void **)member))
                return false;
        } else if (!series_load_cases(r, group_info[g].name, s)) {
            return false;
        } else if (kind_is_text(d->kind)) {
            *(const char **)member = s->texts[index];
        } else {
            memcpy(member, (const int64_t *)s->values + index, 8);
        }
    }
    return true;
}

int64_t record_panel_streams(struct record_reader *r, int64_t index) {
    return reader_counted(r, IN_PANELS, index);
}

bool record_panels(struct record_reader *r, int64_t index, int64_t n, double *panel, double scale[6]) {
    if (n < 1 || record_panel_streams(r, index) != n)
        return record_fail("%s: panels: none of %lld streams for case %lld", r->path, (long long)n, (long long)index);
    return read_array(r, PANEL_COMPOSITE, index, panel) && read_array(r, PANEL_LOG10_SCALE, index, scale);
}

int64_t record_spectrum_streams(struct record_reader *r, int64_t index) {
    return reader_counted(r, IN_SPECTRA, index);
}

bool record_spectrum(struct record_reader *r, int64_t index, int64_t n, double *out) {
    if (n < 1 || record_spectrum_streams(r, index) != n)
        return record_fail("%s: spectra: none of %lld streams for case %lld", r->path, (long long)n, (long long)index);
    return read_array(r, SPECTRUM_QR, index, out);
}

int64_t record_max_mixing_rows(const struct record_reader *r) {
    return r->length[IN_MIXING][AXIS_ROW];
}

int64_t record_mixing_rows(struct record_reader *r, int64_t index) {
    return reader_counted(r, IN_MIXING, index);
}

bool record_mixing(struct record_reader *r, int64_t index, int64_t rows, double *out, int64_t *stride) {
    struct series *s = &r->fixed[MIXING_STRIDE];
    if (rows < 1 || record_mixing_rows(r, index) != rows)
        return record_fail("%s: mixing: none of %lld rows for case %lld", r->path, (long long)rows, (long long)index);
    if (s->dataset < 0 || !series_load_cases(r, group_info[IN_MIXING].name, s))
        return record_fail("%s: mixing/stride: missing", r->path);
    *stride = ((const int64_t *)s->values)[index];
    return read_array(r, MIXING_MATRIX, index, out);
}

int record_subject_count(const struct record_reader *r) {
    return (int)r->length[IN_TIMING][AXIS_SUBJECT];
}

const char *record_subject(const struct record_reader *r, int index) {
    return index >= 0 && index < record_subject_count(r) ? r->names[AXIS_SUBJECT].texts[index] : NULL;
}

int record_subject_called(const struct record_reader *r, const char *name) {
    for (int s = 0; s < record_subject_count(r); s++)
        if (!strcmp(record_subject(r, s), name))
            return s;
    return -1;
}

int64_t record_rounds(struct record_reader *r, int64_t index) {
    return reader_counted(r, IN_TIMING, index);
}

bool record_timing(struct record_reader *r, int64_t index, struct record_timing *out) {
    if (record_rounds(r, index) == 0)
        return record_fail("%s: timing: no samples of case %lld", r->path, (long long)index);
    return reader_fill(r, IN_TIMING, index, out, &r->timing);
}

int record_metric_count(const struct record_reader *r) {
    return (int)r->length[IN_TRAINING][AXIS_METRIC];
}

const char *record_metric(const struct record_reader *r, int index) {
    return index >= 0 && index < record_metric_count(r) ? r->names[AXIS_METRIC].texts[index] : NULL;
}

int record_metric_called(const struct record_reader *r, const char *name) {
    for (int m = 0; m < record_metric_count(r); m++)
        if (!strcmp(record_metric(r, m), name))
            return m;
    return -1;
}

int64_t record_max_points(const struct record_reader *r) {
    return r->length[IN_TRAINING][AXIS_POINT];
}

int64_t record_points(struct record_reader *r, int64_t index) {
    return reader_counted(r, IN_TRAINING, index);
}

bool record_training(struct record_reader *r, int64_t index, struct record_training *out) {
    if (record_points(r, index) == 0)
        return record_fail("%s: training: no points of case %lld", r->path, (long long)index);
    return reader_fill(r, IN_TRAINING, index, out, &r->training);
}
