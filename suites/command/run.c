/* `mhcbench run`: every case of a suite, one after the other, into one file. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "build_info.h"
#include "results/record.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/origin.h"
#include "suites/rows/operations.h"
#include "suites/command/provenance.h"
#include "suites/study/study.h"
#include "suites/case/suite.h"
#include "suites/rows/device.h"
#include "suites/study/fits.h"
#include "suites/study/timed_record.h"

enum { KEY_SIZE = 2048 };

static const char usage[] =
    "run [FILE.suite] [case options] [--out FILE.h5] [--overwrite | --resume[=anyway]] [--shard I/N] "
    "[--timeout SECONDS] [--dry-run] [-q]";

static const char help[] =
    "Runs the cases of a suite, or the one line of case options given, into one HDF5 file. Case options behind FILE.suite replace\n"
    "those of its lines; mhcbench list --options explains them all.\n\n"
    "  --out FILE.h5      default: NAME.h5 of NAME.suite, or case.h5, in the current folder\n"
    "  --overwrite        replace FILE.h5 where there is one\n"
    "  --resume           go on with the FILE.h5.part that an interrupted run left, or with a FILE.h5 of which cases failed: those\n"
    "                     run again. Refused where cases are of another revision, build, CPU, number of threads, library or input;\n"
    "                     --resume=anyway goes on, as in a job on nodes of several kinds: every case says where it comes from\n"
    "  --shard I/N        every N-th case from the I-th on, I from 0: mhcbench merge joins the files of all I\n"
    "  --timeout SECONDS  a case that takes longer has failed\n"
    "  --dry-run          print the cases, a line each that makes it again, and run none\n"
    "  -q, --quiet        no progress\n\n"
    "--budget bounds the timed rounds of a case alone. Drawing its arrays, the answer of cpu64 and the warm-up come on top, so that\n"
    "a small budget hardly shortens small cases; fewer cases do. --input is a path from the current folder.\n\n"
    "Exit: 0 good, 1 a case failed, 2 cannot do it, 130 interrupted.\n";

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    (void)signal_number;
    if (stopped)
        _exit(EXIT_INTERRUPTED);
    stopped = 1;
}

struct options {
    const char *out, *shard, *timeout;
    bool overwrite, quiet, dry_run;
    struct resume resume;
    long index, shards;
    double seconds;
};

static bool read_options(struct options *o, int *argc, char **argv) {
    *o = (struct options){.index = 0, .shards = 1};
    o->overwrite = take_flag(argc, argv, "--overwrite");
    o->resume = origin_take_resume(argc, argv);
    o->quiet = take_flag(argc, argv, "-q");
    o->quiet = take_flag(argc, argv, "--quiet") || o->quiet;
    o->dry_run = take_flag(argc, argv, "--dry-run");
    if (!take_option(argc, argv, "--out", &o->out) || !take_option(argc, argv, "--shard", &o->shard) ||
        !take_option(argc, argv, "--timeout", &o->timeout))
        return false;
    char rest;
    if (o->shard && (sscanf(o->shard, "%ld/%ld%c", &o->index, &o->shards, &rest) != 2 || o->index < 0 ||
                     o->shards < 1 || o->index >= o->shards))
        return cannot("--shard %s: I/N with 0 <= I < N", o->shard), false;
    char *end = NULL;
    if (o->timeout && ((o->seconds = strtod(o->timeout, &end)), end == o->timeout || *end || !(o->seconds > 0)))
        return cannot("--timeout %s: seconds, above 0", o->timeout), false;
    if (o->out && !*o->out)
        return cannot("--out needs a file"), false;
    if (o->overwrite && o->resume.wanted)
        return cannot("--overwrite and --resume exclude each other"), false;
    return true;
}

/* results of suites/quick.suite go to quick.h5 in the current folder. */
static void output_path(const struct options *o, const char *suite, char *path, size_t size) {
    const char *base = suite ? strrchr(suite, '/') ? strrchr(suite, '/') + 1 : suite : "case";
    if (o->out)
        snprintf(path, size, "%s", o->out);
    else
        snprintf(path, size, "%.*s.h5", (int)strcspn(base, "."), base);
}

