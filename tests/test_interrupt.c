/* Runs that end early or in pieces lose no finished case: Ctrl-C, killed, timed out, disk full, sharded. */
#include "tests/command.h"

#include <errno.h>
#include <time.h>

TestSuite(interrupt, .init = enter, .fini = leave, .timeout = 300);

/* Cases of a moment, one of a second or two, cases of a moment. */
static const char cut_suite[] = "set --study maps --block mhc --measure gain\n"
                                "--depth 4 --seed 1:6:1\n"
                                "--depth 60 --tokens 64 --t-max 120000\n"
                                "--block hc --depth 4 --seed 1:6:1\n";
/* One that nobody waits for. */
static const char endless_suite[] = "set --study maps --block mhc --measure gain\n"
                                    "--depth 4 --seed 1:3:1\n"
                                    "--depth 60 --tokens 4096 --t-max 1000000\n"
                                    "--block hc --depth 4 --seed 1:3:1\n";

static void pause_for(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

/* Starts a run and waits until it is within the long case: the file is there, and the cases before it take no time. */
static pid_t start_and_wait(const char *command, const char *part) {
    pid_t child = start(command);
    for (int k = 0; k < 500 && !exists(part); k++)
        pause_for(0.02);
    cr_assert(exists(part), "%s has not been begun", part);
    pause_for(0.5);
    return child;
}

static pid_t worker_of(pid_t parent) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    read_all(path, text, sizeof text);
    return (pid_t)atoi(text);
}

static int cases_in(const char *path) {
    GOOD("$M export %s | grep -v '^#' | grep -c ,done,", path);
    return atoi(out);
}

Test(interrupt, interrupted_and_killed_runs_go_on) {
    write_text("cut.suite", cut_suite);
    GOOD("exec $M run cut.suite --out whole.h5 -q");
    cr_assert(cases_in("whole.h5") == 13);

    pid_t child = start_and_wait("exec $M run cut.suite --out a.h5", "a.h5.part");
    kill(child, SIGINT);
    int code = result_of(child);
    cr_assert(code == 130, "SIGINT: exit %d\n%s", code, err);
    cr_expect(strstr(err, "interrupted") && strstr(err, "--resume"), "%s", err);
    int done = cases_in("a.h5.part");
    cr_expect(done >= 1 && done < 13 && !exists("a.h5"), "%d cases", done);
    GOOD("$M show a.h5.part");
    cr_expect(strstr(out, "NOT COMPLETE"), "%s", out);
    expect_refusal("$M run cut.suite --out a.h5", "unfinished run");
    write_text("other.suite", "--study maps --depth 3\n");
    expect_refusal("$M run other.suite --out a.h5 --resume", "another suite");
    cr_expect(cases_in("a.h5.part") == done);

    child = start_and_wait("exec $M run cut.suite --out a.h5 --resume -q", "a.h5.part");
    pid_t worker = worker_of(child);
    cr_assert(worker > 0);
    kill(child, SIGKILL);
    cr_expect(result_of(child) == 128 + SIGKILL);
    for (int k = 0; k < 100 && !kill(worker, 0); k++)
        pause_for(0.02);
    cr_expect(kill(worker, 0) && errno == ESRCH, "the worker outlives its parent");
    cr_expect(cases_in("a.h5.part") >= done && !exists("a.h5"));

    GOOD("exec $M run cut.suite --out a.h5 --resume -q");
    cr_expect(!exists("a.h5.part"));
    expect_same_results("a.h5", "whole.h5");
}

