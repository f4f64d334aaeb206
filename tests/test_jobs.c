/* Several cases at once: the values and the order of the file are those of one at a time, and an end costs only the
 * cases that it hits. */
#include "tests/command.h"

#include <errno.h>
#include <math.h>
#include <time.h>

#include "results/record.h"
#include "suites/study/jobs.h"

TestSuite(jobs, .init = enter, .fini = leave, .timeout = 1800);

static const char mixed_suite[] = "set --study maps --alpha 0 --depth 12 --tokens 3\n"
                                  "--block hc --seed 1:5:1\n"
                                  "--block mhc --d 12 --s 7 --w 1 --t-max 5,20 --seed 1:3:1\n"
                                  "set --study propagate --width 16 --tokens 12 --alpha 0.1 --depth 5\n"
                                  "--block resnet,hc,mhc,identity --branch linear,mlp --backend cpu64,cpu32\n"
                                  "--block mhc --depth 40 --width 64\n";
/* Two cases take longer than a test waits, the others a moment. */
static const char endless_suite[] = "set --study maps --block mhc --measure gain\n"
                                    "--depth 4 --seed 1:4:1\n"
                                    "--depth 60 --tokens 4096 --t-max 1000000 --seed 1:2:1\n"
                                    "--block hc --depth 4 --seed 1:4:1\n";
/* Five cases take about a second each, the others a moment. */
static const char long_suite[] = "set --study maps --block mhc --measure gain\n"
                                 "--depth 4 --seed 1:4:1\n"
                                 "--depth 60 --tokens 64 --t-max 60000 --seed 1:5:1\n"
                                 "--block hc --depth 4 --seed 1:4:1\n";
enum { WORKERS = 3, MOMENTS = 8, LONG_CASES = 13 };

static void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

static int workers_of(pid_t parent, pid_t worker[WORKERS]) {
    char path[64], text[256];
    int count = 0, length;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    read_all(path, text, sizeof text);
    for (const char *at = text; count < WORKERS && sscanf(at, "%d%n", &worker[count], &length) == 1; at += length)
        count++;
    return count;
}

/* Starts a run and waits until it has so many workers at cases; the one that estimates is gone before the file is. */
static pid_t start_and_wait(const char *command, const char *part, int count, pid_t worker[WORKERS]) {
    pid_t child = start(command);
    for (int k = 0; k < 1000 && (!exists(part) || workers_of(child, worker) < count); k++)
        pause_for(0.02);
    cr_assert(workers_of(child, worker) == count, "%s: not %d workers", command, count);
    return child;
}

static void expect_gone(const pid_t *worker, int count) {
    for (int w = 0; w < count; w++) {
        for (int k = 0; k < 200 && !kill(worker[w], 0); k++)
            pause_for(0.02);
        cr_expect(kill(worker[w], 0) && errno == ESRCH, "a worker outlives its parent");
    }
}

/* Cases in the file of a run that goes on: without touching what it prints. */
static int done_meanwhile(const char *part) {
    char command[200];
    int done = 0;
    snprintf(command, sizeof command, "$M export %s 2>/dev/null | grep -c ,done,", part);
    FILE *file = popen(command, "r");
    cr_assert(file && fscanf(file, "%d", &done) == 1);
    pclose(file);
    return done;
}

/* Every value and the order of the rows; seconds are another matter. */
static void expect_equal(const char *a, const char *b) {
    GOOD("for f in %s %s; do"
         "  $M export $f | grep -v '^#' | cut -d, -f1-4,6- >$f.cases &&"
         "  $M export $f --what curves | grep -v '^#' >$f.curves || exit 1; done;"
         "test $(wc -l <%s.curves) -gt 1 && cmp %s.cases %s.cases && cmp %s.curves %s.curves",
         a, b, a, a, b, a, b);
    GOOD("$M compare %s %s", a, b);
}

