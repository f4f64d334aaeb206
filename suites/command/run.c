/* `mhcbench run`: every case of a suite into one file. */
#include <math.h>
#include <omp.h>
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
#include "suites/command/run_keeping.h"
#include "suites/command/run_cases.h"
#include "suites/command/run_dry.h"
#include "suites/command/run_schema.h"
#include "suites/command/run_share.h"
#include "suites/study/study.h"
#include "suites/case/suite.h"
#include "suites/rows/device.h"
#include "suites/study/fits.h"

enum { KEY_SIZE = 2048 };

static const char usage[] =
    "run [FILE.suite] [case options] [--out FILE.h5] [--overwrite | --resume[=anyway]] [--shard WHICH] "
    "[--jobs N] [--timeout SECONDS] [--checkpoints FOLDER] [--checkpoint-every STEPS] [--maps FOLDER] [--dry-run] [-q]";

static const char help[] =
    "Runs the cases of a suite, or the one case that the options describe, and writes them into one HDF5 file. Case "
    "options behind FILE.suite replace those of its lines; `mhcbench list --options` explains them all.\n\n"
    "  --out FILE.h5      the file to write; default: NAME.h5 for NAME.suite, otherwise case.h5, in the current "
    "folder\n"
    "  --overwrite        replace FILE.h5 if it exists\n"
    "  --resume           continue an interrupted run from FILE.h5.part, or run the failed cases of FILE.h5 again. "
    "Refused if finished cases come from another revision, build, CPU, number of threads, library, input or file of "
    "--from; --resume=anyway accepts them, and every case says where it comes from\n"
    "  --shard I/N        run share I of N, I from 0; the estimates of time decide the cut, and `mhcbench merge` "
    "joins the files. Without this option mpirun, srun and the job arrays of Slurm, LSF and Grid Engine give I and "
    "N. auto/N takes I alone from them (PBS does not give N); none takes every case. Each process then writes "
    "NAME.I-of-N.h5 and takes a GPU by its local rank\n"
    "  --jobs N           compute N cases at once, each in a worker of its own with one thread; with 1 all threads "
    "work on one case. Default: 1 if anything is timed; otherwise one per core if the estimates say that this ends "
    "earlier and the memory suffices\n"
    "  --timeout SECONDS  end a case that takes longer, as failed; default: no limit\n"
    "  --checkpoints FOLDER\n"
    "                     keep a checkpoint of each case of study train; a later run with the same FOLDER continues "
    "from it and ends with the same bits. A checkpoint of another build, text or case is refused, and so is another "
    "number of threads, unless with --resume=anyway. The last one is the trained model: studies maps and propagate "
    "read it with --from\n"
    "  --checkpoint-every STEPS\n"
    "                     steps between checkpoints; default: auto, about one per 30 seconds. The end of a case "
    "always writes one\n"
    "  --maps FOLDER      write the residual maps [L][T][n][n] of each case of study maps to a file in FOLDER\n"
    "  --dry-run          print one line per case, the options that reproduce it, and run none\n"
    "  -q, --quiet        no progress on the terminal\n\n"
    "With --jobs 1 the variables OMP_NUM_THREADS and OPENBLAS_NUM_THREADS hold; OMP_NUM_THREADS also says how many "
    "cores a run may use. With more jobs every worker has one thread. With OMP_NUM_THREADS=1 every N gives the same "
    "bits; otherwise results of cpu32 may differ by rounding between --jobs 1 and more. A case waits if the running "
    "ones leave too little memory for it. The file has the order of the suite.\n\n"
    "--budget bounds the timed rounds of a case alone. Drawing its arrays, the answer of cpu64 and the warm-up come "
    "on top. A small budget therefore hardly shortens small cases; fewer cases do. --input is a path from the "
    "current folder.\n\n"
    "Exit: 0 good, 1 a case failed, 2 cannot do it, 130 interrupted.\n";

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
    (void)signal_number;
    if (stopped)
        _exit(EXIT_INTERRUPTED);
    stopped = 1;
}

