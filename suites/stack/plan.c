/* The arrays of a program and where they lie. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/philox.h"
#include "suites/stack/compose.h"

/* ---- arrays ---- */

static int64_t *bucket_of(const struct program_arrays *a, const char *name, int64_t layer) {
    uint64_t mixed = (mhc_what(name) + (uint64_t)(layer + 1) * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    return &a->bucket[mixed % (uint64_t)a->buckets];
}

int64_t program_find(const struct program_arrays *a, const char *name, int64_t layer) {
    for (int64_t k = a->buckets ? *bucket_of(a, name, layer) : 0; k > 0; k = a->array[k - 1].next)
        if (a->array[k - 1].layer == layer && !strcmp(a->array[k - 1].name, name))
            return k - 1;
    return -1;
}

static void chain(struct program_arrays *a, int64_t k) {
    int64_t *bucket = bucket_of(a, a->array[k].name, a->array[k].layer);
    a->array[k].next = *bucket;
    *bucket = k + 1;
}

static bool grow(struct program_arrays *a) {
    int64_t room = a->room ? 2 * a->room : 64;
    struct program_array *grown = realloc(a->array, (size_t)room * sizeof *grown);
    a->array = grown ? grown : a->array;
    int64_t *bucket = grown ? calloc((size_t)room, sizeof *bucket) : NULL;
    if (!bucket)
        return false;
    free(a->bucket);
    a->bucket = bucket;
    a->buckets = a->room = room;
    for (int64_t k = 0; k < a->count; k++)
        chain(a, k);
    return true;
}

static int64_t add(struct program_arrays *a, const struct place *place, int64_t count, int32_t type) {
    if (a->count == a->room && !grow(a))
        return -1;
    struct program_array *new = &a->array[a->count++];
    *new = (struct program_array){.argument = place->argument,
                                  .layer = place->layer,
                                  .count = count,
                                  .type = type,
                                  .bytes = type < 0 ? count : count * mhc_type_bytes(type),
                                  .first = -1,
                                  .last = -1};
    memccpy(new->name, place->name, 0, sizeof new->name - 1);
    chain(a, a->count - 1);
    return a->count - 1;
}

/* The program's entry of a held array has its place among those in `offset`. */
int64_t plan_array(struct program *p, const struct place *place, bool fresh, int64_t count, int32_t type) {
    struct program_arrays *held = &p->memory->held;
    int64_t at = fresh ? -1 : program_find(&p->arrays, place->name, place->layer), of_all = 0;
    if (at < 0 && place->source == HELD && (of_all = program_find(held, place->name, place->layer)) < 0)
        of_all = add(held, place, count, type);
    if (at < 0 && of_all >= 0 && (at = add(&p->arrays, place, count, type)) >= 0) {
        p->arrays.array[at].held = place->source == HELD;
        p->arrays.array[at].offset = of_all;
    }
    const struct program_array *array = at < 0 ? NULL : &p->arrays.array[at];
    array = array && array->held ? &held->array[array->offset] : array;
    if (array && array->count == count && array->type == type) {
        if (place->source != MADE && count > p->memory->largest)
            p->memory->largest = count;
        return at;
    }
    if (array && !p->missing[0]) /* rows that disagree on a shape: a library of its own kind */
        snprintf(p->missing, sizeof p->missing, "array %s has %lld elements in one operation and %lld in another",
                 place->name, (long long)array->count, (long long)count);
    p->failed |= !array;
    return -1;
}

/* ---- where they lie ---- */

/* Places that are shared start at the 64 bytes that rows ask for: small stacks are mostly what is rounded up. */
static int64_t shared_bytes(const struct program_array *a) {
    return (a->bytes + 63) / 64 * 64;
}

static void put_behind(struct program_arrays *a, struct program_array *array, int64_t bytes) {
    array->offset = (int64_t)fmin(a->bytes, 0x1p62);
    a->bytes += (double)bytes;
}

/* Whether an array has a place of its own, and not one in a flat array or among the held ones. */
static bool is_placed(const struct program_array *a) {
    return !a->held && a->flat == FLAT_NONE;
}

static void lay_out(struct program_arrays *a) {
    a->bytes = 0;
    for (int64_t k = 0; k < a->count; k++)
        if (is_placed(&a->array[k]))
            put_behind(a, &a->array[k], backend_aligned(a->array[k].bytes));
}

/* Dead arrays by size: a new one takes the place of the youngest of its size. */
struct free_places {
    struct {
        int64_t bytes, youngest;
    } size[64];
    int sizes;
};

static int64_t *places_of(struct free_places *f, int64_t bytes) {
    int k = 0;
    while (k < f->sizes && f->size[k].bytes != bytes)
        k++;
    if (k == f->sizes && k < 64) {
        f->size[k].bytes = bytes;
        f->size[f->sizes++].youngest = -1;
    }
    return k < 64 ? &f->size[k].youngest : NULL; /* more sizes than a program has: such an array shares with none */
}

static void settle(struct program_arrays *a, struct program_array *array, struct free_places *dead) {
    int64_t *places = places_of(dead, shared_bytes(array));
    if (!places || *places < 0) {
        put_behind(a, array, shared_bytes(array));
        return;
    }
    array->offset = a->array[*places].offset;
    *places = a->array[*places].next;
}

static void bury(struct program_arrays *a, int32_t at, struct free_places *dead) {
    int64_t *places = places_of(dead, shared_bytes(&a->array[at]));
    a->array[at].last = -1; /* once, though it may stand twice in a call */
    if (!places)
        return;
    a->array[at].next = *places;
    *places = at;
}

/* Arrays stand in the order of their first calls; those of no call, like the scratch, come first and live for ever. */
static void lay_out_shared(struct program *p) {
    struct program_arrays *a = &p->arrays;
    struct free_places dead = {.sizes = 0};
    int64_t born = 0;
    a->bytes = 0;
    for (int64_t k = 0; k < p->calls; k++) {
        const struct program_call *call = &p->call[k];
        for (; born < a->count && a->array[born].first <= k; born++)
            if (is_placed(&a->array[born]))
                settle(a, &a->array[born], &dead);
        for (int i = 0; i <= MHC_MAX_ARGS; i++) {
            int32_t at = i < MHC_MAX_ARGS ? call->argument[i] : call->save;
            if (at >= 0 && is_placed(&a->array[at]) && a->array[at].last == k)
                bury(a, at, &dead);
        }
    }
}

void plan_memory(struct program *p) {
    struct program_memory *m = p->memory;
    if (p->spec.share)
        lay_out_shared(p);
    else
        lay_out(&p->arrays);
    m->batch_bytes = fmax(m->batch_bytes, p->arrays.bytes);
    lay_out(&m->held);
    m->held.bytes += plan_flat_bytes(m);
    m->set_bytes = m->held.bytes + m->micro_batches * m->batch_bytes;
}

void program_release(struct program *p) {
    free(p->arrays.array);
    free(p->arrays.bucket);
    free(p->call);
    *p = (struct program){0};
}

/* ---- memory ---- */

/* NaN in every type. */
static bool poison(const struct backend *b, char *memory, int64_t bytes) {
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);
    bool good = piece != NULL;
    if (piece)
        memset(piece, 0xFF, PIECE);
    for (int64_t at = 0; at < bytes && good; at += PIECE)
        good = backend_write(b, memory + at, piece, bytes - at < PIECE ? bytes - at : PIECE);
    free(piece);
    return good;
}

