/* The worker's side of `regress`: keeps both libraries and the case at hand open from question to question. */
#include <fcntl.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/gate/regress.h"

const char *const regress_side_name[2] = {"the old library", "the new library"};

static struct backend library[2];
static struct regress_case side[2];
static struct regress_question current; /* what `side` is of */

double regress_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void regress_mark(int s) {
    volatile struct regress_note *note = worker_note();
    double now = regress_now();
    if (note->running)
        note->spent[note->running - 1] += now - note->since;
    note->running = 1 + s;
    note->since = now;
}

static void close_case(void) {
    for (int joined = 1; joined >= 0; joined--) /* what joined another goes first */
        for (int s = 0; s < 2; s++) {
            if (!side[s].open || side[s].k.joined != joined)
                continue;
            for (int a = 0; a < MHC_MAX_ARGS; a++)
                free(side[s].output[a]);
            kernel_case_close(&side[s].k);
            side[s] = (struct regress_case){0};
        }
}

/* A copy of a file in memory of its own, by a path to open it with. false: there is none. */
static bool copy_of(const char *path, char copy[64]) {
    char block[1 << 16];
    int from = open(path, O_RDONLY | O_CLOEXEC), to = from < 0 ? -1 : memfd_create("library", MFD_CLOEXEC);
    ssize_t got = 0;
    bool good = to >= 0;
    while (good && (got = read(from, block, sizeof block)) > 0)
        good = write(to, block, (size_t)got) == got;
    if (from >= 0)
        close(from);
    snprintf(copy, 64, "/proc/self/fd/%d", to);
    return good && got == 0; /* the file stays open: it is the library's */
}

/* A worker serves one command: the libraries never change. One that was built with -ffast-math switches denormals off for all of its
 * process when it is loaded; the reference must not notice. */
static const char *use_library(int s, const char *path, bool copies) {
    static char why[400];
    char copy[64];
    fenv_t before;
    if (library[s].library)
        return NULL;
    fegetenv(&before);
    bool linked_in = !strcmp(path, "cpu32") || !strcmp(path, "cpu64");
    bool good = copies && !linked_in && copy_of(path, copy) && backend_open(&library[s], copy, why, sizeof why);
    good = good ||
           backend_open(&library[s], path, why, sizeof why); /* a copy does not find what lies beside the library */
    fesetenv(&before);
    return good ? NULL : why;
}

/* Kinds of the reference's rows, "mhc" of "mhc.post". */
static bool reference_has(const char *kind, size_t length) {
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        if (!strncmp((*row)->name, kind, length) && (*row)->name[length] == '.')
            return true;
    return false;
}

static void describe(int s, struct regress_answer *answer) {
    const struct mhc_library *l = library[s].library;
    int kinds = 0;
    snprintf(answer->name, sizeof answer->name, "%s", l->name ? l->name : "?");
    snprintf(answer->build, sizeof answer->build, "%s", l->build ? l->build : "?");
    answer->device = l->memory != NULL;
    answer->timed = strcmp(answer->name, "emu") != 0;
    for (const struct mhc_row *const *row = l->rows; *row; row++) {
        char kind[64];
        size_t length = strcspn((*row)->name, ".");
        snprintf(kind, sizeof kind, "%.*s", (int)(length < sizeof kind ? length : 0), (*row)->name);
        bool known = reference_has(kind, strlen(kind));
        for (int k = 0; k < kinds; k++)
            known |= !strcmp(answer->kinds[k], kind);
        if (!known && kinds < REGRESS_KINDS)
            memcpy(answer->kinds[kinds++], kind, sizeof kind);
    }
}

static const char *plan(int s, const struct regress_question *q, struct kernel_case *k) {
    return kernel_case_plan_as(k, &library[s], &q->p, q->kind[0] ? q->kind : NULL);
}

static const struct mhc_arg *same_argument(const struct mhc_row *row, const struct mhc_arg *wanted) {
    const struct mhc_arg *arg = mhc_arg_find(row, wanted->name, wanted->direction);
    return arg && !strcmp(arg->extents, wanted->extents) && arg->role == wanted->role ? arg : NULL;
}

