#include "suites/stack/execute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On memory of its own, which program_close() frees. */
static const char *compose_alone(struct program *p, const struct program_spec *spec) {
    static _Thread_local char message[240];
    struct program_memory *memory = calloc(1, sizeof *memory);
    *p = (struct program){.memory = NULL};
    const char *why = memory ? program_compose(p, spec, memory) : "out of memory";
    return why ? (snprintf(message, sizeof message, "%s", why), message) : NULL; /* p may be gone when it is read */
}

const char *program_open(struct program *p, const struct program_spec *spec, const struct program_owner *owner) {
    static _Thread_local char message[80];
    const char *why = compose_alone(p, spec);
    if (!why && (why = program_memory_open(p->memory, 1)) != NULL)
        why = (snprintf(message, sizeof message, "%s: a stack needs %.3g GB", why, p->memory->set_bytes * 1e-9),
               message);
    return why ? why : program_memory_fill(p->memory, owner->give, owner->user);
}

void program_close(struct program *p) {
    struct program_memory *memory = p->memory;
    program_release(p);
    if (memory)
        program_memory_release(memory);
    free(memory);
}

double program_estimate(const struct program_spec *spec, char *why, size_t why_size) {
    struct program p;
    const char *no = compose_alone(&p, spec);
    double bytes = no ? -1 : p.memory->set_bytes;
    if (no)
        snprintf(why, why_size, "%s", no);
    program_close(&p);
    return bytes;
}

const char *program_queue_call(const struct program *p, const struct program_call *call, int64_t set, int micro_batch,
                               void *queue) {
    static _Thread_local char message[160];
    void *argument[MHC_MAX_ARGS] = {0};
    const struct backend *b = p->memory->backend;
    for (int a = 0; a < MHC_MAX_ARGS && call->argument[a] >= 0; a++)
        argument[a] = program_pointer(p, call->argument[a], set, micro_batch);
    void *save = call->save < 0 ? NULL : program_pointer(p, call->save, set, micro_batch);
    if (!call->row->run(b->context, queue, &call->c, argument, save, program_pointer(p, p->work, set, micro_batch)))
        return NULL;
    snprintf(message, sizeof message, "%s: %.120s", call->row->name, backend_failure(b));
    return message;
}

static const char *finish(const struct backend *b) {
    return b->library->queues && b->library->queues->synchronize(b->context, b->queue) ? backend_failure(b) : NULL;
}

static const char *ask(const struct program *p, const struct program_call *call, const struct program_owner *owner) {
    const struct program_array *a = &p->arrays.array[call->argument[0]];
    const struct program_memory *m = p->memory;
    const char *why = finish(m->backend); /* the place may still be read by what is queued */
    why = why ? why : owner->give(owner->user, a, m->host);
    if (!why && !backend_upload(m->backend, program_pointer(p, call->argument[0], 0, 0), m->host, a->count, a->type))
        why = "an array cannot be copied to the device";
    return why;
}

const char *program_execute(const struct program *p, const struct program_owner *owner) {
    static _Thread_local char message[240];
    const struct backend *b = p->memory->backend;
    const char *why = NULL;
    for (int64_t k = 0; k < p->calls && !why; k++) {
        const struct program_call *call = &p->call[k];
        why = call->row ? program_queue_call(p, call, 0, 0, b->queue) : ask(p, call, owner);
        if (why || !owner || !owner->after || !call->row)
            continue;
        if ((why = finish(b)) != NULL)
            why = (snprintf(message, sizeof message, "%s: %s", call->row->name, why), message);
        why = why ? why : owner->after(owner->user, p, call);
    }
    return why ? why : finish(b);
}

void *program_argument(const struct program *p, const struct program_call *call, const char *name) {
    for (int a = 0; call->row && call->row->args[a].name; a++)
        if (!strcmp(call->row->args[a].name, name))
            return program_pointer(p, call->argument[a], 0, 0);
    return NULL;
}
