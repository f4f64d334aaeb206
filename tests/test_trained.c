/* A trained model as the ensemble of studies maps and propagate: what is measured of it is what training measured. */
#include "tests/checkpoint_example.h"

#include <hdf5.h>
#include <math.h>

TestSuite(trained, .timeout = 1800);

/* The curves of a case that stands first in both files. */
static void expect_same_curves(const char *a, const char *b, const char *const *names) {
    struct record_reader *one = record_open(a), *other = record_open(b);
    cr_assert(one && other, "%s", record_error());
    for (; *names; names++) {
        const double *x = record_curve_of(one, *names, 0), *y = record_curve_of(other, *names, 0);
        cr_expect(x && y && isfinite(x[0]) && !memcmp(x, y, 4 * sizeof *x), "%s and %s: %s", a, b, *names);
    }
    record_close(one);
    record_close(other);
}

/* On the tokens of training's last point, what is measured is what was measured there. */
static void expect_replayed(const char *connection, const char *backend) {
    static const char *const of_maps[] = {"single_forward_abs", "composite_backward_sum", "composite_forward_abs_q10",
                                          NULL};
    static const char *const of_stack[] = {
        "composite_backward_sum", "stream_similarity", "grad_x_rms", "grad_branch_norm", "x_rms", NULL};
    GOOD("rm -rf c && $M run " SMALL
         " --connection %s --backend %s --steps 40 --learning-rate 0.02 --out a.h5 --overwrite "
         "--checkpoints c -q",
         connection, backend);
    const char *file = file_of("c", connection);
    GOOD("$M run --study propagate --from %s --tokens 12 --backend %s --out p.h5 --overwrite -q", file, backend);
    expect_same_curves("a.h5", "p.h5", of_stack);
    if (strcmp(backend, "cpu64"))
        return;
    GOOD("$M run --study maps --from %s --tokens 12 --out m.h5 --overwrite -q && $M show m.h5", file);
    expect_same_curves("a.h5", "m.h5", of_maps);
}

Test(trained, a_trained_model_is_an_ensemble) {
    enter_with_text(3000);
    expect_replayed("hc", "cpu64");
    expect_replayed("kromhc", "cpu64");
    expect_replayed("hc", "cpu32");
    expect_replayed("mhc", "cpu32");
    expect_replayed("mhc", "cpu64");
    const char *file = file_of("c", "mhc");
    GOOD("$M run --study maps --from %s --tokens 12 --t-max 5,1000 --out t.h5 -q", file);
    struct record_reader *trained = record_open("a.h5"), *projected = record_open("t.h5");
    struct record_training is;
    cr_assert(trained && projected && record_training(trained, 0, &is), "%s", record_error());
    for (int k = 0; k < 2; k++) { /* the first and the last t_max that training ends with */
        const double *want = is.t_max_curves +
                             ((k ? RECORD_PROJECTIONS - 1 : 0) * MHC_METRICS + MHC_composite_backward_sum) * 4;
        cr_expect(!memcmp(record_curve_of(projected, "composite_backward_sum", k), want, 4 * sizeof *want));
    }
    record_close(trained);
    record_close(projected);
    GOOD("$M run --study propagate --from %s --tokens 12 --gradient none --measure gain --out n.h5 -q && "
         "$M plot m.h5 --out figures && test -s figures/composite_maps.svg && $M export m.h5 | grep -c mhc",
         file);
    leave();
}

/* Without a step it is the start. */
Test(trained, no_steps_leave_a_checkpoint_of_the_start) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 0 --out a.h5 --checkpoints c -q && $M run " SMALL
         " --steps 0 --out b.h5 --checkpoints c -q");
    expect_same_results("a.h5", "b.h5");
    static const char *const names[] = {"single_forward_abs", "composite_backward_sum", NULL};
    GOOD("$M run --study maps --from %s --tokens 12 --out m.h5 -q", file_of("c", "mhc"));
    expect_same_curves("a.h5", "m.h5", names);
    leave();
}

