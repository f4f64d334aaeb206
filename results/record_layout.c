/* The datasets of a new record. See SCHEMA.md for the layout and the reasons behind it. */
#include "results/writer.h"

#include <hdf5_hl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a chunk that several cases share. */
static const hsize_t LARGEST_CHUNK = 262144;
/* Of a finished file: more than this level wins 1 % of the size. */
enum { DEFLATE_LEVEL = 4 };

bool writer_create_attribute(hid_t object, const char *name, const char *value, size_t least_bytes) {
    const size_t length = strlen(value), bytes = length > least_bytes ? length : least_bytes;
    char *padded = calloc(1, bytes);
    if (!padded)
        return record_fail("out of memory");
    memcpy(padded, value, length);
    hid_t type = record_text_type(bytes), space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = attribute >= 0 && H5Awrite(attribute, type, padded) >= 0;
    if (!good)
        record_fail_hdf5("attribute %s", name);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    free(padded);
    return good;
}

static bool describe(hid_t dataset, const char *unit, const char *long_name) {
    return (!unit || !*unit || writer_create_attribute(dataset, "units", unit, 1)) &&
           (!long_name || !*long_name || writer_create_attribute(dataset, "long_name", long_name, 1));
}

/* The scales of a group. H5DSattach_scale() writes the whole list of a scale's users anew for each of them; these
 * attributes are the same, each written once. */
enum { MOST_SCALES = 1 + GROUP_SCALES, MOST_RANK = 4 };
struct user { /* as HDF5 has it in REFERENCE_LIST */
    hobj_ref_t dataset;
    unsigned dimension;
};
struct scale {
    hid_t id;
    hobj_ref_t self;
    const char *name;
    struct user *users;
    size_t count, room;
};
struct scales {
    struct scale of[MOST_SCALES];
    int count;
};

static bool add_scale(struct scales *s, hid_t id, const char *name) {
    struct scale *new = &s->of[s->count];
    *new = (struct scale){.id = id, .name = name};
    if (H5DSset_scale(id, name) < 0 || H5Rcreate(&new->self, id, ".", H5R_OBJECT, -1) < 0 || H5Iinc_ref(id) < 0)
        return false;
    s->count++;
    return true;
}

/* An attribute of as many elements; closes the type. */
static bool write_attribute(hid_t object, const char *name, hid_t type, size_t count, const void *elements) {
    const hsize_t extent = count;
    hid_t space = H5Screate_simple(1, &extent, NULL);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = attribute >= 0 && H5Awrite(attribute, type, elements) >= 0;
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    return good;
}

/* Attaches the scales of those names to a dataset's dimensions, which get their names. */
static bool attach(struct scales *s, hid_t dataset, const char *const *names, int rank) {
    hvl_t list[MOST_RANK];
    hobj_ref_t self;
    hid_t label = H5Tcopy(H5T_C_S1);
    if (H5Rcreate(&self, dataset, ".", H5R_OBJECT, -1) < 0 || H5Tset_size(label, H5T_VARIABLE) < 0)
        return false;
    for (int i = 0; i < rank; i++) {
        struct scale *of = s->of;
        while (of < s->of + s->count && strcmp(of->name, names[i]))
            of++;
        if (of == s->of + s->count)
            return false;
        if (of->count == of->room) {
            struct user *more = realloc(of->users, (of->room = 2 * of->room + 64) * sizeof *more);
            if (!more)
                return false;
            of->users = more;
        }
        memset(&of->users[of->count], 0, sizeof *of->users);
        of->users[of->count].dataset = self;
        of->users[of->count++].dimension = (unsigned)i;
        list[i] = (hvl_t){1, &of->self};
    }
    return write_attribute(dataset, "DIMENSION_LIST", H5Tvlen_create(H5T_STD_REF_OBJ), (size_t)rank, list) &&
           write_attribute(dataset, "DIMENSION_LABELS", label, (size_t)rank, names);
}

/* Writes who uses each scale, and releases them; `good`: so far. */
static bool finish_scales(struct scales *s, bool good) {
    for (int k = 0; k < s->count; k++) {
        struct scale *of = &s->of[k];
        if (good && of->count > 0) {
            hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(struct user));
            good = H5Tinsert(type, "dataset", HOFFSET(struct user, dataset), H5T_STD_REF_OBJ) >= 0 &&
                   H5Tinsert(type, "dimension", HOFFSET(struct user, dimension), H5T_NATIVE_INT) >= 0 &&
                   write_attribute(of->id, "REFERENCE_LIST", type, of->count, of->users);
            if (!good)
                record_fail_hdf5("dimension scale %s", of->name);
        }
        free(of->users);
        H5Dclose(of->id);
    }
    return good;
}

