/* The worker's side of `regress`: it keeps both libraries and the present case open from question to question. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/gate/check.h"
#include "suites/gate/regress.h"
#include "suites/rows/judge.h"
#include "suites/rows/state.h"
#include "suites/study/study.h"

enum { REGRESS_ROWS = 400 };

const char *const regress_side_name[2] = {"the old library", "the new library"};

static struct backend library[2];
static struct regress_case side[2];
static struct regress_question current; /* the question that `side` was opened for */

void regress_mark(int s) {
    volatile struct regress_note *note = worker_note();
    double now = worker_now();
    if (note->running)
        note->spent[note->running - 1] += now - note->since;
    note->running = 1 + s;
    note->since = now;
}

static void close_side(int s) {
    outcome_clear(&side[s].made);
    examine_close(&side[s].twin);
    examine_close(&side[s].e);
    side[s] = (struct regress_case){0};
}

static void close_case(void) {
    int first = side[REGRESS_NEW].joined ? REGRESS_NEW : REGRESS_BASE; /* the joined case closes first */
    close_side(first);
    close_side(!first);
}

/* Copies a file into memory of its own and writes a path to open it with. false: there is none. */
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

/* A worker serves one command: the libraries never change. */
static const char *use_library(int s, const char *path, bool copies) {
    static char why[400];
    char copy[64];
    if (library[s].library)
        return NULL;
    bool linked_in = !strcmp(path, "cpu32") || !strcmp(path, "cpu64");
    bool good = copies && !linked_in && copy_of(path, copy) && backend_open(&library[s], copy, why, sizeof why);
    good = good || backend_open(&library[s], path, why, sizeof why); /* a copy finds nothing beside it */
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

static const char *plan(int s, const struct regress_question *q, struct examination *e) {
    const char *why = kernel_case_plan(e, &library[s], &q->p, q->kind[0] ? q->kind : NULL);
    if (!why)
        kernel_case_share_inputs(e);
    e->trusting = q->trusting;
    return why;
}

/* Arrays are bound by name, so an argument that the reference has in another shape would be read past its end. */
static const char *check_arguments(const struct examination *e) {
    static char why[200];
    for (int r = 0; r < e->rows; r++) {
        const char *other = e->row[r] ? rows_differ(e->row[r], e->reference[r]) : NULL;
        if (other) {
            snprintf(why, sizeof why, "%s: its arguments are not those of cpu64, see `%s`", e->reference[r]->name,
                     other);
            return why;
        }
    }
    return NULL;
}

static const char *support(int s, const struct regress_question *q, struct regress_answer *answer) {
    static char why[300];
    struct examination e;
    double host;
    const char *lacks = plan(s, q, &e);
    if (lacks)
        return snprintf(why, sizeof why, "%s", lacks), why;
    answer->supported = true;
    const char *wrong = check_arguments(&e);
    if (wrong)
        return wrong;
    examine_bytes(&e, &answer->needed, &host);
    answer->held = (double)(row_save_bytes(examined_row(&e), &e.c) + row_work_bytes(examined_row(&e), &e.c));
    answer->available = (double)backend_available(&library[s]);
    answer->needed *= 3; /* the case, two guarded runs with their images, or what is timed */
    answer->needed += library[s].library->memory ? 0 : 2 * host; /* and its twin */
    return NULL;
}

static bool same_case(const struct regress_question *a, const struct regress_question *b) {
    return !memcmp(&a->p, &b->p, sizeof a->p) && !strcmp(a->kind, b->kind);
}

/* The same case with other inputs, for calls that must not know the answer beforehand. */
static const char *open_twin(int s, const struct regress_question *q) {
    uint64_t seed = (uint64_t)q->p.seed + 1000003;
    struct examination *twin = &side[s].twin;
    const char *why = plan(s, q, twin);
    if (!why && side[s].joined)
        return examine_join(twin, &side[!s].twin);
    why = why ? why : examine_give(twin, examine_natural, &seed);
    if (!why)
        state_same_ends(twin, &side[s].e);
    why = why ? why : examine_reference(twin, NULL);
    return why ? why : examine_before(twin);
}

/* Makes inputs and the reference's answer, once for both sides. */
static const char *open_side(int s, const struct regress_question *q) {
    struct regress_case *me = &side[s], *other = &side[!s];
    if (!same_case(&current, q))
        close_case();
    current = *q;
    if (me->open)
        return NULL;
    const char *why = plan(s, q, &me->e);
    me->joined = other->open;
    why = why ? why : me->joined ? examine_join(&me->e, &other->e) : kernel_case_open(&me->e, (uint64_t)q->p.seed);
    why = why ? why : open_twin(s, q);
    me->open = !why;
    if (why)
        close_side(s);
    return why;
}

/* Runs the fixed cases of `check` for the row of a case, once for all cases of the row. The worker remembers the
 * outcome. */
static const char *sharp(int s, const struct regress_question *q) {
    static const struct mhc_row *done[2][REGRESS_ROWS];
    static int count[2];
    static struct checker k;
    struct examination e;
    const char *why = plan(s, q, &e);
    if (why)
        return why;
    for (int row = 0; row < count[s]; row++)
        if (done[s][row] == examined_row(&e))
            return NULL;
    k = (struct checker){.backend = library[s], .seed = 1, .silent = true, .trusting = q->trusting};
    struct subject subject = check_subject(&library[s], examined_row(&e));
    snprintf(k.label, sizeof k.label, "%s", subject.label);
    k.subject = &subject;
    check_fixed(&k, &subject);
    if (!k.failures && count[s] < REGRESS_ROWS)
        done[s][count[s]++] = examined_row(&e);
    return k.failures ? k.first : NULL;
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

/* Starts the judge before the first library is opened. NULL, or why there is no process that no library reaches. */
static const char *start_judge(void) {
    static bool tried, started;
    struct ruling *shared = tried ? NULL : worker_ruling();
    tried = true;
    started = started || (shared && judge_start(shared, (size_t)sysconf(_SC_PAGESIZE)));
    return started ? NULL : "no process for the reference";
}

static const char *answer_question(const struct regress_question *q, struct regress_answer *answer) {
    const char *why = NULL;
    switch (q->step) {
    case REGRESS_LIBRARY: describe(q->side, answer); break;
    case REGRESS_SUPPORT: why = support(q->side, q, answer); break;
    case REGRESS_SHARP: why = sharp(q->side, q); break;
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
    study_take_texts(request, &q.p);
    why = start_judge();
    for (int s = 0; s < 2 && !why; s++)
        if ((q.step != REGRESS_LIBRARY || q.side == s) && !(q.alone && s == REGRESS_NEW))
            why = use_library(s, path[s], q.copies);
    answer.opened = !why;
    why = why ? why : answer_question(&q, &answer);
    answer.no_memory = why && (!strcmp(why, "out of memory") || !strcmp(why, "no memory for its arrays"));
    message_put_text(reply, why ? why : "");
    message_put(reply, &answer, sizeof answer);
}