Test(jobs, values_and_order_do_not_depend_on_them) {
    write_text("mixed.suite", mixed_suite);
    const char *const jobs[] = {"1", "2", "3", "480"};
    for (int k = 0; k < 4; k++) {
        GOOD("$M run mixed.suite --out j%s.h5 --jobs %s -q", jobs[k], jobs[k]);
        expect_equal("j1.h5", k ? (const char *[]){"j2.h5", "j3.h5", "j480.h5"}[k - 1] : "j1.h5");
    }
    GOOD("$M run mixed.suite --out s0.h5 --shard 0/2 --jobs 2 -q && "
         "$M run mixed.suite --out s1.h5 --shard 1/2 --jobs 2 -q && $M merge merged.h5 s0.h5 s1.h5");
    expect_same_results("merged.h5", "j1.h5");
    GOOD("OMP_NUM_THREADS=3 $M run mixed.suite --out default.h5 && OMP_NUM_THREADS=3 $M list mixed.suite");
    cr_expect(strstr(out, "3 cases at once"), "%s", out);
    expect_equal("default.h5", "j1.h5");
}

Test(jobs, a_killed_worker_costs_its_case) {
    write_text("long.suite", long_suite);
    srandom(7);
    for (int trial = 0; trial < 3; trial++) {
        pid_t worker[WORKERS];
        pid_t child = start_and_wait("exec $M run long.suite --out a.h5 --jobs 3 --overwrite", "a.h5.part", 3, worker);
        pause_for(0.1 + 0.1 * (double)trial);
        cr_assert(!kill(worker[random() % WORKERS], SIGKILL));
        int code = result_of(child);
        cr_expect(code == 1 && strstr(err, "worker was killed"), "exit %d\n%s", code, err);
        GOOD("$M export a.h5 | grep -v '^#' | grep -c ,done,");
        cr_expect(atoi(out) == LONG_CASES - 1, "%s of %d cases", out, LONG_CASES);
        expect_gone(worker, WORKERS);
    }
    GOOD("mv a.h5 a.h5.part && $M run long.suite --out a.h5 --resume --jobs 2 -q && "
         "$M run long.suite --out whole.h5 -q");
    expect_equal("a.h5", "whole.h5");
}

Test(jobs, a_killed_parent_leaves_no_worker_and_a_file_to_resume) {
    write_text("long.suite", long_suite);
    GOOD("$M run long.suite --out whole.h5 --jobs 1 -q");
    const char *command = "exec $M run long.suite --out a.h5 --jobs 3 -q";
    for (int trial = 0; trial < 3; trial++) {
        pid_t worker[WORKERS];
        pid_t child = start_and_wait(command, "a.h5.part", 3, worker);
        pause_for(0.2 + 0.3 * (double)trial);
        kill(child, SIGKILL);
        int code = result_of(child);
        expect_gone(worker, WORKERS);
        if (code == 0) /* it was faster */
            break;
        cr_expect(code == 128 + SIGKILL);
        GOOD("$M show a.h5.part");
        command = "exec $M run long.suite --out a.h5 --jobs 3 -q --resume";
    }
    if (!exists("a.h5"))
        GOOD("$M run long.suite --out a.h5 --jobs 2 -q --resume");
    expect_equal("a.h5", "whole.h5");
}

