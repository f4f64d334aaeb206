#include "suites/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(pointer, bytes) ASAN_POISON_MEMORY_REGION(pointer, bytes)
#define ALLOW(pointer, bytes) ASAN_UNPOISON_MEMORY_REGION(pointer, bytes)
#else
#define FORBID(pointer, bytes) ((void)(pointer), (void)(bytes))
#define ALLOW(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

/* --- tables --- */

static struct table_entry *find(const struct table *t, const char *name) {
    for (int k = 0; k < t->count; k++)
        if (!strcmp(t->entry[k].name, name))
            return (struct table_entry *)&t->entry[k];
    return NULL;
}

double *table_get(const struct table *t, const char *name) {
    const struct table_entry *e = find(t, name);
    return e ? e->values : NULL;
}

static struct table_entry *place(struct table *t, const char *name) {
    struct table_entry *e = find(t, name);
    if (!e) {
        if (t->count == (int)(sizeof t->entry / sizeof *t->entry))
            abort();
        e = &t->entry[t->count++];
    } else if (e->owned) {
        free(e->values);
    }
    *e = (struct table_entry){.name = name};
    return e;
}

double *table_put(struct table *t, const char *name, int64_t count) {
    struct table_entry *e = place(t, name);
    e->values = malloc((size_t)(count > 0 ? count : 1) * sizeof *e->values);
    e->count = count;
    e->owned = true;
    if (!e->values)
        abort();
    return e->values;
}

void table_alias(struct table *t, const char *name, const struct table *from, const char *its_name) {
    const struct table_entry *source = find(from, its_name);
    if (!source)
        return;
    struct table_entry copy = *source;
    struct table_entry *e = place(t, name);
    e->values = copy.values;
    e->count = copy.count;
}

void table_alias_all(struct table *t, const struct table *from) {
    for (int k = 0; k < from->count; k++)
        table_alias(t, from->entry[k].name, from, from->entry[k].name);
}

void table_clear(struct table *t) {
    for (int k = 0; k < t->count; k++)
        if (t->entry[k].owned)
            free(t->entry[k].values);
    t->count = 0;
}

/* --- guarded buffers --- */

enum { BAND = 1024, ALIGNMENT = 128 };

static void fill(unsigned char *bytes, int64_t count, uint16_t pattern) {
    for (int64_t k = 0; k < count; k++)
        bytes[k] = (unsigned char)(k % 2 ? pattern >> 8 : pattern);
}

bool buffer_open(const struct backend *b, struct buffer *m, int64_t bytes, const struct poison *p) {
    int64_t band = p->tight ? 0 : BAND;
    *m = (struct buffer){.bytes = bytes, .offset = band + (p->tight ? 0 : p->shift)};
    m->size = m->offset + bytes + band;
    if (b->library->memory) {
        m->block = backend_allocate(b, m->size);
    } else if (posix_memalign(&m->block, ALIGNMENT, (size_t)(m->size ? m->size : 1))) {
        m->block = NULL;
    }
    m->image = malloc((size_t)m->size + 1);
    m->seen = malloc((size_t)m->size + 1);
    if (!m->block || !m->image || !m->seen)
        return buffer_close(b, m), false;
    fill(m->image, m->size, p->pattern);
    return true;
}

void buffer_close(const struct backend *b, struct buffer *m) {
    if (b->library->memory)
        backend_release(b, m->block);
    else
        free(m->block);
    free(m->image);
    free(m->seen);
    *m = (struct buffer){0};
}

static void *data_of(const struct buffer *m) {
    return (char *)m->block + m->offset;
}

/* The whole block, bands and all, to and from the library's memory. Between the two the bands belong to nobody. */
static bool send(const struct backend *b, const struct buffer *m) {
    if (b->library->memory)
        return !m->size || !b->library->memory->to_device(b->context, m->block, m->image, m->size);
    memcpy(m->block, m->image, (size_t)m->size);
    FORBID(m->block, (size_t)m->offset);
    FORBID((char *)data_of(m) + m->bytes, (size_t)(m->size - m->offset - m->bytes));
    return true;
}

static bool fetch(const struct backend *b, const struct buffer *m) {
    if (b->library->memory)
        return !m->size || !b->library->memory->to_host(b->context, m->seen, m->block, m->size);
    ALLOW(m->block, (size_t)m->size);
    memcpy(m->seen, m->block, (size_t)m->size);
    return true;
}

/* Compares what was fetched with the image: the bands, and the data too where nobody may write. */
static bool untouched(const struct buffer *m, bool data_too, const char *name, const char *what, char why[MAX_FAILURE]) {
    for (int64_t k = 0; k < m->size; k++) {
        bool inside = k >= m->offset && k < m->offset + m->bytes;
        if ((inside && !data_too) || m->seen[k] == m->image[k])
            continue;
        if (inside)
            snprintf(why, MAX_FAILURE, "%s `%s` was changed at byte %lld of %lld", what, name, (long long)(k - m->offset),
                     (long long)m->bytes);
        else if (k < m->offset)
            snprintf(why, MAX_FAILURE, "%s `%s` was written %lld bytes before its start", what, name, (long long)(m->offset - k));
        else
            snprintf(why, MAX_FAILURE, "%s `%s` was written %lld bytes behind its end", what, name,
                     (long long)(k - m->offset - m->bytes + 1));
        return false;
    }
    return true;
}

void outputs_clear(struct outputs *o) {
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        free(o->bytes[a]);
    *o = (struct outputs){0};
}

