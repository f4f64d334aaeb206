/* The HDF5 record as text: tables of its cases, curves and samples as CSV and JSON. */
#include "tests/record_expect.h"

TestSuite(record_export, .init = enter, .fini = leave, .timeout = 1800);

static void expect_text(const char *path, const char *want) {
    size_t size;
    char *got = slurp(path, &size);
    const char *body = got;
    while (*body == '#')
        body = strchr(body, '\n') + 1;
    cr_expect_str_eq(body, want, "%s is\n%s\nwant\n%s", path, body, want);
    free(got);
}

/* Two cases with the values that are hardest to write as a text; one is timed, the other failed. */
static struct record_reader *record_of_two(void) {
    const struct record_column one[] = {
        {"n", "1", "", RECORD_INT}, {"std", "1", "", RECORD_REAL}, {"note", "", "", RECORD_TEXT}};
    const struct record_curve curve[] = {{"gain", "1", ""}, {"loss", "1", ""}}, peak[] = {{"peak", "1", ""}};
    const struct record_curve median = {"median", "s", ""}, error = {"error", "1", ""};
    const struct record_schema schema = {
        one,      3,        curve, 2,       peak,   1, 3, 0,    2, facts, 3, "p",  "c",  "line 1\nline 2\n",
        subjects, SUBJECTS, 2,     &median, &error, 1, 1, NULL, 0, NULL,  0, NULL, NULL, 0,
        NULL,     0};
    struct record *r = record_create("a.h5", &schema, false, false);
    cr_assert(r, "%s", record_error());
    const double gain[] = {0.1, NAN, -INFINITY}, inf = INFINITY;
    const union record_value plain[] = {{.i = -7}, {.r = 1e300}, {.text = "say \"a, b\""}};
    const union record_value odd[] = {{.i = INT64_MIN}, {.r = NAN}, {.text = "tab\tnew\nline \\ \xff é"}};
    const double *const first[] = {gain, NULL};
    const double seconds[] = {0.5, 0.25, 2, NAN}, clock[] = {NAN, 1, NAN, NAN}, middle = 0.375, off = 0.5;
    const int64_t batch[] = {3, 1}, sets[] = {9, 2}; /* the second subject ran one round */
    const struct record_timing samples = {
        2, seconds, clock, (const int8_t[]){1, 0, 0, 0}, (const int8_t[]){0, 3, 0, 0}, batch, sets, "rounds"};
    const struct record_case a = {.key = "--n -7",
                                  .status = RECORD_DONE,
                                  .seconds = 0.5,
                                  .layers = 3,
                                  .values = plain,
                                  .curves = first,
                                  .summaries = &inf,
                                  .timing = &samples,
                                  .timings = &middle,
                                  .accuracies = &off};
    const struct record_case b = {
        .key = "--n 1,2", .status = RECORD_FAILED, .reason = "signal 9", .seconds = 2, .layers = 2, .values = odd};
    cr_assert(record_append(r, &a) && record_append(r, &b) && record_finish(r, true), "%s", record_error());
    struct record_reader *q = record_open("a.h5");
    cr_assert(q, "%s", record_error());
    return q;
}

