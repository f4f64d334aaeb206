/* What `regress` says of speed and of what happens while it times: on a device whose clock is a counter; of real times
 * only such are asked for as are many times apart. */
#include "tests/regress_command.h"

TestSuite(regress_speed, .init = enter, .fini = leave, .timeout = 1800);

/* Time of a device that does not exist is what its counter says. */
Test(regress_speed, speed) {
    static const struct {
        const char *cost, *verdict, *why;
        int code;
    } costs[] = {{"3e-4", "SAME", "within 3 %", 0},
                 {"3.05e-4", "SAME", "within 3 %", 0},
                 {"3.3e-4", "SLOWER", "10.0 % slower, found twice", 1},
                 {"3.6e-4", "SLOWER", "20.0 % slower, found twice", 1},
                 {"2.5e-4", "FASTER", "16.7 % faster, found twice", 0}};
    GOOD(CC "$R/tests/fake_device.c $R/cpu_ref/operations.c -o old.so");
    for (size_t k = 0; k < sizeof costs / sizeof *costs; k++) {
        GOOD(CC "-DCOST=%s $R/tests/fake_device.c $R/cpu_ref/operations.c -o new.so", costs[k].cost);
        int code = sh("$M regress --against old.so new.so --tokens 6 --width 6 -q");
        cr_expect(code == costs[k].code, "%s: exit %d\n%s%s", costs[k].cost, code, out, err);
        expect_row(costs[k].cost, "mhc.post_backward_y", costs[k].verdict, costs[k].why);
    }
    GOOD(CC "-DCOST=3.6e-4 $R/tests/fake_device.c $R/cpu_ref/operations.c -o new.so");
    GOOD("$M regress --against old.so new.so --tokens 6 --width 6 -q --speed report --strict");
    expect_row("report", "mhc.post_backward_y", "SLOWER", "reported, not gated");
    GOOD("$M regress --against old.so new.so --tokens 6 --width 6 -q --threshold 25");
    expect_row("threshold", "mhc.post_backward_y", "SAME", "within 25 %");
    cr_expect(sh("$M regress --against old.so new.so --tokens 6 --width 6 -q --rounds 4 --strict") == 3, "%s", out);
    expect_row("4 rounds", "mhc.post_backward_y", "AMBIGUOUS", "only ");
    /* where launches wait for the device their gaps are timed too: a difference is one, but no SAME is to be had */
    cr_expect(sh("FAKE_DEVICE_BLOCKING=1 $M regress --against old.so new.so --tokens 6 --width 6 -q") == 1, "%s", out);
    expect_row("gaps", "mhc.post_backward_y", "SLOWER", " % slower, found twice");
    cr_expect(sh("FAKE_DEVICE_BLOCKING=1 $M regress --against old.so old.so --tokens 6 --width 6 -q --strict") == 3,
              "%s", out);
    expect_row("gaps", "mhc.post_backward_y", "AMBIGUOUS", "within 3 %, but gaps between launches were timed too");
    /* wrong, failing, crashing and wrong after a while: each its row, and the last is right again */
    cr_expect(sh("$M regress --against old.so old.so --tokens 6 --width 7,8,9,10,11 -q --json r.json --junit r.xml") ==
              1);
    expect_row("width 7", "--width 7", "INVALID", "grad_y[7] is ");
    expect_row("width 8", "--width 8", "INVALID", "the device failed");
    expect_row("width 9", "--width 9", "INVALID", "the worker crashed: Aborted");
    expect_row("width 10", "--width 10", "INVALID", "mhc.post_backward_y is wrong: grad_y[10]");
    expect_row("width 11", "--width 11", "SAME", "");
    cr_expect(strstr(out, "\n5 cases: 4 INVALID 1 SAME; REGRESSION in 4\n"), "%s", out);
    GOOD("cat r.json r.xml");
    cr_expect(strstr(out, "\"exit\": 1, \"cases\": 5") && strstr(out, "tests=\"5\" failures=\"4\""), "%s", out);
}

/* What is found on the host is looked for again in copies of both files, which lie elsewhere. Five times as slow is
 * no matter of chance. */
Test(regress_speed, finds_it_again_in_copies) {
    GOOD("cp ${M%%/*}/libmhc_cpu.so inner.so && " CC
         "-DPERCENT=400 '-DINNER=\"./inner.so\"' '-DLOG=\"loads\"' $R/tests/slower_library.c -o slow.so");
    cr_expect(sh("$M regress --against inner.so slow.so --operation mhc.post --type f32 --tokens 64 --width 64 -q") ==
                  1,
              "%s", out);
    expect_row("slow", "mhc.post", "SLOWER", " % slower, found twice");
    GOOD("cat loads");
    cr_expect(strstr(out, "slow.so\n") && strstr(out, "/proc/self/fd/"), "%s", out);
}

