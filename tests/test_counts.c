/* What kernels ask of memory is what kernels/counts.txt says, at every run and in every order of threads; what moved is
 * named. `regress --counters` holds one library to another. */
#include "tests/command.h"

TestSuite(counts, .init = enter, .fini = leave, .timeout = 1800);

#define COUNTS "$B/tests/emu_counts $B/libmhc_counted.so "

Test(counts, are_those_of_the_table) {
    find_build();
    int code = sh(COUNTS "$R/kernels/counts.suite $R/kernels/counts.txt");
    cr_expect(code == 0 && !out[0], "exit %d; `make emu-counts` says what to do\n%.8000s%s", code, out, err);
}

Test(counts, are_the_same_in_every_order_of_threads) {
    find_build();
    write_text("some.suite",
               "--study kernels --type bf16 --tokens 20 --width 264 --operation mhc.pre,mhc.backward,norm.*\n");
    GOOD(COUNTS "some.suite >plain && grep -c '^    ' plain");
    cr_expect(atoi(out) > 15, "%s", out);
    GOOD("EMU_SHUFFLE=1 " COUNTS "some.suite >one && EMU_SHUFFLE=77 " COUNTS
         "some.suite >other && cmp plain one && cmp plain other");
}

Test(counts, what_moved_is_named) {
    find_build();
    write_text("some.suite",
               "--study kernels --type bf16 --tokens 32 --width 256 --operation mhc.post,norm.backward\n");
    GOOD(COUNTS "some.suite >table && " COUNTS "some.suite table");
    cr_expect(!out[0], "%s", out);
    GOOD("grep -q '| 2640 2048 |' table && sed 's/| 2640 2048 |/| 1320 2048 |/' table >other");
    int code = sh(COUNTS "some.suite other");
    cr_expect(code == 1 && strstr(out, "mhc.post ") &&
                  strstr(out, ": sectors read from DRAM at least 1320 -> 2640 (+100.0 %)\n"),
              "exit %d\n%s%s", code, out, err);
    GOOD("sed '/^norm.backward/,$d' table >other");
    code = sh(COUNTS "some.suite other");
    cr_expect(code == 1 && strstr(out, "norm.backward") && strstr(out, ": not in the table\n"), "exit %d\n%s", code,
              out);
    GOOD("sed 's/^# gcc.*/# gcc 1.0/; s/^    1 \\(.*\\) 0 160 0$/    1 \\1 0 161 0/' table >other &&"
         " ! cmp -s table other");
    GOOD(COUNTS "some.suite other"); /* another compiler's: DRAM alone counts */
}

/* The plain library has no counters, and no trace of them. */
Test(counts, cost_the_plain_library_nothing) {
    find_build();
    GOOD("nm $B/libmhc_emu.so | grep -q emu_run && ! nm -D $B/libmhc_emu.so | grep -q mhc_counters &&"
         " ! nm $B/libmhc_emu.so | grep -q 'count_\\(launch\\|running\\|event\\)'");
    expect_refusal("$M regress --counters --against emu", "not built to count");
}

/* --- regress --counters --- */

/* A small library with something planted; its shapes. */
static void build_counted(const char *plant, const char *library) {
    GOOD("g++ -std=c++20 -O1 -w -fPIC -fvisibility=hidden -fno-strict-aliasing -DEMU_COUNTED -fsanitize=thread "
         "-DPLANT=%s -I$R -c "
         "-x c++ $R/tests/counted.cu -o one.o && g++ -shared -o %s one.o $B/counted/kernels/host/*.o "
         "$B/counted/cpu_ref/operations.o",
         plant, library);
}
#define REGRESS \
    "$M regress --counters --against good.so %s --operation mhc.post_backward_y --type f32 --tokens 16 --width 256 %s"

Test(counts, regress_finds_what_is_planted) {
    static const struct {
        const char *plant, *text;
    } plants[] = {{"UNCOALESCED", "sectors of global requests 3072 -> "},
                  {"CONFLICT", "bank conflicts 0 -> "},
                  {"TWICE", "bytes moved at least 82176 -> "},
                  {"AGAIN", "sectors of global requests 3072 -> "}};
    find_build();
    build_counted("NOTHING", "good.so");
    GOOD(REGRESS, "good.so", "");
    cr_expect(strstr(out, "every count is the same") && strstr(out, "1 cases: 1 SAME; no regression\n"), "%s", out);
    for (size_t k = 0; k < sizeof plants / sizeof *plants; k++) {
        build_counted(plants[k].plant, "bad.so");
        int code = sh(REGRESS, "bad.so", "--json bad.json");
        cr_expect(code == 1 && strstr(out, "SLOWER") && strstr(out, "(counters) ") && strstr(out, plants[k].text),
                  "%s: exit %d\n%s%s", plants[k].plant, code, out, err);
        GOOD("grep -q SLOWER bad.json");
        code = sh(
            "$M regress --counters --against bad.so good.so --operation mhc.post_backward_y --type f32 --tokens 16 "
            "--width 256");
        cr_expect(code == 0 && strstr(out, "FASTER"), "%s: exit %d\n%s%s", plants[k].plant, code, out, err);
        cr_expect(sh(REGRESS, "bad.so", "--threshold 1000") == 0, "%s%s", out, err);
    }
}
