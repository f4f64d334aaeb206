/* `regress` on libraries with planted bugs: each is one INVALID row, and the rest of the run goes on. */
#include "tests/regress_command.h"

TestSuite(regress, .init = enter, .fini = leave, .timeout = 1800);

Test(regress, the_builds_own_libraries) {
    GOOD("$M regress --against cpu --speed none --strict -q");
    cr_expect(strstr(out, " SAME; no regression\n") && !strstr(out, "  vary  ") &&
                  strstr(out, "\nThe new library is at least as right as the old one; its speed was not measured.\n"),
              "%s", out);
    cr_expect(strstr(row_of("mhc.backward --width 256 --type f32"), "  equal  ") &&
                  *row_of("mlp.forward --width 33 --tokens 5 --type f64"),
              "every operation in every type:\n%s", out);
    GOOD("$M regress --against cpu32 ${M%%/*}/libmhc_cpu.so --speed none -q --operation mhc.post --type f32 && "
         "$M regress --against cpu32 --speed none -q --operation mhc.post");
    cr_expect(strstr(out, "both are the same file") && strstr(row_of("mhc.post --type f32"), "SAME"), "%s", out);
    GOOD("$M regress --against emu --speed none --strict -q --tokens 5 --width 24");
    cr_expect(strstr(out, "\nbase err, new err: largest error ") && strstr(out, "\nmhc.X as mhc-micro: "), "%s", out);
    cr_expect(strstr(row_of("mhc.post --width 24 --tokens 5 --type bf16 as mhc-micro"), "SAME"), "every form:\n%s",
              out);
    /* one library against quite another: bits differ, accuracy decides */
    GOOD("$M regress --against cpu emu --speed none -q --operation mhc.pre,mhc.post,mhc.post_backward_y "
         "--map sinkhorn --type f32 --tokens 5 --width 24");
    cr_expect(strstr(row_of("mhc.pre --width 24 --tokens 5 --type f32  "), " of 240") &&
                  strstr(out, " 3 SAME; no regression"),
              "%s", out);
    /* every map that changes what an operation reads */
    GOOD("$M regress --against emu --speed none -q --operation 'mhc.pre,mhc.post,map.backward' --type f32 --tokens 5 "
         "--width 24");
    static const char *const cases[] = {"mhc.pre --width",
                                        "mhc.pre --map identity",
                                        "mhc.pre --map free",
                                        "mhc.pre --map kronecker",
                                        "mhc.post --width",
                                        "mhc.post --map identity",
                                        "map.backward --width",
                                        "map.backward --map free",
                                        "map.backward --map kronecker",
                                        "mhc.pre --map permutations",
                                        "mhc.pre --map orthostochastic",
                                        "map.backward --map transport",
                                        "map.backward --map spectral",
                                        "map.backward --map circulant"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        expect_row("maps", cases[k], "SAME", "right; ");
    cr_expect(!*row_of("mhc.post --map free") && !*row_of("map.backward --map identity"), "%s", out);
    /* a host executor is no clock */
    GOOD("$M regress --against emu -q --operation mhc.post --type f32 --strict");
    expect_row("emu", "mhc.post", "SAME", "a host executor says nothing of a device's time");
    GOOD("$M regress --against cpu -q --operation mhc.post --budget 0.02 --type f32 "
         "--speed report"); /* whatever comes of it, it was timed */
    cr_expect(strstr(row_of("mhc.post"), "["), "%s", out);
    GOOD("$M regress --against cpu $R/suites/kernels.suite --operation mhc.pre,mhc.post,mhc.post_backward_y "
         "--tokens 8 --width 16 --speed none -q");
    cr_expect(strstr(out, "\n6 cases: 6 SAME"), "%s", out); /* three operations, two types, and backends do not count */
}

Test(regress, planted_bugs) {
    static const struct {
        const char *bug;
        const char *verdict, *why;
    } bugs[] = {
        {"ONE_ELEMENT", "INVALID", "mhc.post is wrong: x_next["},
        {"NOT_A_NUMBER", "INVALID", "nan, the reference has"},
        {"MISSING_WRITE", "INVALID", "1 of 1188 elements of `x_next` were not written, the first is 1187"},
        {"BEHIND", "INVALID", "output `x_next` was written 1 bytes behind its end"},
        {"FAR_BEHIND", "INVALID", "output `x_next` was written 1601 bytes behind its end"},
        {"BEFORE", "INVALID", "output `x_next` was written 4 bytes before its start"},
        {"CHANGES_INPUT", "INVALID", "input `x` was changed at byte"},
        {"CHANGES_LAST_BIT", "INVALID", "its bits vary from run to run, and those of the old library do not"},
        {"READS_OUTPUT", "INVALID", "nan, the reference has"},
        {"READS_WORK", "INVALID", "depends on what its memory held before"},
        {"WORK_OVERRUN", "INVALID", "memory `work` was written 1 bytes behind its end"},
        {"FAILS", "INVALID", "the planted failure"},
        {"CRASHES", "INVALID", "the worker crashed: Aborted"},
        {"OTHER_ARGS", "INVALID", "its arguments are not those of cpu64, see `y`"},
        {"NO_ORACLE", "MISSING", "the new one says: mhc.post: the backend has no such operation"},
        {"HANGS", "INVALID", "time limit of 2"},
        {"A_THOUSANDTH", "INVALID", "is wrong: x_next["},
        {"ONE_BIT", "SAME", "  1 of 1188  "},
        {"ENDS", "INVALID", "the worker ended with status 0"},
        {"ALLOWS_MORE", "INVALID", "mhc.post is wrong: x_next["},
    };
    GOOD(CC "$R/tests/planted_library.c $R/cpu_ref/operations.c -o good.so && "
            "$M regress --against good.so good.so --speed none --strict -q");
    cr_expect(strstr(out, "\n8 cases: 8 SAME"), "%s", out);
    for (size_t k = 0; k < sizeof bugs / sizeof *bugs; k++) {
        const char *what = bugs[k].bug;
        bool bad = strcmp(bugs[k].verdict, "SAME");
        GOOD(CC "-DBUG=%s $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so", bugs[k].bug);
        int code = sh("$M regress --against good.so bad.so --speed none --timeout 2 --tokens 9 --width 33 -q");
        cr_expect(code == bad && bad == !!strstr(out, "\nThe new library must not replace the old one: mhc.post --"),
                  "%s: exit %d\n%s%s", what, code, out, err);
        expect_row(what, "mhc.post --width 33 --tokens 9 --type f32   ", bugs[k].verdict, bugs[k].why);
        expect_row(what, "mhc.post --width 33 --tokens 9 --type f32 as mhc-micro", "SAME", "");
        expect_row(what, "resnet.backward", "SAME", "equal"); /* the rest of the run went on */
        /* a broken old library is no reason to refuse a new one; where they cannot be told apart nothing is new */
        if (bad && strcmp(bugs[k].bug, "NO_ORACLE") && strcmp(bugs[k].bug, "CHANGES_LAST_BIT")) {
            code = sh("$M regress --against bad.so good.so --speed none --timeout 2 --tokens 9 --width 33 -q");
            cr_expect(code == 0, "%s: the other way round: exit %d\n%s%s", what, code, out, err);
            expect_row(what, "mhc.post --width 33 --tokens 9 --type f32   ", "NEW", "the old library was not: ");
        }
    }
}

/* A bug in one operation that shows in others: what is kept for the backward, what all rows allow or support. */
Test(regress, planted_bugs_of_several_rows) {
    GOOD(CC "$R/tests/planted_library.c $R/cpu_ref/operations.c -o good.so");
    GOOD(CC "-DBUG=SAVE_OVERRUN $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so");
    cr_expect(sh("$M regress --against good.so bad.so --speed none -q") == 1);
    expect_row("save", "resnet.pre", "INVALID", "memory `save` was written 1 bytes behind its end");
    GOOD(CC "-DBUG=CHANGES_SAVE $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so");
    cr_expect(sh("$M regress --against good.so bad.so --speed none -q") == 1);
    expect_row("save", "resnet.backward", "INVALID", "memory `save` was changed at byte 0 of 16");
    GOOD(CC "-DBUG=ALLOWS_ALL $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so");
    cr_expect(sh("$M regress --against good.so bad.so --speed none -q") == 1 && strstr(out, "8 INVALID"), "%s", out);
    expect_row("a tolerance of 1", "mhc.post", "INVALID", "it allows itself an error of 1, which proves nothing");
    GOOD(CC "-DBUG=SUPPORTS_NONE $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so");
    cr_expect(sh("$M regress --against good.so bad.so --speed none -q") == 1 && strstr(out, "8 MISSING"), "%s", out);
    cr_expect(sh("$M regress --against bad.so good.so --speed none -q") == 2 &&
                  strstr(out, "8 NEW; nothing was compared"),
              "%s", out);
    cr_expect(sh("$M regress --against bad.so bad.so --speed none -q") == 2, "%s", out);
}

/* One wrong element in a million, at the shape that has as many. */
Test(regress, one_in_a_million) {
    GOOD(CC "$R/tests/planted_library.c $R/cpu_ref/operations.c -o good.so && " CC
            "-DBUG=ONE_ELEMENT $R/tests/planted_library.c $R/cpu_ref/operations.c -o bad.so && " CC
            "-DBUG=ONE_BIT $R/tests/planted_library.c $R/cpu_ref/operations.c -o bit.so");
    cr_expect(
        sh("$M regress --against good.so bad.so --operation mhc.post --tokens 256 --width 1024 --speed none -q") == 1,
        "%s", out);
    expect_row("a million", "mhc.post --width 1024 --tokens 256 --type f32  ", "INVALID", "x_next[1048575]");
    GOOD("$M regress --against good.so bit.so --operation mhc.post --tokens 256 --width 1024 --speed none -q");
    expect_row("a bit", "mhc.post --width 1024 --tokens 256 --type f32  ", "SAME", "1 of 1048576");
}

/* The library that the README sends people to. */
Test(regress, a_library_of_ones_own) {
    GOOD("cc -Wall -Wextra -Wpedantic -Werror -O2 -shared -fPIC -fvisibility=hidden -I$R $R/tests/example_library.c "
         "$R/cpu_ref/operations.c -o mine.so && for b in 1 2; do " CC
         "-DBROKEN=$b $R/tests/example_library.c $R/cpu_ref/operations.c -o broken$b.so || exit 1; done");
    GOOD("$M regress --against cpu ./mine.so --operation mhc.post,mhc.post_backward_y --type f32 --speed none -q");
    cr_expect(strstr(out, "\n2 cases: 2 SAME") && strstr(out, "\nleft out: 1 cases of residual maps "), "%s", out);
    cr_expect(sh("$M regress --against cpu ./mine.so --operation mhc.post --map identity --type f32 --speed none -q") ==
                      1 &&
                  strstr(row_of("mhc.post --map identity"), "MISSING"),
              "%s", out);
    /* its widest type is found without the ends of a stack to tell it */
    GOOD("$M verify $R/tests/vectors/public.h5 --backend ./mine.so --case '*mhc*' | grep -c ' pass '");
    GOOD("$M run --study kernels --operation 'mhc.*' --backend ./mine.so --rounds 2 -q --out mine.h5");
    GOOD("$M regress --against mine.so mine.so --speed none --strict -q");
    cr_expect(strstr(out, "\nboth are the same file: whatever changed is not in it\n"), "%s", out);
    cr_expect(strstr(out, "\n4 cases: 4 SAME"), "%s", out);
    GOOD("$M regress --against mine.so mine.so --operation mhc.post,mhc.pre --speed none -q");
    cr_expect(strstr(out, "\nneither library has 1 of the 2 operations and shapes asked for\n"), "%s", out);
    GOOD("$M regress --against mine.so mine.so --speed report --budget 0.02 -q");
    cr_expect(sh("$M regress --against mine.so broken1.so --speed none -q") == 1);
    expect_row("off by 1e-3", "mhc.post --width 256", "INVALID", "mhc.post is wrong");
    cr_expect(sh("$M regress --against mine.so broken2.so --speed none -q") == 1);
    expect_row("forgets a channel", "mhc.post --width 256", "INVALID",
               "256 of 65536 elements of `x_next` were not written, the first is 255");
    /* the line under a row finds it again */
    cr_expect(sh("$($M regress --against mine.so broken2.so --speed none -q | grep -m 1 ' regress --against')") == 1);
    cr_expect(strstr(out, "\n1 cases: 1 INVALID; REGRESSION in 1\n"), "%s", out);
    cr_expect(sh("$M regress --against cpu ./mine.so --speed none -q") == 1 && strstr(row_of("hc.pre"), "MISSING"),
              "%s", out);
}

Test(regress, bad_input) {
    GOOD(CC "$R/tests/example_library.c $R/cpu_ref/operations.c -o mine.so; echo no library >garbage.so; "
            "cp mine.so kept.so");
    GOOD("printf '#include <stdlib.h>\\n__attribute__((constructor)) static void no(void) { abort(); }' | "
         "cc -shared -fPIC -x c - -o dies.so");
    write_text("maps.suite", "--study maps --block hc\n");
    const char *const bad[][2] = {
        {"$M regress", "usage: mhcbench regress --against OLD"},
        {"$M regress --against", "--against needs a value"},
        {"$M regress --against cpu --backend cpu32", "--backend: the libraries are named by --against OLD and NEW"},
        {"$M regress --against ''", "usage: mhcbench regress"},
        {"$M regress --against nosuch.so", "not one of"},
        {"$M regress --against ./nosuch.so", "no such library"},
        {"$M regress --against garbage.so", "backend ./garbage.so"},
        {"$M regress --against dies.so", "dies.so: the worker crashed: Aborted"},
        {"$M regress --against mine.so dies.so", "dies.so: the worker crashed: Aborted"},
        {"$M regress --against mine.so nosuch", "not one of"},
        {"$M regress --against mine.so", "mine.so calls itself example: say which library is the new one"},
        {"$M regress --against mine.so mine.so nosuch.suite", "nosuch.suite: No such file"},
        {"$M regress --against mine.so mine.so maps.suite", "no case of --study kernels"},
        {"$M regress --against mine.so mine.so --operation nothing", "--operation nothing: no such operation"},
        {"$M regress --against mine.so mine.so --depth 3", "--depth has no meaning in --study kernels"},
        {"$M regress --against mine.so mine.so --study maps", "has no meaning in --study maps"},
        {"$M regress --against mine.so mine.so --timeout 0", "--timeout 0: seconds"},
        {"$M regress --against mine.so mine.so --threshold 0", "--threshold 0: percent"},
        {"$M regress --against mine.so mine.so --threshold nan", "--threshold nan: percent"},
        {"$M regress --against mine.so mine.so --speed fast", "--speed fast: one of"},
        {"$M regress --against mine.so mine.so --bogus 1", "unknown option --bogus"},
        {"$M regress --against mine.so mine.so --json mine.so", "mine.so is an input here"},
        {"$M regress --against mine.so mine.so --operation mhc.post --speed none -q >/dev/full", "standard output"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        expect_refusal(bad[k][0], bad[k][1]);
    GOOD("cmp mine.so kept.so && $M regress --help");
    /* no table without a row: why there is none */
    expect_refusal("$M regress --against mine.so cpu32 --type f64 --operation mhc.post,mlp.forward -q",
                   "neither library has what --type asks for; mine.so has these operations in f32, cpu32 in f32");
    expect_refusal("$M regress --against mine.so mine.so --type bf16 -q --json none.json",
                   "mine.so has these operations in f32, mine.so in f32");
    GOOD("grep '\"exit\": 2, \"cases\": 0' none.json");
    expect_refusal("$M regress --against mine.so mine.so --operation mlp.forward -q",
                   "neither library has these operations: mlp.forward: the backend has no such operation");
    /* what there is no memory for is said, and the rest is judged */
    static const char command[] =
        "$M regress --against mine.so mine.so --operation mhc.post --type f32 --speed none -q --width 64,100000 "
        "--tokens";
    cr_expect(sh("%s 100000000", command) == 2 && strstr(out, "GB of memory") && strstr(out, "nothing was compared"),
              "%s%s", out, err);
    GOOD("%s 8,100000000 --zip tokens,width", command);
    expect_row("GB", "--tokens 100000000", "AMBIGUOUS", "not enough memory on this machine, the old library: needs ");
    expect_row("small", "--tokens 8", "SAME", "");
}

Test(regress, interrupted) {
    GOOD(CC "-DBUG=HANGS $R/tests/planted_library.c $R/cpu_ref/operations.c -o hangs.so");
    pid_t child = start(
        "exec $M regress --against hangs.so hangs.so --operation resnet.pre,mhc.post --map sinkhorn --speed none "
        "--json r.json --junit r.xml");
    sleep(2);
    kill(child, SIGINT);
    int code = result_of(child);
    cr_expect(code == 130 && !strstr(out, "no regression") && strstr(row_of("resnet.pre"), "SAME"), "exit %d\n%s%s",
              code, out, err);
    cr_expect(
        strstr(out, "\n1 cases: 1 SAME; interrupted: 1 of 2 operations and shapes were judged, nothing is known of the "
                    "others\n"),
        "%s", out);
    GOOD("cat r.json r.xml");
    cr_expect(strstr(out, "\"interrupted\": \"1 of 2 ") && strstr(out, "\"exit\": 130") &&
                  strstr(out, "tests=\"2\" failures=\"0\" errors=\"1\""),
              "%s", out);
}

/* Killed from outside, as by a system without memory, is no verdict; what is held more is told. */
Test(regress, killed_and_more_memory) {
    GOOD("for b in NO_BUG KILLED MORE_WORK; do " CC
         "-DBUG=$b $R/tests/planted_library.c $R/cpu_ref/operations.c -o $b.so || exit 1; done");
    static const char options[] = "--operation mhc.post,resnet.pre --tokens 9 --width 33 --type f32 --speed none -q";
    GOOD("$M regress --against NO_BUG.so KILLED.so %s", options);
    expect_row("killed", "mhc.post --width 33 --tokens 9 --type f32   ", "AMBIGUOUS",
               "not judged, the new library: the worker was killed (out of memory?)");
    expect_row("killed", "resnet.pre", "SAME", "");
    cr_expect(strstr(out, "; no regression found, 1 not settled\n"), "%s", out);
    cr_expect(sh("$M regress --against KILLED.so NO_BUG.so %s --strict", options) == 3, "%s", out);
    expect_row("killed", "mhc.post --width 33 --tokens 9 --type f32   ", "AMBIGUOUS", "not judged, the old library");
    GOOD("$M regress --against NO_BUG.so MORE_WORK.so %s --strict", options);
    expect_row("more", "mhc.post --width 33 --tokens 9 --type f32   ", "SAME",
               "; asks for 32 bytes of save and work, was 16");
    GOOD("for b in HUGE_WORK NO_ORACLE; do " CC
         "-DBUG=$b $R/tests/planted_library.c $R/cpu_ref/operations.c -o $b.so || exit 1; done");
    cr_expect(sh("$M regress --against NO_BUG.so HUGE_WORK.so %s", options) == 1, "%s", out);
    expect_row("huge", "mhc.post --width 33 --tokens 9 --type f32   ", "INVALID", "the case needs ");
    GOOD("$M regress --against HUGE_WORK.so NO_BUG.so %s", options);
    expect_row("was huge", "mhc.post --width 33 --tokens 9 --type f32   ", "AMBIGUOUS",
               "not enough memory on this machine, the old library");
    cr_expect(sh("$M regress --against HUGE_WORK.so NO_ORACLE.so %s", options) == 1, "%s", out);
    expect_row("missing", "mhc.post --width 33 --tokens 9 --type f32   ", "MISSING", "the new one says");
}

#ifndef __SANITIZE_ADDRESS__ /* which needs more address space than there is */
/* Missing memory is no library's fault, and the run goes on. */
Test(regress, too_little_memory) {
    static const char command[] =
        "ulimit -v 1500000; $M regress --against good.so good.so --operation mhc.post --tokens 64,5000 --width "
        "64,2560 --zip tokens,width --type f32 --speed none -q";
    GOOD(CC "$R/tests/planted_library.c $R/cpu_ref/operations.c -o good.so && %s", command);
    expect_row("large", "mhc.post --width 2560 --tokens 5000 --type f32  ", "AMBIGUOUS", "not enough memory");
    expect_row("small", "mhc.post --type f32  ", "SAME", "");
    cr_expect(sh("%s --strict", command) == 3, "%s", out);
}
#endif