Test(trained, what_a_model_has_decided_is_refused) {
    static const struct {
        const char *options, *want;
    } cases[] = {{"--study maps --depth 6", "--depth 6: the model of --from"},
                 {"--study maps --connection hc", "--connection hc: the model of --from"},
                 {"--study maps --streams 2", "--streams 2: the model of --from"},
                 {"--study propagate --width 64", "--width 64: the model of --from"},
                 {"--study maps --seed 2", "--seed 2: the model of --from"},
                 {"--study maps --w 1", "--w says how an ensemble is drawn"},
                 {"--study maps --round bf16", "--round says how an ensemble is drawn"},
                 {"--study propagate --branch linear", "--branch says how an ensemble is drawn"},
                 {"--study maps --tokens 13", "not a multiple of the model's --sequence 6"},
                 {"--study maps --tokens 12 --input other", "--input other: No such file"},
                 {"--study kernels --operation mhc.pre", "--from has no meaning in --study kernels"}};
    char command[400];
    enter_with_text(3000);
    GOOD("$M run " SMALL " --steps 2 --out a.h5 --checkpoints c -q && mv c/*.h5 model");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        snprintf(command, sizeof command, "$M run %s --from model --out b.h5", cases[k].options);
        expect_refusal(command, cases[k].want);
    }
    const char *run = "$M run --study maps --tokens 12 --from model --out b.h5";
    GOOD("cp model kept && cp text all && head -c 30000 model >cut && mv cut model");
    expect_refusal(run, "model is damaged");
    GOOD("cp a.h5 model");
    expect_refusal(run, "no checkpoint of this version");
    GOOD("cp text model");
    expect_refusal(run, "damaged, or no HDF5 file");
    GOOD("rm model");
    expect_refusal(run, "model: No such file");
    expect_refusal("$M run --study maps --input text --out b.h5", "with --from alone");
    GOOD("cp kept model && echo more >>text");
    cr_expect(sh("%s -q", run) == 1 && strstr(err, "is not the text that the model was trained on"), "%s", err);
    leave();
}

/* ---- files of maps ---- */

/* A dataset of a file of maps whose extents are those. */
static double *dataset(const char *file, const char *name, int rank, const hsize_t *want) {
    hsize_t extent[4], count = 1;
    hid_t h5 = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT), data = H5Dopen2(h5, name, H5P_DEFAULT);
    hid_t space = H5Dget_space(data);
    cr_assert(h5 >= 0 && data >= 0 && H5Sget_simple_extent_ndims(space) == rank, "%s of %s", name, file);
    H5Sget_simple_extent_dims(space, extent, NULL);
    for (int k = 0; k < rank; k++) {
        cr_assert(extent[k] == want[k], "%s: extent %d is %lld", name, k, (long long)extent[k]);
        count *= extent[k];
    }
    double *values = malloc(count * sizeof *values);
    cr_assert(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    H5Dclose(data);
    H5Fclose(h5);
    return values;
}

/* What is measured of the file's maps is what the record has. */
static void expect_maps(const char *file, const char *record, int64_t T) {
    struct mhc_curves curves = {0};
    double *res = dataset(file, "res", 4, (hsize_t[]){4, (hsize_t)T, 4, 4});
    cr_assert(mhc_curves_allocate(&curves, 4, MHC_GROUP_GAIN, true) && !mhc_measure_maps(res, 4, T, 4, &curves));
    struct record_reader *r = record_open(record);
    const double *want = r ? record_curve_of(r, "composite_backward_sum", 0) : NULL;
    cr_expect(want && !memcmp(want, curves.curve[MHC_composite_backward_sum][MHC_MEAN], 4 * sizeof *want), "%s", file);
    record_close(r);
    mhc_curves_release(&curves);
    free(res);
}