/* All that can be known before the first case: shapes a backend lacks, memory that is not there. */
static int check_cases(const struct suite *s, const struct options *o, struct worker *w) {
    for (int64_t k = 0; k < s->count && !stopped; k++) {
        double needed = 0, available = 0;
        char why[400], key[KEY_SIZE], place[400] = "";
        if (k % o->shards != o->index)
            continue;
        bool good = study_estimate_request(w, &s->cases[k], &needed, &available, why, sizeof why);
        if (stopped)
            return EXIT_INTERRUPTED;
        if (good && needed > MEMORY_SHARE * available) {
            char fits[120];
            fits_text(w, &s->cases[k], fits, sizeof fits);
            snprintf(why, sizeof why, "needs %.3g GB of memory and %.3g GB are free%s", needed * 1e-9, available * 1e-9,
                     fits);
            good = false;
        }
        if (good)
            continue;
        params_key(&s->cases[k], key, sizeof key);
        if (s->lines[k])
            snprintf(place, sizeof place, "%s:%d: ", s->name, s->lines[k]);
        return cannot("%s%s (%s)", place, why, key);
    }
    return EXIT_GOOD;
}

static struct record_column columns[64 + ORIGINS];
static struct record_curve curves[MHC_METRICS * MHC_STATISTICS], summaries[2 * MHC_METRICS];
static char curve_names[MHC_METRICS * MHC_STATISTICS][64], summary_names[2 * MHC_METRICS][64],
    summary_texts[2 * MHC_METRICS][160];

static int curve_metric[MHC_METRICS * MHC_STATISTICS], curve_statistic[MHC_METRICS * MHC_STATISTICS], curve_count;

static bool runs_backward(int metric) {
    return mhc_metric_info[metric].direction == MHC_RUNS_BACKWARD;
}

/* The groups of curves that some case of a suite records. */
static unsigned recorded_groups(const struct suite *s) {
    unsigned groups = 0;
    for (int64_t k = 0; k < s->count; k++) {
        bool curves_wanted = params_has(&s->cases[k], STUDY_CURVES) && s->cases[k].record == RECORD_CURVES;
        groups |= curves_wanted ? (unsigned)s->cases[k].measure : 0;
    }
    return groups;
}

/* The datasets of a record, from the tables of parameters and metrics; curves that no case will have are left out. */
static void describe(struct record_schema *schema, unsigned groups) {
    static const char *const units[2] = {"1", "log10(1)"};
    for (int k = 0; k < params_count; k++) {
        const struct param *p = &params_table[k];
        columns[k] = (struct record_column){p->name, p->unit, p->help,
                                            p->type == PARAM_INT    ? RECORD_INT
                                            : p->type == PARAM_REAL ? RECORD_REAL
                                                                    : RECORD_TEXT};
    }
    origin_columns(columns + params_count);
    for (int m = 0; m < MHC_METRICS; m++) {
        const struct mhc_metric_info *info = &mhc_metric_info[m];
        const char *unit = info->scale == MHC_LOG10 ? units[1] : info->unit;
        for (int s = 0; s < MHC_STATISTICS && groups & (unsigned)info->group; s++) {
            int k = curve_count++;
            curve_metric[k] = m;
            curve_statistic[k] = s;
            snprintf(curve_names[k], sizeof curve_names[k], "%s%s", info->name, mhc_statistic_suffix[s]);
            curves[k] = (struct record_curve){curve_names[k], unit, info->long_name};
        }
        for (int s = 0; s < 2; s++) {
            int k = 2 * m + s;
            const char *end = runs_backward(m) ? "first" : "last";
            snprintf(summary_names[k], sizeof summary_names[k], "%s_%s", info->name, s ? end : "max");
            snprintf(summary_texts[k], sizeof summary_texts[k], "%s; %s%s of the token mean", info->long_name,
                     s ? end : "largest over layers", s ? " layer" : "");
            summaries[k] = (struct record_curve){summary_names[k], unit, summary_texts[k]};
        }
    }
    *schema = (struct record_schema) {
        .columns = columns, .column_count = params_count + ORIGINS, .curves = curves, .curve_count = curve_count,
        .summaries = summaries, .summary_count = 2 * MHC_METRICS
    };
}

/* Its sizes, and what only the cases of some studies have. */
static void size_up(struct record_schema *schema, const struct suite *s, const struct options *o) {
    bool layers = false;
    schema->cases = (s->count + o->shards - 1) / o->shards;
    for (int64_t k = 0; k < s->count; k++) {
        const struct params *p = &s->cases[k];
        if (!params_has(p, STUDY_CURVES))
            continue;
        layers = true;
        schema->layers = p->depth > schema->layers ? p->depth : schema->layers;
        schema->streams = p->streams > schema->streams ? p->streams : schema->streams;
    }
    if (!layers)
        schema->summary_count = 0;
    timed_schema(s, schema);
}

