/* Figures and tables of trained stacks: they say what the record says, and what a record lacks. */
#include <math.h>

#include "results/record.h"
#include "tests/command.h"

#define SETTING                                                                                               \
    "set --study train --backend cpu32 --width 8 --heads 2 --head-dim 4 --sequence 16 --batch 2 --tokens 16 " \
    "--steps 6 --warm-up 2 --every 2 --input text\n"
enum { SEEDS = 3, QUARTERS = 4 };

static void enter_with_plots(void) {
    enter();
    GOOD("ln -s $R/plots plots && head -c 20000 $R/suites/kjv-genesis-to-kings.txt >text");
}

TestSuite(training_report, .init = enter_with_plots, .fini = leave, .timeout = 1800);

/* The fields behind the row of a CSV that begins with `start`. */
static int row_of(const char *path, const char *start, double *fields, int most) {
    static char text[1 << 20];
    char *at, *rest = NULL;
    read_all(path, text, sizeof text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!strncmp(line, start, strlen(start))) {
            int count = 0;
            for (at = line + strlen(start); count < most && at; at = strchr(at, ','), at = at ? at + 1 : NULL)
                fields[count++] = *at == ',' || !*at ? NAN : atof(at);
            return count;
        }
    cr_assert_fail("%s: no row %s", path, start);
    return 0;
}

