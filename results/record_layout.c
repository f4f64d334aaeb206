/* The datasets of a new record. See SCHEMA.md for the layout and the reasons behind it. */
#include "results/writer.h"

#include <hdf5_hl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct writer_axis writer_case_axis = {"case", 0};

/* Bytes of a chunk that several cases share. */
static const hsize_t LARGEST_CHUNK = 262144;

size_t writer_text_bytes(enum writer_kind kind) {
    return kind == KIND_KEY ? RECORD_KEY_BYTES : kind == KIND_REASON ? RECORD_REASON_BYTES : RECORD_TEXT_BYTES;
}

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

static bool attach(hid_t group, hid_t dataset, unsigned dimension, const char *scale_name) {
    hid_t scale = H5Dopen2(group, scale_name, H5P_DEFAULT);
    const bool good = scale >= 0 && H5DSattach_scale(dataset, scale, dimension) >= 0 &&
                      H5DSset_label(dataset, dimension, scale_name) >= 0;
    H5Dclose(scale);
    return good;
}

/* Rows of a chunk: as few as keep the chunks of all expected cases in one node. Where they are 1, what is not computed
 * takes no room. All statuses together, because the rest is trusted by them. */
static hsize_t chunk_rows(bool status, int rank, hsize_t row_bytes, int64_t cases) {
    if (status)
        return (hsize_t)(cases < 1024 ? 1024 : cases > 65536 ? 65536 : cases);
    const hsize_t wanted = (hsize_t)cases / WRITER_NODE_CHUNKS + 1, least = rank == 1 ? WRITER_BLOCK : 1;
    const hsize_t room = row_bytes < LARGEST_CHUNK ? LARGEST_CHUNK / row_bytes : 1;
    const hsize_t rows = wanted < room ? wanted : room;
    return rows < least ? least : rows;
}

static hid_t creation_properties(const struct record *r, struct writer_dataset *d) {
    hsize_t row_bytes = H5Tget_size(r->type_in_file[d->kind]);
    for (int i = 1; i < d->rank; i++)
        row_bytes *= d->chunk[i] = d->extent[i];
    d->chunk[0] = chunk_rows(d->kind == KIND_STATUS, d->rank, row_bytes, r->cases);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const double nan_fill = NAN;
    if (H5Pset_chunk(properties, d->rank, d->chunk) < 0 || H5Pset_obj_track_times(properties, false) < 0 ||
        (d->kind == KIND_REAL && H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &nan_fill) < 0)) {
        H5Pclose(properties);
        return -1;
    }
    return properties;
}

