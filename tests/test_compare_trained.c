/* `compare` on records of trained stacks that were made up: value by value where both ran the same arithmetic, else by
 * statements over seeds. Each record has one planted difference, which must be found, and nothing else. */
#include "tests/command.h"

#include <math.h>

#include "analysis/metrics.h"
#include "results/record.h"

TestSuite(compare_trained, .init = enter, .fini = leave, .timeout = 1800);

enum { SEEDS = 4, SETTINGS = 3, LAYERS = 4, POINTS = 3, METRICS = 2, CURVES = 2 };
static const char *const setting[SETTINGS] = {"hc", "mhc", "maps"};
enum { HC, MHC, MAPS };

struct plant {
    const char *revision, *build, *cpu, *core, *input; /* NULL: as in the base */
    int64_t threads;
    int at;                         /* the setting that differs */
    double loss, held_out, middle;  /* added, at the end of every seed; held-out loss in the middle of seed 2 */
    double forward, backward, maps; /* added to log10 of the largest gain of every seed, and of the maps */
    double forward_of_one;          /* the same of seed 3 alone */
    int64_t diverged;               /* of seed 1 */
    int seeds;                      /* 0: all */
};

/* Seeds differ by hundredths in their losses and by tenths in log10 of their gains. */
static void append(struct record *r, int s, int seed, const struct plant *p) {
    static const double none[LAYERS] = {0};
    const struct plant nothing = {.seeds = 0}, *here = s == p->at ? p : &nothing;
    double loss[POINTS], held_out[POINTS], other[POINTS] = {0}, curves[POINTS][METRICS][LAYERS] = {{{0}}};
    double t_max_loss[RECORD_PROJECTIONS] = {0}, t_max_curves[RECORD_PROJECTIONS][METRICS][LAYERS] = {{{0}}};
    double without[4] = {0}, map[LAYERS] = {0.1, 0.2, 0.3, 0.5 + here->maps}, accuracies[1] = {NAN};
    int64_t step[POINTS] = {0, 50, 100}, t_max[RECORD_PROJECTIONS] = {0};
    for (int k = 0; k < POINTS; k++) {
        loss[k] = 5 - k + 0.01 * seed + (k == POINTS - 1 ? here->loss : 0);
        held_out[k] = 5.1 - k + 0.02 * (seed % 3) + (k == POINTS - 1 ? here->held_out : 0) +
                      (k == 1 && seed == 2 ? here->middle : 0);
        curves[k][0][LAYERS - 1] = (s == HC ? 0.5 * k + 0.1 * seed : 0) + here->forward +
                                   (seed == 3 ? here->forward_of_one : 0);
        curves[k][1][0] = 0.1 * k + 0.1 * seed + here->backward;
    }
    struct record_training training = {.points = POINTS,
                                       .steps = 100,
                                       .diverged = seed == 1 ? here->diverged : 0,
                                       .step = step,
                                       .loss = loss,
                                       .held_out_loss = held_out,
                                       .curves = curves[0][0],
                                       .t_max = t_max,
                                       .t_max_held_out_loss = t_max_loss,
                                       .t_max_curves = t_max_curves[0][0],
                                       .held_out_loss_without_quarter = without};
    training.gradient_norm = training.gradient_norm_max = training.rate = other;
    training.alpha = training.alpha_max = training.logit_range = other;
    training.mean_diagonal = training.smallest_column_sum = training.row_sum_spread = other;
    char key[200];
    snprintf(key, sizeof key, "--study %s --block %s%s%d", s == MAPS ? "maps" : "train", s == MAPS ? "hc" : setting[s],
             seed == 1 ? "" : " --seed ", seed);
    if (seed == 1)
        key[strlen(key) - 1] = 0;
    const union record_value values[] = {{.text = s == MAPS ? "maps" : "train"},
                                         {.text = s == MAPS ? "hc" : setting[s]},
                                         {.text = "cpu32"},
                                         {.i = seed},
                                         {.text = p->revision ? p->revision : "abc"},
                                         {.text = p->build ? p->build : "gcc -O3"},
                                         {.text = p->cpu ? p->cpu : "this one"},
                                         {.i = p->threads ? p->threads : 1},
                                         {.text = ""},
                                         {.text = p->input ? p->input : "0123456789abcdef"}};
    const double *const curve[CURVES] = {s == MAPS ? map : none, none};
    const double summaries[1] = {0};
    const struct record_case one = {.key = key,
                                    .status = RECORD_DONE,
                                    .reason = "",
                                    .layers = LAYERS,
                                    .values = values,
                                    .curves = curve,
                                    .summaries = summaries,
                                    .accuracies = accuracies,
                                    .training = s == MAPS ? NULL : &training};
    cr_assert(record_append(r, &one), "%s", record_error());
}

