/* `mhcbench vectors`: what it writes is what verify reads, the hard list is hard, and an implementation in another
 * language is held to it: one that is right passes, those that are wrong as public ports were fail. */
#include "tests/command.h"

#include <hdf5.h>
#include <math.h>

TestSuite(vectors_made, .timeout = 1800);

Test(vectors_made, verify_reads_what_was_written) {
    enter();
    GOOD("$M vectors --operation mhc.pre,mhc.backward --tokens 7 --width 33 --streams 4 --logits 0.1,3,30 --out v.h5");
    cr_expect(!strcmp(out, "3 cases in v.h5\n"), "%s", out);
    GOOD("$M verify v.h5 && $M verify v.h5 --backend cpu32 && $M verify v.h5 --case '*logits30*'");
    GOOD("$M vectors --operation all --tokens 6,8 --width 12 --streams 4,2 --convention paper,v4 --out all.h5 && "
         "$M verify all.h5");
    cr_expect(strstr(out, " 0 failed, 0 skipped") && strstr(out, "attention_") && strstr(out, "hc_n4"), "%s", out);
    GOOD("$M vectors --hard --out hard.h5 && $M verify hard.h5 && $M verify hard.h5 --backend cpu32 && "
         "$M verify hard.h5 --backend emu --case 'mhc_n4*' && cp hard.h5 again && $M vectors --hard --out hard.h5 "
         "--overwrite && cmp hard.h5 again");
    GOOD("$M vectors --operation mhc.pre,mhc.post --tokens 3 --width 8 --rms-eps 1e-6,1e-5 --out twins.h5");
    cr_expect(!strcmp(out, "2 cases in twins.h5\n"), "a case once, whatever names it: %s", out);
    GOOD("$M vectors --operation sinkhorn.* --tokens 3 --width 8,16 --out widths.h5");
    cr_expect(!strcmp(out, "1 cases in widths.h5\n"), "sinkhorn has no width: %s", out);
    cr_expect(sh("$M vectors --hard --seed 2 --out other.h5 && h5diff -q hard.h5 other.h5") != 0);
    leave();
}

/* ---- the hard list ---- */

static double *read_doubles(hid_t file, const char *name, int64_t *count) {
    hid_t data = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(data);
    *count = H5Sget_simple_extent_npoints(space);
    double *values = malloc((size_t)*count * sizeof *values);
    cr_assert(data >= 0 && H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, "%s", name);
    H5Sclose(space);
    H5Dclose(data);
    return values;
}

Test(vectors_made, the_hard_list_is_hard) {
    enum { N = 4, C = 33 };
    const double eps = 1e-5;
    int64_t count;
    enter();
    GOOD("$M vectors --hard --out hard.h5");
    hid_t file = H5Fopen("hard.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    double *x = read_doubles(file, "cases/mhc_n4_C33_T7_t_max3_v4_logits30_hard_seed1/in/x", &count);
    cr_assert_eq(count, 7 * N * C);
    for (int t = 0; t < 4; t++) {
        double sum = 0;
        for (int k = 0; k < N * C; k++)
            sum += x[t * N * C + k] * x[t * N * C + k];
        const double want[] = {0, eps, eps / 100, 1};
        cr_expect(t == 3 ? sum / (N * C) > 0.5 : fabs(sum / (N * C) - want[t]) < 1e-9 * eps, "token %d: %g", t, sum);
    }
    double *b = read_doubles(file, "cases/mhc_n4_C33_T7_t_max3_v4_logits30_hard_seed1/in/b", &count), most = -INFINITY;
    int ties = 0, symmetric = 0;
    for (int k = 2 * N; k < count; k++)
        most = fmax(most, b[k]);
    for (int k = 2 * N; k < count; k++) {
        const int i = (k - 2 * N) / N, j = (k - 2 * N) % N;
        ties += b[k] == most;
        symmetric += i < j && b[k] == b[2 * N + j * N + i];
    }
    cr_expect(ties >= 3 && symmetric == 1 && most > 15, "%d ties, %d pairs alike, largest %g", ties, symmetric, most);
    free(b);
    free(x);
    H5Fclose(file);
    leave();
}

Test(vectors_made, bad_usage_gets_one_line) {
    static const struct {
        const char *options, *says;
    } bad[] = {
        {"", "--out FILE.h5 is missing"},
        {"--out there.h5 --hard", "there.h5 exists"},
        {"--out v.h5 --logits 1,x", "--logits 1,x: up to"},
        {"--out v.h5 --logits -1", "--logits -1: up to"},
        {"--out v.h5 --rtol none", "--rtol none: a number from 0"},
        {"--out v.h5 --hard --logits 3", "--hard has its own"},
        {"--out v.h5 --hard --tokens 3", "unknown option --tokens"},
        {"--out v.h5 --operation resnet.pre", "no vectors of resnet.pre"},
        {"--out v.h5 --operation mhc.pre --backend cpu32", "--backend has no meaning"},
        {"--out v.h5 --operation mhc.pre --depth 3", "--depth has no meaning"},
        {"--out v.h5 --map permutations --streams 6", "--streams 6: this residual map, of n! logits, needs n from 1"},
        {"--out v.h5 --streams 17", "--streams 17: a whole number"},
        {"--out nowhere/v.h5 --hard", "nowhere/v.h5.part: No such file"}};
    char command[200];
    enter();
    GOOD("touch there.h5");
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        snprintf(command, sizeof command, "$M vectors %s", bad[k].options);
        expect_refusal(command, bad[k].says);
    }
    leave();
}

