/* A file of maps that anybody may have written: every type and extent is looked at before a number is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/operation.h"
#include "results/attribute.h"
#include "results/layout.h"
#include "results/maps_file.h"

static const char *const orders[] = {
    [MAPS_DESTINATION_SOURCE] = "destination-source",
    [MAPS_SOURCE_DESTINATION] = "source-destination",
};
enum { RANK = 4, MOST_RANK = RANK + 1 };

static hid_t open_file(const char *path) {
    record_quiet_hdf5();
    return H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
}

bool maps_file_is(const char *path) {
    hid_t file = open_file(path);
    const bool has = file >= 0 && H5Lexists(file, "res", H5P_DEFAULT) > 0;
    if (file >= 0)
        H5Fclose(file);
    return has;
}

struct names {
    char *text;
    size_t size;
};

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *context) {
    const struct names *names = context;
    size_t used = strlen(names->text);
    (void)group, (void)info;
    snprintf(names->text + used, names->size - used, "%s%.40s", used ? ", " : "", name);
    return used + 100 > names->size; /* enough of them */
}

bool maps_file_other(const char *path, char *names, size_t size) {
    hid_t file = open_file(path);
    const bool other = file >= 0 && H5Lexists(file, "res", H5P_DEFAULT) <= 0 && H5Aexists(file, "schema") <= 0;
    names[0] = 0;
    if (other)
        H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, &(struct names){names, size});
    if (other && !names[0])
        snprintf(names, size, "nothing");
    if (file >= 0)
        H5Fclose(file);
    return other;
}

/* ---- what it says ---- */

/* "": there is no such attribute. false: it is no text. */
static bool text_of(hid_t object, const char *name, char text[MAPS_FILE_TEXT]) {
    text[0] = 0;
    if (H5Aexists(object, name) <= 0)
        return true;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), space = H5Aget_space(attribute);
    const bool good = H5Sget_simple_extent_npoints(space) == 1 && attribute_text(attribute, text, MAPS_FILE_TEXT);
    H5Sclose(space);
    H5Aclose(attribute);
    return good;
}

static bool read_order(hid_t object, enum maps_order *order) {
    char text[MAPS_FILE_TEXT];
    if (!text_of(object, "order", text))
        return false;
    if (!text[0])
        return true;
    for (int k = MAPS_DESTINATION_SOURCE; k <= MAPS_SOURCE_DESTINATION; k++)
        if (!strcmp(text, orders[k]))
            return *order = (enum maps_order)k, true;
    return false;
}

static void shape_text(int rank, const hsize_t *extent, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int k = 0; k < rank && used < size; k++)
        used += (size_t)snprintf(text + used, size - used, "[%llu]", (unsigned long long)extent[k]);
}

/* An open dataset of floating-point numbers inside the file, and its extents; -1: the error line says why not. */
static hid_t open_dataset(hid_t file, const char *path, const char *name, int *rank, hsize_t *extent) {
    hid_t data = link_is_hard(file, name) ? H5Dopen2(file, name, H5P_DEFAULT) : -1;
    if (data < 0)
        return record_fail("%s: %s is no dataset of this file", path, name), -1;
    hid_t type = H5Dget_type(data), space = H5Dget_space(data);
    const bool real = H5Tget_class(type) == H5T_FLOAT;
    *rank = H5Sget_simple_extent_ndims(space);
    if (*rank >= 0 && *rank <= MOST_RANK)
        H5Sget_simple_extent_dims(space, extent, NULL);
    H5Sclose(space);
    H5Tclose(type);
    if (real && dataset_is_inside(data))
        return data;
    H5Dclose(data);
    return record_fail(real ? "%s: %s has its data in another file" : "%s: %s has no floating-point numbers", path,
                       name),
           -1;
}