/* --- a run --- */

/* float64 to and from the type of an argument, on the host. */
static bool convert(void *typed, double *values, int64_t count, int32_t type, bool to_typed) {
    static const struct mhc_library plain; /* no memory of its own: the host's */
    const struct backend host = {.library = &plain};
    return to_typed ? backend_upload(&host, typed, values, count, type) : backend_download(&host, values, typed, count, type);
}

struct run {
    const struct backend *b;
    const struct mhc_row *row;
    const struct mhc_case *c;
    struct buffer arg[MHC_MAX_ARGS], work;
    bool graph;
};

static bool prepare(struct run *r, const struct table *given, const struct poison *p, char why[MAX_FAILURE]) {
    bool good = buffer_open(r->b, &r->work, row_work_bytes(r->row, r->c), p) && (p->tight || send(r->b, &r->work));
    for (int a = 0; r->row->args[a].name && good; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        int64_t count = mhc_elements(r->c, arg);
        int32_t type = mhc_arg_type(r->c, arg);
        double *values = table_get(given, arg->name);
        if (arg->direction == MHC_IN && !values)
            return snprintf(why, MAX_FAILURE, "nobody gives `%s`", arg->name), false;
        good = buffer_open(r->b, &r->arg[a], count * mhc_type_bytes(type), p) &&
               (arg->direction == MHC_OUT || convert(r->arg[a].image + r->arg[a].offset, values, count, type, true)) &&
               ((p->tight && arg->direction == MHC_OUT) || send(r->b, &r->arg[a]));
    }
    if (!good)
        snprintf(why, MAX_FAILURE, "no memory for its arrays");
    return good;
}

static bool inspect(struct run *r, struct table *given, struct outputs *out, char why[MAX_FAILURE]) {
    for (int a = 0; r->row->args[a].name; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        struct buffer *m = &r->arg[a];
        if (!fetch(r->b, m))
            return snprintf(why, MAX_FAILURE, "`%s` cannot be copied back", arg->name), false;
        if (!untouched(m, arg->direction == MHC_IN, arg->name, arg->direction == MHC_IN ? "input" : "output", why))
            return false;
        if (arg->direction == MHC_IN)
            continue;
        int64_t count = mhc_elements(r->c, arg);
        out->bytes[a] = malloc((size_t)m->bytes + 1);
        if (!out->bytes[a] || !convert(m->seen + m->offset, table_put(given, arg->name, count), count, mhc_arg_type(r->c, arg), false))
            return snprintf(why, MAX_FAILURE, "out of memory"), false;
        memcpy(out->bytes[a], m->seen + m->offset, (size_t)m->bytes);
    }
    return true;
}

/* Capture, launch, wait: what a row may not do while it is captured (allocate, synchronise) is an error there. */
static const char *run_as_graph(const struct run *r, void *save, void *work) {
    const struct mhc_library *l = r->b->library;
    void *context = r->b->context, *queue = r->b->queue, *graph = NULL, *arg[MHC_MAX_ARGS] = {0};
    for (int a = 0; r->row->args[a].name; a++)
        arg[a] = data_of(&r->arg[a]);
    if (l->graphs->capture(context, queue))
        return "a graph cannot be begun";
    bool good = !r->row->run(context, queue, r->c, arg, save, work);
    good = !l->graphs->finish(context, queue, &graph) && good;
    const char *why = !good ? "it cannot be captured in a graph"
                      : l->graphs->launch(context, queue, graph) || l->queues->synchronize(context, queue) ? "its graph fails"
                                                                                                           : NULL;
    if (graph)
        l->graphs->destroy(context, graph);
    return why;
}

static bool run_once(struct run *r, struct buffer *save, char why[MAX_FAILURE]) {
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (int a = 0; r->row->args[a].name; a++)
        arrays[count++] = (struct array){r->row->args[a].name, data_of(&r->arg[a])};
    const char *failed = r->graph && r->b->library->graphs
                             ? run_as_graph(r, data_of(save), data_of(&r->work))
                             : backend_run(r->b, r->row, r->c, arrays, count, data_of(save), data_of(&r->work));
    if (failed)
        snprintf(why, MAX_FAILURE, "%s", failed);
    return !failed;
}

bool run_guarded(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c, struct table *given, struct buffer *save,
                 bool writes_save, const struct poison *p, struct outputs *out, char why[MAX_FAILURE]) {
    struct run r = {.b = b, .row = row, .c = c, .graph = p->graph};
    bool good = prepare(&r, given, p, why) && ((p->tight && writes_save) || send(b, save));
    bool ran = good && run_once(&r, save, why);
    /* Memory is allowed again whatever came of the run. */
    bool fetched = fetch(b, save) && (!r.work.block || fetch(b, &r.work));
    good = ran && inspect(&r, given, out, why);
    if (good && !fetched)
        good = (snprintf(why, MAX_FAILURE, "its memory cannot be copied back"), false);
    good = good && untouched(save, !writes_save, "save", "memory", why) && untouched(&r.work, false, "work", "memory", why);
    if (good)
        memcpy(save->image, save->seen, (size_t)save->size); /* for who reads it */
    for (int a = 0; a < MHC_MAX_ARGS; a++) {
        if (r.arg[a].block && !b->library->memory)
            ALLOW(r.arg[a].block, (size_t)r.arg[a].size);
        buffer_close(b, &r.arg[a]);
    }
    buffer_close(b, &r.work);
    return good;
}
