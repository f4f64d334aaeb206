/* What the command line makes of bad input: one clear line, exit 2, nothing lost. And what it prints: tests/golden. */
#include "tests/command.h"

#include <hdf5.h>

TestSuite(command, .init = enter, .fini = leave, .timeout = 300);

/* Every line of a table is refused, and leaves results that are there as they are. */
static void expect_refusals(const char *const (*bad)[2], size_t count) {
    GOOD("$M run --study maps --depth 3 --out kept.h5 -q && cp kept.h5 copy");
    for (size_t k = 0; k < count; k++) {
        expect_refusal(bad[k][0], bad[k][1]);
        int changed = sh(
            "cmp kept.h5 copy && test $(ls | wc -l) = $(ls copy kept.h5 *.suite *.so *.bad 2>/dev/null | wc -l)");
        cr_expect(!changed, "%s: changed a file or left one:\n%s", bad[k][0], out);
    }
}

Test(command, bad_options) {
    const char *const bad[][2] = {
        {"$M bogus", "unknown command bogus"},
        {"$M --bogus", "unknown command --bogus"},
        {"$M run", "usage: mhcbench run"},
        {"$M run --bogus 3", "mhcbench: unknown option --bogus"},
        {"$M run $R/suites/quick.suite --bogus 3", "mhcbench: unknown option --bogus"},
        {"$M run $R/suites/quick.suite extra", "mhcbench: extra: not an option"},
        {"$M run --block foo", "--connection foo: one of resnet|hc"},
        {"$M run --streams 0", "--streams 0: a whole number from 1 to 16"},
        {"$M run --streams 17", "from 1 to 16"},
        {"$M run --t-max 0", "--t-max 0: a whole number from 1"},
        {"$M run --depth 0", "--depth 0: a whole number from 1"},
        {"$M run --depth 65537", "from 1 to 65536"},
        {"$M run --depth 1e3", "a whole number"},
        {"$M run --tokens 10 --sequence 4", "--tokens 10 is not a multiple of --sequence 4"},
        {"$M run --study maps --width 8", "--width has no meaning in --study maps"},
        {"$M run --study propagate --round bf16", "--round has no meaning in --study propagate"},
        {"$M run --depth 1,,2", "an empty value"},
        {"$M run --depth ''", "an empty value"},
        {"$M run --depth", "--depth needs a value"},
        {"$M run --depth 1:5", "a range is low:high:step"},
        {"$M run --depth 9:2:1", "rising"},
        {"$M run --d 0,1 --s 1,2,3 --zip d,s", "the lists differ in length"},
        {"$M run --w nan", "--w nan: a number from 0"},
        {"$M run --w=inf", "--w inf: a number from 0"},
        {"$M run --d 1e999", "a number from"},
        {"$M run --seed -1", "a whole number from 0"},
        {"$M run --seed 1:1000000:1 --depth 1:60000:1", "more than 100000 values"},
        {"$M run --seed 1:99999:1 --depth 1:60000:1", "cases on one line"},
        {"$M run \"$(printf 'a\\nb\\033[2J')\"", "mhcbench: a?b?[2J"},
        {"$M run \"$(printf -- '--a\\nb')\" 1", "--a?b"},
        {"$M run --study maps --out", "--out needs a value"},
        {"$M run --study maps --out ''", "--out needs a file"},
        {"$M run --study maps --shard 3", "--shard 3: I/N"},
        {"$M run --study maps --shard 3/3", "0 <= I < N"},
        {"$M run --study maps --shard -1/3", "0 <= I < N"},
        {"$M run --study maps --shard 0/0", "0 <= I < N"},
        {"$M run --study maps --shard 0/2x", "I/N"},
        {"$M run --study maps --timeout 0", "seconds, above 0"},
        {"$M run --study maps --timeout nan", "seconds, above 0"},
        {"$M run --study maps --timeout 5s", "seconds, above 0"},
        {"$M run --study maps --overwrite --resume", "exclude each other"},
        {"$M run --study maps --depth 3 --out kept.h5", "exists already"},
        {"$M run --study maps --depth 3 --out nosuch/x.h5", "nosuch/x.h5"},
        {"$M run --study maps --depth 3 --out kept.h5/x.h5", "Not a directory"},
        {"$M run --study maps --depth 3 --out /proc/x.h5", "/proc/x.h5"},
        {"$M run --study maps --depth 3 --out .", "no regular file"},
        {"$M run --input nosuch", "--input nosuch: No such file"},
        {"$M run --input copy --tokens 100000000", "--tokens asks for 100000000"},
        {"$M run --input .", "--input .: not a file of bytes"},
        {"$M run --input /dev/zero", "not a file of bytes"},
        {"$M run --input 'a b'", "no blanks"},
        {"$M run --backend bogus", "backend bogus: not one of"},
        {"$M run --backend ./nosuch.so", "no such library"},
        {"$M run --backend copy/", "no such library"},
        {"$M run --width 1048576 --out x.h5", "GB of memory"},
        {"$M run --study maps --depth 65536 --tokens 1000000000 --out x.h5", "GB of memory"},
        {"$M run --tokens 1000000000 --width 1048576 --depth 65536 --branch attention --heads 4096 --head-dim 4096",
         "GB of memory"},
        {"$M run --tokens 1000000000 --width 1048576 --depth 65536 --branch mlp --hidden 1048576 --recompute keep",
         "GB of memory"},
        {"$M list --bogus", "unknown option --bogus"},
        {"$M list nosuch.suite", "nosuch.suite: No such file"},
        {"$M list --operations --backend bogus", "backend bogus"},
        {"$M doctor extra", "usage: mhcbench doctor"},
        {"$M show", "usage: mhcbench show"},
        {"$M show a b", "usage: mhcbench show"},
        {"$M show --bogus kept.h5", "unknown option --bogus"},
        {"$M show kept.h5 --format xml", "--format xml: text, csv or json"},
        {"$M export kept.h5 --what bogus", "cases, curves or samples"},
        {"$M export kept.h5 --format xml", "csv or json"},
        {"$M export kept.h5 --out kept.h5", "is the file to be read"},
        {"$M export kept.h5 --out nosuch/x", "cannot write nosuch/x"},
        {"$M export kept.h5 --out /dev/full", "cannot write /dev/full"},
        {"$M export kept.h5 >/dev/full", "standard output"},
        {"$M show kept.h5 >/dev/full", "standard output"},
        {"$M list --options >/dev/full", "standard output"},
        {"$M merge kept.h5", "usage: mhcbench merge"},
        {"$M merge kept.h5 copy", "exists already"},
        {"$M plot", "usage: mhcbench plot"},
        {"$M plot kept.h5 --figure bogus", "--figure bogus: one of"},
        {"$M plot kept.h5 --format bogus", "--format bogus"},
        {"$M verify", "usage: mhcbench verify"},
        {"$M verify nosuch.h5", "nosuch.h5"},
    };
    expect_refusals(bad, sizeof bad / sizeof *bad);
}

