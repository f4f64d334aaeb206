/* `mhcbench list`: which suites, backends, options and metrics there are, and how long a suite would take. */
#include <glob.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/analysis.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/list_shards.h"
#include "suites/rows/operations.h"
#include "suites/study/jobs.h"
#include "suites/study/shares.h"
#include "suites/study/study.h"
#include "suites/case/help.h"
#include "suites/case/suite.h"
#include "suites/rows/backend.h"

static const char usage[] = "list [FILE.suite ...] [--options] [--operations] [--metrics] [--backend B] "
                            "[--shards N]";

static const char help[] =
    "Without arguments: the suites below the current folder, each with its number of cases and an estimate of its "
    "time, and the backends of this build. With FILE.suite: the estimate of these suites. An estimate counts "
    "operations and scales them by the measured time of one thread in a fixed case. It assumes that nothing else "
    "runs.\n\n"
    "  --shards N    a model of a sweep of FILE.suite on N processes: time, files, merging, and what breaks first\n"
    "  --options     every option of a case: default, range, meaning, and the studies that know it\n"
    "  --operations  the operations of a backend, what they read and what they write\n"
    "  --backend B   the backend of --operations: cpu64 (default), cpu32, cuda, emu, or the path of a library\n"
    "  --metrics     every curve that is recorded, one value per layer\n";

enum { VALUES_AT = 36, MEANING_AT = 6 }; /* columns of `list --options` */

/* "a|b" as "a | b", so that a long list of words may break. */
static void spaced(const char *words, char *text, size_t size) {
    size_t used = 0;
    for (; *words && used + 4 < size; words++)
        used += (size_t)snprintf(text + used, size - used, *words == '|' ? " | " : "%c", *words);
}

static void list_options(void) {
    printf("Options of a case (suite lines take lists a,b,c and ranges low:high:step, low:high:xFACTOR):\n\n");
    for (int k = 0; k < params_count; k++) {
        const struct param *p = &params_table[k];
        char range[400] = "text", special[64];
        if (p->type == PARAM_WORD || p->type == PARAM_FLAGS)
            spaced(p->words, range, sizeof range);
        else if (p->type == PARAM_REAL)
            snprintf(range, sizeof range, "%g..%g", p->least, p->most);
        else if (p->type == PARAM_INT)
            snprintf(range, sizeof range, "%.0f..%.0f%s", p->words ? 1.0 : p->least, p->most,
                     (params_special(p, ", ", special, sizeof special), special));
        int column = printf("  --%-13s default %-9s", params_option(p), *p->standard ? p->standard : "none");
        help_fill(column, VALUES_AT, range);
        help_fill(0, MEANING_AT, p->help);
        int named = 0;
        for (int study = 0; study < STUDIES && p->of != STUDY_ANY; study++) {
            struct params one = {.study = study};
            if (params_knows(&one, p))
                printf("%s%s", named++ ? ", " : "      [", params_word(&one, "study"));
        }
        printf("%s", named ? "]\n" : "");
    }
}

/* Writes the names and extents of the inputs, or the outputs, of an operation. */
static void put_arguments(FILE *out, const struct mhc_row *row, enum mhc_direction direction) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == direction)
            fprintf(out, "%s[%s] ", arg->name, arg->extents);
}

static int list_operations(const char *name) {
    struct backend b;
    char why[300];
    bool good = true;
    if (!backend_open_timed(&b, name, why, sizeof why))
        return cannot("%s", why);
    help_fill(printf("Operations of backend %s:", name), 2, b.library->build);
    printf("\n");
    for (const struct mhc_row *const *row = b.library->rows; good && *row; row++) {
        char *arguments = NULL;
        size_t size;
        FILE *out = open_memstream(&arguments, &size);
        if (out) {
            put_arguments(out, *row, MHC_IN);
            fprintf(out, "-> ");
            put_arguments(out, *row, MHC_OUT);
        }
        good = out && !fclose(out);
        if (good)
            help_fill(printf("  %-28s", (*row)->name), 31, arguments);
        free(arguments);
    }
    backend_close(&b);
    return good ? EXIT_GOOD : cannot("out of memory");
}

