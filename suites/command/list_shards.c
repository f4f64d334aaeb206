#include "suites/command/list_shards.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/record.h"
#include "suites/case/help.h"
#include "suites/study/jobs.h"
#include "suites/study/shares.h"

/* What the model takes for granted. Seen on one machine with small files; a parallel file system has its own. Bytes are
 * of finished files: of a timed case, and of a file, by the sizes for 2 and for 7 seeds of
 *     mhcbench run --study overhead --backend cpu32 --width 16 --tokens 8 --depth 1 --budget 2 --seed 1:2:1
 * whose cases have all 300 rounds (27.1 kB, 0.96 MB); of one with summaries alone by 32 and 1,024 seeds of
 *     mhcbench run --study maps --depth 60 --alpha 0 --record summary --seed 1:32:1
 * (0.35 kB); of one with curves by variants.suite, 60 layers with mixing matrices (9.16 MB, 204 cases). */
static const struct {
    double file_bytes;                            /* beside the text of its suite */
    double timed_bytes, curve_bytes, other_bytes; /* of a case */
    double writes;                                /* flushes of a finished case */
    double merge_case, merge_file;                /* seconds of merging */
    double open_bytes;                            /* of memory for each part that merging has open, beside its text */
    double gathered, merge_case_bytes;            /* and for the cases */
    double start;                                 /* seconds until a process computes, beside reading the suite */
} assumed = {1e6, 27e3, 42e3, 350, 2, 1e-3, 0.13, 6e6, 64e6, 1.5e3, 1};

/* A suite and what its cases cost, estimated once. */
struct sweep {
    const struct suite *suite;
    int64_t *cost;
    double reading; /* seconds of the suite's reading */
};

struct outcome {
    int64_t shards;
    double longest, mean, wall; /* seconds */
    double bytes, merge_seconds, merge_bytes, writes;
};

static double case_bytes(const struct params *p) {
    return params_has(p, STUDY_TIMES)   ? assumed.timed_bytes
           : p->record == RECORD_CURVES ? assumed.curve_bytes
                                        : assumed.other_bytes;
}

static bool simulate(const struct sweep *sweep, int64_t shards, struct outcome *o) {
    const struct suite *s = sweep->suite;
    int32_t *of = malloc(((size_t)s->count + 1) * sizeof *of);
    int64_t *load = malloc((size_t)shards * sizeof *load);
    const bool good = of && load && shares_cut_costs(sweep->cost, s->count, shards, of, load);
    const double cases = (double)s->count, files = (double)shards;
    *o = (struct outcome){.shards = shards};
    for (int64_t k = 0; good && k < shards; k++) {
        o->longest = fmax(o->longest, 1e-6 * (double)load[k]);
        o->mean += 1e-6 * (double)load[k] / files;
    }
    free(of);
    free(load);
    o->wall = assumed.start + sweep->reading + o->longest;
    o->bytes = files * (assumed.file_bytes + (double)strlen(s->text));
    for (int64_t k = 0; k < s->count; k++)
        o->bytes += case_bytes(&s->cases[k]);
    o->merge_seconds = files * assumed.merge_file + cases * assumed.merge_case;
    o->merge_bytes = fmin(files, RECORD_PARTS_OPEN) * (assumed.open_bytes + (double)strlen(s->text)) +
                     assumed.gathered + cases * assumed.merge_case_bytes;
    o->writes = o->wall > 0 ? assumed.writes * cases / o->wall : 0;
    return good;
}

static void put_seconds(double seconds, char text[24]) {
    if (seconds < 120)
        snprintf(text, 24, "%.3g s", seconds);
    else if (seconds < 7200)
        snprintf(text, 24, "%.3g min", seconds / 60);
    else
        snprintf(text, 24, "%.3g h", seconds / 3600);
}

static void print_row(const struct outcome *o) {
    char wall[24], longest[24], merge[24];
    put_seconds(o->wall, wall);
    put_seconds(o->longest, longest);
    put_seconds(o->merge_seconds, merge);
    printf("%8lld  %9s  %9s  %8.1f %%  %9.3g GB  %9.3g/s  %9s  %8.3g GB\n", (long long)o->shards, wall, longest,
           o->wall > 0 ? 100 * o->mean / o->wall : 0, 1e-9 * o->bytes, o->writes, merge, 1e-9 * o->merge_bytes);
}

/* The limits that a sweep of that many meets, the nearest first. */
static void print_limits(const struct sweep *sweep, const struct outcome *o) {
    const double files = (double)o->shards, text = files * (double)strlen(sweep->suite->text);
    double longest_case = 0;
    for (int64_t k = 0; k < sweep->suite->count; k++)
        longest_case = fmax(longest_case, 1e-6 * (double)sweep->cost[k]);
    const struct {
        double load; /* 1: the limit is reached */
        const char *what;
    } limit[] = {
        {longest_case / fmax(o->mean, 1e-9), "the longest case is longer than a mean share: fewer processes"},
        {(assumed.start + sweep->reading) / fmax(o->mean, 1e-9),
         "starting and reading the suite take as long as a share: fewer processes"},
        {o->merge_bytes / 16e9, "merging needs more than 16 GB"},
        {text / fmax(o->bytes - text, 1), "the suite's text, once in every file, is most of the bytes"},
        {o->writes / 2e4, "20,000 flushes per second: one metadata server may do no more"},
        {files / 1e4, "10,000 files in one folder, made in the same second: a folder for each thousand"},
    };
    enum { LIMITS = sizeof limit / sizeof *limit };
    bool said[LIMITS] = {false};
    printf("\nWhat breaks first with %lld processes (share of each limit that is used):\n", (long long)o->shards);
    for (int turn = 0; turn < LIMITS; turn++) {
        int next = -1;
        for (int k = 0; k < LIMITS; k++)
            if (!said[k] && (next < 0 || limit[k].load > limit[next].load))
                next = k;
        said[next] = true;
        printf("  %7.3g %%  %s\n", 100 * limit[next].load, limit[next].what);
    }
}

bool list_shards(const struct suite *s, int64_t shards, double reading) {
    struct sweep sweep = {s, shares_costs(s), reading};
    struct outcome o;
    bool good = sweep.cost != NULL;
    char text[600];
    snprintf(text, sizeof text,
             "MODEL, not measured: each process has one thread of %.3g operations per second, or a GPU where cases are "
             "bounded by --budget; %.3g MB per file; per case %.3g kB if timed, %.3g with curves, else %.3g; %.3g s to "
             "start; merging takes %.3g ms per case and %.3g ms per file. Reading the suite took %.3g s here, and "
             "every process does it.",
             JOBS_RATE, 1e-6 * assumed.file_bytes, 1e-3 * assumed.timed_bytes, 1e-3 * assumed.curve_bytes,
             1e-3 * assumed.other_bytes, assumed.start, 1e3 * assumed.merge_case, 1e3 * assumed.merge_file, reading);
    printf("\n");
    help_fill(0, 0, text);
    printf("\n%8s  %9s  %9s  %10s  %12s  %11s  %9s  %11s\n", "shards", "end", "longest", "busy", "all files", "flushes",
           "merge", "its memory");
    for (int64_t n = 1; good; n = n * 10 < shards ? n * 10 : shards) {
        good = simulate(&sweep, n, &o);
        if (good)
            print_row(&o);
        if (n == shards)
            break;
    }
    if (good)
        print_limits(&sweep, &o);
    free(sweep.cost);
    return good;
}