Test(jobs, interrupted) {
    pid_t worker[WORKERS];
    write_text("endless.suite", endless_suite);
    pid_t child = start_and_wait("exec $M run endless.suite --out a.h5 --jobs 3", "a.h5.part", 3, worker);
    for (int k = 0; k < 500 && done_meanwhile("a.h5.part") < MOMENTS; k++)
        pause_for(0.05);
    pause_for(3); /* for a line of progress: there is one every two seconds */
    kill(child, SIGINT);
    int code = result_of(child);
    cr_expect(code == 130 && strstr(err, "interrupted") && strstr(err, "8 of 10 cases") && strstr(err, ", 2 running]"),
              "exit %d\n%s", code, err);
    expect_gone(worker, WORKERS);
    GOOD("$M show a.h5.part");
    cr_expect(strstr(out, "8 cases, 0 failed") && strstr(out, "NOT COMPLETE"), "%s", out);
    code = sh("$M run endless.suite --out a.h5 --jobs 3 --resume --timeout 1");
    cr_expect(code == 1 && strstr(err, "time limit of 1 s") && strstr(err, "10 of 10 cases"), "exit %d\n%s", code, err);
    GOOD("$M export a.h5 | grep -v '^#' | grep -c ,done,");
    cr_expect(atoi(out) == MOMENTS);
}

/* ---- with training ---- */

/* Cases of a moment, and one of some seconds that the others do not outlast. */
static const char training_suite[] =
    "set --study train --depth 4 --width 8 --sequence 6 --tokens 12 --heads 2 --head-dim 4 --hidden 10 "
    "--activation gelu\n"
    "set --batch 2 --warm-up 2 --alpha 0.1 --input text\n"
    "--connection mhc,hc --steps 4 --seed 1:2:1\n"
    "--connection resnet,kromhc --steps 1000 --every 400\n"
    "--connection mhc --steps 5000 --every 1000\n"
    "--connection hc --steps 4 --seed 9\n";
enum { TRAINED = 8 };

static void write_training(void) {
    char text[3001];
    for (size_t k = 0; k < sizeof text - 1; k++)
        text[k] = "the quick brown fox jumps over it. "[(k + k / 700) % 35];
    text[sizeof text - 1] = 0;
    write_text("text", text);
    write_text("train.suite", training_suite);
}

static void expect_doubles(const double *a, const double *b, int64_t count, const char *what, int64_t row) {
    cr_expect(!memcmp(a, b, (size_t)count * sizeof *a), "%s of case %lld differs", what, (long long)row);
}

/* A record that is sealed, in the order of the suite, with the bits of another one's training. */
static void expect_same_training(const char *name, const char *other) {
    struct record_reader *a = record_open(name), *b = record_open(other);
    cr_assert(a && b && record_count(a) == TRAINED && record_count(b) == TRAINED, "%s", record_error());
    const int64_t metrics = record_metric_count(a);
    cr_assert(metrics > 0 && metrics == record_metric_count(b));
    for (int k = 0; k < (int)metrics; k++)
        cr_expect_str_eq(record_metric(a, k), record_metric(b, k));
    for (int64_t row = 0; row < TRAINED; row++) {
        struct record_training x, y;
        cr_expect_str_eq(record_texts(a, "key")[row], record_texts(b, "key")[row]);
        const int64_t layers = record_ints(a, "layers")[row];
        cr_assert(record_training(a, row, &x) && record_training(b, row, &y) && layers == 4, "%s", record_error());
        cr_assert(x.points == y.points && x.points > 1 && x.steps == y.steps);
        expect_doubles(x.held_out_loss, y.held_out_loss, x.points, "held-out loss", row);
        expect_doubles(x.gradient_norm, y.gradient_norm, x.points, "gradient norm", row);
        expect_doubles(x.curves, y.curves, x.points * metrics * layers, "a curve", row);
        expect_doubles(x.t_max_curves, y.t_max_curves, RECORD_PROJECTIONS * metrics * layers, "a curve at t_max", row);
    }
    record_close(a);
    record_close(b);
    GOOD("for d in cases/status training/held_out_loss training/curves; do"
         "  h5dump -p -H -d /$d %s | grep -q 'CHECKSUM FLETCHER32' || exit 1; done",
         name);
}