/* [L][T][n][n], with or without [seed] in front. */
static bool read_shape(const char *path, int rank, const hsize_t *extent, struct maps_shape *s) {
    const hsize_t *inner = extent + (rank == MOST_RANK);
    char shape[160];
    if (rank != RANK && rank != MOST_RANK)
        return record_fail("%s: res has %d dimensions, and not [L][T][n][n] or [seed][L][T][n][n]", path, rank);
    shape_text(rank, extent, shape, sizeof shape);
    if (inner[2] != inner[3])
        return record_fail("%s: res is %s, and its maps are not square", path, shape);
    if (inner[3] > MHC_MAX_STREAMS)
        return record_fail("%s: res is %s: %llu streams, at most %d are supported", path, shape,
                           (unsigned long long)inner[3], MHC_MAX_STREAMS);
    for (int k = 0; k < rank; k++)
        if (!extent[k])
            return record_fail("%s: res is %s: it has no elements", path, shape);
    if (inner[0] > RECORD_MAX_LAYERS || inner[1] > 1000000000 || (rank == MOST_RANK && extent[0] > 1000000))
        return record_fail("%s: res is %s: at most %d layers, 1e9 tokens and 1e6 seeds", path, shape,
                           RECORD_MAX_LAYERS);
    s->seeds = rank == MOST_RANK ? (int64_t)extent[0] : 1;
    s->L = (int64_t)inner[0];
    s->T = (int64_t)inner[1];
    s->n = (int64_t)inner[2];
    return true;
}

/* pre or post, which must have the shape of res without its last extent. */
static bool look_vector(hid_t file, const char *path, const char *name, int rank, const hsize_t *of_res, bool *there) {
    hsize_t extent[MOST_RANK] = {0};
    char shape[160];
    int own;
    *there = H5Lexists(file, name, H5P_DEFAULT) > 0;
    hid_t data = *there ? open_dataset(file, path, name, &own, extent) : -1;
    if (data < 0)
        return !*there;
    H5Dclose(data);
    if (own == rank - 1 && !memcmp(extent, of_res, (size_t)own * sizeof *extent))
        return true;
    shape_text(rank - 1, of_res, shape, sizeof shape);
    return record_fail("%s: %s does not have the shape %s", path, name, shape);
}

static bool look(hid_t file, const char *path, struct maps_shape *s) {
    hsize_t extent[MOST_RANK] = {0};
    int rank;
    hid_t data = open_dataset(file, path, "res", &rank, extent);
    bool good = data >= 0 && read_shape(path, rank, extent, s);
    if (good && !(read_order(file, &s->order) && read_order(data, &s->order)))
        good = record_fail("%s: its attribute `order` is neither %s nor %s", path, orders[MAPS_DESTINATION_SOURCE],
                           orders[MAPS_SOURCE_DESTINATION]);
    if (good && !(text_of(file, "case", s->key) && text_of(file, "connection", s->connection)))
        good = record_fail("%s: its attribute `case` or `connection` is no text", path);
    if (data >= 0)
        H5Dclose(data);
    return good && look_vector(file, path, "pre", rank, extent, &s->pre) &&
           look_vector(file, path, "post", rank, extent, &s->post);
}

bool maps_file_look(const char *path, struct maps_shape *s) {
    *s = (struct maps_shape){.seeds = 0};
    hid_t file = open_file(path);
    if (file < 0)
        return record_fail_hdf5("%s", path);
    const bool good = look(file, path, s);
    H5Fclose(file);
    return good;
}

/* ---- its numbers ---- */

/* What a start and counts select of an open dataset, which is closed, as `elements` numbers. */
static bool read_selection(hid_t data, const char *path, const char *name, const hsize_t *start, const hsize_t *count,
                           hsize_t elements, double *values) {
    hid_t space = H5Dget_space(data), memory = H5Screate_simple(1, &elements, NULL);
    const bool good = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Sget_select_npoints(space) == (hssize_t)elements &&
                      H5Dread(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values) >= 0;
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(data);
    return good || record_fail_hdf5("%s: %s cannot be read", path, name);
}

