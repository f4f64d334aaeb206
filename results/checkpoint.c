/* From a checkpoint to the bytes of an HDF5 file in memory, and back. */
#include "results/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/checkpoint_file.h"
#include "results/digest.h"
#include "results/reader.h"
#include "results/writer.h"

static const char schema[] = "schema", sha256[] = "sha256", family[] = "mhcbench-"; /* before what a file is */
enum { LARGEST_FACT = 16384 };

static hid_t type_of(enum checkpoint_type type, bool in_file) {
    switch (type) {
    case CHECKPOINT_BYTES: return H5Tcopy(in_file ? H5T_STD_U8LE : H5T_NATIVE_UINT8);
    case CHECKPOINT_HALVES: return H5Tcopy(in_file ? H5T_STD_U16LE : H5T_NATIVE_UINT16);
    case CHECKPOINT_INTEGERS: return H5Tcopy(in_file ? H5T_STD_I64LE : H5T_NATIVE_INT64);
    case CHECKPOINT_FLOATS: return H5Tcopy(in_file ? H5T_IEEE_F32LE : H5T_NATIVE_FLOAT);
    case CHECKPOINT_DOUBLES: return H5Tcopy(in_file ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE);
    case CHECKPOINT_NAMES: return record_text_type(CHECKPOINT_NAME);
    case CHECKPOINT_LINES: return record_text_type(CHECKPOINT_LINE);
    default: return -1;
    }
}

int64_t checkpoint_element(enum checkpoint_type type) {
    static const int64_t bytes[CHECKPOINT_TYPES] = {1, 2, 8, 4, 8, CHECKPOINT_NAME, CHECKPOINT_LINE};
    return bytes[type];
}

/* ---- the digest ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of all texts and of the digests of all arrays, whatever their order. false: out of memory. */
static bool digest_all(const struct checkpoint *c, char (*of_array)[DIGEST_SIZE], char text[DIGEST_SIZE]) {
    char *line[2 * CHECKPOINT_MOST], *all = NULL;
    int lines = 0;
    size_t size = 1, used = 0;
    bool good = true;
    for (int k = 0; k < c->facts; k++)
        line[lines++] = record_format("text %s %s\n", c->fact[k].name, c->fact[k].value);
    for (int k = 0; k < c->arrays; k++)
        line[lines++] = record_format("array %s %d %lld %s\n", c->array[k].name, (int)c->array[k].type,
                                      (long long)c->array[k].count, of_array[k]);
    for (int k = 0; k < lines; k++) {
        good = good && line[k];
        size += line[k] ? strlen(line[k]) : 0;
    }
    if (good && (all = malloc(size))) {
        qsort(line, (size_t)lines, sizeof *line, by_text);
        for (int k = 0; k < lines; k++)
            used += (size_t)snprintf(all + used, size - used, "%s", line[k]);
        digest_bytes(all, used, text);
    }
    for (int k = 0; k < lines; k++)
        free(line[k]);
    free(all);
    return all != NULL;
}

static void digest_array(const struct checkpoint_array *a, char text[DIGEST_SIZE]) {
    digest_bytes(a->data, (size_t)(a->count * checkpoint_element(a->type)), text);
}

/* ---- writing ---- */

static bool write_array(hid_t file, const struct checkpoint_array *a, char digest[DIGEST_SIZE]) {
    const hsize_t count = (hsize_t)a->count;
    hid_t in_file = type_of(a->type, true), type = type_of(a->type, false), space = H5Screate_simple(1, &count, NULL);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(properties, false);
    hid_t dataset = H5Dcreate2(file, a->name, in_file, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    digest_array(a, digest);
    const bool good = dataset >= 0 && (!count || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->data) >= 0);
    if (!good)
        record_fail_hdf5("dataset %s", a->name);
    const bool whole = good && writer_create_attribute(dataset, "long_name", a->long_name, 1) &&
                       writer_create_attribute(dataset, sha256, digest, 1);
    H5Dclose(dataset);
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(type);
    H5Tclose(in_file);
    return whole;
}

