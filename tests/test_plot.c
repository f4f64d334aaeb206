/* The command `plot`: the program draws small records of its own; files are looked at, pictures are for people. */
#include "tests/plot_command.h"

#include <hdf5.h>

TestSuite(plot, .init = start, .fini = finish, .timeout = 1800);

Test(plot, every_figure_of_a_stack) {
    static const char *const all[] = {"single_gain",    "composite_gain",
                                      "composite_maps", "composite_spectrum",
                                      "mixing",         "reach",
                                      "costs",          "depth",
                                      "streams",        NULL};
    good("@ run --block resnet,hc,hc-static,mhc,identity --depth 6,60 --width 8 --tokens 4 --seed 1:3:1 --out %/a.h5 "
         "-q");
    good("@ plot %/a.h5");
    cr_expect(strstr(said, "not in it: phase, t_max, streams_n, "), "%s", said);
    figures_whole("figures", all);
    data_is_tidy("figures");
    holds("figures/data/composite_gain.gp", "PAPER = 1", true);
    holds("figures/data/costs.gp", "TRAINED = 0", true);
    /* A ResNet's matrix is all ones: one box in each of 61 rows, of every source so far. */
    good("awk -F, '$3 == \"resnet\" && $5 == 0 && $6 == $4 - 1 && $7 < 1e-12 && $7 > -1e-12 { n++ } "
         "END { exit n != 61 }' %/figures/data/mixing.csv");
    good("awk -F, '$3 == \"resnet\" { n += $4 == 1 && $7 == 0 && $9 == 1 && $15 == 1 } END { exit n != 1 }' "
         "%/figures/data/costs.csv");
    holds("figures/single_gain.svg", ">static HC<", true);
    good("@ plot %/a.h5 --out %/again --format svg");
    good("for f in %/figures/*.svg; do cmp $f %/again/$(basename $f) || exit 1; done");
    good("@ plot %/a.h5 --out '%/|odd name' --figure depth --format=pdf");
    holds("|odd name/depth.pdf", "%PDF", true);
    good("@ plot %/a.h5 --out %/two --figure reach,depth --format svg");
    good("ls %/two | tr '\n' ' '");
    cr_expect_str_eq(said, "data depth.svg reach.svg ");
    good("@ plot %/a.h5 --figure depth --format dumb");
    cr_expect(strstr(said, "identity HC") && strstr(said, "depth L (layers)") && !strchr(said, '{'), "%s", said);
}

Test(plot, phase_t_max_streams_and_contours) {
    static const char *const all[] = {"phase", "t_max", "streams_n", NULL};
    static const char suite[] = "set --study maps --alpha 0 --record summary --measure gain+mixing --depth 60\n"
                                "--block hc --s 0,0.1,0.2 --w 0,0.2,0.4,0.6 --seed 1:2:1\n"
                                "--block mhc --d 12 --s 1,2,3 --w 0,1,2\n"
                                "--block mhc --d 12 --s 6 --t-max 1,5,20 --round none,bf16\n"
                                "--block hc,mhc --s 0.5 --streams 2,4\n";
    char path[4096];
    snprintf(path, sizeof path, "%s/p.suite", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(suite, file) >= 0 && !fclose(file), "%s", path);
    good("@ run %/p.suite --out %/p.h5 -q");
    good("@ plot %/p.h5 --out %/p");
    figures_whole("p", all);
    data_is_tidy("p");
    caption_says("p/data/phase.gp", "mHC: no 1.6 contour in this range.", true);
    holds("p/data/phase.gp", "LEVELS[1] = '1.6 3000'", true);
    holds("p/data/phase.gp", "LEVELS[2] = ''", true);
    holds("p/data/t_max.csv", "round=bf16", true);
}