Test(jobs, training_is_sealed_and_resumed) {
    write_training();
    GOOD("$M run train.suite --out one.h5 --jobs 1 -q && $M run train.suite --out three.h5 --jobs 3 -q");
    cr_expect(!exists("one.h5.part") && !exists("three.h5.part"));
    expect_same_training("three.h5", "one.h5");
    pid_t worker[WORKERS];
    pid_t child = start_and_wait("exec $M run train.suite --out a.h5 --jobs 3 -q", "a.h5.part", 3, worker);
    for (int k = 0; k < 500 && exists("a.h5.part") && done_meanwhile("a.h5.part") < 3; k++)
        pause_for(0.02);
    kill(child, SIGKILL);
    cr_expect(result_of(child) == 128 + SIGKILL && !exists("a.h5"), "it was not killed before its end");
    expect_gone(worker, WORKERS);
    int code = sh("OMP_NUM_THREADS=2 $M run train.suite --out a.h5 --jobs 1 -q --resume");
    cr_expect(code == 2 && strstr(err, "another number of threads: 1, here it is 2; --jobs decides it"), "exit %d\n%s",
              code, err);
    GOOD("OMP_NUM_THREADS=2 $M run train.suite --out a.h5 --jobs 2 -q --resume");
    cr_expect(!exists("a.h5.part"));
    expect_same_training("a.h5", "one.h5");
}

/* What the environment of a worker says; "": nothing. */
static const char *variable_of(pid_t process, const char *name) {
    static char text[1 << 16];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)process);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[got] = 0;
    if (file)
        fclose(file);
    for (const char *at = text; at < text + got; at += strlen(at) + 1)
        if (!strncmp(at, name, strlen(name)) && at[strlen(name)] == '=')
            return at + strlen(name) + 1;
    return "";
}

Test(jobs, threads_of_a_worker) {
    write_text("endless.suite", endless_suite);
    setenv("OMP_NUM_THREADS", "5", 1);
    setenv("OPENBLAS_NUM_THREADS", "4", 1);
    setenv("OMP_PROC_BIND", "true", 1);
    static const char *const wanted[2][3] = {{"5", "4", "true"}, {"1", "1", "false"}};
    for (int many = 0; many < 2; many++) {
        pid_t worker[WORKERS];
        pid_t child = start_and_wait(many ? "exec $M run endless.suite --out b.h5 --jobs 3"
                                          : "exec $M run endless.suite --out a.h5 --jobs 1",
                                     many ? "b.h5.part" : "a.h5.part", many ? WORKERS : 1, worker);
        pause_for(0.5); /* a worker has its environment once it is the program */
        cr_expect_str_eq(variable_of(worker[0], "OMP_NUM_THREADS"), wanted[many][0]);
        cr_expect_str_eq(variable_of(worker[0], "OPENBLAS_NUM_THREADS"), wanted[many][1]);
        cr_expect_str_eq(variable_of(worker[0], "OMP_PROC_BIND"), wanted[many][2]);
        kill(child, SIGTERM);
        cr_expect(result_of(child) == 130);
        GOOD("h5dump -a /env/jobs -a /env/omp_threads %s.h5.part | grep '(0)' | tr -d '\\n'", many ? "b" : "a");
        cr_expect(strstr(out, many ? "\"3\"" : "\"1\"") && strstr(out, many ? "\"1\"" : "\"5\""), "%s", out);
    }
}

Test(jobs, refused) {
    const char *const bad[] = {"0", "-1", "x", "2x", "''", "10000", "481", "99999999999999999999", "1.5"};
    char command[200];
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        snprintf(command, sizeof command, "$M run --study maps --depth 3 --out a.h5 --jobs %s", bad[k]);
        expect_refusal(command, "a whole number from 1 to 480");
    }
    expect_refusal("$M run --study maps --depth 3 --out a.h5 --jobs", "--jobs needs a value");
    expect_refusal("$M run $R/suites/overhead-cpu.suite --out a.h5 --jobs 2", "--jobs 2: study overhead takes times");
    expect_refusal("$M run --study kernels --operation mhc.pre --out a.h5 --jobs 2", "takes times");
    cr_expect(!exists("a.h5") && !exists("a.h5.part"));
}

