/* Verdicts on one case: which library has it, which is right, which is faster. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/gate/regress_entry.h"
#include "suites/rows/judge.h"
#include "suites/study/fits.h"
#include "suites/study/kernels_study.h"
#include "suites/study/study.h"

enum { KEY_SIZE = 2048, NAME_SIZE = KEY_SIZE + 80 };

/* Operations per second that the reference reaches at least. The time limit of a case grows with its time, which is
 * no fault of a library. */
#define REFERENCE_FLOPS 2e8

/* --- questions --- */

/* Whether the fixed cases of an operation were compared before: the worker runs them once per row. */
static bool sharp_before(const struct regress_question *q, bool now) {
    enum { MOST = 512 };
    static struct {
        int32_t side;
        char kind[64];
        const char *operation;
    } seen[MOST];
    static int count;
    for (int k = 0; k < count; k++)
        if (seen[k].side == q->side && !strcmp(seen[k].kind, q->kind) && seen[k].operation == q->p.operation)
            return true;
    if (now && count < MOST) {
        seen[count].side = q->side;
        memcpy(seen[count].kind, q->kind, sizeof q->kind);
        seen[count++].operation = q->p.operation;
    }
    return now;
}

/* A library can reach the pipe of the answers. So an answer that all is right counts only if the reference was asked
 * and had nothing against it. NULL, or why it does not count. */
static const char *distrust(const struct regress_question *q, const struct ruling *r) {
    static char why[MAX_FAILURE + 80];
    bool runs = q->step == REGRESS_RIGHT || q->step == REGRESS_TIME || q->step == REGRESS_SHARP;
    if (r->wrong) {
        snprintf(why, sizeof why, "its process said nothing of what the reference found: %s", r->first);
        return why;
    }
    if (r->faults)
        return "its process found a fault and then said nothing of it";
    bool asked = q->step == REGRESS_SHARP ? sharp_before(q, r->compared > 0) : r->compared > 1;
    return runs && !asked ? "its process answered without asking the reference" : NULL;
}

/* false: `why` says what the library did, how the worker ended, or that it was interrupted. */
bool regress_ask(struct regress *g, const struct regress_question *q, double seconds, struct regress_answer *answer,
                 char *why, size_t why_size) {
    struct message request = {0}, reply = {0};
    *answer = (struct regress_answer){.wrong = -1, .accuracy = {-1, 0}};
    message_put_text(&request, "regress");
    message_put_text(&request, g->path[REGRESS_BASE]);
    message_put_text(&request, g->path[REGRESS_NEW]);
    message_put(&request, q, sizeof *q);
    study_put_texts(&request, &q->p);
    struct ruling *ruling = g->worker.pid ? g->worker.ruling : NULL;
    if (ruling)
        *ruling = (struct ruling){0};
    bool good = worker_call(&g->worker, &request, &reply, seconds, why, why_size);
    if (good) {
        snprintf(why, why_size, "%s", message_take_text(&reply));
        message_take(&reply, answer, sizeof *answer);
        if (reply.bad)
            snprintf(why, why_size, "the worker's answer is incomplete");
        ruling = g->worker.ruling;
        const char *doubt = !why[0] && ruling ? distrust(q, ruling) : NULL;
        if (doubt)
            snprintf(why, why_size, "%s", doubt);
        good = !why[0];
    }
    message_clear(&request);
    message_clear(&reply);
    return good;
}

bool regress_was_killed(const char *why) {
    return !strncmp(why, "the worker was killed", 21);
}

/* Asks a fresh worker again if the first one ended, because an earlier case may have spoilt its memory. `*again`
 * says so. A time limit is not tried twice. */
static bool ask_twice(struct regress *g, const struct regress_question *q, double seconds,
                      struct regress_answer *answer, char *why, size_t why_size, bool *again) {
    bool good = regress_ask(g, q, seconds, answer, why, why_size);
    if (good || g->worker.pid || regress_stopped || strncmp(why, "the worker", 10))
        return good;
    good = regress_ask(g, q, seconds, answer, why, why_size);
    *again |= good;
    answer->no_memory |= !good && regress_was_killed(why); /* from outside, as systems do without memory */
    return good;
}