/* All singular values of a product of identities are 1, and each has a row per layer. */
Test(plot, composite_spectrum) {
    good("@ run --study maps --block hc --w 0,0.3 --alpha 0 --depth 3 --streams 3 --out %/i.h5 -q");
    good("@ plot %/i.h5 --out %/i --figure composite_spectrum --w 0 --format svg");
    holds("i/data/composite_spectrum.csv",
          "line,label,block,value,layer,log10_q10,log10_median,log10_q90,log10_overflow\n"
          "1,\"HC\",hc,1,1,0,0,0,0\n1,\"HC\",hc,1,2,0,0,0,0\n1,\"HC\",hc,1,3,0,0,0,0\n1,\"HC\",hc,2,1,0,0,0,0\n",
          true);
    good("@ plot %/i.h5 --out %/j --figure composite_spectrum --w 0.3 --format svg");
    holds("j/data/composite_spectrum.csv", "1,\"HC\",hc,3,3,-", true); /* the smallest shrinks */
    good("@ run --study maps --block hc,mhc --depth 3 --measure gain --out %/k.h5 -q");
    refused("@ plot %/k.h5 --out %/k --figure composite_spectrum", "no case of it has its singular values recorded");
}

/* Writes a suite of one study into the folder. */
static void write_suite(const char *name, const char *text) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && !fclose(file), "%s", path);
}

/* What is left out is named, in the caption and beside it; case options and --lines choose. */
Test(plot, lines_that_are_left_out) {
    good("@ run --study maps --block hc --w 0.1:0.6:0.1 --depth 4 --out %/l.h5 -q");
    good("@ plot %/l.h5 --out %/l --figure composite_gain");
    cr_expect(strstr(said, "note: composite_gain: 2 lines are not in it: HC w=0.2, HC w=0.5 (plot --help"), "%s", said);
    caption_says("l/data/composite_gain.gp", "not HC w=0.2", true);
    holds("l/data/composite_gain.csv", "HC w=0.1", true); /* both ends are there */
    holds("l/data/composite_gain.csv", "HC w=0.6", true);
    good("@ plot %/l.h5 --out %/m --figure composite_gain --w 0.3,0.6 --block hc");
    cr_expect(!strstr(said, "note:"), "%s", said);
    holds("m/data/composite_gain.csv", "HC w=0.3", true);
    holds("m/data/composite_gain.csv", "HC w=0.6", true);
    holds("m/data/composite_gain.csv", "HC w=0.1", false);
    good("@ plot %/l.h5 --out %/m --figure composite_gain --lines 1");
    cr_expect(strstr(said, "5 lines are not in it: HC w=0.2, HC w=0.3, HC w=0.4, HC w=0.5, HC w=0.6 ("), "%s", said);
    good("@ plot %/l.h5 --out %/m --figure composite_gain --lines 2");
    cr_expect(strstr(said, "not in it: HC w=0.2, HC w=0.3, HC w=0.4, HC w=0.5 ("), "%s", said);
    good("@ plot --w=0.3 %/l.h5 --out %/m --figure composite_gain");
    holds("m/data/composite_gain.csv", "HC\"", true);
    refused("@ plot %/l.h5 --w 0.7", "no case of it has --w 0.7");
    refused("@ plot %/l.h5 --block bogus", "--connection bogus: one of");
    refused("@ plot %/l.h5 --w 0.1:0.3:0.1", "a range is not known");
    refused("@ plot %/l.h5 --lines 5", "1 to 4");
}

/* A line of one seed does not pass for one of many, nor a block that is at another n for one that is not recorded. */
Test(plot, lines_of_few_seeds_and_of_another_n) {
    write_suite("f.suite",
                "set --study maps --depth 4\n--block hc --seed 1:3:1\n--block mhc\n--block hc-static --streams 2\n");
    good("@ run %/f.suite --out %/f.h5 -q");
    good("@ plot %/f.h5 --out %/f --figure composite_gain");
    holds("f/composite_gain.svg", ">HC, 3 seeds<", true);
    holds("f/composite_gain.svg", ">mHC, 1 seed<", true);
    holds("f/data/composite_gain.csv", "seed", false);
    cr_expect(strstr(said, "note: composite_gain: not in it: static HC at another L or n only ("), "%s", said);
    caption_says("f/data/composite_gain.gp", "not shown: static HC at another L or n", true);
    good("@ plot %/f.h5 --out %/f --figure composite_gain --block mhc");
    holds("f/composite_gain.svg", ">mHC<", true);
    cr_expect(!strstr(said, "note:"), "%s", said);
}

