/* `make bench-store`: how large and how fast a record of many points is. Points are what a phase diagram leaves, with
 * made-up numbers: summaries alone, or curves of several depths and numbers of streams. The program then reads them.
 * Reports only: no test depends on it.
 *
 *   bench_store MHCBENCH POINTS [summary|curves] [FOLDER] */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "analysis/analysis.h"
#include "cpu_ref/philox.h"
#include "results/record.h"
#include "suites/case/suite.h"
#include "suites/command/provenance.h"
#include "suites/command/run_schema.h"

enum { GRID = 13 * 21, KINDS_OF_CURVES = 4 * 4, KEY = 2048, MOST_WORDS = 24 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const char *what) {
    fprintf(stderr, "bench_store: %s\n", what);
    exit(2);
}

static double megabytes(const char *path) {
    struct stat status;
    return stat(path, &status) ? NAN : 1e-6 * (double)status.st_size;
}

/* A suite of at least so many points. */
static void make_suite(struct suite *suite, int64_t points, bool curves) {
    char seeds[40], why[600];
    snprintf(seeds, sizeof seeds, "1:%lld:1", 1 + (long long)((points - 1) / (curves ? KINDS_OF_CURVES : GRID)));
    char *summary[] = {"--study", "maps",     "--measure",    "gain",     "--record", "summary",
                       "--alpha", "0",        "--connection", "mhc",      "--d",      "12",
                       "--w",     "0:3:0.25", "--s",          "0:10:0.5", "--seed",   seeds};
    char *curve[] = {"--study", "maps",    "--measure",   "gain",      "--alpha",  "0",      "--d",
                     "12",      "--depth", "8,16,32,256", "--streams", "2,4,8,16", "--seed", seeds};
    if (!suite_read(suite, NULL, curves ? curve : summary,
                    curves ? sizeof curve / sizeof *curve : sizeof summary / sizeof *summary, why, sizeof why))
        stop(why);
}

/* Numbers that compress little: they differ as those of other seeds do. */
static void make_result(const struct params *p, int64_t number, struct study_result *r) {
    *r = (struct study_result){.L = p->depth, .n = p->streams, .seconds = 1e-3};
    const bool whole = p->record == RECORD_CURVES;
    if (!mhc_curves_allocate(&r->curves, r->L, (unsigned)p->measure, whole))
        stop("out of memory");
    for (int m = 0; m < MHC_METRICS; m++)
        for (int s = 0; s < MHC_STATISTICS; s++)
            for (int64_t l = 0; r->curves.curve[m][s] && l < r->L; l++)
                r->curves.curve[m][s][l] = mhc_normal((uint64_t)number, (uint64_t)m, (uint64_t)s, (uint64_t)l);
    if (!whole)
        return;
    r->panels = malloc((size_t)(6 * r->n * r->n) * sizeof *r->panels);
    r->qr_spectrum = malloc((size_t)(r->L * r->n) * sizeof *r->qr_spectrum);
    if (!r->panels || !r->qr_spectrum)
        stop("out of memory");
    for (int64_t k = 0; k < 6 * r->n * r->n; k++)
        r->panels[k] = mhc_normal((uint64_t)number, 100, 0, (uint64_t)k);
    for (int64_t k = 0; k < r->L * r->n; k++)
        r->qr_spectrum[k] = mhc_normal((uint64_t)number, 101, 0, (uint64_t)k);
}