static void write_record(const char *path, const struct plant *p) {
    static const struct record_column columns[] = {
        {"study", "", "", RECORD_TEXT},           {"block", "", "", RECORD_TEXT},
        {"backend", "", "", RECORD_TEXT},         {"seed", "", "", RECORD_INT},
        {"origin_revision", "", "", RECORD_TEXT}, {"origin_build", "", "", RECORD_TEXT},
        {"origin_cpu", "", "", RECORD_TEXT},      {"origin_threads", "", "", RECORD_INT},
        {"origin_library", "", "", RECORD_TEXT},  {"origin_input", "", "", RECORD_TEXT}};
    static const struct record_curve curves[CURVES] = {{"composite_forward_sum", "1", ""},
                                                       {"composite_backward_sum", "1", ""}},
                                     summaries[] = {{"composite_forward_sum_max", "1", ""}},
                                     accuracies[] = {{"error", "1", ""}};
    static const char *const metrics[METRICS] = {"composite_forward_sum", "composite_backward_sum"};
    const struct record_fact facts[] = {{"revision", p->revision ? p->revision : "abc"},
                                        {"cpu_model", p->cpu ? p->cpu : "this one"},
                                        {"flags", p->build ? p->build : "gcc -O3"},
                                        {"openblas_core", p->core ? p->core : "Zen"}};
    const struct record_schema schema = {.columns = columns,
                                         .column_count = sizeof columns / sizeof *columns,
                                         .curves = curves,
                                         .curve_count = CURVES,
                                         .summaries = summaries,
                                         .summary_count = 1,
                                         .layers = LAYERS,
                                         .cases = SETTINGS * SEEDS,
                                         .facts = facts,
                                         .fact_count = 4,
                                         .program = "test",
                                         .command = "made up",
                                         .suite = "",
                                         .accuracies = accuracies,
                                         .accuracy_count = 1,
                                         .points = POINTS,
                                         .metrics = metrics,
                                         .metric_count = METRICS};
    struct record *r = record_create(path, &schema, false, true);
    cr_assert(r, "%s", record_error());
    for (int s = 0; s < SETTINGS; s++)
        for (int seed = 1; seed <= (p->seeds ? p->seeds : SEEDS); seed++)
            append(r, s, seed, p);
    cr_assert(record_finish(r, true), "%s", record_error());
}

static const struct plant nothing = {.at = -1};
static const char yes[] = "your machine reproduces the published result: yes\n",
                  no[] = "your machine reproduces the published result: no\n";

static bool ends_with(const char *end) {
    size_t length = strlen(out), own = strlen(end);
    return length >= own && !strcmp(out + length - own, end);
}

static int rows_with(const char *text) {
    int count = 0;
    for (const char *at = strstr(out, text); at; at = strstr(at + 1, text))
        count++;
    return count;
}

Test(compare_trained, equal_arithmetic_is_compared_value_by_value) {
    write_record("a.h5", &nothing);
    GOOD("$M compare a.h5 a.h5 --published --strict");
    cr_expect(strstr(out, "\ntrained stacks: compared value by value (equal build") && ends_with(yes) &&
                  strstr(out, "\n12 cases: 12 SAME"),
              "%s", out);
    write_record("b.h5", &(struct plant){.at = HC, .middle = 1e-5});
    cr_expect(sh("$M compare a.h5 b.h5 --published") == 1 && rows_with("\nINVALID") == 1 && ends_with(no), "%s", out);
    cr_expect(strstr(out, "held_out_loss at step 50 is 4.14001, was 4.14: apart by 2.4e-06, by one build"), "%s", out);
    write_record("b.h5", &(struct plant){.at = HC, .middle = 1e-7});
    GOOD("$M compare a.h5 b.h5 --json r.json");
    cr_expect(ends_with("no regression; 1 values differ by more than 1e-09\n"), "%s", out);
    GOOD("grep -c '\"small_differences\": 1, \"small_share\": 1e-09' r.json");
    GOOD("$M compare a.h5 a.h5 --json r.json >/dev/null && grep -c '\"small_differences\": 0,' r.json");
    write_record("b.h5", &(struct plant){.at = MHC, .forward_of_one = 0.02});
    cr_expect(sh("$M compare a.h5 b.h5") == 1 &&
                  strstr(out, "composite_forward_sum at step 0 at layer 4 is 0.02, was 0: apart by 0.045"),
              "%s", out);
}

