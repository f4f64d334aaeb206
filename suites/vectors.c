#include "suites/vectors.h"

#include <errno.h>
#include <hdf5.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/metrics.h"
#include "cpu_ref/library.h"
#include "suites/backend.h"

/* No size of a vector is larger, so that products of two fit 64 bits; what fits in memory is decided with all shapes known. */
#define LARGEST_SIZE ((int64_t)1 << 24)

#define CONNECTION {"pre", "post", "post_backward_y", "backward"}
#define BRANCH {"forward", "backward"}
static const struct vector_op ops[] = {
    {"sinkhorn", {"n", "T", "t_max", "convention"}, BRANCH},
    {"mhc", {"n", "C", "T", "t_max", "convention"}, CONNECTION},
    {"hc", {"n", "C", "T"}, CONNECTION},
    {"linear", {"C", "T"}, BRANCH},
    {"mlp", {"C", "T", "hidden", "activation"}, BRANCH},
    {"attention", {"C", "T", "S", "heads", "head_dim"}, BRANCH},
    {"stack.resnet", {"L", "n", "C", "T"}, {NULL}},
    {"stack.hc", {"L", "n", "C", "T"}, {NULL}},
    {"stack.mhc", {"L", "n", "C", "T", "t_max", "convention"}, {NULL}},
    {"gain", {"L", "n", "T"}, {NULL}},
};

static const struct {
    const char *name;
    size_t offset;
    int64_t largest;
} integers[] = {
    {"T", offsetof(struct vector_case, c.T), LARGEST_SIZE},
    {"n", offsetof(struct vector_case, c.n), MHC_MAX_STREAMS},
    {"C", offsetof(struct vector_case, c.C), LARGEST_SIZE},
    {"S", offsetof(struct vector_case, c.S), LARGEST_SIZE},
    {"L", offsetof(struct vector_case, L), LARGEST_SIZE},
    {"t_max", offsetof(struct vector_case, c.t_max), LARGEST_SIZE},
    {"hidden", offsetof(struct vector_case, c.hidden), LARGEST_SIZE},
    {"heads", offsetof(struct vector_case, c.heads), LARGEST_SIZE},
    {"head_dim", offsetof(struct vector_case, c.head_dim), LARGEST_SIZE},
};

static const struct {
    const char *name;
    size_t offset;
    bool required;
} reals[] = {
    {"rtol", offsetof(struct vector_case, rtol), true},
    {"atol", offsetof(struct vector_case, atol), true},
    {"rms_eps", offsetof(struct vector_case, c.rms_eps), false},
    {"sinkhorn_eps", offsetof(struct vector_case, c.sinkhorn_eps), false},
};

static const struct {
    const char *name;
    size_t offset;
    const char *value[2]; /* in the order of the enum */
} choices[] = {
    {"convention", offsetof(struct vector_case, c.convention), {"paper", "v4"}},
    {"activation", offsetof(struct vector_case, c.activation), {"gelu", "swiglu"}},
};

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

struct vectors {
    hid_t file;
    char **names;
    int64_t count;
};

struct text {
    char *at;
    size_t size;
};

static bool refuse(struct text why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why.at, why.size, format, arguments);
    va_end(arguments);
    return false;
}

