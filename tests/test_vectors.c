/* `mhcbench verify` and the code behind it: the public vectors pass in every type, and bad usage gets one line. Files
 * that lie have test_vectors_spoilt.c. */
#include <criterion/criterion.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites/verify/verify.h"
#include "tests/verify_command.h"

/* --- through the library --- */

/* Lines of all cases of a file by verdict; those that do not pass are printed. */
static void verify_file(const char *path, const char *backend_name, int type, int tally[VERDICTS]) {
    struct backend backend;
    char why[256] = "";
    memset(tally, 0, VERDICTS * sizeof *tally);
    cr_assert(backend_open(&backend, backend_name, why, sizeof why), "%s", why);
    struct vectors *file = vectors_open(path, true, why, sizeof why);
    cr_assert(file, "%s: %s", path, why);
    for (int64_t k = 0; k < vectors_count(file); k++) {
        struct vector_case v;
        struct verify_line lines[VERIFY_LINES];
        cr_assert(vectors_read(file, vectors_name(file, k), &v, why, sizeof why), "%s: %s", vectors_name(file, k), why);
        int count = verify_case(&backend, type, false, &v, lines);
        for (int line = 0; line < count; line++) {
            tally[lines[line].verdict]++;
            cr_expect(lines[line].verdict != VERIFY_FAIL, "%s %s %s%s: error %g > %g: %s", backend_name,
                      vectors_name(file, k), lines[line].dataset, lines[line].element, lines[line].error,
                      lines[line].tolerance, lines[line].text);
        }
        vector_case_release(&v);
    }
    vectors_close(file);
    backend_close(&backend);
}

Test(vectors, the_public_ones_pass) {
    int tally[VERDICTS];
    static const char *const names[] = {"cpu64", "cpu32"};
    for (int b = 0; b < 2; b++) {
        verify_file(public_file, names[b], -1, tally);
        cr_expect(tally[VERIFY_PASS] == 229 && !tally[VERIFY_SKIP], "%s: %d passed, %d skipped", names[b],
                  tally[VERIFY_PASS], tally[VERIFY_SKIP]);
    }
    /* What the CPU has no rows for is skipped, by name; gains belong to no backend. */
    verify_file(public_file, "cpu64", MHC_BF16, tally);
    cr_expect(tally[VERIFY_PASS] == 30 && tally[VERIFY_SKIP] == 199);
}

static const struct verify_limits exact = {0, 1e-9};

Test(vectors, comparison) {
    static const double bad[][2] = {
        {1, 1.1}, {NAN, 1}, {1, NAN}, {INFINITY, 1}, {1, INFINITY}, {INFINITY, -INFINITY}, {NAN, INFINITY}};
    static const double good[][2] = {
        {1, 1 + 1e-10}, {NAN, NAN}, {INFINITY, INFINITY}, {-INFINITY, -INFINITY}, {0, 1e-10}};
    static const struct vector_op op = {"linear", {NULL}, {"forward"}};
    struct vector_case v = {.op = &op, .c = {.T = 1, .C = 3}, .rtol = 1e-9};
    struct verify_line line;
    for (size_t k = 0; k < sizeof bad / sizeof *bad + sizeof good / sizeof *good; k++) {
        bool pass = k >= sizeof bad / sizeof *bad;
        const double *pair = pass ? good[k - sizeof bad / sizeof *bad] : bad[k];
        double got[3] = {1, pair[0], -1}, values[3] = {1, pair[1], -1};
        struct vector_array want = {.name = "y", .extents = "TC", .count = 3, .values = values};
        verify_compare(&v, &want, got, exact, &line);
        cr_expect((line.verdict == VERIFY_PASS) == pass, "got %g, want %g: verdict %d", pair[0], pair[1], line.verdict);
        cr_expect(pass || !strcmp(line.element, "[0][1]"), "worst element %s", line.element);
    }
}

/* Gains: curves by the element's own size, singular values by the token's largest, tiny ones not at all. */
Test(vectors, comparison_of_gains) {
    static const struct vector_op op = {"gain", {NULL}, {NULL}};
    struct vector_case v = {.op = &op, .c = {.T = 2, .n = 2}, .L = 2, .rtol = 1e-9};
    struct verify_line line;
    double curve[2] = {1e6, 1}, curve_off[2] = {1e6, 1 + 1e-6};
    double sigma[4] = {1e6, 1e-6, 1, 1e-6}, sigma_off[4] = {1e6, 1, 1, 1e-6}, sigma_bad[4] = {1e6, 1e-6, 1, 2e-6};
    struct vector_array curves = {.name = "single_forward_sum", .extents = "L", .count = 2, .values = curve};
    struct vector_array sigmas = {.name = "total_singular_values", .extents = "Tn", .count = 4, .values = sigma};
    verify_compare(&v, &curves, curve_off, exact, &line);
    cr_expect(line.verdict == VERIFY_FAIL && !strcmp(line.element, "[1]"));
    verify_compare(&v, &sigmas, sigma_off, exact, &line);
    cr_expect(line.verdict == VERIFY_PASS, "%s %s", line.element, line.text);
    verify_compare(&v, &sigmas, sigma_bad, exact, &line);
    cr_expect(line.verdict == VERIFY_FAIL && !strcmp(line.element, "[1][1]"));
}

