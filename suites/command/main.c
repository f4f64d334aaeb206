/* The command: finds the sub-command, and serves as its own worker. */
#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "build_info.h"
#include "suites/case/options.h"
#include "cpu_ref/affinity.h"
#include "cpu_ref/blas_core.h"
#include "results/record.h"
#include "suites/command/commands.h"
#include "suites/command/launch.h"
#include "suites/rows/operations.h"
#include "suites/study/study.h"
#include "suites/worker/worker.h"
#include "suites/gate/gate.h"
#include "suites/gate/regress.h"
#include "suites/rows/device.h"
#include "suites/verify/verify.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    bool reads; /* reads files from elsewhere in a child, so that a file that crashes a library costs one line and exit
                 * 2 */
    const char *help;
} commands[] = {
    {"run", run_command, false, "run a suite, or one case given as options, and write an HDF5 file"},
    {"list", list_command, false, "list suites with their cases and time, backends, options, operations, metrics"},
    {"show", show_command, true, "print the tables of FILE.h5, beside the paper's numbers"},
    {"plot", plot_command, true, "draw the figures of FILE.h5 as SVG, PNG or PDF"},
    {"report", report_command, true, "write one page of HTML about FILE.h5: figures, tables, provenance, commands"},
    {"export", export_command, true, "write FILE.h5 as CSV or JSON"},
    {"verify", verify_command, false, "check a backend against the vectors of FILE.h5"},
    {"vectors", vectors_command, false, "write inputs and expected outputs to FILE.h5, to hold any framework to"},
    {"check", check_command, false, "check a library of operations against cpu64 on fixed and random cases"},
    {"doctor", doctor_command, false, "say what would spoil a measurement on this machine, and the remedy"},
    {"compare", compare_command, true, "compare two records, as a gate: values, errors, memory"},
    {"regress", regress_command, false, "compare two libraries of operations, as a gate: accuracy and speed"},
    {"merge", merge_command, true, "join the files of shards into one"},
    {"status", status_command, true, "say how far a sweep is, from its files, also while they are written"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct worker_handler handlers[] = {{"study", study_answer},
                                                 {"estimate", study_estimate_answer},
                                                 {"verify", verify_answer},
                                                 {"regress", regress_answer},
                                                 {"counters", regress_counters_answer},
                                                 {"device", device_answer},
                                                 {"operations", operations_answer},
                                                 {NULL, NULL}};

static void help(FILE *out) {
    fprintf(out,
            "mhcbench %s: what residual connections do to a deep network, and what they cost\n\n"
            "usage: mhcbench COMMAND ...\n\n",
            PROVENANCE_VERSION);
    for (int k = 0; k < COMMANDS; k++)
        fprintf(out, "  %-8s %s\n", commands[k].name, commands[k].help);
    fprintf(out, "\n`mhcbench COMMAND --help` explains a command, `mhcbench list --options` every option of a case.\n"
                 "With --device N any command uses the N-th visible GPU, from 0.\n"
                 "Exit codes: 0 good, 1 failed check or regression, 2 cannot do it, 3 ambiguous under --strict,\n"
                 "130 interrupted.\n");
}

/* `mhcbench show FILE | head`: the reader has enough. The program ends quietly, as a filter does, and reports no
 * failure. */
static void end_with_the_pipe(void) {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

/* Output that did not arrive is an error, even if the disk reports it only now. */
static int finish(int code) {
    errno = 0;
    if (code != EXIT_GOOD || (!fflush(stdout) && !ferror(stdout)))
        return code;
    if (errno == EPIPE) /* the worker's room ignores SIGPIPE, so no signal came */
        end_with_the_pipe();
    return cannot("standard output cannot be written");
}

static int in_child(int (*run)(int, char **), int argc, char **argv) {
    enum { PATH_ROOM = 4096 };
    int status;
    char *reading = mmap(NULL, PATH_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reading == MAP_FAILED)
        reading = NULL;
    record_tell_reading(reading, PATH_ROOM); /* names the file, of several, that crashes its reader */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        exit(finish(run(argc, argv)));
    if (child < 0)
        return cannot("no process to read it in: %s", strerror(errno));
    signal(SIGINT, SIG_IGN); /* the child decides */
    while (waitpid(child, &status, 0) < 0)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM)
        return EXIT_INTERRUPTED;
    if (WTERMSIG(status) == SIGPIPE)
        end_with_the_pipe();
    return cannot("%s: reading it crashed (%s); it is not a file this program wrote",
                  reading && *reading ? reading : "file", strsignal(WTERMSIG(status)));
}

/* Undoes what a caller may have set up: a closed standard output, whose number a results file would take; children that
 * cannot be waited for; death by a full disk. HDF5 must not try again at exit to write a file that it could not write,
 * because it crashes there; it must be told before its first use. */
static void prepare_process(void) {
    int file;
    while ((file = open("/dev/null", O_RDWR)) >= 0 && file <= STDERR_FILENO)
        ;
    if (file >= 0)
        close(file);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
    /* HDF5's best effort knows of one errno; without a word of the user the record takes its own lock, and knows more.
     */
    const char *locking = getenv("HDF5_USE_FILE_LOCKING");
    if (locking && !strcmp(locking, "BEST_EFFORT"))
        unsetenv("HDF5_USE_FILE_LOCKING");
    H5dont_atexit();
}

/* Without memory OpenBLAS waits for ever: in threads of its own, which it starts before main() and joins at every
 * fork(), and for a buffer of 128 MiB per thread of ours. So under a limit on memory it starts without threads. */
static void prepare_blas(char **argv) {
    struct rlimit limit;
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY || (threads && !strcmp(threads, "1")))
        return;
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    execv(worker_program(), argv); /* or goes on as it is */
}

/* Whether the number of threads is sensible and there is room for those buffers. false: reported. */
static bool can_compute(void) {
    enum { BUFFER_MB = 129, OTHERS_MB = 64, MOST_THREADS = 1024 };
    struct rlimit limit;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN), threads = omp_get_max_threads();
    if (threads > MOST_THREADS && threads > 4 * processors)
        return cannot("OMP_NUM_THREADS asks for %ld threads, and %ld processors are here", threads, processors), false;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return true;
    const size_t needed = ((size_t)threads * BUFFER_MB + OTHERS_MB) << 20;
    void *room = mmap(NULL, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room != MAP_FAILED)
        return !munmap(room, needed);
    return cannot(
               "the limit of %lld MiB on memory (ulimit -v) is too low: OpenBLAS takes %d MiB for each of %ld threads; "
               "OMP_NUM_THREADS=1 takes least",
               (long long)(limit.rlim_cur >> 20), BUFFER_MB, threads),
           false;
}

