/* A device that does not exist, for study overhead: the rows of libmhc_cpu.so behind queues, events and graphs, with a
 * clock a queue that a call advances by a fixed time: 1 ms for gemm.*, 0.1 ms for the rest, and 0.01 ms more for a call
 * that was not in a graph.
 *
 * Nothing runs before somebody waits. Then whatever does not have to wait for an event runs as early as it can on one
 * of the two queues: on that of high priority, or with an odd number of tokens on the other. So an order that the
 * program forgot to ask for is one that it does not get. Width 24 computes a wrong number in mhc.post, width 40 once
 * twenty times have been taken, width 48 with more tokens than are checked, width 80 in graphs alone; width 56 cannot
 * capture mhc.post.
 *
 * Two mhc.pre in a row are never in a step, but in its account. There the device does what FAKE_STOP in the environment
 * says: hang, crash or fail. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_ref/operation.h"

enum { MOST_ROWS = 160, QUEUES = 2, MOST_OPS = 1 << 16 };

struct event {
    double time;
    long recorded, asked; /* records that have run; that were queued */
};

struct op {
    int row; /* -1: record; -2: wait */
    struct mhc_case c;
    void *argument[MHC_MAX_ARGS], *save, *work;
    struct event *event;
    long record; /* of a wait: the record that must have run */
    int queue, in_graph;
};

struct graph {
    struct op *op;
    long count;
};

static struct queue {
    double time;
    struct op *op;
    long head, count;
    int high;
} queues[QUEUES];
static const struct mhc_row *real[MOST_ROWS];
static struct mhc_row fake[MOST_ROWS];
static const struct mhc_row *rows[MOST_ROWS + 1];
static struct graph *capturing;
static long times;
static int low_first;
long live_graphs; /* looked at by tests */

static int number_of(const void *queue) {
    return queue == &queues[1];
}

static void push(const struct op *op, int queue) {
    struct queue *q = &queues[queue];
    q->op = q->op ? q->op : malloc(MOST_OPS * sizeof *q->op);
    if (q->count == MOST_OPS)
        abort();
    q->op[q->count++] = *op;
}

/* Into the graph, or the queue. */
static int enqueue(struct op op, int queue) {
    op.queue = queue;
    if (!capturing) {
        if (op.row == -1)
            op.record = ++op.event->asked;
        if (op.row == -2)
            op.record = op.event->asked;
        push(&op, queue);
        return 0;
    }
    op.in_graph = 1;
    capturing->op = realloc(capturing->op, (size_t)(capturing->count + 1) * sizeof op);
    capturing->op[capturing->count++] = op;
    return 0;
}

/* Stops as the environment says. */
static int stop_in_account(const char *row) {
    static const char *last = "";
    const char *how = getenv("FAKE_STOP");
    int twice = !strcmp(row, "mhc.pre") && !strcmp(last, "mhc.pre");
    last = row;
    if (!twice || !how)
        return 0;
    while (!strcmp(how, "hang"))
        pause();
    if (!strcmp(how, "crash"))
        abort();
    return -1;
}

static int run_now(struct queue *q, const struct op *op) {
    if (op->row == -1) {
        op->event->time = q->time;
        op->event->recorded = op->record;
        return 0;
    }
    if (op->row == -2) {
        q->time = op->event->time > q->time ? op->event->time : q->time;
        return 0;
    }
    const struct mhc_row *row = real[op->row];
    if (stop_in_account(row->name))
        return -1;
    int failed = row->run(NULL, NULL, &op->c, op->argument, op->save, op->work);
    bool wrong = op->c.C == 24 || (op->c.C == 40 && times > 20) || (op->c.C == 48 && op->c.T > 24);
    if (!strcmp(row->name, "mhc.post") && (wrong || (op->c.C == 80 && op->in_graph)))
        *(float *)op->argument[4] += op->c.C == 80 ? 0.001f : 100;
    q->time += (strncmp(row->name, "gemm.", 5) ? 1e-4 : 1e-3) + (op->in_graph ? 0 : 1e-5);
    return failed;
}

/* Runs what is queued; -1 when everything waits for something that is not queued. */
static int drain(void) {
    for (;;) {
        int ran = 0, order[QUEUES] = {low_first ? 0 : 1, low_first ? 1 : 0};
        for (int k = 0; k < QUEUES && !ran; k++) {
            struct queue *q = &queues[order[k]];
            const struct op *op = q->head < q->count ? &q->op[q->head] : NULL;
            if (!op || (op->row == -2 && op->event->recorded < op->record))
                continue;
            if (run_now(q, op))
                return -1;
            q->head++;
            ran = 1;
        }
        if (!ran)
            break;
    }
    int stuck = queues[0].head < queues[0].count || queues[1].head < queues[1].count;
    queues[0].head = queues[0].count = queues[1].head = queues[1].count = 0;
    queues[0].time = queues[1].time = queues[0].time > queues[1].time ? queues[0].time : queues[1].time;
    return -stuck;
}

static int run_row(int k, void *queue, const struct mhc_case *c, void *const argument[], void *save, void *work) {
    struct op op = {.row = k, .c = *c, .save = save, .work = work};
    int arguments = 0;
    while (real[k]->args[arguments].name)
        arguments++;
    memcpy(op.argument, argument, (size_t)arguments * sizeof *argument);
    low_first = c->T % 2;
    if (capturing && c->C == 56 && !strcmp(real[k]->name, "mhc.post"))
        return -1;
    return enqueue(op, number_of(queue));
}

