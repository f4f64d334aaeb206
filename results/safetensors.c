#include "results/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/layout.h"
#include "results/regular.h"
#include "results/text.h"

enum { LENGTH_BYTES = 8, MOST_SHARDS = 4096, MOST_TENSORS = 4000000 };
#define LARGEST_HEADER ((uint64_t)100 << 20) /* the limit of the format's own reader */
static const char index_end[] = ".index.json", file_end[] = ".safetensors";

static const struct {
    const char *name;
    int bytes;
} types[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"F64", 8}, {"I64", 8}, {"I32", 4},     {"I16", 2},    {"I8", 1},
             {"U8", 1},  {"BOOL", 1}, {"U16", 2}, {"U32", 4}, {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

/* Bytes of an element; 0: a type that is not known here, of which nothing is read. */
static int type_bytes(const char *type) {
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (!strcmp(types[k].name, type))
            return types[k].bytes;
    return 0;
}

bool tensor_is_real(const struct tensor *t) {
    return !strcmp(t->type, "F32") || !strcmp(t->type, "BF16") || !strcmp(t->type, "F16");
}

static uint64_t little_endian(const unsigned char bytes[LENGTH_BYTES]) {
    uint64_t value = 0;
    for (int k = LENGTH_BYTES; k-- > 0;)
        value = value << 8 | bytes[k];
    return value;
}

/* ---- a header ---- */

static bool fail_tensor(const char *path, const char *name, const char *what) {
    return record_fail("%s: tensor %.200s: %s", path, name, what);
}

static bool read_extents(const json_t *shape, struct tensor *t) {
    const size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > TENSOR_RANK)
        return false;
    t->rank = (int)rank;
    t->elements = 1;
    for (size_t k = 0; k < rank; k++) {
        const json_t *extent = json_array_get(shape, k);
        int64_t value = json_is_integer(extent) ? (int64_t)json_integer_value(extent) : -1;
        if (value < 0 || __builtin_mul_overflow(t->elements, value, &t->elements))
            return false;
        t->extent[k] = value;
    }
    return true;
}

static bool read_tensor(const char *path, const char *name, const json_t *entry, int64_t data, int64_t size,
                        struct tensor *t) {
    const json_t *offsets = json_object_get(entry, "data_offsets"), *begin = json_array_get(offsets, 0),
                 *end = json_array_get(offsets, 1);
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (!type || strlen(type) >= TENSOR_TYPE)
        return fail_tensor(path, name, "its dtype is no text, or too long");
    snprintf(t->type, sizeof t->type, "%s", type);
    if (!read_extents(json_object_get(entry, "shape"), t))
        return fail_tensor(path, name, "its shape is no list of sizes");
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fail_tensor(path, name, "its data_offsets are no two whole numbers");
    const int64_t from = (int64_t)json_integer_value(begin), to = (int64_t)json_integer_value(end);
    int64_t bytes;
    if (from < 0 || to < from || to > size - data)
        return fail_tensor(path, name, "its data_offsets lie outside the file: cut off, or damaged");
    if (type_bytes(type) &&
        (__builtin_mul_overflow(t->elements, (int64_t)type_bytes(type), &bytes) || bytes != to - from))
        return fail_tensor(path, name, "its data_offsets do not fit its shape and dtype");
    t->at = data + from;
    t->bytes = to - from;
    return (t->name = strdup(name)) || record_fail("out of memory");
}