/* --- one case --- */

/* Writes the options of the case without its study. They are the same for every form of a kind. */
static void name_of(const struct regress_entry *e, const char *kind, char name[NAME_SIZE], size_t size) {
    char key[KEY_SIZE];
    const char study[] = "--study kernels ";
    params_key(e->p, key, sizeof key);
    const char *words = key + (strncmp(key, study, strlen(study)) ? 0 : strlen(study));
    snprintf(name, size, "%s%s%.64s", words, kind[0] ? GATE_FORM : "", kind);
}

static struct gate_row *add_row(struct regress_entry *e) {
    char name[NAME_SIZE], words[NAME_SIZE], own[200], quoted[3][REGRESS_PATH], command[4 * REGRESS_PATH];
    struct regress *g = e->gate;
    name_of(e, e->kind, name, sizeof name);
    name_of(e, "", words, sizeof words);
    gate_options_text(&g->options, own, sizeof own);
    gate_quote(program_invocation_name, quoted[0], REGRESS_PATH);
    gate_quote(g->given[REGRESS_BASE], quoted[1], REGRESS_PATH);
    gate_quote(g->given[REGRESS_NEW] ? g->given[REGRESS_NEW] : "", quoted[2], REGRESS_PATH);
    bool first_map = g->every_map && !e->p->map && params_matters(e->p, params_find("map"));
    snprintf(command, sizeof command, "%s regress --against %s%s%s %s%s%s%s", quoted[0], quoted[1],
             g->given[REGRESS_NEW] ? " " : "", g->given[REGRESS_NEW] ? quoted[2] : "", words,
             first_map ? " --map " : "", first_map ? params_find("map")->standard : "", own);
    const char operation[] = "--operation ";
    return gate_add(&g->report, name + (strncmp(name, operation, strlen(operation)) ? 0 : strlen(operation)), command);
}

void regress_fail(struct gate_row *r, enum mhc_verdict verdict) {
    r->verdict = verdict;
    r->fails = true;
}

static void describe_bits(struct gate_row *r, const struct regress_answer *a) {
    if (a->unstable)
        snprintf(r->bits, sizeof r->bits, "vary");
    else if (a->compared && a->different)
        snprintf(r->bits, sizeof r->bits, "%lld of %lld", (long long)a->different, (long long)a->elements);
    else if (a->compared)
        snprintf(r->bits, sizeof r->bits, "equal");
}

