/* `compare` on made-up records: a planted difference must get its verdict and its exit code, and nothing else may. */
#include "tests/command.h"

#include <hdf5.h>

#include "tests/gate_record.h"
#include "tests/regress_command.h"

TestSuite(compare, .init = enter, .fini = leave, .timeout = 1800);

static const struct gate_plant nothing = {.at = -1};

static int rows_of(const char *verdict) {
    int count = 0;
    for (const char *at = out; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        count += !strncmp(at, verdict, strlen(verdict)) && at[strlen(verdict)] == ' ';
    return count;
}

/* Every row but the planted one is SAME. */
static void expect_verdict(const char *what, int code, const char *key, const char *verdict, const char *why) {
    const char *row = row_of(key);
    cr_expect(!strncmp(row, verdict, strlen(verdict)) && strstr(row, why), "%s: wanted %s `%s`, got\n%s\n%s%s", what,
              verdict, why, row, out, err);
    int wanted = !strcmp(verdict, "MISSING") || !strcmp(verdict, "INVALID");
    cr_expect(code == wanted, "%s: exit %d\n%s%s", what, code, out, err);
    cr_expect(rows_of("SAME") == GATE_CASES - !!strcmp(verdict, "SAME"), "%s: another row than the planted one\n%s",
              what, out);
}

Test(compare, a_file_against_itself) {
    gate_write("a.h5", &nothing);
    GOOD("$M compare a.h5 a.h5");
    cr_expect(rows_of("SAME") == GATE_CASES && strstr(out, "\n4 cases: 4 SAME; no regression\n"), "%s", out);
    cr_expect(!strstr(out, "again.h5"), "SAME needs no line to find it again:\n%s", out);
    GOOD("$M compare a.h5 a.h5 --strict");
    GOOD("$M run --study maps --block hc,mhc --depth 5 --out maps.h5 -q && $M run --depth 3 --out stack.h5 -q && "
         "$M compare maps.h5 maps.h5 --strict && $M compare stack.h5 stack.h5 --strict");
    GOOD("$M compare $R/tests/golden/v1.h5 $R/tests/golden/v1.h5 --strict");
    /* a record that was made again has the same bits */
    GOOD("$M run --study maps --block hc,mhc --depth 5 --out again.h5 -q && $M compare maps.h5 again.h5 | grep -c '  "
         "equal  '");
    cr_expect_str_eq(out, "2\n");
}

Test(compare, planted_changes) {
    static const struct {
        const char *what, *verdict, *why;
        struct gate_plant plant;
    } cases[] = {
        {"a result off by 1e-3", "INVALID", "less accurate: error 0.001, was 2e-07", {.at = GATE_POST, .error = 1e-3}},
        {"an error above its tolerance", "INVALID", "error 0.0011 is not within", {.at = GATE_POST, .error = 1.1e-3}},
        {"an error that is not a number", "INVALID", "is not within", {.at = GATE_POST, .error = NAN}},
        {"an error within rounding", "SAME", "values agree", {.at = GATE_POST, .error = 4e-6}},
        {"a step that is wrong", "INVALID", "mhc_error_over_tolerance is 1.2, above 1", {.at = GATE_MLP, .share = 1.2}},
        {"a step whose error is no number",
         "INVALID",
         "the accuracy mhc_error_over_tolerance is in the base alone",
         {.at = GATE_MLP, .share = NAN}},
        {"a step that is less accurate",
         "INVALID",
         "less accurate: mhc_error_over_tolerance is 0.05, was 0.02",
         {.at = GATE_MLP, .share = 0.05}},
        {"a step of another error", "SAME", "values agree", {.at = GATE_MLP, .share = 0.03}},
        {"20 % more memory",
         "INVALID",
         "needs more memory: mhc_workspace is 1200000 bytes, was 1000000 (1.2 times), and others grew; values agree",
         {.at = GATE_MLP, .memory = 1.2}},
        {"1.5 % more memory", "INVALID", "needs more memory: ", {.at = GATE_MLP, .memory = 1.015}},
        {"half a percent more memory", "SAME", "values agree", {.at = GATE_MLP, .memory = 1.005}},
        {"less memory", "SAME", "values agree", {.at = GATE_MLP, .memory = 0.5}},
        {"memory that is not recorded", "INVALID", "is in the base alone", {.at = GATE_MLP, .no_memory = true}},
        {"a wrong element in a million", "INVALID", " at layer 62500 is ", {.at = GATE_STACK, .add = 0.02}},
        {"a last bit in a million", "SAME", "1 of 1000001", {.at = GATE_STACK, .last_bit = true}},
        {"a gain off by 1e-3 of log10", "SAME", "1 of 1000001", {.at = GATE_STACK, .add = 1e-3}},
        {"a NaN", "INVALID", "is NaN, was 16.12", {.at = GATE_STACK, .set = true, .value = NAN}},
        {"an Inf", "INVALID", "is Inf, was 16.12", {.at = GATE_STACK, .set = true, .value = INFINITY}},
        {"an Inf that vanished",
         "INVALID",
         "is 0.50007, was Inf: overflow is not where it was",
         {.at = GATE_MAP, .overflow_gone = true}},
        {"a case that fails now", "INVALID", "failed: mhc.post is wrong", {.at = GATE_POST, .failed = true}},
        {"a deleted case", "MISSING", "in the base alone", {.at = GATE_MAP, .left_out = true}},
    };
    gate_write("a.h5", &nothing);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gate_write("b.h5", &cases[k].plant);
        int code = sh("$M compare a.h5 b.h5");
        expect_verdict(cases[k].what, code, gate_key[cases[k].plant.at], cases[k].verdict, cases[k].why);
    }
}

