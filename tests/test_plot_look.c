/* What can be seen of a figure without eyes: in its SVG no text touches another or leaves the page, axes have ticks,
 * cells lie about their dots, and the paper's line lies over the bars. Data that no run would give are made of a
 * run's by hand. */
#include <ctype.h>
#include <dirent.h>
#include <math.h>

#include "tests/command.h"

TestSuite(plot_look, .init = enter_with_plots, .fini = leave, .timeout = 1800);

enum { MOST = 4000 };
static char svg[1 << 24];

/* A text and its box, in pixels, a little smaller than it is drawn: glyphs differ from font to font. */
struct text {
    char text[256];
    double left, right, top, bottom;
    bool turned; /* upwards */
    char anchor; /* m or e: centred as numbers of a horizontal axis are, right-aligned as those of a vertical one */
};
static struct text texts[MOST];
static int count;

static void read_svg(const char *path) {
    read_all(path, svg, sizeof svg);
    cr_assert(strstr(svg, "</svg>"), "%s: not a whole SVG", path);
}

static double width_of(char glyph, double size) {
    return size * (isdigit((unsigned char)glyph) ? 0.62 : strchr(" .,:;|ijlt'()/", glyph) ? 0.27 : 0.48);
}

/* Reads the glyphs of a <text> up to its end; returns their width. */
static double read_glyphs(const char *at, char *text, size_t room) {
    double size = 9.4, width = 0;
    size_t used = 0;
    for (; *at && strncmp(at, "</text>", 7); at++)
        if (*at == '<') {
            const char *end = strchr(at, '>'), *font = strstr(at, "font-size=\"");
            size = font && font < end ? atof(font + 11) : 9.4;
            at = end;
        } else if (((unsigned char)*at & 0xC0) != 0x80) {
            width += width_of(*at, size);
            text[used] = *at;
            used += used + 1 < room;
        }
    text[used] = 0;
    return width;
}

static void read_texts(const char *path) {
    count = 0;
    read_svg(path);
    for (const char *at = svg; (at = strstr(at, "<g transform=\"translate(")) && count < MOST; at++) {
        struct text *t = &texts[count];
        double x, y;
        const char *anchor = strstr(at, "text-anchor=\""), *open = strstr(at, "<text>");
        cr_assert(sscanf(at, "<g transform=\"translate(%lf,%lf)", &x, &y) == 2 && anchor && open, "%s: %.80s", path,
                  at);
        double width = read_glyphs(open, t->text, sizeof t->text);
        double before = anchor[13] == 'm' ? width / 2 : anchor[13] == 'e' ? width : 0;
        t->anchor = anchor[13];
        t->turned = !strncmp(strchr(at, ')'), ") rotate(-90)", 13) || !strncmp(strchr(at, ')'), ") rotate(270)", 13);
        cr_assert(t->turned || !strncmp(strchr(at, ')'), ")\"", 2), "%s: %.80s", path, at);
        if (t->turned)
            t->left = x - 6, t->right = x, t->bottom = y + before, t->top = t->bottom - width;
        else
            t->left = x - before, t->right = t->left + width, t->top = y - 6, t->bottom = y;
        count += t->text[0] != 0;
    }
    cr_assert(count > 3, "%s: %d texts", path, count);
}

/* No text touches another, nor leaves the page. */
static void texts_are_apart(const char *path) {
    double width = 0, height = 0;
    read_texts(path);
    cr_assert(sscanf(strstr(svg, "viewBox=\"0 0 "), "viewBox=\"0 0 %lf %lf", &width, &height) == 2, "%s", path);
    for (int i = 0; i < count; i++) {
        const struct text *a = &texts[i];
        cr_expect(a->left >= 0 && a->right <= width && a->top >= 0 && a->bottom <= height,
                  "%s: \"%s\" leaves the page: %.0f to %.0f of %.0f", path, a->text, a->left, a->right, width);
        for (int j = 0; j < i; j++) {
            const struct text *b = &texts[j];
            bool twice = !strcmp(a->text, b->text) && a->left == b->left &&
                         a->top == b->top; /* as text in a box is written */
            cr_expect(twice || a->left >= b->right || b->left >= a->right || a->top >= b->bottom || b->top >= a->bottom,
                      "%s: \"%s\" lies on \"%s\" at (%.0f, %.0f)", path, a->text, b->text, a->left, a->top);
        }
    }
}