Test(command, bad_suites) {
    char *line = malloc(1 << 20);
    memset(line, 'x', 1 << 20);
    write_all("long.suite", line, 1 << 20);
    for (int k = 0; k < 1 << 20; k++)
        line[k] = (char)(k * 2654435761u >> 13);
    write_all("garbage.suite", line, 1 << 20);
    write_all("nul.suite", "--study maps\0 --bogus\n", 22);
    write_text("word.suite", "# first\n--study maps\nset --depth 3\n--study maps foo\n");
    write_text("option.suite", "--study maps\n--study maps --bogus 3\n");
    write_text("value.suite", "\n\n--streams 99\n");
    write_text("later.suite", "--study maps\n--study maps\n--block resnet --study maps --measure gain\n");
    write_text("list.suite", "set --depth 1,2\n");
    write_text("setrange.suite", "set --depth 1:2:1\n");
    write_text("empty.suite", "# nothing\n\n");
    write_text("zero.suite", "");
    write_text("memory.suite", "--study maps\n--study propagate --width 1048576\n");
    for (int k = 0; k < 4000; k++)
        line[k] = k % 2 ? ' ' : 'x';
    write_all("words.suite", line, 4000);
    free(line);
    const char *const bad[][2] = {
        {"$M run word.suite", "word.suite:4: foo: not an option"},
        {"$M run option.suite", "option.suite:2: unknown option --bogus"},
        {"$M run value.suite", "value.suite:3: --streams 99: a whole number"},
        {"$M run later.suite", "later.suite:3: --study maps has nothing to measure"},
        {"$M run list.suite", "list.suite:1: set takes single values"},
        {"$M run setrange.suite", "setrange.suite:1: set takes single values"},
        {"$M run memory.suite", "memory.suite:2: needs"},
        {"$M run long.suite", "long.suite:1: line too long"},
        {"$M run words.suite", "words.suite:1: too many words"},
        {"$M run garbage.suite", "garbage.suite:1: not a text file"},
        {"$M run nul.suite", "nul.suite:1: not a text file"},
        {"$M run /dev/zero", "/dev/zero:1: not a text file"},
        {"$M run $M", "1: not a text file"},
        {"$M run empty.suite", "empty.suite: no cases in it"},
        {"$M run zero.suite", "zero.suite: no cases in it"},
        {"$M run nosuch.suite", "nosuch.suite: No such file"},
        {"$M run .", ".: Is a directory"},
        {"$M list garbage.suite", "not a text file"},
    };
    expect_refusals(bad, sizeof bad / sizeof *bad);
}