/* Where a case is written. */
struct destination {
    struct record *record;
    const struct record_schema *schema;
    const struct params *p;
    const char *key;
};

static bool write_case(const struct destination *to, const struct study_result *r,
                       bool (*write)(struct record *, const struct record_case *)) {
    const struct params *p = to->p;
    static char texts[64][PARAM_TEXT_SIZE];
    union record_value values[64 + ORIGINS];
    const double *pointers[MHC_METRICS * MHC_STATISTICS];
    double scalars[2 * MHC_METRICS];
    for (int k = 0; k < params_count; k++) {
        const void *field = (const char *)p + params_table[k].offset;
        params_text(p, &params_table[k], texts[k], sizeof texts[k]);
        if (columns[k].type == RECORD_INT)
            values[k].i = *(const int64_t *)field;
        else if (columns[k].type == RECORD_REAL)
            values[k].r = *(const double *)field;
        else
            values[k].text = texts[k];
    }
    origin_values(p, values + params_count);
    for (int m = 0; m < MHC_METRICS; m++) {
        const double *mean = r->curves.curve[m][MHC_MEAN];
        scalars[2 * m] = mean ? mhc_curve_max(mean, r->L) : NAN;
        scalars[2 * m + 1] = mean ? mean[runs_backward(m) ? 0 : r->L - 1] : NAN;
    }
    for (int k = 0; k < curve_count; k++)
        pointers[k] = p->record == RECORD_CURVES ? r->curves.curve[curve_metric[k]][curve_statistic[k]] : NULL;
    struct record_case one = {.key = to->key,
                              .status = r->reason[0] ? RECORD_FAILED : RECORD_DONE,
                              .reason = r->reason,
                              .seconds = r->seconds,
                              .layers = r->L,
                              .streams = r->n,
                              .values = values,
                              .curves = pointers,
                              .summaries = scalars,
                              .panels = r->panels,
                              .panel_log10_scale = r->panels ? r->panel_log10_scale : NULL,
                              .qr_spectrum = r->qr_spectrum};
    return timed_case(to->schema, r, &one) && write(to->record, &one);
}

