/* `mhcbench report`: one page that needs nothing else, in which no text from outside is markup. */
#include "tests/command.h"

#include <hdf5.h>

TestSuite(report, .timeout = 1800);

static int count(const char *text, const char *what) {
    int found = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        found++;
    return found;
}

static char page[4 << 20];

/* Elements end, no script, nothing from outside, no name twice. */
static void expect_alone(const char *path) {
    static const char *const elements[] = {"table", "tr", "td", "th", "pre", "figure", "svg", "h2", "details"};
    read_all(path, page, sizeof page);
    cr_expect(!strncmp(page, "<!DOCTYPE html>", 15) && strstr(page, "</html>\n"));
    for (size_t k = 0; k < sizeof elements / sizeof *elements; k++) {
        char end[20], plain[20], with[20];
        snprintf(end, sizeof end, "</%s>", elements[k]);
        snprintf(plain, sizeof plain, "<%s>", elements[k]);
        snprintf(with, sizeof with, "<%s ", elements[k]);
        const int begun = count(page, plain) + count(page, with) + (k == 6 ? count(page, "<svg\n") : 0);
        cr_expect(begun == count(page, end), "%s: %d begin, %d end", elements[k], begun, count(page, end));
    }
    cr_expect(!strstr(page, "<script") && !strstr(page, "<img") && !strstr(page, "<link") && !strstr(page, "@import"));
    GOOD("! grep -oE \"(src|href)=[\\\"'][^#]\" %s", path); /* names within the page alone */
    GOOD("test -z \"$(grep -oE \" id=['\\\"][^'\\\"]*\" %s | tr -d \"'\\\"\" | sort | uniq -d)\"", path);
}

Test(report, a_page_stands_alone) {
    enter();
    GOOD("$M run --study maps --connection hc,mhc --depth 8 --alpha 0 --w 0.3 --seed 1:3:1 --out m.h5 -q && "
         "$M report m.h5 --out m.html");
    cr_expect(!strcmp(out, "m.html\n"), "%s", out);
    expect_alone("m.html");
    cr_expect(count(page, "<svg") >= 4 && strstr(page, "<figure id=\"composite_gain\">"), "%d", count(page, "<svg"));
    cr_expect(strstr(page, "mhcbench run --study maps --connection hc,mhc") &&
              strstr(page, "mhcbench run --study maps --block mhc --depth 8") && strstr(page, "cpu_model"));
    /* The tables of show: every cell of one row. */
    GOOD("$M show m.h5 | grep '^hc ' | head -n 1");
    for (char *cell = strtok(out, " \n["); cell; cell = strtok(NULL, " \n["))
        cr_expect(strstr(page, cell), "%s", cell);
    GOOD("$M run --study kernels --operation mhc.pre --tokens 16 --width 8 --rounds 5 --budget 0.05 --out k.h5 -q && "
         "$M report k.h5 --out k.html && $M report $R/tests/golden/v1.h5 --out v.html");
    expect_alone("k.html");
    cr_expect(strstr(page, "mhc.pre"));
    expect_alone("v.html");
    leave();
}

Test(report, text_is_no_markup) {
    static const double maps[2 * 2 * 2] = {0.5, 0.5, 0.25, 0.75, 0.5, 0.5, 0.5, 0.5};
    const hsize_t extent[] = {2, 1, 2, 2};
    enter();
    hid_t file = H5Fcreate("<script>alert(1)&amp;.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(4, extent, NULL);
    hid_t data = H5Dcreate2(file, "res", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, maps) >= 0);
    H5Dclose(data);
    H5Sclose(space);
    H5Fclose(file);
    GOOD("$M run --study maps --from '<script>alert(1)&amp;.h5' --out \"<img src='x'>.h5\" -q && "
         "$M report \"<img src='x'>.h5\" --out r.html");
    expect_alone("r.html");
    cr_expect(strstr(page, "&#60;script&#62;alert(1)&#38;amp;.h5") &&
              strstr(page, "<title>&#60;img src=&#39;x&#39;&#62;"));
    leave();
}

Test(report, without_gnuplot_the_page_says_so) {
    enter();
    GOOD(
        "$M run --study maps --depth 4 --alpha 0 --out m.h5 -q && mkdir none && PATH=none $M report m.h5 --out m.html");
    expect_alone("m.html");
    cr_expect(!strstr(page, "<svg") && strstr(page, "None: mhcbench: gnuplot is not there"));
    leave();
}

Test(report, bad_usage_gets_one_line) {
    enter();
    GOOD("$M run --study maps --depth 4 --alpha 0 --out m.h5 -q && touch there.html");
    expect_refusal("$M report m.h5", "--out FILE.html is missing");
    expect_refusal("$M report m.h5 --out there.html", "there.html exists");
    expect_refusal("$M report none.h5 --out r.html", "none.h5");
    expect_refusal("$M report there.html --out r.html", "there.html");
    expect_refusal("$M report m.h5 --out nowhere/r.html", "nowhere/r.html.part: No such file");
    expect_refusal("$M report m.h5 n.h5 --out r.html", "usage: mhcbench report");
    cr_expect(!exists("r.html"));
    leave();
}
