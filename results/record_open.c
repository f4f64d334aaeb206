/* Opening a record: everything that can be wrong with its structure is found here, before a number of it is used. */
#include "results/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_ITEMS = 8192 }; /* datasets of a group, facts */

static char *copy_or_empty(const char *text) {
    return strdup(text ? text : "");
}

/* A group of this file; -1 and the error line when there is none or the name leads elsewhere. */
static hid_t open_group(const struct record_reader *r, const char *name) {
    H5L_info_t link;
    if (H5Lexists(r->file, name, H5P_DEFAULT) <= 0) {
        record_fail("%s: %s: absent", r->path, name);
        return -1;
    }
    if (H5Lget_info(r->file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
        record_fail("%s: %s: a link, not a group", r->path, name);
        return -1;
    }
    hid_t group = H5Oopen(r->file, name, H5P_DEFAULT);
    if (group < 0) {
        record_fail("%s: %s: damaged", r->path, name);
    } else if (H5Iget_type(group) != H5I_GROUP) {
        H5Oclose(group);
        group = -1;
        record_fail("%s: %s: no group", r->path, name);
    }
    return group;
}

struct names {
    char **item;
    int count;
};

static bool add_name(struct names *names, const char *name) {
    if (names->count == MOST_ITEMS)
        return false;
    if (!names->item && !(names->item = malloc(MOST_ITEMS * sizeof *names->item)))
        return false;
    if (!(names->item[names->count] = strdup(name)))
        return false;
    names->count++;
    return true;
}

static herr_t add_link(hid_t group, const char *name, const H5L_info_t *info, void *names) {
    (void)group, (void)info;
    return add_name(names, name) ? 0 : -1;
}

static herr_t add_attribute(hid_t object, const char *name, const H5A_info_t *info, void *names) {
    (void)object, (void)info;
    return add_name(names, name) ? 0 : -1;
}

static void free_names(struct names *names) {
    for (int i = 0; i < names->count; i++)
        free(names->item[i]);
    free(names->item);
    *names = (struct names){0};
}

/* Names of links or attributes in the order they were created in, or, where a tool dropped that order, alphabetically.
 */
static bool list_names(const struct record_reader *r, hid_t object, const char *what, bool attributes,
                       struct names *names) {
    for (int pass = 0; pass < 2; pass++) {
        const H5_index_t index = pass ? H5_INDEX_NAME : H5_INDEX_CRT_ORDER;
        free_names(names);
        const herr_t status = attributes ? H5Aiterate2(object, index, H5_ITER_INC, NULL, add_attribute, names)
                                         : H5Literate(object, index, H5_ITER_INC, NULL, add_link, names);
        if (status >= 0)
            return true;
    }
    free_names(names);
    return record_fail("%s: %s: damaged, or more than %d items", r->path, what, MOST_ITEMS);
}

/* Text attributes of an object; others are ignored. */
static bool read_facts(struct record_reader *r, hid_t object, const char *what, struct fact **facts, int *count) {
    struct names names = {0};
    if (!list_names(r, object, what, true, &names))
        return false;
    *facts = calloc((size_t)names.count + 1, sizeof **facts);
    for (int i = 0; *facts && i < names.count; i++) {
        char *value = read_text_attribute(object, names.item[i], r->file_bytes);
        if (!value)
            continue;
        (*facts)[(*count)++] = (struct fact){names.item[i], value};
        names.item[i] = NULL;
    }
    free_names(&names);
    return *facts || record_fail("%s: out of memory", r->path);
}

/* Every dataset [case] or [case, layer] of a group that has the right kind of elements. */
static bool list_series(struct record_reader *r, hid_t group, const char *what, int rank, struct series_list *list) {
    struct names names = {0};
    if (group < 0)
        return true;
    if (!list_names(r, group, what, false, &names))
        return false;
    list->item = calloc((size_t)names.count + 1, sizeof *list->item);
    bool good = list->item || record_fail("%s: out of memory", r->path);
    for (int i = 0; good && i < names.count; i++) {
        hsize_t extent[4];
        struct series *s = &list->item[list->count];
        if (record_is_own_column(names.item[i]) ||
            (group == r->timing_group && (!strcmp(names.item[i], "subject") || !strcmp(names.item[i], "round"))))
            continue; /* the scales of samples are no scalars of cases */
        const enum verdict verdict = series_open(r, group, what, names.item[i], rank, r->count, extent, s);
        good = verdict != VERDICT_BAD;
        if (verdict != VERDICT_GOOD)
            continue;
        if (s->is_status || (group != r->cases && s->type != RECORD_REAL))
            series_close(s, 0);
        else
            list->count++;
    }
    free_names(&names);
    return good;
}

static bool open_file(struct record_reader *r, const char *path) {
    struct stat status;
    if (stat(path, &status))
        return record_fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return record_fail("%s: no regular file", path);
    r->file_bytes = status.st_size;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_sec2(access);
    H5Pset_file_locking(access, false, true); /* a running record may be looked at */
    const htri_t is_hdf5 = H5Fis_hdf5(path);
    r->file = is_hdf5 > 0 ? H5Fopen(path, H5F_ACC_RDONLY, access) : -1;
    if (is_hdf5 > 0 && r->file < 0) { /* and by its own writer, where HDF5 wants the same answer twice */
        H5Pset_file_locking(access, true, true);
        r->file = H5Fopen(path, H5F_ACC_RDONLY, access);
    }
    H5Pclose(access);
    if (is_hdf5 == 0)
        return record_fail("%s: no HDF5 file", path);
    return r->file >= 0 || record_fail_hdf5("%s: truncated or damaged", path);
}

static bool check_schema(struct record_reader *r) {
    if (!read_facts(r, r->file, "attributes", &r->attribute, &r->attribute_count))
        return false;
    const char *schema = record_attribute(r, "schema");
    if (!schema)
        return record_fail("%s: no record of mhcbench: it has no attribute schema", r->path);
    if (strncmp(schema, RECORD_SCHEMA_FAMILY, strlen(RECORD_SCHEMA_FAMILY)))
        return record_fail("%s: schema %.60s: this program reads %sx", r->path, schema, RECORD_SCHEMA_FAMILY);
    return record_attribute(r, "status") || record_fail("%s: no attribute status", r->path);
}

/* The cases are the rows before the first without a status; a killed writer leaves some of those at the end. */
static bool count_cases(struct record_reader *r) {
    struct series *s = &r->own[OWN_STATUS];
    hsize_t rows;
    if (series_open(r, r->cases, "cases", "status", 1, 0, &rows, s) != VERDICT_GOOD)
        return false;
    if (!s->is_status)
        return record_fail("%s: cases/status: wrong type", r->path);
    if (rows > (hsize_t)r->file_bytes) /* whoever wrote a case spent more than a byte on it */
        return record_fail("%s: cases/status: %llu cases in %lld bytes", r->path, (unsigned long long)rows,
                           (long long)r->file_bytes);
    if (!series_load(r, "cases", s, (int64_t)rows))
        return false;
    const int64_t *status = s->values;
    while (r->count < (int64_t)rows && status[r->count] != RECORD_MISSING)
        r->count++;
    for (int64_t i = r->count; i < (int64_t)rows; i++)
        if (status[i] != RECORD_MISSING)
            return record_fail("%s: cases/status: case %lld is missing before the last", r->path, (long long)r->count);
    return true;
}

static bool open_own_columns(struct record_reader *r) {
    static const enum record_type type[OWN_COLUMNS] = {
        [OWN_KEY] = RECORD_TEXT, [OWN_REASON] = RECORD_TEXT, [OWN_SECONDS] = RECORD_REAL, [OWN_LAYERS] = RECORD_INT};
    for (int i = 0; i < OWN_COLUMNS; i++) {
        hsize_t rows;
        if (i == OWN_CASE || i == OWN_STATUS)
            continue;
        if (series_open(r, r->cases, "cases", record_own_column[i], 1, r->count, &rows, &r->own[i]) != VERDICT_GOOD)
            return false;
        if (r->own[i].type != type[i] || r->own[i].is_status)
            return record_fail("%s: cases/%s: wrong type", r->path, record_own_column[i]);
    }
    return true;
}

/* Layers of a case index into the curves, so they are checked against the narrowest. */
static bool check_layers(struct record_reader *r) {
    if (!series_load(r, "cases", &r->own[OWN_LAYERS], r->count))
        return false;
    const int64_t *layers = r->own[OWN_LAYERS].values;
    for (int64_t i = 0; i < r->count; i++)
        if (layers[i] < 0 || layers[i] > RECORD_MAX_LAYERS)
            return record_fail("%s: cases/layers: case %lld has %lld layers", r->path, (long long)i,
                               (long long)layers[i]);
    for (int k = 0; k < r->curve.count; k++)
        for (int64_t i = 0; i < r->count; i++)
            if (layers[i] > r->curve.item[k].width)
                return record_fail("%s: curves/%s: %lld layers wide, case %lld has %lld", r->path,
                                   r->curve.item[k].name, (long long)r->curve.item[k].width, (long long)i,
                                   (long long)layers[i]);
    return true;
}

/* A dataset of numbers in a group that may be absent. */
static bool open_optional(struct record_reader *r, hid_t group, const char *group_name, const char *name, int rank,
                          enum record_type type, hsize_t *extent, struct series *s) {
    const enum verdict verdict = series_open(r, group, group_name, name, rank, r->count, extent, s);
    if (verdict != VERDICT_GOOD)
        return false;
    return (s->type == type && !s->is_status) || record_fail("%s: %s/%s: wrong type", r->path, group_name, name);
}

/* What has an extent of its own: the layers of the file, panels and spectra. */
static bool open_sized(struct record_reader *r) {
    hsize_t rows[4], scale[4], panel[4], spectrum[4];
    struct series layer;
    if (r->curves >= 0) {
        if (series_open(r, r->curves, "curves", "layer", 1, 0, rows, &layer) != VERDICT_GOOD)
            return false;
        series_close(&layer, 0);
        if (rows[0] > RECORD_MAX_LAYERS)
            return record_fail("%s: curves/layer: impossible extent", r->path);
        r->max_layers = (int64_t)rows[0];
    }
    if (r->panels >= 0) {
        if (!open_optional(r, r->panels, "panels", "streams", 1, RECORD_INT, rows, &r->panel_streams) ||
            !open_optional(r, r->panels, "panels", "composite", 4, RECORD_REAL, panel, &r->panel) ||
            !open_optional(r, r->panels, "panels", "log10_scale", 2, RECORD_REAL, scale, &r->panel_scale))
            return false;
        if (panel[1] != RECORD_PANELS || scale[1] != RECORD_PANELS || panel[2] != panel[3] ||
            panel[2] > RECORD_MAX_STREAMS)
            return record_fail("%s: panels: the extents do not fit together", r->path);
        r->panel_width = (int64_t)panel[2];
    }
    if (r->spectra >= 0) {
        if (!open_optional(r, r->spectra, "spectra", "streams", 1, RECORD_INT, rows, &r->spectrum_streams) ||
            !open_optional(r, r->spectra, "spectra", "composite_qr", 3, RECORD_REAL, spectrum, &r->spectrum))
            return false;
        if (spectrum[2] > RECORD_MAX_STREAMS)
            return record_fail("%s: spectra/composite_qr: impossible extent", r->path);
        r->spectrum_width = (int64_t)spectrum[2];
    }
    return true;
}

/* Which curves were computed for which case. A file that does not say has computed what it has. */
static bool open_computed(struct record_reader *r) {
    struct series flag, name;
    hsize_t extent[2], names;
    for (int i = 0; i < r->curve.count; i++)
        r->curve.item[i].flag = -1;
    if (r->curves < 0 || H5Lexists(r->curves, "computed", H5P_DEFAULT) <= 0)
        return true;
    if (series_open(r, r->curves, "curves", "computed", 2, r->count, extent, &flag) != VERDICT_GOOD)
        return false;
    bool good = series_open(r, r->curves, "curves", "curve", 1, 0, &names, &name) == VERDICT_GOOD;
    if (good && (flag.type != RECORD_INT || flag.is_status || name.type != RECORD_TEXT || names != extent[1] ||
                 names > MOST_ITEMS))
        good = record_fail("%s: curves/computed, curves/curve: wrong type or extent", r->path);
    good = good && series_load(r, "curves", &name, (int64_t)names);
    if (good && !(r->computed = malloc((size_t)r->count * names + 1)))
        good = record_fail("%s: out of memory", r->path);
    if (good && r->count > 0)
        good = series_read_block(r, "curves", &flag, 2, (hsize_t[]){0, 0}, (hsize_t[]){(hsize_t)r->count, names},
                                 H5T_NATIVE_INT8, r->computed);
    for (int i = 0; good && i < r->curve.count; i++)
        for (hsize_t k = 0; k < names; k++)
            if (!strcmp(r->curve.item[i].name, name.texts[k]))
                r->curve.item[i].flag = (int64_t)k;
    r->flags = good ? (int64_t)names : 0;
    series_close(&name, 0);
    series_close(&flag, 0);
    return good;
}

static bool open_groups(struct record_reader *r) {
    const struct {
        const char *name;
        hid_t *group;
    } optional[] = {{"curves", &r->curves},   {"summary", &r->summaries},   {"panels", &r->panels},
                    {"spectra", &r->spectra}, {"timing", &r->timing_group}, {"accuracy", &r->accuracy_group}};
    if ((r->cases = open_group(r, "cases")) < 0)
        return false;
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        if (H5Lexists(r->file, optional[i].name, H5P_DEFAULT) > 0 &&
            (*optional[i].group = open_group(r, optional[i].name)) < 0)
            return false;
    if (H5Lexists(r->file, "env", H5P_DEFAULT) <= 0)
        return true;
    hid_t environment = open_group(r, "env");
    const bool good = environment >= 0 && read_facts(r, environment, "env", &r->fact, &r->fact_count);
    H5Oclose(environment);
    return good;
}

struct record_reader *record_open(const char *path) {
    record_quiet_hdf5();
    struct record_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->path = copy_or_empty(path))) {
        free(r);
        record_fail("%s: out of memory", path);
        return NULL;
    }
    r->file = r->cases = r->curves = r->summaries = r->panels = r->spectra = r->timing_group = r->accuracy_group = -1;
    r->timing.subject.dataset = -1;
    for (int i = 0; i < TIMING_SERIES; i++)
        r->timing.series[i].dataset = -1;
    r->panel_streams.dataset = r->panel.dataset = r->panel_scale.dataset = -1;
    r->spectrum_streams.dataset = r->spectrum.dataset = -1;
    for (int i = 0; i < OWN_COLUMNS; i++)
        r->own[i].dataset = -1;
    if (open_file(r, path) && check_schema(r) && open_groups(r) && count_cases(r) && open_own_columns(r) &&
        list_series(r, r->cases, "cases", 1, &r->column) && list_series(r, r->curves, "curves", 2, &r->curve) &&
        list_series(r, r->summaries, "summary", 1, &r->summary) &&
        list_series(r, r->timing_group, "timing", 1, &r->timing_scalar) &&
        list_series(r, r->accuracy_group, "accuracy", 1, &r->accuracy) && check_layers(r) && open_computed(r) &&
        open_sized(r) && timing_open(r))
        return r;
    record_close(r);
    return NULL;
}