static int figures_are_apart(const char *folder_of_figures) {
    int seen = 0;
    DIR *dir = opendir(folder_of_figures);
    cr_assert(dir, "%s", folder_of_figures);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strstr(entry->d_name, ".svg")) {
            char path[600];
            snprintf(path, sizeof path, "%s/%s", folder_of_figures, entry->d_name);
            texts_are_apart(path);
            seen++;
        }
    closedir(dir);
    return seen;
}

/* Numbers at a vertical or a horizontal axis. */
static int ticks(bool vertical) {
    int found = 0;
    for (int i = 0; i < count; i++)
        found += !texts[i].turned && texts[i].anchor == (vertical ? 'e' : 'm') && texts[i].text[0] &&
                 strspn(texts[i].text, "0123456789.e+") == strlen(texts[i].text);
    return found;
}

Test(plot_look, stacks) {
    write_text("s.suite", "set --study propagate --width 8 --tokens 2\n"
                          "--block resnet,hc,hc-static,mhc,identity --depth 6,60 --seed 1:2:1\n"
                          "--block mhc --init mixed,near-identity --depth 6,60\n"
                          "set --study maps --alpha 0 --record summary --depth 60\n"
                          "--block hc --s 0,0.1,0.2 --w 0:0.6:0.05\n"
                          "--block mhc --d 12 --s 1,3,5,7 --w 0,1,2\n"
                          "--block mhc --d 12 --s 6 --t-max 1,5,20 --round none,bf16\n"
                          "--block hc,mhc --s 0.5 --streams 2:16:1\n");
    GOOD("$M run s.suite --out s.h5 -q && $M plot s.h5 --format svg --out f");
    cr_expect(figures_are_apart("f") == 12, "%s", out);
    for (int columns = 1; columns <= 2; columns++) { /* 8.5 cm and 17 cm, 37.795 pixels each */
        char command[200];
        snprintf(command, sizeof command, "$M plot s.h5 --format svg --out c%d --columns %d --caption none", columns,
                 columns);
        GOOD(command);
        snprintf(command, sizeof command, "c%d", columns);
        cr_expect(figures_are_apart(command) == 12, "%s", out);
        snprintf(command, sizeof command, "c%d/streams.svg", columns);
        read_texts(command);
        cr_expect(strstr(svg, columns == 1 ? "viewBox=\"0 0 321 " : "viewBox=\"0 0 642 ") && !strstr(svg, "mhcbench"));
    }
    GOOD("$M plot s.h5 --format svg --out g --block mhc --depth 6 && $M plot s.h5 --format svg --out g --block hc "
         "--depth 60 --figure composite_gain");
    figures_are_apart("g");
}

/* Trained stacks at several rates and depths, some of them as deep as the paper's. */
Test(plot_look, training) {
    GOOD("head -c 20000 $R/suites/kjv-genesis-to-kings.txt >text");
    write_text("t.suite",
               "set --study train --backend cpu32 --width 8 --heads 2 --head-dim 4 --sequence 16 --batch 2 --tokens 16 "
               "--input text --steps 6 --warm-up 2 --every 2\n"
               "--connection resnet,skip,hc,mhc,identity --depth 60 --learning-rate 0.01,0.1\n"
               "--connection hc,mhc --depth 4,12 --learning-rate 0.01,0.02,0.05,0.1\n");
    GOOD("$M run t.suite --out t.h5 -q && $M plot t.h5 --format svg --out f");
    cr_expect(figures_are_apart("f") == 15, "%s", out);
    GOOD("$M plot t.h5 --format svg --out n --columns 1");
    cr_expect(figures_are_apart("n") == 15, "%s", out);
    GOOD("$M plot t.h5 --format svg --out g --depth 12 && $M plot t.h5 --format svg --out h --connection mhc");
    figures_are_apart("g");
    figures_are_apart("h");
}