Test(command, bad_libraries) {
    write_text("garbage.so", "this is no library");
    const char *const bad[][2] = {{"$M run --backend ./garbage.so", "backend ./garbage.so"},
                                  {"$M list --operations --backend ./garbage.so", "backend ./garbage.so"},
                                  {"$M run --backend ./empty.so", "exports no mhc_library"},
                                  {"$M run --backend ./other.so", "has ABI 99, this program needs ABI"},
                                  {"$M list --operations --backend ./other.so", "has ABI 99"},
                                  {"$M run --backend ./closed.so", "not today"}};
    if (sh("command -v cc"))
        return expect_refusals(bad, 2);
    GOOD("for l in empty other closed; do case $l in"
         " empty) s='int x;';;"
         " other) s='const struct mhc_library mhc_library = {99, sizeof(struct mhc_library), \"x\", \"y\"};';;"
         " closed) s='static int no(void **c, char *why, size_t n) { return snprintf(why, n, \"not today\"), 1; }"
         " static void end(void *c) { *(int *)c = 0; }"
         " const struct mhc_library mhc_library = {MHC_ABI, sizeof(struct mhc_library), \"x\", \"y\", no, end};';;"
         " esac; printf '#include <stdio.h>\\n#include \"cpu_ref/operation.h\"\\n%%s\\n' \"$s\" |"
         " cc -shared -fPIC -I$R -x c - -o $l.so || exit 1; done");
    expect_refusals(bad, sizeof bad / sizeof *bad);
}

/* A valid HDF5 file with a root attribute `schema`. */
static void write_schema(const char *path, const char *schema) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(schema));
    hid_t attribute = H5Acreate2(file, "schema", type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, schema);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
}

Test(command, bad_records) {
    GOOD("$M run --study maps --depth 3 --seed 1:40:1 --out a.h5 -q; mv a.h5 a; s=$(stat -c %%s a);"
         "for k in 1 2 3 5 7 9; do head -c $((s * k / 10)) a >cut$k.bad; done; head -c $((s - 1)) a >cut10.bad;"
         "head -c 100 a >head.bad; : >empty.bad; head -c 5000 $M >other.bad; rm a");
    write_schema("newer.bad", "mhcbench/2.0");
    write_schema("stranger.bad", "somebody/1.0");
    write_schema("hollow.bad", "mhcbench/1.0");
    GOOD("$M run --study maps --depth 3 --out kept.h5 -q && cp kept.h5 copy && ls *.bad | tr '\\n' ' '");
    char names[2048], command[PATH_MAX], *rest = NULL;
    snprintf(names, sizeof names, "nosuch.bad . %.1000s", out);
    for (char *name = strtok_r(names, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
        const char *const commands[] = {"show %s",
                                        "export %s",
                                        "export %s --what curves --format json",
                                        "plot %s --out figures",
                                        "merge x.h5 kept.h5 %s",
                                        "compare kept.h5 %s",
                                        "compare %s kept.h5",
                                        "verify %s"};
        for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
            int used = snprintf(command, sizeof command, "$M ");
            snprintf(command + used, sizeof command - (size_t)used, commands[k], name);
            expect_refusal(command, "");
            cr_expect(!exists("x.h5") && !exists("x.h5.part") && !exists("figures"), "%s: left a file", command);
        }
    }
    GOOD("cmp kept.h5 copy");
}