struct options {
    const char *out, *shard, *timeout, *jobs;
    struct keeping_options kept;
    struct resume resume;
    bool overwrite, quiet, dry_run;
    struct share share;
    long at_once; /* 0 where the estimates decide */
    double seconds;
    struct study_keeping keeping;
};

static bool read_options(struct options *o, int *argc, char **argv) {
    *o = (struct options){0};
    o->overwrite = take_flag(argc, argv, "--overwrite");
    o->resume = origin_take_resume(argc, argv);
    o->quiet = take_flag(argc, argv, "-q");
    o->quiet = take_flag(argc, argv, "--quiet") || o->quiet;
    o->dry_run = take_flag(argc, argv, "--dry-run");
    if (!take_option(argc, argv, "--out", &o->out) || !take_option(argc, argv, "--shard", &o->shard) ||
        !take_option(argc, argv, "--timeout", &o->timeout) || !take_option(argc, argv, "--jobs", &o->jobs) ||
        !take_option(argc, argv, "--checkpoints", &o->kept.checkpoints) ||
        !take_option(argc, argv, "--checkpoint-every", &o->kept.every) ||
        !take_option(argc, argv, "--maps", &o->kept.maps) || !keeping_read(&o->keeping, &o->kept, o->dry_run))
        return false;
    o->keeping.anyway = o->resume.anyway;
    char rest;
    if (!share_read(&o->share, o->shard))
        return false;
    if (o->jobs && (sscanf(o->jobs, "%ld%c", &o->at_once, &rest) != 1 || o->at_once < 1 || o->at_once > JOBS_MOST))
        return cannot("--jobs %s: a whole number from 1 to %d", o->jobs, JOBS_MOST), false;
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
    share_path(&o->share, o->out, path, size);
}

/* The cases of this shard, with all that is known before the first one runs. */
struct plan {
    struct job *job; /* in the order of the suite */
    int64_t count;
    double bytes; /* free */
    char **key;
    int at_once;
};

static void release_plan(struct plan *plan) {
    for (int64_t k = 0; plan->key && k < plan->count; k++)
        free(plan->key[k]);
    free(plan->key);
    free(plan->job);
}

static int refuse_case(const struct suite *s, int64_t k, const char *why) {
    char key[KEY_SIZE], place[400] = "";
    params_key(&s->cases[k], key, sizeof key);
    if (s->lines[k])
        snprintf(place, sizeof place, "%s:%d: ", s->name, s->lines[k]);
    return cannot("%s%s (%s)", place, why, key);
}

/* Checks the checkpoints that cases would continue from, once the number of threads is known. */
static int check_threads(const struct suite *s, struct options *o, struct worker *w, const struct plan *plan) {
    double needed, available;
    char why[600];
    o->keeping.threads = plan->at_once > 1 ? 1 : omp_get_max_threads();
    for (int64_t k = 0; k < plan->count && o->keeping.folder[0]; k++) {
        const int64_t number = plan->job[k].number;
        if (studies[s->cases[number].study]->resumes &&
            !study_estimate_request(w, &s->cases[number], &o->keeping, &needed, &available, why, sizeof why))
            return stopped ? EXIT_INTERRUPTED : refuse_case(s, number, why);
    }
    return EXIT_GOOD;
}

/* Refuses before the first case what can be refused: shapes that a backend lacks, memory that is missing. */
static int plan_case(const struct suite *s, int64_t k, const struct options *o, struct worker *w, struct plan *plan) {
    struct job *job = &plan->job[plan->count];
    const struct job *last = plan->count ? job - 1 : NULL;
    double needed = 0, available = 0;
    char why[600], key[KEY_SIZE];
    /* Files that a case reads may differ by its seed; memory does not. */
    const bool known = last && !o->keeping.folder[0] && !s->cases[k].from[0] &&
                       jobs_alike(&s->cases[last->number], &s->cases[k]);
    if (known)
        needed = last->bytes, available = INFINITY; /* as has been seen */
    bool good = known || study_estimate_request(w, &s->cases[k], &o->keeping, &needed, &available, why, sizeof why);
    if (stopped)
        return EXIT_INTERRUPTED;
    if (good && needed > MEMORY_SHARE * available) {
        char fits[120];
        fits_text(w, &s->cases[k], fits, sizeof fits);
        snprintf(why, sizeof why, "needs %.3g GB of memory and %.3g GB are free%s", needed * 1e-9, available * 1e-9,
                 fits);
        good = false;
    }
    if (!good)
        return refuse_case(s, k, why);
    plan->bytes = plan->count && plan->bytes < available ? plan->bytes : available;
    params_key(&s->cases[k], key, sizeof key);
    if (!(plan->key[plan->count++] = strdup(key)))
        return cannot("out of memory");
    *job = (struct job){k, jobs_seconds(&s->cases[k], JOBS_RATE), needed, plan->key[plan->count - 1]};
    return EXIT_GOOD;
}

