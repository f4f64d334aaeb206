/* Runs that end early or in pieces lose no finished case: Ctrl-C, killed, timed out, disk full, sharded. */
#include "tests/command.h"

#include <errno.h>
#include <time.h>

TestSuite(interrupt, .init = enter, .fini = leave, .timeout = 1800);

/* Cases of a moment, one of a second or two, cases of a moment. */
static const char cut_suite[] = "set --study maps --block mhc --measure gain\n"
                                "--depth 4 --seed 1:6:1\n"
                                "--depth 60 --tokens 64 --t-max 120000\n"
                                "--block hc --depth 4 --seed 1:6:1\n";
/* One case takes longer than a test waits. */
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
    GOOD("for f in merged whole; do $M export $f.h5 | grep -v '^#' | cut -d, -f1-3 >$f.keys; done; "
         "cmp merged.keys whole.keys");
    GOOD("$M run cut.suite --dry-run --shard 1/3 | wc -l");
    const int missing = atoi(out);
    char wanted[80], there[80];
    snprintf(wanted, sizeof wanted, "%d of the 26 cases of its suite are in no part: shard 1/3; the first: --study",
             missing);
    snprintf(there, sizeof there, "%d cases, 0 failed", 26 - missing);
    cr_expect(missing > 5, "%d", missing);
    int code = sh("$M merge two.h5 part2.h5 part0.h5");
    cr_expect(code == 1 && strstr(err, wanted) && exists("two.h5"), "exit %d\n%s", code, err);
    GOOD("$M show two.h5");
    cr_expect(strstr(out, there) && strstr(out, "NOT COMPLETE"), "%s", out);
    GOOD("$M merge three.h5 two.h5 part1.h5 whole.h5");
    cr_expect(strstr(err, "26 cases are in more than one part"), "%s", err);
    expect_same_results("three.h5", "whole.h5");
    GOOD("$M run --study maps --depth 3 --out other.h5 -q");
    expect_refusal("$M merge x.h5 part0.h5 other.h5", "suite");
    cr_expect(!exists("x.h5") && !exists("x.h5.part"));
}

/* A record is gone on with by what made it, and every case says what that was. */
Test(interrupt, resumed_by_another_build_or_machine) {
    static const char on[] = "$M run two.suite --out a.h5 -q --resume";
    GOOD("for f in 1.0 1.000001; do cc -shared -fPIC -DFACTOR=${f}f -I$R $R/tests/fake_device.c "
         "$R/cpu_ref/operations.c -o $f.so || exit 1; done; cp 1.0.so mine.so");
    write_text("two.suite", "set --study kernels --tokens 6 --type f32 --rounds 20 --budget 0.05\n"
                            "--operation mhc.post_backward_y --width 16 --backend ./mine.so\n"
                            "--operation mhc.post_backward_y --width 16,24 --backend cpu32\n");
    GOOD("$M run two.suite --out whole.h5 -q && $M export whole.h5 --format json >rows && sha256sum mine.so | "
         "cut -c1-64 >sum");
    GOOD("grep -c \"\\\"origin_library\\\": \\\"$(cat sum)\\\"\" rows");
    cr_expect_str_eq(out, "1\n");
    GOOD("grep '\"origin_revision\": \"[^\"]' rows | grep '\"origin_build\": \"[^\"]*-O' | "
         "grep -c '\"origin_threads\": 1,'");
    cr_expect_str_eq(out, "3\n");
    GOOD("cp 1.0.so mine.so; $M run two.suite --out a.h5 -q; cp a.h5 good.h5");
    expect_refusal("$M run two.suite --out a.h5 --resume", "a.h5: exists already, and no case of it failed");
    const char *const changed[][3] = {
        {"cp 1.000001.so mine.so", "library", ""},
        {"true", "number of threads", "OMP_NUM_THREADS=2 "},
    };
    for (size_t k = 0; k < 2; k++) {
        char command[600];
        GOOD("cp 1.0.so mine.so; rm -f a.h5 a.h5.part; cp good.h5 a.h5.part; %s", changed[k][0]);
        snprintf(command, sizeof command, "%s%s", changed[k][2], on);
        expect_refusal(command, changed[k][1]);
        cr_expect(strstr(err, "--resume=anyway"), "%s", err);
        GOOD("cmp good.h5 a.h5.part");
        GOOD("%s%s=anyway", changed[k][2], on);
        GOOD("$M export a.h5 | grep -c ,done,");
        cr_expect_str_eq(out, "3\n");
    }
    /* another file behind --input */
    write_text("tokens", "0123456789abcdef0123456789abcdef0123456789abcdef");
    write_text("in.suite", "--study propagate --depth 3 --width 8 --tokens 8 --input tokens\n");
    GOOD("$M run in.suite --out in.h5 -q && mv in.h5 in.h5.part && echo more >>tokens");
    expect_refusal("$M run in.suite --out in.h5 -q --resume", "another input: ");
}

