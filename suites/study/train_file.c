#include "suites/study/train_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/from.h"

_Static_assert(sizeof((struct program_array *)0)->name == CHECKPOINT_NAME, "names of arrays fit");

static const struct {
    enum program_flat flat;
    const char *name, *long_name;
} flats[] = {
    {FLAT_PARAMETER, "parameters", "parameters in a row: parameter_name, _layer, _first and _length say which"},
    {FLAT_MOMENTUM, "momentum", "first moment of AdamW, at the places of the parameters"},
    {FLAT_RMS, "rms", "second moment of AdamW, at the places of the parameters"}};
enum { FLATS = sizeof flats / sizeof *flats };

static enum checkpoint_type type_of(int32_t type) {
    return type == MHC_F64 ? CHECKPOINT_DOUBLES : type == MHC_BF16 ? CHECKPOINT_HALVES : CHECKPOINT_FLOATS;
}

/* ---- from a memory ---- */

static int32_t type_in(const struct program_memory *m) {
    for (int64_t k = 0; k < m->held.count; k++)
        if (m->held.array[k].flat == FLAT_PARAMETER)
            return m->held.array[k].type;
    return MHC_F64;
}

/* Which parameter lies where. */
static bool describe(struct train_parts *parts, const struct program_memory *m) {
    const size_t room = (size_t)m->held.count + 1;
    const int32_t type = type_in(m);
    *parts = (struct train_parts){.type = type_of(type),
                                  .elements = m->flat.first[PARAMETER_GROUPS] / mhc_type_bytes(type),
                                  .name = calloc(room, CHECKPOINT_NAME),
                                  .layer = calloc(room, sizeof(int64_t)),
                                  .first = calloc(room, sizeof(int64_t)),
                                  .length = calloc(room, sizeof(int64_t))};
    if (!parts->name || !parts->layer || !parts->first || !parts->length)
        return false;
    for (int64_t k = 0; k < m->held.count; k++) {
        const struct program_array *a = &m->held.array[k];
        if (a->flat != FLAT_PARAMETER)
            continue;
        snprintf(parts->name[parts->count], CHECKPOINT_NAME, "%s", a->name);
        parts->layer[parts->count] = a->layer;
        parts->first[parts->count] = a->offset / mhc_type_bytes(type);
        parts->length[parts->count++] = a->count;
    }
    return true;
}

const char *train_parts_take(struct train_parts *parts, const struct program_memory *m) {
    const int64_t bytes = m->flat.first[PARAMETER_GROUPS];
    if (!describe(parts, m))
        return "out of memory";
    for (int k = 0; k < FLATS; k++) {
        if (!(parts->flat[k] = malloc((size_t)bytes + 1)))
            return "out of memory";
        if (!backend_read(m->backend, parts->flat[k], program_memory_flat(m, flats[k].flat), bytes))
            return "the parameters cannot be copied from the device";
    }
    return NULL;
}

void train_parts_release(struct train_parts *parts) {
    for (int k = 0; k < FLATS; k++)
        free(parts->flat[k]);
    free(parts->name);
    free(parts->layer);
    free(parts->first);
    free(parts->length);
    *parts = (struct train_parts){.count = 0};
}

void train_parts_put(const struct train_parts *parts, struct checkpoint *c) {
    const struct checkpoint_array which[] = {
        {"parameter_name", "of each parameter", CHECKPOINT_NAMES, parts->count, parts->name},
        {"parameter_layer", "its layer from 0, -1: of the model", CHECKPOINT_INTEGERS, parts->count, parts->layer},
        {"parameter_first", "its first element", CHECKPOINT_INTEGERS, parts->count, parts->first},
        {"parameter_length", "its elements", CHECKPOINT_INTEGERS, parts->count, parts->length}};
    for (int k = 0; k < FLATS; k++)
        c->array[c->arrays++] = (struct checkpoint_array){flats[k].name, flats[k].long_name, parts->type,
                                                          parts->elements, parts->flat[k]};
    for (size_t k = 0; k < sizeof which / sizeof *which; k++)
        c->array[c->arrays++] = which[k];
}

/* ---- into a memory ---- */

static bool same_bytes(const struct checkpoint *c, const char *name, enum checkpoint_type type, int64_t count,
                       const void *want) {
    const struct checkpoint_array *a = checkpoint_array(c, name, type, count);
    return a && !memcmp(a->data, want, (size_t)(count * checkpoint_element(type)));
}

static bool same_places(const struct checkpoint *c, const struct train_parts *want) {
    return same_bytes(c, "parameter_name", CHECKPOINT_NAMES, want->count, want->name) &&
           same_bytes(c, "parameter_layer", CHECKPOINT_INTEGERS, want->count, want->layer) &&
           same_bytes(c, "parameter_first", CHECKPOINT_INTEGERS, want->count, want->first) &&
           same_bytes(c, "parameter_length", CHECKPOINT_INTEGERS, want->count, want->length);
}