/* What fails only after some calls is seen while both are timed: the library that was running has failed, even if it
 * took the process along. */
Test(regress_speed, failing_while_timed) {
    static const struct {
        const char *bug, *why;
    } bugs[] = {{"LATER_FAILS", "failed while it was timed: the planted failure"},
                {"LATER_CRASHES", "failed while it was timed: the worker crashed: Aborted"},
                {"LATER_HANGS", "failed while it was timed: time limit of "},
                {"LATER_ENDS", "failed while it was timed: the worker ended with status 0"},
                {"SLEEPS", "failed while it was timed: time limit of "}};
    static const char options[] =
        "--operation mhc.post --tokens 9 --width 33 --type f32 --timeout 4 --budget 0.1 --speed report -q";
    GOOD(CC "$R/tests/planted_library.c $R/cpu_ref/operations.c -o good.so");
    for (size_t k = 0; k < sizeof bugs / sizeof *bugs; k++) {
        const char *what = bugs[k].bug;
        GOOD(CC "-DBUG=%s $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so", what);
        int code = sh("$M regress --against good.so bad.so %s", options);
        cr_expect(code == 1, "%s: exit %d\n%s%s", what, code, out, err);
        expect_row(what, "mhc.post --width 33 --tokens 9 --type f32 --budget 0.1   ", "INVALID",
                   strstr(bugs[k].why, "while"));
        code = sh("$M regress --against bad.so good.so %s", options);
        cr_expect(code == 3, "%s: the other way round: exit %d\n%s%s", what, code, out, err);
        expect_row(what, "mhc.post --width 33 --tokens 9 --type f32 --budget 0.1   ", "NEW", bugs[k].why);
        expect_row(what, "as mhc-micro", "", "right; "); /* the run went on */
    }
    /* as slow as each other: the limit is too short, which is no library's fault */
    GOOD(CC "-DBUG=NAPS $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so && cp bad.so too.so && "
            "$M regress --against bad.so too.so %s",
         options);
    expect_row("both sleep", "mhc.post --width 33 --tokens 9 --type f32 --budget 0.1   ", "AMBIGUOUS",
               "a larger --timeout");
    /* what an old library does beside the new one and not by itself is the new one's doing */
    GOOD(CC "-DBUG=SPOILS $R/tests/planted_library.c $R/cpu_ref/operations.c -o spoils.so && " CC
            "-DBUG=SPOILED $R/tests/planted_library.c $R/cpu_ref/operations.c -o spoiled.so");
    cr_expect(sh("$M regress --against spoiled.so spoils.so %s", options) == 1, "%s%s", out, err);
    expect_row("spoilt", "mhc.post --width 33 --tokens 9 --type f32 --budget 0.1   ", "INVALID",
               "the old library failed beside it, and not by itself, while it was timed");
    /* what it does once and never again is no verdict */
    GOOD(CC "-DBUG=FAILS_ONCE $R/tests/planted_library.c $R/cpu_ref/operations.c -o once.so && "
            "{ $M regress --against once.so good.so %s; test $? = 3; }",
         options);
    expect_row("once", "mhc.post --width 33 --tokens 9 --type f32 --budget 0.1   ", "AMBIGUOUS",
               "the old library failed once while it was timed, and not again");
}

/* Where memory lies makes some of what is timed faster by percents: both libraries find theirs in the same place. */
Test(regress_speed, timed_in_the_same_memory) {
    GOOD(CC "-DBUG=PLACES $R/tests/planted_library.c $R/cpu_ref/operations.c -o one.so && cp one.so other.so");
    for (int k = 0; k < 3; k++) {
        static const char *const operation[] = {"mhc.post", "resnet.pre", "resnet.backward"};
        sh("rm -f places; $M regress --against one.so other.so --operation %s --tokens 9 --width 33 --type f32 "
           "--budget 0.1 --speed report -q",
           operation[k]);
        /* two lines a process, of which there are more where something was found and looked for again */
        int code = sh(
            "awk 'NR %% 2 { first = $0; next } $0 != first { other = 1 } END { exit other || !NR || NR %% 2 }' places");
        cr_expect(code == 0, "%s: not the same place twice", operation[k]);
    }
}