/* A row does not know which it is, so each has a function of its own. */
#define RUN(k)                                                                                            \
    static int run_##k(void *context, void *queue, const struct mhc_case *c, void *const a[], void *save, \
                       void *work) {                                                                      \
        return (void)context, run_row(0x##k, queue, c, a, save, work);                                    \
    }
#define EACH_16(M, h) \
    M(h##0)           \
    M(h##1)           \
    M(h##2) M(h##3) M(h##4) M(h##5) M(h##6) M(h##7) M(h##8) M(h##9) M(h##a) M(h##b) M(h##c) M(h##d) M(h##e) M(h##f)
#define EACH(M)   \
    EACH_16(M, 0) \
    EACH_16(M, 1) \
    EACH_16(M, 2) EACH_16(M, 3) EACH_16(M, 4) EACH_16(M, 5) EACH_16(M, 6) EACH_16(M, 7) EACH_16(M, 8) EACH_16(M, 9)
EACH(RUN)
#define NAME_OF(k) run_##k,
static int (*const run[MOST_ROWS])(void *, void *, const struct mhc_case *, void *const[], void *,
                                   void *) = {EACH(NAME_OF)};

__attribute__((constructor)) static void load(void) {
    const char *build = getenv("FAKE_ROWS");
    void *handle = build ? dlopen(build, RTLD_NOW | RTLD_LOCAL) : NULL;
    const struct mhc_library *library = handle ? dlsym(handle, "mhc_library") : NULL;
    int k = 0;
    for (const struct mhc_row *const *row = library ? library->rows : NULL; row && *row && k < MOST_ROWS; row++) {
        if (strstr((*row)->name, ".post_pre")) /* one variant is always missing */
            continue;
        real[k] = *row;
        fake[k] = *real[k];
        fake[k].run = run[k];
        rows[k] = &fake[k];
        k++;
    }
}

__attribute__((destructor)) static void unload(void) {
    for (int k = 0; k < QUEUES; k++)
        free(queues[k].op);
}

static int allocate(void *context, void **pointer, int64_t bytes) {
    (void)context;
    *pointer = aligned_alloc(256, ((size_t)bytes + 255) / 256 * 256);
    return !*pointer;
}
static void release(void *context, void *pointer) {
    (void)context;
    free(pointer);
}
static int copy(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    if (drain())
        return -1;
    memcpy(to, from, (size_t)bytes);
    return 0;
}
/* Little: a study rotates over as many sets of arrays as a quarter of it holds, and runs each of them. */
static int64_t available(void *context) {
    (void)context;
    return (int64_t)64 << 20;
}

static int create_queue(void *context, void **queue, int high) {
    (void)context;
    *queue = &queues[high];
    return 0;
}
static void destroy_queue(void *context, void *queue) {
    (void)context, (void)queue;
}
static int synchronize(void *context, void *queue) {
    (void)context, (void)queue;
    return drain();
}
static int wait(void *context, void *queue, void *event) {
    (void)context;
    return enqueue((struct op){.row = -2, .event = event}, number_of(queue));
}

static int create_event(void *context, void **event) {
    (void)context;
    *event = calloc(1, sizeof(struct event));
    return !*event;
}
static void destroy_event(void *context, void *event) {
    (void)context;
    free(event);
}
static int record(void *context, void *event, void *queue) {
    (void)context;
    return enqueue((struct op){.row = -1, .event = event}, number_of(queue));
}
static int elapsed(void *context, void *start, void *stop, double *seconds) {
    (void)context;
    times++;
    *seconds = ((struct event *)stop)->time - ((struct event *)start)->time;
    return 0;
}

static int capture(void *context, void *queue) {
    (void)context, (void)queue;
    capturing = calloc(1, sizeof *capturing);
    live_graphs++;
    return !capturing;
}
static int finish(void *context, void *queue, void **graph) {
    (void)context, (void)queue;
    *graph = capturing;
    capturing = NULL;
    return 0;
}
static int launch(void *context, void *queue, void *graph) {
    const struct graph *g = graph;
    (void)context, (void)queue;
    for (long k = 0; k < g->count; k++) {
        struct op op = g->op[k];
        op.record = op.row == -1 ? ++op.event->asked : op.row == -2 ? op.event->asked : 0;
        push(&op, op.queue);
    }
    return 0;
}
static void destroy_graph(void *context, void *graph) {
    (void)context;
    live_graphs--;
    free(((struct graph *)graph)->op);
    free(graph);
}

static const struct mhc_memory memory = {allocate, release, copy, copy, available};
static const struct mhc_queues queue_calls = {create_queue, destroy_queue, synchronize, wait};
static const struct mhc_events events = {create_event, destroy_event, record, elapsed};
static const struct mhc_graphs graphs = {capture, finish, launch, destroy_graph};

const struct mhc_library mhc_library = {.abi = MHC_ABI,
                                        .size = sizeof(struct mhc_library),
                                        .name = "fake",
                                        .build = "test",
                                        .memory = &memory,
                                        .queues = &queue_calls,
                                        .events = &events,
                                        .graphs = &graphs,
                                        .rows = rows};