/* --- the decision --- */

enum { MOST = 64 };
static struct suite suite_of(const char *words[], int count) {
    static struct suite s;
    char why[300];
    cr_assert(suite_read(&s, NULL, (char *const *)words, count, why, sizeof why), "%s", why);
    return s;
}

static void fill(struct job *jobs, int count, const double *seconds, double bytes) {
    for (int k = 0; k < count; k++)
        jobs[k] = (struct job){.number = k, .seconds = seconds ? seconds[k] : 1, .bytes = bytes};
}

Test(jobs, as_many_as_help) {
    struct job jobs[MOST];
    struct suite s = suite_of((const char *[]){"--study", "maps", "--depth", "3", "--seed", "1:64:1"}, 6);
    fill(jobs, MOST, NULL, 1);
    cr_expect_eq(jobs_at_once(&s, jobs, MOST, 1e9, 8), 8);
    cr_expect_eq(jobs_at_once(&s, jobs, MOST, 1e9, 1), 1);
    cr_expect_eq(jobs_at_once(&s, jobs, 1, 1e9, 8), 1, "one case has all threads");
    cr_expect_eq(jobs_at_once(&s, jobs, 2, 1e9, 8), 1, "two use more of eight cores one after the other");
    cr_expect_eq(jobs_at_once(&s, jobs, 2, 1e9, 2), 2);
    cr_expect_eq(jobs_at_once(&s, jobs, 8, 1e9, 8), 8);
    double one_long[MOST];
    for (int k = 0; k < MOST; k++)
        one_long[k] = k == 5 ? 1000 : 1;
    fill(jobs, MOST, one_long, 1);
    cr_expect_eq(jobs_at_once(&s, jobs, MOST, 1e9, 8), 1, "one case is nearly all of the work");
    fill(jobs, MOST, NULL, 1e6);
    cr_expect_eq(jobs_at_once(&s, jobs, MOST - 1, 7.5e6, 8), 7, "0.95 of the memory holds seven");
    cr_expect_eq(jobs_at_once(&s, jobs, MOST, 1.5e6, 8), 1);
    suite_release(&s);
    s = suite_of((const char *[]){"--study", "propagate", "--backend", "cuda", "--seed", "1:64:1"}, 6);
    cr_expect_eq(jobs_at_once(&s, jobs, MOST, 1e12, 8), 1, "there is one device");
    suite_release(&s);
    s = suite_of((const char *[]){"--study", "kernels", "--operation", "mhc.pre", "--seed", "1:64:1"}, 6);
    cr_expect_eq(jobs_at_once(&s, jobs, s.count < MOST ? s.count : MOST, 1e12, 2), 1, "a timing runs alone");
    cr_expect_eq(jobs_timing(&s), 0);
    suite_release(&s);
}

Test(jobs, the_longest_first_where_that_helps) {
    struct job jobs[6];
    const double last_is_long[] = {1, 1, 1, 1, 1, 5}, alike[] = {1, 1.001, 1, 1.001, 1, 1};
    fill(jobs, 6, last_is_long, 1);
    cr_expect_eq(jobs_end(jobs, 6, 2), 7);
    jobs_order(jobs, 6, 2);
    cr_expect_eq(jobs_end(jobs, 6, 2), 5);
    cr_expect_eq(jobs[0].number, 5);
    for (int k = 1; k < 6; k++)
        cr_expect_eq(jobs[k].number, k - 1, "otherwise the order of the suite");
    fill(jobs, 6, alike, 1);
    jobs_order(jobs, 6, 2);
    for (int k = 0; k < 6; k++)
        cr_expect_eq(jobs[k].number, k);
    fill(jobs, 6, last_is_long, 1);
    jobs_order(jobs, 6, 1);
    cr_expect_eq(jobs[0].number, 0, "one after the other: the end is the same");
}