/* Float64 of one machine and build is the same but for the order of its sums. */
Test(compare, float64_on_one_machine) {
    static const struct {
        double add;
        const char *cpu, *options, *verdict, *why, *last;
    } cases[] = {
        {1e-10, NULL, "", "SAME", "values agree", ": 4 SAME; no regression\n"},
        {1e-8, NULL, "", "SAME", "values agree", ": 4 SAME; no regression; 1 values differ by more than 1e-09\n"},
        {1e-6, NULL, "", "INVALID", " at layer 8 is 15.500071, was 15.50007: apart by 2.3e-06, in float64",
         "1 values differ"},
        {1e-3, NULL, "", "INVALID", "apart by 0.0023, in float64 on one machine (allowed: 1e-06)",
         "REGRESSION in 1; 1 values"},
        {1e-3, NULL, "--tolerance 0.01", "SAME", "values agree", "no regression; 1 values differ by more than 1e-09\n"},
        {1e-3, NULL, "--tolerance=0.001", "INVALID", "(allowed: 0.001)", "REGRESSION"},
        {1e-3, "that one", "", "SAME", "values agree", ": 4 SAME; no regression\n"},
        {0.02, "that one", "", "INVALID", " is 15.5201, was 15.5001", "REGRESSION in 1\n"},
    };
    gate_write("a.h5", &nothing);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        gate_write("b.h5", &(struct gate_plant){.at = GATE_MAP, .add = cases[k].add, .cpu = cases[k].cpu});
        int code = sh("$M compare a.h5 b.h5 %s", cases[k].options);
        expect_verdict(cases[k].options, code, gate_key[GATE_MAP], cases[k].verdict, cases[k].why);
        cr_expect(strstr(out, cases[k].last), "wanted `%s` in\n%s", cases[k].last, out);
    }
    expect_refusal("$M compare a.h5 b.h5 --tolerance much", "--tolerance much: a share");
}

