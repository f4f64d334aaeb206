/* One dataset of a file that may be damaged or malicious: examined before anything of it is read. */
#include "results/reader.h"

#include <stdlib.h>
#include <string.h>

#include "results/text.h"

/* Bounds on what a file can make the reader allocate. */
enum { LARGEST_TEXT = 4096, TEXT_BLOCK = 1 << 20 };
static const size_t LARGEST_SPAN = (size_t)1 << 20; /* bytes that are read to get at some of them */
static const hsize_t LARGEST_CHUNK = (hsize_t)64 << 20;
static const size_t LARGEST_ARENA = (size_t)1 << 30;

static enum verdict judge(enum verdict verdict, const struct record_reader *r, const char *group, const char *name,
                          const char *complaint) {
    record_fail("%s: %s/%s: %s", r->path, group, name, complaint);
    return verdict;
}

/* Only data inside this file, behind filters that HDF5 brings with it. */
static const char *check_storage(hid_t dataset, int rank, size_t element) {
    static const H5Z_filter_t known[] = {H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32};
    const char *complaint = NULL;
    hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0)
        return "damaged";
    if (H5Pget_external_count(creation) != 0)
        complaint = "data in another file";
    const H5D_layout_t layout = H5Pget_layout(creation);
    if (layout != H5D_CHUNKED && layout != H5D_CONTIGUOUS && layout != H5D_COMPACT)
        complaint = "data in another dataset";
    hsize_t chunk[4], bytes = element;
    if (!complaint && layout == H5D_CHUNKED) {
        if (H5Pget_chunk(creation, rank, chunk) != rank)
            complaint = "damaged chunks";
        for (int i = 0; !complaint && i < rank; i++)
            if (chunk[i] == 0 || chunk[i] > LARGEST_CHUNK || (bytes *= chunk[i]) > LARGEST_CHUNK)
                complaint = "chunks too large";
    }
    const int filters = complaint ? 0 : H5Pget_nfilters(creation);
    for (int i = 0; !complaint && i < filters; i++) {
        unsigned flags, configuration;
        size_t parameters = 0;
        const H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &parameters, NULL, 0, NULL,
                                                   &configuration);
        complaint = "a filter other than deflate, shuffle and fletcher32";
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (filter == known[k])
                complaint = NULL;
    }
    H5Pclose(creation);
    return complaint;
}

/* Sets the type of the series; false: none of ours. */
static bool classify(hid_t type, struct series *s) {
    const size_t size = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_INTEGER: s->type = RECORD_INT; return size >= 1 && size <= 8;
    case H5T_FLOAT: s->type = RECORD_REAL; return size >= 1 && size <= 8;
    case H5T_STRING: s->type = RECORD_TEXT; return H5Tis_variable_str(type) == 0 && size >= 1 && size <= LARGEST_TEXT;
    case H5T_ENUM:
        s->type = RECORD_INT;
        s->is_status = true;
        return size == 1;
    default: return false;
    }
}

static enum verdict examine(const struct record_reader *r, const char *group, int rank, int64_t rows, hsize_t *extent,
                            struct series *s) {
    hid_t type = H5Dget_type(s->dataset), space = H5Dget_space(s->dataset);
    const size_t element = type < 0 ? 0 : H5Tget_size(type);
    const bool simple = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE;
    const int found = simple ? H5Sget_simple_extent_ndims(space) : -1;
    const bool typed = element > 0 && classify(type, s);
    if (found == rank)
        H5Sget_simple_extent_dims(space, extent, NULL);
    H5Sclose(space);
    H5Tclose(type);
    if (found != rank)
        return judge(VERDICT_UNKNOWN, r, group, s->name, "wrong number of dimensions");
    if (!typed)
        return judge(VERDICT_UNKNOWN, r, group, s->name, "wrong type");
    for (int i = 0; i < rank; i++)
        if (extent[i] > (hsize_t)(i ? RECORD_MAX_LAYERS : INT64_MAX / 4096))
            return judge(VERDICT_BAD, r, group, s->name, "impossible extent");
    if ((int64_t)extent[0] < rows)
        return judge(VERDICT_BAD, r, group, s->name, "fewer rows than cases");
    const char *complaint = check_storage(s->dataset, rank, element);
    return complaint ? judge(VERDICT_BAD, r, group, s->name, complaint) : VERDICT_GOOD;
}

