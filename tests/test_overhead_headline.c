/* What study `overhead` says in its headline, also where its account failed or was not done. */
#include "tests/overhead_example.h"

#include <hdf5.h>

TestSuite(overhead_headline, .init = enter_with_device, .fini = leave, .timeout = 1800);

/* One table of the case nearest to the paper's, of what was measured of it. */
Test(overhead_headline, headline_stands_beside_the_papers) {
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16,24 --hidden 16 --head-dim 8 "
         "--tokens 6 --attention on,off "
         "--rounds 8 --out a.h5 -q; $M show a.h5 --headline");
    cr_expect(
        strstr(out,
               "\n\nmHC (fused) costs 6.0 % [6.0, 6.0] more time per step than a plain residual on this GPU, in "
               "float32.\n"
               "One GPU, no pipeline; the paper's 6.7 % is of a whole training in bf16 on a cluster, with overlap.\n"
               "Kernels: ./fake.so, a device that does not say what it is.\n") &&
            !strstr(out, "--attention on"),
        "%s", out);
    cr_expect(strstr(out, "\nmhc              13.7     6.0 % [6.0, 6.0]  w\n") && strstr(out, "\nflags: w not cold"),
              "%s", out);
    cr_expect(strstr(out, "\nmhc-layers   - mhc.post_pre: the backend has no such operation\n"), "%s", out);
    cr_expect(!strstr(out, "Account of ") && strstr(out, ", of 2"), "%s", out);
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --optimizer adamw,none "
         "--rounds 8 --out b.h5 -q; $M show b.h5 --headline");
    cr_expect(!strstr(out, "--optimizer adamw\n") && strstr(out, "\nmhc              13.7 "), "%s", out);
}

#define STOPPED                                                                                                 \
    "--study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 --tokens 6 " \
    "--rounds 8 --out a.h5"

/* The headline of a file in which the account of its only case is not done; `is`: what the file says of the case. */
static void expect_headline_alone(const char *file, const char *is) {
    char head[60];
    snprintf(head, sizeof head, "%s: 1 case, %s,", file, is);
    GOOD("$M show %s --headline", file);
    cr_expect(strstr(out, "\nmhc              13.7     6.0 % [6.0, 6.0]  wu\n") &&
                  strstr(out, "its account is not done"),
              "%s", out);
    cr_expect(strstr(out, "\nmhc-layers   - mhc.post_pre: the backend has no such operation\n"), "%s", out);
    GOOD("$M show %s --account", file);
    cr_expect(strstr(out, head) && strstr(out, ": unfinished: account not done") && strstr(out, "  wu\n") &&
                  !strstr(out, "one by one\n  "),
              "%s", out);
}

/* A run that is cut off in an account keeps the overheads, in the file and on resuming as if nothing had been. */
Test(overhead_headline, headline_survives_its_account) {
    GOOD("$M run " STOPPED " -q && mv a.h5 whole.h5 && $M show whole.h5 --headline");
    cr_expect(!strstr(out, "not done"), "%s", out);
    static const int signals[] = {SIGKILL, SIGINT};
    for (int k = 0; k < 2; k++) {
        pid_t child = start("FAKE_STOP=hang exec $M run " STOPPED " -q");
        static const char ask[] = "test -e a.h5.part && $M show a.h5.part --headline 2>/dev/null | grep -q 'not done'";
        for (int wait = 0; wait < 600 && system(ask); wait++)
            usleep(100000);
        expect_headline_alone("a.h5.part", "0 failed, 1 unfinished"); /* while it runs */
        kill(child, signals[k]);
        int status;
        cr_assert(waitpid(child, &status, 0) == child);
        cr_expect(signals[k] == SIGKILL ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 130,
                  "status %d", status);
        expect_headline_alone("a.h5.part", signals[k] == SIGINT ? "0 failed, 1 interrupted" : "0 failed, 1 unfinished");
        GOOD("$M status a.h5.part | awk 'NR == 2 { print $2, $3, $4 }'"); /* done, failed, of: it is open */
        cr_expect_str_eq(out, "0 0 1\n");
        GOOD("$M run " STOPPED " -q --resume && test ! -e a.h5.part");
        GOOD("for f in a whole; do for what in cases samples; do $M export $f.h5 --what $what | grep -v '^#' | "
             "sed 's/\\(,done,\"[^\"]*\",\\)[0-9.e-]*,/\\1,/' >$f.$what; done; done; " /* but the time it took */
             "grep -q ',done,.*\",,' a.cases && diff a.cases whole.cases && diff a.samples whole.samples && rm a.h5");
    }
}

