/* The kernels under the host executor: every row of libmhc_emu.so against cpu64 on random cases, the checker itself
 * against planted bugs, the vectors, and a whole study. TRIALS (default 500) and SEED (default 1) from the
 * environment. */
#include "tests/command.h"

#include <math.h>

#include "results/record.h"

TestSuite(emu, .init = enter, .fini = leave, .timeout = 1800);

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

#define CHECK "$M check"

static void expect_verdict(void) {
    const char *verdict = strstr(out, "\nverdict: ");
    cr_expect(verdict && strstr(verdict, " 0 failed\n"), "no good verdict:\n%s%s", out, err);
}

Test(emu, every_operation_is_right) {
    GOOD(CHECK " emu --trials %s --seed %s", setting("TRIALS", "500"), setting("SEED", "1"));
    expect_verdict();
}

Test(emu, in_any_order_of_threads) {
    GOOD("EMU_SHUFFLE=%s " CHECK " emu --trials 1 --seed %s", setting("SEED", "1"), setting("SEED", "1"));
    expect_verdict();
}

/* What other devices do: two passes in place of one, clusters of fewer blocks. */
Test(emu, with_smaller_clusters_and_without) {
    for (int k = 0; k < 4; k++)
        for (int most = 1; most <= 4; most *= 4) {
            GOOD("MHC_CLUSTER=%d " CHECK " emu --operation '*.%s' --trials 40", most,
                 ((const char *[]){"pre", "post_pre", "backward", "backward_y"})[k]);
            expect_verdict();
        }
}

/* A last bit of x_next moves the coefficients behind it by more than they may be off: a crossing is judged from what
 * it rounded itself. */
Test(emu, crossings_of_wide_layers_are_right) {
    GOOD("$M run --study kernels --operation hc.post_pre,mhc.backward_y --width 512 --tokens 32 --backend emu "
         "--type bf16 --seed 1:3:1 --budget 0.001 --out wide.h5 -q");
}

/* The check of arrays beyond 32 bits, at a limit that is soon reached. */
Test(emu, many_tokens_and_few_agree) {
    GOOD(CHECK " emu --large 20000");
    expect_verdict();
    GOOD("cc -O1 -shared -fPIC -w -I$R -DBUG=FAR_AWAY $R/tests/planted_library.c $R/cpu_ref/operations.c -o wrong.so");
    cr_expect(sh(CHECK " ./wrong.so --large 20000 --operation mhc.post") == 1 && strstr(out, "among many tokens"), "%s",
              out);
    GOOD(CHECK " ./wrong.so --large 5000 --operation mhc.post");
}

/* --- the checker finds what it should --- */

static const struct {
    const char *bug, *text;
} bugs[] = {{"ONE_ELEMENT", "times the tolerance"},
            {"NOT_A_NUMBER", "nan, the reference has"},
            {"MISSING_WRITE", "were not written"},
            {"BEHIND", "`x_next` was written"},
            {"FAR_BEHIND", "`x_next` was written 1601 bytes behind its end"},
            {"BEFORE", "bytes before its start"},
            {"CHANGES_INPUT", "input `x` was changed"},
            {"CHANGES_LAST_BIT", "differs between two runs"},
            {"READS_OUTPUT", "`x_next` "},
            {"READS_WORK", "differs between two runs"},
            {"WORK_OVERRUN", "memory `work` was written 1 bytes behind its end"},
            {"SAVE_OVERRUN", "memory `save` was written 1 bytes behind its end"},
            {"CHANGES_SAVE", "memory `save` was changed at byte 0"},
            {"NO_GRAPH", "cannot be captured in a graph: the planted failure"},
            {"FAILS", "the planted failure"},
            {"CRASHES", "crashed: Aborted ["},
            {"ENDS", "it ended the process with status 0 ["},
            {"HANGS", "time limit of 1 s ["},
            {"SUPPORTS_HANGS", "FAIL mhc.post: time limit of 1 s [drawing a case]: "},
            {"CLOSE_HANGS", "FAIL after the last row: time limit of 1 s\n"},
            {"ONE_TOKEN", "nan, the reference has"},
            {"OTHER_FORM", "has other bits than that of mhc.post"},
            {"OTHER_ARGS", "its arguments are not those of cpu64's row mhc.post"},
            {"NO_ORACLE", "no oracle"},
            {"SUPPORTS_NONE", "not one case that it supports was found: not today"}};