Test(record_export, cases) {
    struct record_reader *q = record_of_two();
    cr_assert(record_export_csv(q, "cases", "cases.csv") && record_export_json(q, "cases", "cases.json"), "%s",
              record_error());
    expect_text("cases.csv", "case,key,status,reason,seconds,layers,n,std,note,peak,timing_median,accuracy_error\n"
                             "0,--n -7,done,,0.5,3,-7,1.0000000000000001e+300,\"say \"\"a, b\"\"\",,0.375,0.5\n"
                             "1,\"--n 1,2\",failed,signal 9,2,2,-9223372036854775808,,tab?new?line \\ ? é,,,\n");
    expect_text("cases.json",
                "[\n{\"case\": 0, \"key\": \"--n -7\", \"status\": \"done\", \"reason\": \"\", \"seconds\": 0.5, "
                "\"layers\": 3, \"n\": -7, \"std\": 1.0000000000000001e+300, \"note\": \"say \\\"a, b\\\"\", "
                "\"peak\": \"Infinity\", \"timing_median\": 0.375, \"accuracy_error\": 0.5},\n"
                "{\"case\": 1, \"key\": \"--n 1,2\", \"status\": \"failed\", \"reason\": \"signal 9\", \"seconds\": 2, "
                "\"layers\": 2, \"n\": -9223372036854775808, \"std\": null, "
                "\"note\": \"tab?new?line \\\\ ? é\", \"peak\": null, \"timing_median\": null, "
                "\"accuracy_error\": null}\n]\n");
    size_t size;
    char *csv = slurp("cases.csv", &size);
    cr_expect(!strncmp(csv, "# schema: mhcbench/1.4\n# status: complete\n", 42) &&
                  strstr(csv, "\n# suite: line 1\n#   line 2\n# host: here\n"),
              "provenance is\n%s", csv);
    free(csv);
    record_close(q);
}

Test(record_export, curves) {
    struct record_reader *q = record_of_two();
    cr_assert(record_export_csv(q, "curves", "curves.csv") && record_export_json(q, "curves", "curves.json"), "%s",
              record_error());
    expect_text("curves.csv", "case,key,layer,gain,loss\n"
                              "0,--n -7,1,0.10000000000000001,\n"
                              "0,--n -7,2,,\n"
                              "0,--n -7,3,,\n");
    expect_text("curves.json",
                "[\n{\"case\": 0, \"key\": \"--n -7\", \"layer\": 1, \"gain\": 0.10000000000000001, \"loss\": null},\n"
                "{\"case\": 0, \"key\": \"--n -7\", \"layer\": 2, \"gain\": null, \"loss\": null},\n"
                "{\"case\": 0, \"key\": \"--n -7\", \"layer\": 3, \"gain\": \"-Infinity\", \"loss\": null}\n]\n");
    record_close(q);
}

Test(record_export, samples) {
    struct record_reader *q = record_of_two();
    cr_assert(record_export_csv(q, "samples", "samples.csv") && record_export_json(q, "samples", "samples.json"), "%s",
              record_error());
    expect_text("samples.csv", "case,key,subject,round,seconds,order,flags,clock,batch,sets\n"
                               "0,--n -7,baseline,1,0.5,1,0,,3,9\n"
                               "0,--n -7,baseline,2,0.25,0,3,1,3,9\n"
                               "0,--n -7,subject,1,2,0,0,,1,2\n");
    expect_text("samples.json",
                "[\n{\"case\": 0, \"key\": \"--n -7\", \"subject\": \"baseline\", \"round\": 1, \"seconds\": 0.5, "
                "\"order\": 1, \"flags\": 0, \"clock\": null, \"batch\": 3, \"sets\": 9},\n"
                "{\"case\": 0, \"key\": \"--n -7\", \"subject\": \"baseline\", \"round\": 2, \"seconds\": 0.25, "
                "\"order\": 0, \"flags\": 3, \"clock\": 1, \"batch\": 3, \"sets\": 9},\n"
                "{\"case\": 0, \"key\": \"--n -7\", \"subject\": \"subject\", \"round\": 1, \"seconds\": 2, "
                "\"order\": 0, \"flags\": 0, \"clock\": null, \"batch\": 1, \"sets\": 2}\n]\n");
    record_close(q);
}

Test(record_export, refusals) {
    struct record_reader *q = record_of_two();
    cr_expect(!record_export_csv(q, "layers", "x.csv"));
    expect_error("export: layers: not cases, curves or samples");
    cr_expect(!record_export_csv(q, "cases", "nowhere/x.csv"));
    expect_error("cannot write nowhere/x.csv: No such file or directory");
    if (exists("/dev/full")) {
        cr_expect(!record_export_json(q, "cases", "/dev/full"));
        expect_error("cannot write /dev/full: No space left on device");
    }
    record_close(q);
}
