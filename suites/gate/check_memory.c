#include "suites/gate/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    return to_typed ? backend_upload(&host, typed, values, count, type)
                    : backend_download(&host, values, typed, count, type);
}

struct run {
    const struct backend *b;
    const struct mhc_row *row;
    const struct mhc_case *c;
    struct buffer arg[MHC_MAX_ARGS], work;
    bool graph;
};

static bool prepare(struct run *r, const struct table *given, const struct poison *p, char why[MAX_FAILURE]) {
    bool good = buffer_open(r->b, &r->work, row_work_bytes(r->row, r->c), p) &&
                (p->tight || buffer_send(r->b, &r->work));
    for (int a = 0; r->row->args[a].name && good; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        int64_t count = mhc_elements(r->c, arg);
        int32_t type = mhc_arg_type(r->c, arg);
        double *values = table_get(given, arg->name);
        if (arg->direction == MHC_IN && !values)
            return snprintf(why, MAX_FAILURE, "nobody gives `%s`", arg->name), false;
        good = buffer_open(r->b, &r->arg[a], count * mhc_type_bytes(type), p) &&
               (arg->direction == MHC_OUT || convert(r->arg[a].image + r->arg[a].offset, values, count, type, true)) &&
               ((p->tight && arg->direction == MHC_OUT) || buffer_send(r->b, &r->arg[a]));
    }
    if (!good)
        snprintf(why, MAX_FAILURE, "no memory for its arrays");
    return good;
}

static bool inspect(struct run *r, struct table *given, struct outputs *out, char why[MAX_FAILURE]) {
    for (int a = 0; r->row->args[a].name; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        struct buffer *m = &r->arg[a];
        if (!buffer_fetch(r->b, m))
            return snprintf(why, MAX_FAILURE, "`%s` cannot be copied back", arg->name), false;
        if (!buffer_untouched(m, arg->direction == MHC_IN, arg->name, arg->direction == MHC_IN ? "input" : "output",
                              why))
            return false;
        if (arg->direction == MHC_IN)
            continue;
        int64_t count = mhc_elements(r->c, arg);
        out->bytes[a] = malloc((size_t)m->bytes + 1);
        if (!out->bytes[a] ||
            !convert(m->seen + m->offset, table_put(given, arg->name, count), count, mhc_arg_type(r->c, arg), false))
            return snprintf(why, MAX_FAILURE, "out of memory"), false;
        memcpy(out->bytes[a], m->seen + m->offset, (size_t)m->bytes);
    }
    return true;
}

static const char *because(const struct backend *b, const char *what) {
    static char message[240];
    snprintf(message, sizeof message, "%s: %s", what, backend_failure(b));
    return message;
}

/* Capture, launch, wait: what a row may not do while it is captured (allocate, synchronise) is an error there. */
static const char *run_as_graph(const struct run *r, void *save, void *work) {
    const struct mhc_library *l = r->b->library;
    void *context = r->b->context, *queue = r->b->queue, *graph = NULL, *arg[MHC_MAX_ARGS] = {0};
    for (int a = 0; r->row->args[a].name; a++)
        arg[a] = buffer_data(&r->arg[a]);
    if (l->graphs->capture(context, queue))
        return because(r->b, "a graph cannot be begun");
    const char *why = r->row->run(context, queue, r->c, arg, save, work)
                          ? because(r->b, "it cannot be captured in a graph")
                          : NULL;
    if (l->graphs->finish(context, queue, &graph) && !why) /* else it fails for what the row did */
        why = because(r->b, "it cannot be captured in a graph");
    if (!why && (l->graphs->launch(context, queue, graph) || l->queues->synchronize(context, queue)))
        why = because(r->b, "its graph fails");
    if (graph)
        l->graphs->destroy(context, graph);
    return why;
}

static bool run_once(struct run *r, struct buffer *save, char why[MAX_FAILURE]) {
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (int a = 0; r->row->args[a].name; a++)
        arrays[count++] = (struct array){r->row->args[a].name, buffer_data(&r->arg[a])};
    const char *failed = r->graph && r->b->library->graphs
                             ? run_as_graph(r, buffer_data(save), buffer_data(&r->work))
                             : backend_run(r->b, r->row, r->c, arrays, count, buffer_data(save), buffer_data(&r->work));
    if (failed)
        snprintf(why, MAX_FAILURE, "%s", failed);
    return !failed;
}

bool run_guarded(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c, struct table *given,
                 struct buffer *save, bool writes_save, const struct poison *p, struct outputs *out,
                 char why[MAX_FAILURE]) {
    struct run r = {.b = b, .row = row, .c = c, .graph = p->graph};
    bool good = prepare(&r, given, p, why) && ((p->tight && writes_save) || buffer_send(b, save));
    bool ran = good && run_once(&r, save, why);
    /* Memory is allowed again whatever came of the run. */
    bool fetched = buffer_fetch(b, save) && (!r.work.block || buffer_fetch(b, &r.work));
    good = ran && inspect(&r, given, out, why);
    if (good && !fetched)
        good = (snprintf(why, MAX_FAILURE, "its memory cannot be copied back"), false);
    good = good && buffer_untouched(save, !writes_save, "save", "memory", why) &&
           buffer_untouched(&r.work, false, "work", "memory", why);
    if (good)
        memcpy(save->image, save->seen, (size_t)save->size); /* for who reads it */
    for (int a = 0; a < MHC_MAX_ARGS; a++) {
        buffer_close(b, &r.arg[a]);
    }
    buffer_close(b, &r.work);
    return good;
}
