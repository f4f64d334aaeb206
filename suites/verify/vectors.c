#include "suites/verify/vectors.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/metrics.h"
#include "cpu_ref/library.h"
#include "results/attribute.h"
#include "suites/rows/backend.h"
#include "suites/verify/vector_attributes.h"

enum { MOST_CASES = 65536 };

struct vectors {
    hid_t file;
    char **names;
    int64_t count;
};

const struct mhc_row *vector_row(const char *kind, const char *operation) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kind, operation);
    return mhc_row_find(&mhc_cpu64, name);
}

struct vector_array *vector_find(struct vector_array *list, int count, const char *name) {
    for (int k = 0; k < count; k++)
        if (!strcmp(list[k].name, name))
            return &list[k];
    return NULL;
}

static hid_t open_group(hid_t group, const char *name) {
    return link_is_hard(group, name) ? H5Gopen2(group, name, H5P_DEFAULT) : -1;
}

/* Adds an array once. An array without elements, such as w_gate of a GELU, is not in the file. */
static void expect(struct vector_case *v, enum mhc_direction direction, const char *layers, const char *name,
                   const char *extents, enum mhc_role role) {
    struct vector_array *list = direction == MHC_IN ? v->in : v->out;
    int *count = direction == MHC_IN ? &v->ins : &v->outs;
    bool empty = false;
    for (const char *letter = extents; *letter; letter++)
        empty |= vector_extent(v, *letter) == 0;
    if (empty || *count == VECTOR_ARRAYS || vector_find(list, *count, name))
        return;
    struct vector_array *array = &list[(*count)++];
    *array = (struct vector_array){.name = name, .role = role};
    snprintf(array->extents, sizeof array->extents, "%s%s", layers, extents);
}

/* What the rows of an operation read and no earlier row wrote, and what they write. `parameters`: only parameters, one
 * set per layer. */
static void expect_row(struct vector_case *v, const char *kind, const char *operation, bool parameters) {
    const struct mhc_row *row = vector_row(kind, operation);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (parameters ? arg->role == MHC_PARAM : arg->direction == MHC_OUT || !vector_find(v->out, v->outs, arg->name))
            expect(v, arg->direction, parameters ? "L" : "", arg->name, arg->extents, arg->role);
}

static void expect_gains(struct vector_case *v) {
    expect(v, MHC_IN, "", "res", "LTnn", MHC_COEF);
    for (int m = 0; m < MHC_METRICS; m++)
        if (mhc_metric_info[m].group == MHC_GROUP_GAIN || m == MHC_composite_spectral_norm)
            expect(v, MHC_OUT, "", mhc_metric_info[m].name, "L", MHC_COEF);
    expect(v, MHC_OUT, "", "total_singular_values", "Tn", MHC_COEF);
}

static void expect_stack(struct vector_case *v) {
    expect(v, MHC_IN, "", "x0", "TC", MHC_STREAM);
    expect(v, MHC_IN, "", "grad_out", "TC", MHC_STREAM);
    expect(v, MHC_OUT, "", "out", "TC", MHC_STREAM);
    expect(v, MHC_OUT, "", "grad_x0", "TC", MHC_STREAM);
    expect_row(v, v->block, "pre", true);
    expect_row(v, v->block, "backward", true);
    expect_row(v, "linear", "forward", true);
    expect_row(v, "linear", "backward", true);
}

static void expect_all(struct vector_case *v) {
    if (v->block[0])
        expect_stack(v);
    else if (!v->op->operations[0])
        expect_gains(v);
    else
        for (int k = 0; v->op->operations[k]; k++)
            expect_row(v, v->op->name, v->op->operations[k], false);
}

static struct vector_array *array_of(struct vector_case *v, int k) {
    return k < v->ins ? &v->in[k] : &v->out[k - v->ins];
}

bool vector_case_allocate(struct vector_case *v) {
    bool good = true;
    expect_all(v);
    for (int k = 0; k < v->ins + v->outs; k++) {
        struct vector_array *array = array_of(v, k);
        array->count = 1;
        for (const char *letter = array->extents; *letter; letter++)
            array->count *= vector_extent(v, *letter);
        good = (array->values = calloc((size_t)array->count, sizeof(double))) && good;
    }
    return good;
}

/* Opens a dataset if its type and shape are right; otherwise -1 and the reason. */
static hid_t open_dataset(hid_t group, const char *folder, const struct vector_case *v,
                          const struct vector_array *array, struct text why) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, array->name);
    if (H5Lexists(group, folder, H5P_DEFAULT) <= 0 || H5Lexists(group, path, H5P_DEFAULT) <= 0)
        return refuse(why, "%s is missing", path), -1;
    if (!link_is_hard(group, folder) || !link_is_hard(group, path))
        return refuse(why, "%s is a link", path), -1;
    hid_t dataset = H5Dopen2(group, path, H5P_DEFAULT);
    if (dataset < 0)
        return refuse(why, "%s is not a dataset that can be opened", path), -1;
    if (!dataset_is_inside(dataset))
        return H5Dclose(dataset), refuse(why, "%s has its data in another file", path), -1;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hsize_t extent[H5S_MAX_RANK] = {0};
    int rank = (int)strlen(array->extents);
    bool is_f64 = H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 8;
    bool fits = H5Sget_simple_extent_ndims(space) == rank && H5Sget_simple_extent_dims(space, extent, NULL) == rank;
    for (int k = 0; fits && k < rank; k++)
        fits = extent[k] == (hsize_t)vector_extent(v, array->extents[k]);
    H5Tclose(type);
    H5Sclose(space);
    if (is_f64 && fits)
        return dataset;
    H5Dclose(dataset);
    if (!is_f64)
        return refuse(why, "%s is not float64", path), -1;
    char shape[160] = "";
    for (int k = 0; k < rank; k++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "[%lld]",
                 (long long)vector_extent(v, array->extents[k]));
    return refuse(why, "%s does not have the shape %s", path, shape), -1;
}