/* Failed cases of a finished run run again. */
Test(interrupt, failed_cases_of_a_finished_run) {
    write_text("fail.suite",
               "--study maps --depth 3\n--study kernels --operation mhc.post --width 16 --tokens 6 --backend ./l.so "
               "--type f32 --rounds 20 --budget 0.05\n");
    GOOD("cc -shared -fPIC -DFACTOR=2.0f -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o wrong.so;"
         "cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o right.so");
    GOOD("sed -i 's/mhc.post /mhc.post_backward_y /' fail.suite; cp wrong.so l.so");
    cr_expect(sh("$M run fail.suite -q") == 1, "%s%s", out, err);
    GOOD("cp right.so l.so; $M run fail.suite -q --resume && $M show fail.h5 | grep '2 cases, 0 failed'");
}

/* A small or odd machine gets a run, or a sentence; never a hang. */
Test(interrupt, small_machines, .timeout = 1800) {
    static const char run[] = "timeout -s KILL 30 $M run --study maps --depth 3 --out m.h5 --overwrite -q";
    char command[900];
    for (int mebibytes = 150; mebibytes <= 350; mebibytes += 100) { /* what OpenBLAS waits for has no room there */
        int code = sh("ulimit -v %d; OMP_NUM_THREADS=2 %s", mebibytes << 10, run);
        cr_expect(code == 0 || (code == 2 && strstr(err, "(ulimit -v) is too low")), "%d MiB: exit %d\n%s", mebibytes,
                  code, err);
    }
    snprintf(command, sizeof command, "OMP_NUM_THREADS=100000 %s", run);
    expect_refusal(command, "OMP_NUM_THREADS asks for 100000 threads");
    for (int files = 7; files <= 12; files++) {
        int code = sh("ulimit -n %d; %s", files, run);
        cr_expect(code == 0 || (code == 2 && strstr(err, "Too many open files")), "%d files: exit %d\n%s", files, code,
                  err);
    }
    write_text("late.c",
               "#define _GNU_SOURCE\n#include <time.h>\ntime_t time(time_t *t) { return t ? *t = AT : AT; }\n");
    static const char *const clocks[][2] = {{"4000000000", "2096-10-02T07:06:40Z"},
                                            {"253402300801", "10000-01-01T00:00:01Z"},
                                            {"99999999999999999", "unknown"}};
    for (size_t k = 0; k < 3 && !strstr(getenv("BUILD") ? getenv("BUILD") : "", "asan"); k++) {
        GOOD("cc -shared -fPIC -DAT=%s late.c -o late.so && LD_PRELOAD=$PWD/late.so %s && $M export m.h5 | "
             "grep created_utc",
             clocks[k][0], run);
        cr_expect(strstr(out, clocks[k][1]), "%s", out);
    }
    if (!geteuid() && !sh("unshare -m mount -t tmpfs none /proc"))
        GOOD("unshare -m sh -c 'mount -t tmpfs none /proc && %s'", run);
}

/* A limit on the size of files stands for a full disk; as root a small file system is tried as well. */
Test(interrupt, a_full_disk) {
    const char suite[] = "--study maps --alpha 0 --block hc --depth 200 --streams 6 --seed 1:60:1\n";
    write_text("disk.suite", suite);
    GOOD("$M run disk.suite --out whole.h5 -q; stat -c %%s whole.h5");
    long blocks = atol(out) / 512; /* less than a file needs that grows: it is not compressed yet */
    int done = 0;
    char command[300];
    for (; done <= 5; blocks = blocks * 3 / 2) {
        snprintf(command, sizeof command, "rm -f a.h5.part; ulimit -f %ld; exec $M run disk.suite --out a.h5 -q",
                 blocks);
        expect_refusal(command, "cannot write");
        done = sh("$M export a.h5.part | grep -v '^#' | grep -c ,done,") ? 0 : atoi(out);
    }
    cr_expect(done > 5 && done < 60 && !exists("a.h5"), "%d cases", done);
    GOOD("$M show a.h5.part");
    cr_expect(strstr(out, "NOT COMPLETE"), "%s", out);
    GOOD("$M run disk.suite --out a.h5 --resume -q");
    expect_same_results("a.h5", "whole.h5");
    snprintf(command, sizeof command, "ulimit -f 16; exec $M run disk.suite --out b.h5 -q");
    expect_refusal(command, "cannot write");
    cr_expect(!exists("b.h5"));
    if (geteuid() || sh("mkdir small && mount -t tmpfs -o size=%ldk none small", blocks / 3))
        return;
    expect_refusal("exec $M run disk.suite --out small/a.h5 -q", "cannot write");
    done = sh("$M export small/a.h5.part | grep -v '^#' | grep -c ,done,") ? 0 : atoi(out);
    sh("cat /dev/zero >small/rest"); /* whatever the record left free */
    expect_refusal("exec $M export whole.h5 --out small/x.csv", "cannot write");
    sh("umount small");
    cr_expect(done > 5 && done < 60, "%d cases on the small file system", done);
}