/* Which way is taken: the same change in the middle of training is found, or is none of the statements. */
Test(compare_trained, other_arithmetic_is_compared_by_statements) {
    static const struct {
        const char *why;
        struct plant plant;
    } cases[] = {{"another revision", {.revision = "def"}},
                 {"another build", {.build = "gcc -O2"}},
                 {"another type of CPU", {.cpu = "that one"}},
                 {"another number of threads", {.threads = 2}},
                 {"another BLAS core", {.core = "Haswell"}}};
    write_record("a.h5", &nothing);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct plant p = cases[k].plant;
        p.at = HC;
        p.middle = 0.5;
        write_record("b.h5", &p);
        GOOD("$M compare a.h5 b.h5 --published --strict");
        char want[120];
        snprintf(want, sizeof want, "trained stacks: compared by statements over seeds (%s)\n", cases[k].why);
        cr_expect(strstr(out, want) && ends_with(yes), "%s:\n%s", want, out);
        cr_expect(rows_with("statements agree: ") == 2 && strstr(out, "\n6 cases: 6 SAME"), "%s", out);
    }
}

Test(compare_trained, statements_that_fail) {
    static const struct {
        const char *what, *why;
        int code; /* 0: they agree; 3: not settled, under --strict */
        struct plant plant;
    } cases[] = {
        {"within three errors", "", 0, {.at = HC, .loss = 0.01, .held_out = 0.01}},
        {"held-out loss", "held-out loss over seeds is 3.22", 1, {.at = HC, .held_out = 0.1}},
        {"a lower one too", "held-out loss over seeds is 3.02", 1, {.at = MHC, .held_out = -0.1}},
        {"training loss", "training loss over seeds is 3.125", 1, {.at = MHC, .loss = 0.1}},
        {"a loss that is no number", "held-out loss over seeds", 1, {.at = HC, .held_out = INFINITY}},
        {"gain inside the range", "", 0, {.at = HC, .forward = 0.1, .backward = -0.1}},
        {"forward gain", "forward gain, log10 over seeds, is 1.65 [1.5, 1.8], was 1.25", 1, {.at = HC, .forward = 0.4}},
        {"backward gain", "backward gain, log10 over seeds, is 0.05", 1, {.at = MHC, .backward = -0.4}},
        {"an overflow", "forward gain, log10 over seeds, is inf", 1, {.at = HC, .forward = INFINITY}},
        {"mHC's forward gain",
         "whose rows sum to 1 is not 1: log10 is off by 0.002",
         1,
         {.at = MHC, .forward_of_one = 0.002}},
        {"mHC's forward gain within rounding", "", 0, {.at = MHC, .forward_of_one = 1e-5}},
        {"a run that ended", "1 runs ended with a loss that is no number, were 0", 3, {.at = HC, .diverged = 70}},
        {"another text", "trained on another text: its SHA-256 is fedcba", 1, {.at = -1, .input = "fedcba9876543210"}},
        {"maps stay value by value", "is 0.52, was 0.5", 1, {.at = MAPS, .maps = 0.02}},
    };
    write_record("a.h5", &nothing);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct plant p = cases[k].plant;
        p.cpu = "that one";
        write_record("b.h5", &p);
        int code = sh("$M compare a.h5 b.h5 --strict --published");
        cr_expect(code == cases[k].code && strstr(out, cases[k].why) && ends_with(code ? no : yes), "%s: exit %d\n%s%s",
                  cases[k].what, code, out, err);
        cr_expect(cases[k].code || !rows_with("\nINVALID"), "%s:\n%s", cases[k].what, out);
    }
}

/* One seed has no standard error; a seed that is not there is MISSING; what both have is compared. */
Test(compare_trained, seeds_that_are_missing) {
    write_record("a.h5", &nothing);
    write_record("b.h5", &(struct plant){.at = -1, .cpu = "that one", .seeds = 1});
    cr_expect(sh("$M compare a.h5 b.h5 --common --published") == 0 && ends_with(no) &&
                  rows_with("statements need two seeds") == 2,
              "%s", out);
    cr_expect(sh("$M compare a.h5 b.h5 --common --strict") == 3, "%s", out);
    write_record("b.h5", &(struct plant){.at = -1, .cpu = "that one", .seeds = 3});
    cr_expect(sh("$M compare a.h5 b.h5 --published") == 1 && rows_with("\nMISSING") == 3 && ends_with(no), "%s", out);
    GOOD("$M compare a.h5 b.h5 --published --common");
    cr_expect(ends_with(yes) && strstr(out, "--seed 1,2,3"), "%s", out);
    GOOD("$M compare a.h5 b.h5 --common --junit r.xml >/dev/null && grep -c 'hc --seed 1,2,3' r.xml");
}