/* Long names are cut in the legend, so that it stays legible, and in the data they are whole. */
Test(plot_look, long_names) {
    GOOD("mkdir -p folder_with_a_name_of_some_length/and_another_below && for k in 1 2; do head -c 300 "
         "$R/suites/kjv-genesis-to-kings.txt "
         ">folder_with_a_name_of_some_length/and_another_below/the_text_number_$k.txt; done");
    write_text(
        "l.suite",
        "set --study propagate --width 8 --tokens 2 --depth 6\n"
        "--block resnet,hc,mhc --input folder_with_a_name_of_some_length/and_another_below/the_text_number_1.txt\n"
        "--block resnet,hc,mhc --input folder_with_a_name_of_some_length/and_another_below/the_text_number_2.txt "
        "--seed 1:2:1\n");
    GOOD("$M run l.suite --out l.h5 -q && $M plot l.h5 --format svg --out f");
    cr_expect(figures_are_apart("f") == 8, "%s", out);
    GOOD("cat f/streams.svg f/data/streams.csv");
    cr_expect(
        strstr(out, "number_1.txt, 1 seed<") &&
            strstr(out, "\"mHC input=folder_with_a_name_of_some_length/and_another_below/the_text_number_2.txt\""),
        "%s", out);
}

/* One layer, one seed: a point on axes that count in layers. */
Test(plot_look, a_single_layer) {
    GOOD("$M run --block hc --depth 1 --width 8 --tokens 2 --out a.h5 -q && $M plot a.h5 --format svg --out f");
    cr_expect(figures_are_apart("f") == 7, "%s", out);
    read_texts("f/streams.svg");
    for (int i = 0; i < count; i++)
        cr_expect(strcmp(texts[i].text, "0.5"), "half a layer");
}

/* The paper's numbers are far from the lines' range, or hardly are there any: two ticks and more, whatever
 * the range. */
Test(plot_look, narrow_ranges_have_ticks) {
    GOOD("$M run --study maps --block hc --w 0.001:0.003:0.001 --depth 60,70 --tokens 2 --alpha 0 --out a.h5 -q && "
         "$M plot a.h5 --format svg --out f");
    figures_are_apart("f");
    read_texts("f/composite_gain.svg");
    cr_expect(ticks(true) >= 4 && ticks(false) >= 2, "%d numbers up, %d along", ticks(true), ticks(false));
    read_texts("f/depth.svg");
    cr_expect(ticks(false) >= 4, "depths 60 and 70 have no power of two between them: %d numbers along", ticks(false));
}

/* Every dot of a regular grid is the middle of the last cell drawn under it. */
Test(plot_look, cells_lie_about_their_dots) {
    int dots = 0;
    GOOD("$M run --study maps --record summary --block mhc --d 12 --s 1,3,5 --w 0,1,2,3 --depth 8 --out a.h5 -q && "
         "$M plot a.h5 --figure phase --format svg --out f");
    read_svg("f/phase.svg");
    for (const char *dot = svg; (dot = strstr(dot, "<use xlink:href='#gpPt6' transform='translate(")); dot++) {
        double x, y, left = 0, bottom = 0, right = 0, top = 0, middle[2] = {NAN, NAN};
        cr_assert(sscanf(strchr(dot, '('), "(%lf,%lf)", &x, &y) == 2);
        for (const char *cell = svg; (cell = strstr(cell, "points = '")); cell++)
            if (sscanf(cell, "points = '%lf,%lf %lf,%*f %*f,%lf", &left, &bottom, &right, &top) == 4 && left <= x &&
                x <= right && top <= y && y <= bottom && right - left < 200)
                middle[0] = (left + right) / 2, middle[1] = (top + bottom) / 2;
        cr_expect(fabs(middle[0] - x) < 0.2 && fabs(middle[1] - y) < 0.2, "dot (%g, %g) in a cell about (%g, %g)", x, y,
                  middle[0], middle[1]);
        dots++;
    }
    cr_expect(dots >= 12, "%d dots", dots);
    read_texts("f/phase.svg");
    for (int k = 0; k < 4; k++) {
        char name[2] = {(char)('0' + k), 0};
        int found = 0;
        for (int i = 0; i < count; i++)
            found += texts[i].anchor == 'm' && !strcmp(texts[i].text, name);
        cr_expect(found == 1, "%d ticks at w = %d", found, k);
    }
}