static hsize_t whole_blocks(hsize_t rows) {
    return (rows + WRITER_BLOCK - 1) / WRITER_BLOCK * WRITER_BLOCK;
}

/* Rows of a chunk in a file that grows: as few as keep the chunks of all expected cases in one node. Where they are 1,
 * what is not computed takes no room. All statuses together, because the rest is trusted by them. */
static hsize_t growing_rows(bool status, int rank, hsize_t room, int64_t cases) {
    if (status)
        return whole_blocks((hsize_t)(cases < 1024 ? 1024 : cases > 65536 ? 65536 : cases));
    const hsize_t wanted = (hsize_t)cases / WRITER_NODE_CHUNKS + 1, rows = wanted < room ? wanted : room;
    return rank == 1 ? whole_blocks(rows) : rows;
}

/* In a finished file chunks are as large as a reader likes them. */
static hsize_t sealed_rows(hsize_t room, int64_t cases) {
    return cases < 1 ? 1 : (hsize_t)cases < room ? (hsize_t)cases : room;
}

/* What a checksum protects is what is stored, so it comes behind the compression. */
static bool add_filters(hid_t properties) {
    return H5Pset_shuffle(properties) >= 0 && H5Pset_deflate(properties, DEFLATE_LEVEL) >= 0 &&
           H5Pset_fletcher32(properties) >= 0;
}

static hid_t creation_properties(const struct record *r, struct writer_dataset *d, hid_t type_in_file) {
    hsize_t row_bytes = H5Tget_size(type_in_file);
    for (int i = 1; i < d->rank; i++)
        row_bytes *= d->chunk[i] = d->extent[i];
    const hsize_t room = row_bytes < LARGEST_CHUNK ? LARGEST_CHUNK / row_bytes : 1;
    d->chunk[0] = r->sealed ? sealed_rows(room, r->cases)
                            : growing_rows(d->kind == KIND_STATUS, d->rank, room, r->cases);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const double nan_fill = NAN;
    if (H5Pset_chunk(properties, d->rank, d->chunk) < 0 || H5Pset_obj_track_times(properties, false) < 0 ||
        (r->sealed && !add_filters(properties)) ||
        (d->kind == KIND_REAL && H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &nan_fill) < 0)) {
        H5Pclose(properties);
        return -1;
    }
    return properties;
}

/* A dataset [case, axes], still without rows. The one called `case` is the scale of that dimension. `column`: its place
 * among the columns, where it is one. */
static bool create_dataset(const struct record *r, struct writer_dataset *d, hid_t group, struct scales *scales,
                           enum layout_kind kind, const struct record_column *what, int rank,
                           const enum layout_axis *axes, int column) {
    *d = (struct writer_dataset){.id = -1, .memory = -1, .file = -1, .kind = kind, .rank = rank};
    hsize_t largest[4] = {H5S_UNLIMITED}, row[4] = {1};
    for (int i = 1; i < rank; i++)
        row[i] = d->extent[i] = largest[i] = (hsize_t)r->length[axes[i - 1]];
    const bool text = kind_is_text(kind);
    hid_t in_file = text ? record_text_type((size_t)writer_text_bytes(r, kind, column)) : r->type_in_file[kind];
    hid_t space = H5Screate_simple(rank, d->extent, largest), properties = creation_properties(r, d, in_file);
    d->type = text ? in_file : r->type[kind];
    d->bytes = H5Tget_size(d->type);
    d->memory = H5Screate_simple(rank, row, NULL);
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (!r->sealed) /* every flush would write whole chunks, which grow with the number of cases */
        H5Pset_chunk_cache(access, 0, 0, 1);
    d->id = H5Dcreate2(group, what->name, in_file, space, H5P_DEFAULT, properties, access);
    if (d->id < 0)
        record_fail_hdf5("dataset %s", what->name);
    H5Pclose(access);
    H5Pclose(properties);
    H5Sclose(space);
    if (d->id < 0 || d->memory < 0 || !describe(d->id, what->unit, what->long_name))
        return false;
    if (!strcmp(what->name, "case"))
        return add_scale(scales, d->id, what->name) || record_fail_hdf5("dimension scale %s", what->name);
    const char *names[MOST_RANK] = {"case"};
    for (int i = 1; i < rank; i++)
        names[i] = axis_info[axes[i - 1]].name;
    return attach(scales, d->id, names, rank) || record_fail_hdf5("dimensions of dataset %s", what->name);
}

