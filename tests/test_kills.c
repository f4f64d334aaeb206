/* A sweep that is killed at random, again and again: its parent, a worker, or all of them. What it leaves can be read by
 * every reader, and gone on with to the same values. */
#include "tests/command.h"

#include <time.h>

#include "results/record.h"

TestSuite(kills, .init = enter, .fini = leave, .timeout = 600);

/* KILLS are wanted; on a machine with other work as many as fit into the time, MOST_SECONDS. */
enum { KILLS = 200, LEAST = 5, WORKERS = 2, CASES = 36 };
static const double MOST_SECONDS = 120;

static const char suite_text[] = "set --study maps --block mhc --measure gain --alpha 0.1 --tokens 4\n"
                                 "--depth 6 --seed 1:8:1\n"
                                 "--depth 40 --t-max 20,20000 --seed 1:6:1\n"
                                 "set --measure all --record curves\n"
                                 "--block hc --depth 5 --seed 1:8:1\n"
                                 "--study propagate --width 8 --block resnet,hc,mhc,identity --depth 3 --seed 1:2:1\n";

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

enum victim { PARENT, WORKER, GROUP, VICTIMS };

/* false: there was nothing to kill any more, or not yet. */
static bool kill_one(pid_t parent, enum victim victim) {
    pid_t worker[WORKERS];
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

static void read_by_h5py(int files) {
    if (sh("sh $R/tests/tools/python.sh h5py numpy")) {
        cr_log_warn("no python3 with h5py: what kills leave is read by h5dump alone");
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

Test(kills, at_random) {
    int kills[VICTIMS] = {0}, all = 0, sweeps = 0, files = 0, torn = 0;
    write_text("s.suite", suite_text);
    const double begin = now();
    GOOD("$M run s.suite --out whole.h5 -q --jobs 2");
    const double whole_seconds = now() - begin;
    struct record_reader *whole = record_open("whole.h5");
    cr_assert(whole && record_count(whole) == CASES, "%s", record_error());
    srandom(3);
    for (int trial = 0; all < KILLS && now() - begin < MOST_SECONDS; trial++) {
        pid_t parent = start("exec $M run s.suite --out a.h5 -q --jobs 2 --resume");
        usleep((useconds_t)(1e6 * whole_seconds * (double)(random() % 1000) / 1000));
        const enum victim victim = (enum victim)(trial % VICTIMS);
        const bool killed = waitpid(parent, NULL, WNOHANG | WNOWAIT) <= 0 && kill_one(parent, victim);
        const int code = result_of(parent);
        /* 2: it was the child that reads the earlier file */
        cr_assert(code == 0 || code == 1 || (code == 2 && strstr(err, "was killed")) || code == 128 + SIGKILL,
                  "exit %d: %s", code, err);
        kills[victim] += killed;
        all += killed;
        const char *left = exists("a.h5.part") ? "a.h5.part" : "a.h5";
        if (!exists(left))
            continue; /* killed before there was a file */
        const int64_t done = check_rows(left, whole, trial);
        GOOD("h5dump -g /cases %s >/dev/null && cp %s kept.%d", left, left, files++);
        torn += sh("h5dump %s >/dev/null", left) != 0;
        if (!exists("a.h5.part") && done == CASES) {
            check_rows("a.h5", whole, trial);
            sweeps++;
            GOOD("$M compare whole.h5 a.h5 >/dev/null && rm a.h5");
        }
    }
    record_close(whole);
    read_by_h5py(files);
    GOOD("ls -A | grep -v -e '^kept' -e '^whole.h5$' -e '^s.suite$' -e '^a.h5' -e '^read.py$' -e '^\\.' | head -n 1");
    cr_expect_str_eq(out, "", "left behind: %s", out);
    /* HDF5 does not promise that an index is whole which a kill cut in two; the rows that count are whole */
    cr_expect(torn <= 1 + files / 20, "h5dump cannot print %d of %d files to the end", torn, files);
    cr_log_warn("%d kills in %.0f s: %d of the parent, %d of a worker, %d of all; %d files read, %d sweeps ended", all,
                now() - begin, kills[PARENT], kills[WORKER], kills[GROUP], files, sweeps);
    cr_expect(all >= LEAST && sweeps >= 1, "%d kills, %d sweeps that ended", all, sweeps);
}