/* A copy of the data of a figure, its CSV changed by an awk program, drawn anew. */
static void redraw(const char *figure, const char *program) {
    GOOD("rm -rf d && cp -r f/data d && awk -F, -v OFS=, '%s' f/data/%s.csv >d/%s.csv && ! cmp -s f/data/%s.csv "
         "d/%s.csv && gnuplot -d -c $R/plots/%s.gp d svg d/%s.svg",
         program, figure, figure, figure, figure, figure, figure);
    char path[100];
    snprintf(path, sizeof path, "d/%s.svg", figure);
    texts_are_apart(path);
}

/* Points of the contours drawn, [2] each; 0 of none. */
static int contour_points(double (*point)[2]) {
    const char *path = strstr(svg, "<path stroke='rgb(194,  69,  45)'"), *at = path ? strstr(path, "d='") + 3 : NULL;
    int points = 0, used;
    for (; at && sscanf(at, " %*c%lf,%lf%n", &point[points][0], &point[points][1], &used) == 2; at += used)
        points++;
    return points;
}

/* Where the gain steps from 1.2 to 2 the contour 1.6 lies at 56 % of the step in its logarithm; none is drawn about a
 * missing cell, and an overflow is above it. */
Test(plot_look, contours_lie_where_the_gain_is) {
    static double point[200][2];
    double dot[2][2], low = INFINITY, high = -INFINITY;
    int dots = 0;
    GOOD(
        "$M run --study maps --record summary --block mhc --d 12 --s 1,3,5,7,9 --w 1,10,100 --depth 8 --out a.h5 -q && "
        "$M plot a.h5 --figure phase --format svg --out f && sed -i \"s/^LEVELS.1. = ''/LEVELS[1] = '1.6'/\" "
        "f/data/phase.gp");
    redraw("phase", "$3 + 0 > 0 && $3 < 1000 { $9 = $3 < 5 ? 1.2 : 2; if ($3 == 100) { $9 = \"\"; $10 = 1 } } 1");
    read_svg("d/phase.svg");
    for (const char *at = svg; dots < 2 && (at = strstr(at, "<use xlink:href='#gpPt6' transform='translate(")); at++)
        dots += sscanf(strchr(at, '('), "(%lf,%lf)", &dot[dots][0], &dot[dots][1]) == 2;
    cr_assert(dots == 2);
    const double wanted = dot[0][0] + log(1.6 / 1.2) / log(2 / 1.2) * (dot[1][0] - dot[0][0]);
    int whole = contour_points(point), split = 0;
    cr_expect(whole >= 5, "%d points", whole);
    for (int k = 0; k < whole; k++) {
        bool between = point[k][0] > dot[0][0] - 0.1 && point[k][0] < dot[1][0] + 0.1;
        cr_expect(fabs(point[k][0] - wanted) < 0.1 && between, "(%g, %g), wanted at %g", point[k][0], point[k][1],
                  wanted);
        low = fmin(low, point[k][1]), high = fmax(high, point[k][1]);
    }
    cr_expect(high - low > 150, "from the first row to the last: %g", high - low);
    redraw("phase",
           "$3 + 0 > 0 && $3 < 1000 { $9 = $3 < 5 ? 1.2 : 2; if ($4 == 5 && $3 == 10) { $9 = \"\"; $10 = 0 } } 1");
    read_svg("d/phase.svg");
    split = contour_points(point);
    for (int k = 0; k < split; k++)
        cr_expect(fabs(point[k][1] - (low + high) / 2) > 20, "(%g, %g) is beside a cell without a value", point[k][0],
                  point[k][1]);
    cr_expect(split >= 4, "%d points", split);
}