/* Two numbers of which one says that it is not the other do not print alike. */
Test(compare, differences_that_show) {
    gate_write("a.h5", &(struct gate_plant){.at = GATE_POST, .error = 1e-3});
    gate_write("b.h5", &(struct gate_plant){.at = GATE_POST, .error = 1.0000001e-3});
    cr_expect(sh("$M compare a.h5 b.h5") == 1);
    cr_expect(strstr(row_of(gate_key[GATE_POST]), "error 0.0010000001 is not within the tolerance of 0.001"), "%s",
              out);
    gate_write("a.h5", &(struct gate_plant){.at = GATE_MLP, .share = 1});
    gate_write("b.h5", &(struct gate_plant){.at = GATE_MLP, .share = 1.00001});
    cr_expect(sh("$M compare a.h5 b.h5") == 1);
    cr_expect(strstr(row_of(gate_key[GATE_MLP]), "mhc_error_over_tolerance is 1.00001, above 1"), "%s", out);
}

/* What was wrong in the base is no regression, and no proof that all is well. */
Test(compare, what_the_base_lacks) {
    const struct gate_plant fails = {.at = GATE_POST, .failed = true}, lacks = {.at = GATE_MAP, .left_out = true};
    gate_write("a.h5", &nothing);
    gate_write("fails.h5", &fails);
    gate_write("lacks.h5", &lacks);
    GOOD("$M compare fails.h5 a.h5");
    cr_expect(!strncmp(row_of(gate_key[GATE_POST]), "NEW", 3) &&
                  strstr(out, "it failed in the base: mhc.post is wrong"),
              "%s", out);
    GOOD("$M compare lacks.h5 a.h5");
    cr_expect(!strncmp(row_of(gate_key[GATE_MAP]), "NEW", 3), "%s", out);
    GOOD("$M compare fails.h5 fails.h5");
    cr_expect(!strncmp(row_of(gate_key[GATE_POST]), "INVALID", 7) && strstr(out, "failed in both files"), "%s", out);
    cr_expect(sh("$M compare fails.h5 fails.h5 --strict") == 3);
    cr_expect(sh("$M compare fails.h5 fails.h5 --case '*mhc.post*'") == 2, "nothing was compared:\n%s", out);
}

Test(compare, another_machine) {
    const struct gate_plant other = {.at = -1, .cpu = "that one"};
    const struct gate_plant wrong = {.at = GATE_POST, .error = 1e-3, .cpu = "that one"};
    gate_write("a.h5", &nothing);
    gate_write("b.h5", &other);
    GOOD("$M compare a.h5 b.h5 --strict");
    cr_expect(strstr(out, "cpu_model: that one, was this one\n") && rows_of("SAME") == GATE_CASES, "%s", out);
    cr_expect(!strstr(out, "revision"), "another revision is what it is for:\n%s", out);
    gate_write("b.h5", &wrong);
    cr_expect(sh("$M compare a.h5 b.h5") == 1 && rows_of("INVALID") == 1, "accuracy is gated everywhere:\n%s", out);
    const struct gate_plant more = {.at = GATE_MLP, .memory = 1.2, .cpu = "that one"};
    gate_write("b.h5", &more);
    GOOD("$M compare a.h5 b.h5 --strict"); /* other threads, other workspace */
    cr_expect(strstr(row_of(gate_key[GATE_MLP]), "needs more memory: ") &&
                  strstr(row_of(gate_key[GATE_MLP]), ", not gated"),
              "%s", out);
    cr_expect(sh("$M compare a.h5 b.h5 --allow-cross-machine") == 1 && rows_of("INVALID") == 1, "%s", out);
}

Test(compare, some_cases) {
    const struct gate_plant wrong = {.at = GATE_POST, .error = 1e-3};
    gate_write("a.h5", &nothing);
    gate_write("b.h5", &wrong);
    GOOD("$M compare a.h5 b.h5 --case '*maps*'");
    cr_expect(strstr(out, "\n1 cases: 1 SAME"), "%s", out);
    GOOD("$M compare a.h5 b.h5 --case '%s'", gate_key[GATE_MAP]);
    cr_expect(strstr(out, "\n1 cases: 1 SAME"), "%s", out);
}