/* Checks all shapes first, then the memory that all of it takes, then reads the values. */
static bool read_arrays(hid_t group, struct vector_case *v, struct text why) {
    double bytes = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < v->ins + v->outs; k++) {
            struct vector_array *array = array_of(v, k);
            const char *folder = k < v->ins ? "in" : "out";
            hid_t dataset = open_dataset(group, folder, v, array, why);
            if (dataset < 0)
                return false;
            double elements = 1;
            for (const char *letter = array->extents; *letter; letter++)
                elements *= (double)vector_extent(v, *letter);
            bool good = true;
            if (pass) {
                array->count = (int64_t)elements;
                array->values = malloc((size_t)array->count * sizeof(double));
                good = array->values &&
                       H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, array->values) >= 0;
            } else
                bytes += 8 * elements;
            H5Dclose(dataset);
            if (!good)
                return refuse(why, "%s/%s cannot be read", folder, array->name);
        }
        double available = (double)backend_available(&(struct backend){.library = &mhc_cpu64});
        if (bytes > available / 4) /* the file's, the backend's, its results and its scratch */
            return refuse(why, "needs about %.3g GiB, %.3g GiB are available", 4 * bytes / 0x1p30, available / 0x1p30);
    }
    return true;
}

static herr_t note_extra(hid_t group, const char *name, const H5L_info_t *info, void *user) {
    (void)group, (void)info;
    struct vector_case *v = user;
    if (!vector_find(v->out, v->outs, name) && v->extras < VECTOR_EXTRAS)
        snprintf(v->extra[v->extras++], sizeof v->extra[0], "%s", name);
    return 0;
}

static bool read_case(hid_t group, struct vector_case *v, struct text why) {
    if (!vector_attributes(group, v, why))
        return false;
    expect_all(v);
    if (!read_arrays(group, v, why))
        return false;
    hid_t out = open_group(group, "out");
    if (out >= 0) {
        H5Literate(out, H5_INDEX_NAME, H5_ITER_INC, NULL, note_extra, v);
        H5Gclose(out);
    }
    return true;
}

bool vectors_read(struct vectors *file, const char *name, struct vector_case *v, char *why, size_t why_size) {
    struct text text = {why, why_size};
    *v = (struct vector_case){.c = {.n = 1, .t_max = 1}};
    hid_t cases = open_group(file->file, "cases");
    hid_t group = cases >= 0 ? open_group(cases, name) : -1;
    bool good = group >= 0 ? read_case(group, v, text) : refuse(text, "not a group, or a link to one");
    if (group >= 0)
        H5Gclose(group);
    if (cases >= 0)
        H5Gclose(cases);
    if (!good)
        vector_case_release(v);
    return good;
}

void vector_case_release(struct vector_case *v) {
    for (int k = 0; k < v->ins; k++)
        free(v->in[k].values);
    for (int k = 0; k < v->outs; k++)
        free(v->out[k].values);
    v->ins = v->outs = 0;
}

static herr_t note_name(hid_t group, const char *name, const H5L_info_t *info, void *user) {
    (void)group, (void)info;
    struct vectors *file = user;
    if (file->count == MOST_CASES)
        return -1;
    char **names = realloc(file->names, (size_t)(file->count + 1) * sizeof *names), *copy = strdup(name);
    file->names = names ? names : file->names;
    if (!names || !copy) {
        free(copy);
        return -1;
    }
    file->names[file->count++] = copy;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_root(struct vectors *file, bool list, struct text why) {
    char format[64] = "";
    int64_t version = 0;
    vector_attribute(file->file, "format", H5T_STRING, format, sizeof format);
    if (strcmp(format, "mhcbench-vectors"))
        return refuse(why, "not a vector file: its attribute `format` is not mhcbench-vectors");
    if (vector_attribute(file->file, "version", H5T_INTEGER, &version, sizeof version) != READ || version != 1)
        return refuse(why, "a vector file whose version is not 1");
    if (!list)
        return true;
    hid_t cases = open_group(file->file, "cases");
    bool good = cases >= 0 && H5Literate(cases, H5_INDEX_NAME, H5_ITER_INC, NULL, note_name, file) >= 0;
    if (cases >= 0)
        H5Gclose(cases);
    if (!good || !file->count)
        return refuse(why, good ? "it holds no cases" : "its group /cases is missing or cannot be read");
    qsort(file->names, (size_t)file->count, sizeof *file->names, by_name);
    return true;
}

struct vectors *vectors_open(const char *path, bool list, char *why, size_t why_size) {
    struct text text = {why, why_size};
    struct stat status;
    struct vectors *file = calloc(1, sizeof *file);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* the library's own messages say nothing to a user */
    const bool there = file && !access(path, R_OK) && !stat(path, &status);
    if (!there || !S_ISREG(status.st_mode)) { /* open() would wait for the writer of a pipe */
        refuse(text, "%s", there ? "no regular file" : strerror(errno));
        free(file);
        return NULL;
    }
    file->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool good = file->file >= 0 ? read_root(file, list, text) : refuse(text, "not an HDF5 file, or a damaged one");
    if (good)
        return file;
    vectors_close(file);
    return NULL;
}

void vectors_close(struct vectors *file) {
    for (int64_t k = 0; k < file->count; k++)
        free(file->names[k]);
    free(file->names);
    if (file->file >= 0)
        H5Fclose(file->file);
    free(file);
}

int64_t vectors_count(const struct vectors *file) {
    return file->count;
}

const char *vectors_name(const struct vectors *file, int64_t index) {
    return file->names[index];
}