Test(plot_look, operations) {
    write_text("k.suite", "set --study kernels --budget 0.01 --rounds 8 --tokens 8 --width 16\n"
                          "--operation mhc.post,resnet.*,hc-static.post_backward_y,gemm.forward --backend cpu32\n"
                          "--operation mhc.post --backend cpu64\n");
    GOOD("$M run k.suite --out k.h5 -q && $M plot k.h5 --format svg --out f");
    cr_expect(strstr(err, "note: bandwidth: 1 case of another backend, type or cache is not in it ("), "%s", err);
    cr_expect(figures_are_apart("f") == 2, "%s", out);
    GOOD("cat f/data/bandwidth.gp");
    cr_expect(strstr(out, "of another backend") && strstr(out, "backend cpu32, its widest type"), "%s", out);
    /* 16: a copy's share; shares of a thousandth, a hundred and the millionfold */
    redraw("bandwidth", "/^[0-9]/ { $15 *= 0.001 } 1");
    redraw("bandwidth", "/^[0-9]/ { $15 *= 100 } 1");
    redraw("bandwidth", "/^[0-9]/ { $15 *= 1e6 } 1");
    cr_expect(ticks(false) >= 2, "%d numbers along", ticks(false));
    redraw("roofline", "/^[0-9]/ { $14 *= 10 ^ ($1 - 5) } 1");
    GOOD("$M plot k.h5 --format svg --out f --operation mhc.post --backend cpu32");
    cr_expect(!strstr(err, "note:"), "%s", err);
    cr_expect(figures_are_apart("f") == 2, "%s", out);
    read_texts("f/roofline.svg");
    cr_expect(ticks(true) >= 2 && ticks(false) >= 2, "%d powers up, %d along", ticks(true), ticks(false));
}

Test(plot_look, a_failed_case_is_named) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    int code = sh(
        "$M run --study kernels --operation mhc.post_backward_y --backend ./fake.so --tokens 6 --type f32 --width "
        "6,7,8 --out a.h5 -q");
    cr_assert(code == 1, "exit %d: %s", code, err);
    GOOD("$M plot a.h5 --format svg --out f --figure bandwidth");
    cr_expect(strstr(err, " failed (plot --help"), "%s", err);
    texts_are_apart("f/bandwidth.svg");
}

/* The last dashes that are drawn come behind the last bar, and the line has its name. */
static void paper_is_over_bars(const char *path) {
    const char *bar = NULL, *dashes = NULL;
    bool named = false;
    read_texts(path);
    for (const char *at = svg; (at = strstr(at, "<polygon fill")); at++)
        bar = at;
    for (const char *at = svg; (at = strstr(at, "stroke-dasharray")); at++)
        dashes = at;
    cr_expect(bar && dashes > bar, "%s: bars hide the line", path);
    for (int i = 0; i < count; i++)
        named |= !strcmp(texts[i].text, "paper:");
    cr_expect(named && strstr(svg, ">6.7 %<"), "%s: the line has no name", path);
}

/* The places along the axis at which there is a point below the legend. */
static int places_of_points(void) {
    double place[200], x, y;
    int found = 0;
    for (const char *at = svg; (at = strstr(at, "<use xlink:href='#gpPt")); at++) {
        const char *where = strstr(at, "translate(");
        bool known = !where || where > strchr(at, '>') || sscanf(where, "translate(%lf,%lf)", &x, &y) != 2 || y < 24 ||
                     found == 200;
        for (int k = 0; k < found && !known; k++)
            known = fabs(place[k] - x) < 0.3;
        if (!known)
            place[found++] = x;
    }
    return found;
}