const char *program_memory_open(struct program_memory *m, int64_t sets) {
    double bytes = (double)sets * m->set_bytes;
    m->sets = sets;
    m->slab = bytes < 0x1p62 ? backend_allocate(m->backend, (int64_t)bytes) : NULL;
    m->host = m->largest < (int64_t)1 << 58 ? malloc((size_t)(m->largest + 1) * sizeof *m->host) : NULL;
    return m->slab && m->host ? NULL : "out of memory";
}

bool program_memory_poison(const struct program_memory *m) {
    return m->backend->model || poison(m->backend, m->slab, m->sets * (int64_t)m->set_bytes);
}

static char *held_pointer(const struct program_memory *m, int64_t k, int64_t set) {
    const struct program_array *a = &m->held.array[k];
    return a->flat ? plan_flat_pointer(m, a->flat, false, set) + a->offset
                   : m->slab + set * (int64_t)m->set_bytes + a->offset;
}

const char *program_memory_fill(struct program_memory *m, program_give *give, void *user) {
    const char *why = NULL;
    if (m->backend->model)
        return NULL;
    for (int64_t set = 0; set < m->sets && !why; set++)
        why = plan_clear_flat(m, set);
    for (int64_t k = 0; k < m->held.count && !why; k++) {
        const struct program_array *a = &m->held.array[k];
        why = give(user, a, m->host);
        for (int64_t set = 0; set < m->sets && !why; set++)
            if (!backend_upload(m->backend, held_pointer(m, k, set), m->host, a->count, a->type))
                why = "an array cannot be copied to the device";
    }
    return why;
}

void program_memory_release(struct program_memory *m) {
    free(m->held.array);
    free(m->held.bucket);
    free(m->host);
    if (m->backend)
        backend_release(m->backend, m->slab);
    *m = (struct program_memory){0};
}

char *program_pointer(const struct program *p, int64_t array, int64_t set, int micro_batch) {
    const struct program_memory *m = p->memory;
    const struct program_array *a = &p->arrays.array[array];
    char *base = m->slab + set * (int64_t)m->set_bytes;
    if (a->flat)
        return plan_flat_pointer(m, a->flat, a->next_values, set) + plan_slice_offset(m, a->slice);
    return a->held ? held_pointer(m, a->offset, set)
                   : base + (int64_t)m->held.bytes + micro_batch * (int64_t)m->batch_bytes + a->offset;
}

bool program_poison(const struct program *p, int64_t array, int64_t set, int micro_batch) {
    return poison(p->memory->backend, program_pointer(p, array, set, micro_batch), p->arrays.array[array].bytes);
}
