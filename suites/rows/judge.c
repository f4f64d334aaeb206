#include "suites/rows/judge.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/worker/split.h"

enum { REFERENCE, JOIN, COMPARE, CLOSE, EXPECT, FAULT, SETTLE };
enum { MOST_OPEN = 64, MOST_NAMES = 512, SMALL = 1 << 18 /* elements up to which one thread is fastest */ };

/* --- both sides: arrays and examinations as bytes --- */

static void put_array(struct message *m, const char *name, const double *values, int64_t count) {
    message_put_text(m, name);
    message_put(m, &count, sizeof count);
    message_put(m, values, (size_t)count * sizeof *values);
}

/* A name that lives as long as the process. */
static const char *name_of(const char *text) {
    static char *names[MOST_NAMES];
    int k = 0;
    while (k < MOST_NAMES && names[k] && strcmp(names[k], text))
        k++;
    if (k < MOST_NAMES && !names[k])
        names[k] = strdup(text);
    return k < MOST_NAMES ? names[k] : NULL;
}

static bool take_array(struct message *m, struct arrays *to) {
    const char *name = name_of(message_take_text(m));
    int64_t count = 0;
    message_take(m, &count, sizeof count);
    double *values = m->bad || count < 0 || !name ? NULL : arrays_put(to, name, count);
    if (values)
        message_take(m, values, (size_t)count * sizeof *values);
    return values && !m->bad;
}

static bool take_arrays(struct message *m, struct arrays *to) {
    int count = 0;
    bool good = true;
    message_take(m, &count, sizeof count);
    for (int k = 0; k < count && good; k++)
        good = take_array(m, to);
    return good && !m->bad;
}

/* The part of an examination that is no array. */
struct plain {
    int32_t what, id, rows;
    struct mhc_case c, exact;
    double x_scale, share, allowed;
    bool trusting, has[CHAIN_ROWS];
};

/* --- the side of the library --- */

static void put_examination(struct message *m, int32_t what, const struct examination *e) {
    struct plain p;
    memset(&p, 0, sizeof p);
    p.what = what, p.id = e->judged, p.rows = e->rows, p.c = e->c, p.exact = e->exact;
    p.x_scale = e->x_scale, p.share = e->share, p.trusting = e->trusting;
    p.allowed = examined_row(e)->tolerance(&e->c);
    for (int k = 0; k < e->rows; k++)
        p.has[k] = e->row[k] != NULL;
    message_put(m, &p, sizeof p);
    for (int k = 0; k < e->rows; k++) {
        message_put_text(m, e->reference[k]->name);
        message_put_text(m, e->row[k] ? e->row[k]->name : "");
    }
}

static void put_id(struct message *m, int32_t what, int32_t id) {
    struct plain p;
    memset(&p, 0, sizeof p);
    p.what = what, p.id = id;
    message_put(m, &p, sizeof p);
}

static int32_t next_id(void) {
    static int32_t last;
    return ++last;
}

static bool is_given(const struct examination *e) {
    bool given = false;
    for (int k = 0; k + 1 < e->rows; k++)
        given |= !e->row[k];
    return given;
}

/* Takes what the reference made of rows that the backend has not. */
static const char *take_given(struct message *reply, struct examination *e) {
    static _Thread_local char why[MAX_FAILURE];
    struct arrays made = {0};
    snprintf(why, sizeof why, "%s", message_take_text(reply));
    bool good = why[0] || take_arrays(reply, &made);
    for (int k = 0; k < made.count && good && !why[0]; k++) {
        const struct arrays_entry *a = &made.entry[k];
        double *values = arrays_put(&e->want, a->name, a->count);
        if ((good = values != NULL)) {
            memcpy(values, a->values, (size_t)a->count * sizeof *values);
            arrays_alias(&e->given, a->name, &e->want, a->name);
        }
    }
    arrays_clear(&made);
    return why[0] ? why : good ? NULL : "out of memory";
}

#define GONE "the process of the reference has ended"

/* Sends a request. It waits only if the library's side needs the reply, so that else the reference works while the
 * library does. */
static const char *ask(struct message *request, struct examination *e) {
    struct message reply = {0};
    bool waits = is_given(e), good = split_ask(request, waits ? &reply : NULL);
    const char *why = !good ? GONE : waits ? take_given(&reply, e) : NULL;
    message_clear(request);
    message_clear(&reply);
    return why;
}

static const char *ask_reference(struct examination *e, const struct arrays *made) {
    struct message m = {0};
    bool behind = examine_behind_crossing(e);
    int count = e->given.count + behind;
    e->judged = e->judged ? e->judged : next_id();
    put_examination(&m, REFERENCE, e);
    message_put(&m, &count, sizeof count);
    for (int k = 0; k < e->given.count; k++)
        put_array(&m, e->given.entry[k].name, e->given.entry[k].values, e->given.entry[k].count);
    if (behind)
        put_array(&m, "x_next", arrays_get(made, "x_next"), arrays_count(made, "x_next"));
    return ask(&m, e);
}