Test(interrupt, a_worker_that_dies_or_hangs_is_one_failed_case) {
    write_text("endless.suite", endless_suite);
    pid_t child = start_and_wait("exec $M run endless.suite --out a.h5", "a.h5.part");
    pid_t worker = worker_of(child);
    cr_assert(worker > 0 && !kill(worker, SIGKILL));
    int code = result_of(child);
    cr_expect(code == 1 && strstr(err, "worker was killed"), "exit %d\n%s", code, err);
    cr_expect(cases_in("a.h5") == 6 && !exists("a.h5.part"));
    GOOD("$M show a.h5");
    cr_expect(strstr(out, "7 cases, 1 failed") && strstr(out, "worker was killed"), "%s", out);

    child = start_and_wait("exec $M run endless.suite --out b.h5 -q", "b.h5.part");
    worker = worker_of(child);
    cr_assert(worker > 0 && !kill(worker, SIGABRT));
    code = result_of(child);
    cr_expect(code == 1 && strstr(err, "crashed: Aborted"), "exit %d\n%s", code, err);

    code = sh("exec $M run endless.suite --out c.h5 --timeout 0.7");
    cr_expect(code == 1 && strstr(err, "time limit of 0.7 s"), "exit %d\n%s", code, err);
    cr_expect(cases_in("c.h5") == 6);
}

Test(interrupt, shards_make_the_whole) {
    write_text("cut.suite", "set --study maps --alpha 0\n--block hc,mhc --depth 3:6:1 --seed 1:3:1\n"
                            "--study propagate --alpha 0.1 --width 8 --tokens 4 --depth 3 --block resnet,mhc\n");
    GOOD("$M run cut.suite --out whole.h5 -q");
    for (int k = 0; k < 3; k++)
        GOOD("$M run cut.suite --out part%d.h5 --shard %d/3 -q", k, k);
    GOOD("$M merge merged.h5 part2.h5 part0.h5 part1.h5");
    expect_same_results("merged.h5", "whole.h5");
    GOOD("$M show merged.h5");
    cr_expect(strstr(out, "26 cases, 0 failed") && !strstr(out, "NOT COMPLETE"), "%s", out);
    int code = sh("$M merge two.h5 part2.h5 part0.h5");
    cr_expect(code == 1 && strstr(err, "9 of the 26 cases") && strstr(err, ": shard 1/3; the first: --study maps") &&
                  exists("two.h5"),
              "exit %d\n%s", code, err);
    GOOD("$M show two.h5");
    cr_expect(strstr(out, "17 cases, 0 failed") && strstr(out, "NOT COMPLETE"), "%s", out);
    GOOD("$M run --study maps --depth 3 --out other.h5 -q");
    expect_refusal("$M merge x.h5 part0.h5 other.h5", "suite");
    cr_expect(!exists("x.h5") && !exists("x.h5.part"));
}

/* A limit on the size of files stands for a full disk; as root a small file system is tried as well. */
Test(interrupt, a_full_disk) {
    const char suite[] = "--study maps --alpha 0 --block hc --depth 200 --streams 6 --seed 1:60:1\n";
    write_text("disk.suite", suite);
    GOOD("$M run disk.suite --out whole.h5 -q; stat -c %%s whole.h5");
    long blocks = atol(out) * 6 / 10 / 512;
    char command[300];
    snprintf(command, sizeof command, "ulimit -f %ld; exec $M run disk.suite --out a.h5 -q", blocks);
    expect_refusal(command, "cannot write");
    int done = cases_in("a.h5.part");
    cr_expect(done > 5 && done < 60 && !exists("a.h5"), "%d cases", done);
    GOOD("$M show a.h5.part");
    cr_expect(strstr(out, "NOT COMPLETE"), "%s", out);
    GOOD("$M run disk.suite --out a.h5 --resume -q");
    expect_same_results("a.h5", "whole.h5");
    snprintf(command, sizeof command, "ulimit -f 8; exec $M run disk.suite --out b.h5 -q");
    expect_refusal(command, "cannot write");
    cr_expect(!exists("b.h5"));
    if (geteuid() || sh("mkdir small && mount -t tmpfs -o size=%ldk none small", blocks / 2))
        return;
    expect_refusal("exec $M run disk.suite --out small/a.h5 -q", "cannot write");
    done = sh("$M export small/a.h5.part | grep -v '^#' | grep -c ,done,") ? 0 : atoi(out);
    sh("cat /dev/zero >small/rest"); /* whatever the record left free */
    expect_refusal("exec $M export whole.h5 --out small/x.csv", "cannot write");
    sh("umount small");
    cr_expect(done > 5 && done < 60, "%d cases on the small file system", done);
}
