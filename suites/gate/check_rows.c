/* The child's side of `check`: it opens the library and checks its rows, case by case. */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "cpu_ref/library.h"
#include "suites/case/options.h"
#include "suites/gate/check.h"
#include "suites/gate/gate_report.h"
#include "suites/rows/judge.h"
#include "suites/worker/worker.h"

enum { MAX_ROWS = 400, SHOWN_FAILURES = 3, HOST_SIZE = 20000, DEVICE_SIZE = 2000000 };
enum { PATH_SIZE = 1000, COMMAND_SIZE = 2 * PATH_SIZE + 300 }; /* bytes of texts */

/* --- rows --- */

/* The kind of cpu64 of which a kind is a variant: "mhc" of "mhc-micro". hc-static is itself a kind of cpu64. */
static void find_base(const char *kind, char base[64]) {
    snprintf(base, 64, "%s", kind);
    for (char *dash = base; dash; dash = strrchr(base, '-')) {
        if (dash != base)
            *dash = 0;
        size_t length = strlen(base);
        for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
            if (!strncmp((*row)->name, base, length) && (*row)->name[length] == '.')
                return;
    }
    snprintf(base, 64, "%s", kind);
}

/* Whether one of the patterns between commas matches; "all" as in `run`. */
static bool matches(const char *patterns, const struct subject *s) {
    char one[96];
    for (const char *at = patterns; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", (int)(length < sizeof one ? length : 0), at);
        if (!strcmp(one, "all") || !fnmatch(one, s->label, 0) || !fnmatch(one, s->row->name, 0))
            return true;
        at += length;
    }
    return false;
}

struct subject check_subject(const struct backend *b, const struct mhc_row *row) {
    struct subject s = {.row = row};
    const char *dot = strrchr(row->name, '.');
    int nth = 1;
    for (const struct mhc_row *const *other = b->library->rows; *other != row; other++)
        nth += !strcmp((*other)->name, row->name);
    snprintf(s.kind, sizeof s.kind, "%.*s", (int)(dot ? dot - row->name : 0), row->name);
    snprintf(s.label, sizeof s.label, nth > 1 ? "%s#%d" : "%s", row->name, nth);
    find_base(s.kind, s.base);
    s.oracle = reference_row(s.base, row_operation(row));
    return s;
}

static int list_subjects(const struct backend *b, const char *patterns, struct subject *list) {
    int count = 0;
    for (const struct mhc_row *const *row = b->library->rows; *row; row++) {
        struct subject s = check_subject(b, *row);
        if (count < MAX_ROWS && matches(patterns, &s))
            list[count++] = s;
    }
    return count;
}

/* Whether a name among the patterns fits no row: a typing error must not pass for a check. */
static bool name_unknown(const struct backend *b, const char *patterns, char unknown[96]) {
    static struct subject subjects[MAX_ROWS];
    for (const char *at = patterns; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        snprintf(unknown, 96, "%.*s", (int)length, at);
        if (!list_subjects(b, unknown, subjects))
            return true;
        at += length;
    }
    return !*patterns;
}

/* --- reporting --- */

FILE *check_report;

static void write_command(const struct checker *k, char *text, size_t size) {
    char program[PATH_SIZE], library[PATH_SIZE], label[120], large[40] = "";
    gate_quote(program_invocation_name, program, sizeof program);
    gate_quote(k->name, library, sizeof library);
    gate_quote(k->label, label, sizeof label);
    if (k->large > 0)
        snprintf(large, sizeof large, " --large %.0f", k->large);
    else
        snprintf(large, sizeof large, " --trial %lld --size %lld", (long long)k->trial, (long long)k->size);
    snprintf(text, size, "%s check %s --operation %s --seed %llu%s%s", program, library, label,
             (unsigned long long)k->seed, large, k->tight ? " --tight" : "");
}