static const char *give_flat(const struct checkpoint *c, const struct program_memory *m) {
    struct train_parts want;
    const char *why = describe(&want, m) ? NULL : "out of memory";
    if (!why && !same_places(c, &want))
        why = "its parameters are not those of this one";
    for (int k = 0; k < FLATS && !why; k++) {
        const struct checkpoint_array *a = checkpoint_array(c, flats[k].name, want.type, want.elements);
        if (!a)
            why = "its parameters or moments have another size or type";
        else if (!backend_write(m->backend, program_memory_flat(m, flats[k].flat), a->data,
                                m->flat.first[PARAMETER_GROUPS]))
            why = "the parameters cannot be copied to the device";
    }
    train_parts_release(&want);
    return why;
}

/* A file's parameters, in the type that it has. */
struct source {
    const struct checkpoint_array *values, *name, *layer, *first, *length;
    int32_t type;
};

static bool find_source(const struct checkpoint *c, struct source *s) {
    static const int32_t types[] = {MHC_F64, MHC_F32, MHC_BF16};
    *s = (struct source){.name = checkpoint_array(c, "parameter_name", CHECKPOINT_NAMES, -1)};
    for (int k = 0; k < 3 && !s->values; k++) {
        s->values = checkpoint_array(c, flats[0].name, type_of(types[k]), -1);
        s->type = types[k];
    }
    if (!s->values || !s->name)
        return false;
    s->layer = checkpoint_array(c, "parameter_layer", CHECKPOINT_INTEGERS, s->name->count);
    s->first = checkpoint_array(c, "parameter_first", CHECKPOINT_INTEGERS, s->name->count);
    s->length = checkpoint_array(c, "parameter_length", CHECKPOINT_INTEGERS, s->name->count);
    return s->layer && s->first && s->length;
}

static int64_t integer(const struct checkpoint_array *a, int64_t k) {
    return ((const int64_t *)a->data)[k];
}

/* Where a parameter begins; NULL: the file does not have it so. */
static const char *find_parameter(const struct source *s, const struct program_array *want) {
    for (int64_t k = 0; k < s->name->count; k++) {
        const int64_t first = integer(s->first, k), length = integer(s->length, k);
        if (integer(s->layer, k) != want->layer ||
            strncmp((const char *)s->name->data + k * CHECKPOINT_NAME, want->name, CHECKPOINT_NAME))
            continue;
        bool within = first >= 0 && length >= 0 && first <= s->values->count && length <= s->values->count - first;
        return within && length == want->count ? (const char *)s->values->data + first * mhc_type_bytes(s->type) : NULL;
    }
    return NULL;
}

static const char *give_by_name(const struct checkpoint *c, const struct program_memory *m) {
    static _Thread_local char why[160];
    const struct backend host = {.library = &(const struct mhc_library){0}};
    struct source source;
    if (!find_source(c, &source))
        return "it lacks the parameters of a model";
    for (int64_t k = 0; k < m->held.count; k++) {
        const struct program_array *a = &m->held.array[k];
        if (a->flat != FLAT_PARAMETER)
            continue;
        const char *from = find_parameter(&source, a);
        if (!from)
            return snprintf(why, sizeof why, "it has no parameter %s of layer %lld with %lld elements", a->name,
                            (long long)a->layer, (long long)a->count),
                   why;
        if (!backend_download(&host, m->host, from, a->count, source.type) ||
            !backend_upload(m->backend, program_memory_parameter(m, k), m->host, a->count, a->type))
            return "the parameters cannot be copied to the device";
    }
    return NULL;
}

const char *train_parts_give(const struct checkpoint *c, const struct program_memory *m, bool exactly) {
    return exactly ? give_flat(c, m) : give_by_name(c, m);
}

/* ---- the case ---- */

void train_case_difference(const char *key, const struct params *here, char *text, size_t size) {
    struct params there;
    char why[400], a[PARAM_TEXT_SIZE], b[PARAM_TEXT_SIZE];
    snprintf(text, size, "%.100s", *key ? key : "none is said");
    if (!from_read_key(&there, key, why, sizeof why))
        return;
    for (int k = 0; k < params_count; k++) {
        params_text(&there, &params_table[k], a, sizeof a);
        params_text(here, &params_table[k], b, sizeof b);
        if (strcmp(a, b)) {
            snprintf(text, size, "--%s %.80s there, %.80s here", params_option(&params_table[k]), a, b);
            return;
        }
    }
}