/* Whether the case is settled by which library has it and is right. If so, its row is written. */
static bool settle_right(struct regress_entry *e, struct gate_row *r) {
    const struct regress_answer *old = &e->right[REGRESS_BASE], *new = &e->right[REGRESS_NEW];
    if (e->has[REGRESS_BASE] && e->good[REGRESS_BASE])
        r->base_error = old->accuracy.error;
    if (e->has[REGRESS_NEW]) {
        r->now_error = new->accuracy.error < 0 ? NAN : new->accuracy.error;
        r->tolerance = new->accuracy.error < 0 ? NAN : new->accuracy.tolerance;
    }
    r->alone = !(e->has[REGRESS_BASE] && e->has[REGRESS_NEW]);
    if (!e->has[REGRESS_NEW]) {
        regress_fail(r, MHC_MISSING);
        return gate_say(r, "the old library has it, the new one says: %s", e->why[REGRESS_NEW]), true;
    }
    if (!e->good[REGRESS_NEW]) {
        regress_fail(r, MHC_INVALID); /* also if the old library was wrong: a green gate must mean right */
        r->alone = false;
        bool both = e->has[REGRESS_BASE] && !e->good[REGRESS_BASE];
        return gate_say(r, "%s%s%s", e->why[REGRESS_NEW], both ? "; the old library: " : "",
                        both ? e->why[REGRESS_BASE] : ""),
               true;
    }
    if (!e->has[REGRESS_BASE]) {
        r->verdict = MHC_NEW;
        return gate_say(r, "right; the old library says: %s", e->why[REGRESS_BASE]), true;
    }
    if (!e->good[REGRESS_BASE]) {
        r->verdict = MHC_NEW;
        r->open = true; /* the old library has it, and nothing was compared */
        return gate_say(r, "right, and the old library was not: %s", e->why[REGRESS_BASE]), true;
    }
    describe_bits(r, new);
    if (new->unstable && !old->unstable) {
        regress_fail(r, MHC_INVALID);
        return gate_say(r, "its bits vary from run to run, and those of the old library do not"), true;
    }
    r->tolerance = mhc_common_tolerance(old->accuracy.tolerance, new->accuracy.tolerance);
    enum mhc_accuracy accuracy = mhc_accuracy_of(old->accuracy.error, new->accuracy.error, r->tolerance);
    if (accuracy == MHC_ACCURATE)
        return false;
    regress_fail(r, MHC_INVALID);
    if (accuracy == MHC_WRONG)
        return gate_say(r, "error %.2g is not within the old library's tolerance of %.2g", new->accuracy.error,
                        r->tolerance),
               true;
    gate_say(r, "less accurate: error %.2g, was %.2g (allowed: twice that, or %.2g); first difference at %s",
             new->accuracy.error, old->accuracy.error, MHC_ERROR_FLOOR * r->tolerance, new->first);
    return true;
}

void regress_lack_memory(struct regress_entry *e, const char *who, const char *why) {
    if (!e->memory[0])
        snprintf(e->memory, sizeof e->memory,
                 regress_was_killed(why) ? "not judged, %s: %.240s" : "not enough memory on this machine, %s: %.240s",
                 who, why);
}

/* Asks about the case itself, then about the fixed cases of `check`, whose inputs show what those of a benchmark do
 * not. */
static void ask_right(struct regress_entry *e, int s) {
    struct regress_question q = e->question;
    struct regress_answer sharp = {0};
    q.step = REGRESS_RIGHT;
    q.side = s;
    e->good[s] = ask_twice(e->gate, &q, e->seconds, &e->right[s], e->why[s], sizeof e->why[s], &e->again);
    q.step = REGRESS_SHARP;
    if (e->good[s])
        e->good[s] = ask_twice(e->gate, &q, e->seconds, &sharp, e->why[s], sizeof e->why[s], &e->again);
    if (e->right[s].no_memory || sharp.no_memory)
        regress_lack_memory(e, regress_side_name[s], e->why[s]);
    if (!e->good[s])
        worker_stop(&e->gate->worker); /* a device that failed once may fail everything after it */
}

/* Reported and not gated: a library may well buy speed with memory. */
static void say_memory(const struct regress_entry *e, struct gate_row *r) {
    double old = e->held[REGRESS_BASE], new = e->held[REGRESS_NEW];
    char said[GATE_REASON];
    if (!(e->has[REGRESS_BASE] && e->has[REGRESS_NEW]) || !mhc_more_memory(old, new))
        return;
    snprintf(said, sizeof said, "%.400s", r->reason);
    gate_say(r, "%s; asks for %.6g bytes of save and work, was %.6g", said, new, old);
}

/* Writes the row of a case that there is no memory for. The row is open, unless the old library fits and the new one
 * asks for more. */
static void settle_memory(const struct regress_entry *e, struct gate_row *r) {
    double old = e->needed[REGRESS_BASE], new = e->needed[REGRESS_NEW];
    bool grew = e->has[REGRESS_BASE] && !e->lacks[REGRESS_BASE] && e->lacks[REGRESS_NEW] && old > 0 &&
                mhc_more_memory(old, new);
    r->verdict = grew ? MHC_INVALID : MHC_AMBIGUOUS;
    r->fails = grew;
    r->open = !grew;
    r->alone = true;
    if (grew)
        gate_say(r, "the case needs %.3g GB of memory, more than there is, and %.3g GB with the old library",
                 new * 1e-9, old * 1e-9);
    else
        gate_say(r, "%s", e->memory);
}

