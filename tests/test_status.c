/* What a long run says: lines of progress inside a case, and the state of its files from outside. */
#include "tests/command.h"

#include <time.h>

TestSuite(status, .init = enter, .fini = leave, .timeout = 1800);

static const char endless[] = "--study maps --block mhc --measure gain --depth 60 --tokens 4096 --t-max 1000000";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int lines_of(const char *path) {
    static char text[1 << 16];
    int lines = 0;
    read_all(path, text, sizeof text);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

/* A line every two seconds; on a machine with other work one may be late. */
static void expect_lines(const char *command, const char *stage) {
    enum { WANTED = 4 };
    unlink(".err");
    pid_t run = start(command);
    double first = 0, longest = 0, last = 0;
    for (int seen = 0, k = 0; seen < WANTED && k < 3000; k++) {
        const int lines = lines_of(".err");
        if (lines > seen) {
            longest = seen && now() - last > longest ? now() - last : longest;
            first = first > 0 ? first : now();
            last = now();
            seen = lines;
        }
        usleep(20000);
    }
    kill(run, SIGINT);
    int code = result_of(run);
    cr_expect(code == 130 && strstr(err, "[0/2") && strstr(err, "] ETA ") && strstr(err, stage), "exit %d: %s", code,
              err);
    cr_expect(last > 0 && (last - first) / (WANTED - 1) < 2.5 && longest < 6, "%.1f s for %d lines, one after %.1f s",
              last - first, WANTED, longest);
}

Test(status, progress_within_cases) {
    char command[300];
    snprintf(command, sizeof command, "exec $M run %s --seed 1:2:1 --out a.h5 --jobs 2", endless);
    expect_lines(command, " s, projecting  --study maps");
    GOOD("for k in $(seq 100); do echo 'the quick brown fox jumps over the lazy dog.'; done >text");
    expect_lines(
        "exec $M run --study train --depth 4 --width 8 --sequence 6 --tokens 12 --heads 2 --head-dim 4 --hidden 10 "
        "--batch 2 --warm-up 2 --input text --steps 60000 --every 60000 --seed 1:2:1 --jobs 1 --out c.h5",
        " s, step ");
}

Test(status, of_files_that_are_written) {
    char wanted[100];
    GOOD("$M run --study maps --depth 3 --seed 1:8:1 -q --shard 0/3 --out s.0.h5 && "
         "$M run --study maps --depth 3 --seed 1:8:1 -q --shard 2/3 --out s.2.h5 && $M status s.0.h5 s.2.h5");
    cr_expect(strstr(out, "complete     0/3                 3       0         3 ") &&
                  strstr(out, "\n2 files, 0 running: 5 of 8 cases done, 0 failed\nno file of 1 of 3 shards: 1\n"),
              "%s", out);
    GOOD("printf 'set --study maps --depth 4 --measure gain\\n--seed 1:20:1\\n%s\\n' >long.suite", endless);
    pid_t run = start("exec $M run long.suite --jobs 2 --out l.h5");
    for (int k = 0, code = 1; k < 500 && (code || !strstr(out, "        20       0        21 ")); k++) {
        usleep(20000);
        char command[] = "$M status l.h5 >.seen 2>&1";
        code = system(command);
        read_all(".seen", out, sizeof out);
    }
    cr_expect(!strncmp(strchr(out, '\n'), "\nrunning  ", 10) && strstr(out, "l.h5.part"), "%s", out);
    kill(run, SIGKILL);
    cr_assert_eq(result_of(run), 128 + SIGKILL);
    GOOD("$M status l.h5");
    snprintf(wanted, sizeof wanted, "\nstopped                         20       0        21 ");
    cr_expect(strstr(out, wanted), "%s", out);
    int code = sh("$M run long.suite --jobs 2 --out l.h5 --resume --timeout 1 && $M status l.h5");
    cr_assert_eq(code, 1);
    GOOD("$M status l.h5.part"); /* it ended since a shell saw that name */
    cr_expect(strstr(out, "\ncomplete                        20       1        21 "), "%s", out);
    code = sh("$M status l.h5 none.h5");
    cr_expect(code == 2 && strstr(err, "none.h5.part: No such file") && strstr(out, "complete "), "exit %d: %s", code,
              err);
}