static bool fill_file(hid_t file, const void *what) {
    const struct checkpoint *c = what;
    char of_array[CHECKPOINT_MOST][DIGEST_SIZE], all[DIGEST_SIZE];
    bool good = writer_create_attribute(file, schema, c->schema ? c->schema : CHECKPOINT_SCHEMA, 1);
    for (int k = 0; k < c->facts && good; k++)
        good = writer_create_attribute(file, c->fact[k].name, c->fact[k].value, 1);
    for (int k = 0; k < c->arrays && good; k++)
        good = write_array(file, &c->array[k], of_array[k]);
    if (good && !digest_all(c, of_array, all))
        good = record_fail("out of memory");
    return good && writer_create_attribute(file, sha256, all, 1);
}

bool checkpoint_write(const char *path, const struct checkpoint *c) {
    return checkpoint_file_make(path, fill_file, c);
}

bool checkpoint_replace(const char *path, const struct place *seen, const struct checkpoint *c) {
    return checkpoint_file_replace(path, seen, fill_file, c);
}

/* ---- reading ---- */

struct reading {
    const char *path, *wanted; /* wanted: its schema */
    size_t bytes;              /* of the file: no array has more */
    struct checkpoint *c;
    char of_array[CHECKPOINT_MOST][DIGEST_SIZE];
    char *schema, *digest;
};

static herr_t damaged(const struct reading *r, const char *what) {
    record_fail("%s is damaged: %s", r->path, what);
    return -1;
}

static herr_t read_fact(hid_t file, const char *name, const H5A_info_t *info, void *user) {
    struct reading *r = user;
    char *value = read_text_attribute(file, name, LARGEST_FACT);
    (void)info;
    if (!value)
        return damaged(r, "an attribute is no text");
    if (!strcmp(name, schema) || !strcmp(name, sha256)) {
        *(strcmp(name, schema) ? &r->digest : &r->schema) = value;
        return 0;
    }
    char *own = strdup(name);
    if (!own || r->c->facts == CHECKPOINT_MOST) {
        free(own);
        free(value);
        return damaged(r, "too many attributes");
    }
    r->c->fact[r->c->facts++] = (struct record_fact){own, value};
    return 0;
}

static bool classify(hid_t type, enum checkpoint_type *found) {
    for (int k = 0; k < CHECKPOINT_TYPES; k++) {
        hid_t one = type_of((enum checkpoint_type)k, true);
        *found = (enum checkpoint_type)k;
        const bool same = H5Tequal(type, one) > 0;
        H5Tclose(one);
        if (same)
            return true;
    }
    return false;
}

/* The bytes of a dataset lie in the file as they are: no filter, no other file, no more than there are. */
static const char *examine(const struct reading *r, hid_t dataset, struct checkpoint_array *a) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset), properties = H5Dget_create_plist(dataset);
    hsize_t count = 0;
    const bool simple = space >= 0 && H5Sget_simple_extent_ndims(space) == 1 &&
                        H5Sget_simple_extent_dims(space, &count, NULL) == 1;
    const bool typed = type >= 0 && classify(type, &a->type);
    const bool plain = properties >= 0 && H5Pget_layout(properties) == H5D_CONTIGUOUS &&
                       H5Pget_external_count(properties) == 0 && H5Pget_nfilters(properties) == 0;
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(type);
    if (!simple || !typed || !plain)
        return "a dataset is of another kind";
    a->count = (int64_t)count;
    return count > r->bytes / (size_t)checkpoint_element(a->type) ? "a dataset is larger than the file" : NULL;
}

static const char *read_dataset(const struct reading *r, hid_t dataset, struct checkpoint_array *a) {
    const char *why = examine(r, dataset, a);
    const size_t bytes = why ? 0 : (size_t)(a->count * checkpoint_element(a->type));
    void *data = why ? NULL : malloc(bytes + 1);
    a->data = data;
    if (!data)
        return why ? why : "out of memory";
    hid_t type = type_of(a->type, false);
    const bool good = !a->count || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    H5Tclose(type);
    return good ? NULL : "a dataset cannot be read";
}

