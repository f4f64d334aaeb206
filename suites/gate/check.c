/* mhcbench check LIBRARY: is every row of a library right? Against cpu64 on random shapes and inputs: outputs, save
 * and work poisoned beforehand, guard bands around every array, inputs unchanged, two runs with equal bits (the
 * second through a graph where there are graphs), errors within the row's tolerance. One line a row, one line a
 * failure with the command that repeats it, a verdict at the end.
 *
 * The library runs in a child. What ends the child is a failure of the row it was at, and a fresh child goes on
 * behind that row. */
#include "suites/gate/check.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/case/options.h"
#include "suites/gate/gate.h"
#include "suites/gate/gate_report.h"

enum { MAX_ROWS = 400, SHOWN_FAILURES = 3, HOST_SIZE = 20000, DEVICE_SIZE = 2000000, CASE_SECONDS = 60 };
enum { PATH_SIZE = 1000, COMMAND_SIZE = 2 * PATH_SIZE + 300, END_SIZE = 80 }; /* of texts */

struct options {
    const char *library, *operations;
    int64_t trials, trial, size; /* trial < 0: all */
    uint64_t seed;
    double minutes, large; /* large: elements, 0: not these */
    double timeout;        /* seconds a case, 0: no limit */
    bool tight, trusting;
};

static const char usage[] =
    "check LIBRARY [--operation NAMES] [--trials N | --minutes M | --trial K | --large N] [--seed S] [--size N] "
    "[--timeout SECONDS] [--trust-tolerance] [--tight]";
static const char help[] =
    "Is every operation of a library right? Each row of it against cpu64, on random shapes and inputs, in poisoned and guarded\n"
    "memory, twice with equal bits. One line a row with its largest error, as a share of what it allows itself, one line a\n"
    "failure with the command that repeats it.\n"
    "\n"
    "  LIBRARY            cpu64, cpu32, cuda, emu, or the path of a library\n"
    "  --operation NAMES  names or patterns, with commas: mhc.post,'mhc*.pre'; mhc.post#2 is the second row of that name. Names are\n"
    "                     the library's own (list --operations --backend LIBRARY): mhc.* leaves mhc-micro.* out\n"
    "  --trials N         random cases beside the fixed ones, shared out over the rows, two each at least (default 300)\n"
    "  --minutes M        instead: until they have passed, every row having had its share\n"
    "  --trial K          instead: case K of every row and no other; the first ones are the fixed cases\n"
    "  --large N          instead: arrays of more than N elements (2147483648: more than an int counts), among many tokens and alone\n"
    "  --seed S           other cases (default 1)\n"
    "  --size N           about the largest number of elements of x (default 20000, on a device 2000000)\n"
    "  --timeout SECONDS  a case that takes longer has failed, and so has opening or closing the library (default 60, of --large and\n"
    "                     --tight none; 0: no limit)\n"
    "  --trust-tolerance  a row's own tolerance counts, up to 0.1, also where it is wider than the contract's for its types\n"
    "  --tight            no guard bands: for tools that watch every access\n"
    "\n"
    "Exit: 0 all right, 1 something is wrong, 2 nothing could be checked, or not all of it.\n";

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A number of at least `least`; absent: as it is. */
static bool take_number(int *argc, char **argv, const char *name, double least, bool whole, double *value) {
    const char *text = NULL;
    char *end;
    if (!take_option(argc, argv, name, &text))
        return false;
    if (!text)
        return true;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= least && *value <= 0x1p53) || (whole && *value != floor(*value)))
        return cannot("%s %s: a %s of at least %g", name, text, whole ? "whole number" : "number", least), false;
    return true;
}

static bool parse(int *argc, char **argv, struct options *o) {
    double trials = 0, trial = -1, seed = 1, size = 0;
    *o = (struct options){.operations = "*", .timeout = -1, .tight = take_flag(argc, argv, "--tight")};
    o->trusting = take_flag(argc, argv, "--trust-tolerance");
    if (!take_option(argc, argv, "--operation", &o->operations) ||
        !take_number(argc, argv, "--timeout", 0, false, &o->timeout) ||
        !take_number(argc, argv, "--trials", 1, true, &trials) ||
        !take_number(argc, argv, "--trial", 0, true, &trial) || !take_number(argc, argv, "--seed", 0, true, &seed) ||
        !take_number(argc, argv, "--size", 1, true, &size) ||
        !take_number(argc, argv, "--minutes", 1e-3, false, &o->minutes) ||
        !take_number(argc, argv, "--large", 1, true, &o->large) || !only_positional(*argc, argv, 1, 1, usage))
        return false;
    if ((trials > 0) + (trial >= 0) + (o->minutes > 0) + (o->large > 0) > 1)
        return cannot("--trials, --minutes, --trial and --large exclude each other"), false;
    o->library = argv[0];
    o->timeout = o->timeout >= 0            ? o->timeout
                 : o->large > 0 || o->tight ? 0
                                            : CASE_SECONDS; /* tools that watch take their time */
    o->trials = trials > 0 ? (int64_t)trials : 300, o->trial = (int64_t)trial, o->seed = (uint64_t)seed,
    o->size = (int64_t)size;
    return true;
}