/* --device N, of every command: the N-th of the GPUs that are visible, from 0. Processes that this one starts see that
 * one alone, and backend cuda takes the first it sees. false: reported. */
static bool choose_device(int *argc, char **argv) {
    const char *word = NULL;
    char *end = NULL;
    if (!take_option(argc, argv, "--device", &word))
        return false;
    if (!word)
        return true;
    long number = strtol(word, &end, 10);
    if (!*word || *end || number < 0 || number > 1023)
        return cannot("--device %s: the number of a GPU, from 0", word), false;
    return launch_choose_gpu(number) ||
           (cannot("--device %ld: CUDA_VISIBLE_DEVICES is %s", number, getenv("CUDA_VISIBLE_DEVICES")), false);
}

static int run_here(int (*run)(int, char **), int argc, char **argv) {
    bool computes = run != list_command && run != doctor_command;
    for (int k = 0; k < argc; k++)
        computes &= strcmp(argv[k], "--help") && strcmp(argv[k], "-h");
    return computes && !can_compute() ? EXIT_CANNOT : finish(run(argc, argv));
}

int main(int argc, char **argv) {
    prepare_blas(argv);
    blas_core_mend(argv);
    openblas_set_num_threads(
        1); /* the rooms split their work by OpenMP and call BLAS and LAPACK from inside the pieces */
    if (argc == 2 && !strcmp(argv[1], "--worker"))
        return worker_main(handlers);
    affinity_unbind(); /* this process computes nothing: its workers do */
    prepare_process();
    if (argc == 3 && !strcmp(argv[1], "help")) { /* `mhcbench help run` is `mhcbench run --help` */
        argv[1] = argv[2];
        argv[2] = "--help";
    }
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_CANNOT : finish(EXIT_GOOD);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("mhcbench %s (%s)\n", PROVENANCE_VERSION, PROVENANCE_BUILD);
        return finish(EXIT_GOOD);
    }
    int words = argc - 2;
    if (!choose_device(&words, argv + 2))
        return EXIT_CANNOT;
    argc = words + 2;
    for (int k = 0; k < COMMANDS; k++)
        if (!strcmp(argv[1], commands[k].name))
            return commands[k].reads ? in_child(commands[k].run, argc - 2, argv + 2)
                                     : run_here(commands[k].run, argc - 2, argv + 2);
    return cannot("unknown command %s (mhcbench --help lists them)", argv[1]);
}
