/* Out of memory: one allocation of the program after the other fails. Each time the command ends with an exit code of
 * its own and, if something is missing, a line that says so. Nothing crashes or hangs, and no wrong record is left
 * behind as a complete one. */
#include "tests/command.h"

static void enter_with_shim(void) {
    enter();
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    GOOD("cc -shared -fPIC -o shim.so $R/tests/shims/allocations.c");
    GOOD("echo '--study maps --measure gain --depth 4 --seed 1,2 --connection hc,mhc' >s.suite && $M run s.suite "
         "--out a.h5 -q && $M run s.suite --shard 0/2 --out p0.h5 -q && $M run s.suite --shard 1/2 --out p1.h5 -q");
}

TestSuite(allocations, .init = enter_with_shim, .fini = leave, .timeout = 1800);

/* FAIL_STEP=1 tries every allocation; as it stands a run of the tests takes about so many of each command. */
enum { SAMPLES = 40 };

static long count_of(const char *command) {
    long most = 0;
    GOOD("rm -f count; COUNT=$PWD/count LD_PRELOAD=$PWD/shim.so %s && sort -n count | tail -n 1", command);
    const char *last = strrchr(out, '\n') ? out : "";
    for (const char *at = last; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        most = atol(at) > 0 ? atol(at) : most; /* the last line */
    return most;
}

/* The lines that the program prints to standard error for itself. */
static bool says_why(void) {
    return strstr(err, "mhcbench: ") || strstr(err, "failed");
}

static void fail_each(const char *command) {
    const long count = count_of(command);
    const char *asked = getenv("FAIL_STEP");
    const long step = asked ? atol(asked) : 1 + count / SAMPLES;
    cr_assert(count > 20, "%s: %ld allocations: the shim sees none", command, count);
    for (long k = 1; k <= count; k += k < 5 ? 1 : step) {
        const int code = sh("rm -f b.h5 b.h5.part*; FAIL_AT=%ld LD_PRELOAD=$PWD/shim.so timeout 60 %s", k, command);
        cr_expect(code >= 0 && code <= 3, "%s: allocation %ld of %ld: exit %d\n%s", command, k, count, code, err);
        cr_expect(code == 0 || says_why(), "%s: allocation %ld of %ld: exit %d and no word\n%s", command, k, count,
                  code, err);
        if (exists("b.h5") && code == 0)
            expect_same_results("a.h5", "b.h5");
    }
}

Test(allocations, run) {
    fail_each("$M run s.suite --jobs 1 --out b.h5 -q");
}

Test(allocations, readers) {
    fail_each("$M show a.h5 >/dev/null");
    fail_each("$M export a.h5 --what curves --connection mhc >/dev/null");
    fail_each("$M compare a.h5 a.h5 >/dev/null");
}

Test(allocations, merge) {
    fail_each("$M merge b.h5 p0.h5 p1.h5");
}