/* One string or number of an attribute. */
static bool read_string(hid_t attribute, char *value, size_t size) {
    hid_t type = H5Aget_type(attribute);
    bool good = type >= 0 && H5Tget_class(type) == H5T_STRING;
    hid_t memory = good ? H5Tcopy(H5T_C_S1) : -1;
    good = good && H5Tset_cset(memory, H5Tget_cset(type)) >= 0; /* HDF5 does not convert character sets */
    if (good && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        good = H5Tset_size(memory, H5T_VARIABLE) >= 0 && H5Aread(attribute, memory, &text) >= 0 && text &&
               strlen(text) < size;
        if (good)
            memcpy(value, text, strlen(text) + 1);
        if (text)
            H5free_memory(text);
    } else if (good)
        good = H5Tget_size(type) < size && H5Tset_size(memory, size) >= 0 && H5Aread(attribute, memory, value) >= 0;
    if (memory >= 0)
        H5Tclose(memory);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

static bool read_number(hid_t attribute, H5T_class_t wanted, hid_t memory, void *value) {
    hid_t type = H5Aget_type(attribute);
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    bool good = (class == wanted || (wanted == H5T_FLOAT && class == H5T_INTEGER)) &&
                H5Aread(attribute, memory, value) >= 0;
    if (type >= 0)
        H5Tclose(type);
    return good;
}

enum found { ABSENT, UNREADABLE, READ };

/* `class` H5T_STRING reads into a char[size], H5T_INTEGER an int64_t, H5T_FLOAT a double. */
static enum found read_attribute(hid_t object, const char *name, H5T_class_t class, void *value, size_t size) {
    if (H5Aexists(object, name) <= 0)
        return ABSENT;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return UNREADABLE;
    hid_t space = H5Aget_space(attribute);
    bool good = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (good && class == H5T_STRING)
        good = read_string(attribute, value, size);
    else if (good)
        good = read_number(attribute, class, class == H5T_INTEGER ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, value);
    if (space >= 0)
        H5Sclose(space);
    H5Aclose(attribute);
    return good ? READ : UNREADABLE;
}

static bool requires(const struct vector_op *op, const char *name) {
    for (int k = 0; k < COUNT(op->attributes) && op->attributes[k]; k++)
        if (!strcmp(op->attributes[k], name))
            return true;
    return false;
}

static bool read_op(hid_t group, struct vector_case *v, struct text why) {
    char op[32] = "", name[64];
    if (read_attribute(group, "op", H5T_STRING, op, sizeof op) != READ)
        return refuse(why, "attribute `op` is missing or not a string");
    bool stack = !strcmp(op, "stack");
    if (stack && read_attribute(group, "block", H5T_STRING, v->block, sizeof v->block) != READ)
        return refuse(why, "attribute `block` is missing or not a string");
    snprintf(name, sizeof name, "%s%s%s", op, stack ? "." : "", v->block);
    for (int k = 0; k < COUNT(ops); k++)
        if (!strcmp(ops[k].name, name))
            v->op = &ops[k];
    if (!v->op)
        return stack ? refuse(why, "block `%s` is not one of resnet, hc, mhc", v->block)
                     : refuse(why, "op `%s` is not one of sinkhorn, mhc, hc, linear, mlp, attention, stack, gain", op);
    return true;
}

static bool read_sizes(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(integers); k++) {
        const char *name = integers[k].name;
        int64_t *value = (int64_t *)((char *)v + integers[k].offset);
        enum found found = read_attribute(group, name, H5T_INTEGER, value, sizeof *value);
        if (found == ABSENT ? requires(v->op, name) : found == UNREADABLE)
            return refuse(why, "attribute `%s` is missing or not one integer", name);
        if (found == READ && (*value < 1 || *value > integers[k].largest))
            return refuse(why, "attribute `%s` is %lld, not in 1..%lld", name, (long long)*value,
                          (long long)integers[k].largest);
    }
    if (requires(v->op, "S") && v->c.T % v->c.S)
        return refuse(why, "T = %lld is not a multiple of S = %lld", (long long)v->c.T, (long long)v->c.S);
    if (!strcmp(v->block, "resnet") && v->c.n != 1)
        return refuse(why, "a resnet stack has one stream, not n = %lld", (long long)v->c.n);
    return true;
}

static bool read_reals(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(reals); k++) {
        double *value = (double *)((char *)v + reals[k].offset);
        enum found found = read_attribute(group, reals[k].name, H5T_FLOAT, value, sizeof *value);
        if (found == ABSENT ? reals[k].required : found == UNREADABLE)
            return refuse(why, "attribute `%s` is missing or not one number", reals[k].name);
        if (!(*value >= 0) || isinf(*value))
            return refuse(why, "attribute `%s` is %g, not a finite number from 0", reals[k].name, *value);
    }
    return true;
}

static bool read_choices(hid_t group, struct vector_case *v, struct text why) {
    for (int k = 0; k < COUNT(choices); k++) {
        char text[32] = "";
        int32_t *value = (int32_t *)((char *)v + choices[k].offset);
        enum found found = read_attribute(group, choices[k].name, H5T_STRING, text, sizeof text);
        if (found == ABSENT && !requires(v->op, choices[k].name))
            continue;
        for (*value = 0; *value < 2 && strcmp(text, choices[k].value[*value]);)
            ++*value;
        if (found != READ || *value == 2)
            return refuse(why, "attribute `%s` is not one of %s, %s", choices[k].name, choices[k].value[0],
                          choices[k].value[1]);
    }
    return true;
}

const struct mhc_row *vector_row(const char *kind, const char *operation) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", kind, operation);
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        if (!strcmp((*row)->name, name))
            return *row;
    return NULL;
}