/* ---- residual maps ---- */

/* Columns of phi in the only case of a file; -1: there is none. */
static int64_t columns_of(const char *path) {
    char name[200], phi[300];
    hsize_t extents[2] = {0};
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    cr_assert(file >= 0 &&
              H5Lget_name_by_idx(file, "cases", H5_INDEX_NAME, H5_ITER_INC, 0, name, sizeof name, H5P_DEFAULT) > 0);
    snprintf(phi, sizeof phi, "cases/%s/in/phi", name);
    hid_t data = H5Dopen2(file, phi, H5P_DEFAULT), space = H5Dget_space(data);
    int rank = H5Sget_simple_extent_dims(space, extents, NULL);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(file);
    return rank == 2 ? (int64_t)extents[1] : -1;
}

/* A file of each map's numbers, which every backend meets; what the file says of its map is what was asked for. */
Test(vectors_made, of_every_map) {
    static const char *const options[] = {"identity",          "free",
                                          "kronecker",         "permutations",
                                          "orthostochastic",   "orthostochastic --map-order 1",
                                          "transport",         "spectral",
                                          "circulant --beta 9"};
    static const int64_t K[] = {0, 16, 4, 24, 28, 6, 9, 9, 4};
    enter();
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        GOOD("$M vectors --operation 'mhc.*' --tokens 5 --width 6 --map %s --out v.h5 --overwrite", options[k]);
        cr_expect(columns_of("v.h5") == 8 + K[k], "%s: %lld", options[k], (long long)columns_of("v.h5"));
        for (int b = 0; b < 3; b++) {
            GOOD("$M verify v.h5 --backend %s", ((const char *[]){"cpu64", "cpu32", "emu"})[b]);
            cr_expect(strstr(out, " 0 failed, 0 skipped"), "%s: %s", options[k], out);
        }
    }
    leave();
}

/* ---- another language ---- */

/* Runs the pytest file of tests/python on an implementation with a fault; "": none. */
static int gate(const char *fault, const char *vectors) {
    return sh(
        "cd $R/tests/python && WRONG=%s MHC=mhc_numpy VECTORS=%s PYTHONDONTWRITEBYTECODE=1 $PYTHON -m pytest -q -p "
        "no:cacheprovider test_vectors.py",
        fault, vectors);
}

/* The fixtures skip in one line where there is no Python with these modules. */
static void enter_with_python(void) {
    enter();
    if (sh("sh $R/tests/tools/python.sh numpy h5py pytest")) {
        leave();
        cr_skip_test("no python3 with numpy, h5py and pytest: an implementation in Python is not held to vectors");
    }
    out[strcspn(out, "\n")] = 0;
    setenv("PYTHON", out, 1);
}

Test(vectors_made, an_implementation_in_numpy_passes) {
    enter_with_python();
    GOOD("$M vectors --hard --out hard.h5");
    char made[PATH_MAX];
    cr_assert(realpath("hard.h5", made));
    cr_expect(gate("", made) == 0 && strstr(out, "8 passed"), "%s%s", out, err);
    cr_expect(gate("", "$R/tests/vectors/public.h5") == 0 && strstr(out, "8 passed"), "%s%s", out, err);
    /* A module of the current folder is the one that is held to them, whatever its name; without a name none is. */
    GOOD("sed 's/^def mhc(/def other(/' $R/tests/python/mhc_numpy.py >mhc_numpy.py && ! cmp -s mhc_numpy.py "
         "$R/tests/python/mhc_numpy.py");
    setenv("RUN", "PYTHONDONTWRITEBYTECODE=1 $PYTHON -m pytest -q -p no:cacheprovider $R/tests/python/test_vectors.py",
           1);
    cr_expect(sh("export MHC=mhc_numpy VECTORS=hard.h5; eval $RUN") == 1 && strstr(out, "8 failed"), "%s%s", out, err);
    cr_expect(sh("unset MHC; export VECTORS=hard.h5; eval $RUN") > 1 && strstr(out, "KeyError: 'MHC'"), "%s%s", out,
              err);
    leave();
}

Test(vectors_made, implementations_that_are_wrong_fail) {
    static const char *const faults[] = {"transposed",  "rows_first",  "post_without_2", "post_unscaled",
                                         "eps_swapped", "eps_outside", "max_constant"};
    char made[PATH_MAX];
    enter_with_python();
    GOOD("$M vectors --hard --out hard.h5");
    cr_assert(realpath("hard.h5", made));
    for (size_t k = 0; k < sizeof faults / sizeof *faults; k++) {
        const int code = gate(faults[k], made); /* 1: tests failed; others: pytest could not run them */
        cr_expect(code == 1 && strstr(out, "AssertionError") && strstr(out, " failed"), "%s: exit %d\n%s%s", faults[k],
                  code, out, err);
        if (!strcmp(faults[k], "post_without_2")) /* the cause is named beside what follows from it */
            cr_expect(strstr(out, "post[") && strstr(out, "grad_alpha[") && strstr(out, " arrays are wrong:"), "%s",
                      out);
    }
    leave();
}

/* What is to be copied is short. */
Test(vectors_made, the_pytest_file_is_short) {
    enter();
    GOOD("test $(wc -l <$R/tests/python/test_vectors.py) -le 25");
    leave();
}