static int by_place(const void *a, const void *b) {
    const struct tensor *x = a, *y = b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool are_apart(const char *path, struct tensor *t, int64_t count) {
    qsort(t, (size_t)count, sizeof *t, by_place);
    for (int64_t k = 1; k < count; k++)
        if (t[k].bytes && t[k - 1].bytes && t[k].at < t[k - 1].at + t[k - 1].bytes)
            return record_fail("%s: tensors %.100s and %.100s overlap", path, t[k - 1].name, t[k].name);
    return true;
}

static bool add_header(struct safetensors *s, int shard, const json_t *header, int64_t data, int64_t size) {
    const int64_t first = s->count;
    const size_t room = (size_t)s->count + json_object_size(header) + 1;
    struct tensor *grown = room < MOST_TENSORS ? realloc(s->tensor, room * sizeof *grown) : NULL;
    const char *name;
    json_t *entry;
    if (!grown)
        return record_fail("%s: too many tensors", s->shard[shard]);
    s->tensor = grown;
    json_object_foreach((json_t *)header, name, entry) {
        if (!strcmp(name, "__metadata__"))
            continue;
        struct tensor *t = &s->tensor[s->count];
        *t = (struct tensor){.shard = shard};
        if (!read_tensor(s->shard[shard], name, entry, data, size, t))
            return false;
        s->count++;
    }
    return are_apart(s->shard[shard], s->tensor + first, s->count - first);
}

/* JSON of a header or an index; NULL: the error line says why not. */
static json_t *parse(const char *path, const char *text, size_t size) {
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (json && json_is_object(json))
        return json;
    record_fail("%s: %s", path, json ? "its JSON is no object" : error.text);
    json_decref(json);
    return NULL;
}

static bool read_header(struct safetensors *s, int shard, int file, int64_t size) {
    unsigned char length_bytes[LENGTH_BYTES];
    const char *path = s->shard[shard];
    if (size < LENGTH_BYTES || !regular_read(file, path, length_bytes, sizeof length_bytes, 0))
        return record_fail("%s: too short for a safetensors file", path);
    const uint64_t length = little_endian(length_bytes);
    if (length > LARGEST_HEADER || (int64_t)length > size - LENGTH_BYTES)
        return record_fail("%s: no safetensors file: its header would have %llu bytes, and the file has %lld", path,
                           (unsigned long long)length, (long long)size);
    char *text = malloc((size_t)length + 1);
    json_t *json = NULL;
    if (!text || !regular_read(file, path, text, (size_t)length, LENGTH_BYTES))
        record_fail("%s: its header cannot be read", path);
    else
        json = parse(path, text, (size_t)length);
    const bool good = json && add_header(s, shard, json, LENGTH_BYTES + (int64_t)length, size);
    json_decref(json);
    free(text);
    return good;
}

static bool read_shard(struct safetensors *s, int shard) {
    int64_t size;
    const int file = regular_open(s->shard[shard], &size);
    if (file < 0)
        return false;
    const bool good = read_header(s, shard, file, size);
    close(file);
    return good;
}

/* ---- which files ---- */

static bool has_shard(const struct safetensors *s, const char *path) {
    for (int k = 0; k < s->shards; k++)
        if (!strcmp(s->shard[k], path))
            return true;
    return false;
}

static bool add_shard(struct safetensors *s, const char *path) {
    if (has_shard(s, path))
        return true;
    char **grown = s->shards < MOST_SHARDS ? realloc(s->shard, (size_t)(s->shards + 1) * sizeof *grown) : NULL;
    if (grown)
        s->shard = grown;
    if (!grown || !(grown[s->shards] = strdup(path)))
        return record_fail("%s: more than %d shards, or out of memory", path, MOST_SHARDS);
    s->shards++;
    return true;
}

/* Beside a file, with another name. */
static bool beside(const char *path, const char *name, char *full, size_t size) {
    const char *slash = strrchr(path, '/');
    return snprintf(full, size, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name) < (int)size;
}

/* Shards that are not there, in one line. */
static bool name_missing(const struct safetensors *s, const char *index) {
    char names[600] = "";
    int missing = 0;
    for (int k = 0; k < s->shards; k++) {
        const char *slash = strrchr(s->shard[k], '/');
        if (!access(s->shard[k], F_OK))
            continue;
        if (missing++ < 4)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.120s", missing > 1 ? ", " : "",
                     slash ? slash + 1 : s->shard[k]);
    }
    return missing ? record_fail("%s: %d of %d shards that hold what is needed are missing: %s%s", index, missing,
                                 s->shards, names, missing > 4 ? ", ..." : "")
                   : true;
}

static bool add_wanted(struct safetensors *s, const char *path, const json_t *map, bool (*wanted)(const char *)) {
    const char *name;
    json_t *entry;
    if (!json_is_object(map))
        return record_fail("%s: it has no weight_map", path);
    json_object_foreach((json_t *)map, name, entry) {
        char full[4096];
        const char *file = json_string_value(entry);
        if (!wanted(name))
            continue;
        if (!file || !*file || strchr(file, '/') || file[0] == '.' || !beside(path, file, full, sizeof full))
            return record_fail("%s: the shard of %.200s is no file name", path, name);
        if (!add_shard(s, full))
            return false;
    }
    json_object_foreach((json_t *)map, name, entry) {
        char full[4096];
        const char *file = json_string_value(entry);
        s->unread += !wanted(name) && !(file && beside(path, file, full, sizeof full) && has_shard(s, full));
    }
    return true;
}