/* Arrays are bound by name, so an argument that the reference has in another shape would be read past its end. */
static const char *check_arguments(const struct kernel_case *k) {
    static char why[200];
    for (int r = 0; r < k->rows; r++) {
        const struct mhc_row *pair[2] = {k->chain[r], k->reference[r]};
        for (int way = 0; way < 2 && pair[0]; way++)
            for (const struct mhc_arg *arg = pair[way]->args; arg->name; arg++)
                if (!same_argument(pair[!way], arg)) {
                    snprintf(why, sizeof why, "%s: its arguments are not those of cpu64, see `%s`",
                             k->reference[r]->name, arg->name);
                    return why;
                }
    }
    return NULL;
}

static const char *support(int s, const struct regress_question *q, struct regress_answer *answer) {
    static char why[300];
    struct kernel_case k;
    double host;
    const char *lacks = plan(s, q, &k);
    if (lacks)
        return snprintf(why, sizeof why, "%s", lacks), why;
    answer->supported = true;
    const char *wrong = check_arguments(&k);
    if (wrong)
        return wrong;
    kernel_case_share_inputs(&k);
    kernel_case_bytes(&k, &answer->needed, &host);
    answer->held = (double)(row_save_bytes(kernel_case_row(&k), &k.c) + row_work_bytes(kernel_case_row(&k), &k.c));
    answer->available = (double)backend_available(&library[s]);
    answer->needed *= 3; /* the case, two guarded runs with their images, or what is timed */
    answer->needed += library[s].library->memory ? 0 : host;
    return NULL;
}

static bool same_case(const struct regress_question *a, const struct regress_question *b) {
    return !memcmp(&a->p, &b->p, sizeof a->p) && !strcmp(a->kind, b->kind);
}

/* Inputs and the reference's answer, made once for both sides. */
static const char *open_side(int s, const struct regress_question *q) {
    struct regress_case *me = &side[s], *other = &side[!s];
    if (!same_case(&current, q))
        close_case();
    current = *q;
    if (me->open)
        return NULL;
    me->backend = &library[s];
    const char *why = plan(s, q, &me->k);
    kernel_case_share_inputs(&me->k);
    why = why ? why : other->open ? kernel_case_join(&me->k, &other->k) : kernel_case_open(&me->k, (uint64_t)q->p.seed);
    if (why) {
        kernel_case_close(&me->k);
        *me = (struct regress_case){0};
    } else
        me->open = true;
    return why;
}

static const char *time_both(const struct regress_question *q, struct regress_answer *answer) {
    struct regress_note *note = worker_note();
    *note = (struct regress_note){0};
    regress_mark(REGRESS_BASE);
    const char *why = open_side(REGRESS_BASE, q);
    if (!why && !q->alone) {
        regress_mark(REGRESS_NEW);
        why = open_side(REGRESS_NEW, q);
    }
    const struct regress_case itself[2] = {side[REGRESS_BASE], side[REGRESS_BASE]};
    why = why ? why : regress_case_time(q->alone ? itself : side, q, answer);
    answer->wrong = why ? note->running - 1 : -1;
    note->running = 0;
    return why;
}

static const char *answer_question(const struct regress_question *q, struct regress_answer *answer) {
    const char *why = NULL;
    switch (q->step) {
    case REGRESS_LIBRARY: describe(q->side, answer); break;
    case REGRESS_SUPPORT: why = support(q->side, q, answer); break;
    case REGRESS_RIGHT:
        why = open_side(q->side, q);
        why = why ? why : regress_case_right(&side[q->side], &side[!q->side], answer);
        break;
    case REGRESS_TIME: why = time_both(q, answer);
    }
    return why;
}

void regress_answer(struct message *request, struct message *reply) {
    struct regress_question q;
    struct regress_answer answer = {.wrong = -1, .accuracy = {-1, 0}};
    const char *path[2], *why = NULL;
    for (int s = 0; s < 2; s++)
        path[s] = message_take_text(request);
    message_take(request, &q, sizeof q);
    for (int s = 0; s < 2 && !why; s++)
        if ((q.step != REGRESS_LIBRARY || q.side == s) && !(q.alone && s == REGRESS_NEW))
            why = use_library(s, path[s], q.copies);
    answer.opened = !why;
    why = why ? why : answer_question(&q, &answer);
    answer.no_memory = why && (!strcmp(why, "out of memory") || !strcmp(why, "no memory for its arrays"));
    message_put_text(reply, why ? why : "");
    message_put(reply, &answer, sizeof answer);
}