/* Cases of which one file keeps summaries or gains alone are the same cases. What NEW lacks is missed. */
Test(compare, what_is_kept_is_no_other_case) {
    setenv("SUITE", "--study maps --connection hc,mhc --depth 4 --seed 1:2:1 --alpha 0", 1);
    GOOD("$M run $SUITE --record summary --measure gain --out a.h5 -q && $M run $SUITE --out b.h5 -q");
    GOOD("$M compare a.h5 b.h5 --published");
    cr_expect(strstr(out, "4 cases: 4 SAME") && strstr(out, "published result: yes"), "%s", out);
    cr_expect(sh("$M compare b.h5 a.h5 --published") == 1 && strstr(out, "the base has more, "), "%s", out);
    /* Cases of one file that differ in nothing else meet themselves; with fewer of them, the others have no partner. */
    GOOD("for file in both one; do echo 'set --study maps --depth 4 --tokens 4 --record summary' >$file.suite; done; "
         "echo '--measure gain+mixing --seed 1:9:1' | tee -a one.suite >>both.suite; "
         "echo '--measure gain --seed 1:5:1' >>both.suite; "
         "for file in both one; do $M run $file.suite --out $file.h5 -q || exit; done");
    GOOD("$M compare both.h5 both.h5 --strict");
    cr_expect(strstr(out, "14 cases: 14 SAME"), "%s", out);
    GOOD("$M compare one.h5 both.h5");
    cr_expect(strstr(out, "14 cases: 5 NEW 9 SAME"), "%s", out);
}

/* A path is a backend's name: two builds of a library meet where each has a record of its own. Their times do not
 * count. */
Test(compare, two_builds_in_two_places) {
    static const char run[] =
        "$M run --study kernels --operation mhc.post_backward_y --width 16,24 --tokens 6 --type f32 -q";
    GOOD("mkdir old new && cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o old/mine.so && cp "
         "old/mine.so new/same.so &&"
         "cc -shared -fPIC -DCOST=4e-4 -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o new/slow.so &&"
         "cc -shared -fPIC -DFACTOR=1.000002f -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o new/mine.so");
    GOOD("%s --backend ./old/mine.so --out a.h5 && %s --backend ./new/same.so --out b.h5 && %s --backend ./new/mine.so "
         "--out c.h5 &&"
         "%s --backend ./new/slow.so --out slow.h5",
         run, run, run, run);
    GOOD("$M compare a.h5 b.h5 --strict");
    cr_expect(rows_of("SAME") == 2 &&
                  strstr(out, "\nbackend: ./new/same.so, was ./old/mine.so; cases meet that differ in nothing else\n"),
              "%s", out);
    cr_expect(!strstr(out, "device: "), "another name is no other device:\n%s", out);
    GOOD("$M compare a.h5 slow.h5 --strict");
    cr_expect(rows_of("SAME") == 2, "slower is regress's to find:\n%s", out);
    cr_expect(sh("$M compare a.h5 c.h5") == 1 && rows_of("INVALID") == 2, "gated:\n%s", out);
    /* what is made again is made with the new one, and meets */
    GOOD(
        "$M compare a.h5 c.h5 | grep 'again.h5' | head -n 1 >line && grep ' --backend ./new/mine.so ' line && ! grep ' "
        "./old' line");
    cr_expect(sh("sh line") == 1 && rows_of("INVALID") == 1 && strstr(out, "\n1 cases: "), "%s%s", out, err);
    /* names are backends that differ, though each file has one alone */
    GOOD("for b in cpu32 cpu64; do $M run --study kernels --operation mhc.post_backward_y --width 16 --tokens 6 "
         "--rounds 3 --backend $b --out $b.h5 -q; done");
    cr_expect(sh("$M compare cpu64.h5 cpu32.h5") == 2 && strstr(err, "no case of cpu64.h5 is in cpu32.h5"), "%s%s", out,
              err);
    /* maps have no backend; of two in one file neither is the other's */
    GOOD("$M run --study maps --depth 3 --out m.h5 -q && $M export m.h5 | grep -c ' --backend ' | grep 0");
    write_text("several.suite", "set --study kernels --operation mhc.post_backward_y --width 16 --tokens 6 --type f32\n"
                                "--backend ./old/mine.so\n--backend ./new/same.so\n");
    GOOD("$M run several.suite -q");
    cr_expect(sh("$M compare several.h5 c.h5") == 2 && strstr(err, "no case of several.h5 is in c.h5"), "%s%s", out,
              err);
    cr_expect(sh("$M compare several.h5 a.h5") == 1 && rows_of("SAME") == 1 && rows_of("MISSING") == 1 &&
                  !strstr(out, "cases meet"),
              "%s", out);
    GOOD("$M compare several.h5 a.h5 --common --strict");
    cr_expect(rows_of("SAME") == 1 && strstr(out, "\n1 cases: 1 SAME"), "%s", out);
}

