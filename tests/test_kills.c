/* Sweeps that are killed at random, again and again: their parent, a worker, or all of them. Every reader can read what
 * they leave to its end, and a later run ends it with the same values. */
#include "tests/command.h"

#include <time.h>

#include "results/record.h"

static void enter_without_tracer(void) {
    enter();
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* a process waits for ever for its tracer if a kill meets that */
}

TestSuite(kills, .init = enter_without_tracer, .fini = leave, .timeout = 1800);

/* KILLS are wanted; on a machine with other work as many as fit into the time, MOST_SECONDS. LANES sweeps run at once,
 * each in a folder of its own. */
enum { KILLS = 200, LEAST = 5, WORKERS = 2, LANES = 4, CASES = 26 };
static const double MOST_SECONDS = 200;

/* Most cases take a moment, a few a tenth of a second, so that a kill meets both. */
static const char suite_text[] = "set --study maps --block mhc --measure gain --alpha 0.1 --tokens 4\n"
                                 "--depth 6 --seed 1:6:1 --record summary\n"
                                 "--depth 40 --t-max 20,20000 --seed 1:3:1\n"
                                 "--depth 6 --t-max 3,20 --seed 1:4:1\n"
                                 "--block hc --depth 5 --seed 1:6:1\n";

enum victim { PARENT, WORKER, GROUP, VICTIMS };

struct lane {
    char folder[12], part[32], file[32], errors[32];
    pid_t parent;
    double when; /* of the kill */
    enum victim victim;
    bool killed;
};

struct count {
    int kills[VICTIMS], all, files, sweeps;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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

/* false: there was nothing to kill any more, or not yet. */
static bool kill_one(pid_t parent, enum victim victim) {
    pid_t worker[WORKERS];
    siginfo_t end = {0}; /* si_pid stays 0 where the parent still runs */
    cr_assert(!waitid(P_PID, (id_t)parent, &end, WEXITED | WNOHANG | WNOWAIT));
    if (end.si_pid)
        return false;
    const int count = workers_of(parent, worker);
    if (victim == WORKER)
        return count > 0 && !kill(worker[random() % count], SIGKILL);
    if (victim == GROUP)
        for (int k = 0; k < count; k++)
            kill(worker[k], SIGKILL);
    return !kill(parent, SIGKILL);
}

/* Every row that is done has the values of the whole run; how many there are. */
static int64_t check_rows(const char *path, struct record_reader *whole, int trial) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "kill %d: %s", trial, record_error());
    const char *const *key = record_texts(r, "key"), *const *status = record_texts(r, "status"),
                      *const *wanted = record_texts(whole, "key");
    int64_t done = 0, at = 0;
    for (int64_t k = 0; k < record_count(r); k++) {
        char what[300] = "";
        while (at < CASES && strcmp(wanted[at], key[k]))
            at++;
        cr_assert(at < CASES, "kill %d: row %lld is not in the order of the suite: %s", trial, (long long)k, key[k]);
        done += !strcmp(status[k], "done");
        cr_assert(strcmp(status[k], "done") || record_same_values(r, k, whole, at, what, sizeof what),
                  "kill %d: %s of %s", trial, what, key[k]);
    }
    record_close(r);
    return done;
}

static void start_lane(struct lane *l, double life) {
    char command[200];
    snprintf(command, sizeof command, "cd %.3s && exec $M run ../s.suite --out a.h5 -q --jobs 2 --resume 2>err",
             l->folder);
    l->parent = start(command);
    l->when = now() + life * (double)(random() % 1000) / 1000;
}

/* Checks what the sweep left, and keeps it for other readers. */
static void end_lane(struct lane *l, struct record_reader *whole, struct count *count) {
    const int code = result_of(l->parent);
    char errors[4096], kept[32];
    read_all(l->errors, errors, sizeof errors);
    /* 2: it was the child that reads the earlier file */
    cr_assert(code == 0 || code == 1 || (code == 2 && strstr(errors, "was killed")) || code == 128 + SIGKILL,
              "exit %d: %s", code, errors);
    count->kills[l->victim] += l->killed;
    count->all += l->killed;
    const bool ended = !exists(l->part);
    if (ended && !exists(l->file))
        return; /* killed before there was a file */
    const int64_t done = check_rows(ended ? l->file : l->part, whole, count->all);
    if (l->killed || (ended && done == CASES)) {
        snprintf(kept, sizeof kept, "kept.%d.h5", count->files++);
        GOOD("cp %s %s", ended ? l->file : l->part, kept);
    }
    if (ended && done == CASES) {
        count->sweeps++;
        cr_assert(!unlink(l->file));
    }
}

