/* `regress --counters` compares two libraries that count, case by case. Counts are exact, so nothing is repeated and
 * no GPU is needed: a larger count is slower. */
#include <errno.h>
#include <string.h>

#include "suites/case/options.h"
#include "suites/gate/counted.h"
#include "suites/gate/regress.h"
#include "suites/study/study.h"

enum { KEY_SIZE = 2048 };
#define DEFAULT_THRESHOLD 0.01

/* --- in the worker --- */

struct counters_question {
    int32_t side, which;
    char form[64];
    struct params p;
};

static const struct backend *library_of(int side, const char *path, char *why, size_t size) {
    static struct backend open[2];
    return open[side].library || backend_open(&open[side], path, why, size) ? &open[side] : NULL;
}

void regress_counters_answer(struct message *request, struct message *reply) {
    struct counters_question q = {0};
    struct counted made = {0};
    char why[600] = "";
    bool none = false;
    const char *path = message_take_text(request), *reason = NULL;
    message_take(request, &q, sizeof q);
    study_take_texts(request, &q.p);
    const struct backend *b = library_of(q.side != 0, path, why, sizeof why);
    bool counts = b && counted_counters(b, &reason);
    if (counts)
        reason = counted_run(b, &q.p, q.form, q.which, &made, &none);
    if (reason)
        snprintf(why, sizeof why, "%s", reason);
    message_put_text(reply, why);
    message_put(reply, &none, sizeof none);
    message_put(reply, &counts, sizeof counts);
    message_put(reply, &made, sizeof made);
}

/* --- what is compared --- */

/* A count that makes a kernel slower when it grows, by a share of `of`. */
struct gated {
    const char *name;
    double value, of;
};
enum { GATED = 3 };

static void gated_of(const struct counted *c, struct gated to[GATED]) {
    int64_t sum[MHC_COUNT_KINDS];
    for (int k = 0; k < MHC_COUNT_KINDS; k++)
        sum[k] = counted_total(c, (enum mhc_count)k);
    double sectors = (double)(sum[MHC_COUNT_load_sectors] + sum[MHC_COUNT_store_sectors]);
    double wavefronts = (double)(sum[MHC_COUNT_shared_loads] + sum[MHC_COUNT_shared_stores]);
    double least = (double)(sum[MHC_COUNT_shared_loads_least] + sum[MHC_COUNT_shared_stores_least]);
    to[0] = (struct gated){"bytes moved at least", (double)c->moved, (double)c->moved};
    to[1] = (struct gated){"sectors of global requests", sectors, sectors};
    to[2] = (struct gated){"bank conflicts", wavefronts - least, wavefronts};
}

static void say_moved(char *text, size_t size, const char *what, double was, double is) {
    size_t used = strlen(text);
    int more = snprintf(text + used, size - used, "%s%s %.0f -> %.0f", used ? "; " : "", what, was, is);
    used += more > 0 ? (size_t)more : 0;
    if (was > 0 && used < size)
        snprintf(text + used, size - used, " (%+.1f %%)", 100 * (is / was - 1));
}

/* Writes every count that differs. */
static void say_counts(char *text, size_t size, const struct counted *was, const struct counted *is) {
    for (int k = 0; k < MHC_COUNT_KINDS; k++) {
        int64_t a = counted_total(was, (enum mhc_count)k), b = counted_total(is, (enum mhc_count)k);
        if (a != b)
            say_moved(text, size, counted_what[k], (double)a, (double)b);
    }
}

static void judge(struct gate_row *r, const struct counted *was, const struct counted *is, double threshold) {
    struct gated a[GATED], b[GATED];
    char text[GATE_REASON] = "";
    bool slower = false, faster = false;
    gated_of(was, a);
    gated_of(is, b);
    for (int k = 0; k < GATED; k++) {
        double most = threshold * (a[k].of > 0 ? a[k].of : b[k].of), change = b[k].value - a[k].value;
        slower |= change > most;
        faster |= change < -most;
        if (change > most || change < -most)
            say_moved(text, sizeof text, a[k].name, a[k].value, b[k].value);
    }
    r->verdict = slower ? MHC_SLOWER : faster ? MHC_FASTER : MHC_SAME;
    r->fails = slower;
    if (!text[0])
        say_counts(text, sizeof text, was, is);
    gate_say(r, "%s%s", slower || faster ? "(counters) " : "", text[0] ? text : "every count is the same");
}