/* --- rows --- */

/* The kind of cpu64 that a kind is a variant of: "mhc" of "mhc-micro"; hc-static is one itself. */
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

/* A name among the patterns that no row has: a mistake that must not pass for a check. */
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

static FILE *report;

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
        fprintf(report, "FAIL %s: %s [%s]: %s\n", k->label, text, t->text, command);
    else
        fprintf(report, "FAIL %s: %s\n", k->label, text);
    return false;
}

/* --- the child: every row --- */

/* What the library does next, its opening and closing too, may take as long as a case. */
static void start_timer(const struct checker *k) {
    struct itimerval limit = {
        .it_value = {.tv_sec = (time_t)k->timeout, .tv_usec = (suseconds_t)(1e6 * (k->timeout - floor(k->timeout)))}};
    setitimer(ITIMER_REAL, &limit, NULL);
}

/* What the parent says if the library ends the process now, and when it has waited long enough. */
static void begin_case(struct checker *k, const char *what) {
    char command[COMMAND_SIZE];
    if (k->silent)
        return;
    write_command(k, command, sizeof command);
    snprintf(k->doing, sizeof k->doing, " [%s]: %s", what, command);
    start_timer(k);
}

/* One case; false: the row has none of that number. */
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
static int64_t check_row(struct checker *k, const struct subject *s, const struct options *o, int64_t trials,
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
        if (number - fixed >= 2 && deadline > 0 && seconds() > deadline)
            break;
        if (!check_case(k, s, number))
            break;
        done++;
    }
    check(k, done > 0, NULL, "not one case that it supports was found: %s", k->skipped_why);
    return done;
}

/* One large case of a row; a row that cannot have it says so and is not counted. */
static int64_t check_large(struct checker *k, const struct subject *s) {
    char why[MAX_FAILURE];
    snprintf(why, sizeof why, "arrays of more than %.0f elements", k->large);
    k->trial = 0;
    begin_case(k, why);
    if (large_run(k, s, k->large, why))
        return 1;
    fprintf(report, "skip %-28s %s\n", s->label, why);
    return 0;
}

/* Worst errors as a share of the tolerance, by type of the streams; exact: the oracle's own numbers. */
static void print_row(const struct checker *k, const struct subject *s, int64_t done) {
    bool exact = !(k->worst[0] > 0 || k->worst[1] > 0 || k->worst[2] > 0);
    fprintf(report, "%-4s %-28s %-20.20s %5lld cases  %s", k->failures ? "FAIL" : "ok", s->label,
            s->row->implementation ? s->row->implementation : "", (long long)done,
            exact ? k->failures ? "not compared" : "exact" : "worst");
    for (int type = 0; type < 3; type++)
        if (k->worst[type] > 0)
            fprintf(report, " %s %.2g of %.2g", type_words[type], k->worst[type], k->tolerance[type]);
    fprintf(report, " %s", k->worst_text);
    if (k->failures > SHOWN_FAILURES)
        fprintf(report, "  (%d failures)", k->failures);
    if (k->skipped)
        fprintf(report, "  (%d cases skipped: %s)", k->skipped, k->skipped_why);
    fprintf(report, "\n");
    if (k->widest > 0)
        fprintf(report, "%-4s %-28s it allows itself %g, more than its types need: judged by %s\n",
                k->trusting ? "note" : "warn", s->label, k->widest,
                k->trusting ? "that, as --trust-tolerance says" : "the contract's own tolerance");
    fflush(report);
}

/* A forward without its backward trains nothing, and no row of the table would say so. */
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
            fprintf(report, "lacks %-27s it has %s\n", name, s.label);
            k->missing++;
        }
}

/* Rows from k->next on. */
static int check_rows(struct checker *k, const struct options *o) {
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
    k->opened = true; /* before a word is said, which may find that nobody reads */
    if (first)
        fprintf(report, "%s %s: %d rows against cpu64, seed %llu\n", k->backend.library->name,
                k->backend.library->build, rows, (unsigned long long)o->seed);
    if (first && !strcmp(o->operations, "*"))
        name_missing(k);
    while (k->next < rows) {
        const struct subject *s = &subjects[k->next++];
        double deadline = o->minutes > 0 ? k->start + 60 * o->minutes * k->next / rows : 0;
        k->subject = s;
        k->failures = k->skipped = 0;
        memset(k->worst, 0, sizeof k->worst);
        memset(k->tolerance, 0, sizeof k->tolerance);
        k->worst_text[0] = k->doing[0] = 0;
        k->widest = 0;
        snprintf(k->label, sizeof k->label, "%s", s->label);
        int64_t done = k->large > 0 ? check_large(k, s) : check_row(k, s, o, trials, deadline);
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
        if (done)
            print_row(k, s, done);
        k->cases += done;
        k->all_skipped += k->skipped;
        k->label[0] = 0;
    }
    start_timer(k); /* until the process has ended: what a library does at exit is part of its closing */
    backend_close(&k->backend);
    k->closed = true;
    return EXIT_GOOD;
}