/* Starts all lanes and kills each at some moment of `life`, the seconds that a sweep takes. Returns the life for the
 * next round: a kill that came too late shortens it, because a part was done already or the machine is less busy. */
static double go_round(struct lane *lane, double life, struct record_reader *whole, struct count *count) {
    static int turn;
    for (int k = 0; k < LANES; k++) {
        lane[k].killed = false;
        lane[k].victim = (enum victim)(turn++ % VICTIMS);
        start_lane(&lane[k], life);
    }
    for (int killed = 0; killed < LANES; killed++) {
        int next = -1;
        for (int k = 0; k < LANES; k++)
            if (lane[k].when > 0 && (next < 0 || lane[k].when < lane[next].when))
                next = k;
        const double wait = lane[next].when - now();
        if (wait > 0)
            usleep((useconds_t)(1e6 * wait));
        lane[next].killed = kill_one(lane[next].parent, lane[next].victim);
        lane[next].when = 0;
    }
    for (int k = 0; k < LANES; k++) {
        life *= lane[k].killed || lane[k].victim == WORKER ? 1.05 : 0.9;
        end_lane(&lane[k], whole, count);
    }
    return life;
}

static void read_by_h5py(int files) {
    if (sh("sh $R/tests/tools/python.sh h5py numpy")) {
        fprintf(stderr, "no python3 with h5py: what kills leave is read by h5dump alone\n");
        return;
    }
    write_text("read.py", "import glob, h5py\n"
                          "names = sorted(glob.glob('kept.*'))\n"
                          "for name in names:\n"
                          "    with h5py.File(name, 'r', locking=False) as f:\n"
                          "        f.visititems(lambda _, d: d[()] if isinstance(d, h5py.Dataset) else None)\n"
                          "        assert f['cases/status'].shape[0] >= 0 and f.attrs['status']\n"
                          "print(len(names))\n");
    GOOD("$(sh $R/tests/tools/python.sh h5py numpy) read.py");
    cr_expect_eq(atoi(out), files, "%s", out);
}

/* The sweep that is whole, and how long one takes while the others run. */
static double first_round(struct lane *lane) {
    const double begin = now();
    for (int k = 0; k < LANES; k++) {
        snprintf(lane[k].folder, sizeof lane[k].folder, "%d", k);
        snprintf(lane[k].part, sizeof lane[k].part, "%d/a.h5.part", k);
        snprintf(lane[k].file, sizeof lane[k].file, "%d/a.h5", k);
        snprintf(lane[k].errors, sizeof lane[k].errors, "%d/err", k);
        GOOD("mkdir %d", k);
        start_lane(&lane[k], 0);
    }
    for (int k = 0; k < LANES; k++)
        cr_assert(result_of(lane[k].parent) == 0);
    const double life = now() - begin;
    GOOD("mv 0/a.h5 whole.h5 && rm [1-9]/a.h5");
    return life;
}

Test(kills, at_random) {
    static struct lane lane[LANES];
    struct count count = {0};
    write_text("s.suite", suite_text);
    const double begin = now();
    double life = first_round(lane);
    struct record_reader *whole = record_open("whole.h5");
    cr_assert(whole && record_count(whole) == CASES, "%s", record_error());
    srandom(3);
    while (count.all < KILLS && now() - begin < MOST_SECONDS)
        life = go_round(lane, life, whole, &count);
    record_close(whole);
    const double killed = now() - begin;
    /* the last sweep of each is whole, and leaves nothing beside it */
    for (int k = 0; k < LANES; k++) {
        GOOD("cd %d && $M run ../s.suite --out a.h5 -q --resume && $M compare ../whole.h5 a.h5", k);
        GOOD("ls -A %d | grep -v -x -e a.h5 -e err | cat", k);
        cr_expect_str_eq(out, "", "left behind: %s", out);
    }
    GOOD("ls kept.* | xargs -n 25 -P 2 h5dump >/dev/null");
    read_by_h5py(count.files);
    /* not cr_log_warn: a warning makes Criterion end with 1 */
    fprintf(stderr,
            "%d kills in %.0f s: %d of the parent, %d of a worker, %d of all; %d files read in %.0f s more, %d "
            "sweeps ended\n",
            count.all, killed, count.kills[PARENT], count.kills[WORKER], count.kills[GROUP], count.files,
            now() - begin - killed, count.sweeps);
    cr_expect(count.all >= LEAST && count.sweeps >= 1, "%d kills, %d sweeps that ended", count.all, count.sweeps);
}
