/* Vector files that lie, lack something or are damaged: what `mhcbench verify` makes of them. */
#include <criterion/criterion.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_ref/philox.h"
#include "tests/verify_command.h"

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

Test(vectors_spoilt, planted_errors_are_found, .timeout = 1800) {
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
Test(vectors_spoilt, a_tolerance_has_a_bound) {
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

/* Fixed order of bytes changed here and there: whatever comes out is one of the exit codes, and soon. */
Test(vectors_spoilt, damaged_files_are_refused_or_read, .timeout = 1800) {
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