/* The longest line of a text, in columns of a terminal: a byte that continues a character takes none. */
static int widest_line(const char *text) {
    int widest = 0, column = 0;
    for (; *text; text++) {
        column = *text == '\n' ? 0 : column + ((*text & 0xC0) != 0x80);
        if (column > widest)
            widest = column;
    }
    return widest;
}

/* Every command says itself what it takes, within 100 columns. */
Test(command, help_of_each_command) {
    const char *const names[] = {"run",     "list",  "show",   "plot",    "report",  "export", "verify",
                                 "vectors", "check", "doctor", "compare", "regress", "merge",  "status"};
    const char *const option[] = {"--shard I/N",     "--operations",     "--headline",    "--lines N",
                                  "--out FILE.html", "--what",           "--case GLOB",   "--logits LIST",
                                  "--trials N",      "--backend",        "--tolerance X", "--against OLD",
                                  "--overwrite",     "FILE.h5[.part]..."};
    const char *const lists[] = {"--help", "list", "list --options", "list --operations", "list --metrics"};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        GOOD("$M %s", lists[k]);
        cr_expect_leq(widest_line(out), 100, "%s", out);
    }
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char want[80];
        snprintf(want, sizeof want, "usage: mhcbench %s ", names[k]);
        for (int form = 0; form < 3; form++) {
            GOOD(form == 2 ? "$M help %s" : form ? "$M %s x.h5 -h" : "$M %s --help", names[k]);
            cr_expect(!strncmp(out, want, strlen(want)) && strstr(out, option[k]) && !err[0], "%s: %s%s", names[k], out,
                      err);
            cr_expect_leq(widest_line(out), 100, "%s: %s", names[k], out);
        }
    }
    expect_refusal("$M help bogus", "unknown command bogus");
    expect_refusal("$M bogus --help", "unknown command bogus");
}

/* README says one thread on a busy machine: doctor must not say otherwise. */
Test(command, doctor_on_threads) {
    GOOD("OMP_NUM_THREADS=1 $M doctor");
    cr_expect(!strstr(out, "threads wait for their turn"), "%s", out);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        cr_expect(strstr(out, "1 OpenMP thread on") && strstr(out, "right on a machine that others use"), "%s", out);
    GOOD("OMP_NUM_THREADS=5000 $M doctor");
    cr_expect(strstr(out, "5000 OpenMP threads on") && strstr(out, "or unset it"), "%s", out);
    GOOD("$M doctor --help");
    cr_expect(strstr(out, "\nExit: 0 whatever it finds, "), "advice is no failure:\n%s", out);
    expect_refusal("$M doctor --backend ./nowhere.so", "nowhere.so");
}

/* A backend that is not there: one line, with the remedy. */
Test(command, missing_backends) {
    GOOD("mkdir bare && cp $M bare/mhcbench");
    expect_refusal("bare/mhcbench run --backend cuda", "make builds it where it finds nvcc (NVCC=PATH");
    expect_refusal("bare/mhcbench run --backend emu", "run make");
    expect_refusal("bare/mhcbench list --operations --backend cuda", "use cpu32, cpu64 or emu");
    expect_refusal("$M run --backend mine.so",
                   "cpu64, cpu32, cuda, emu or the path of a library, which has a slash: ./mine.so");
}

Test(command, an_option_without_effect) {
    GOOD("$M run --study maps --block hc --t-max 5 --depth 3 --out a.h5");
    cr_expect(strstr(err, "note: --t-max has no effect in --connection hc"), "%s", err);
    GOOD("$M run --study maps --block hc --t-max 5 --depth 3 --out b.h5 -q");
    cr_expect(!err[0], "%s", err);
    GOOD("$M run --study maps --block mhc --t-max 5 --depth 3 --out c.h5");
    cr_expect(!strstr(err, "note"), "%s", err);
}