static void free_list(struct series_list *list, int64_t rows) {
    for (int i = 0; i < list->count; i++)
        series_close(&list->item[i], rows);
    free(list->item);
}

static void free_facts(struct fact *facts, int count) {
    for (int i = 0; i < count; i++) {
        free(facts[i].name);
        free(facts[i].value);
    }
    free(facts);
}

void record_close(struct record_reader *r) {
    if (!r)
        return;
    for (int i = 0; i < OWN_COLUMNS; i++)
        series_close(&r->own[i], 0);
    free_list(&r->column, 0);
    free_list(&r->curve, r->count);
    free_list(&r->summary, 0);
    free_list(&r->timing_scalar, 0);
    free_list(&r->accuracy, 0);
    timing_close(r);
    struct series *const single[] = {&r->panel_streams, &r->panel, &r->panel_scale, &r->spectrum_streams, &r->spectrum};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        series_close(single[i], 0);
    const hid_t groups[] = {r->cases,   r->curves,       r->summaries,     r->panels,
                            r->spectra, r->timing_group, r->accuracy_group};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (groups[i] >= 0)
            H5Oclose(groups[i]);
    if (r->file >= 0)
        H5Fclose(r->file);
    free(r->computed);
    free_facts(r->attribute, r->attribute_count);
    free_facts(r->fact, r->fact_count);
    free(r->path);
    free(r);
}