/* A panel's own axes are not in its caption as constants, and signs that are drawn are explained. */
Test(plot, phase_says_what_it_shows) {
    write_suite("q.suite",
                "set --study maps --alpha 0 --record summary --measure gain --depth 100\n"
                "--block hc --w 0,0.1,100000 --s 0,0.1,0.2\n--block mhc --w 1 --s 7 --d 0,6,12 --t-max 1,2,4\n");
    good("@ run %/q.suite --out %/q.h5 -q");
    good("@ plot %/q.h5 --out %/q --figure phase");
    holds("q/data/phase.gp", "t_{max}=", false);
    caption_says("q/data/phase.gp", "mHC: s=7, w=1", true);
    caption_says("q/data/phase.gp", "Triangles: overflow.", true);
    holds("q/data/phase.gp", "X_TICKS[2] = '1, 2, 4'", true);
    good("@ plot %/q.h5 --out %/q --figure phase --block mhc");
    holds("q/data/phase.gp", "Triangles", false);
}

/* A sweep of three parameters has more planes than the figure draws: it names the others. */
Test(plot, phase_names_the_other_planes) {
    write_suite("h.suite", "set --study maps --alpha 0 --record summary --measure gain --depth 4\n"
                           "--block mhc --d 6,12 --w 0,1,2 --s 3,5,7\n--block hc --w 0,0.1,0.2 --s 0,0.1,0.2\n"
                           "--block hc --w 0.1 --s 0.1 --alpha 0,0.1,0.2 --streams 2,3,4\n");
    good("@ run %/h.suite --out %/h.h5 -q");
    good("@ plot %/h.h5 --out %/h --figure phase --format svg");
    cr_expect(strstr(said, "planes that are not drawn: HC over n and alpha; mHC at d=6 ("), "%s", said);
    good("@ plot %/h.h5 --out %/h --figure phase --format svg --d 6 --block mhc");
    cr_expect(!strstr(said, "planes"), "%s", said);
}

/* Options of a record are text: nothing in them is markup, and names of the paper are set as it sets them. */
Test(plot, text_is_not_markup) {
    good("echo 0123456789 >'%/a_b^{c}~d'");
    good("@ run --block mhc --t-max 5,20 --depth 4 --tokens 4 --width 8 --input '%/a_b^{c}~d' --out %/t.h5 -q");
    good("@ plot %/t.h5 --out %/t --figure composite_gain");
    holds("t/composite_gain.svg", "a_b^{c}~d", true);
    holds("t/data/composite_gain.gp", "'mHC t_{max}=5'", true);
    good("@ plot %/t.h5 --out %/t --figure streams");
    holds("t/data/streams.gp", "Streams x_{l} at", true);
}

/* Kinds are compared at one shape; F has all its parts; what is above the roof is marked by the numbers that
 * are drawn. */
