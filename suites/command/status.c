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

/* A suite and its cut; those of one sweep have one. */
struct cut {
    char *text;
    struct suite suite;
    int64_t shards;
    int32_t *of;    /* [cases] */
    int64_t *cost;  /* [cases] */
    char **line;    /* [cases], of `lines` */
    int64_t *order; /* [cases], by line */
    char *lines;
};

/* What is said of a file. */
struct state {
    const char *name;
    int64_t index, shards; /* shards 1: all of a suite */
    int64_t done, failed, cases;
    double rate, left; /* cases per second while it ran; seconds to the end, NaN-free, 0 where it is complete */
};

static void cut_release(struct cut *c) {
    suite_release(&c->suite);
    free(c->text);
    free(c->of);
    free(c->cost);
    free(c->line);
    free(c->order);
    free(c->lines);
    *c = (struct cut){0};
}

static struct cut *sorting;
static int by_line(const void *a, const void *b) {
    return strcmp(sorting->line[*(const int64_t *)a], sorting->line[*(const int64_t *)b]);
}

/* The cut of a file's suite, kept for the next. false: one line in `why`. */
static bool cut_for(struct cut *c, const char *text, int64_t shards, char *why, size_t why_size) {
    if (c->text && !strcmp(c->text, text) && c->shards == shards)
        return true;
    cut_release(c);
    if (!suite_read_text(&c->suite, text, why, why_size))
        return false;
    const size_t count = (size_t)c->suite.count + 1;
    c->shards = shards;
    c->text = strdup(text);
    c->lines = strdup(text);
    c->of = calloc(count, sizeof *c->of);
    c->cost = calloc(count, sizeof *c->cost);
    c->line = calloc(count, sizeof *c->line);
    c->order = calloc(count, sizeof *c->order);
    if (!c->text || !c->lines || !c->of || !c->cost || !c->line || !c->order ||
        !shares_cut(&c->suite, shards, c->of, NULL))
        return snprintf(why, why_size, "out of memory"), false;
    char *rest = NULL;
    int64_t lines = 0;
    for (char *at = strtok_r(c->lines, "\n", &rest); at && lines < c->suite.count; at = strtok_r(NULL, "\n", &rest)) {
        c->order[lines] = lines;
        c->cost[lines] = shares_cost(&c->suite.cases[lines]);
        c->line[lines++] = at;
    }
    if (lines != c->suite.count)
        return snprintf(why, why_size, "its suite is not one line per case"), false;
    sorting = c;
    qsort(c->order, (size_t)lines, sizeof *c->order, by_line);
    return true;
}

/* The place of a case in the suite; -1: it is not in it. */
static int64_t find_line(const struct cut *c, const char *key) {
    int64_t from = 0, to = c->suite.count;
    while (from < to) {
        const int64_t middle = from + (to - from) / 2;
        if (strcmp(c->line[c->order[middle]], key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < c->suite.count && !strcmp(c->line[c->order[from]], key) ? c->order[from] : -1;
}

static int64_t jobs_of(struct record_reader *r) {
    const char *name, *value;
    for (int k = 0; k < record_fact_count(r); k++)
        if (record_fact(r, k, &name, &value) && !strcmp(name, "jobs") && atoll(value) > 0)
            return atoll(value);
    return 1;
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
    double busy = 0, cost = 0, left = 0;
    *s = (struct state){.name = name_of(r, path)};
    read_share(share_fact(r), s);
    if (!text || !key || !status || !seconds)
        return snprintf(why, why_size, "%s", text ? record_error() : "it does not say its suite"), false;
    if (!cut_for(c, text, s->shards, why, why_size))
        return false;
    for (int64_t k = 0; k < c->suite.count; k++)
        if (c->of[k] == s->index) {
            s->cases++;
            left += 1e-6 * (double)c->cost[k];
        }
    for (int64_t k = 0; k < record_count(r); k++) {
        const int64_t at = find_line(c, key[k]);
        s->done += !strcmp(status[k], "done");
        s->failed += !strcmp(status[k], "failed");
        busy += seconds[k] > 0 ? seconds[k] : 0;
        cost += at >= 0 ? 1e-6 * (double)c->cost[at] : 0;
    }
    const double jobs = (double)jobs_of(r), scale = cost > 0 && busy > 0 ? busy / cost : 1;
    s->left = record_complete(r) || left < cost ? 0 : scale * (left - cost) / jobs;
    s->rate = busy > 0 ? jobs * (double)(s->done + s->failed) / busy : 0;
    return true;
}

static void put_left(double seconds, char text[40]) {
    const long s = seconds < 1e8 ? (long)(seconds + 0.5) : 100000000;
    snprintf(text, 40, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* What several files are together; `seen` [shards] of one sweep. */
struct sum {
    int files, running;
    int64_t done, failed, cases, shards;
    double rate, left;
    bool *seen, mixed;
};

static bool add_file(struct sum *sum, const struct state *s) {
    if (!sum->files) {
        sum->shards = s->shards;
        sum->seen = calloc((size_t)s->shards, sizeof *sum->seen);
        if (!sum->seen)
            return false;
    }
    sum->mixed = sum->mixed || s->shards != sum->shards;
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

/* `cases` of the suite, of which all files are where they have one cut. */
static void print_sum(const struct sum *sum, int64_t cases) {
    char left[40];
    put_left(sum->left, left);
    printf("\n%d files, %d running: %lld of %lld cases done, %lld failed", sum->files, sum->running,
           (long long)sum->done, (long long)(sum->mixed || sum->shards < 2 ? sum->cases : cases),
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
        "The state of a sweep, also while it is being written: one line per file, and their sum. The time left "
        "follows from the\n"
        "estimates of the cases, in the measure of those done. stopped: its process has gone without a word; run it "
        "again with\n"
        "--resume. NAME.h5 stands for NAME.h5.part while that is all there is.\n\n"
        "Exit: 0 all files can be read, 2 not.\n";
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
        char path[4096], why[600], left[40], shard[48] = "";
        struct state s;
        struct record_reader *r = open_either(argv[k], path, sizeof path);
        if (!r)
            snprintf(why, sizeof why, "%s", record_error());
        if (!r || !look(r, path, &cut, &s, why, sizeof why) || !add_file(&sum, &s)) {
            code = cannot("%s%s%s", r ? path : "", r ? ": " : "", why);
            record_close(r);
            continue;
        }
        put_left(s.left, left);
        if (s.shards > 1)
            snprintf(shard, sizeof shard, "%lld/%lld", (long long)s.index, (long long)s.shards);
        printf("%-12s %-11s %9lld %7lld %9lld %9.3g %10s  %s\n", s.name, shard, (long long)s.done, (long long)s.failed,
               (long long)s.cases, s.rate, strcmp(s.name, "complete") ? left : "", path);
        record_close(r);
    }
    if (sum.files > 1)
        print_sum(&sum, cut.suite.count);
    free(sum.seen);
    cut_release(&cut);
    return code;
}
