/* `mhcbench status`: the state of a sweep, also while its files are being written. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "results/record.h"
#include "suites/case/options.h"
#include "suites/command/commands.h"
#include "suites/command/run_share.h"
#include "suites/study/shares.h"
#include "suites/worker/progress.h"

/* A case of a suite: its text, which is its key, and its estimate. */
struct line {
    const char *text;
    int64_t cost; /* microseconds */
};

/* A suite and its cut, shared by the files of one sweep. */
struct cut {
    char *text;
    struct suite suite;
    int64_t shards;
    int32_t *of;       /* [cases] */
    int64_t *load;     /* [shards], microseconds */
    struct line *line; /* [cases], by text, which is in `lines` */
    char *lines;
};

/* The state of a file. */
struct state {
    const char *name;
    int64_t index, shards;              /* shards 1: all of a suite */
    int64_t done, failed, cases, suite; /* suite: cases of all shards */
    double rate, left;                  /* cases per second while it ran; seconds to the end, 0 where it is complete */
};

static void cut_release(struct cut *c) {
    suite_release(&c->suite);
    free(c->text);
    free(c->of);
    free(c->load);
    free(c->line);
    free(c->lines);
    *c = (struct cut){0};
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const struct line *)a)->text, ((const struct line *)b)->text);
}

static bool cut_make(struct cut *c, const char *text, int64_t shards, char *why, size_t why_size) {
    if (!suite_read_text(&c->suite, text, why, why_size))
        return false;
    const size_t count = (size_t)c->suite.count + 1;
    c->shards = shards;
    c->text = strdup(text);
    c->lines = strdup(text);
    c->of = calloc(count, sizeof *c->of);
    c->load = calloc((size_t)shards, sizeof *c->load);
    c->line = calloc(count, sizeof *c->line);
    if (!c->text || !c->lines || !c->of || !c->load || !c->line || !shares_cut(&c->suite, shards, c->of, c->load))
        return snprintf(why, why_size, "out of memory"), false;
    char *rest = NULL;
    int64_t lines = 0;
    for (char *at = strtok_r(c->lines, "\n", &rest); at && lines < c->suite.count; at = strtok_r(NULL, "\n", &rest)) {
        c->line[lines] = (struct line){at, shares_cost(&c->suite.cases[lines])};
        lines++;
    }
    if (lines != c->suite.count)
        return snprintf(why, why_size, "its suite is not one line per case"), false;
    qsort(c->line, (size_t)lines, sizeof *c->line, by_text);
    return true;
}

/* The cut of a file's suite, kept for the next. false: one line in `why`. */
static bool cut_for(struct cut *c, const char *text, int64_t shards, char *why, size_t why_size) {
    if (c->text && !strcmp(c->text, text) && c->shards == shards)
        return true;
    cut_release(c);
    const bool good = cut_make(c, text, shards, why, why_size);
    if (!good)
        cut_release(c); /* another file of that suite must not take an incomplete cut for the whole one */
    return good;
}

static int64_t jobs_of(struct record_reader *r) {
    const char *jobs = record_fact_called(r, "jobs");
    return jobs && atoll(jobs) > 0 ? atoll(jobs) : 1;
}

/* "3/10", and nothing else; shards 1: all of the suite. */
static void read_share(const char *fact, struct state *s) {
    char rest;
    if (sscanf(fact, "%" SCNd64 "/%" SCNd64 "%c", &s->index, &s->shards, &rest) != 2 || s->index < 0 ||
        s->index >= s->shards || s->shards > SHARES_MOST)
        s->index = 0, s->shards = 1;
}

static const char *name_of(struct record_reader *r, const char *path) {
    enum { LATELY = 10 }; /* seconds; where there are no locks */
    struct stat file;
    if (record_complete(r))
        return "complete";
    const enum record_holding holding = record_holding(path);
    const char *status = record_attribute(r, "status");
    if (holding == RECORD_HELD)
        return "running";
    if (status && strcmp(status, "running"))
        return "interrupted";
    const bool lately = !stat(path, &file) && time(NULL) - file.st_mtime < LATELY;
    return holding == RECORD_NO_LOCKS && lately ? "running" : "stopped";
}

static bool look(struct record_reader *r, const char *path, struct cut *c, struct state *s, char *why,
                 size_t why_size) {
    const char *text = record_attribute(r, "suite");
    const char *const *key = record_texts(r, "key"), *const *status = record_texts(r, "status");
    const double *seconds = record_reals(r, "seconds");
    double busy = 0, cost = 0;
    *s = (struct state){.name = name_of(r, path)};
    read_share(share_fact(r), s);
    if (!text || !key || !status || !seconds)
        return snprintf(why, why_size, "%s", text ? record_error() : "it does not say its suite"), false;
    if (!cut_for(c, text, s->shards, why, why_size))
        return false;
    s->suite = c->suite.count;
    for (int64_t k = 0; k < c->suite.count; k++)
        s->cases += c->of[k] == s->index;
    const double all = 1e-6 * (double)c->load[s->index];
    for (int64_t k = 0; k < record_count(r); k++) {
        if (record_cut_off(r, k))
            continue; /* interrupted or running: open, as it was */
        const struct line *line = bsearch(&(struct line){.text = key[k]}, c->line, (size_t)c->suite.count,
                                          sizeof *c->line, by_text);
        s->done += !strcmp(status[k], "done");
        s->failed += !strcmp(status[k], "failed");
        busy += seconds[k] > 0 ? seconds[k] : 0;
        cost += line ? 1e-6 * (double)line->cost : 0;
    }
    const double jobs = (double)jobs_of(r), scale = cost > 0 && busy > 0 ? busy / cost : 1;
    s->left = record_complete(r) || all < cost ? 0 : scale * (all - cost) / jobs;
    s->rate = busy > 0 ? jobs * (double)(s->done + s->failed) / busy : 0;
    return true;
}

