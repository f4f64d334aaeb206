/* mhcbench check LIBRARY: is every row of a library right? Against cpu64 on random shapes and inputs: outputs, save and work poisoned beforehand, guard
 * bands around every array, inputs unchanged, two runs with equal bits (the second through a graph where there are graphs), errors within the row's
 * tolerance. One line a row, one line a failure with the command that repeats it, a verdict at the end.
 *
 *   --rows GLOB     names of rows, such as 'mhc*.pre'
 *   --trials N      cases, shared out over the rows (default 600; every row gets two at least)
 *   --minutes M     instead of trials: stop when they have passed, every row having had its share
 *   --size N        about the largest number of elements of x
 *   --trial K       one case of every row and no other
 *   --large N       instead: arrays of more than N elements (2147483648: more than an int counts), against the same tokens alone
 *   --tight         no guard bands: for tools that watch every access */
#include "suites/check.h"

#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu_ref/library.h"
#include "suites/commands.h"

enum { MAX_ROWS = 400, SHOWN_FAILURES = 3, HOST_SIZE = 20000, DEVICE_SIZE = 2000000 };

struct options {
    const char *library, *rows;
    int64_t trials, trial, size; /* trial < 0: all */
    uint64_t seed;
    double minutes, large; /* large: elements, 0: not these */
    bool tight;
};

static const char usage[] = "check LIBRARY|cuda|emu|cpu32 [--rows GLOB] [--trials N | --minutes M] [--seed S] [--size N] [--trial K] [--large N] [--tight]";

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
    double trials = 600, trial = -1, seed = 1, size = 0;
    *o = (struct options){.rows = "*", .tight = take_flag(argc, argv, "--tight")};
    if (!take_option(argc, argv, "--rows", &o->rows) || !take_number(argc, argv, "--trials", 1, true, &trials) ||
        !take_number(argc, argv, "--trial", 0, true, &trial) || !take_number(argc, argv, "--seed", 0, true, &seed) ||
        !take_number(argc, argv, "--size", 1, true, &size) || !take_number(argc, argv, "--minutes", 1e-3, false, &o->minutes) ||
        !take_number(argc, argv, "--large", 1, true, &o->large) || !only_positional(*argc, argv, 1, 1, usage))
        return false;
    o->library = argv[0];
    o->trials = (int64_t)trials, o->trial = (int64_t)trial, o->seed = (uint64_t)seed, o->size = (int64_t)size;
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

static int list_subjects(const struct backend *b, const char *glob, struct subject *list) {
    int count = 0;
    for (const struct mhc_row *const *row = b->library->rows; *row; row++) {
        struct subject s = {.row = *row};
        int nth = 1;
        for (const struct mhc_row *const *other = b->library->rows; other != row; other++)
            nth += !strcmp((*other)->name, (*row)->name);
        const char *dot = strrchr((*row)->name, '.');
        s.operation = dot ? dot + 1 : "";
        snprintf(s.kind, sizeof s.kind, "%.*s", (int)(dot ? dot - (*row)->name : 0), (*row)->name);
        snprintf(s.label, sizeof s.label, nth > 1 ? "%s#%d" : "%s", (*row)->name, nth);
        find_base(s.kind, s.base);
        s.oracle = composed_crossing(&s) ? NULL : oracle_row(s.base, s.operation);
        if (count < MAX_ROWS && (!fnmatch(glob, s.label, 0) || !fnmatch(glob, (*row)->name, 0)))
            list[count++] = s;
    }
    return count;
}

/* A row of a name has the arguments of that name, in that order: callers bind by name, but vectors and stacks read the shapes. */
static bool same_arguments(const struct mhc_row *a, const struct mhc_row *b) {
    int k = 0;
    for (; a->args[k].name && b->args[k].name; k++)
        if (strcmp(a->args[k].name, b->args[k].name) || strcmp(a->args[k].extents, b->args[k].extents) ||
            a->args[k].role != b->args[k].role || a->args[k].direction != b->args[k].direction)
            return false;
    return !a->args[k].name && !b->args[k].name;
}

/* --- reporting --- */

/* What a crash in the library's code leaves on the screen. */
static char crash_text[1024];
static int crash_length;

static void crashed(int signal_number) {
    static const char stopped[] = "verdict: stopped before the end\n";
    ssize_t unused = signal_number == SIGTERM ? write(STDOUT_FILENO, stopped, sizeof stopped - 1)
                                              : write(STDOUT_FILENO, crash_text, (size_t)crash_length);
    (void)unused;
    _exit(signal_number == SIGTERM ? EXIT_INTERRUPTED : EXIT_CHECK_FAILED);
}

static void write_command(const struct checker *k, char *text, size_t size) {
    snprintf(text, size, "mhcbench check %s --rows '%s' --seed %llu --trial %lld --size %lld%s", k->name, k->subject->label,
             (unsigned long long)k->seed, (long long)k->trial, (long long)k->size, k->tight ? " --tight" : "");
}

