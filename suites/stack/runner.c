#include "suites/stack/execute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool program_runner_possible(const struct backend *b, bool graphs, bool overlap, char *why, size_t why_size) {
    const struct mhc_library *l = b->library;
    if (graphs && !(l->queues && l->graphs))
        return snprintf(why, why_size, "backend %s has no graphs: --graphs off", l->name), false;
    if (overlap && !(l->queues && l->queues->wait && l->events))
        return snprintf(why, why_size, "backend %s has one queue only: --overlap off", l->name), false;
    return true;
}

static bool is_high(const struct program_call *call) {
    return call->part >= STEP_NORM_FORWARD && call->part < STEP_PARTS;
}

static int64_t stretches(const struct program *p) {
    int64_t count = 0;
    for (int64_t k = 0; k < p->calls; k++)
        count += k == 0 || is_high(&p->call[k]) != is_high(&p->call[k - 1]);
    return count;
}

static const char *record(const struct program_runner *r, int64_t event, void *queue) {
    const struct backend *b = r->program->memory->backend;
    return b->library->events->record(b->context, r->event[event], queue) ? "no event can be recorded" : NULL;
}

static const char *wait_for(const struct program_runner *r, int64_t event, void *queue) {
    const struct backend *b = r->program->memory->backend;
    return b->library->queues->wait(b->context, queue, r->event[event]) ? "a queue cannot wait for another" : NULL;
}

/* Stretch by stretch, the two micro-batches in turn; every stretch ends with an event of its own, the next of its chain
 * waits for that. */
static const char *run_overlapped(const struct program_runner *r, int64_t set) {
    const struct program *p = r->program;
    void *low = p->memory->backend->queue;
    int64_t at[2] = {0, 0}, event = 2, last[2] = {0, 0};
    const char *why = record(r, 0, low); /* the second queue starts with the first, and ends before it */
    why = why ? why : wait_for(r, 0, r->high);
    for (int now = 0; !why && (at[0] < p->calls || at[1] < p->calls); now = 1 - now) {
        if (at[now] == p->calls)
            continue;
        bool high = is_high(&p->call[at[now]]);
        void *queue = high ? r->high : low;
        why = last[now] ? wait_for(r, last[now], queue) : NULL;
        for (; !why && at[now] < p->calls && is_high(&p->call[at[now]]) == high; at[now]++)
            why = program_queue_call(p, &p->call[at[now]], set, now, queue);
        last[now] = event++;
        why = why ? why : record(r, last[now], queue);
    }
    why = why ? why : record(r, 1, r->high);
    return why ? why : wait_for(r, 1, low);
}

static const char *run(const struct program_runner *r, int64_t set) {
    const struct program *p = r->program;
    const char *why = NULL;
    if (r->high && r->part == STEP_ALL)
        return run_overlapped(r, set);
    for (int64_t k = 0; k < p->calls && !why; k++)
        if (r->part == STEP_ALL || (int)p->call[k].part == r->part)
            why = program_queue_call(p, &p->call[k], set, 0, p->memory->backend->queue);
    return why;
}

/* What was captured before a failure is a graph too, and is destroyed. */
static const char *capture(struct program_runner *r, int64_t set) {
    static _Thread_local char message[160];
    const struct backend *b = r->program->memory->backend;
    const struct mhc_graphs *graphs = b->library->graphs;
    void *graph = NULL;
    const char *why = NULL;
    if (graphs->capture(b->context, b->queue))
        why = "a graph cannot be begun";
    else {
        why = run(r, set);
        bool finished = !graphs->finish(b->context, b->queue, &graph);
        why = why || finished ? why : "a graph cannot be finished";
        if (why && finished && graph)
            graphs->destroy(b->context, graph);
    }
    const char *detail = why && b->library->error ? b->library->error(b->context) : NULL;
    if (why && detail && *detail && !strstr(why, detail))
        why = (snprintf(message, sizeof message, "%s: %.110s", why, detail), message);
    if (!why)
        r->graph[set] = graph;
    return why;
}

const char *program_runner_open(struct program_runner *r, const struct program *p, int part, bool graphs, void *high) {
    const struct backend *b = p->memory->backend;
    const char *why = NULL;
    *r = (struct program_runner){.program = p, .part = part, .high = high};
    if (high) {
        int64_t events = 2 + 2 * stretches(p);
        r->event = calloc((size_t)events, sizeof *r->event);
        for (; r->event && r->events < events && !why; r->events += !why)
            why = b->library->events->create(b->context, &r->event[r->events]) ? "no event can be created" : NULL;
        why = r->event ? why : "out of memory";
    }
    for (int64_t set = 0; set < p->memory->sets && !why; set++)
        why = run(r, set);
    if (!why && b->library->queues && b->library->queues->synchronize(b->context, b->queue))
        why = "the device failed";
    if (graphs && !why) {
        r->graph = calloc((size_t)p->memory->sets, sizeof *r->graph);
        why = r->graph ? NULL : "out of memory";
        const char *no_graph = NULL;
        for (; !why && !no_graph && r->graphs < p->memory->sets; r->graphs += !no_graph)
            no_graph = capture(r, r->graphs);
        if (no_graph) {
            program_runner_without_graphs(r);
            snprintf(r->uncaptured, sizeof r->uncaptured, "%s", no_graph);
        }
    }
    return why;
}

void program_runner_without_graphs(struct program_runner *r) {
    const struct backend *b = r->program ? r->program->memory->backend : NULL;
    for (int64_t k = 0; k < r->graphs; k++)
        b->library->graphs->destroy(b->context, r->graph[k]);
    free(r->graph);
    r->graph = NULL;
    r->graphs = 0;
}

void program_runner_close(struct program_runner *r) {
    const struct backend *b = r->program ? r->program->memory->backend : NULL;
    program_runner_without_graphs(r);
    for (int64_t k = 0; k < r->events; k++)
        b->library->events->destroy(b->context, r->event[k]);
    free(r->event);
    *r = (struct program_runner){0};
}

const char *program_runner_run(void *user, int64_t set) {
    struct program_runner *r = user;
    if (!r->graph)
        return run(r, set);
    const struct backend *b = r->program->memory->backend;
    return b->library->graphs->launch(b->context, b->queue, r->graph[set]) ? "a graph cannot be launched" : NULL;
}
