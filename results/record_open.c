/* Opening a record: everything that can be wrong with its structure is found here, before a number of it is used. */
#include "results/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "results/place.h"
#include "results/text.h"

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
    const int refused = r->file < 0 ? place_hdf5_refused(path) : 0;
    if (refused)
        return record_fail("%s: HDF5_USE_FILE_LOCKING=%s, and HDF5 gets no lock on it (%s); FALSE reads without", path,
                           getenv("HDF5_USE_FILE_LOCKING"), strerror(refused));
    return r->file >= 0 || record_fail_hdf5("%s: truncated or damaged", path);
}

enum record_holding record_holding(const char *path) {
    return place_locked(path) ? RECORD_HELD : errno ? RECORD_NO_LOCKS : RECORD_FREE;
}

static bool check_schema(struct record_reader *r) {
    if (!reader_facts(r, r->file, "attributes", &r->attribute, &r->attribute_count))
        return false;
    const char *schema = record_attribute(r, "schema");
    if (!schema)
        return record_fail("%s: no record of mhcbench: it has no attribute schema", r->path);
    if (strncmp(schema, RECORD_SCHEMA_FAMILY, strlen(RECORD_SCHEMA_FAMILY)))
        return record_fail("%s: schema %.60s: this program reads %sx", r->path, schema, RECORD_SCHEMA_FAMILY);
    return record_attribute(r, "status") || record_fail("%s: no attribute status", r->path);
}

/* Where some rows do not count: the row of every case, and the statuses of those alone. */
static bool leave_out_missing(struct record_reader *r, int64_t *status) {
    r->row = malloc((size_t)r->count * sizeof *r->row);
    if (!r->row)
        return record_fail("%s: out of memory", r->path);
    int64_t found = 0;
    for (int64_t i = 0; i < r->rows; i++)
        if (status[i] != RECORD_MISSING) {
            status[found] = status[i];
            r->row[found++] = i;
        }
    return true;
}

/* The cases are the rows that have a status. A writer that is not done leaves others, also between them, for it writes
 * what is done first. */
static bool count_cases(struct record_reader *r) {
    struct series *s = &r->fixed[OWN_STATUS];
    hsize_t rows;
    if (series_open(r, r->group[IN_CASES], "cases", "status", 1, 0, &rows, s) != VERDICT_GOOD)
        return false;
    if (!s->is_status)
        return record_fail("%s: cases/status: wrong type", r->path);
    if (rows > (hsize_t)r->file_bytes) /* a case takes more than a byte */
        return record_fail("%s: cases/status: %llu cases in %lld bytes", r->path, (unsigned long long)rows,
                           (long long)r->file_bytes);
    if (!series_load(r, "cases", s, (int64_t)rows))
        return false;
    int64_t *status = s->values, missing = -1;
    for (int64_t i = 0; i < (int64_t)rows; i++) {
        if (status[i] == RECORD_MISSING)
            continue;
        missing = missing < 0 && r->rows < i ? r->rows : missing;
        r->rows = i + 1;
        r->count++;
    }
    if (missing >= 0 && record_complete(r))
        return record_fail("%s: cases/status: case %lld is missing before the last", r->path, (long long)missing);
    return missing < 0 || leave_out_missing(r, status);
}

/* The lengths of a group's dimensions, by their scales; the names of the curves wait for open_computed(). */
static bool open_scales(struct record_reader *r, enum layout_group g) {
    for (int k = 0; k < GROUP_SCALES; k++) {
        const enum layout_axis axis = group_info[g].scales[k];
        const struct axis_info *info = &axis_info[axis];
        struct series scale;
        hsize_t length;
        if (axis == AXIS_NONE || axis == AXIS_CURVE)
            continue;
        if (series_open(r, r->group[g], group_info[g].name, info->name, 1, 0, &length, &scale) != VERDICT_GOOD)
            return false;
        bool good = ((scale.type == RECORD_TEXT) == info->named && (int64_t)length >= info->least &&
                     (int64_t)length <= info->most) ||
                    record_fail("%s: %s/%s: wrong type or extent", r->path, group_info[g].name, info->name);
        r->length[g][axis] = (int64_t)length;
        if (good && info->named && (good = series_load(r, group_info[g].name, &scale, (int64_t)length)))
            r->names[axis] = scale;
        else
            series_close(&scale);
        if (!good)
            return false;
    }
    return true;
}

static bool open_fixed(struct record_reader *r, enum layout_dataset which) {
    static const enum record_type type[KINDS] = {
        [KIND_INT] = RECORD_INT,  [KIND_REAL] = RECORD_REAL,   [KIND_TEXT] = RECORD_TEXT,
        [KIND_KEY] = RECORD_TEXT, [KIND_REASON] = RECORD_TEXT, [KIND_FLAG] = RECORD_INT};
    const struct dataset_info *d = &dataset_info[which];
    const char *group = group_info[d->group].name;
    struct series *s = &r->fixed[which];
    hsize_t extent[4];
    const int rank = dataset_rank(d);
    if (series_open(r, r->group[d->group], group, d->name, rank, r->rows, extent, s) != VERDICT_GOOD)
        return false;
    if (s->type != type[d->kind] || s->is_status)
        return record_fail("%s: %s/%s: wrong type", r->path, group, d->name);
    for (int k = 1; k < rank; k++)
        if ((int64_t)extent[k] != r->length[d->group][d->axis[k - 1]])
            return record_fail("%s: %s/%s: the extents do not fit together", r->path, group, d->name);
    return true;
}