Test(trained, maps_can_be_kept) {
    static const char *const connections[] = {"hc", "mhc"};
    enter_with_text(3000);
    for (int k = 0; k < 2; k++) {
        GOOD("rm -rf maps c && $M run " SMALL " --connection %s --steps 20 --out a.h5 --overwrite --checkpoints c -q",
             connections[k]);
        const char *model = file_of("c", connections[k]);
        GOOD("$M run --study maps --from %s --tokens 12 --maps maps --out m.h5 --overwrite -q", model);
        const char *file = file_of("maps", connections[k]);
        expect_maps(file, "m.h5", 12);
        double *pre = dataset(file, "pre", 3, (hsize_t[]){4, 12, 4}),
               *post = dataset(file, "post", 3, (hsize_t[]){4, 12, 4});
        for (int i = 0; i < 4 * 12; i++) /* each layer starts at a stream of its own */
            cr_expect(pre[4 * i + i / 12] > 0.5 && post[4 * i + i / 12] > 0.5, "%s %d: %g %g", connections[k], i,
                      pre[4 * i + i / 12], post[4 * i + i / 12]);
        free(pre);
        free(post);
    }
    GOOD("rm -rf maps && $M run --study maps --depth 4 --alpha 0 --maps maps --out d.h5 -q");
    expect_maps(file_of("maps", "mhc"), "d.h5", 1);
    expect_refusal("$M run " SMALL " --out b.h5 --maps maps", "no case of study maps");
    leave();
}

/* ---- bad input ---- */

Test(trained, a_rate_too_high_is_a_result) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --connection hc,mhc --steps 40 --every 1 --warm-up 0 --learning-rate 1e300,0.001 "
         "--clip 0 --out a.h5 --checkpoints c --checkpoint-every 1");
    cr_expect(strstr(err, "4 of 4 cases, 2 of them diverged, in a.h5"), "%s", err);
    struct record_reader *r = record_open("a.h5");
    cr_assert(r && record_count(r) == 4, "%s", record_error());
    const double *rate = record_reals(r, "learning-rate");
    for (int64_t k = 0; k < 4; k++) {
        struct record_training is;
        cr_assert(record_training(r, k, &is) && !strcmp(record_texts(r, "status")[k], "done"), "%s", record_error());
        cr_expect(rate[k] > 1 ? is.diverged >= 1 && is.points >= 1 && isfinite(is.held_out_loss[is.points - 1])
                              : !is.diverged && is.steps == 40);
    }
    record_close(r);
    GOOD("cp a.h5 first.h5 && $M run " SMALL " --connection hc,mhc --steps 40 --every 1 --warm-up 0 "
         "--learning-rate 1e300,0.001 --clip 0 --out a.h5 --overwrite --checkpoints c --checkpoint-every 1");
    expect_same_results("a.h5", "first.h5");
    leave();
}

Test(trained, texts_and_steps_at_their_limits) {
    enter_with_text(100);
    expect_refusal("$M run " SMALL " --out a.h5 --checkpoints c", "a window of --sequence takes 7");
    leave();
}

/* The checkpoint behind --from is known by its digest. */
Test(trained, another_checkpoint_is_no_resumption) {
    enter_with_text(3000);
    GOOD("$M run " SMALL " --connection mhc --steps 4 --out a.h5 --checkpoints c -q && cp c/mhc-1-*.h5 model.h5");
    GOOD("$M run --study maps --from model.h5 --tokens 12 --t-max 5,10 --out m.h5 -q && mv m.h5 m.h5.part");
    GOOD("$M export m.h5.part --format json >rows; grep -c \"\\\"origin_from\\\": \\\"$(sha256sum model.h5 | cut -d' ' "
         "-f1)\\\"\" rows");
    GOOD("rm -r c; $M run " SMALL
         " --connection mhc --steps 5 --out e.h5 --checkpoints c -q && cp c/mhc-1-*.h5 model.h5");
    expect_refusal("$M run --study maps --from model.h5 --tokens 12 --t-max 5,10 --out m.h5 --resume -q",
                   "has cases of another file behind --from");
    GOOD("$M run --study maps --from model.h5 --tokens 12 --t-max 5,10 --out m.h5 --resume=anyway -q");
    leave();
}