enum { BUGS = sizeof bugs / sizeof *bugs };

Test(emu, the_checker_finds_planted_bugs) {
    GOOD("cc -O1 -shared -fPIC -w -I$R $R/tests/planted_library.c $R/cpu_ref/operations.c -o right.so");
    GOOD(CHECK " ./right.so --trials 60");
    expect_verdict();
    for (int k = 0; k < BUGS; k++) {
        GOOD("cc -O1 -shared -fPIC -w -I$R -DBUG=%s $R/tests/planted_library.c $R/cpu_ref/operations.c -o wrong.so",
             bugs[k].bug);
        int code = sh(CHECK " ./wrong.so --trials 60 --timeout 1");
        cr_expect(code == 1, "%s: exit %d\n%s%s", bugs[k].bug, code, out, err);
        cr_expect(strstr(out, "\nok   resnet.pre ") || strstr(out, "FAIL resnet."), "%s: the rest was not checked\n%s",
                  bugs[k].bug, out);
        cr_expect(strstr(out, "FAIL ") && strstr(out, bugs[k].text), "%s: no `%s` in\n%s", bugs[k].bug, bugs[k].text,
                  out);
    }
    cr_expect(sh(CHECK " emu --operation nothing.*") == 2 && strstr(err, "no row of emu is called nothing.*"));
    cr_expect(sh("$M check cpu32 --operation mhc.post,mhc.backwrad --trials 2") == 2 &&
              strstr(err, "no row of cpu32 is called mhc.backwrad"));
    cr_expect(sh("$M check cpu32 --operation mhc.post --trial 2 --minutes 1") == 2 &&
              strstr(err, "exclude each other"));
    cr_expect(sh(CHECK " ./nowhere.so") == 2 && strstr(err, "no such library"));
}

/* A process that was killed from outside says nothing of the library. */
Test(emu, the_checker_is_interrupted_or_killed) {
    GOOD("cc -O1 -shared -fPIC -w -I$R -DBUG=HANGS $R/tests/planted_library.c $R/cpu_ref/operations.c -o hangs.so && "
         "cc -O1 -shared -fPIC -w -I$R -DBUG=KILLED $R/tests/planted_library.c $R/cpu_ref/operations.c -o killed.so");
    pid_t child = start("exec $M check hangs.so --operation 'resnet.*,mhc.post' --trials 6");
    sleep(1);
    kill(child, SIGINT);
    int code = result_of(child);
    cr_expect(code == 130 && strstr(out, "verdict: interrupted: "), "exit %d\n%s%s", code, out, err);
    code = sh(CHECK " killed.so --operation mhc.post,resnet.pre --trials 6");
    cr_expect(code == 2 && strstr(out, "lost mhc.post: not checked: the process was killed") &&
                  strstr(out, "ok   resnet.pre") && strstr(out, " 0 failed, 1 rows not checked\n"),
              "exit %d\n%s%s", code, out, err);
}

/* After a crash the library has to be opened again: where that fails, the rows that are left are not checked, and it
 * is said once. */
Test(emu, the_checker_stops_when_nothing_opens) {
    GOOD(
        "cc -O1 -shared -fPIC -w -I$R -DBUG=OPENS_ONCE $R/tests/planted_library.c $R/cpu_ref/operations.c -o once.so "
        "&& "
        "cc -O1 -shared -fPIC -w -I$R -DBUG=OPEN_HANGS $R/tests/planted_library.c $R/cpu_ref/operations.c -o hangs.so");
    int code = sh("timeout 60 " CHECK " ./once.so --trials 6");
    cr_expect(code == 1 && strstr(out, "FAIL mhc.post: crashed: Aborted [") &&
                  strstr(out, "\nlost 3 rows: ./once.so cannot be opened any more\nverdict: ") &&
                  strstr(out, " 1 failed, 3 rows not checked\n") && strstr(err, "it was open before"),
              "exit %d\n%.2000s%.2000s", code, out, err);
    expect_refusal("timeout 60 $M check ./hangs.so --timeout 1", "./hangs.so: opening it: time limit of 1 s");
}