Test(command, a_hard_life) { /* whatever the caller did to the process */
    GOOD("$M run --study maps --depth 3 --seed 1:3:1 --out a.h5 >&- 2>&- <&-");
    GOOD("$M show a.h5");
    cr_expect(strstr(out, "3 cases"), "%s", out);
    GOOD("sh -c 'trap \"\" CHLD; exec timeout 20 $M show a.h5'");
    GOOD("sh -c 'trap \"\" CHLD; exec timeout 20 $M run --study maps --depth 3 --out b.h5 -q'");
    /* a reader that has enough ends it quietly, by the signal that ends any filter, however its parent takes that
     * signal */
    const char *const cut[] = {"export a.h5",
                               "show a.h5",
                               "list --options",
                               "compare a.h5 a.h5",
                               "check cpu32 --operation mhc.post --trials 2",
                               "regress --against cpu32 cpu32 --operation resnet.post --type f32 --speed none -q"};
    for (size_t k = 0; k < 2 * sizeof cut / sizeof *cut; k++) {
        sh("rm -f closed; %s (until test -e closed; do sleep 0.01; done; $M %s; echo $? >code) | (exec <&-; : "
           ">closed);"
           "test $(cat code) = 141 || cat code >&2",
           k % 2 ? "trap '' PIPE;" : "", cut[k / 2]);
        cr_expect(!err[0], "%s: %s", cut[k / 2], err);
    }
    GOOD("$M --help && $M run --help && $M --version && $M list --metrics && $M doctor &&"
         " $M list $R/suites/quick.suite");
    cr_expect(!err[0], "%s", err);
    GOOD("$M run --study=maps --depth=3 --seed=1:3:1 --out=a.h5 --overwrite -q");
    cr_expect(!err[0] && !out[0], "-q prints: %s%s", out, err);
}

/* --- what is printed --- */

/* Compares the last output with tests/golden/NAME, or renews that: GOLDEN=update. */
static void expect_golden(const char *name) {
    static char want[1 << 20];
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/tests/golden/%s", root, name);
    if (getenv("GOLDEN") && !strcmp(getenv("GOLDEN"), "update"))
        write_text(path, out);
    read_all(path, want, sizeof want);
    if (!strcmp(out, want))
        return;
    write_text("got", out);
    sh("diff %s got", path);
    cr_expect(false, "%s differs (> is new; GOLDEN=update renews it):\n%s", name, out);
}

/* An estimate is said as people say it, whatever it is of. */
Test(command, list_says_how_long) {
    write_text(
        "a.suite",
        "set --study kernels --operation mhc.post --width 8\n--budget 3600 --tokens 1:3:1\n--budget 3600 --tokens "
        "2,3\n");
    write_text("b.suite", "--study kernels --operation mhc.post --width 8 --budget 20 --tokens 1:9:1\n");
    write_text("c.suite", "--study kernels --operation mhc.post --width 8 --budget 40 --tokens 1\n");
    GOOD("$M list a.suite b.suite c.suite");
    cr_expect(strstr(out, " 3 cases   about 3 hours on this machine, 2 repeated left out\n"), "%s", out);
    cr_expect(strstr(out, " 9 cases   about 3 minutes on this machine\n") &&
                  strstr(out, " 1 case    about 40 s on this machine\n"),
              "%s", out);
    write_text("d.suite",
               "set --study kernels --operation mhc.post --width 8 --budget 20\n--backend cuda --tokens 1,2\n");
    write_text("e.suite",
               "set --study kernels --operation mhc.post --width 8 --budget 40\n--backend cuda,cpu64 --tokens 1\n");
    if (sh("$M list --operations --backend cuda"))
        GOOD("$M list d.suite e.suite && "
             "$M list d.suite e.suite | grep -c ' 2 cases   needs a GPU, and none can be used here$\\| 2 cases   "
             "about 40 s on "
             "this machine, 1 for a GPU left out$' | grep 2");
}