/* Opens it again without a cache of chunks. There are some hundred datasets of one value per case: they are read in
 * pieces of many chunks, and their caches would keep the file in memory. */
static hid_t without_cache(hid_t dataset, hid_t group, const char *name) {
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 0, 0, 1);
    H5Dclose(dataset);
    dataset = H5Dopen2(group, name, access);
    H5Pclose(access);
    return dataset;
}

enum verdict series_open(const struct record_reader *r, hid_t group, const char *group_name, const char *name, int rank,
                         int64_t rows, hsize_t *extent, struct series *s) {
    *s = (struct series){.dataset = -1};
    H5L_info_t link;
    if (group < 0 || strchr(name, '/') || H5Lexists(group, name, H5P_DEFAULT) <= 0)
        return judge(VERDICT_UNKNOWN, r, group_name, name, "absent");
    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
        return judge(VERDICT_BAD, r, group_name, name, "damaged link");
    if (link.type != H5L_TYPE_HARD)
        return judge(VERDICT_UNKNOWN, r, group_name, name, "a link, not a dataset");
    s->dataset = H5Oopen(group, name, H5P_DEFAULT);
    if (s->dataset < 0)
        return judge(VERDICT_BAD, r, group_name, name, "damaged");
    if (H5Iget_type(s->dataset) != H5I_DATASET) {
        H5Oclose(s->dataset);
        s->dataset = -1;
        return judge(VERDICT_UNKNOWN, r, group_name, name, "no dataset");
    }
    if (rank == 1 && (s->dataset = without_cache(s->dataset, group, name)) < 0)
        return judge(VERDICT_BAD, r, group_name, name, "damaged");
    s->name = strdup(name);
    const enum verdict verdict = s->name ? examine(r, group_name, rank, rows, extent, s) : VERDICT_BAD;
    if (verdict == VERDICT_GOOD) {
        s->width = rank > 1 ? (int64_t)extent[1] : 1;
        s->unit = read_text_attribute(s->dataset, "units", LARGEST_TEXT);
        s->long_name = read_text_attribute(s->dataset, "long_name", LARGEST_TEXT);
        char *const own[] = {s->name, s->unit, s->long_name};
        for (int k = 0; k < 3 && !r->raw; k++)
            if (own[k])
                text_clean(own[k]);
    } else {
        series_close(s);
    }
    return verdict;
}

void series_forget(struct series *s) {
    free(s->window);
    free(s->arena);
    free(s->texts);
    free(s->values);
    s->window = NULL;
    s->window_count = 0;
    s->arena = NULL;
    s->texts = NULL;
    s->values = NULL;
}

void series_close(struct series *s) {
    series_forget(s);
    free(s->long_name);
    free(s->unit);
    free(s->name);
    if (s->dataset >= 0)
        H5Dclose(s->dataset);
    *s = (struct series){.dataset = -1};
}

bool series_read_block(const struct record_reader *r, const char *group_name, const struct series *s, int rank,
                       const hsize_t *start, const hsize_t *count, hid_t memory_type, void *out) {
    reader_begins(r->path);
    hid_t memory = H5Screate_simple(rank, count, NULL), file = H5Dget_space(s->dataset);
    const bool good = memory >= 0 && file >= 0 &&
                      H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                      H5Dread(s->dataset, memory_type, memory, file, H5P_DEFAULT, out) >= 0;
    if (!good)
        record_fail_hdf5("%s: %s/%s: cannot be read", r->path, group_name, s->name);
    H5Sclose(file);
    H5Sclose(memory);
    return good;
}

static bool read_all(const struct record_reader *r, const char *group_name, const struct series *s, int64_t first,
                     int64_t count, int64_t width, hid_t memory_type, void *out) {
    const hsize_t start[] = {(hsize_t)first, 0}, extent[] = {(hsize_t)count, (hsize_t)width};
    return series_read_block(r, group_name, s, width ? 2 : 1, start, extent, memory_type, out);
}

