#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/rows/guarded.h"

static void forget_bytes(struct outcome *o) {
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        free(o->bytes[a]);
    memset(o->bytes, 0, sizeof o->bytes);
}

void outcome_clear(struct outcome *o) {
    forget_bytes(o);
    arrays_clear(&o->made);
    free(o->save.bytes);
    o->save = (struct save){0};
}

struct run {
    const struct backend *b;
    const struct mhc_row *row;
    const struct mhc_case *c;
    const struct poison *p;
    struct buffer arg[MHC_MAX_ARGS], save, work;
    int holder[MHC_MAX_ARGS]; /* the argument in whose buffer one lies: its own, or an earlier input's */
};

/* Two inputs that are one array of `made`, in one type, are one array for the row too. */
static int holder_of(const struct run *r, const struct outcome *o, int a) {
    const struct mhc_arg *args = r->row->args;
    const double *values = args[a].direction == MHC_IN ? arrays_get(&o->made, args[a].name) : NULL;
    for (int other = 0; other < a && values; other++)
        if (args[other].direction == MHC_IN && arrays_get(&o->made, args[other].name) == values &&
            mhc_arg_type(r->c, &args[other]) == mhc_arg_type(r->c, &args[a]))
            return other;
    return a;
}

static void *data_of(const struct run *r, int a) {
    return buffer_data(&r->arg[r->holder[a]]);
}

static bool prepare(struct run *r, const struct outcome *o, char why[MAX_FAILURE]) {
    int64_t save_bytes = r->row->save_bytes ? row_save_bytes(r->row, r->c) : o->save.count;
    bool good = buffer_open(r->b, &r->work, row_work_bytes(r->row, r->c), r->p) &&
                (r->p->tight || buffer_send(r->b, &r->work)) && buffer_open(r->b, &r->save, save_bytes, r->p);
    if (good && !r->row->save_bytes && save_bytes)
        memcpy(r->save.image + r->save.offset, o->save.bytes, (size_t)save_bytes);
    good = good && ((r->p->tight && r->row->save_bytes) || buffer_send(r->b, &r->save));
    for (int a = 0; r->row->args[a].name && good; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        int64_t count = mhc_elements(r->c, arg);
        int32_t type = mhc_arg_type(r->c, arg);
        bool input = arg->direction == MHC_IN;
        if (input && count > 0 && arrays_count(&o->made, arg->name) < count)
            return snprintf(why, MAX_FAILURE, "nothing gives `%s` in that shape", arg->name), false;
        if ((r->holder[a] = holder_of(r, o, a)) != a)
            continue;
        good = buffer_open(r->b, &r->arg[a], count * mhc_type_bytes(type), r->p) &&
               (!input || backend_upload(&backend_host, r->arg[a].image + r->arg[a].offset,
                                         arrays_get(&o->made, arg->name), count, type)) &&
               ((r->p->tight && !input) || buffer_send(r->b, &r->arg[a]));
        if (good && input)
            buffer_protect(&r->arg[a]);
    }
    if (good && !r->row->save_bytes)
        buffer_protect(&r->save);
    if (!good)
        snprintf(why, MAX_FAILURE, "no memory for its arrays");
    return good;
}

static const char *because(const struct backend *b, const char *what) {
    static _Thread_local char message[240];
    snprintf(message, sizeof message, "%s: %s", what, backend_failure(b));
    return message;
}

/* Captures, launches and waits. What a row may not do while it is captured (allocate, synchronise) is an error
 * there. */
static const char *run_as_graph(const struct run *r) {
    const struct mhc_library *l = r->b->library;
    void *context = r->b->context, *queue = r->b->queue, *graph = NULL, *arg[MHC_MAX_ARGS] = {0};
    for (int a = 0; r->row->args[a].name; a++)
        arg[a] = data_of(r, a);
    if (l->graphs->capture(context, queue))
        return because(r->b, "a graph cannot be begun");
    const char *why = r->row->run(context, queue, r->c, arg, buffer_data(&r->save), buffer_data(&r->work))
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

static const char *run_once(const struct run *r) {
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (; r->row->args[count].name; count++)
        arrays[count] = (struct array){r->row->args[count].name, data_of(r, count)};
    return r->p->graph && r->b->library->graphs
               ? run_as_graph(r)
               : backend_run(r->b, r->row, r->c, arrays, count, buffer_data(&r->save), buffer_data(&r->work));
}

/* Fetches the outputs first, at once and from behind, so that work that a thread does after the call has returned
 * comes too late. All memory may be touched again afterwards, however the run ended. */
static bool fetch(const struct run *r) {
    bool good = true;
    for (int a = MHC_MAX_ARGS - 1; a >= 0; a--)
        good = (!r->arg[a].block || buffer_fetch(r->b, &r->arg[a])) && good;
    return buffer_fetch(r->b, &r->save) && buffer_fetch(r->b, &r->work) && good;
}

/* Whether all bands are untouched, and all that may only be read. */
static bool untouched(const struct run *r, char why[MAX_FAILURE]) {
    for (int a = 0; r->row->args[a].name; a++) {
        bool input = r->row->args[a].direction == MHC_IN;
        if (r->holder[a] == a &&
            !buffer_untouched(&r->arg[a], input, r->row->args[a].name, input ? "input" : "output", why))
            return false;
    }
    return buffer_untouched(&r->save, !r->row->save_bytes, "save", "memory", why) &&
           buffer_untouched(&r->work, false, "work", "memory", why);
}

static unsigned char *copy_of(const struct buffer *m) {
    unsigned char *copy = malloc((size_t)m->bytes + 1);
    return copy ? memcpy(copy, m->seen + m->offset, (size_t)m->bytes) : NULL;
}

/* false: out of memory. */
static bool keep(const struct run *r, struct outcome *o) {
    forget_bytes(o);
    if (r->row->save_bytes) {
        free(o->save.bytes);
        o->save = (struct save){copy_of(&r->save), r->save.bytes};
        if (!o->save.bytes)
            return false;
    }
    for (int a = 0; r->row->args[a].name; a++) {
        const struct mhc_arg *arg = &r->row->args[a];
        if (arg->direction == MHC_IN)
            continue;
        int64_t count = mhc_elements(r->c, arg);
        double *values = arrays_put(&o->made, arg->name, count);
        o->bytes[a] = copy_of(&r->arg[a]);
        if (!values || !o->bytes[a] ||
            !backend_download(&backend_host, values, o->bytes[a], count, mhc_arg_type(r->c, arg)))
            return false;
    }
    return true;
}

bool run_guarded(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c, const struct poison *p,
                 struct outcome *o, char why[MAX_FAILURE]) {
    struct run r = {.b = b, .row = row, .c = c, .p = p};
    bool good = prepare(&r, o, why);
    const char *failed = good ? run_once(&r) : NULL;
    if (good && !failed && !fetch(&r))
        failed = "its memory cannot be copied back";
    if (failed)
        good = (snprintf(why, MAX_FAILURE, "%s", failed), false);
    good = good && untouched(&r, why);
    if (good && !keep(&r, o))
        good = (snprintf(why, MAX_FAILURE, "out of memory"), false);
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        buffer_close(b, &r.arg[a]);
    buffer_close(b, &r.save);
    buffer_close(b, &r.work);
    return good;
}
