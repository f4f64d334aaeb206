/* What `show` prints of every study: no line of text is wider than 100 columns, a headline has at most 15 lines
 * under that of the file and an empty one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/record.h"
#include "tests/command.h"

TestSuite(show, .init = enter, .fini = leave, .timeout = 1800);

enum { COLUMNS = 100, LINES = 2 + 15 };

/* The longest line of a text, in characters. */
static int widest(const char *text) {
    int most = 0, now = 0;
    for (; *text; text++) {
        now = *text == '\n' ? 0 : now + ((*text & 0xc0) != 0x80);
        most = now > most ? now : most;
    }
    return most;
}

static int lines_of(const char *text) {
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Every way of showing a record as text is narrow enough; `answer` stands in its headline. */
static void expect_legible(const char *record, const char *answer) {
    static const char *const ways[] = {"", "--all", "--account", "--headline"};
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        GOOD("$M show %s %s", record, ways[k]);
        cr_expect(widest(out) <= COLUMNS, "%s %s has %d columns:\n%s", record, ways[k], widest(out), out);
    }
    cr_expect(lines_of(out) <= LINES, "%s: %d lines\n%s", record, lines_of(out), out);
    cr_expect(strstr(out, answer), "%s does not say \"%s\":\n%s", record, answer, out);
}

Test(show, maps_fit) {
    GOOD("$M run --study maps --connection hc,mhc --d 12 --w 0.123456,0.3 --s 0.5,7 --alpha 0 --depth 40,60 --t-max "
         "5,20 --seed 1:3:1 --out a.h5 -q");
    expect_legible("a.h5", "mHC: the Amax gain goes from ");
    GOOD("$M run --study maps --connection hc --w 0.4 --alpha 0 --depth 60 --seed 1:3:1 --out b.h5 -q");
    expect_legible("b.h5", "HC: the gradient's Amax gain over 60 layers reaches ");
}

/* The table beside the paper, with the sentence that says what it shows. */
Test(show, calibrated_maps_fit) {
    GOOD("$M run --study maps --connection hc,mhc --w 0.3,0.35 --s 2 --alpha 0 --seed 1:32:1 --out a.h5 -q");
    expect_legible("a.h5", "Random HC amplifies a signal by ");
    cr_expect(strstr(out, "a calibration, not a result"), "%s", out);
}

Test(show, stacks_fit) {
    GOOD("$M run --study propagate --connection resnet,hc,mhc,kromhc --depth 4,8 --width 8 --tokens 4,8 --seed 1:3:1 "
         "--measure gain+spectrum+mixing+stream+gradient --out a.h5 -q");
    expect_legible("a.h5", "How much do the maps of a running stack amplify?");
}

Test(show, operations_fit) {
    GOOD("$M run --study kernels --operation mhc.*,micro.*,gemm.forward --backend cpu32 --tokens 8,16 --width 32 "
         "--rounds 8 --out a.h5 -q");
    expect_legible("a.h5", "Farthest: ");
    GOOD("$M run --study kernels --operation mhc.pre --backend cpu32 --tokens 8 --width 32 --rounds 3 --out b.h5 -q");
    expect_legible("b.h5", "Too few rounds for an interval: there is no result.");
}

Test(show, recomputing_fits) {
    GOOD("$M run --study recompute --connection mhc --depth 8 --width 16 --tokens 8 --recompute 1,2,4,keep --backend "
         "cpu32 --rounds 8 --out a.h5 -q");
    expect_legible("a.h5", "The paper's rule, every ");
    cr_expect(strstr(out, " of the rule's time."), "%s", out);
}

/* On a CPU neither the paper's figure nor a value without an interval is shown as a result. */
Test(show, overheads_fit_and_do_not_mislead) {
    GOOD("$M run --study overhead --backend cpu32 --depth 2 --width 16 --head-dim 8 --tokens 8 --attention off,on "
         "--timed all --rounds 8 --out a.h5 -q");
    expect_legible("a.h5", "On the CPU it shows that everything runs");
    cr_expect(strstr(out, " time per step than a plain residual ") || strstr(out, " is not told from zero: "), "%s",
              out);
    cr_expect(strstr(out, "\nKernels: cpu32") && !strstr(out, "cluster"), "%s", out);
    GOOD("$M show a.h5 --account");
    cr_expect(!strstr(out, "The paper's 6.7 %") && !strstr(out, "cluster"), "%s", out);
    GOOD("$M run --study overhead --backend cpu32 --depth 2 --width 16 --head-dim 8 --tokens 8 --rounds 3 --out b.h5 "
         "-q");
    expect_legible("b.h5", "Too few rounds for an interval: there is no result.");
    cr_expect(!strstr(out, "[?]") && strstr(out, "mhc ") && !strstr(strstr(out, "mhc "), "%"), "%s", out);
}

Test(show, training_fits) {
    GOOD("ln -s $R/suites suites && $M run suites/train-smoke.suite --out a.h5 -q");
    expect_legible("a.h5", "How much do trained stacks amplify?");
    GOOD("$M run suites/train-smoke.suite --learning-rate 0.001,0.01 --connection resnet,hc,mhc --seed 1,2 --backend "
         "cpu32 --out b.h5 -q");
    expect_legible("b.h5", "HC: the Amax gain ");
}

/* A command, a failure and names of files that are longer than a line. */
Test(show, heads_and_failures_fit) {
    GOOD("mkdir a-folder-whose-name-is-long && $M run --study propagate --connection mhc --depth 4 --width 8 --tokens "
         "4 --backend cpu64 --seed 1:3:1 --measure gain+stream --record summary --timeout 600 --out "
         "a-folder-whose-name-is-long/a.h5 -q");
    expect_legible("a-folder-whose-name-is-long/a.h5", "mHC: the ");
}