/* A record that could not be written says so again at the end of the case; a signal may have come while it was. */
static bool write_checkpoint(void *user, const struct study_result *so_far) {
    return write_case(user, so_far, record_checkpoint) && !stopped;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct tally {
    int64_t done, failed, kept, planned;
};

/* One rewritten line on a terminal; elsewhere a line a finished case, at most one a second. */
static void progress(const struct options *o, const struct tally *t, double start, double seconds, const char *key,
                     const char *reason) {
    static double last;
    bool terminal = isatty(STDERR_FILENO) && !getenv("NO_COLOR") &&
                    strcmp(getenv("TERM") ? getenv("TERM") : "dumb", "dumb");
    int64_t done = t->done + t->kept, total = t->planned;
    double eta = t->done ? (now() - start) / (double)t->done * (double)(total - done) : 0;
    if (reason[0])
        fprintf(stderr, "%s%s: failed: %s\n", terminal ? "\r\033[K" : "", key, reason);
    if (o->quiet || (now() - last < (terminal ? 0.1 : 1.0) && done < total))
        return;
    last = now();
    int width = 70;
    if (terminal)
        fprintf(stderr, "\r\033[K[%lld/%lld] ETA %02d:%02d  %.*s%s", (long long)done, (long long)total, (int)eta / 60,
                (int)eta % 60, width, key, done == total ? "\n" : "");
    else
        fprintf(stderr, "[%lld/%lld] %.2f s  %s\n", (long long)done, (long long)total, seconds, key);
}

static bool run_cases(const struct suite *s, const struct options *o, struct worker *w, struct record *record,
                      const struct record_schema *schema, struct tally *t) {
    double start = now();
    for (int64_t k = 0; k < s->count; k++)
        t->planned += k % o->shards == o->index;
    for (int64_t k = 0; k < s->count && !stopped; k++) {
        char key[KEY_SIZE];
        struct study_result result;
        if (k % o->shards != o->index)
            continue;
        params_key(&s->cases[k], key, sizeof key);
        if (record_has(record, key)) {
            t->kept++;
            continue;
        }
        struct destination to = {record, schema, &s->cases[k], key};
        study_request(w, &s->cases[k], o->seconds, &(struct study_listener){write_checkpoint, &to}, &result);
        bool written = stopped || write_case(&to, &result, record_append);
        if (!stopped) {
            t->failed += result.reason[0] != 0;
            t->done++;
            progress(o, t, start, result.seconds, key, result.reason);
        }
        if (result.reason[0])
            worker_stop(w); /* a device that failed once may fail everything after it */
        study_release(&result);
        if (!written)
            return cannot("%s", record_error()), false;
    }
    return true;
}

/* What a device says of itself goes into the record; what would spoil its times is said at once. */
static void add_device(const struct suite *s, struct worker *w, struct record_schema *schema) {
    char text[DEVICE_TEXT], part[DEVICE_TEXT];
    device_facts(s, w, text);
    provenance_add("device", text, &schema->fact_count);
    for (int k = 0; device_warning(text, k, part, sizeof part); k++)
        fprintf(stderr, "mhcbench: warning: the device: %s\n", part);
}

static int run_suite(const struct suite *s, const struct options *o, struct worker *w, const char *path,
                     const char *command) {
    struct tally t = {0};
    struct record_schema schema;
    int code = check_cases(s, o, w);
    if (code == EXIT_GOOD && stopped)
        code = EXIT_INTERRUPTED;
    if (code == EXIT_GOOD) {
        describe(&schema, recorded_groups(s));
        size_up(&schema, s, o);
        schema.facts = provenance_facts(&schema.fact_count);
        add_device(s, w, &schema);
        schema.command = command;
        schema.suite = s->text;
        schema.program = "mhcbench " PROVENANCE_VERSION;
        schema.agrees = o->resume.anyway ? NULL : origin_agrees;
        struct record *record = record_create(path, &schema, o->resume.wanted, o->overwrite);
        if (!record)
            return cannot("%s", record_error());
        bool good = run_cases(s, o, w, record, &schema, &t);
        if (!record_finish(record, good && !stopped) && good)
            good = (cannot("%s", record_error()), false);
        code = !good ? EXIT_CANNOT : stopped ? EXIT_INTERRUPTED : t.failed ? EXIT_CHECK_FAILED : EXIT_GOOD;
        if (!o->quiet || code == EXIT_CHECK_FAILED || code == EXIT_INTERRUPTED)
            fprintf(stderr, "%s%lld of %lld cases%s in %s%s\n", stopped ? "\ninterrupted: " : "",
                    (long long)(t.done + t.kept), (long long)t.planned, t.failed ? ", some of them failed," : "", path,
                    code == EXIT_INTERRUPTED || code == EXIT_CANNOT ? ".part; --resume goes on from there" : "");
    }
    return code;
}

static void print_cases(const struct suite *s, const struct options *o) {
    for (int64_t k = o->index; k < s->count; k += o->shards) {
        char key[KEY_SIZE];
        params_key(&s->cases[k], key, sizeof key);
        puts(key);
    }
}

int run_command(int argc, char **argv) {
    struct options o;
    struct suite suite;
    struct worker worker = {0};
    char command[4096] = "mhcbench run", why[600], path[4096];
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    for (int k = 0; k < argc; k++)
        snprintf(command + strlen(command), sizeof command - strlen(command), " %s", argv[k]);
    if (!read_options(&o, &argc, argv))
        return EXIT_CANNOT;
    const char *file = argc && argv[0][0] != '-' ? argv[0] : NULL;
    if (!argc)
        return cannot("usage: mhcbench %s", usage);
    if (!suite_read(&suite, file, argv + (file != NULL), argc - (file != NULL), why, sizeof why))
        return cannot("%s", why);
    if (suite.ignored[0] && !o.quiet)
        fprintf(stderr, "mhcbench: note: %s\n", suite.ignored);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int code = EXIT_GOOD;
    output_path(&o, file, path, sizeof path);
    if (!operations_narrow(&suite, &worker, why, sizeof why))
        code = cannot("no case to run: %s", why);
    else if (why[0] && !o.quiet)
        fprintf(stderr, "mhcbench: note: %s\n", why);
    if (code == EXIT_GOOD && o.dry_run)
        print_cases(&suite, &o);
    else if (code == EXIT_GOOD)
        code = run_suite(&suite, &o, &worker, path, command);
    worker_stop(&worker);
    suite_release(&suite);
    return code;
}