Test(command, golden_output) {
    GOOD("$M --help | sed '1s/^mhcbench [^ :]*/mhcbench VERSION/'");
    expect_golden("help.txt");
    GOOD("$M list --options");
    expect_golden("options.txt");
    write_text("small.suite",
               "# lists, ranges, pairs, defaults, overrides, repeats\n"
               "set --study maps --alpha 0 --depth 12\n"
               "--block hc --w 0.1:0.3:0.1 --seed 1,2\n"
               "--block mhc --d 0,12 --s 0,6 --zip d,s --t-max 1:100:x10\n"
               "--block hc --w 0.2 --seed 2\n"
               "set --depth 8 --alpha 0.01\n"
               "--study propagate --block resnet,identity --width 8 --tokens 4 --branch mlp --hidden 16\n"
               "--study propagate --block hc-static --recompute keep,auto,3 --measure stream+gain\n");
    GOOD("$M run small.suite --dry-run");
    expect_golden("dry-run.txt");
    GOOD("$M run small.suite --dry-run >small2.suite && $M run small2.suite --dry-run");
    expect_golden("dry-run.txt");
    GOOD("for i in 0 1 2; do $M run small.suite --dry-run --shard $i/3; done | sort >a;"
         "$M run small.suite --dry-run | sort | diff - a");
    GOOD("$M run --study maps --block hc,mhc --w 0.4 --alpha 0 --depth 6 --seed 1:3:1 --out tiny.h5 -q");
    GOOD("$M show tiny.h5 | sed 's/[0-9.]* s of computing/TIME s of computing/;"
         "s/; revision.*//; s/^made by:.*/made by: .../'");
    expect_golden("show.txt");
    cr_expect(!strstr(out, "No headline"));
    GOOD("$M show tiny.h5 --format csv");
    cr_expect(strstr(out, "# --study maps --depth 6 --t-max 20 --w 0.4 --alpha 0: H_L...H_1\n"
                          "case,seeds,composite_spectral_norm_last,composite_spectral_norm_last_q10,") &&
                  strstr(out, "\nmhc,3,") && !strstr(out, "overflow"),
              "%s", out);
    GOOD("$M show tiny.h5 --format=json | grep -c '^{\"table\": \"--study maps .*: [cH]'");
    cr_expect_str_eq(out, "2\n");
    GOOD("$M show tiny.h5 --headline");
    cr_expect(
        strstr(out, "\n\nHow much do the maps alone amplify?\nHC: the gradient's Amax gain over 6 layers reaches ") &&
            !strstr(out, "composite gain"),
        "%s", out);
    GOOD("$M export tiny.h5 | grep -v '^#' | head -n 1 | tr , '\\n'");
    expect_golden("export-cases.txt");
    GOOD("$M export tiny.h5 --what curves | grep -v '^#' | head -n 1 | tr , '\\n'");
    expect_golden("export-curves.txt");
}

/* In a clean clone: what is named and not committed is not there. */
/* What is left of a record for the commands that read one; `case` of an export counts all cases. */
Test(command, case_options_choose) {
    GOOD("$M run --study maps --depth 4,8 --connection hc,mhc --seed 1,2 --out f.h5 -q");
    GOOD("$M export f.h5 --depth=8 --connection mhc | grep -v '^#' | cut -d, -f1 | tr '\n' ' '");
    cr_expect_str_eq(out, "case 6 7 ");
    GOOD("$M export f.h5 --what curves --depth 4 --seed 1 | grep -vc '^#'");
    cr_expect_str_eq(out, "9\n"); /* a head, two cases of four layers */
    GOOD("$M show f.h5 --connection hc --seed 2 | head -n 1");
    cr_expect(strstr(out, "f.h5: 2 cases, 0 failed"), "%s", out);
    GOOD("$M compare f.h5 f.h5 --depth 8 | tail -n 1");
    cr_expect_str_eq(out, "4 cases: 4 SAME; no regression\n");
    expect_refusal("$M compare f.h5 f.h5 --depth 9", "no case of it has --depth 9");
    expect_refusal("$M export f.h5 --bogus 1", "unknown option --bogus");
}

Test(command, suites_name_files_that_are_there) {
    GOOD("cd $R && for f in $(sed -n 's/^[^#]*--input \\([^ ]*\\).*/\\1/p' suites/*.suite | sort -u); do echo $f; "
         "test -s $f || exit 1; done");
    cr_expect(out[0], "no suite has an input");
    GOOD("cd $R && $M run suites/quick.suite --depth 3 --seed 1 --dry-run | grep -m 1 -e --input");
    GOOD("cd $R && $M run --study propagate --depth 2 --input suites/kjv-genesis-to-kings.txt --out %s/input.h5 -q",
         folder);
}