/* false: interrupted, or out of memory for a row (reported). */
static bool judge(struct regress_entry *e) {
    struct regress *g = e->gate;
    struct gate_row *r = add_row(e);
    if (!r)
        return cannot("out of memory"), false;
    if (!e->has[REGRESS_NEW])
        e->memory[0] = 0; /* a missing operation is MISSING, however large the case */
    for (int s = REGRESS_BASE; s <= REGRESS_NEW && !regress_stopped; s++)
        if (e->has[s] && !e->why[s][0] && !e->memory[0] && !e->lacks[s])
            ask_right(e, s);
    if (!regress_stopped && !e->memory[0] && !settle_right(e, r)) {
        if (g->options.speed == GATE_NO_SPEED || !(g->what[REGRESS_BASE].timed && g->what[REGRESS_NEW].timed))
            gate_say(r, "right; %s",
                     g->options.speed == GATE_NO_SPEED ? "speed was not asked for"
                                                       : "a host executor says nothing of a device's time");
        else
            regress_settle_speed(e, r);
    }
    if (e->again && r->verdict == MHC_SAME) {
        r->verdict = MHC_AMBIGUOUS;
        r->open = true;
        gate_say(r, "right in a fresh worker; the one before it crashed: an earlier case may have spoilt its memory");
    }
    if (e->memory[0])
        settle_memory(e, r);
    say_memory(e, r);
    if (regress_stopped) { /* half a case is none */
        free(r->name);
        free(r->command);
        g->report.count--;
    }
    return !regress_stopped;
}

/* Whether a library has the case, and there is memory for it. */
static void ask_support(struct regress_entry *e, int s) {
    struct regress *g = e->gate;
    struct regress_question q = e->question;
    struct regress_answer a;
    char why[120];
    q.step = REGRESS_SUPPORT;
    q.side = s;
    bool answered = ask_twice(g, &q, g->timeout, &a, e->why[s], sizeof e->why[s], &e->again);
    e->has[s] = answered || a.supported || !a.opened; /* or it crashed at the question */
    e->held[s] = a.held;
    if (a.no_memory)
        regress_lack_memory(e, regress_side_name[s], e->why[s]);
    e->needed[s] = answered ? a.needed : 0;
    if (!answered || a.needed <= MEMORY_SHARE * a.available)
        return;
    e->lacks[s] = true;
    snprintf(why, sizeof why, "needs %.3g GB of memory and %.3g GB are free", a.needed * 1e-9, a.available * 1e-9);
    regress_lack_memory(e, regress_side_name[s], why);
}

int regress_judge(struct regress *g, const struct params *p, const char *kind) {
    struct regress_entry e = {.gate = g, .p = p, .kind = kind, .question = {.p = *p, .trusting = g->trusting}};
    e.seconds = g->timeout + kernels_flops(p) / REFERENCE_FLOPS;
    snprintf(e.question.kind, sizeof e.question.kind, "%s", kind);
    for (int s = REGRESS_BASE; s <= REGRESS_NEW && !regress_stopped; s++)
        ask_support(&e, s);
    if (regress_stopped)
        return EXIT_INTERRUPTED;
    bool either = e.has[REGRESS_BASE] || e.has[REGRESS_NEW], both = e.has[REGRESS_BASE] && e.has[REGRESS_NEW];
    bool left_out = g->every_map && p->map && either && !both;
    g->one_sided += left_out;
    if (!either || left_out)
        return EXIT_GOOD;
    return judge(&e) ? EXIT_GOOD : regress_stopped ? EXIT_INTERRUPTED : EXIT_CANNOT;
}