static void list_metrics(void) {
    printf("Curves, one value per layer, with quantiles over tokens:\n\n");
    for (int m = 0; m < MHC_METRICS; m++)
        help_fill(printf("  %-28s %-6s", mhc_metric_info[m].name, mhc_metric_info[m].scale == MHC_LOG10 ? "log10" : ""),
                  38, mhc_metric_info[m].long_name);
}

static double cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Operations per second of CPU time of one thread, in a fixed case of a backend. CPU time does not count what else the
 * machine does. The fastest of a few runs counts, because the first one warms up. */
static double flops_per_second(const char *backend) {
    enum { RUNS = 4 };
    struct params p;
    struct study_result r;
    char why[200];
    double fastest = INFINITY;
    const char *const fixed[][2] = {{"study", "propagate"}, {"depth", "4"},      {"width", "256"},
                                    {"tokens", "128"},      {"measure", "gain"}, {"backend", backend}};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    params_defaults(&p);
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
        params_set(&p, params_find(fixed[k][0]), fixed[k][1], why, sizeof why);
    for (int run = 0; run < RUNS; run++) {
        const double from = cpu_seconds();
        study_run(&(struct study_context){.p = &p}, &r);
        const double spent = cpu_seconds() - from;
        fastest = spent > 0 ? fmin(fastest, spent) : fastest;
        study_release(&r);
    }
    omp_set_num_threads(threads);
    return isfinite(fastest) ? study_flops(&p) / fastest : 1e9;
}

/* "35 s", "3 minutes", "3 hours": it is an estimate. */
static void put_duration(double seconds, char text[24]) {
    if (seconds < 90)
        snprintf(text, 24, "%.0f s", fmax(1, seconds));
    else if (seconds < 90 * 60)
        snprintf(text, 24, "%.0f minutes", seconds / 60);
    else
        snprintf(text, 24, "%.0f hours", seconds / 3600);
}

/* The rates that estimate the cases. */
struct rates {
    int threads;
    double oracle, cpu32; /* operations per second of one thread; oracle: of cpu64, which stands for all but cpu32 */
    bool cuda;            /* can be opened */
};

/* The rate of all threads together, less what is lost by sharing the work out. */
static double of_all(double one, int threads) {
    return threads > 1 ? JOBS_EFFICIENCY * one * threads : one;
}

static double rate_of(const struct rates *rates, const struct params *p) {
    return params_has(p, STUDY_RUNS) && !strcmp(p->backend, "cpu32") ? rates->cpu32 : rates->oracle;
}

static bool needs_gpu(const struct params *p) {
    return params_has(p, STUDY_RUNS) && !strcmp(p->backend, "cuda");
}

/* Seconds of a whole suite, with as many cases at once as `run` would choose where memory suffices. */
static double suite_seconds(const struct suite *s, const struct rates *rates, int *at_once) {
    struct job *jobs = malloc(((size_t)s->count + 1) * sizeof *jobs);
    double sum = 0, alone = 0, together = 0; /* seconds of a case on one thread, and on all */
    *at_once = 1;
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        if (!rates->cuda && needs_gpu(p)) {
            alone = together = 0;
        } else if (!k || !jobs_alike(p - 1, p)) {
            alone = jobs_seconds(p, rate_of(rates, p));
            together = jobs_seconds(p, of_all(rate_of(rates, p), rates->threads));
        }
        sum += together;
        if (jobs)
            jobs[k] = (struct job){.number = k, .seconds = alone};
    }
    if (jobs)
        *at_once = jobs_at_once(s, jobs, s->count, INFINITY, rates->threads);
    if (*at_once > 1) {
        jobs_order(jobs, s->count, *at_once);
        sum = jobs_end(jobs, s->count, *at_once);
    }
    free(jobs);
    return sum;
}

