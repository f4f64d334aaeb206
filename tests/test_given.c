/* Study maps on maps that were made elsewhere: what is measured of a file, and files that cannot serve. */
#include "tests/command.h"

#include <hdf5.h>
#include <math.h>

#include "analysis/analysis.h"
#include "cpu_ref/philox.h"
#include "results/record.h"

enum { SEEDS = 2, L = 5, T = 3, N = 4, MAPS = SEEDS * L * T, CELLS = N * N };

TestSuite(given, .timeout = 1800);

/* Row-stochastic maps whose columns do not sum to 1. */
static double *make_maps(void) {
    double *res = malloc(sizeof(double) * MAPS * CELLS);
    for (int row = 0; row < MAPS * N; row++) {
        double sum = 0;
        for (int j = 0; j < N; j++)
            sum += res[row * N + j] = exp(mhc_normal(3, 1, 0, (uint64_t)(row * N + j)));
        for (int j = 0; j < N; j++)
            res[row * N + j] = (float)(res[row * N + j] / sum);
    }
    return res;
}

static void transpose(double *res) {
    for (int m = 0; m < MAPS; m++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < i; j++) {
                double *a = &res[m * CELLS + i * N + j], *b = &res[m * CELLS + j * N + i], kept = *a;
                *a = *b;
                *b = kept;
            }
}

static void write_attribute(hid_t object, const char *name, const char *text) {
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE); /* as h5py writes them */
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(H5Awrite(attribute, type, &text) >= 0);
    H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
}

struct dataset {
    const char *name;
    hid_t type;
    int rank;
    hsize_t extent[6];
};