/* What is no library, or half a one, is one line; a command's --help is its own. */
Test(emu, the_checker_refuses) {
    static const char wrong[] = "MHC_OPERATION(mhc_post), .args = (const struct mhc_arg[]){{\"x\", \"Tnx\"}}";
    static const struct {
        const char *text, *instead, *why;
    } lacks[] = {{".supports = supports,", "", "row 0, mhc.post, has no supports()"},
                 {".tolerance = tolerance,", "", "row 0, mhc.post, has no tolerance()"},
                 {".run = post}", "}", "row 0, mhc.post, has no run()"},
                 {"MHC_OPERATION(mhc_post)", ".name = 0", "row 0, ?, has no name"},
                 {"MHC_OPERATION(mhc_post)", ".name = \"mhc.post\"", "row 0, mhc.post, has no flops()"},
                 {"MHC_OPERATION(mhc_post)", wrong, "has no valid extents"},
                 {", .rows = rows", "", "it has no rows"}};
    for (size_t k = 0; k < sizeof lacks / sizeof *lacks; k++) {
        GOOD("sed 's/%s/%s/' $R/tests/example_library.c >half.c && "
             "cc -w -shared -fPIC -I$R half.c $R/cpu_ref/operations.c -o half.so",
             lacks[k].text, lacks[k].instead);
        expect_refusal("$M check half.so", lacks[k].why);
    }
    GOOD("mkdir folder.so; echo text >text.so");
    expect_refusal("$M check folder.so", "backend ./folder.so: cannot read file data: Is a directory");
    expect_refusal("$M check text.so", "backend ./text.so: file too short");
    expect_refusal("$M check emu --rows 'mhc.*'", "unknown option --rows");
    expect_refusal("$M check", "usage: mhcbench check LIBRARY");
    GOOD("for c in check compare regress verify; do $M $c --help | grep -q \"^usage: mhcbench $c \" || exit 1; done");
}

/* --- through the program --- */

Test(emu, vectors) {
    GOOD("$M verify $R/tests/vectors/public.h5 --backend emu");
    cr_expect(strstr(out, " 0 failed, 0 skipped\n"), "%s", out + (strlen(out) > 400 ? strlen(out) - 400 : 0));
    GOOD("$M verify $R/tests/vectors/public.h5 --backend emu --type bf16");
    cr_expect(strstr(out, " 0 failed, "), "%s", out + (strlen(out) > 400 ? strlen(out) - 400 : 0));
}

/* The largest difference of a curve between two records of the same cases, as a share of 1 + its size. */
static double largest_difference(struct record_reader *a, struct record_reader *b, const char *name,
                                 int64_t *compared) {
    double largest = 0;
    for (int64_t i = 0; i < record_count(a); i++) {
        const double *one = record_curve_of(a, name, i), *other = record_curve_of(b, name, i);
        cr_assert(one && other, "%s: %s", name, record_error());
        for (int64_t l = 0; l < record_ints(a, "layers")[i]; l++) {
            double difference = fabs(one[l] - other[l]) / (1 + fabs(one[l]));
            cr_assert(isfinite(difference), "%s of case %lld, layer %lld: %g and %g", name, (long long)i, (long long)l,
                      one[l], other[l]);
            largest = fmax(largest, difference);
            ++*compared;
        }
    }
    return largest;
}

/* Both forms of the deep stack, all kept and recomputed, all blocks and branches: the same study as the reference's.
 * Without the epsilon a branch divides by a u that HC may make nearly 0, and nothing but float64 says what comes of
 * it. */
Test(emu, a_study_is_the_same_study) {
    write_text(
        "a.suite",
        "set --study propagate --depth 5 --width 24 --tokens 12 --sequence 6 --alpha 0.3 --rms-eps 0.01 --head-dim 8 "
        "--hidden 32\n"
        "--block hc,mhc,identity,hc-static --recompute keep,2\n"
        "--block resnet --streams 1 --branch mlp\n"
        "--block mhc --branch attention --convention v4\n");
    GOOD("$M run a.suite --backend cpu64 --out cpu.h5 -q && $M run a.suite --backend emu --type f32 --out emu.h5 -q");
    struct record_reader *cpu = record_open("cpu.h5"), *emu = record_open("emu.h5");
    cr_assert(cpu && emu, "%s", record_error());
    cr_assert(record_count(cpu) == 10 && record_count(emu) == 10);
    static const char *const curves[] = {"composite_forward_sum", "composite_backward_abs", "x_rms", "grad_x_rms",
                                         "grad_connection_norm"};
    int64_t compared = 0;
    for (size_t k = 0; k < sizeof curves / sizeof *curves; k++) {
        double difference = largest_difference(cpu, emu, curves[k], &compared);
        cr_expect(difference <= 1e-4, "%s differs by %g", curves[k], difference);
    }
    cr_expect(compared == 5 * 10 * 5, "%lld values compared", (long long)compared);
    record_close(cpu);
    record_close(emu);
}

