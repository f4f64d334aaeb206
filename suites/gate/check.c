/* mhcbench check LIBRARY: is every row of a library right? It compares each row with cpu64 on fixed and random shapes
 * and inputs. Outputs, save and work are poisoned beforehand, and guard bands lie around every array. Inputs must stay
 * as they are, two runs must leave equal bits (the second runs through a graph where there are graphs), and errors must
 * be within the row's tolerance. It prints one line per row, one line per failure with the command that repeats it, and
 * a verdict at the end.
 *
 * The library runs in a child process; cpu64 runs in another one, which judges (judge.h). If the library's child
 * ends, the row that it was at has failed, and a fresh child goes on with the next row. */
#include "suites/gate/check.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites/case/options.h"
#include "suites/gate/gate.h"
#include "suites/rows/judge.h"
#include "suites/worker/worker.h"

enum { CASE_SECONDS = 60, END_SIZE = 80 /* bytes of a text */ };

static const char usage[] =
    "check LIBRARY [--operation NAMES] [--trials N | --minutes M | --trial K | --large N] [--seed S] [--size N] "
    "[--timeout SECONDS] [--trust-tolerance] [--tight]";
static const char help[] =
    "Is every operation of a library right? Compares each row with cpu64 on fixed and random shapes and inputs, in "
    "poisoned and guarded memory, twice with equal bits. It prints one line per row, with the largest error as a "
    "share of what is allowed, and one line per failure, with the command that repeats it.\n\n"
    "  LIBRARY            cpu64, cpu32, cuda, emu, or the path of a library\n"
    "  --operation NAMES  names or patterns, joined by commas: mhc.post,'mhc*.pre'; mhc.post#2 is the second row of "
    "that name. Names are the library's own (list --operations --backend LIBRARY): mhc.* leaves mhc-micro.* out\n"
    "  --trials N         random cases beside the fixed ones, shared out over the rows, at least two each; default: "
    "300\n"
    "  --minutes M        instead: random cases for M minutes, shared out over the rows\n"
    "  --trial K          instead: case K of every row alone; the first ones are the fixed cases\n"
    "  --large N          instead: arrays of more than N elements, among many tokens and alone (2147483648: more "
    "than an int counts)\n"
    "  --seed S           the seed of the random cases; default: 1\n"
    "  --size N           about the largest number of elements of x; default: 20000, on a device 2000000\n"
    "  --timeout SECONDS  a case that takes longer has failed, and so has opening or closing the library; default: "
    "60, with --large and --tight no limit; 0: no limit\n"
    "  --trust-tolerance  accept a row's own tolerance, up to 0.1, also if it is wider than the contract's for its "
    "types\n"
    "  --tight            no guard bands, for tools that watch every access\n\n"
    "Exit: 0 all right, 1 something is wrong, 2 nothing could be checked, or not all of it.\n";

/* Reads a number of at least `least`. Without the option `*value` stays as it is. */
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

static bool parse(int *argc, char **argv, struct check_options *o) {
    double trials = 0, trial = -1, seed = 1, size = 0;
    *o = (struct check_options){.operations = "*", .timeout = -1, .tight = take_flag(argc, argv, "--tight")};
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
                                            : CASE_SECONDS; /* a tool that watches every access is slow */
    o->trials = trials > 0 ? (int64_t)trials : 300, o->trial = (int64_t)trial, o->seed = (uint64_t)seed,
    o->size = (int64_t)size;
    return true;
}

/* --- the parent --- */

static volatile sig_atomic_t stopped;
static volatile pid_t child;
static struct ruling *ruling; /* the judge writes it; the library's process has no part in it */

/* What the parent itself found. A library that clears the counts in `struct checker`, or says there that all is over,
 * changes neither this nor the ruling. */
static struct {
    int ended, lost; /* rows at which the child ended; rows of which nothing is known */
    int64_t failed;
    int children; /* children that asked for a fresh one; counted, because a library may ask for ever */
    bool late;    /* the present child was killed because a case took too long */
} own;

/* A library may block the signal that ends its own process in time. So the parent's clock looks too, a little later. */
static void tick(int signal_number) {
    (void)signal_number;
}

static void watch(bool on) {
    const struct itimerval second = {{on, 0}, {on, 0}};
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = tick}, NULL); /* it interrupts the wait */
    setitimer(ITIMER_REAL, &second, NULL);
}

static void end_late(const struct checker *k) {
    enum { GRACE = 2 };
    if (k->timeout <= 0 || k->began <= 0 || worker_now() < k->began + k->timeout + GRACE)
        return;
    own.late = true;
    kill(child, SIGKILL);
}

static void stop(int signal_number) {
    (void)signal_number;
    stopped = 1;
    if (child > 0)
        kill(child, SIGKILL);
}

/* Whatever a library prints goes to stderr, so that a verdict of its own does not stand among ours. The report goes
 * to a file descriptor that the library does not know. */