bool check(struct checker *k, bool good, const struct trial *t, const char *format, ...) {
    k->checks++;
    if (good)
        return true;
    k->failed++;
    judge_fault();
    if (++k->failures > SHOWN_FAILURES || (k->silent && k->failures > 1))
        return false;
    char text[600], command[COMMAND_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (k->silent) {
        snprintf(k->first, sizeof k->first, "%.400s [%s]", text, t ? t->text : "");
        return false;
    }
    write_command(k, command, sizeof command);
    if (t)
        fprintf(check_report, "FAIL %s: %s [%s]: %s\n", k->label, text, t->text, command);
    else
        fprintf(check_report, "FAIL %s: %s\n", k->label, text);
    return false;
}

/* --- every row --- */

/* The library's next step may take as long as a case, its opening and closing too. */
static void start_timer(struct checker *k) {
    struct itimerval limit = {
        .it_value = {.tv_sec = (time_t)k->timeout, .tv_usec = (suseconds_t)(1e6 * (k->timeout - floor(k->timeout)))}};
    k->began = k->timeout > 0 ? worker_now() : 0;
    setitimer(ITIMER_REAL, &limit, NULL);
}

static void stop_timer(struct checker *k) {
    k->began = 0;
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

/* Notes what the parent is to say if the library ends the process now, and starts the time limit. */
static void begin_case(struct checker *k, const char *what) {
    char command[COMMAND_SIZE];
    if (!k->silent) {
        write_command(k, command, sizeof command);
        snprintf(k->doing, sizeof k->doing, " [%s]: %s", what, command);
    }
    if (k->timeout > 0)
        start_timer(k);
}

/* Checks one case; false: the row has none of that number. */
static bool check_case(struct checker *k, const struct subject *s, int64_t number) {
    struct trial t;
    const char *why = "";
    k->trial = number;
    begin_case(k, "drawing a case"); /* asks the library's supports() */
    if (!trial_draw(&t, s, k->seed, number, k->size, &why)) {
        snprintf(k->skipped_why, sizeof k->skipped_why, "%s", why);
        k->skipped += number < cover_count(s->row);
        return false;
    }
    begin_case(k, t.text);
    trial_run(k, s, &t);
    return true;
}

int64_t check_fixed(struct checker *k, const struct subject *s) {
    int64_t done = 0;
    for (int64_t number = 0; number < cover_count(s->row); number++)
        done += check_case(k, s, number);
    return done;
}

/* Checks one row; returns how many cases it saw. */
static int64_t check_row(struct checker *k, const struct subject *s, const struct check_options *o, int64_t trials,
                         double deadline) {
    int64_t fixed = cover_count(s->row), done = 0;
    if (!check(k, s->oracle, NULL, "no oracle: cpu64 does not know what it means"))
        return 0;
    const char *other = rows_differ(s->row, s->oracle);
    if (!check(k, !other, NULL, "its arguments are not those of cpu64's row %s, see `%s`", s->oracle->name, other))
        return 0;
    if (o->trial >= 0)
        return check_case(k, s, o->trial);
    done = check_fixed(k, s);
    for (int64_t number = fixed; number - fixed < trials; number++) {
        if (number - fixed >= 2 && deadline > 0 && worker_now() > deadline)
            break;
        if (!check_case(k, s, number))
            break;
        done++;
    }
    check(k, done > 0, NULL, "not one case that it supports was found: %s", k->skipped_why);
    return done;
}

/* Checks one large case of a row. A row that cannot have it says so and is not counted. */
static int64_t check_large(struct checker *k, const struct subject *s) {
    char why[MAX_FAILURE];
    snprintf(why, sizeof why, "arrays of more than %.0f elements", k->large);
    k->trial = 0;
    begin_case(k, why);
    if (large_run(k, s, k->large, why))
        return 1;
    fprintf(check_report, "skip %-28s %s\n", s->label, why);
    return 0;
}

/* Prints the largest errors as a share of the tolerance, by type of the streams. "exact": the reference's own
 * numbers. */
static void print_row(const struct checker *k, const struct subject *s, int64_t done) {
    bool exact = !(k->worst[0] > 0 || k->worst[1] > 0 || k->worst[2] > 0);
    fprintf(check_report, "%-4s %-28s %-20.20s %5lld cases  %s", k->failures ? "FAIL" : "ok", s->label,
            s->row->implementation ? s->row->implementation : "", (long long)done,
            exact ? k->failures ? "not compared" : "exact" : "worst");
    for (int type = 0; type < 3; type++)
        if (k->worst[type] > 0)
            fprintf(check_report, " %s %.2g of %.2g", type_words[type], k->worst[type], k->tolerance[type]);
    fprintf(check_report, " %s", k->worst_text);
    if (k->failures > SHOWN_FAILURES)
        fprintf(check_report, "  (%d failures)", k->failures);
    if (k->skipped)
        fprintf(check_report, "  (%d cases skipped: %s)", k->skipped, k->skipped_why);
    fprintf(check_report, "\n");
    if (k->widest > 0)
        fprintf(check_report, "%-4s %-28s it allows itself %g, more than its types need: judged by %s\n",
                k->trusting ? "note" : "warn", s->label, k->widest,
                k->trusting ? "that, as --trust-tolerance says" : "the contract's own tolerance");
    fflush(check_report);
}

/* Names missing operations without which others are useless. A forward without its backward trains nothing, and no
 * row of the table would say so. */
static void name_missing(struct checker *k) {
    static const char *const needs[][2] = {{"pre", "post"},
                                           {"pre", "post_backward_y"},
                                           {"pre", "backward"},
                                           {"post", "post_backward_y"},
                                           {"forward", "backward"}};
    for (const struct mhc_row *const *row = k->backend.library->rows; *row; row++)
        for (size_t need = 0; need < sizeof needs / sizeof *needs; need++) {
            struct subject s = check_subject(&k->backend, *row);
            char name[128];
            snprintf(name, sizeof name, "%s.%s", s.kind, needs[need][1]);
            if (strcmp(row_operation(*row), needs[need][0]) || strchr(s.label, '#') ||
                !reference_row(s.base, needs[need][1]) || mhc_row_find(k->backend.library, name))
                continue;
            fprintf(check_report, "lacks %-27s it has %s\n", name, s.label);
            k->missing++;
        }
}

/* Checks a row that failed behind others once more, in a process of its own. Is it wrong itself, or did one of them
 * leave something behind? */
static void look_again(struct checker *k, const struct subject *s, const struct check_options *o, int64_t trials,
                       double deadline) {
    static struct checker alone;
    alone = (struct checker){.backend = k->backend,
                             .seed = k->seed,
                             .size = k->size,
                             .tight = k->tight,
                             .trusting = k->trusting,
                             .silent = true,
                             .timeout = k->timeout,
                             .subject = s};
    snprintf(k->label, sizeof k->label, "%s", s->label);
    snprintf(k->doing, sizeof k->doing, " once more, by itself");
    check_row(&alone, s, o, trials, deadline);
    judge_settle(s->label, 0, 1);
    stop_timer(k);
    k->label[0] = 0;
    if (!alone.failures)
        fprintf(check_report,
                "note %s: by itself, in a fresh process, it is right: a row before it left something behind\n",
                s->label);
}

/* Whether the parent is to start a fresh child because a row failed: what that row left behind must not fail another
 * one. */
static bool wants_fresh(struct checker *k, bool first, int rows) {
    if (!k->failures)
        return false;
    k->again = first || k->large > 0 ? 0 : k->next;
    k->fresh = k->next < rows || k->again;
    return k->fresh;
}

/* Rows from k->next on. */
int check_rows(struct checker *k, const struct check_options *o) {
    static struct subject subjects[MAX_ROWS];
    char why[400];
    start_timer(k);
    if (!backend_open(&k->backend, o->library, why, sizeof why))
        return cannot("%s", why);
    k->size = o->size ? o->size : k->backend.library->memory ? DEVICE_SIZE : HOST_SIZE;
    char unknown[96] = "";
    if (name_unknown(&k->backend, o->operations, unknown)) {
        backend_close(&k->backend);
        return cannot("no row of %s is called %s", o->library, unknown);
    }
    int rows = list_subjects(&k->backend, o->operations, subjects);
    int64_t trials = o->trial >= 0 ? 1 : o->minutes > 0 ? INT64_MAX : o->trials / rows > 2 ? o->trials / rows : 2;
    bool first = !k->rows;
    k->rows = rows;
    k->opened = true; /* before a word is said, which may find the pipe closed */
    judge_expect(rows);
    if (first)
        fprintf(check_report, "%s %s: %d rows against cpu64, seed %llu\n", k->backend.library->name,
                k->backend.library->build, rows, (unsigned long long)o->seed);
    if (first && !strcmp(o->operations, "*"))
        name_missing(k);
    int again = k->again, began = k->next;
    k->again = 0;
    if (again)
        look_again(k, &subjects[again - 1], o, trials, o->minutes > 0 ? worker_now() + 60 * o->minutes / rows : 0);
    while (k->next < rows) {
        const struct subject *s = &subjects[k->next++];
        progress_tell(&k->progress, k->next - 1, rows, s->label);
        double deadline = o->minutes > 0 ? k->start + 60 * o->minutes * k->next / rows : 0;
        k->subject = s;
        k->failures = k->skipped = 0;
        memset(k->worst, 0, sizeof k->worst);
        memset(k->tolerance, 0, sizeof k->tolerance);
        k->worst_text[0] = k->doing[0] = 0;
        k->widest = 0;
        snprintf(k->label, sizeof k->label, "%s", s->label);
        int64_t done = k->large > 0 ? check_large(k, s) : check_row(k, s, o, trials, deadline);
        judge_settle(s->label, k->large > 0 ? 0 : done, k->failures);
        stop_timer(k);
        if (done)
            print_row(k, s, done);
        k->cases += done;
        k->all_skipped += k->skipped;
        k->label[0] = 0;
        if (wants_fresh(k, !again && k->next == began + 1, rows))
            break;
    }
    start_timer(k); /* it runs until the process has ended: what a library does at exit is part of its closing */
    backend_close(&k->backend);
    k->closed = !k->fresh;
    return EXIT_GOOD;
}