Test(emu, says_what_it_cannot) {
    if (exists("/dev/nvidia0"))
        cr_skip("there is a GPU here");
    int code = sh("test -e ${M%%/*}/libmhc_cuda.so");
    expect_refusal("$M run --study propagate --depth 2 --backend cuda",
                   code ? "there is no libmhc_cuda.so"
                        : "backend cuda: this machine has no CUDA device or no driver for it");
    expect_refusal("$M verify $R/tests/vectors/public.h5 --backend cuda", "cuda");
    expect_refusal("$M run --study propagate --depth 2 --backend emu --type f64", "streams are f32 or bf16");
}

/* What GPU owners run, tried without one. */
Test(emu, the_check_for_gpus_runs) {
    GOOD("env -u SEED BIN=${M%%/*} BACKEND=emu PATIENCE=6 LARGE=5000 MINUTES=0.02 sh $R/tests/gpu_check.sh $R");
    cr_expect(strstr(out, "good   the deep stack gives the same study as cpu64") && strstr(out, " passed, 0 failed, "),
              "%s", out);
}

/* What is left of its steps: texts, records, also of one that was cut off; and with no time none of them runs. */
Test(emu, the_first_minutes_on_a_gpu_run) {
    GOOD("SMALL=1 BIN=${M%%/*} BACKEND=emu OUT=made sh $R/tests/gpu_first.sh $R && tar tf made/records.tar");
    cr_expect(strstr(out, "--- right: every row: exit 0, ") && strstr(out, "--- two_passes_64: exit 0, ") &&
                  strstr(out, " 0 failed, ") && strstr(out, " 0 operations missing, ") &&
                  strstr(out, "\nkernels_96.h5\n"),
              "%s", out);
    GOOD("grep -c 'mhc.backward' made/first.txt");
    int code = sh("SMALL=1 BIN=${M%%/*} BACKEND=emu OUT=made SECONDS_IN_ALL=0 sh $R/tests/gpu_first.sh $R");
    cr_expect(code == 1 && strstr(out, "gpu_first: 0 good, 0 failed, 0 cut off, 12 skipped, "), "exit %d\n%s", code,
              out);
}

/* The sanitizer's part of it: one tool is content, one out of time (124, as `timeout` says it), one finds something. */
Test(emu, the_check_for_gpus_reads_a_sanitizer) {
    GOOD("cat >compute-sanitizer <<'END'\n"
         "#!/bin/sh\n"
         "tool=$2\n"
         "while case $1 in --*) true ;; *) false ;; esac; do shift 2; done\n"
         "case $tool in racecheck) exit 124 ;; synccheck) echo '========= Barrier error detected' && exit 1 ;; esac\n"
         "\"$@\" && echo '========= ERROR SUMMARY: 0 errors'\n"
         "END\n"
         "chmod +x compute-sanitizer");
    int code = sh(
        "env -u SEED PATH=$PWD:$PATH BIN=${M%%/*} BACKEND=emu PATIENCE=6 ROWS='mhc.*' LARGE=5000 MINUTES=0.001 "
        "SANITIZER=600 LOGS=logs sh $R/tests/gpu_check.sh $R");
    cr_expect(code == 1 && strstr(out, "good   compute-sanitizer memcheck  (") && strstr(out, "0 errors") &&
                  strstr(out, "skipped compute-sanitizer racecheck: silent on the 0 rows") &&
                  strstr(out, "FAILED compute-sanitizer synccheck: exit 1") &&
                  strstr(out, "good   compute-sanitizer initcheck") && strstr(out, "7 passed, 1 failed, 1 skipped") &&
                  exists("logs/9.log"),
              "exit %d\n%s%s", code, out, err);
}