/* Cases [i, i + run) whose rows lie scattered among `rows` rows: those are read, and the others left out. */
static bool read_scattered(const struct record_reader *r, const char *group_name, const struct series *s, int64_t i,
                           int64_t run, int64_t rows, int64_t width, hid_t memory_type, char *out) {
    const size_t bytes = H5Tget_size(memory_type) * (size_t)(width ? width : 1);
    char *some = malloc((size_t)rows * bytes);
    const bool good = some ? read_all(r, group_name, s, r->row[i], rows, width, memory_type, some)
                           : record_fail("%s: out of memory", r->path);
    for (int64_t k = 0; good && k < run; k++)
        memcpy(out + (size_t)k * bytes, some + (size_t)(r->row[i + k] - r->row[i]) * bytes, bytes);
    free(some);
    return good;
}

/* Rows that do not count may be in the middle of being written: they are not touched. In a complete file all count. */
bool series_read_cases(const struct record_reader *r, const char *group_name, const struct series *s, int64_t first,
                       int64_t count, int64_t width, hid_t memory_type, void *out) {
    const size_t bytes = H5Tget_size(memory_type) * (size_t)(width ? width : 1);
    const int64_t most = record_complete(r) ? 1 + (int64_t)(LARGEST_SPAN / bytes) : 0;
    if (!r->row)
        return read_all(r, group_name, s, first, count, width, memory_type, out);
    for (int64_t i = first, run; i < first + count; i += run) {
        run = 1;
        while (i + run < first + count && (r->row[i + run] == r->row[i] + run || r->row[i + run] - r->row[i] < most))
            run++;
        char *at = (char *)out + (size_t)(i - first) * bytes;
        const int64_t rows = r->row[i + run - 1] - r->row[i] + 1;
        if (!(rows == run ? read_all(r, group_name, s, r->row[i], run, width, memory_type, at)
                          : read_scattered(r, group_name, s, i, run, rows, width, memory_type, at)))
            return false;
    }
    return true;
}

/* A memory type one byte longer than the file's, so that HDF5 itself terminates every text. */
static hid_t terminated_type(const struct series *s, size_t *size) {
    hid_t in_file = H5Dget_type(s->dataset);
    *size = H5Tget_size(in_file) + 1;
    hid_t type = H5Tcopy(H5T_C_S1);
    if (H5Tset_size(type, *size) < 0 || H5Tset_cset(type, H5Tget_cset(in_file)) < 0) {
        H5Tclose(type);
        type = -1;
    }
    H5Tclose(in_file);
    return type;
}

/* How the rows of a series are read: those of the dataset, or those of the cases. */
typedef bool read_rows(const struct record_reader *, const char *group_name, const struct series *, int64_t first,
                       int64_t count, int64_t width, hid_t memory_type, void *out);

/* Texts arrive by blocks and stay packed in one arena, which therefore grows with what is in the file and not with what
 * its dimensions claim; one that repeats the last is there once. Offsets become pointers once it no longer moves. */
static bool load_texts(const struct record_reader *r, const char *group_name, struct series *s, int64_t from,
                       int64_t rows, read_rows *read) {
    size_t size, used = 0, room = 0, last = 0;
    hid_t type = terminated_type(s, &size);
    const int64_t fit = (int64_t)(TEXT_BLOCK / size), most = rows < fit ? rows : fit;
    char *block = malloc((size_t)(most + 1) * size), *arena = NULL;
    size_t *offset = malloc(((size_t)rows + 1) * sizeof *offset);
    bool good = block && offset ? true : record_fail("%s: out of memory", r->path);
    if (good && type < 0)
        good = record_fail("%s: %s/%s: damaged type", r->path, group_name, s->name);
    for (int64_t first = 0; good && first < rows; first += most) {
        const int64_t count = rows - first < most ? rows - first : most;
        good = read(r, group_name, s, from + first, count, 0, type, block);
        for (size_t i = 0; good && i < (size_t)count; i++) {
            const size_t length = strnlen(block + i * size, size - 1);
            if (!r->raw)
                text_clean(block + i * size);
            if (used && !strcmp(arena + last, block + i * size)) {
                offset[first + (int64_t)i] = last;
                continue;
            }
            if (used + length + 1 > room) {
                room = 2 * room + 64 * size;
                char *larger = room <= LARGEST_ARENA ? realloc(arena, room) : NULL;
                if (!larger) {
                    good = record_fail("%s: %s/%s: more text than fits", r->path, group_name, s->name);
                    break;
                }
                arena = larger;
            }
            memcpy(arena + used, block + i * size, length);
            arena[used + length] = 0;
            offset[first + (int64_t)i] = last = used;
            used += length + 1;
        }
    }
    s->texts = good ? malloc(((size_t)rows + 1) * sizeof *s->texts) : NULL;
    if (good && !s->texts)
        good = record_fail("%s: out of memory", r->path);
    for (int64_t i = 0; good && i < rows; i++)
        s->texts[i] = arena + offset[i];
    s->arena = arena;
    free(offset);
    free(block);
    H5Tclose(type);
    return good;
}