/* Every `step`-th case from `first` on, as a run writes it, without the computing. */
static void write_record(int64_t points, bool curves, int64_t first, int64_t step, const char *path) {
    struct suite s;
    struct record_schema schema;
    char text[KEY], part[4096];
    int64_t count = 0;
    make_suite(&s, points, curves);
    run_schema(&schema, &s);
    schema.facts = provenance_facts(&schema.fact_count);
    schema.command = schema.program = "bench_store";
    schema.suite = s.text;
    char **key = calloc((size_t)s.count + 1, sizeof *key);
    for (int64_t k = first; k < s.count; k += step, count++) {
        params_key(&s.cases[k], text, sizeof text);
        if (!key || !(key[count] = strdup(text)))
            stop("out of memory");
    }
    schema.cases = count;
    schema.keys = (const char *const *)key;
    struct record *record = record_create(path, &schema, false, true);
    if (!record)
        stop(record_error());
    const double begin = now();
    for (int64_t i = 0, k = first; i < count; i++, k += step) {
        struct study_result r;
        make_result(&s.cases[k], k, &r);
        if (!run_write_case(&(struct run_destination){record, &schema}, &s.cases[k], key[i], &r, false))
            stop(record_error());
        study_release(&r);
    }
    const double written = now();
    snprintf(part, sizeof part, "%s.part", path);
    const double growing = megabytes(part);
    if (!record_finish(record, true))
        stop(record_error());
    printf("%s: %lld points, %s: %.0f points/s; %.1f MB, %.0f bytes/point; while it grew %.1f MB, %.0f bytes/point; "
           "finishing took %.1f s\n",
           path, (long long)count, curves ? "curves" : "summaries alone", (double)count / (written - begin),
           megabytes(path), 1e6 * megabytes(path) / (double)count, growing, 1e6 * growing / (double)count,
           now() - written);
    fflush(stdout);
}

/* A step of the benchmark is a process of its own, begun by one that is small, and reported on. */
static pid_t begin_step(double *begin) {
    fflush(stdout);
    *begin = now();
    return fork();
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void end_step(const char *what, pid_t child, double begin, int64_t points) {
    struct rusage usage;
    int status;
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
        stop(what);
    printf("%-24s %8.2f s, of CPU %8.2f s  peak %6.0f MB, %6.0f bytes/point\n", what, now() - begin,
           seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), 1e-6 * 1024 * (double)usage.ru_maxrss,
           1024.0 * (double)usage.ru_maxrss / (double)points);
}

static void write_step(int64_t points, bool curves, int64_t first, int64_t step, const char *path) {
    double begin;
    char what[80];
    const pid_t child = begin_step(&begin);
    if (child == 0) {
        write_record(points, curves, first, step, path);
        exit(0);
    }
    snprintf(what, sizeof what, "write %s", path);
    end_step(what, child, begin, points / step);
}

/* Runs the program; its output goes nowhere. */
static void run_step(const char *what, int64_t points, char *const *argument) {
    double begin;
    const pid_t child = begin_step(&begin);
    if (child == 0) {
        const int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execv(argument[0], argument);
        _exit(127);
    }
    end_step(what, child, begin, points);
}

int main(int argc, char **argv) {
    static char folder[] = "/tmp/mhcbench-store-XXXXXX", program[4096];
    const int64_t points = argc > 2 ? atoll(argv[2]) : 0;
    const bool curves = argc > 3 && !strcmp(argv[3], "curves");
    if (points < 2 || !realpath(argv[1], program))
        stop("bench_store MHCBENCH POINTS [summary|curves] [FOLDER]");
    const char *where = argc > 4 ? argv[4] : mkdtemp(folder);
    if (!where || chdir(where))
        stop("no folder");
    write_step(points, curves, 0, 1, "all.h5");
    write_step(points, curves, 0, 2, "half0.h5");
    write_step(points, curves, 1, 2, "half1.h5");
    char *const commands[][MOST_WORDS] = {
        {"show", program, "show", "all.h5"},
        {"show --all", program, "show", "all.h5", "--all"},
        {"show --headline", program, "show", "all.h5", "--headline"},
        {"plot", program, "plot", "all.h5", "--format", "svg", "--out", "figures"},
        {"compare with itself", program, "compare", "all.h5", "all.h5"},
        {"export --what cases", program, "export", "all.h5", "--out", "cases.csv"},
        {"export --what curves", program, "export", "all.h5", "--what", "curves", "--out", "curves.csv"},
        {"merge", program, "merge", "merged.h5", "half0.h5", "half1.h5", "--overwrite"},
    };
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++)
        run_step(commands[k][0], points, commands[k] + 1);
    if (argc < 5) {
        char command[4200];
        snprintf(command, sizeof command, "rm -rf %s", folder);
        return chdir("/") || system(command) ? 2 : 0;
    }
    return 0;
}