/* 1, 2, ..., in the file. */
static bool write_numbers(hid_t scale, hsize_t length) {
    int64_t *number = malloc(length * sizeof *number);
    for (hsize_t i = 0; number && i < length; i++)
        number[i] = 1 + (int64_t)i;
    const bool good = number && H5Dwrite(scale, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, number) >= 0;
    free(number);
    return good;
}

static const char *name_on(enum layout_axis axis, const struct record_schema *s, hsize_t index) {
    return axis == AXIS_SUBJECT ? s->subjects[index] : axis == AXIS_METRIC ? s->metrics[index] : s->curves[index].name;
}

static bool write_names(hid_t scale, hid_t type, enum layout_axis axis, const struct record_schema *s, hsize_t length) {
    char *names = calloc(length, RECORD_MAX_NAME);
    for (hsize_t i = 0; names && i < length; i++)
        memcpy(names + i * RECORD_MAX_NAME, name_on(axis, s, i), strlen(name_on(axis, s, i)));
    const bool good = names && H5Dwrite(scale, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0;
    free(names);
    return good;
}

/* The scale of a dimension: the names of what lies along it, or numbers. */
static bool create_scale(const struct record *r, hid_t group, struct scales *scales, enum layout_axis axis,
                         const struct record_schema *s) {
    const struct axis_info *info = &axis_info[axis];
    const hsize_t length = (hsize_t)r->length[axis];
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &length, NULL);
    hid_t type = info->named ? record_text_type(RECORD_MAX_NAME) : H5Tcopy(H5T_STD_I64LE);
    H5Pset_obj_track_times(properties, false);
    hid_t scale = H5Dcreate2(group, info->name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    const bool good = scale >= 0 &&
                      (info->named ? write_names(scale, type, axis, s, length) : write_numbers(scale, length)) &&
                      add_scale(scales, scale, info->name);
    if (!good)
        record_fail_hdf5("dimension scale %s", info->name);
    const bool described = good && describe(scale, info->named ? NULL : "1", info->long_name);
    H5Dclose(scale);
    H5Sclose(space);
    H5Tclose(type);
    H5Pclose(properties);
    return described;
}

/* Links keep the order of their creation, so a reader sees the columns as the schema lists them. The header has room
 * for `links` with names of that mean length: otherwise it would grow with every link, in time that is quadratic. */
static hid_t create_group(const struct record *r, const char *name, unsigned links, unsigned name_length) {
    hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_attr_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    /* All links in the header of their group: where they are in a heap, HDF5 1.10 may crash on a damaged one. */
    H5Pset_link_phase_change(properties, 4096, 2048);
    H5Pset_est_link_info(properties, links, name_length);
    H5Pset_obj_track_times(properties, false);
    hid_t group = H5Gcreate2(r->file, name, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (group < 0)
        record_fail_hdf5("group %s", name);
    H5Pclose(properties);
    return group;
}

static bool create_environment(struct record *r, const struct record_schema *s) {
    hid_t group = create_group(r, "env", 0, 1);
    bool good = group >= 0;
    for (int i = 0; good && i < s->fact_count; i++)
        good = writer_create_attribute(group, s->facts[i].name, s->facts[i].value, 1);
    H5Gclose(group);
    return good;
}

static bool create_list(struct record *r, hid_t group, struct scales *scales, enum record_list list,
                        const struct record_schema *s) {
    static const enum layout_kind kind[] = {
        [RECORD_INT] = KIND_INT, [RECORD_REAL] = KIND_REAL, [RECORD_TEXT] = KIND_TEXT};
    const enum layout_axis axis = list_info[list].axis;
    bool good = true;
    for (int i = 0; good && i < r->list_count[list]; i++) {
        const struct record_column item = schema_item(s, list, i);
        good = create_dataset(r, &r->list[list][i], group, scales, kind[item.type], &item, axis == AXIS_NONE ? 1 : 2,
                              &axis, i);
    }
    return good;
}

static bool has_length(const struct record *r, const enum layout_axis *axes, int count) {
    for (int i = 0; i < count; i++)
        if (axes[i] != AXIS_NONE && r->length[axes[i]] == 0)
            return false;
    return true;
}

static bool fill_group(struct record *r, hid_t group, enum layout_group g, const struct record_schema *s) {
    static const struct record_column number = {"case", "1", "number of the case, from 0", RECORD_INT};
    const struct group_info *info = &group_info[g];
    struct scales scales = {.count = 0};
    bool good = create_dataset(r, &r->number[g], group, &scales, KIND_INT, &number, 1, NULL, -1);
    for (int k = 0; good && k < GROUP_SCALES; k++)
        if (info->scales[k] != AXIS_NONE && r->length[info->scales[k]] > 0)
            good = create_scale(r, group, &scales, info->scales[k], s);
    for (int i = 0; good && i < DATASETS; i++) {
        const struct dataset_info *d = &dataset_info[i];
        const struct record_column what = {d->name, d->unit, d->long_name, RECORD_REAL};
        if (d->group == g && has_length(r, d->axis, 3))
            good = create_dataset(r, &r->fixed[i], group, &scales, d->kind, &what, dataset_rank(d), d->axis, -1);
    }
    for (int list = 0; good && list < RECORD_LISTS; list++)
        if (list_info[list].group == g)
            good = create_list(r, group, &scales, (enum record_list)list, s);
    return finish_scales(&scales, good);
}

static bool is_wanted(const struct record *r, enum layout_group g) {
    bool listed = !group_info[g].only_listed;
    for (int list = 0; list < RECORD_LISTS; list++)
        listed |= list_info[list].group == g && r->list_count[list] > 0;
    return listed && has_length(r, group_info[g].needs, 2);
}

static bool create_types(struct record *r) {
    r->type_in_file[KIND_INT] = H5Tcopy(H5T_STD_I64LE);
    r->type_in_file[KIND_REAL] = H5Tcopy(H5T_IEEE_F64LE);
    r->type_in_file[KIND_STATUS] = record_status_type(H5T_STD_I8LE);
    r->type_in_file[KIND_FLAG] = H5Tcopy(H5T_STD_I8LE);
    r->type[KIND_FLAG] = H5Tcopy(H5T_NATIVE_INT8);
    r->type[KIND_INT] = H5Tcopy(H5T_NATIVE_INT64);
    r->type[KIND_REAL] = H5Tcopy(H5T_NATIVE_DOUBLE);
    r->type[KIND_STATUS] = record_status_type(H5T_NATIVE_INT8);
    for (int kind = 0; kind < KINDS; kind++) /* every text dataset has a type of its own */
        if (!kind_is_text((enum layout_kind)kind) && (r->type_in_file[kind] < 0 || r->type[kind] < 0))
            return record_fail_hdf5("data types");
    return true;
}

/* A group for all that fill_group() will put into it. */
static hid_t create_roomy_group(const struct record *r, enum layout_group g, const struct record_schema *s) {
    enum { MOST = 65535 }; /* of HDF5 */
    size_t links = 1 + GROUP_SCALES, length = links * RECORD_MAX_NAME / 2;
    for (int i = 0; i < DATASETS; i++)
        if (dataset_info[i].group == g && has_length(r, dataset_info[i].axis, 3))
            links++, length += strlen(dataset_info[i].name);
    for (int list = 0; list < RECORD_LISTS; list++)
        for (int i = 0; list_info[list].group == g && i < r->list_count[list]; i++)
            links++, length += strlen(schema_item(s, (enum record_list)list, i).name);
    return create_group(r, group_info[g].name, links < MOST ? (unsigned)links : MOST, 1 + (unsigned)(length / links));
}

bool writer_create_layout(struct record *r, const struct record_schema *s) {
    bool good = create_types(r) && create_environment(r, s);
    for (int g = 0; good && g < GROUPS; g++) {
        if (!is_wanted(r, (enum layout_group)g))
            continue;
        hid_t group = create_roomy_group(r, (enum layout_group)g, s);
        good = group >= 0 && fill_group(r, group, (enum layout_group)g, s);
        H5Gclose(group);
    }
    return good;
}