/* The sum of several files; `seen` [shards] is of one sweep. */
struct sum {
    int files, running;
    int64_t done, failed, cases, shards, suite;
    double rate, left;
    bool *seen, mixed; /* mixed: they are not of one sweep */
};

static bool add_file(struct sum *sum, const struct state *s) {
    if (!sum->files) {
        sum->shards = s->shards;
        sum->suite = s->suite;
        sum->seen = calloc((size_t)s->shards, sizeof *sum->seen);
        if (!sum->seen)
            return false;
    }
    sum->mixed = sum->mixed || s->shards != sum->shards || s->suite != sum->suite;
    if (!sum->mixed)
        sum->seen[s->index] = true;
    sum->files++;
    sum->done += s->done;
    sum->failed += s->failed;
    sum->cases += s->cases;
    if (!strcmp(s->name, "running")) {
        sum->running++;
        sum->rate += s->rate;
        sum->left = s->left > sum->left ? s->left : sum->left;
    }
    return true;
}

static void print_sum(const struct sum *sum) {
    char left[CLOCK_SIZE];
    clock_text(sum->left, left);
    printf("\n%d files, %d running: %lld of %lld cases done, %lld failed", sum->files, sum->running,
           (long long)sum->done, (long long)(sum->mixed || sum->shards < 2 ? sum->cases : sum->suite),
           (long long)sum->failed);
    if (sum->running)
        printf(", %.3g cases/s, ETA %s", sum->rate, left);
    printf("\n");
    if (sum->mixed || sum->shards < 2)
        return;
    int64_t missing = 0;
    for (int64_t k = 0; k < sum->shards; k++)
        missing += !sum->seen[k];
    if (missing)
        printf("no file of %lld of %lld shards:", (long long)missing, (long long)sum->shards);
    for (int64_t k = 0, named = 0; missing && k < sum->shards; k++)
        if (!sum->seen[k] && named++ < 20)
            printf(" %lld", (long long)k);
    if (missing)
        printf("%s\n", missing > 20 ? " ..." : "");
}

/* A run in progress has PATH.part, whichever of its names is given. */
static struct record_reader *open_either(const char *path, char *found, size_t size) {
    struct stat file;
    snprintf(found, size, "%s", path);
    if (stat(path, &file))
        snprintf(found, size, "%s.part", path);
    if (stat(found, &file) && strlen(path) > 5 && !strcmp(path + strlen(path) - 5, ".part"))
        snprintf(found, size, "%.*s", (int)strlen(path) - 5, path); /* it ended since the shell saw it */
    return record_open(found);
}

int status_command(int argc, char **argv) {
    static const char usage[] = "status FILE.h5[.part]...";
    static const char help[] =
        "Says how far a sweep is, also while its files are written: one line per file, then the sum. ETA is the "
        "estimate of the open cases, scaled by how long the finished ones took beside theirs. The state `stopped` "
        "means that the process ended without saying why; run it again with --resume. NAME.h5 stands for "
        "NAME.h5.part as long as there is no NAME.h5.\n\n"
        "Exit: 0 all files can be read, 2 one cannot.\n";
    if (help_asked(&argc, argv, usage, help))
        return EXIT_GOOD;
    if (!only_positional(argc, argv, 1, 1 << 20, usage))
        return EXIT_CANNOT;
    struct cut cut = {0};
    struct sum sum = {0};
    int code = EXIT_GOOD;
    printf("%-12s %-11s %9s %7s %9s %9s %10s  %s\n", "state", "shard", "done", "failed", "of", "cases/s", "ETA",
           "file");
    for (int k = 0; k < argc; k++) {
        char path[4096], why[600], left[CLOCK_SIZE], shard[48] = "";
        struct state s;
        struct record_reader *r = open_either(argv[k], path, sizeof path);
        if (!r)
            snprintf(why, sizeof why, "%s", record_error());
        if (!r || !look(r, path, &cut, &s, why, sizeof why) || !add_file(&sum, &s)) {
            code = cannot("%s%s%s", r ? path : "", r ? ": " : "", why);
            record_close(r);
            continue;
        }
        clock_text(s.left, left);
        if (s.shards > 1)
            snprintf(shard, sizeof shard, "%lld/%lld", (long long)s.index, (long long)s.shards);
        printf("%-12s %-11s %9lld %7lld %9lld %9.3g %10s  %s\n", s.name, shard, (long long)s.done, (long long)s.failed,
               (long long)s.cases, s.rate, strcmp(s.name, "complete") ? left : "", path);
        record_close(r);
    }
    if (sum.files > 1)
        print_sum(&sum);
    free(sum.seen);
    cut_release(&cut);
    return code;
}
