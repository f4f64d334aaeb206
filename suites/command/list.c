/* `mhcbench list`: what there is, and what a suite would cost. */
#include <glob.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/rows/operations.h"
#include "suites/study/study.h"
#include "suites/case/suite.h"
#include "suites/rows/backend.h"

static const char usage[] = "list [FILE.suite ...] [--options] [--operations] [--metrics] [--backend B]";

static const char help[] =
    "Without anything: the suites below the current folder with the number of their cases and an estimate of their time, and\n"
    "the backends that are here. With FILE.suite: that of these suites.\n\n"
    "  --options     every option of a case: default, range, meaning, and the studies that know it\n"
    "  --operations  the operations of a backend, what they read and what they write\n"
    "  --backend B   whose operations: cpu64 (default), cpu32, cuda, emu, or the path of a library\n"
    "  --metrics     every curve that is recorded, layer by layer\n";

static void list_options(void) {
    printf("Options of a case (suite lines take lists a,b,c and ranges low:high:step, low:high:xFACTOR):\n\n");
    for (int k = 0; k < params_count; k++) {
        const struct param *p = &params_table[k];
        char range[160] = "text", special[64];
        if (p->type == PARAM_WORD || p->type == PARAM_FLAGS)
            snprintf(range, sizeof range, "%s", p->words);
        else if (p->type == PARAM_REAL)
            snprintf(range, sizeof range, "%g..%g", p->least, p->most);
        else if (p->type == PARAM_INT)
            snprintf(range, sizeof range, "%.0f..%.0f%s", p->words ? 1.0 : p->least, p->most,
                     (params_special(p, ", ", special, sizeof special), special));
        printf("  --%-13s default %-9s %s", params_option(p), *p->standard ? p->standard : "none", range);
        int named = 0;
        for (int study = 0; study < STUDIES && p->of != STUDY_ANY; study++) {
            struct params one = {.study = study};
            if (params_knows(&one, p))
                printf("%s%s", named++ ? ", " : "   [", params_word(&one, "study"));
        }
        printf("%s\n      %s\n", named ? "]" : "", p->help);
    }
}

static int list_operations(const char *name) {
    struct backend b;
    char why[300];
    if (!backend_open(&b, name, why, sizeof why))
        return cannot("%s", why);
    printf("Operations of backend %s (%s):\n\n", name, b.library->build);
    for (const struct mhc_row *const *row = b.library->rows; *row; row++) {
        printf("  %-28s ", (*row)->name);
        for (int direction = MHC_IN; direction <= MHC_OUT; direction++) {
            printf("%s", direction == MHC_OUT ? " -> " : "");
            for (const struct mhc_arg *arg = (*row)->args; arg->name; arg++)
                if (arg->direction == (enum mhc_direction)direction)
                    printf("%s[%s] ", arg->name, arg->extents);
        }
        printf("\n");
    }
    backend_close(&b);
    return EXIT_GOOD;
}

static void list_metrics(void) {
    printf("Curves, one value a layer, with quantiles over tokens:\n\n");
    for (int m = 0; m < MHC_METRICS; m++)
        printf("  %-28s %-6s %s\n", mhc_metric_info[m].name, mhc_metric_info[m].scale == MHC_LOG10 ? "log10" : "",
               mhc_metric_info[m].long_name);
}

/* Operations a second in a fixed case, to turn counts into time on this machine; the fastest of a few runs, for the
 * first warms up and other work may take its turn in any. */
static double flops_per_second(void) {
    enum { RUNS = 4 };
    struct params p;
    struct study_result r;
    char why[200];
    double fastest = INFINITY;
    const char *const fixed[][2] = {
        {"study", "propagate"}, {"depth", "4"}, {"width", "256"}, {"tokens", "128"}, {"measure", "gain"}};
    params_defaults(&p);
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
        params_set(&p, params_find(fixed[k][0]), fixed[k][1], why, sizeof why);
    for (int run = 0; run < RUNS; run++) {
        study_run(&(struct study_context){.p = &p}, &r);
        fastest = r.seconds > 0 ? fmin(fastest, r.seconds) : fastest;
        study_release(&r);
    }
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

static int list_suite(const char *path, double rate) {
    struct suite s;
    struct worker w = {0};
    char why[600], duration[24];
    double seconds = 0;
    if (!suite_read(&s, path, NULL, 0, why, sizeof why))
        return cannot("%s", why);
    bool any = operations_narrow(&s, &w, why, sizeof why);
    worker_stop(&w);
    if (!any) {
        suite_release(&s);
        return cannot("%s: no case to run: %s", path, why);
    }
    for (int64_t k = 0; k < s.count; k++)
        seconds += study_flops(&s.cases[k]) / rate + study_seconds(&s.cases[k]);
    put_duration(seconds, duration);
    printf("  %-28s %7lld cases   about %s on this machine", path, (long long)s.count, duration);
    if (s.repeated)
        printf(", without %lld that an earlier line has already", (long long)s.repeated);
    printf("\n");
    suite_release(&s);
    return EXIT_GOOD;
}

static int list_suites(int argc, char **argv) {
    glob_t found = {0};
    double rate = flops_per_second();
    int code = EXIT_GOOD;
    if (argc == 0) {
        printf("Suites (suites/*.suite below the current folder):\n\n");
        glob("suites/*.suite", 0, NULL, &found);
        for (size_t k = 0; k < found.gl_pathc; k++)
            code |= list_suite(found.gl_pathv[k], rate);
        globfree(&found);
    }
    for (int k = 0; k < argc && code == EXIT_GOOD; k++)
        code = list_suite(argv[k], rate);
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
        printf("  %-6s %s\n", names[k], good ? b.library->build : said);
        if (good)
            backend_close(&b);
    }
    printf("  PATH   any library with `mhc_library` of ABI %d\n", MHC_ABI);
}

int list_command(int argc, char **argv) {
    const char *backend = "cpu64";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    bool options = take_flag(&argc, argv, "--options"), operations = take_flag(&argc, argv, "--operations");
    bool metrics = take_flag(&argc, argv, "--metrics");
    int code = EXIT_GOOD;
    if (!take_option(&argc, argv, "--backend", &backend) || !only_positional(argc, argv, 0, 1000, usage))
        return EXIT_CANNOT;
    if (options)
        list_options();
    if (operations)
        code = list_operations(backend);
    if (metrics)
        list_metrics();
    if (options || operations || metrics)
        return code;
    code = list_suites(argc, argv);
    if (argc == 0) {
        list_backends();
        printf("\nMore: list --options, list --operations [--backend B], list --metrics\n");
    }
    return code;
}