static bool load_status(const struct record_reader *r, const char *group_name, struct series *s, int64_t rows) {
    const hsize_t start = 0, count = (hsize_t)rows;
    hid_t type = record_status_type(H5T_NATIVE_INT8);
    int8_t *status = malloc((size_t)rows + 1);
    s->values = malloc(((size_t)rows + 1) * sizeof(int64_t));
    bool good = status && s->values ? true : record_fail("%s: out of memory", r->path);
    good = good && (!rows || series_read_block(r, group_name, s, 1, &start, &count, type, status));
    for (int64_t i = 0; good && i < rows; i++) {
        ((int64_t *)s->values)[i] = status[i];
        if (status[i] < RECORD_MISSING || status[i] > RECORD_FAILED)
            good = record_fail("%s: %s/%s: a value without meaning", r->path, group_name, s->name);
    }
    free(status);
    H5Tclose(type);
    return good;
}

static bool load(const struct record_reader *r, const char *group_name, struct series *s, int64_t from, int64_t rows,
                 read_rows *read) {
    if (s->values || s->texts)
        return true;
    bool good;
    if (s->type == RECORD_TEXT) {
        good = load_texts(r, group_name, s, from, rows, read);
    } else if (s->is_status) {
        good = load_status(r, group_name, s, rows);
    } else {
        hid_t type = s->type == RECORD_INT ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
        s->values = malloc(((size_t)rows + 1) * 8);
        good = s->values ? true : record_fail("%s: out of memory", r->path);
        good = good && (!rows || read(r, group_name, s, from, rows, 0, type, s->values));
    }
    if (!good)
        series_forget(s);
    return good;
}

bool series_load(const struct record_reader *r, const char *group_name, struct series *s, int64_t rows) {
    return load(r, group_name, s, 0, rows, read_all);
}

bool series_load_cases(const struct record_reader *r, const char *group_name, struct series *s) {
    return load(r, group_name, s, 0, r->count, series_read_cases);
}

bool series_load_some(const struct record_reader *r, const char *group_name, const struct series *s, int64_t first,
                      int64_t count, struct series *some) {
    *some = *s;
    some->window = NULL;
    some->values = NULL;
    some->texts = NULL;
    some->arena = NULL;
    return load(r, group_name, some, first, count, series_read_cases);
}

char *read_text_attribute(hid_t object, const char *name, int64_t largest) {
    if (H5Aexists(object, name) <= 0)
        return NULL;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    /* Padded with zeros it is read as it is: HDF5 converts in copies of the text, and that of a suite may be long. */
    hid_t in_file = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const bool as_is = in_file >= 0 && H5Tget_class(in_file) == H5T_STRING && H5Tget_strpad(in_file) == H5T_STR_NULLPAD;
    hid_t type = H5Tcopy(as_is ? in_file : H5T_C_S1);
    const size_t size = in_file < 0 ? 0 : H5Tget_size(in_file);
    char *text = NULL;
    if (size > 0 && (int64_t)size <= largest && H5Tget_class(in_file) == H5T_STRING &&
        H5Tis_variable_str(in_file) == 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
        (as_is || (H5Tset_size(type, size + 1) >= 0 && H5Tset_cset(type, H5Tget_cset(in_file)) >= 0)))
        text = calloc(1, size + 1);
    if (text && H5Aread(attribute, type, text) < 0) {
        free(text);
        text = NULL;
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Tclose(in_file);
    H5Aclose(attribute);
    return text;
}