/* --- the parent --- */

static volatile sig_atomic_t stopped;
static volatile pid_t child;

static void stop(int signal_number) {
    (void)signal_number;
    stopped = 1;
    if (child > 0)
        kill(child, SIGKILL);
}

/* What a library prints goes to stderr: a verdict of its own must not stand among ours. The report goes on in a file
 * that a library does not know. */
static bool keep_report(void) {
    int copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
    report = copy < 0 ? NULL : fdopen(copy, "w");
    return report && !setvbuf(report, NULL, _IOLBF, 0) && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

static int run_child(struct checker *k, const struct options *o) {
    int status = 0;
    pid_t parent = getpid();
    k->opened = false;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGINT, SIG_IGN); /* the parent decides */
        signal(SIGTERM, SIG_IGN);
        if (getppid() != parent || !keep_report())
            _exit(EXIT_CANNOT);
        exit(check_rows(k, o));
    }
    if (child < 0)
        return W_EXITCODE(cannot("no process to check in: %s", strerror(errno)),
                          0); /* as a child that cannot open the library */
    if (stopped)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    child = 0;
    return status;
}

static bool was_killed(int status) {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void describe_end(const struct checker *k, int status, char how[END_SIZE]) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(how, END_SIZE, "time limit of %g s", k->timeout);
    else if (was_killed(status))
        snprintf(how, END_SIZE, "not checked: the process was killed (out of memory?)");
    else if (WIFSIGNALED(status))
        snprintf(how, END_SIZE, "crashed: %s", strsignal(WTERMSIG(status)));
    else
        snprintf(how, END_SIZE, "it ended the process with status %d", WEXITSTATUS(status));
}

/* A child that ended before the last row, or while the library was closed, is a failure of what it was at. Killed
 * from outside it says nothing of the library: memory that is not there is no wrong kernel. */
static void judge_end(struct checker *k, int status) {
    char how[END_SIZE];
    bool killed = was_killed(status);
    describe_end(k, status, how);
    k->checks += !killed;
    k->failed += !killed;
    k->lost += killed;
    fprintf(report, "%s %s: %s%s\n", killed ? "lost" : "FAIL", k->label[0] ? k->label : "after the last row", how,
            k->label[0] ? k->doing : "");
}

/* A child that did not come to have the library open: no further one would, and of the rows that are left nothing is
 * known. */
static void give_up(struct checker *k, int status) {
    char how[END_SIZE];
    describe_end(k, status, how);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_CANNOT) /* else it has said why */
        cannot("%s: opening it: %s", k->name, how);
    k->lost += k->rows - k->next;
    if (k->rows)
        fprintf(report, "lost %d rows: %s cannot be opened any more\n", k->rows - k->next, k->name);
}

static int check_all(struct checker *k, const struct options *o) {
    while (!stopped && !k->closed) {
        int status = run_child(k, o);
        if (stopped || (k->closed && !status))
            break;
        if (!k->opened) {
            give_up(k, status);
            if (!k->rows)
                return EXIT_CANNOT;
            break;
        }
        judge_end(k, status);
        k->closed |= k->next == k->rows;
    }
    char lost[40] = "", counted[80] = "";
    if (k->all_skipped || k->missing)
        snprintf(counted, sizeof counted, "%lld skipped, %d operations missing, ", (long long)k->all_skipped,
                 k->missing);
    if (k->lost)
        snprintf(lost, sizeof lost, ", %d rows not checked", k->lost);
    fprintf(report, "verdict: %s%d rows, %lld cases, %s%lld checks, %lld failed%s\n", stopped ? "interrupted: " : "",
            stopped && k->next ? k->next - 1 : k->rows, (long long)k->cases, counted, (long long)k->checks,
            (long long)k->failed, lost);
    return stopped     ? EXIT_INTERRUPTED
           : k->failed ? EXIT_CHECK_FAILED
           : k->lost   ? EXIT_CANNOT
           : k->cases  ? EXIT_GOOD
                       : EXIT_CANNOT;
}

int check_command(int argc, char **argv) {
    struct options o;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    setvbuf(stdout, NULL, _IOLBF, 0);
    report = stdout;
    if (!parse(&argc, argv, &o))
        return EXIT_CANNOT;
    struct checker *k = mmap(NULL, sizeof *k, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (k == MAP_FAILED)
        return cannot("out of memory");
    *k = (struct checker){.name = o.library,
                          .seed = o.seed,
                          .tight = o.tight,
                          .trusting = o.trusting,
                          .large = o.large,
                          .timeout = o.timeout,
                          .start = seconds()};
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int code = check_all(k, &o);
    munmap(k, sizeof *k);
    return code;
}