/* --- through the command --- */

static int lines_of(const char *text) {
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

Test(vectors, every_type_is_verified) {
    static char output[1 << 20];
    const char *build = getenv("BUILD");
    char arguments[300], inner[200];
    build = build ? build : "build";
    snprintf(inner, sizeof inner, "%s/libmhc_cpu.so", build);
    snprintf(arguments, sizeof arguments, "tests/vectors/public.h5 --case mhc_v4_n2* --backend %s", inner);
    cr_expect(run_verify(arguments, output, sizeof output) == 0 && strstr(output, "  f64   x_next ") &&
                  strstr(output, "  f32   x_next "),
              "%s", output);
    snprintf(arguments, sizeof arguments, "tests/vectors/public.h5 --case mhc_v4_n2* --backend %s/plants/mistakes.so",
             build);
    setenv("INNER", inner, 1);
    setenv("PLANT", "half_a_percent_in_f32", 1);
    cr_expect(run_verify(arguments, output, sizeof output) == 1 && strstr(output, "  f64   x_next ") &&
                  strstr(output, "1 failed"),
              "%s", output);
    strcat(arguments, " --type f64");
    cr_expect(run_verify(arguments, output, sizeof output) == 0, "%s", output);
    unsetenv("INNER");
    unsetenv("PLANT");
}

Test(vectors, bad_usage_gets_one_line) {
    static const struct {
        const char *arguments, *says;
    } usage[] = {{"", "usage: mhcbench verify FILE.h5"},
                 {"tests/vectors/public.h5 other.h5", "usage: mhcbench verify FILE.h5"},
                 {"nowhere.h5", "No such file"},
                 {"Makefile", "not an HDF5 file"},
                 {"tests", "no regular file"},
                 {"/dev/null", "no regular file"},
                 {"tests/vectors/public.h5 --backnd cpu64", "unknown option --backnd"},
                 {"tests/vectors/public.h5 --backend", "--backend needs a value"},
                 {"tests/vectors/public.h5 --backend abacus", "backend abacus"},
                 {"tests/vectors/public.h5 --backend ./nowhere.so", "no such library"},
                 {"tests/vectors/public.h5 --type f16", "not one of f64, f32, bf16"},
                 {"tests/vectors/public.h5 --timeout soon", "not a number of seconds"},
                 {"tests/vectors/public.h5 --timeout -1", "not a number of seconds"},
                 {"tests/vectors/public.h5 --case 'zz*'", "no case matches zz*"}};
    char output[8192];
    char pipe[] = "/tmp/test_vectors.pipe.XXXXXX";
    cr_assert(mkdtemp(pipe));
    char in_pipe[64];
    snprintf(in_pipe, sizeof in_pipe, "%s/p", pipe);
    cr_assert(!mkfifo(in_pipe, 0600));
    cr_expect(run_verify(in_pipe, output, sizeof output) == 2 && strstr(output, "no regular file"), "%s", output);
    unlink(in_pipe);
    rmdir(pipe);
    for (size_t k = 0; k < sizeof usage / sizeof *usage; k++) {
        int code = run_verify(usage[k].arguments, output, sizeof output);
        cr_expect(code == 2 && strstr(output, usage[k].says) && lines_of(output) == 1,
                  "verify %s: exit %d, wanted 2 and `%s` in:\n%s", usage[k].arguments, code, usage[k].says, output);
    }
    /* A backend that can do nothing of what was asked has checked nothing. */
    int code = run_verify("tests/vectors/public.h5 --case 'linear*' --type f32 --backend cpu64", output, sizeof output);
    cr_expect(code == 2 && strstr(output, "0 passed, 0 failed, 4 skipped") && strstr(output, "nothing was checked"),
              "%s", output);
    /* Gains, which are of no backend, do not answer for it. */
    cr_expect(run_verify("tests/vectors/public.h5 --case 'gain*' --type f32 --backend cpu64", output, sizeof output) ==
                  0,
              "%s", output);
    code = run_verify("tests/vectors/public.h5 --case '[gl]*' --type f32 --backend cpu64", output, sizeof output);
    cr_expect(code == 2 && strstr(output, "nothing of backend cpu64 was checked: what passed is the analysis of gains"),
              "%s", output);
    code = run_verify("tests/vectors/public.h5 --case 'linear*' --backend cpu32", output, sizeof output);
    cr_expect(code == 0 && strstr(output, "4 passed, 0 failed, 0 skipped"), "%s", output);
}