static bool keep_report(void) {
    int copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
    check_report = copy < 0 ? NULL : fdopen(copy, "w");
    return check_report && !setvbuf(check_report, NULL, _IOLBF, 0) && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

static int run_child(struct checker *k, const struct check_options *o) {
    int status = 0;
    pid_t parent = getpid();
    k->opened = false;
    k->began = 0;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGINT, SIG_IGN); /* the parent decides when it ends */
        signal(SIGTERM, SIG_IGN);
        signal(SIGALRM, SIG_DFL);
        if (getppid() != parent || !keep_report())
            _exit(EXIT_CANNOT);
        if (!judge_start(ruling, sizeof *ruling))
            _exit(cannot("no process for the reference: %s", strerror(errno)));
        exit(check_rows(k, o));
    }
    if (child < 0)
        return W_EXITCODE(cannot("no process to check in: %s", strerror(errno)),
                          0); /* reported like a child that cannot open the library */
    if (stopped)
        kill(child, SIGKILL);
    own.late = false;
    watch(true);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        end_late(k);
    watch(false);
    child = 0;
    return status;
}

static bool was_killed(int status) {
    return !own.late && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void describe_end(const struct checker *k, int status, char how[END_SIZE]) {
    if (own.late || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM))
        snprintf(how, END_SIZE, "time limit of %g s", k->timeout);
    else if (was_killed(status))
        snprintf(how, END_SIZE, "not checked: the process was killed (out of memory?)");
    else if (WIFSIGNALED(status))
        snprintf(how, END_SIZE, "crashed: %s", strsignal(WTERMSIG(status)));
    else
        snprintf(how, END_SIZE, "it ended the process with status %d", WEXITSTATUS(status));
}

/* If a child ended before the last row, or while the library was closed, what it was doing has failed. If it was
 * killed from outside, that says nothing of the library: missing memory is no wrong kernel. */
static void judge_end(struct checker *k, int status) {
    char how[END_SIZE];
    bool killed = was_killed(status);
    describe_end(k, status, how);
    k->checks += !killed;
    own.failed += !killed;
    own.lost += killed;
    own.ended += k->label[0] != 0;
    const char *between = k->next == k->rows ? "after the last row" : "between two rows";
    fprintf(check_report, "%s %s: %s%s\n", killed ? "lost" : "FAIL", k->label[0] ? k->label : between, how,
            k->label[0] ? k->doing : "");
}

/* The child ended before the library was open. No further child would get beyond that, so nothing is known of the
 * rows that are left. */
static void give_up(struct checker *k, int status) {
    char how[END_SIZE];
    describe_end(k, status, how);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_CANNOT) /* else the child has said why */
        cannot("%s: opening it: %s", k->name, how);
    own.lost += k->rows - k->next;
    if (k->rows)
        fprintf(check_report, "lost %d rows: %s cannot be opened any more\n", k->rows - k->next, k->name);
}

/* Reports what the library's process kept quiet about, for whatever reason. */
static void judge_hidden(struct checker *k) {
    int64_t unsettled = k->closed && !own.lost ? ruling->rows - own.ended - ruling->settled : 0;
    bool forgotten = ruling->wrong + ruling->faults > 0 && !k->failed && !own.failed;
    if (!ruling->hidden && unsettled <= 0 && !forgotten)
        return;
    k->checks++;
    own.failed++;
    fprintf(check_report, "FAIL %s\n",
            ruling->hidden  ? ruling->first
            : unsettled > 0 ? "not every row was compared with the reference"
                            : "what was found wrong has gone from the counts");
}

static int check_all(struct checker *k, const struct check_options *o) {
    while (!stopped && !k->closed) {
        int status = run_child(k, o);
        bool fresh = k->fresh && !status;
        k->fresh = false;
        if (fresh && own.children++ <= 2 * k->rows)
            continue;
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
    judge_hidden(k);
    char lost[40] = "", counted[80] = "";
    int64_t failed = k->failed + own.failed;
    if (k->all_skipped || k->missing)
        snprintf(counted, sizeof counted, "%lld skipped, %d operations missing, ", (long long)k->all_skipped,
                 k->missing);
    if (own.lost)
        snprintf(lost, sizeof lost, ", %d rows not checked", own.lost);
    fprintf(check_report, "verdict: %s%d rows, %lld cases, %s%lld checks, %lld failed%s\n",
            stopped ? "interrupted: " : "", stopped && k->next ? k->next - 1 : k->rows, (long long)k->cases, counted,
            (long long)k->checks, (long long)failed, lost);
    return stopped    ? EXIT_INTERRUPTED
           : failed   ? EXIT_CHECK_FAILED
           : own.lost ? EXIT_CANNOT
           : k->cases ? EXIT_GOOD
                      : EXIT_CANNOT;
}

int check_command(int argc, char **argv) {
    struct check_options o;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    setvbuf(stdout, NULL, _IOLBF, 0);
    check_report = stdout;
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
                          .start = worker_now()};
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    ruling = mmap(NULL, sizeof *ruling, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ruling == MAP_FAILED)
        return cannot("out of memory");
    int code = check_all(k, &o);
    munmap(k, sizeof *k);
    return code;
}