static int list_suite(const char *path, const struct rates *rates, int64_t shards) {
    struct suite s;
    struct worker w = {0};
    char why[600], duration[24];
    int at_once;
    const double begin = worker_now();
    if (!suite_read(&s, path, NULL, 0, why, sizeof why))
        return cannot("%s", why);
    const double reading = worker_now() - begin;
    bool any = operations_narrow(&s, &w, why, sizeof why);
    worker_stop(&w);
    if (!any) {
        suite_release(&s);
        return cannot("%s: no case to run: %s", path, why);
    }
    int64_t idle = 0;
    for (int64_t k = 0; k < s.count && !rates->cuda; k++)
        idle += needs_gpu(&s.cases[k]);
    put_duration(suite_seconds(&s, rates, &at_once), duration);
    int column = printf("  %-28s %7lld case%s  ", path, (long long)s.count, s.count == 1 ? " " : "s");
    char text[400];
    size_t used = 0;
    if (idle == s.count)
        used += (size_t)snprintf(text, sizeof text, "needs a GPU, and none can be used here");
    else
        used += (size_t)snprintf(text, sizeof text, "about %s on this machine", duration);
    if (idle && idle < s.count)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %lld for a GPU left out", (long long)idle);
    if (at_once > 1)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %d cases at once", at_once);
    if (s.repeated)
        snprintf(text + used, sizeof text - used, ", %lld repeated left out", (long long)s.repeated);
    help_fill(column, column + 1, text);
    const bool good = !shards || list_shards(&s, shards, reading);
    suite_release(&s);
    return good ? EXIT_GOOD : cannot("out of memory");
}

static int list_suites(int argc, char **argv, int64_t shards) {
    glob_t found = {0};
    struct backend cuda;
    char why[300];
    struct rates rates = {.threads = omp_get_max_threads(), .cuda = backend_open(&cuda, "cuda", why, sizeof why)};
    if (rates.cuda)
        backend_close(&cuda);
    rates.oracle = flops_per_second("cpu64");
    rates.cpu32 = flops_per_second("cpu32");
    int code = EXIT_GOOD;
    if (argc == 0) {
        printf("Suites (suites/*.suite below the current folder), and their time where nothing else runs:\n\n");
        glob("suites/*.suite", 0, NULL, &found);
        for (size_t k = 0; k < found.gl_pathc; k++)
            code |= list_suite(found.gl_pathv[k], &rates, 0);
        globfree(&found);
    }
    for (int k = 0; k < argc && code == EXIT_GOOD; k++)
        code = list_suite(argv[k], &rates, shards);
    return code;
}

static void list_backends(void) {
    const char *const names[] = {"cpu64", "cpu32", "cuda", "emu"};
    printf("\nBackends:\n\n");
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct backend b;
        char why[300] = "";
        bool good = backend_open(&b, names[k], why, sizeof why);
        const char *said = !strncmp(why, "backend ", 8) && strchr(why, ':') ? strchr(why, ':') + 2
                                                                            : why; /* the name stands in front */
        help_fill(printf("  %-6s", names[k]), 9, good ? b.library->build : said);
        if (good)
            backend_close(&b);
    }
    printf("  model:GPU  times by data sheet, nothing runs: h200, h100, a100, b200 or 4090\n");
    printf("  PATH   any library with `mhc_library` of ABI %d\n", MHC_ABI);
}

int list_command(int argc, char **argv) {
    const char *backend = "cpu64", *processes = NULL;
    long long shards = 0;
    char rest;
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool options = take_flag(&argc, argv, "--options"), operations = take_flag(&argc, argv, "--operations");
    bool metrics = take_flag(&argc, argv, "--metrics");
    int code = EXIT_GOOD;
    if (!take_option(&argc, argv, "--backend", &backend) || !take_option(&argc, argv, "--shards", &processes) ||
        !only_positional(argc, argv, 0, 1000, usage))
        return EXIT_CANNOT;
    if (processes && (sscanf(processes, "%lld%c", &shards, &rest) != 1 || shards < 1 || shards > SHARES_MOST || !argc))
        return cannot("--shards %s: a whole number from 1 to %d, and a suite", processes, SHARES_MOST);
    if (options)
        list_options();
    if (operations)
        code = list_operations(backend);
    if (metrics)
        list_metrics();
    if (options || operations || metrics)
        return code;
    code = list_suites(argc, argv, shards);
    if (argc == 0) {
        list_backends();
        printf("\nMore: list --options, list --operations [--backend B], list --metrics\n");
    }
    return code;
}