/* A file with these datasets, the last of them without a name; attributes that are NULL are left out. */
static void write_maps(const char *path, const struct dataset *d, const double *values, const char *order,
                       const char *connection) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    for (; d->name; d++) {
        hid_t space = H5Screate_simple(d->rank, d->extent, NULL);
        hid_t data = H5Dcreate2(file, d->name, d->type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        cr_assert(data >= 0 && H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        if (order && !strcmp(d->name, "res"))
            write_attribute(data, "order", order);
        H5Dclose(data);
        H5Sclose(space);
    }
    if (connection)
        write_attribute(file, "connection", connection);
    H5Fclose(file);
}

/* IEEE half precision, which h5py calls float16. */
static hid_t half_type(void) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

/* Every curve of a case of a record is that of these maps, to the last bit where `slack` is 0. */
static void expect_curves(const char *record, int64_t index, const double *res, double slack) {
    struct mhc_curves want = {0};
    const unsigned groups = MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING;
    cr_assert(mhc_curves_allocate(&want, L, groups, true) && !mhc_measure_maps(res, L, T, N, &want));
    struct record_reader *r = record_open(record);
    cr_assert(r && record_count(r) > index, "%s", record_error());
    for (int m = 0; m < MHC_METRICS; m++)
        for (int s = 0; s < MHC_STATISTICS && want.curve[m][s]; s++) {
            char name[80];
            snprintf(name, sizeof name, "%s%s", mhc_metric_info[m].name, mhc_statistic_suffix[s]);
            const double *got = record_curve_of(r, name, index);
            for (int l = 0; l < L; l++)
                cr_expect(
                    got && (!(fabs(got[l] - want.curve[m][s][l]) > slack) || (slack > 0 && want.curve[m][s][l] < -2)),
                    "%s of layer %d: %g, want %g", name, l, got ? got[l] : NAN, want.curve[m][s][l]);
        }
    record_close(r);
    mhc_curves_release(&want);
}

Test(given, maps_of_a_file_are_measured) {
    const struct dataset one[] = {{"res", H5T_IEEE_F32BE, 4, {L, T, N, N}}, {NULL, 0, 0, {0}}};
    double *res = make_maps();
    enter();
    write_maps("ours.h5", one, res, NULL, NULL);
    GOOD("$M run --study maps --from ours.h5 --out ours.rec -q && $M show ours.rec");
    expect_curves("ours.rec", 0, res, 0);
    cr_expect(strstr(out, "destination-source") && strstr(out, "1.000 1.000 1.000 1.000") && !strstr(out, "--t-max"),
              "%s", out);
    GOOD("$M run --study maps --from ours.h5 --order source-destination --out other.rec -q && $M show other.rec");
    cr_expect(strstr(out, "source-destination"), "%s", out);
    transpose(res);
    expect_curves("other.rec", 0, res, 0);
    write_maps("theirs.h5", one, res, "source-destination", "hc");
    transpose(res);
    GOOD("$M run --study maps --from theirs.h5 --out theirs.rec -q && $M show theirs.rec --format csv");
    expect_curves("theirs.rec", 0, res, 0);
    cr_expect(strstr(out, "HC,1,[5][3][4][4],source-destination"), "%s", out);
    /* The key makes the case again, and every figure and export of maps works. */
    GOOD("$M run $($M run --study maps --from theirs.h5 --dry-run) --out again.rec -q && $M plot again.rec --out f && "
         "test -s f/composite_maps.svg -a -s f/composite_gain.svg -a -s f/composite_spectrum.svg && "
         "$M export again.rec --what curves | grep -c theirs.h5");
    expect_same_results("theirs.rec", "again.rec");
    free(res);
    leave();
}

Test(given, seeds_are_cases) {
    const struct dataset several[] = {{"res", H5T_IEEE_F64LE, 5, {SEEDS, L, T, N, N}},
                                      {"pre", H5T_IEEE_F32LE, 4, {SEEDS, L, T, N}},
                                      {NULL, 0, 0, {0}}};
    double *res = make_maps();
    enter();
    res[L * T * CELLS + 2 * T * CELLS + 5] = NAN; /* of seed 2, layer 3 */
    res[7] = -0.25;
    write_maps("seeds.h5", several, res, NULL, "kromhc");
    GOOD("$M run --study maps --from seeds.h5 --maps kept --out s.rec -q && $M show s.rec --format csv");
    for (int seed = 0; seed < SEEDS; seed++)
        expect_curves("s.rec", seed, res + seed * L * T * CELLS, 0);
    cr_expect(strstr(out, "KromHC,1,[5][3][4][4],destination-source"), "%s", out);
    char *first = strstr(out, "KromHC,1,"), *second = strstr(out, "KromHC,2,");
    cr_assert(first && second);
    first[strcspn(first, "\n")] = second[strcspn(second, "\n")] = 0;
    cr_expect(strstr(first, ",1,0") && !strcmp(first + strlen(first) - 4, ",1,0"), "%s", first);
    cr_expect(!strcmp(second + strlen(second) - 4, ",0,1"), "%s", second);
    GOOD("$M run --study maps --from seeds.h5 --seed 2 --dry-run");
    cr_expect(strstr(out, "--seed 2") && strchr(out, '\n') == strrchr(out, '\n'), "%s", out);
    /* What was kept is a file of maps as good as the first. */
    GOOD("$M run --study maps --from $(ls kept/*-1-*.h5) --out k.rec -q && $M show k.rec");
    expect_curves("k.rec", 0, res, 0);
    cr_expect(strstr(out, "KromHC"), "%s", out);
    free(res);
    leave();
}

Test(given, any_float_will_do) {
    double *res = make_maps();
    hid_t half = half_type();
    const struct dataset one[] = {{"res", half, 4, {L, T, N, N}}, {NULL, 0, 0, {0}}};
    enter();
    write_maps("half.h5", one, res, NULL, NULL);
    GOOD("$M run --study maps --from half.h5 --out h.rec -q");
    expect_curves("h.rec", 0, res, 0.02);
    H5Tclose(half);
    free(res);
    leave();
}

Test(given, files_that_cannot_serve_get_one_line) {
    static double ones[4 * 17 * 17];
    enter();
    const struct {
        struct dataset d[3];
        const char *order, *says;
    } bad[] = {
        {{{"res", H5T_IEEE_F64LE, 3, {2, 4, 4}}}, NULL, "res has 3 dimensions, and not [L][T][n][n]"},
        {{{"res", H5T_IEEE_F64LE, 6, {1, 1, 1, 1, 2, 2}}}, NULL, "res has 6 dimensions"},
        {{{"res", H5T_IEEE_F64LE, 4, {2, 2, 17, 17}}}, NULL, "17 streams, at most 16"},
        {{{"res", H5T_IEEE_F64LE, 4, {2, 2, 3, 4}}}, NULL, "not square"},
        {{{"res", H5T_IEEE_F64LE, 4, {2, 0, 4, 4}}}, NULL, "it has no elements"},
        {{{"res", H5T_STD_I32LE, 4, {2, 2, 4, 4}}}, NULL, "no floating-point numbers"},
        {{{"res", H5T_IEEE_F64LE, 4, {2, 2, 4, 4}}}, "rows first", "attribute `order` is neither"},
        {{{"res", H5T_IEEE_F64LE, 4, {2, 2, 4, 4}}, {"pre", H5T_IEEE_F64LE, 3, {2, 2, 3}}},
         NULL,
         "pre does not have the shape [2][2][4]"},
        {{{"H", H5T_IEEE_F64LE, 4, {2, 2, 4, 4}}, {"pre", H5T_IEEE_F64LE, 3, {2, 2, 4}}},
         NULL,
         "bad.h5 has no dataset res of maps, only H, pre, and is no checkpoint"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        write_maps("bad.h5", bad[k].d, ones, bad[k].order, NULL);
        expect_refusal("$M run --study maps --from bad.h5 --out b.rec", bad[k].says);
    }
    const struct dataset good[] = {{"res", H5T_IEEE_F64LE, 4, {2, 2, 4, 4}}, {NULL, 0, 0, {0}}};
    write_maps("good.h5", good, ones, NULL, NULL);
    static const struct {
        const char *options, *says;
    } asked[] = {{"--study maps --from good.h5 --t-max 5", "--t-max says how maps are made"},
                 {"--study maps --from good.h5 --rms-eps 1e-6", "--rms-eps says how maps are made"},
                 {"--study maps --from good.h5 --w 1", "--w says how an ensemble is drawn"},
                 {"--study maps --from good.h5 --depth 3", "--depth 3: the maps of --from good.h5 have 2"},
                 {"--study maps --from good.h5 --streams 3", "--streams 3: the maps of"},
                 {"--study maps --from good.h5 --tokens 1", "--tokens 1: the maps of"},
                 {"--study maps --from good.h5 --seed 2", "has seeds 1 to 1"},
                 {"--study maps --from good.h5 --connection identity", "has nothing to measure"},
                 {"--study maps --order source-destination", "--order is of the maps of a file"},
                 {"--study propagate --from good.h5", "has maps alone"}};
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
        char command[200];
        snprintf(command, sizeof command, "$M run %s --out b.rec", asked[k].options);
        expect_refusal(command, asked[k].says);
    }
    leave();
}
