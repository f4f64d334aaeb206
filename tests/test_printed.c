/* What the command line prints: help, lists and tables within their width, and word by word in tests/golden. */
#include "tests/command.h"

TestSuite(printed, .init = enter, .fini = leave, .timeout = 1800);

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
Test(printed, help_of_each_command) {
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
Test(printed, list_says_how_long) {
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
    GOOD("$M list c.suite --shards 10");
    cr_expect(strstr(out, "\nMODEL, not measured: ") && widest_line(out) <= 100, "%s", out);
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

Test(printed, golden_output) {
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
    /* A long name of a processor takes the second line too. */
    GOOD("$M show tiny.h5 | sed 's/[0-9.]* s of computing/TIME s of computing/; s/; revision.*//; 2{/^mhcbench/!d}'");
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

/* What is left of a record for the commands that read one; `case` of an export counts all cases. */
Test(printed, case_options_choose) {
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

/* In a clean clone a file that was not committed is not there. */
Test(printed, suites_name_files_that_are_there) {
    GOOD("cd $R && for f in $(sed -n 's/^[^#]*--input \\([^ ]*\\).*/\\1/p' suites/*.suite | sort -u); do echo $f; "
         "test -s $f || exit 1; done");
    cr_expect(out[0], "no suite has an input");
    GOOD("cd $R && $M run suites/quick.suite --depth 3 --seed 1 --dry-run | grep -m 1 -e --input");
    GOOD("cd $R && $M run --study propagate --depth 2 --input suites/kjv-genesis-to-kings.txt --out %s/input.h5 -q",
         folder);
}
