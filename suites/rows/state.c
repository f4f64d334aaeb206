#include "suites/rows/state.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suites/worker/worker.h"

enum { LONGEST_END = 64 };

/* The first input of a row that has a second one and reads no save, which may depend on the first input alone. NULL:
 * the row is no such row. */
static const char *shared_input(const struct examination *e) {
    const struct mhc_arg *args = examined_row(e)->args;
    bool second = args[0].name && args[1].name && args[1].direction == MHC_IN;
    return second && !row_reads_save(examined_row(e)) ? args[0].name : NULL;
}

void state_same_ends(struct examination *other, const struct examination *first) {
    const char *shared = shared_input(other);
    for (int k = 0; k < other->given.count; k++) {
        const struct arrays_entry *a = &other->given.entry[k];
        const double *its = arrays_get(&first->given, a->name);
        if (!its || !a->owned || a->count < 3 || arrays_count(&first->given, a->name) != a->count)
            continue;
        int64_t end = a->count < 4 * LONGEST_END ? (a->count + 3) / 4 : LONGEST_END;
        if (shared && !strcmp(a->name, shared))
            end = a->count;
        memcpy(a->values, its, (size_t)end * sizeof *its);
        memcpy(a->values + a->count - end, its + a->count - end, (size_t)end * sizeof *its);
    }
}

/* Modes of all threads: the reference shares them with a library on the host. */
static int threads_modes(void) {
    int modes = 0;
#pragma omp parallel reduction(| : modes)
    modes |= backend_modes();
    return modes;
}

enum { TWO = 2, MANY_CALLS = 48, MANY_LOOKS = 600, KEPT = 16, LATER = 1000 }; /* KEPT: bytes a call; LATER: us */
#define LOOKS_SECONDS 0.02                                                    /* at most, for MANY_LOOKS */

struct pair {
    const struct examination *of[TWO];
    struct bound_row at[TWO];
};

static const char *open_pair(struct pair *p) {
    const char *why = NULL;
    for (int k = 0; k < TWO && !why; k++)
        why = bound_row_open(&p->at[k], p->of[k]->backend, examined_row(p->of[k]), &p->of[k]->c, 1,
                             &p->of[k]->before.made, &p->of[k]->before.save);
    return why;
}

/* Puts the inputs of `of` into the arrays of `at`, and numbers where the answer belongs. */
static const char *refill(const struct pair *p, int at, int of) {
    return bound_row_refill(&p->at[at], 0, &p->of[of]->before.made, &p->of[of]->before.save, BOUND_ROW_SPOILT);
}

static const char *judge(const struct pair *p, int at, int of, const char *when) {
    static _Thread_local char text[MAX_FAILURE + 100];
    struct accuracy a;
    const char *why = examine_set(p->of[of], &p->at[at], 0, &a);
    if (why)
        snprintf(text, sizeof text, "%s: %s", when, why);
    return why ? text : NULL;
}

/* Calls A, B, A without a pause. That finds a library that keeps an answer, what pre gave it, or the time of its
 * last call. */
static const char *in_turn(struct pair *p) {
    const char *why = refill(p, 0, 0);
    why = why ? why : refill(p, 1, 1);
    for (int k = 0; k < 3 && !why; k++)
        why = bound_row_run(&p->at[k % TWO], 0);
    why = why ? why : bound_row_finish(&p->at[1], 0);
    why = why ? why : judge(p, 0, 0, "called in turn with another case");
    return why ? why : judge(p, 1, 1, "called in turn with another case");
}

/* Puts other contents at the same pointers. That finds a library that knows its arguments by where they are. */
static const char *in_its_place(struct pair *p) {
    const char *why = bound_row_finish(&p->at[0], 0);
    why = why ? why : refill(p, 0, 1);
    why = why ? why : bound_row_finish(&p->at[0], 0);
    return why ? why : judge(p, 0, 1, "with other contents at the same pointers");
}

/* Bytes that malloc has given out. glibc tells since 2.33; before that 0. */
#if __GLIBC_PREREQ(2, 33)
extern struct mallinfo2 mallinfo2(void) __THROW __attribute__((weak));

static int64_t held(void) {
    struct mallinfo2 info = {0};
    if (mallinfo2)
        info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}
#else
static int64_t held(void) {
    return 0;
}
#endif

/* Calls many times, the last time with spoilt outputs. That finds a library that stops working after some calls, or
 * that leaks. */
static const char *many_times(struct pair *p) {
    static _Thread_local char text[120];
    const char *why = NULL;
    int64_t before = held();
    for (int k = 0; k < MANY_CALLS && !why; k++)
        why = bound_row_finish(&p->at[1], 0);
    int64_t kept = (held() - before) / MANY_CALLS;
    why = why ? why : refill(p, 1, 1);
    why = why ? why : bound_row_finish(&p->at[1], 0);
    why = why ? why : judge(p, 1, 1, "after many calls");
    if (!why && kept >= KEPT)
        snprintf(text, sizeof text, "it leaks: %lld bytes per call", (long long)kept);
    return why || kept < KEPT ? why : text;
}

/* Calls often on spoilt outputs and compares all bits with those of the last call, which was judged. That finds a
 * library that is wrong in a few of many calls. On a device a look takes too long. */
static const char *look_often(struct pair *p) {
    struct bound_row *b = &p->at[1];
    if (b->backend->library->memory)
        return NULL;
    char *seen = malloc((size_t)b->set_bytes);
    const char *why = seen ? NULL : "out of memory";
    const double end = worker_now() + LOOKS_SECONDS;
    if (seen)
        memcpy(seen, b->slab, (size_t)b->set_bytes);
    for (int k = 0; k < MANY_LOOKS && !why && worker_now() < end; k++) {
        why = refill(p, 1, 1);
        why = why ? why : bound_row_finish(b, 0);
        if (!why && memcmp(seen, b->slab, (size_t)b->set_bytes))
            why = judge(p, 1, 1, "in one of many calls");
    }
    free(seen);
    return why;
}

/* Looks whether memory changes after the call. That finds a library whose threads go on. On a device queues say when
 * a call is done. */
static const char *settled(const struct pair *p) {
    const struct bound_row *b = &p->at[1];
    if (b->backend->library->memory)
        return NULL;
    char *seen = malloc((size_t)b->set_bytes);
    if (!seen)
        return "out of memory";
    memcpy(seen, b->slab, (size_t)b->set_bytes);
    usleep(LATER);
    bool same = !memcmp(seen, b->slab, (size_t)b->set_bytes);
    free(seen);
    return same ? NULL : "it writes after the call has returned";
}

const char *state_examine(const struct examination *first, const struct examination *other) {
    struct pair p = {.of = {first, other}};
    int modes = threads_modes();
    const char *why = open_pair(&p);
    why = why ? why : in_turn(&p);
    why = why ? why : in_its_place(&p);
    why = why ? why : many_times(&p);
    why = why ? why : look_often(&p);
    why = why ? why : settled(&p);
    if (!why && threads_modes() != modes)
        why = BACKEND_MODES;
    for (int k = 0; k < TWO; k++)
        bound_row_close(&p.at[k]);
    return why;
}