/* What all cases have in common stands once, above; the files for CI name every case in full. */
Test(compare, rows_are_short) {
    GOOD("$M run --study maps --block hc,mhc --w 0.5 --depth 4,5 --out a.h5 -q && $M compare a.h5 a.h5 --json r.json");
    cr_expect(strstr(out, "\nin every case: --study maps --w 0.5\n") &&
                  strstr(out, "  --block hc --depth 4   values agree\n") &&
                  strstr(out, "  --block mhc --depth 5  values agree\n"),
              "%s", out);
    GOOD("grep -c '\"case\": \"--study maps --block hc --depth 4 --w 0.5\"' r.json");
    GOOD("$M compare a.h5 a.h5 --case '*--block hc --depth 4 *'");
    cr_expect(strstr(out, "  --study maps --block hc --depth 4 --w 0.5  ") && !strstr(out, "in every case"),
              "one case has all its options:\n%s", out);
    GOOD("$M run --study maps --depth 4 --seed 1,2 --out b.h5 -q && $M compare b.h5 b.h5");
    cr_expect(strstr(out, "  --study maps --block mhc --depth 4  values") && strstr(out, "  --seed 2      "),
              "a case without others has them too:\n%s", out);
}

/* --- files that are not what they should be --- */

static void change(const char *path, int what) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), object = -1;
    hsize_t short_rows[2] = {GATE_CASES, 1000}, few[2] = {2, GATE_LAYERS};
    char text[16] = "mhcbench/2.0";
    cr_assert(file >= 0);
    switch (what) {
    case 0: H5Ldelete(file, "curves/composite_forward_abs", H5P_DEFAULT); break;
    case 1:
    case 2:
        object = H5Dopen2(file, "curves/composite_forward_abs", H5P_DEFAULT);
        cr_assert(H5Dset_extent(object, what == 1 ? short_rows : few) >= 0);
        H5Dclose(object);
        break;
    case 3:
        object = H5Aopen(file, "schema", H5P_DEFAULT);
        hid_t type = H5Aget_type(object);
        cr_assert(H5Tget_size(type) >= strlen(text) && H5Awrite(object, type, text) >= 0);
        H5Tclose(type);
        H5Aclose(object);
        break;
    default: H5Ldelete(file, "accuracy/error", H5P_DEFAULT);
    }
    H5Fclose(file);
}