static bool open_datasets(struct record_reader *r) {
    for (int g = 0; g < GROUPS; g++)
        if (r->group[g] >= 0 && !open_scales(r, (enum layout_group)g))
            return false;
    for (int i = 0; i < DATASETS; i++)
        if (r->group[dataset_info[i].group] >= 0 && dataset_info[i].in != PLACE_OWN &&
            !open_fixed(r, (enum layout_dataset)i))
            return false;
    for (int list = 0; list < RECORD_LISTS; list++)
        if (!reader_list(r, (enum record_list)list))
            return false;
    return true;
}

/* Layers of a case index into the curves, so they are checked against the narrowest. */
static bool check_layers(struct record_reader *r) {
    if (!series_load_cases(r, "cases", &r->fixed[OWN_LAYERS]))
        return false;
    const int64_t *layers = r->fixed[OWN_LAYERS].values;
    const struct series_list *curve = &r->list[RECORD_LIST_CURVES];
    for (int64_t i = 0; i < r->count; i++)
        if (layers[i] < 0 || layers[i] > RECORD_MAX_LAYERS)
            return record_fail("%s: cases/layers: case %lld has %lld layers", r->path, (long long)i,
                               (long long)layers[i]);
    for (int k = 0; k < curve->count; k++)
        for (int64_t i = 0; i < r->count; i++)
            if (layers[i] > curve->item[k].width)
                return record_fail("%s: curves/%s: %lld layers wide, case %lld has %lld", r->path, curve->item[k].name,
                                   (long long)curve->item[k].width, (long long)i, (long long)layers[i]);
    return true;
}

/* Which curves were computed for which case. A file that does not say has computed what it has. */
static bool open_computed(struct record_reader *r) {
    const hid_t curves = r->group[IN_CURVES];
    struct series_list *curve = &r->list[RECORD_LIST_CURVES];
    struct series flag, name;
    hsize_t extent[2], names;
    for (int i = 0; i < curve->count; i++)
        curve->item[i].flag = -1;
    if (curves < 0 || H5Lexists(curves, "computed", H5P_DEFAULT) <= 0)
        return true;
    if (series_open(r, curves, "curves", "computed", 2, r->rows, extent, &flag) != VERDICT_GOOD)
        return false;
    bool good = series_open(r, curves, "curves", "curve", 1, 0, &names, &name) == VERDICT_GOOD;
    if (good && (flag.type != RECORD_INT || flag.is_status || name.type != RECORD_TEXT || names != extent[1] ||
                 names > RECORD_MOST_ITEMS))
        good = record_fail("%s: curves/computed, curves/curve: wrong type or extent", r->path);
    good = good && series_load(r, "curves", &name, (int64_t)names);
    if (good && !(r->computed = malloc((size_t)r->count * names + 1)))
        good = record_fail("%s: out of memory", r->path);
    if (good && r->count > 0)
        good = series_read_cases(r, "curves", &flag, 0, r->count, (int64_t)names, H5T_NATIVE_INT8, r->computed);
    for (int i = 0; good && i < curve->count; i++)
        for (hsize_t k = 0; k < names; k++)
            if (!strcmp(curve->item[i].name, name.texts[k]))
                curve->item[i].flag = (int64_t)k;
    r->flags = good ? (int64_t)names : 0;
    series_close(&name);
    series_close(&flag);
    return good;
}

static bool open_groups(struct record_reader *r) {
    for (int g = 0; g < GROUPS; g++)
        if ((g == IN_CASES || H5Lexists(r->file, group_info[g].name, H5P_DEFAULT) > 0) &&
            (r->group[g] = open_group(r, group_info[g].name)) < 0)
            return false;
    if (H5Lexists(r->file, "env", H5P_DEFAULT) <= 0)
        return true;
    hid_t environment = open_group(r, "env");
    const bool good = environment >= 0 && reader_facts(r, environment, "env", &r->fact, &r->fact_count);
    H5Oclose(environment);
    return good;
}

static char *reading;
static size_t reading_size;

void record_tell_reading(char *place, size_t size) {
    reading = place;
    reading_size = size;
}

void reader_begins(const char *path) {
    if (reading)
        snprintf(reading, reading_size, "%s", path);
}

static struct record_reader *open_record(const char *path, bool raw) {
    reader_begins(path);
    record_quiet_hdf5();
    struct record_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->path = copy_or_empty(path))) {
        free(r);
        record_fail("%s: out of memory", path);
        return NULL;
    }
    r->raw = raw;
    r->file = -1;
    for (int axis = 0; axis < AXES; axis++)
        r->names[axis].dataset = -1;
    for (int g = 0; g < GROUPS; g++)
        r->group[g] = -1;
    for (int i = 0; i < DATASETS; i++)
        r->fixed[i].dataset = -1;
    if (open_file(r, path) && check_schema(r) && open_groups(r) && count_cases(r) && open_datasets(r) &&
        check_layers(r) && open_computed(r))
        return r;
    record_close(r);
    return NULL;
}

struct record_reader *record_open(const char *path) {
    return open_record(path, false);
}

struct record_reader *record_open_raw(const char *path) {
    return open_record(path, true);
}

void record_close(struct record_reader *r) {
    if (!r)
        return;
    for (int i = 0; i < DATASETS; i++)
        series_close(&r->fixed[i]);
    reader_free_lists(r);
    for (int axis = 0; axis < AXES; axis++)
        series_close(&r->names[axis]);
    for (int g = 0; g < GROUPS; g++)
        if (r->group[g] >= 0)
            H5Oclose(r->group[g]);
    if (r->file >= 0)
        H5Fclose(r->file);
    free(r->row);
    free(r->number);
    free(r->computed);
    free(r->timing);
    free(r->training);
    free(r->path);
    free(r);
}