Test(plot, operations_at_one_shape) {
    write_suite(
        "k.suite",
        "set --study kernels --backend cpu32 --budget 0.01 --rounds 12\n"
        "--operation resnet.post,hc.post,norm.*,activation.forward,attention-core.forward,gemm.forward --tokens 8 "
        "--width 16\n"
        "--operation mhc.post,sinkhorn.forward --tokens 8,32 --width 16\n"
        "--operation stack.entry,adamw.update --tokens 64 --width 16\n");
    good("OMP_NUM_THREADS=1 @ run %/k.suite --out %/k.h5 -q");
    good("@ plot %/k.h5 --out %/k");
    cr_expect(
        strstr(
            said,
            "note: roofline: 2 operations are not in it, timed at other shapes only: stack.entry, adamw.update (plot "
            "--help"),
        "%s", said);
    data_is_tidy("k");
    holds("k/data/roofline.gp", "SHAPE = 'T = 8, C = 16, n = 4'", true);
    holds("k/data/bandwidth.csv", "stack.entry", false);
    /* row, operation, kind, backward, tokens, width, ... bytes 11, flops 12, flop_rate 14, above 17 */
    good("grep -v '^[#r]' %/k/data/roofline.csv | awk -F, '$5 != 8 { exit 1 } END { exit NR != 9 }'");
    good("grep -E '(norm|activation|attention-core|gemm)[.]' %/k/data/roofline.csv | awk -F, '$3 != 5 { exit 1 } END { "
         "exit NR != 5 }'");
    good("copy=$(sed -n 's/^COPY = //p' %/k/data/roofline.gp); gemm=$(sed -n 's/^GEMM = //p' %/k/data/roofline.gp);"
         "grep -v '^[#r]' %/k/data/roofline.csv | awk -F, -v copy=$copy -v gemm=$gemm '{ roof = copy * $12 / $11;"
         "if (gemm != \"NaN\" && gemm < roof) roof = gemm; "
         "if (($12 > 0 && $14 > roof * 1.00001) > $17 || ($17 && $14 < roof * 0.99999)) exit 1 }'");
    good("@ plot %/k.h5 --out %/k --figure roofline --tokens 32");
    holds("k/data/roofline.gp", "SHAPE = 'T = 32, C = 16, n = 4'", true);
    caption_says("k/data/roofline.gp", "Other: ", false);
    good("@ plot %/k.h5 --out %/k --figure roofline --tokens 64");
    caption_says("k/data/roofline.gp", "Other: arrows", true);
}

/* 10^310 and more is not a double: triangles, not numbers. */
Test(plot, overflow_is_flagged) {
    static const char *const all[] = {"composite_gain", NULL};
    good("@ run --study maps --block hc,mhc --w 100000 --depth 100 --tokens 2 --seed 1:2:1 --out %/o.h5 -q");
    good("@ plot %/o.h5 --out %/o");
    figures_whole("o", all);
    data_is_tidy("o");
    holds("o/data/composite_gain.csv", ",,,,1,", true);
}

/* The names that everybody can foresee may be links that somebody laid: they are replaced, and lead nowhere. */
Test(plot, links_are_not_followed) {
    good("@ run --study maps --block hc --depth 3 --tokens 2 --out %/r.h5 -q");
    good("mkdir -p %/r/data && echo mine >%/victim && for f in composite_gain.svg data/composite_gain.csv "
         "data/composite_gain.gp; do ln -s %/victim %/r/$f; done");
    good("@ plot %/r.h5 --figure composite_gain --format svg --out %/r");
    good("test \"$(cat %/victim)\" = mine && ! find %/r -type l | grep . && test -z \"$(find %/r -name '.?*')\"");
    holds("r/composite_gain.svg", "</svg>", true);
    good("rm -r %/r/data && mkdir %/elsewhere && ln -s %/elsewhere %/r/data");
    refused("@ plot %/r.h5 --figure composite_gain --format svg --out %/r", "/data: ");
    good("ln -s %/elsewhere %/figures");
    refused("@ plot %/r.h5 --figure composite_gain --format svg", "figures: ");
    good("test -z \"$(ls %/elsewhere)\"");
    good("rm %/figures; mkdir %/tmp && TMPDIR=%/tmp @ plot %/r.h5 --figure composite_gain && test -z \"$(ls -A "
         "%/tmp)\"");
}

/* The model of the CPU, which captions and tables quote, in the words of the machine that made the record. */
static void set_cpu(const char *path, const char *words) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(words));
    H5Adelete_by_name(file, "env", "cpu_model", H5P_DEFAULT);
    hid_t fact = H5Acreate_by_name(file, "env", "cpu_model", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(fact >= 0 && H5Awrite(fact, type, words) >= 0);
    H5Aclose(fact), H5Sclose(space), H5Tclose(type), H5Fclose(file);
}