Test(compare, truncated_and_strange) {
    gate_write("a.h5", &nothing);
    gate_write("b.h5", &nothing);
    change("b.h5", 0);
    cr_expect(sh("$M compare a.h5 b.h5") == 1 && rows_of("INVALID") == 2, "%s%s", out, err);
    cr_expect(strstr(row_of(gate_key[GATE_STACK]), "curve composite_forward_abs is in the base alone"), "%s", out);
    GOOD("$M compare b.h5 a.h5"); /* a curve more is none less */
    for (int what = 1; what <= 3; what++) {
        gate_write("b.h5", &nothing);
        change("b.h5", what);
        expect_refusal("$M compare a.h5 b.h5", what == 3 ? "mhcbench/2.0" : "composite_forward_abs");
        expect_refusal("$M compare b.h5 a.h5", "");
    }
    gate_write("b.h5", &nothing);
    change("b.h5", 4);
    cr_expect(sh("$M compare a.h5 b.h5") == 1 && rows_of("INVALID") == 2, "an error that is not recorded:\n%s%s", out,
              err);
    GOOD("head -c 10000 a.h5 >cut.h5; : >empty.h5; $M run --study maps --depth 3 --out other.h5 -q");
    const char *const bad[][2] = {
        {"$M compare", "usage: mhcbench compare BASE.h5 NEW.h5"},
        {"$M compare a.h5", "usage: mhcbench compare"},
        {"$M compare a.h5 b.h5 c.h5", "usage: mhcbench compare"},
        {"$M compare a.h5 nosuch.h5", "nosuch.h5"},
        {"$M compare a.h5 cut.h5", "cut.h5"},
        {"$M compare empty.h5 a.h5", "empty.h5"},
        {"$M compare a.h5 other.h5", "no case of a.h5 is in other.h5"},
        {"$M compare a.h5 a.h5 --case '*nothing*'", "no case that both"},
        {"$M compare a.h5 a.h5 --threshold 3", "use `mhcbench regress`"},
        {"$M compare a.h5 a.h5 --speed gate", "use `mhcbench regress`"},
        {"$M compare a.h5 a.h5 --bogus", "unknown option --bogus"},
        {"$M compare a.h5 a.h5 --json nosuch/x.json", "cannot write nosuch/x.json"},
        {"$M compare a.h5 a.h5 --json a.h5", "a.h5 is an input here"},
        {"$M compare a.h5 a.h5 >/dev/full", "standard output"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        expect_refusal(bad[k][0], bad[k][1]);
    GOOD("$M compare a.h5 a.h5 && $M compare --help");
}

/* --- what is printed --- */

Test(compare, golden_and_files) {
    static char want[1 << 16];
    char path[PATH_MAX + 64];
    const struct gate_plant wrong = {.at = GATE_STACK, .set = true, .value = NAN},
                            other = {.at = GATE_POST, .error = 3e-7};
    gate_write("a<&\">.h5", &other);
    gate_write("b.h5", &wrong);
    cr_expect(sh("$M compare 'a<&\">.h5' b.h5 --json r.json --junit r.xml | sed \"s|$M|mhcbench|g\"") == 0);
    snprintf(path, sizeof path, "%s/tests/golden/compare.txt", root);
    if (getenv("GOLDEN") && !strcmp(getenv("GOLDEN"), "update"))
        write_text(path, out);
    read_all(path, want, sizeof want);
    write_text("got", out);
    cr_expect(!strcmp(out, want) || !sh("diff %s got", path),
              "compare.txt differs (> is new; GOLDEN=update renews it):\n%s", out);
    GOOD("cat r.json");
    cr_expect(strstr(out, "\"exit\": 1, \"cases\": 4") && strstr(out, "\"verdict\": \"INVALID\", \"fails\": true") &&
                  strstr(out, "\"base\": \"a<&\\\">.h5\"") && strstr(out, "\"INVALID\": 1") &&
                  strstr(out, "\"base_error\": null"),
              "%s", out);
    GOOD("cat r.xml");
    cr_expect(
        strstr(out, "<testsuite name=\"mhcbench compare\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"0\">") &&
            strstr(out, "<failure message=\"INVALID: ") && strstr(out, "&#60;&#38;"),
        "%s", out);
    /* the line under a row is one that a shell runs: this one makes the record again */
    GOOD("$M run --study maps --block hc --depth 5 --out base.h5 -q && $M run --study maps --block hc,mhc --depth 5 "
         "--out both.h5 -q");
    cr_expect(sh("$M compare both.h5 base.h5") == 1 && rows_of("MISSING") == 1);
    GOOD("$M compare both.h5 base.h5 | grep 'again.h5' >line; test $(wc -l <line) = 1 && sh line");
    cr_expect(strstr(out, "\n1 cases: 1 SAME; no regression"), "%s", out);
}