static int make_plan(const struct suite *s, struct options *o, struct worker *w, struct plan *plan) {
    char study[PARAM_TEXT_SIZE];
    int64_t timing = o->at_once > 1 ? jobs_timing(s) : -1;
    time_t told = time(NULL);
    *plan = (struct plan){0};
    if (timing >= 0) {
        params_text(&s->cases[timing], params_find("study"), study, sizeof study);
        return cannot("--jobs %ld: study %s takes times, which are void beside another job; leave --jobs out",
                      o->at_once, study);
    }
    if (!keeping_serves(&o->keeping, s))
        return EXIT_CANNOT;
    *plan = (struct plan){.job = calloc((size_t)s->count + 1, sizeof *plan->job),
                          .key = calloc((size_t)s->count + 1, sizeof *plan->key)};
    int code = plan->job && plan->key ? EXIT_GOOD : cannot("out of memory");
    for (int64_t k = 0; k < s->count && code == EXIT_GOOD; k++) {
        if (!o->share.has[k])
            continue;
        if (!o->quiet && time(NULL) >= told + 2) {
            fprintf(stderr, "estimating: %lld of %lld cases\n", (long long)plan->count, (long long)o->share.cases);
            told = time(NULL);
        }
        code = stopped ? EXIT_INTERRUPTED : plan_case(s, k, o, w, plan);
    }
    plan->bytes /= (double)o->share.launch.local_size; /* the others have theirs */
    plan->at_once = o->at_once > plan->count ? (int)plan->count
                    : o->at_once             ? (int)o->at_once
                                 : jobs_at_once(s, plan->job, plan->count, plan->bytes, omp_get_max_threads());
    code = code == EXIT_GOOD ? check_threads(s, o, w, plan) : code;
    return code == EXIT_GOOD && stopped ? EXIT_INTERRUPTED : code;
}

/* The device's own account goes into the record; what would spoil its times is printed at once. */
static void add_device(const struct suite *s, struct worker *w, struct record_schema *schema) {
    char text[DEVICE_TEXT], part[DEVICE_TEXT];
    device_facts(s, w, text);
    provenance_add("device", text, &schema->fact_count);
    for (int k = 0; device_warning(text, k, part, sizeof part); k++)
        fprintf(stderr, "mhcbench: warning: the device: %s\n", part);
}

/* Runs the cases that the record does not have. */
static bool run_plan(const struct suite *s, const struct options *o, struct worker *w, struct plan *plan,
                     const struct run_destination *to, struct case_run *run) {
    int64_t left = 0;
    for (int64_t k = 0; k < plan->count; k++)
        if (!record_has(to->record, plan->key[k]))
            plan->job[left++] = plan->job[k];
    *run = (struct case_run){.suite = s, .job = plan->job, .count = left, .kept = plan->count - left};
    run->at_once = plan->at_once < left ? plan->at_once : left ? (int)left : 1;
    run->single = plan->at_once > 1;
    run->bytes = MEMORY_SHARE * plan->bytes;
    run->timeout = o->seconds;
    run->quiet = o->quiet;
    run->keeping = &o->keeping;
    run->stopped = &stopped;
    run->write = run_write_case;
    run->commit = run_commit;
    run->user = (void *)to;
    jobs_order(plan->job, left, run->at_once);
    return run_cases(run, w);
}