/* A device that crashes, fails or hangs in the account: a failed case that keeps its overheads and says why. */
Test(overhead_headline, failing_in_the_account_keeps_the_headline) {
    static const char *const stop[][3] = {
        {"crash", "", ": unfinished: account not done: the worker crashed: Aborted"},
        {"fail", "", ": unfinished: account not done: the device failed"},
        {"hang", "--timeout 10", ": unfinished: account not done: time limit of 10 s"}};
    for (int k = 0; k < 3; k++) {
        int code = sh("FAKE_STOP=%s $M run " STOPPED " %s --overwrite", stop[k][0], stop[k][1]);
        cr_expect(code == 1 && strstr(err, stop[k][2]), "exit %d\n%s", code, err);
        expect_headline_alone("a.h5", "1 failed");
        cr_expect(strstr(out, stop[k][2]), "%s", out);
    }
    GOOD("$M merge b.h5 a.h5");
    expect_headline_alone("b.h5", "1 failed");
    cr_expect(sh("$M compare a.h5 b.h5") != 0 && strstr(out, "unfinished: account not done"), "%s%s", out, err);
}

/* A record that has other parts of a step, as another version may: shown and drawn, and compare does not take its
 * step for ours. */
Test(overhead_headline, of_another_version_is_shown) {
    static const char *const dataset[] = {"batch", "sets", "seconds", "order", "flags", "clock"};
    hsize_t extent[3];
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --rounds 8 --out a.h5 -q; cp a.h5 b.h5");
    hid_t file = H5Fopen("b.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t all = H5Dopen2(file, "/timing/subject", H5P_DEFAULT), type = H5Dget_type(all), space = H5Dget_space(all);
    H5Sget_simple_extent_dims(space, extent, NULL);
    char *names = calloc(extent[0], H5Tget_size(type));
    cr_assert(names && H5Dread(all, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0 &&
              H5Ldelete(file, "/timing/subject", H5P_DEFAULT) >= 0);
    extent[0] -= 3; /* the last three, of identity HC */
    hid_t few = H5Dcreate2(file, "/timing/subject", type, H5Screate_simple(1, extent, NULL), H5P_DEFAULT, H5P_DEFAULT,
                           H5P_DEFAULT);
    cr_assert(few >= 0 && H5Dwrite(few, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0);
    H5Dclose(few);
    H5Dclose(all);
    free(names);
    for (size_t k = 0; k < sizeof dataset / sizeof *dataset; k++) {
        char name[64];
        snprintf(name, sizeof name, "/timing/%s", dataset[k]);
        hid_t data = H5Dopen2(file, name, H5P_DEFAULT);
        space = H5Dget_space(data);
        cr_assert(H5Sget_simple_extent_dims(space, extent, NULL) >= 2);
        extent[1] -= 3;
        cr_assert(H5Dset_extent(data, extent) >= 0, "%s", name);
        H5Sclose(space);
        H5Dclose(data);
    }
    H5Fclose(file);
    GOOD("for f in a b; do $M show $f.h5 --account | sed -n '/^mhc: /,/^identity: /p' >$f.txt; done; test -s a.txt "
         "&& diff a.txt b.txt && $M show b.h5 --headline");
    cr_expect(strstr(out, "\nmhc              13.7 "), "%s", out);
    GOOD("ln -s $R/plots plots && $M plot b.h5 --out figures && test -s figures/overhead.svg");
    cr_expect(sh("$M compare b.h5 a.h5 --strict") == 3 && strstr(out, "of different parts"), "%s%s", out, err);
}

/* A library by its path runs on the CPU unless it says that it has a device: then the paper's number, which is of GPUs,
 * stands neither in a table nor in a figure. */
Test(overhead_headline, the_papers_number_is_beside_devices_alone) {
    static const char *const backends[] = {"$FAKE_ROWS", "./fake.so"};
    GOOD("ln -s $R/plots plots");
    for (int device = 0; device < 2; device++) {
        GOOD("$M run --study overhead --backend %s --type f32 --depth 1 --width 16 --head-dim 8 --tokens 6 --timed mhc "
             "--rounds 3 --out a.h5 --overwrite -q && $M show a.h5 --headline",
             backends[device]);
        cr_expect((strstr(out, "the paper's 6.7 %") != NULL) == device, "%s", out);
        GOOD("$M plot a.h5 --figure overhead --format svg --out f%d && grep -x 'PAPER = %d' f%d/data/overhead.gp",
             device, device, device);
    }
}
