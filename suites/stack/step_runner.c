#include "suites/stack/step_runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool step_runner_possible(const struct backend *b, bool graphs, bool overlap, char *why, size_t why_size) {
    const struct mhc_library *l = b->library;
    if (graphs && !(l->queues && l->graphs))
        return snprintf(why, why_size, "backend %s has no graphs: --graphs off", l->name), false;
    if (overlap && !(l->queues && l->queues->wait && l->events))
        return snprintf(why, why_size, "backend %s has one queue only: --overlap off", l->name), false;
    return true;
}

static bool is_high(const struct step_call *call) {
    return call->part >= STEP_NORM_FORWARD;
}

static int64_t stretches(const struct step *s) {
    int64_t count = 0;
    for (int64_t k = 0; k < s->calls; k++)
        count += k == 0 || is_high(&s->call[k]) != is_high(&s->call[k - 1]);
    return count;
}

static const char *record(const struct step_runner *r, int64_t event, void *queue) {
    const struct backend *b = r->step->all->spec.backend;
    return b->library->events->record(b->context, r->event[event], queue) ? "no event can be recorded" : NULL;
}

static const char *wait_for(const struct step_runner *r, int64_t event, void *queue) {
    const struct backend *b = r->step->all->spec.backend;
    return b->library->queues->wait(b->context, queue, r->event[event]) ? "a queue cannot wait for another" : NULL;
}

/* Stretch by stretch, the two micro-batches in turn; every stretch ends with an event of its own, the next of its chain
 * waits for that. */
static const char *run_overlapped(const struct step_runner *r, int64_t set) {
    const struct step *s = r->step;
    void *low = s->all->spec.backend->queue;
    int64_t at[2] = {0, 0}, event = 2, last[2] = {0, 0};
    const char *why = record(r, 0, low); /* the second queue starts with the first, and ends before it */
    why = why ? why : wait_for(r, 0, r->high);
    for (int lane = 0; !why && (at[0] < s->calls || at[1] < s->calls); lane = 1 - lane) {
        if (at[lane] == s->calls)
            continue;
        bool high = is_high(&s->call[at[lane]]);
        void *queue = high ? r->high : low;
        why = last[lane] ? wait_for(r, last[lane], queue) : NULL;
        for (; !why && at[lane] < s->calls && is_high(&s->call[at[lane]]) == high; at[lane]++)
            why = step_run_call(s, &s->call[at[lane]], set, lane, queue);
        last[lane] = event++;
        why = why ? why : record(r, last[lane], queue);
    }
    why = why ? why : record(r, 1, r->high);
    return why ? why : wait_for(r, 1, low);
}

static const char *run_part(const struct step_runner *r, int64_t set) {
    const struct step *s = r->step;
    const char *why = NULL;
    for (int64_t k = 0; k < s->calls && !why; k++)
        if (s->call[k].part == (enum step_part)r->part)
            why = step_run_call(s, &s->call[k], set, 0, s->all->spec.backend->queue);
    return why;
}

static const char *run(const struct step_runner *r, int64_t set) {
    return r->part >= 0 ? run_part(r, set)
           : r->high    ? run_overlapped(r, set)
                        : step_run(r->step, set, 0, r->step->all->spec.backend->queue);
}

/* What was captured before a failure is a graph too, and nobody's. */
static const char *capture(struct step_runner *r, int64_t set) {
    static _Thread_local char message[160];
    const struct backend *b = r->step->all->spec.backend;
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

const char *step_runner_open(struct step_runner *r, const struct step *s, int part, bool graphs, void *high) {
    const struct backend *b = s->all->spec.backend;
    const char *why = NULL;
    *r = (struct step_runner){.step = s, .part = part, .high = high};
    if (high) {
        int64_t events = 2 + 2 * stretches(s);
        r->event = calloc((size_t)events, sizeof *r->event);
        for (; r->event && r->events < events && !why; r->events += !why)
            why = b->library->events->create(b->context, &r->event[r->events]) ? "no event can be created" : NULL;
        why = r->event ? why : "out of memory";
    }
    for (int64_t set = 0; set < s->all->sets && !why; set++)
        why = run(r, set);
    if (!why && b->library->queues && b->library->queues->synchronize(b->context, b->queue))
        why = "the device failed";
    if (graphs && !why) {
        r->graph = calloc((size_t)s->all->sets, sizeof *r->graph);
        why = r->graph ? NULL : "out of memory";
        const char *no_graph = NULL;
        for (; !why && !no_graph && r->graphs < s->all->sets; r->graphs += !no_graph)
            no_graph = capture(r, r->graphs);
        if (no_graph) {
            step_runner_without_graphs(r);
            snprintf(r->uncaptured, sizeof r->uncaptured, "%s", no_graph);
        }
    }
    return why;
}

void step_runner_without_graphs(struct step_runner *r) {
    const struct backend *b = r->step ? r->step->all->spec.backend : NULL;
    for (int64_t k = 0; k < r->graphs; k++)
        b->library->graphs->destroy(b->context, r->graph[k]);
    free(r->graph);
    r->graph = NULL;
    r->graphs = 0;
}

void step_runner_close(struct step_runner *r) {
    const struct backend *b = r->step ? r->step->all->spec.backend : NULL;
    step_runner_without_graphs(r);
    for (int64_t k = 0; k < r->events; k++)
        b->library->events->destroy(b->context, r->event[k]);
    free(r->event);
    *r = (struct step_runner){0};
}

const char *step_runner_run(void *user, int64_t set) {
    struct step_runner *r = user;
    if (!r->graph)
        return run(r, set);
    const struct backend *b = r->step->all->spec.backend;
    return b->library->graphs->launch(b->context, b->queue, r->graph[set]) ? "a graph cannot be launched" : NULL;
}
