/* What the command line makes of bad input: one clear line, exit 2, nothing lost. What it prints has test_printed.c. */
#include "tests/command.h"

#include <hdf5.h>

TestSuite(command, .init = enter, .fini = leave, .timeout = 1800);

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
        {"$M plot kept.h5 --figure bogus", "--figure bogus: some of single_gain,"},
        {"$M plot kept.h5 --figure depth,", "--figure : some of"},
        {"$M plot kept.h5 --figure depth --figure phase", "--figure is given twice"},
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