/* How the cases run, for the record. */
static void add_jobs(const struct plan *plan, struct record_schema *schema) {
    char text[32];
    snprintf(text, sizeof text, "%d", plan->at_once);
    provenance_add("jobs", text, &schema->fact_count);
    snprintf(text, sizeof text, "%d", plan->at_once > 1 ? 1 : omp_get_max_threads());
    provenance_add("omp_threads", text, &schema->fact_count);
}

/* Whether this run may continue an earlier record; `user`: the options. */
static bool agrees(void *user, struct record_reader *earlier, char *why, size_t why_size) {
    const struct options *o = user;
    return share_agrees(&o->share, earlier, why, why_size) &&
           (o->resume.anyway || origin_agrees(NULL, earlier, why, why_size));
}

static int write_record(const struct suite *s, const struct options *o, struct worker *w, struct plan *plan,
                        const char *path, const char *command) {
    struct record_schema schema;
    struct case_run run;
    run_schema(&schema, s);
    schema.cases = plan->count;
    schema.keys = (const char *const *)plan->key;
    schema.facts = provenance_facts(&schema.fact_count);
    add_jobs(plan, &schema);
    provenance_add(SHARE_FACT, o->share.text, &schema.fact_count);
    add_device(s, w, &schema);
    schema.command = command;
    schema.suite = s->text;
    schema.program = "mhcbench " PROVENANCE_VERSION;
    schema.agrees = agrees;
    schema.user = (void *)o;
    struct record *record = record_create(path, &schema, o->resume.wanted, o->overwrite);
    if (!record && o->share.count > 1 && strstr(record_error(), RECORD_NOTHING_LEFT)) {
        if (!o->quiet)
            fprintf(stderr, "%s: nothing is left of shard %s\n", path, o->share.text);
        return EXIT_GOOD; /* all processes of a launcher are told to resume */
    }
    if (!record)
        return cannot("%s", record_error());
    if (*record_unlocked(record))
        fprintf(stderr,
                "mhcbench: note: %s: the file system has no locks (%s): two processes that write it are not told "
                "apart\n",
                path, record_unlocked(record));
    bool good = run_plan(s, o, w, plan, &(struct run_destination){record, &schema}, &run);
    if (!record_finish(record, good && !stopped) && good)
        good = (cannot("%s", record_error()), false);
    int code = !good ? EXIT_CANNOT : stopped ? EXIT_INTERRUPTED : run.failed ? EXIT_CHECK_FAILED : EXIT_GOOD;
    char diverged[80] = "";
    if (run.diverged)
        snprintf(diverged, sizeof diverged, ", %lld of them diverged,", (long long)run.diverged);
    if (!o->quiet || code == EXIT_CHECK_FAILED || code == EXIT_INTERRUPTED)
        fprintf(stderr, "%s%lld of %lld cases%s%s in %s%s\n", stopped ? "\ninterrupted: " : "",
                (long long)(run.done + run.kept), (long long)plan->count, run.failed ? ", some of them failed," : "",
                diverged, path,
                code == EXIT_INTERRUPTED || code == EXIT_CANNOT ? ".part; --resume goes on from there" : "");
    return code;
}

static int run_suite(const struct suite *s, struct options *o, struct worker *w, const char *path,
                     const char *command) {
    struct plan plan;
    int code = make_plan(s, o, w, &plan);
    if (code == EXIT_GOOD)
        code = write_record(s, o, w, &plan, path, command);
    release_plan(&plan);
    return code;
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
    launch_take_device(&o.share.launch);
    if (!operations_narrow(&suite, &worker, why, sizeof why))
        code = cannot("no case to run: %s", why);
    else if (why[0] && !o.quiet)
        fprintf(stderr, "mhcbench: note: %s\n", why);
    if (code == EXIT_GOOD && !share_cut(&o.share, &suite))
        code = EXIT_CANNOT;
    if (code == EXIT_GOOD && !o.quiet)
        share_tell(&o.share, &suite, path);
    if (code == EXIT_GOOD && o.dry_run)
        code = run_dry(&suite, o.share.has);
    else if (code == EXIT_GOOD)
        code = run_suite(&suite, &o, &worker, path, command);
    worker_stop(&worker);
    suite_release(&suite);
    share_release(&o.share);
    return code;
}