/* Quotes of every kind are text, wherever they stand; what is no text at all does not reach a figure or a table. */
Test(plot, quotes_do_not_leave_a_text) {
    static const char *const names[] = {
        "''.system(\"touch pwned\").''", "'.system('touch pwned').'", "\"`touch pwned`\"", "'''", "x'@y \\'",
        "\xff\xc2\x9b[2J\x1b[2J"};
    char command[2000], path[4096];
    good("@ run --depth 4 --tokens 4 --width 8 --block mhc,hc --out %/q.h5 -q");
    snprintf(path, sizeof path, "%s/name", folder);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        FILE *file = fopen(path, "w");
        cr_assert(file && fputs(names[k], file) >= 0 && !fclose(file));
        char record[4096], figure[64];
        snprintf(record, sizeof record, "%s/q.h5", folder);
        set_cpu(record, names[k]);
        snprintf(
            command, sizeof command,
            "cd %% && name=$(cat name) && cp q.h5 \"q$name.h5\" && @ plot \"q$name.h5\" --format svg --out q%zu && "
            "! find . -name pwned | grep .",
            k);
        good(command);
        snprintf(figure, sizeof figure, "q%zu/composite_gain.svg", k);
        holds(figure, "</svg>", true);
        snprintf(command, sizeof command,
                 "cd %% && @ show q.h5 >q%zu/shown && @ export q.h5 >q%zu/out.csv && "
                 "for f in q%zu/*.* q%zu/shown q%zu/data/*; "
                 "do iconv -f utf-8 -t utf-8 $f >/dev/null && "
                 "! LC_ALL=C grep -lP '[\\x01-\\x08\\x0b-\\x1f\\x7f]|\\xc2\\x9b' $f || exit 1; done",
                 k, k, k, k, k);
        good(command);
    }
}

/* A record without a column that a caption quotes is drawn without it. */
Test(plot, record_without_seeds) {
    char path[4096];
    good("@ run --study maps --block hc,mhc --depth 3 --tokens 2 --out %/n.h5 -q");
    snprintf(path, sizeof path, "%s/n.h5", folder);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    cr_assert(file >= 0 && H5Ldelete(file, "cases/seed", H5P_DEFAULT) >= 0 && H5Fclose(file) >= 0);
    good("@ plot %/n.h5 --out %/n --format svg");
    caption_says("n/data/composite_maps.gp", "seed unknown", true);
}

Test(plot, errors_are_one_line) {
    good("@ run --study maps --block mhc --depth 3 --tokens 2 --seed 1 --record summary --out %/s.h5 -q");
    refused("@ plot", "usage");
    refused("@ plot %/none.h5", "none.h5");
    refused("@ plot %/s.h5 --figure nonsense", "single_gain");
    refused("@ plot %/s.h5 --figure depth", "depth");
    refused("@ plot %/s.h5 --format gif", "svg");
    refused("@ plot %/s.h5 --format svg,svg", "twice");
    refused("@ plot %/s.h5 --wrong", "--wrong");
    refused("@ plot %/s.h5 --columns 3", "--columns 3: 1 or 2");
    refused("@ plot %/s.h5 --caption short", "--caption short: full or none");
    good("touch %/file");
    refused("@ plot %/s.h5 --out %/file", "file");
    refused("@ plot %/s.h5 --out /proc/none", "/proc/none");
    int code = run("@ plot %/s.h5");
    cr_expect(code == 2 && strstr(said, "nothing in it"), "exit %d: %s", code, said);
    good("@ run --study maps --block mhc --depth 3 --tokens 2 --seed 1 --out %/c.h5 -q");
    refused("mkdir -p %/empty && PATH=%/empty @ plot %/c.h5 --out %/c", "gnuplot-nox");
}