struct vector_array *vector_find(struct vector_array *list, int count, const char *name) {
    for (int k = 0; k < count; k++)
        if (!strcmp(list[k].name, name))
            return &list[k];
    return NULL;
}

/* Adds an array once; one without elements (w_gate of a GELU) is not in the file. */
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

/* What the rows of an operation read that no earlier one wrote, and what they write; `parameters`: only those, a set a layer. */
static void expect_row(struct vector_case *v, const char *kind, const char *operation, bool parameters) {
    const struct mhc_row *row = vector_row(kind, operation);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (parameters ? arg->role == MHC_PARAM
                       : arg->direction == MHC_OUT || !vector_find(v->out, v->outs, arg->name))
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
        for (int k = 0; k < COUNT(v->op->operations) && v->op->operations[k]; k++)
            expect_row(v, v->op->name, v->op->operations[k], false);
}

/* Opens a dataset whose type and shape are as they must be; -1 and the reason otherwise. */
static hid_t open_dataset(hid_t group, const char *folder, const struct vector_case *v, const struct vector_array *array,
                          struct text why) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, array->name);
    if (H5Lexists(group, folder, H5P_DEFAULT) <= 0 || H5Lexists(group, path, H5P_DEFAULT) <= 0)
        return refuse(why, "%s is missing", path), -1;
    hid_t dataset = H5Dopen2(group, path, H5P_DEFAULT);
    if (dataset < 0)
        return refuse(why, "%s is not a dataset that can be opened", path), -1;
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

/* Shapes of everything first, the memory all of it takes, then the values. */
static bool read_arrays(hid_t group, struct vector_case *v, struct text why) {
    double bytes = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < v->ins + v->outs; k++) {
            struct vector_array *array = k < v->ins ? &v->in[k] : &v->out[k - v->ins];
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
                good = array->values && H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                                                array->values) >= 0;
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
    if (!read_op(group, v, why) || !read_sizes(group, v, why) || !read_reals(group, v, why) ||
        !read_choices(group, v, why))
        return false;
    expect_all(v);
    if (!read_arrays(group, v, why))
        return false;
    hid_t out = H5Gopen2(group, "out", H5P_DEFAULT);
    if (out >= 0) {
        H5Literate(out, H5_INDEX_NAME, H5_ITER_INC, NULL, note_extra, v);
        H5Gclose(out);
    }
    return true;
}

bool vectors_read(struct vectors *file, const char *name, struct vector_case *v, char *why, size_t why_size) {
    struct text text = {why, why_size};
    *v = (struct vector_case){.c = {.n = 1, .t_max = 1}};
    hid_t cases = H5Gopen2(file->file, "cases", H5P_DEFAULT);
    hid_t group = cases >= 0 ? H5Gopen2(cases, name, H5P_DEFAULT) : -1;
    bool good = group >= 0 ? read_case(group, v, text) : refuse(text, "not a group");
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

static bool read_root(struct vectors *file, struct text why) {
    char format[64] = "";
    int64_t version = 0;
    read_attribute(file->file, "format", H5T_STRING, format, sizeof format);
    if (strcmp(format, "mhcbench-vectors"))
        return refuse(why, "not a vector file: its attribute `format` is not mhcbench-vectors");
    if (read_attribute(file->file, "version", H5T_INTEGER, &version, sizeof version) != READ || version != 1)
        return refuse(why, "a vector file whose version is not 1");
    hid_t cases = H5Gopen2(file->file, "cases", H5P_DEFAULT);
    bool good = cases >= 0 && H5Literate(cases, H5_INDEX_NAME, H5_ITER_INC, NULL, note_name, file) >= 0;
    if (cases >= 0)
        H5Gclose(cases);
    if (!good || !file->count)
        return refuse(why, good ? "it holds no cases" : "its group /cases is missing or cannot be read");
    qsort(file->names, (size_t)file->count, sizeof *file->names, by_name);
    return true;
}

struct vectors *vectors_open(const char *path, char *why, size_t why_size) {
    struct text text = {why, why_size};
    struct vectors *file = calloc(1, sizeof *file);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* the library's own messages say nothing to a user */
    if (!file || access(path, R_OK)) {
        refuse(text, "%s", strerror(errno));
        free(file);
        return NULL;
    }
    file->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool good = file->file >= 0 ? read_root(file, text) : refuse(text, "not an HDF5 file, or a damaged one");
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
