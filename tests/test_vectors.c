/* `mhcbench verify` and the code behind it: the public vectors pass, planted errors are found, files that are not what
 * they should be are refused with one line. */
#include <criterion/criterion.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu_ref/philox.h"
#include "suites/verify/verify.h"

static const char *const public_file = "tests/vectors/public.h5";

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

/* Exit code of `mhcbench verify ARGUMENTS`; -1 when it did not exit by itself. Its output, both streams, goes to
 * `output`. */
static int run_verify(const char *arguments, char *output, size_t size) {
    const char *program = getenv("MHCBENCH");
    char command[1024];
    snprintf(command, sizeof command, "timeout 60 %s verify %s 2>&1", program ? program : "build/mhcbench", arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe, "%s", command);
    size_t length = fread(output, 1, size - 1, pipe);
    output[length] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int lines_of(const char *text) {
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void copy_public(char *path, size_t size) {
    snprintf(path, size, "/tmp/mhc_vectors_%d.h5", (int)getpid());
    FILE *from = fopen(public_file, "rb"), *to = fopen(path, "wb");
    char block[65536];
    cr_assert(from && to);
    for (size_t some; (some = fread(block, 1, sizeof block, from)) > 0;)
        fwrite(block, 1, some, to);
    fclose(from);
    fclose(to);
}

/* One way to spoil a file, and what must come of it. `object` and `name` say where. */
struct spoiling {
    void (*spoil)(hid_t file, const struct spoiling *);
    const char *object, *name;
    double value;
    int code;
    const char *says;
};

static hid_t open_group(hid_t file, const char *object) {
    hid_t group = H5Oopen(file, object, H5P_DEFAULT);
    cr_assert(group >= 0, "%s", object);
    return group;
}

static void element_added(hid_t file, const struct spoiling *s) {
    hid_t dataset = open_group(file, s->object), space = H5Dget_space(dataset);
    int64_t count = H5Sget_simple_extent_npoints(space);
    double *values = malloc((size_t)count * sizeof *values);
    H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    values[count / 2] += s->value;
    cr_assert(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Sclose(space);
    H5Dclose(dataset);
}

static void link_removed(hid_t file, const struct spoiling *s) {
    cr_assert(H5Ldelete(file, s->object, H5P_DEFAULT) >= 0);
}

static void attribute_removed(hid_t file, const struct spoiling *s) {
    hid_t object = open_group(file, s->object);
    cr_assert(H5Adelete(object, s->name) >= 0);
    H5Oclose(object);
}

static void write_attribute(hid_t file, const struct spoiling *s, hid_t type, hid_t memory, const void *value) {
    hid_t object = open_group(file, s->object), space = H5Screate(H5S_SCALAR);
    if (H5Aexists(object, s->name) > 0)
        H5Adelete(object, s->name);
    hid_t attribute = H5Acreate2(object, s->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(attribute >= 0 && H5Awrite(attribute, memory, value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Oclose(object);
}

static void integer_set(hid_t file, const struct spoiling *s) {
    int64_t value = (int64_t)s->value;
    write_attribute(file, s, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static void real_set(hid_t file, const struct spoiling *s) {
    write_attribute(file, s, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &s->value);
}

/* A short fixed-length string, ASCII, padded with blanks, is as good as a variable one. */
static void write_string(hid_t file, const struct spoiling *s, const char *value) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 24);
    H5Tset_strpad(type, H5T_STR_SPACEPAD);
    char padded[25];
    snprintf(padded, sizeof padded, "%-24s", value);
    write_attribute(file, s, type, type, padded);
    H5Tclose(type);
}

static void string_set_nonsense(hid_t file, const struct spoiling *s) {
    write_string(file, s, "nonsense");
}

static void string_set_paper(hid_t file, const struct spoiling *s) {
    write_string(file, s, "paper");
}

/* The dataset again in another layout: `value` 0 other shape, 1 float32, 2 big-endian, chunked and compressed. */
static void dataset_rewritten(hid_t file, const struct spoiling *s) {
    hid_t dataset = open_group(file, s->object), space = H5Dget_space(dataset);
    hsize_t extent[8];
    int rank = H5Sget_simple_extent_dims(space, extent, NULL);
    double *values = calloc((size_t)H5Sget_simple_extent_npoints(space), sizeof *values);
    H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Ldelete(file, s->object, H5P_DEFAULT);
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    if (s->value == 0)
        extent[0] -= 1;
    if (s->value == 2) {
        H5Pset_chunk(layout, rank, extent);
        H5Pset_deflate(layout, 6);
    }
    space = H5Screate_simple(rank, extent, NULL);
    dataset = H5Dcreate2(file, s->object,
                         s->value == 1   ? H5T_IEEE_F32LE
                         : s->value == 2 ? H5T_IEEE_F64BE
                                         : H5T_IEEE_F64LE,
                         space, H5P_DEFAULT, layout, H5P_DEFAULT);
    cr_assert(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Pclose(layout);
    H5Sclose(space);
    H5Dclose(dataset);
}

/* A huge array that takes no room in the file. */
static void dataset_made_huge(hid_t file, const struct spoiling *s) {
    hsize_t extent[3] = {(hsize_t)s->value, 4, 4}, chunk[3] = {1024, 4, 4};
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(3, extent, NULL);
    H5Pset_chunk(layout, 3, chunk);
    static const char *const names[] = {"in/logits", "in/grad_res", "out/res", "out/grad_logits"};
    hid_t group = open_group(file, s->object);
    for (int k = 0; k < 4; k++) {
        H5Ldelete(group, names[k], H5P_DEFAULT);
        hid_t dataset = H5Dcreate2(group, names[k], H5T_IEEE_F64LE, space, H5P_DEFAULT, layout, H5P_DEFAULT);
        cr_assert(dataset >= 0);
        H5Dclose(dataset);
    }
    H5Pclose(layout);
    H5Sclose(space);
    H5Oclose(group);
    integer_set(file, &(struct spoiling){.object = s->object, .name = "T", .value = s->value});
}

static void extra_added(hid_t file, const struct spoiling *s) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, s->object, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dclose(dataset);
    H5Sclose(space);
}

#define SINKHORN "cases/sinkhorn_n4_t20_s1"
#define MHC "cases/mhc_v4_n4_C32_T12_t20"
#define STACK "cases/stack_mhc_paper_L4_n4_C12_T6"
/* The same data, by a way that leads through a name, or through another file. */
static void link_made_soft(hid_t file, const struct spoiling *s) {
    H5Lmove(file, s->object, file, "aside", H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(H5Lcreate_soft("/aside", file, s->object, H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void link_made_external(hid_t file, const struct spoiling *s) {
    char path[4096], target[128];
    cr_assert(realpath(public_file, path));
    snprintf(target, sizeof target, "/%s", s->object);
    H5Ldelete(file, s->object, H5P_DEFAULT);
    cr_assert(H5Lcreate_external(path, target, file, s->object, H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static const struct spoiling spoilings[] = {
    {element_added, SINKHORN "/out/res", NULL, 1e-3, 1, "FAIL"},
    {element_added, SINKHORN "/out/res", NULL, NAN, 1, "FAIL"},
    {element_added, SINKHORN "/out/grad_logits", NULL, INFINITY, 1, "FAIL"},
    {element_added, SINKHORN "/in/logits", NULL, NAN, 1, "FAIL"},
    {element_added, MHC "/out/grad_alpha", NULL, 1e-3, 1, "grad_alpha"},
    {element_added, MHC "/in/phi", NULL, 1e-3, 1, "FAIL"},
    {element_added, STACK "/out/grad_phi", NULL, 1e-3, 1, "grad_phi"},
    {element_added, STACK "/in/w", NULL, 1e-3, 1, "FAIL"},
    {element_added, "cases/gain_mhc_L60_T6_n4/out/composite_backward_abs", NULL, 1e-3, 1, "composite_backward_abs"},
    {element_added, "cases/gain_hc_L12_T8_n2/out/total_singular_values", NULL, 1e-3, 1, "total_singular_values"},
    {dataset_rewritten, SINKHORN "/in/logits", NULL, 2, 0, " 0 failed"},
    {integer_set, SINKHORN, "unrelated", 5, 0, " 0 failed"},
    {string_set_paper, SINKHORN, "convention", 0, 0, " 0 failed"},
    {extra_added, SINKHORN "/out/other", NULL, 0, 0, "1 skipped"},
    {link_removed, SINKHORN "/in/logits", NULL, 0, 2, "in/logits is missing"},
    {link_removed, SINKHORN "/out/res", NULL, 0, 2, "out/res is missing"},
    {link_removed, SINKHORN "/in", NULL, 0, 2, "in/logits is missing"},
    {link_removed, "cases", NULL, 0, 2, "/cases"},
    {link_made_soft, "cases", NULL, 0, 2, "/cases"},
    {link_made_soft, SINKHORN "/in/logits", NULL, 0, 2, "in/logits is a link"},
    {link_made_external, SINKHORN "/in/logits", NULL, 0, 2, "in/logits is a link"},
    {dataset_rewritten, SINKHORN "/in/grad_res", NULL, 0, 2, "in/grad_res does not have the shape [24][4][4]"},
    {dataset_rewritten, STACK "/in/phi", NULL, 0, 2, "in/phi does not have the shape [4][48][24]"},
    {dataset_rewritten, SINKHORN "/out/res", NULL, 1, 2, "out/res is not float64"},
    {dataset_made_huge, SINKHORN, NULL, 16777216, 2, "GiB"},
    {attribute_removed, SINKHORN, "n", 0, 2, "`n` is missing"},
    {attribute_removed, SINKHORN, "t_max", 0, 2, "`t_max` is missing"},
    {attribute_removed, SINKHORN, "convention", 0, 2, "`convention` is not one of paper, v4"},
    {attribute_removed, SINKHORN, "rtol", 0, 2, "`rtol` is missing"},
    {attribute_removed, SINKHORN, "op", 0, 2, "`op` is missing"},
    {attribute_removed, STACK, "block", 0, 2, "`block` is missing"},
    {attribute_removed, "/", "format", 0, 2, "not a vector file"},
    {string_set_nonsense, "/", "format", 0, 2, "not a vector file"},
    {string_set_nonsense, SINKHORN, "op", 0, 2, "op `nonsense`"},
    {string_set_nonsense, SINKHORN, "n", 0, 2, "`n` is missing or not one integer"},
    {string_set_nonsense, SINKHORN, "convention", 0, 2, "`convention` is not one of"},
    {integer_set, "/", "version", 2, 2, "version"},
    {integer_set, SINKHORN, "n", 17, 2, "not in 1..16"},
    {integer_set, SINKHORN, "n", 0, 2, "not in 1..16"},
    {integer_set, SINKHORN, "t_max", 0, 2, "`t_max` is 0"},
    {integer_set, SINKHORN, "T", 1e18, 2, "`T` is"},
    {integer_set, SINKHORN, "T", 23, 2, "in/logits does not have the shape"},
    {integer_set, "cases/attention_S8_heads2_head_dim8_C16_T16", "S", 7, 2, "multiple"},
    {real_set, SINKHORN, "rtol", NAN, 2, "`rtol` is nan"},
    {real_set, SINKHORN, "atol", INFINITY, 2, "`atol` is inf"},
    {real_set, SINKHORN, "n", 4, 2, "`n` is missing or not one integer"},
};

static void spoil(const char *path, const struct spoiling *s) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    cr_assert(file >= 0);
    s->spoil(file, s);
    H5Fclose(file);
}

Test(vectors, planted_errors_are_found, .timeout = 120) {
    static char output[1 << 20];
    char path[64];
    for (size_t k = 0; k < sizeof spoilings / sizeof *spoilings; k++) {
        const struct spoiling *s = &spoilings[k];
        copy_public(path, sizeof path);
        spoil(path, s);
        int code = run_verify(path, output, sizeof output);
        cr_expect(code == s->code && strstr(output, s->says), "%s %s %g: exit %d, wanted %d and `%s` in:\n%s",
                  s->object, s->name ? s->name : "", s->value, code, s->code, s->says, output);
        /* A fault in one case leaves the others checked. */
        int passed = 0;
        const char *total = strstr(output, " passed, ");
        while (total && total > output && total[-1] != '\n')
            total--;
        cr_expect(strncmp(s->object, "cases/", 6) || (total && sscanf(total, "%d", &passed) == 1 && passed > 200),
                  "%s: %d passed in:\n%s", s->object, passed, output);
        unlink(path);
    }
}

/* A file that allows itself everything is judged by the contract, and so is what is wrong in one type alone. */
Test(vectors, a_tolerance_has_a_bound) {
    static const struct spoiling widened[] = {{real_set, SINKHORN, "rtol", 0.5, 1, "0.5 of its scale were allowed"},
                                              {real_set, SINKHORN, "atol", 1e6, 1, "more than the contract allows"}};
    static char output[1 << 20];
    char path[64], arguments[200];
    for (int k = 0; k < 2; k++) {
        copy_public(path, sizeof path);
        spoil(path, &widened[k]);
        snprintf(arguments, sizeof arguments, "%s --case 'sinkhorn_n4*'", path);
        int code = run_verify(arguments, output, sizeof output);
        cr_expect(code == 0 && strstr(output, "warn: 2 lines allow more than the contract"), "%s", output);
        spoil(path, &(struct spoiling){element_added, SINKHORN "/out/res", .value = 1e-4});
        code = run_verify(arguments, output, sizeof output);
        cr_expect(code == widened[k].code && strstr(output, widened[k].says), "%d: %s", code, output);
        strcat(arguments, " --trust-tolerance");
        code = run_verify(arguments, output, sizeof output);
        cr_expect(code == 0 && !strstr(output, "warn"), "%d: %s", code, output);
        unlink(path);
    }
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

/* Fixed order of bytes changed here and there: whatever comes out is one of the exit codes, and soon. */
Test(vectors, damaged_files_are_refused_or_read, .timeout = 300) {
    static char output[1 << 20];
    char path[64], arguments[128];
    for (int k = 0; k < 60; k++) {
        copy_public(path, sizeof path);
        FILE *file = fopen(path, "r+b");
        fseek(file, 0, SEEK_END);
        long size = ftell(file);
        for (uint64_t flip = 0; flip < 40; flip++) {
            uint64_t bits = mhc_bits(9, (uint32_t)k, 0, flip);
            /* Half of them in the first pages, where the structure of the file is. */
            fseek(file, (long)((bits >> 8) % (uint64_t)(flip % 2 ? size : 16384)), SEEK_SET);
            fputc((int)(bits & 255), file);
        }
        fclose(file);
        if (k % 4 == 0)
            cr_assert(truncate(path, size * (k + 1) / 61) == 0);
        snprintf(arguments, sizeof arguments, "%s --case 'm*' --timeout 20", path);
        int code = run_verify(arguments, output, sizeof output);
        cr_expect(code >= 0 && code <= 2, "damage %d: exit %d\n%s", k, code, output);
    }
    unlink(path);
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