/* --- one case --- */

struct side {
    struct counted counted;
    char why[MAX_FAILURE];
    bool none, counts, answered; /* none: there is no such row; counts: it was opened, and was built to count */
};

static void ask(struct regress *g, const struct counters_question *q, struct side *to) {
    struct message request = {0}, reply = {0};
    *to = (struct side){.counts = true};
    message_put_text(&request, "counters");
    message_put_text(&request, g->path[q->side]);
    message_put(&request, q, sizeof *q);
    study_put_texts(&request, &q->p);
    to->answered = worker_call(&g->worker, &request, &reply, 10 * g->timeout, to->why, sizeof to->why);
    if (to->answered) {
        snprintf(to->why, sizeof to->why, "%s", message_take_text(&reply));
        message_take(&reply, &to->none, sizeof to->none);
        message_take(&reply, &to->counts, sizeof to->counts);
        message_take(&reply, &to->counted, sizeof to->counted);
    }
    message_clear(&request);
    message_clear(&reply);
}

static struct gate_row *add_row(struct regress *g, const struct params *p, const char *row) {
    char key[KEY_SIZE], name[KEY_SIZE + 100], command[4 * REGRESS_PATH], quoted[3][REGRESS_PATH];
    params_key(p, key, sizeof key);
    const char *operation = strstr(key, "--operation "), *words = operation ? operation : key;
    const char *others = operation ? words + strlen("--operation ") : words;
    others += strcspn(others, " ");
    snprintf(name, sizeof name, "%s%s", row, others);
    gate_quote(program_invocation_name, quoted[0], REGRESS_PATH);
    gate_quote(g->given[REGRESS_BASE], quoted[1], REGRESS_PATH);
    gate_quote(g->given[REGRESS_NEW] ? g->given[REGRESS_NEW] : "", quoted[2], REGRESS_PATH);
    snprintf(command, sizeof command, "%s regress --counters --against %s%s%s %s", quoted[0], quoted[1],
             g->given[REGRESS_NEW] ? " " : "", g->given[REGRESS_NEW] ? quoted[2] : "", words);
    return gate_add(&g->report, name, command);
}

/* Writes the row of a case that one side or the other could not count. */
static void settle_failure(struct gate_row *r, const struct side s[2]) {
    bool has[2] = {!s[0].none, !s[1].none};
    r->alone = has[0] != has[1];
    if (!has[1]) {
        r->verdict = MHC_MISSING;
        r->fails = true;
        gate_say(r, "the new library: %s", s[1].why);
    } else if (!has[0]) {
        r->verdict = MHC_NEW;
        gate_say(r, "the old library: %s", s[0].why);
    } else {
        r->verdict = s[1].why[0] ? MHC_INVALID : MHC_AMBIGUOUS;
        r->fails = r->verdict == MHC_INVALID;
        r->open = r->crashed = !r->fails;
        gate_say(r, "%s: %s", regress_side_name[r->fails], s[r->fails].why);
    }
}

int regress_counters(struct regress *g, const struct params *p, const char *form) {
    double threshold = g->options.threshold > 0 ? g->options.threshold : DEFAULT_THRESHOLD;
    for (int which = 0;; which++) {
        struct side s[2];
        struct counters_question q = {.which = which, .p = *p};
        snprintf(q.form, sizeof q.form, "%s", form);
        for (q.side = REGRESS_BASE; q.side <= REGRESS_NEW; q.side++) {
            ask(g, &q, &s[q.side]);
            if (regress_stopped)
                return EXIT_INTERRUPTED;
            if (!s[q.side].counts)
                return cannot("%s: %s", g->path[q.side], s[q.side].why);
        }
        if (s[0].none && s[1].none)
            return EXIT_GOOD;
        const struct side *named = s[0].counted.row[0] ? &s[0] : &s[1];
        struct gate_row *r = add_row(g, p, named->counted.row[0] ? named->counted.row : form[0] ? form : p->operation);
        if (!r)
            return cannot("out of memory");
        if (s[0].why[0] || s[1].why[0])
            settle_failure(r, s);
        else
            judge(r, &s[0].counted, &s[1].counted, threshold);
        if (!s[0].answered || !s[1].answered) /* what ended the worker would end it at the next row too */
            return EXIT_GOOD;
    }
}