Test(plot_look, overheads) {
    write_text("o.suite", "set --study overhead --backend cpu32 --depth 2 --budget 0.01 --rounds 8 --head-dim 16\n"
                          "--width 32,16 --tokens 8\n--width 32 --hidden 64 --tokens 8\n--width 32 --tokens 16\n");
    GOOD("$M run o.suite --out o.h5 -q && $M plot o.h5 --format svg --out f");
    cr_expect(figures_are_apart("f") == 3, "%s", out);
    cr_expect(strstr(err, "note: overhead: 1 case of other shapes, backends or ways to run is not in it ("), "%s", err);
    cr_expect(strstr(err, "note: overhead_step: 3 cases of "), "%s", err);
    cr_expect(strstr(err, "note: overhead_sweep: 1 case of "), "of two with one C a panel has the first: %s", err);
    read_svg("f/overhead.svg"); /* times of a CPU: the paper's of GPUs are not beside them */
    cr_expect(!strstr(svg, "paper") && !strstr(svg, ">6.7 %<"), "%s", svg);
    GOOD("cat f/data/overhead.csv | awk -F, '/^[0-9]/ && $5 == \"\" { k++ } END { exit !k }' && "
         "sed -i 's/^PAPER = 0$/PAPER = 1/' f/data/overhead.gp f/data/overhead_sweep.gp"); /* as of a GPU */
    redraw("overhead_sweep", "/^[0-9]/ { $5 = $4 - 1; $6 = $4 + 1 } 1");                   /* with intervals: points */
    read_svg("d/overhead_sweep.svg");
    cr_expect(places_of_points() == 5 * 2 * 2, "five variants side by side at two C and two T: %d places",
              places_of_points());
    GOOD("cat f/data/overhead.gp");
    cr_expect(strstr(out, "LABEL[1] = 'C=32'\nKIND[1] = 'hidden=0'\n") &&
                  strstr(out, "LABEL[3] = 'C=32'\nKIND[3] = 'hidden=64'\n") &&
                  strstr(out, "LABEL[2] = 'C=16'\nKIND[2] = ''\n"),
              "two shapes of one width: %s", out);
    /* cheaper than a residual; a hundred thousand times as dear */
    redraw("overhead", "/^[0-9]/ { $5 = $4 - 1; $6 = $4 + 1 } 1"); /* with intervals: full bars */
    paper_is_over_bars("d/overhead.svg");
    redraw("overhead", "/^[0-9]/ { $4 -= 400; $5 = $4 - 1; $6 = $4 + 1 } 1");
    paper_is_over_bars("d/overhead.svg");
    redraw("overhead", "/^[0-9]/ { $4 *= 1e5; $5 *= 1e5; $6 *= 1e5 } 1");
    redraw("overhead_sweep", "/^[0-9]/ { $4 -= 400; $5 -= 400; $6 -= 400 } 1");
}

/* Ticks of many C or T have room; the record is in no order, the figure is. */
Test(plot_look, recomputation_in_order) {
    GOOD("$M run --study recompute --depth 6 --width 8 --tokens 6 --recompute 6,2,keep,1,3 --backend cpu32 --rounds 8 "
         "--budget 0.01 --out r.h5 -q && $M plot r.h5 --format svg --out f && grep -v '^#' f/data/recompute.csv | cut "
         "-d, -f1 | tr '\\n' ' '");
    cr_expect(strstr(out, "every 1 2 3  6 "), "a blank line where no line joins: %s", out);
    texts_are_apart("f/recompute.svg");
    GOOD("$M plot r.h5 --format svg --out f --recompute 2,3");
    read_texts("f/recompute.svg");
    cr_expect(ticks(false) >= 2, "%d numbers along", ticks(false));
}
