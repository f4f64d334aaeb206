/* File systems of clusters, by a library that is preloaded: locks that fail in every way, renameat2 without flags. */
#include "tests/command.h"

#include <errno.h>

static void enter_with_shim(void) {
    enter();
    unsetenv("HDF5_USE_FILE_LOCKING");
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1); /* the shim comes before its runtime */
    GOOD("cc -shared -fPIC -o shim.so $R/tests/shims/filesystem.c && mkdir d");
    GOOD("echo '--study maps --measure gain --depth 4 --seed 1:4:1 --block hc,mhc' >s.suite && $M run s.suite "
         "--out whole.h5 -q");
}

TestSuite(filesystem, .init = enter_with_shim, .fini = leave, .timeout = 1800);

static const char with[] = "LD_PRELOAD=$PWD/shim.so $M";
static const int goes_on[] = {37, 95, 524, 38};

static void expect_only(const char *name) {
    GOOD("ls -A d");
    char wanted[100];
    snprintf(wanted, sizeof wanted, "%s\n", name);
    cr_expect_str_eq(out, *name ? wanted : "");
}

static void expect_whole(void) {
    GOOD("cp d/a.h5 got.h5");
    expect_same_results("got.h5", "whole.h5");
}

Test(filesystem, without_locks) {
    for (size_t k = 0; k < sizeof goes_on / sizeof *goes_on; k++) {
        static const char *const said[] = {"", "HDF5_USE_FILE_LOCKING=BEST_EFFORT"};
        for (int way = 0; way < 2; way++) {
            GOOD("%s FLOCK=%d %s run s.suite --out d/a.h5 -q --overwrite", said[way], goes_on[k], with);
            cr_expect(strstr(err, "has no locks (") && strstr(err, "two processes that write it are not told apart") &&
                          strchr(err, '\n')[1] == 0,
                      "errno %d: %s", goes_on[k], err);
            expect_only("a.h5");
            if (!k)
                expect_whole();
            GOOD("FLOCK=%d %s show d/a.h5", goes_on[k], with);
        }
        GOOD("mv d/a.h5 d/a.h5.part && FLOCK=%d %s run s.suite --out d/a.h5 -q --resume && FLOCK=%d %s merge d/a.h5 "
             "whole.h5 --overwrite",
             goes_on[k], with, goes_on[k], with);
        expect_only("a.h5");
    }
    GOOD("HDF5_USE_FILE_LOCKING=FALSE FLOCK=37 %s run s.suite --out d/a.h5 --overwrite -q", with);
    cr_expect(!*err, "%s", err);
}

Test(filesystem, hdf5_wants_a_lock_of_its_own) {
    static const int all[] = {37, 95, 524, 38, 11};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        char command[300];
        snprintf(command, sizeof command, "HDF5_USE_FILE_LOCKING=TRUE FLOCK=%d %s run s.suite --out d/a.h5 -q", all[k],
                 with);
        expect_refusal(command, "HDF5_USE_FILE_LOCKING=TRUE, and HDF5 gets no lock here");
        expect_only("");
        snprintf(command, sizeof command, "HDF5_USE_FILE_LOCKING=TRUE FLOCK=%d %s show whole.h5", all[k], with);
        expect_refusal(command, "HDF5_USE_FILE_LOCKING=TRUE, and HDF5 gets no lock on it");
    }
}

/* errno 11: another process has it; or nothing has, and every lock fails so. */
Test(filesystem, held_by_another) {
    GOOD("cp whole.h5 d/a.h5.part");
    char command[300];
    for (int way = 0; way < 2; way++) {
        snprintf(command, sizeof command, "flock d/a.h5.part $M run s.suite --out d/a.h5 -q --%s",
                 way ? "resume" : "overwrite");
        expect_refusal(command, "d/a.h5.part: another process is writing it");
        expect_only("a.h5.part");
    }
    GOOD("FLOCK=11 %s run s.suite --out d/a.h5 -q --resume", with);
    cr_expect(strstr(err, "has no locks (new files are refused a lock)"), "%s", err);
    expect_only("a.h5");
    expect_whole();
}

Test(filesystem, a_lock_that_fails_otherwise) {
    char command[300];
    snprintf(command, sizeof command, "FLOCK=%d %s run s.suite --out d/a.h5 -q", EIO, with);
    expect_refusal(command, "cannot lock d/a.h5.part: Input/output error; HDF5_USE_FILE_LOCKING=FALSE goes on");
    expect_only("");
    GOOD("HDF5_USE_FILE_LOCKING=FALSE FLOCK=%d %s run s.suite --out d/a.h5 -q", EIO, with);
}

/* The name is taken by link and unlink, or by a file of its own; one that is there is not replaced. */
Test(filesystem, without_rename_flags) {
    static const int unknown[] = {EINVAL, ENOSYS, EOPNOTSUPP, EPERM, 524};
    for (size_t k = 0; k < sizeof unknown / sizeof *unknown; k++)
        for (int linked = 0; linked < 2; linked++) {
            GOOD("RENAMEAT2=%d LINK=%d FLOCK=37 %s run s.suite --out d/a.h5 -q", unknown[k], linked ? 0 : EPERM, with);
            expect_only("a.h5");
            if (!k)
                expect_whole();
            char command[300];
            snprintf(command, sizeof command, "RENAMEAT2=%d %s run s.suite --out d/a.h5 -q", unknown[k], with);
            expect_refusal(command, "d/a.h5: exists already");
            GOOD("RENAMEAT2=%d %s run s.suite --out d/a.h5 -q --overwrite && rm d/a.h5", unknown[k], with);
            expect_only("");
        }
}

/* Checkpoints lock their file too. */
Test(filesystem, checkpoints) {
    GOOD(
        "echo 'the quick brown fox jumps over the lazy dog. the quick brown fox.' >text; for k in 1 2 3 4; do cat text "
        "text >t; mv t text; done");
    for (size_t k = 0; k < sizeof goes_on / sizeof *goes_on; k++)
        GOOD(
            "FLOCK=%d RENAMEAT2=22 %s run --study train --connection mhc --depth 4 --width 8 --sequence 6 "
            "--tokens 12 --heads 2 --head-dim 4 --hidden 10 --batch 2 --warm-up 2 --input text --steps 3 --checkpoints "
            "kept%zu --out d/a.h5 -q --overwrite && test -s kept%zu/*.h5",
            goes_on[k], with, k, k);
}