static const char *ask_join(struct examination *e, const struct examination *first) {
    struct message m = {0};
    e->judged = next_id();
    put_examination(&m, JOIN, e);
    message_put(&m, &first->judged, sizeof first->judged);
    return ask(&m, e);
}

static const char *ask_compare(const struct examination *e, const struct arrays *made,
                               struct finding list[MHC_MAX_ARGS]) {
    static _Thread_local char why[MAX_FAILURE];
    const struct mhc_row *row = examined_row(e);
    struct message m = {0}, reply = {0};
    int count = 0;
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        list[a] = (struct finding){0};
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        count += arg->direction == MHC_OUT && arrays_get(made, arg->name);
    put_id(&m, COMPARE, e->judged);
    message_put(&m, &count, sizeof count);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == MHC_OUT && arrays_get(made, arg->name))
            put_array(&m, arg->name, arrays_get(made, arg->name), arrays_count(made, arg->name));
    snprintf(why, sizeof why, "%s", split_ask(&m, &reply) ? message_take_text(&reply) : GONE);
    for (int a = 0; row->args[a].name && !why[0]; a++)
        if (row->args[a].direction == MHC_OUT) {
            message_take(&reply, &list[a], sizeof list[a]);
            list[a].argument = &row->args[a];
        }
    if (reply.bad)
        snprintf(why, sizeof why, "%s", GONE);
    message_clear(&m);
    message_clear(&reply);
    return why[0] ? why : NULL;
}

static void tell_close(const struct examination *e) {
    struct message m = {0};
    if (e->judged) {
        put_id(&m, CLOSE, e->judged);
        split_ask(&m, NULL);
    }
    message_clear(&m);
}

void judge_expect(int64_t rows) {
    struct message m = {0};
    if (!split_is())
        return;
    put_id(&m, EXPECT, 0);
    message_put(&m, &rows, sizeof rows);
    split_ask(&m, NULL);
    message_clear(&m);
}

void judge_fault(void) {
    struct message m = {0}, reply = {0};
    if (!split_is())
        return;
    put_id(&m, FAULT, 0);
    split_ask(&m, &reply); /* what this process says next must not overtake it */
    message_clear(&m);
    message_clear(&reply);
}

void judge_settle(const char *row, int64_t cases, int64_t failures) {
    struct message m = {0};
    if (!split_is())
        return;
    put_id(&m, SETTLE, 0);
    message_put_text(&m, row);
    message_put(&m, &cases, sizeof cases);
    message_put(&m, &failures, sizeof failures);
    split_ask(&m, NULL);
    message_clear(&m);
}

/* --- the side of the reference --- */

/* An examination that stands for the library's: its rows have the reference's arguments, and a name. */
struct open {
    int32_t id;
    struct examination e;
    struct mhc_row row[CHAIN_ROWS];
    char why[MAX_FAILURE];
};
static struct open *opened[MOST_OPEN];
static struct ruling *ruling, row_over; /* row_over: the ruling when the last row was over */

static struct open *find(int32_t id) {
    for (int k = 0; k < MOST_OPEN; k++)
        if (opened[k] && opened[k]->id == id)
            return opened[k];
    return NULL;
}

static void close_one(int32_t id) {
    for (int k = 0; k < MOST_OPEN; k++)
        if (opened[k] && opened[k]->id == id) {
            examine_close(&opened[k]->e);
            free(opened[k]);
            opened[k] = NULL;
        }
}

/* Opens a fresh one under its number. NULL: out of memory, or of numbers. */
static struct open *open_one(struct message *m, const struct plain *p) {
    close_one(p->id);
    int k = 0;
    while (k < MOST_OPEN && opened[k])
        k++;
    struct open *o = k < MOST_OPEN && p->rows > 0 && p->rows <= CHAIN_ROWS ? calloc(1, sizeof *o) : NULL;
    if (!o)
        return NULL;
    o->id = p->id;
    o->e = (struct examination){.c = p->c,
                                .exact = p->exact,
                                .x_scale = p->x_scale,
                                .share = p->share,
                                .allowed = p->allowed,
                                .trusting = p->trusting,
                                .rows = p->rows};
    for (int r = 0; r < p->rows; r++) {
        o->e.reference[r] = mhc_row_find(&mhc_cpu64, message_take_text(m));
        const char *name = name_of(message_take_text(m));
        if (!o->e.reference[r] || !name)
            return free(o), NULL;
        o->row[r] = (struct mhc_row){.name = name, .args = o->e.reference[r]->args};
        o->e.row[r] = p->has[r] ? &o->row[r] : NULL;
    }
    return opened[k] = o;
}