static herr_t read_array(hid_t file, const char *name, const H5L_info_t *info, void *user) {
    struct reading *r = user;
    if (info->type != H5L_TYPE_HARD || r->c->arrays == CHECKPOINT_MOST)
        return damaged(r, "a link, or too many datasets");
    hid_t dataset = H5Oopen(file, name, H5P_DEFAULT);
    const bool is_one = dataset >= 0 && H5Iget_type(dataset) == H5I_DATASET;
    struct checkpoint_array *a = &r->c->array[r->c->arrays];
    const char *why = is_one ? read_dataset(r, dataset, a) : "no dataset";
    a->name = strdup(name);
    if (dataset >= 0)
        H5Oclose(dataset);
    r->c->arrays++;
    if (!a->name)
        why = "out of memory";
    if (why)
        return damaged(r, why);
    digest_array(a, r->of_array[r->c->arrays - 1]);
    return 0;
}

/* Another version than ours may have another digest, and is told apart first. */
static bool read_all(struct reading *r, hid_t file) {
    char all[DIGEST_SIZE];
    hsize_t at = 0;
    record_fail("%s is damaged", r->path);
    if (H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, &at, read_fact, r) < 0)
        return false;
    if (!r->schema || strcmp(r->schema, r->wanted))
        return record_fail("%s is no %.*s of this version: schema %.40s instead of %s", r->path,
                           (int)strcspn(r->wanted + strlen(family), "/"), r->wanted + strlen(family),
                           r->schema ? r->schema : "none", r->wanted);
    at = 0;
    if (H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, &at, read_array, r) < 0)
        return false;
    if (!digest_all(r->c, r->of_array, all))
        return record_fail("%s: out of memory", r->path);
    return (r->digest && !strcmp(all, r->digest)) || (damaged(r, "its digest is another"), false);
}

struct checkpoint *checkpoint_read(const char *path) {
    return checkpoint_read_as(path, CHECKPOINT_SCHEMA);
}

struct checkpoint *checkpoint_read_as(const char *path, const char *wanted) {
    struct reading r = {.path = path, .wanted = wanted};
    record_quiet_hdf5();
    void *image = checkpoint_file_read(path, &r.bytes);
    if (!image)
        return NULL;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, false);
    hid_t file = H5Pset_file_image(access, image, r.bytes) >= 0 ? H5Fopen("checkpoint", H5F_ACC_RDONLY, access) : -1;
    free(image); /* HDF5 has its own copy */
    r.c = calloc(1, sizeof *r.c);
    bool good = file >= 0 && r.c && read_all(&r, file);
    if (file < 0)
        record_fail("%s is damaged, or no HDF5 file", path);
    H5Fclose(file);
    H5Pclose(access);
    free(r.schema);
    free(r.digest);
    if (good)
        return r.c;
    checkpoint_release(r.c);
    return NULL;
}

bool checkpoint_says(const char *path, const char *wanted) {
    record_quiet_hdf5();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    char *said = file >= 0 ? read_text_attribute(file, schema, LARGEST_FACT) : NULL;
    const bool is = said && !strcmp(said, wanted);
    free(said);
    if (file >= 0)
        H5Fclose(file);
    return is;
}

void checkpoint_release(struct checkpoint *c) {
    for (int k = 0; c && k < c->facts; k++) {
        free((char *)c->fact[k].name);
        free((char *)c->fact[k].value);
    }
    for (int k = 0; c && k < c->arrays; k++) {
        free((char *)c->array[k].name);
        free((void *)c->array[k].data);
    }
    free(c);
}

const char *checkpoint_fact(const struct checkpoint *c, const char *name) {
    for (int k = 0; k < c->facts; k++)
        if (!strcmp(c->fact[k].name, name))
            return c->fact[k].value;
    return NULL;
}

const struct checkpoint_array *checkpoint_array(const struct checkpoint *c, const char *name, enum checkpoint_type type,
                                                int64_t count) {
    for (int k = 0; k < c->arrays; k++)
        if (!strcmp(c->array[k].name, name) && c->array[k].type == type && (count < 0 || c->array[k].count == count))
            return &c->array[k];
    return NULL;
}