/* The cases of a connection, rate and depth, in the order of their seeds. */
static void cases_of(struct record_reader *r, const char *connection, double rate, int64_t depth,
                     int64_t cases[SEEDS]) {
    int found = 0;
    for (int64_t k = 0; k < record_count(r); k++)
        if (!strcmp(record_texts(r, "block")[k], connection) && record_reals(r, "learning-rate")[k] == rate &&
            record_ints(r, "depth")[k] == depth && found < SEEDS)
            cases[found++] = k;
    cr_assert(found == SEEDS, "%d cases of %s", found, connection);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest, the middle and the largest of three are what a row says. */
static void expect_range(double values[SEEDS], const double *row, const char *what) {
    qsort(values, SEEDS, sizeof *values, ascending);
    for (int k = 0; k < SEEDS; k++)
        cr_expect(fabs(row[k] - values[k]) <= 1e-7 * fabs(values[k]) + 1e-12, "%s: %.9g instead of %.9g", what, row[k],
                  values[k]);
}

static double largest_gain(struct record_reader *r, const double *curves, int64_t at, const char *metric,
                           int64_t layers) {
    double most = -INFINITY;
    for (int64_t l = 0; l < layers; l++)
        most = fmax(most, curves[(at * record_metric_count(r) + record_metric_called(r, metric)) * layers + l]);
    return pow(10, most);
}

static struct record_training trained(struct record_reader *r, int64_t index) {
    struct record_training is;
    cr_assert(record_training(r, index, &is), "case %lld trained nothing", (long long)index);
    return is;
}

static void check_courses(struct record_reader *r) {
    double gain[7], loss[13], values[5][SEEDS];
    int64_t cases[SEEDS];
    cases_of(r, "hc", 0.05, 6, cases);
    row_of("f/data/training_gain.csv", "2,\"HC learning-rate=0.05\",hc,4,", gain, 7);
    row_of("f/data/training_loss.csv", "4,\"HC\",hc,4,", loss, 13);
    for (int k = 0; k < SEEDS; k++) {
        struct record_training is = trained(r, cases[k]);
        cr_assert(is.points == 4 && is.step[2] == 4);
        values[0][k] = largest_gain(r, is.curves, 2, "composite_forward_sum", 6);
        values[1][k] = largest_gain(r, is.curves, 2, "composite_backward_sum", 6);
        values[2][k] = is.loss[2];
        values[3][k] = is.held_out_loss[2];
        values[4][k] = is.gradient_norm_max[2];
    }
    expect_range(values[0], gain, "forward gain");
    expect_range(values[1], gain + 3, "backward gain");
    expect_range(values[2], loss, "loss");
    expect_range(values[3], loss + 3, "held-out loss");
    expect_range(values[4], loss + 9, "largest norm");
    cr_expect(gain[6] == SEEDS && loss[12] == SEEDS, "%g and %g runs", gain[6], loss[12]);
}

static void check_ends(struct record_reader *r) {
    double layers[3], quarters[QUARTERS][3], sweep[5], values[6][SEEDS];
    int64_t cases[SEEDS];
    cases_of(r, "mhc", 0.005, 6, cases);
    row_of("f/data/training_layers.csv", "gain,2,50,3,", layers, 3);
    row_of("f/data/training_sweep.csv", "2,2,\"mHC\",mhc,6,", sweep, 4);
    for (int q = 0; q < QUARTERS; q++) {
        char start[60];
        snprintf(start, sizeof start, "5,\"mHC learning-rate=0.005\",mhc,%d,%d,%d,", q + 1, q * 6 / 4 + 1,
                 (q + 1) * 6 / 4);
        row_of("f/data/training_quarters.csv", start, quarters[q], 3);
    }
    for (int k = 0; k < SEEDS; k++) {
        struct record_training is = trained(r, cases[k]);
        cr_assert(is.t_max[3] == 50);
        int64_t at = 3 * record_metric_count(r) + record_metric_called(r, "composite_backward_sum");
        values[0][k] = pow(10, is.t_max_curves[at * 6 + 2]);
        values[1][k] = largest_gain(r, is.curves, 3, "composite_backward_sum", 6);
        for (int q = 0; q < QUARTERS; q++)
            values[2 + q][k] = is.held_out_loss_without_quarter[q] - is.held_out_loss[3];
    }
    expect_range(values[0], layers, "gain at another t_max");
    expect_range(values[1], sweep, "gain against depth");
    for (int q = 0; q < QUARTERS; q++)
        expect_range(values[2 + q], quarters[q], "loss without a quarter");
}

Test(training_report, figures_show_the_record) {
    static const char *const figures[] = {"gain", "layers", "loss", "sweep", "quarters"};
    write_text("s.suite",
               SETTING "--connection resnet,skip,hc,mhc,identity --depth 6 --learning-rate 0.005,0.05 --seed 1:3:1\n"
                       "--connection hc,mhc --depth 3 --seed 1:3:1\n");
    GOOD("$M run s.suite --out s.h5 -q && $M plot s.h5 --format svg --out f");
    for (size_t k = 0; k < sizeof figures / sizeof *figures; k++) {
        char path[60];
        snprintf(path, sizeof path, "f/training_%s.svg", figures[k]);
        cr_expect(exists(path), "%s is not there", path);
        snprintf(path, sizeof path, "f/data/training_%s.gp", figures[k]);
        read_all(path, out, sizeof out);
        cr_expect(strstr(out, "steps=6") && strstr(out, "input=text") && strstr(out, "3 seeds") &&
                      (strstr(out, "rate=0.005") || strstr(out, "'0.005")),
                  "%s does not say steps, text, seeds and rate:\n%s", path, out);
    }
    read_all("f/data/composite_maps.gp", out, sizeof out);
    cr_expect(strstr(out, "'Trained stacks: ") && strstr(out, "steps=6") && strstr(out, "seed 1"), "%s", out);
    struct record_reader *r = record_open("s.h5");
    cr_assert(r, "%s", record_error());
    check_courses(r);
    check_ends(r);
    record_close(r);
}

static void expect_close(double got, double want, const char *what) {
    cr_expect(fabs(got - want) <= 1e-9 * fabs(want) + 1e-13, "%s: %.15g instead of %.15g", what, got, want);
}

/* Mean and standard error of three, as a CSV has them. */
static void expect_mean(const double x[SEEDS], const double *row, const char *what) {
    double mean = (x[0] + x[1] + x[2]) / 3, square = 0;
    for (int k = 0; k < SEEDS; k++)
        square += (x[k] - mean) * (x[k] - mean);
    const double error = sqrt(square / 2 / 3);
    expect_close(row[0], mean, what);
    expect_close(row[1], mean - error, what);
    expect_close(row[2], mean + error, what);
}

/* Differences are between runs of one seed, whatever the order in which the record has them. */
Test(training_report, tables_over_seeds) {
    static const char row[] = "hc,lite,6,0.050000000000000003,3,";
    double loss[9], gain[6], quarters[12], differences[SEEDS], added[SEEDS], gains[SEEDS], most = 0;
    int64_t hc[SEEDS], resnet[SEEDS];
    write_text("s.suite", SETTING "--connection hc --depth 6 --learning-rate 0.005,0.05 --seed 3,1,2\n"
                                  "--connection resnet --depth 6 --learning-rate 0.05,0.005 --seed 2,3,1\n");
    GOOD("$M run s.suite --out s.h5 -q && $M show s.h5 --format csv >all.csv");
    GOOD("for t in 'loss over' 'composite gain over' 'loss added'; do"
         " sed -n \"/^# --study train: $t/,\\$ p\" all.csv >\"$t.csv\"; done");
    row_of("loss over.csv", row, loss, 9);
    row_of("composite gain over.csv", row, gain, 6);
    row_of("loss added.csv", row, quarters, 12);
    struct record_reader *r = record_open("s.h5");
    cr_assert(r, "%s", record_error());
    cases_of(r, "hc", 0.05, 6, hc);
    cases_of(r, "resnet", 0.05, 6, resnet);
    for (int k = 0; k < SEEDS; k++) {
        const int64_t *seed = record_ints(r, "seed");
        struct record_training is = trained(r, hc[k]);
        differences[k] = is.held_out_loss[3];
        added[k] = is.held_out_loss_without_quarter[3] - is.held_out_loss[3];
        gains[k] = log10(largest_gain(r, is.curves, 3, "composite_forward_sum", 6));
        for (int point = 2; point < 4; point++) /* behind 2 steps of warm-up */
            most = fmax(most, is.gradient_norm_max[point]);
        for (int j = 0; j < SEEDS; j++)
            if (seed[resnet[j]] == seed[hc[k]])
                differences[k] -= trained(r, resnet[j]).held_out_loss[3];
    }
    record_close(r);
    expect_mean(differences, loss + 4, "difference to ResNet");
    expect_close(loss[7], most, "norm behind the warm-up");
    expect_mean(added, quarters + 9, "loss without the last quarter");
    qsort(gains, SEEDS, sizeof *gains, ascending);
    expect_close(gain[0], gains[1], "median gain");
    expect_close(gain[1], gains[0], "smallest gain");
    expect_close(gain[2], gains[2], "largest gain");
}

/* A run whose loss becomes no number ends; its curve does, and the caption says that it did. */
Test(training_report, a_run_that_diverges) {
    double row[13];
    write_text("d.suite",
               SETTING "--connection resnet,hc --depth 2 --learning-rate 0.005,1000000 --clip 0 --seed 1:2:1\n");
    GOOD("$M run d.suite --out d.h5 -q && $M plot d.h5 --format svg --out f --figure training_loss && "
         "cat f/data/training_loss.gp");
    cr_expect(strstr(out, "became NaN or Inf"), "%s", out);
    GOOD("! grep -E ',-?(nan|inf)' f/data/training_loss.csv");
    row_of("f/data/training_loss.csv", "1,\"ResNet\",resnet,6,", row, 13);
    cr_expect(row[12] == 2 && isfinite(row[0]), "%g runs at the end, loss %g", row[12], row[0]);
}

Test(training_report, a_record_without_what_is_shown) {
    GOOD("$M run --study maps --connection hc,mhc --depth 3 --tokens 2 --out m.h5 -q");
    expect_refusal("$M plot m.h5 --figure training_gain",
                   "no figure training_gain: no case of it trained (--study train)");
    expect_refusal("$M plot m.h5 --figure training_loss", "no case of it trained");
    write_text("r.suite", SETTING "--connection resnet --depth 2\n--connection hc --depth 2 --measure stream\n");
    GOOD("$M run r.suite --out r.h5 -q");
    expect_refusal("$M plot r.h5 --figure training_gain", "no case of it trained with the curve composite_forward_sum");
    expect_refusal("$M plot r.h5 --figure training_layers",
                   "no case of it trained a connection with Sinkhorn iterations");
    expect_refusal("$M plot r.h5 --figure training_sweep",
                   "no two of its trained stacks differ in learning-rate or in depth");
    GOOD("$M plot r.h5 --figure training_loss --format svg --out f && "
         "$M plot r.h5 --figure training_quarters --format svg --out f");
}