/* The reply to a request that waits: what the reference made of rows that the backend has not. */
static void put_given(struct message *reply, const struct open *o) {
    int count = 0;
    message_put_text(reply, o ? o->why : "out of memory");
    for (int pass = 0; pass < 2 && o && !o->why[0]; pass++) {
        for (int k = 0; k + 1 < o->e.rows; k++)
            for (const struct mhc_arg *arg = o->e.reference[k]->args; arg->name && !o->e.row[k]; arg++) {
                const double *values = arg->direction == MHC_OUT ? arrays_get(&o->e.want, arg->name) : NULL;
                if (values && pass)
                    put_array(reply, arg->name, values, arrays_count(&o->e.want, arg->name));
                count += values && !pass;
            }
        if (!pass)
            message_put(reply, &count, sizeof count);
    }
}

static void note(struct open *o, const char *why) {
    snprintf(o->why, sizeof o->why, "%s", why ? why : "");
}

static void make_reference(struct message *m, const struct plain *p, struct message *reply) {
    static int most;
    struct open *o = open_one(m, p);
    if (o) {
        bool good = take_arrays(m, &o->e.given);
        int64_t elements = 0;
        for (int k = 0; k < o->e.given.count; k++)
            elements += o->e.given.entry[k].count;
        most = most ? most : omp_get_max_threads();
        omp_set_num_threads(elements < SMALL ? 1 : most);
        note(o, good ? examine_reference(&o->e, &o->e.given) : "out of memory");
    }
    if (reply)
        put_given(reply, o);
}

static void join(struct message *m, const struct plain *p, struct message *reply) {
    struct open *o = open_one(m, p), *first;
    int32_t id = 0;
    message_take(m, &id, sizeof id);
    if (o)
        note(o, (first = find(id)) ? examine_same_answer(&o->e, &first->e) : "its first case is not open");
    if (reply)
        put_given(reply, o);
}

static void rule(const char *text) {
    if (!ruling->wrong++)
        snprintf(ruling->first, sizeof ruling->first, "%s", text);
}

static void compare(struct message *m, const struct plain *p, struct message *reply) {
    static struct finding list[MHC_MAX_ARGS];
    struct open *o = find(p->id);
    struct arrays made = {0};
    const char *why = !o ? "its case is not open" : o->why[0] ? o->why : NULL, *wrong;
    why = why || take_arrays(m, &made) ? why : "out of memory";
    why = why ? why : examine_compare(&o->e, &made, list);
    wrong = why;
    message_put_text(reply, why ? why : "");
    for (int a = 0; o && examined_row(&o->e)->args[a].name && !why; a++)
        if (list[a].argument) {
            message_put(reply, &list[a], sizeof list[a]);
            wrong = wrong || list[a].good ? wrong : list[a].text;
        }
    ruling->compared++;
    if (wrong)
        rule(wrong);
    arrays_clear(&made);
}

static void expect(struct message *m) {
    int64_t rows = 0;
    message_take(m, &rows, sizeof rows);
    if (!ruling->rows)
        ruling->rows = rows;
}

static void settle(struct message *m) {
    const char *row = message_take_text(m);
    int64_t cases = 0, failures = 0;
    message_take(m, &cases, sizeof cases);
    message_take(m, &failures, sizeof failures);
    bool wrong = ruling->wrong > row_over.wrong, seen = ruling->compared - row_over.compared >= cases,
         fault = ruling->faults > row_over.faults;
    if (failures == 0 && (wrong || fault || !seen) && !ruling->hidden++)
        snprintf(ruling->first, sizeof ruling->first, "%.60s: %s", row,
                 wrong   ? "the reference found a wrong answer, of which its own process said nothing"
                 : fault ? "its own process found a fault and then said nothing of it"
                         : "not every case was compared with the reference");
    ruling->settled++;
    row_over = *ruling;
}

static void answer(struct message *request, struct message *reply) {
    struct plain p;
    message_take(request, &p, sizeof p);
    if (p.what == COMPARE && reply)
        compare(request, &p, reply);
    else if (p.what == REFERENCE)
        make_reference(request, &p, reply);
    else if (p.what == JOIN)
        join(request, &p, reply);
    else if (p.what == CLOSE)
        close_one(p.id);
    else if (p.what == EXPECT)
        expect(request);
    else if (p.what == FAULT)
        ruling->faults++;
    else if (p.what == SETTLE)
        settle(request);
}

_Static_assert(sizeof(struct ruling) <= WORKER_RULING, "a worker has no room for a ruling");

bool judge_start(struct ruling *shared, size_t size) {
    static const struct examiner elsewhere = {ask_reference, ask_join, ask_compare, tell_close};
    ruling = shared;
    row_over = *shared;
    if (!split(answer, shared, size))
        return false;
    examine_elsewhere = &elsewhere;
    return true;
}