bool check(struct checker *k, bool good, const struct trial *t, const char *format, ...) {
    k->checks++;
    if (good)
        return true;
    k->failed++;
    if (++k->failures > SHOWN_FAILURES)
        return false;
    char text[600], command[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    write_command(k, command, sizeof command);
    if (t)
        printf("FAIL %s: %s [%s]: %s\n", k->subject->label, text, t->text, command);
    else
        printf("FAIL %s: %s\n", k->subject->label, text);
    return false;
}

/* Checks one row; returns how many cases it saw. */
static int64_t check_row(struct checker *k, const struct subject *s, const struct options *o, int64_t trials, double deadline) {
    struct trial t;
    const char *why = "";
    int64_t done = 0;
    k->subject = s;
    k->failures = 0;
    memset(k->worst, 0, sizeof k->worst);
    k->worst_text[0] = 0;
    if (!check(k, s->oracle || composed_known(s), NULL, "no oracle: cpu64 does not know what it means"))
        return 0;
    if (s->oracle)
        check(k, same_arguments(s->row, s->oracle), NULL, "its arguments are not those of cpu64's row %s", s->oracle->name);
    for (int64_t trial = o->trial < 0 ? 0 : o->trial; done < trials; trial++) {
        if (done >= 2 && deadline > 0 && seconds() > deadline)
            break;
        k->trial = trial;
        if (!trial_draw(&t, s, o->seed, trial, k->size, &why))
            break;
        char command[400];
        write_command(k, command, sizeof command);
        crash_length = snprintf(crash_text, sizeof crash_text, "FAIL %s: crashed [%s]: %s\nverdict: crashed\n", s->label, t.text, command);
        trial_run(k, s, &t);
        done++;
    }
    check(k, done > 0, NULL, "not one case that it supports was found: %s", why);
    return done;
}

/* One large case of a row; a row that cannot have it says so and is not counted. */
static int64_t check_large(struct checker *k, const struct subject *s, const struct options *o) {
    char why[MAX_FAILURE];
    k->subject = s;
    k->trial = 0;
    k->failures = 0;
    memset(k->worst, 0, sizeof k->worst);
    k->worst_text[0] = 0;
    crash_length = snprintf(crash_text, sizeof crash_text, "FAIL %s: crashed with arrays of more than %.0f elements\nverdict: crashed\n", s->label,
                            o->large);
    if (large_run(k, s, o->large, why))
        return 1;
    printf("skip %-28s %s\n", s->label, why);
    return 0;
}

/* Worst errors as a share of the tolerance, by type of the streams; exact: the oracle's own numbers. */
static void print_row(const struct checker *k, const struct subject *s, int64_t done) {
    bool exact = !(k->worst[0] > 0 || k->worst[1] > 0 || k->worst[2] > 0);
    printf("%-4s %-28s %-20.20s %5lld cases  %s", k->failures ? "FAIL" : "ok", s->label, s->row->variant ? s->row->variant : "", (long long)done,
           exact ? k->failures ? "not compared" : "exact" : "worst");
    for (int type = 0; type < 3; type++)
        if (k->worst[type] > 0)
            printf(" %s %.2g", type_words[type], k->worst[type]);
    printf(" %s", k->worst_text);
    if (k->failures > SHOWN_FAILURES)
        printf("  (%d failures)", k->failures);
    printf("\n");
    fflush(stdout);
}

int check_command(int argc, char **argv) {
    static struct subject subjects[MAX_ROWS];
    struct options o;
    char why[300];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(&argc, argv, &o))
        return EXIT_CANNOT;
    struct checker k = {.name = o.library, .seed = o.seed, .tight = o.tight};
    if (!backend_open(&k.backend, o.library, why, sizeof why))
        return cannot("%s", why);
    k.size = o.size ? o.size : k.backend.library->memory ? DEVICE_SIZE : HOST_SIZE;
    int rows = list_subjects(&k.backend, o.rows, subjects);
    if (!rows) {
        backend_close(&k.backend);
        return cannot("no row of %s is called %s", o.library, o.rows);
    }
    for (int s = 0; s < 6; s++)
        signal((const int[]){SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM}[s], crashed);
    double start = seconds();
    int64_t trials = o.trial >= 0 ? 1 : o.minutes > 0 ? INT64_MAX : o.trials / rows > 2 ? o.trials / rows : 2, all = 0;
    printf("%s %s: %d rows against cpu64, seed %llu\n", k.backend.library->name, k.backend.library->build, rows, (unsigned long long)o.seed);
    for (int s = 0; s < rows; s++) {
        double deadline = o.minutes > 0 ? start + 60 * o.minutes * (s + 1) / rows : 0;
        int64_t done = o.large > 0 ? check_large(&k, &subjects[s], &o) : check_row(&k, &subjects[s], &o, trials, deadline);
        if (done)
            print_row(&k, &subjects[s], done);
        all += done;
    }
    printf("verdict: %d rows, %lld cases, %lld checks, %lld failed\n", rows, (long long)all, (long long)k.checks, (long long)k.failed);
    backend_close(&k.backend);
    return k.failed ? EXIT_CHECK_FAILED : all ? EXIT_GOOD : EXIT_CANNOT;
}