static bool list_index(struct safetensors *s, const char *path, bool (*wanted)(const char *)) {
    int64_t size;
    const int file = regular_open(path, &size);
    char *text = file >= 0 && size <= (int64_t)LARGEST_HEADER ? malloc((size_t)size + 1) : NULL;
    json_t *json = NULL;
    if (text && regular_read(file, path, text, (size_t)size, 0))
        json = parse(path, text, (size_t)size);
    else if (file >= 0)
        record_fail("%s: the index cannot be read", path);
    const bool good = json && add_wanted(s, path, json_object_get(json, "weight_map"), wanted) && name_missing(s, path);
    json_decref(json);
    free(text);
    if (file >= 0)
        close(file);
    return good;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* An index where there is one, else every file. */
static bool list_folder(struct safetensors *s, const char *path, bool (*wanted)(const char *)) {
    DIR *folder = opendir(path);
    char index[4096] = "", full[4096];
    bool good = folder || record_fail("%s: %s", path, strerror(errno));
    for (struct dirent *entry; good && (entry = readdir(folder));) {
        if (snprintf(full, sizeof full, "%s/%s", path, entry->d_name) >= (int)sizeof full)
            continue;
        if (text_ends_with(entry->d_name, index_end) && (!index[0] || strcmp(full, index) < 0))
            snprintf(index, sizeof index, "%s", full);
        else if (text_ends_with(entry->d_name, file_end))
            good = add_shard(s, full);
    }
    if (folder)
        closedir(folder);
    if (!good)
        return false;
    if (index[0]) {
        for (int k = 0; k < s->shards; k++)
            free(s->shard[k]);
        s->shards = 0;
        return list_index(s, index, wanted);
    }
    qsort(s->shard, (size_t)s->shards, sizeof *s->shard, by_text);
    return s->shards || record_fail("%s: no *%s and no *%s in it", path, file_end, index_end);
}

bool safetensors_is(const char *path) {
    unsigned char head[LENGTH_BYTES + 1] = {0};
    struct stat about;
    int64_t size = 0;
    if (!stat(path, &about) && S_ISDIR(about.st_mode))
        return true;
    if (text_ends_with(path, file_end) || text_ends_with(path, index_end))
        return true;
    const int file = regular_open(path, &size);
    const bool there = file >= 0 && regular_read(file, path, head, sizeof head, 0);
    if (file >= 0)
        close(file);
    return there && (head[0] == '{' || (head[LENGTH_BYTES] == '{' && little_endian(head) <= LARGEST_HEADER));
}

/* ---- all of it ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

static bool list_files(struct safetensors *s, const char *path, bool (*wanted)(const char *)) {
    struct stat about;
    int64_t size;
    char first = 0;
    if (!stat(path, &about) && S_ISDIR(about.st_mode))
        return list_folder(s, path, wanted);
    const int file = regular_open(path, &size);
    if (file < 0)
        return false;
    const bool is_index = text_ends_with(path, index_end) ||
                          (regular_read(file, path, &first, 1, 0) && first == '{' && !text_ends_with(path, file_end));
    close(file);
    return is_index ? list_index(s, path, wanted) : add_shard(s, path);
}

static bool are_unique(const struct safetensors *s) {
    for (int64_t k = 1; k < s->count; k++)
        if (!strcmp(s->tensor[k].name, s->tensor[k - 1].name))
            return record_fail("tensor %.200s is in %.200s and in %.200s", s->tensor[k].name,
                               s->shard[s->tensor[k - 1].shard], s->shard[s->tensor[k].shard]);
    return true;
}

struct safetensors *safetensors_open(const char *path, bool (*wanted)(const char *name)) {
    struct safetensors *s = calloc(1, sizeof *s);
    bool good = s ? list_files(s, path, wanted) : record_fail("out of memory");
    for (int k = 0; good && k < s->shards; k++)
        good = read_shard(s, k);
    if (good && s->count)
        qsort(s->tensor, (size_t)s->count, sizeof *s->tensor, by_name);
    if (good && are_unique(s))
        return s;
    safetensors_close(s);
    return NULL;
}

void safetensors_close(struct safetensors *s) {
    for (int64_t k = 0; s && k < s->count; k++)
        free(s->tensor[k].name);
    for (int k = 0; s && k < s->shards; k++)
        free(s->shard[k]);
    if (s) {
        free(s->tensor);
        free(s->shard);
    }
    free(s);
}

const char *tensor_text(const struct tensor *t, char text[TENSOR_TEXT]) {
    size_t used = (size_t)snprintf(text, TENSOR_TEXT, "%s ", t->type);
    for (int k = 0; k < t->rank && used < TENSOR_TEXT; k++)
        used += (size_t)snprintf(text + used, TENSOR_TEXT - used, "[%lld]", (long long)t->extent[k]);
    return text;
}

/* ---- numbers ---- */

static double from_half(uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const double mantissa = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent == 31)
        return mantissa != 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static double element(const struct tensor *t, const unsigned char *bytes, int64_t k) {
    uint32_t word = 0;
    uint16_t half = 0;
    float value;
    if (!strcmp(t->type, "F32"))
        memcpy(&word, bytes + 4 * k, 4);
    else
        memcpy(&half, bytes + 2 * k, 2);
    if (!strcmp(t->type, "F16"))
        return from_half(half);
    word = strcmp(t->type, "BF16") ? word : (uint32_t)half << 16;
    memcpy(&value, &word, sizeof value);
    return value;
}

bool tensor_read(const struct safetensors *s, const struct tensor *t, double *values) {
    const char *path = s->shard[t->shard];
    int64_t size;
    const int file = regular_open(path, &size);
    unsigned char *bytes = file >= 0 ? malloc((size_t)t->bytes + 1) : NULL;
    const bool good = bytes && tensor_is_real(t) && regular_read(file, path, bytes, (size_t)t->bytes, t->at);
    if (file >= 0) {
        close(file);
        if (!good)
            record_fail("%s: tensor %.200s cannot be read", path, t->name);
    }
    for (int64_t k = 0; good && k < t->elements; k++)
        values[k] = element(t, bytes, k);
    free(bytes);
    return good;
}