/* One seed of a dataset that was looked at, `width` extents n behind [L][T]. */
static bool read_seed(hid_t file, const char *path, const char *name, const struct maps_shape *s, int64_t seed,
                      int width, double *values) {
    hsize_t count[MOST_RANK] = {0}, start[MOST_RANK] = {0}, elements = (hsize_t)(s->L * s->T);
    int rank;
    hid_t data = open_dataset(file, path, name, &rank, count);
    if (data < 0)
        return false;
    if (rank == 3 + width) { /* [seed] in front */
        start[0] = (hsize_t)seed;
        count[0] = 1;
    }
    for (int k = 0; k < width; k++)
        elements *= (hsize_t)s->n;
    return read_selection(data, path, name, start, count, elements, values);
}

static void transpose(double *maps, int64_t count, int64_t n) {
    for (int64_t m = 0; m < count; m++, maps += n * n)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++) {
                const double kept = maps[i * n + j];
                maps[i * n + j] = maps[j * n + i];
                maps[j * n + i] = kept;
            }
}

static bool same_shape(const struct maps_shape *a, const struct maps_shape *b) {
    return a->seeds == b->seeds && a->L == b->L && a->T == b->T && a->n == b->n && a->pre == b->pre &&
           a->post == b->post;
}

bool maps_file_read(const char *path, const struct maps_shape *s, int64_t seed, enum maps_order order, double *res,
                    double *pre, double *post) {
    struct maps_shape now;
    if (!maps_file_look(path, &now))
        return false;
    if (!same_shape(&now, s))
        return record_fail("%s: it has another shape than when the run began", path);
    hid_t file = open_file(path);
    if (file < 0)
        return record_fail_hdf5("%s", path);
    const bool good = read_seed(file, path, "res", s, seed, 2, res) &&
                      (!pre || read_seed(file, path, "pre", s, seed, 1, pre)) &&
                      (!post || read_seed(file, path, "post", s, seed, 1, post));
    H5Fclose(file);
    if (good && order == MAPS_SOURCE_DESTINATION)
        transpose(res, s->L * s->T, s->n);
    return good;
}

/* ---- states ---- */

static bool look_states(hid_t file, const char *path, struct states_shape *s) {
    hsize_t extent[MOST_RANK] = {0};
    int rank;
    hid_t data = open_dataset(file, path, "x", &rank, extent);
    if (data < 0)
        return false;
    H5Dclose(data);
    if (rank != RANK)
        return record_fail("%s: x has %d dimensions, and not [L][T][n][C]", path, rank);
    for (int k = 0; k < RANK; k++)
        if (extent[k] < 1 || extent[k] > 1000000000)
            return record_fail("%s: x has %llu elements along dimension %d", path, (unsigned long long)extent[k], k);
    *s = (struct states_shape){(int64_t)extent[0], (int64_t)extent[1], (int64_t)extent[2], (int64_t)extent[3]};
    return true;
}

bool states_file_look(const char *path, struct states_shape *s) {
    hid_t file = open_file(path);
    if (file < 0)
        return record_fail_hdf5("%s", path);
    const bool good = look_states(file, path, s);
    H5Fclose(file);
    return good;
}

static bool read_states(hid_t file, const char *path, const struct states_shape *s, int64_t layer, double *x) {
    hsize_t count[MOST_RANK] = {0};
    const hsize_t start[MOST_RANK] = {(hsize_t)layer};
    int rank;
    hid_t data = open_dataset(file, path, "x", &rank, count);
    if (data < 0)
        return false;
    count[0] = 1;
    return read_selection(data, path, "x", start, count, (hsize_t)(s->T * s->n * s->C), x);
}

bool states_file_read(const char *path, const struct states_shape *s, int64_t layer, double *x) {
    struct states_shape now;
    hid_t file = open_file(path);
    if (file < 0)
        return record_fail_hdf5("%s", path);
    bool good = look_states(file, path, &now);
    if (good && memcmp(&now, s, sizeof now))
        good = record_fail("%s: it has another shape than when the run began", path);
    good = good && read_states(file, path, s, layer, x);
    H5Fclose(file);
    return good;
}