bool writer_create_dataset(const struct record *r, struct writer_dataset *d, hid_t group, const char *name,
                           enum writer_kind kind, const char *unit, const char *long_name, int rank,
                           const struct writer_axis *axes) {
    *d = (struct writer_dataset){.id = -1, .kind = kind, .rank = rank};
    hsize_t largest[4] = {H5S_UNLIMITED};
    for (int i = 1; i < rank; i++)
        d->extent[i] = largest[i] = axes[i].length;
    hid_t space = H5Screate_simple(rank, d->extent, largest), properties = creation_properties(r, d);
    d->id = H5Dcreate2(group, name, r->type_in_file[kind], space, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (d->id < 0)
        record_fail_hdf5("dataset %s", name);
    H5Pclose(properties);
    H5Sclose(space);
    if (d->id < 0 || !describe(d->id, unit, long_name))
        return false;
    if (!strcmp(name, writer_case_axis.name))
        return H5DSset_scale(d->id, name) >= 0 || record_fail_hdf5("dimension scale %s", name);
    for (int i = 0; i < rank; i++)
        if (!attach(group, d->id, (unsigned)i, axes[i].name))
            return record_fail_hdf5("dimension %s of dataset %s", axes[i].name, name);
    return true;
}

bool writer_create_scale(hid_t group, struct writer_axis axis, int64_t first, const char *long_name) {
    int64_t *number = malloc(axis.length * sizeof *number);
    if (!number)
        return record_fail("out of memory");
    for (hsize_t i = 0; i < axis.length; i++)
        number[i] = first + (int64_t)i;
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &axis.length, NULL);
    H5Pset_obj_track_times(properties, false);
    hid_t scale = H5Dcreate2(group, axis.name, H5T_STD_I64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    const bool good = scale >= 0 && H5Dwrite(scale, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, number) >= 0 &&
                      H5DSset_scale(scale, axis.name) >= 0;
    if (!good)
        record_fail_hdf5("dimension scale %s", axis.name);
    const bool described = good && describe(scale, "1", long_name);
    H5Dclose(scale);
    H5Sclose(space);
    H5Pclose(properties);
    free(number);
    return described;
}

/* Links keep the order of their creation, so a reader sees the columns as the schema lists them. */
static hid_t create_group(const struct record *r, const char *name) {
    hid_t properties = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_attr_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    /* All links in the header of their group: where they are in a heap, HDF5 1.10 may crash on a damaged one. */
    H5Pset_link_phase_change(properties, 4096, 2048);
    H5Pset_obj_track_times(properties, false);
    hid_t group = H5Gcreate2(r->file, name, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (group < 0)
        record_fail_hdf5("group %s", name);
    H5Pclose(properties);
    return group;
}

bool writer_create_case_scale(const struct record *r, struct writer_dataset *d, hid_t group) {
    return writer_create_dataset(r, d, group, "case", KIND_INT, "1", "number of the case, from 0", 1,
                                 &writer_case_axis);
}

static bool create_cases(struct record *r, hid_t group, const struct record_schema *s) {
    static const struct {
        enum writer_kind kind;
        const char *unit, *long_name;
    } own[OWN_COLUMNS] = {
        [OWN_KEY] = {KIND_KEY, "", "the line that reproduces the case"},
        [OWN_STATUS] = {KIND_STATUS, "", "missing, done or failed"},
        [OWN_REASON] = {KIND_REASON, "", "why it failed"},
        [OWN_SECONDS] = {KIND_REAL, "s", "wall time of the case"},
        [OWN_LAYERS] = {KIND_INT, "1", "layers of the case"},
    };
    bool good = writer_create_case_scale(r, &r->own[OWN_CASE], group);
    for (int i = OWN_CASE + 1; good && i < OWN_COLUMNS; i++)
        good = writer_create_dataset(r, &r->own[i], group, record_own_column[i], own[i].kind, own[i].unit,
                                     own[i].long_name, 1, &writer_case_axis);
    for (int i = 0; good && i < s->column_count; i++) {
        static const enum writer_kind kind[] = {
            [RECORD_INT] = KIND_INT, [RECORD_REAL] = KIND_REAL, [RECORD_TEXT] = KIND_TEXT};
        const struct record_column *c = &s->columns[i];
        good = writer_create_dataset(r, &r->columns[i], group, c->name, kind[c->type], c->unit, c->long_name, 1,
                                     &writer_case_axis);
    }
    return good;
}

bool writer_create_names(const struct record *r, hid_t group, const char *scale_name, const char *const *name,
                         int number, const char *long_name) {
    const size_t bytes = RECORD_MAX_NAME;
    const hsize_t count = (hsize_t)number;
    char *names = calloc(count, bytes);
    for (hsize_t i = 0; names && i < count; i++)
        memcpy(names + i * bytes, name[i], strlen(name[i]));
    hid_t type = record_text_type(bytes), space = H5Screate_simple(1, &count, NULL);
    hid_t scale = H5Dcreate2(group, scale_name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = names && scale >= 0 && H5Dwrite(scale, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0 &&
                      H5DSset_scale(scale, scale_name) >= 0;
    if (!good)
        record_fail_hdf5("cannot write %s: names of %s", r->part, scale_name);
    const bool described = good && describe(scale, NULL, long_name);
    H5Dclose(scale);
    H5Sclose(space);
    H5Tclose(type);
    free(names);
    return described;
}

/* The names of the curves, a scale for what is said about each of them. */
static bool create_curve_names(const struct record *r, hid_t group, const struct record_schema *s) {
    const char **names = malloc((size_t)s->curve_count * sizeof *names);
    for (int i = 0; names && i < s->curve_count; i++)
        names[i] = s->curves[i].name;
    const bool good = names ? writer_create_names(r, group, "curve", names, s->curve_count, "name of the curve")
                            : record_fail("out of memory");
    free(names);
    return good;
}

static bool create_curves(struct record *r, hid_t group, const struct record_schema *s) {
    const struct writer_axis axes[] = {writer_case_axis, {"layer", (hsize_t)s->layers}};
    const struct writer_axis flags[] = {writer_case_axis, {"curve", (hsize_t)s->curve_count}};
    bool good = writer_create_case_scale(r, &r->extra[CURVE_CASE], group) &&
                writer_create_scale(group, axes[1], 1, "layer, from 1");
    if (good && s->curve_count > 0)
        good = create_curve_names(r, group, s) &&
               writer_create_dataset(r, &r->extra[CURVE_COMPUTED], group, "computed", KIND_FLAG, "",
                                     "1 where the curve was computed for the case", 2, flags);
    for (int i = 0; good && i < s->curve_count; i++)
        good = writer_create_dataset(r, &r->curves[i], group, s->curves[i].name, KIND_REAL, s->curves[i].unit,
                                     s->curves[i].long_name, 2, axes);
    return good;
}

static bool create_summaries(struct record *r, hid_t group, const struct record_schema *s) {
    bool good = writer_create_case_scale(r, &r->extra[SUMMARY_CASE], group);
    for (int i = 0; good && i < s->summary_count; i++)
        good = writer_create_dataset(r, &r->summaries[i], group, s->summaries[i].name, KIND_REAL, s->summaries[i].unit,
                                     s->summaries[i].long_name, 1, &writer_case_axis);
    return good;
}

static bool create_panels(struct record *r, hid_t group, const struct record_schema *s) {
    const hsize_t n = (hsize_t)s->streams;
    const struct writer_axis axes[] = {writer_case_axis, {"panel", RECORD_PANELS}, {"destination", n}, {"source", n}};
    return writer_create_case_scale(r, &r->extra[PANEL_CASE], group) &&
           writer_create_scale(group, axes[1], 1,
                               "H_1, H_h, H_L, H_h...H_1, H_L...H_(h+1), H_L...H_1 with h = ceil(L/2)") &&
           writer_create_scale(group, axes[2], 1, "destination stream, from 1") &&
           writer_create_scale(group, axes[3], 1, "source stream, from 1") &&
           writer_create_dataset(r, &r->extra[PANEL_STREAMS], group, "streams", KIND_INT, "1",
                                 "n of the panels of the case, 0 where not recorded", 1, axes) &&
           writer_create_dataset(r, &r->extra[PANEL_COMPOSITE], group, "composite", KIND_REAL, "1",
                                 "mean over tokens, to be multiplied by 10^log10_scale", 4, axes) &&
           writer_create_dataset(r, &r->extra[PANEL_LOG10_SCALE], group, "log10_scale", KIND_REAL, "1",
                                 "log10 of the factor of composite", 2, axes);
}

static bool create_spectra(struct record *r, hid_t group, const struct record_schema *s) {
    const struct writer_axis axes[] = {
        writer_case_axis, {"layer", (hsize_t)s->layers}, {"stream", (hsize_t)s->streams}};
    return writer_create_case_scale(r, &r->extra[SPECTRUM_CASE], group) &&
           writer_create_scale(group, axes[1], 1, "layer, from 1") &&
           writer_create_scale(group, axes[2], 1, "place in descending order, from 1") &&
           writer_create_dataset(r, &r->extra[SPECTRUM_STREAMS], group, "streams", KIND_INT, "1",
                                 "n of the spectrum of the case, 0 where not recorded", 1, axes) &&
           writer_create_dataset(r, &r->extra[SPECTRUM_QR], group, "composite_qr", KIND_REAL, "1",
                                 "log10 of the singular values of H_l...H_1 by accumulated QR, mean over tokens", 3,
                                 axes);
}

static bool create_environment(struct record *r, hid_t group, const struct record_schema *s) {
    (void)r;
    for (int i = 0; i < s->fact_count; i++)
        if (!writer_create_attribute(group, s->facts[i].name, s->facts[i].value, 1))
            return false;
    return true;
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
    for (int kind = KIND_TEXT; kind <= KIND_REASON; kind++) {
        r->type_in_file[kind] = record_text_type(writer_text_bytes(kind));
        r->type[kind] = record_text_type(writer_text_bytes(kind));
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (r->type_in_file[kind] < 0 || r->type[kind] < 0)
            return record_fail_hdf5("data types");
    return true;
}

bool writer_create_layout(struct record *r, const struct record_schema *s) {
    const struct {
        const char *name;
        bool (*fill)(struct record *, hid_t, const struct record_schema *);
        bool wanted;
    } groups[] = {
        {"env", create_environment, true},
        {"cases", create_cases, true},
        {"curves", create_curves, s->layers > 0},
        {"summary", create_summaries, true},
        {"panels", create_panels, s->streams > 0},
        {"spectra", create_spectra, s->streams > 0 && s->layers > 0},
        {"timing", writer_create_timing, s->subject_count > 0},
        {"accuracy", writer_create_accuracy, s->accuracy_count > 0},
    };
    bool good = create_types(r);
    for (size_t i = 0; good && i < sizeof groups / sizeof *groups; i++) {
        if (!groups[i].wanted)
            continue;
        hid_t group = create_group(r, groups[i].name);
        good = group >= 0 && groups[i].fill(r, group, s);
        H5Gclose(group);
    }
    return good;
}
