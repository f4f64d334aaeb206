/* Study `overhead` from the command line to the record. Whatever is said of times here comes from a device whose clocks
 * are counters, whose queues run late and in the worst order, see fake_queues.c; real times are only asked to be there.
 */
#include "tests/overhead_example.h"

#include <dlfcn.h>
#include <hdf5.h>
#include <math.h>

#include "suites/report/show_account.h"
#include "suites/stack/execute.h"

TestSuite(overhead, .init = enter_with_device, .fini = leave, .timeout = 1800);

/* Milliseconds of a chain of `layers` layers: products take 1, everything else 0.1, and 0.01 per call outside a
 * graph. */
static double chain(int layers, int streams, bool arrows, bool graph, double *calls) {
    int products = 6 * layers, rest = layers / 2 * 2 + 2 * layers; /* activations, norms */
    rest += !streams ? 1 : layers * (2 + (arrows ? 5 : 2)); /* its last add; or two backward and two or five forward */
    *calls = products + rest;
    return products + 0.1 * rest + (graph ? 0 : 0.01 * *calls);
}

Test(overhead, is_what_the_clock_says) {
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 1,4 --width 16 --hidden 32 --head-dim 8 "
         "--tokens 6 --graphs off,on --rounds 8 --out a.h5 -q");
    struct record_reader *r = open_record("a.h5");
    static const struct {
        const char *name;
        int streams;
        bool arrows;
    } variant[] = {{"residual", 0, false},
                   {"hc-unfused", 4, true},
                   {"mhc-unfused", 4, true},
                   {"mhc", 4, false},
                   {"identity", 4, false}};
    cr_assert(record_count(r) == 4);
    for (int64_t i = 0; i < 4; i++) {
        int layers = (int)record_ints(r, "depth")[i];
        bool graph = !strcmp(record_texts(r, "graphs")[i], "on");
        double calls, residual = chain(layers, 0, false, graph, &calls);
        for (size_t v = 0; v < sizeof variant / sizeof *variant; v++) {
            char name[64];
            double step = chain(layers, variant[v].streams, variant[v].arrows, graph, &calls);
            const char *const ends[] = {"overhead", "overhead_low", "overhead_high", "median", "calls"};
            const double want[] = {step / residual - 1, step / residual - 1, step / residual - 1, step * 1e-3, calls};
            for (int k = 0; k < 5; k++) {
                snprintf(name, sizeof name, "%s_%s", variant[v].name, ends[k]);
                expect_value(r, name, i, want[k]);
            }
        }
        expect_value(r, "mhc-layers_overhead", i, NAN);
        cr_expect(strstr(record_texts(r, "reason")[i], "mhc-layers: mhc.post_pre: the backend has no such operation"));
        cr_expect_str_eq(record_texts(r, "status")[i], "done");
        cr_expect(record_rounds(r, i) == 8 && record_subject_count(r) == OVERHEAD_SUBJECTS);
    }
    record_close(r);
}

/* The parts of a step, timed one by one, are the step; what they move and compute are the parts of the whole. */
Test(overhead, account_sums_up) {
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 4 --width 16 --hidden 32 --head-dim 8 "
         "--tokens 6 --attention off,on --optimizer none,adamw "
         "--recompute keep,2 --rounds 8 --out a.h5 -q");
    struct record_reader *r = open_record("a.h5");
    cr_assert(record_count(r) == 8);
    for (int64_t i = 0; i < 8; i++)
        for (int v = 0; v < STEP_VARIANTS; v++) {
            double seconds = 0, sum[3] = {0}, step = 0, residual = timing(r, "residual_median", i);
            const char *const whole[3] = {"calls", "bytes", "flops"};
            char name[80];
            snprintf(name, sizeof name, "%s_median", step_name(v));
            step = timing(r, name, i);
            for (int part = 0; part < STEP_PARTS && !isnan(step); part++) {
                const char *subject = record_subject(r, overhead_subject((enum step_variant)v, (enum step_part)part));
                snprintf(name, sizeof name, "%s_share", subject);
                double share = timing(r, name, i);
                seconds += isnan(share) ? 0 : share * (part < STEP_SHARED_PARTS ? residual : step);
                for (int k = 0; k < 3; k++) {
                    snprintf(name, sizeof name, "%s_%s", subject, whole[k]);
                    sum[k] += isnan(share) ? 0 : timing(r, name, i);
                }
            }
            if (isnan(step))
                continue;
            cr_expect(fabs(seconds / step - 1) < 1e-9, "case %lld %s: %g s of %g", (long long)i, step_name(v), seconds,
                      step);
            for (int k = 0; k < 3; k++) {
                snprintf(name, sizeof name, "%s_%s", step_name(v), whole[k]);
                expect_value(r, name, i, sum[k]);
            }
        }
    record_close(r);
    GOOD("$M show a.h5 --account");
    cr_expect(strstr(out, "with F's, one by one") && strstr(out, "6.7 %") && strstr(out, "mhc-layers"), "%s", out);
}

/* One layer of attention, in ms. A chain is: pre and norm on the queue of high priority, 2 products on the other,
 * post and post_backward_y, 4 products, norm and backward. The products of two chains follow one another, 12 in all;
 * what runs before the first and after the last of them stays: 0.1 + 0.1 of the residual, 0.2 + 0.2 of mHC. */
Test(overhead, overlap_hides_what_it_can) {
    for (int tokens = 6; tokens <= 7; tokens++) { /* either queue first */
        GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 1 --width 16 --head-dim 8 --tokens %d "
             "--graphs on --overlap off,on --rounds 8 --out a.h5 --overwrite -q",
             tokens);
        struct record_reader *r = open_record("a.h5");
        expect_value(r, "residual_median", 0, 6.3e-3);
        expect_value(r, "mhc_median", 0, 6.6e-3);
        expect_value(r, "residual_median", 1, 12.2e-3);
        expect_value(r, "mhc_median", 1, 12.4e-3);
        expect_value(r, "mhc_overhead", 1, 12.4 / 12.2 - 1);
        expect_value(r, "mhc.pre_share", 1, NAN);
        record_close(r);
    }
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 5 --width 16 --head-dim 8 --tokens 6,7 "
         "--graphs off,on --overlap on --attention on --recompute 2 --rounds 3 --out a.h5 --overwrite "
         "-q"); /* right in any order that is allowed */
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 1 --width 16 --head-dim 8 --tokens 6 --graphs "
         "on --overlap off,on --rounds 8 --out a.h5 --overwrite -q; $M show a.h5");
    cr_expect(strstr(out, "graph, overlap") && strstr(out, " 65.6 %") &&
                  strstr(out, "mhc-layers   - mhc.post_pre: the backend has no such operation\n"),
              "%s", out);
}

/* A flag stands at the row, and in the half of the table, that it belongs to. */
Test(overhead, flags_stand_where_they_belong) {
    struct record_timing t = {.rounds = 4,
                              .batch = (int64_t[]){1, 1, 0},
                              .seconds = (double[]){1, 1, 1, NAN, 1, 1, 1, 1, 1, 1, 1, 1},
                              .flags = (int8_t[]){0, 0, 1, 0, 6, 2, 6, 2, 7, 7, 7, 7}};
    const char *const want[3] = {"p", "tg", ""};
    for (int s = 0; s < 3; s++) {
        char flags[SAMPLE_FLAGS];
        overhead_sample_flags(&t, s, flags);
        cr_expect_str_eq(flags, want[s]);
    }
    /* three rounds leave every ratio open, with the core and without; no ratio is the residual's. Products of a
     * millisecond are slow. */
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --attention off,on "
         "--rounds 3 --out a.h5 -q && $M show a.h5 --account >show.txt && grep -E '^(residual|mhc|identity) ' "
         "show.txt");
    cr_expect(strstr(out, "residual         12.9  ws         13.1  ws\n"), "%s", out);
    cr_expect(strstr(out, "\nmhc              13.7  wc         13.9  wc\n"), "%s", out);
    cr_expect(strstr(out, "identity         13.7  wc         13.9  wc\n"), "%s", out);
    GOOD("grep -E '^  (gemm.forward|mhc.backward) ' show.txt");
    cr_expect(strstr(out, " % gemm  ws\n  mhc.backward ") && strstr(strstr(out, "mhc.backward"), " % copy  w\n"), "%s",
              out);
}

/* mhc.post is wrong: everywhere, once it has run for a while, with many tokens alone, in a last bit and in graphs
 * alone. */
Test(overhead, wrong_is_not_timed) {
    int code = sh("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16,24,40,48,80 --hidden 16 "
                  "--head-dim 8 --tokens 30 --graphs on --rounds 40 --out a.h5 -q");
    cr_assert(code == 1, "exit %d\n%s", code, err);
    struct record_reader *r = open_record("a.h5");
    const char *const reason[5] = {"mhc-layers: ", "mhc is wrong: x of mhc.post, layer 1, is ",
                                   "after the timing: x of layer 2 of mhc has other bits",
                                   "at full size: x of layer 2 of mhc is ",
                                   "at full size: x of layer 2 of mhc has other bits"};
    for (int64_t i = 0; i < 5; i++) {
        cr_expect(strstr(record_texts(r, "reason")[i], reason[i]), "case %lld: %s", (long long)i,
                  record_texts(r, "reason")[i]);
        cr_expect((record_rounds(r, i) > 0) == (i == 0 || i == 2) &&
                  !strcmp(record_texts(r, "status")[i], i ? "failed" : "done"));
    }
    cr_expect(record_accuracy(r, "mhc_error_over_tolerance")[1] > 1 &&
              record_accuracy(r, "residual_error_over_tolerance")[1] < 1);
    record_close(r);
}

/* A step that cannot be captured: what was begun is destroyed, all variants are launched row by row, and it is said. */
Test(overhead, goes_on_without_graphs) {
    struct backend b;
    struct steps all;
    struct program_runner runner;
    char why_not[200];
    cr_assert(backend_open(&b, "./fake.so", why_not, sizeof why_not), "%s", why_not);
    const long *live = dlsym(b.handle, "live_graphs");
    struct program_spec spec = {.backend = &b,
                                .layers = 2,
                                .backward = true,
                                .c = {.T = 6, .n = 4, .C = 56, .hidden = 8, .heads = 1, .head_dim = 8, .t_max = 3}};
    backend_types(&b, MHC_F32, &spec.c);
    cr_assert(live && !steps_plan(&all, &spec, STEP_EVERY) && !steps_open(&all, 2, 1));
    cr_expect(!program_runner_open(&runner, &all.step[STEP_RESIDUAL], STEP_ALL, true, NULL) && *live == 2);
    program_runner_close(&runner);
    cr_expect(!program_runner_open(&runner, &all.step[STEP_MHC], STEP_ALL, true, NULL) && *live == 0, "%ld graphs",
              *live);
    cr_expect_str_eq(runner.uncaptured, "mhc.post: the device failed");
    cr_expect(!program_runner_run(&runner, 1) && !b.library->queues->synchronize(b.context, b.queue));
    program_runner_close(&runner);
    steps_release(&all);
    backend_close(&b);

    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 56 --hidden 32 --head-dim 8 "
         "--tokens 6 --graphs off,on --rounds 8 --out a.h5 -q && $M show a.h5 --account");
    cr_expect(strstr(out, "\nwithout graphs: mhc: mhc.post: the device failed; ") && !strstr(out, " graph  "), "%s",
              out);
    struct record_reader *r = open_record("a.h5");
    for (int v = 0; v < STEP_VARIANTS; v++) {
        char name[64];
        snprintf(name, sizeof name, "%s_median", step_name(v));
        expect_value(r, name, 1, timing(r, name, 0));
    }
    record_close(r);
}

Test(overhead, lines_come_back) {
    GOOD("$M run --study overhead --preset 3b,27b,v4-pro --kind dense,active --tokens 4096,100 --depth 8 --graphs "
         "off,on --overlap off,on --attention off,on --recompute keep,2,auto --dry-run >a.suite");
    GOOD("test $(wc -l <a.suite) -eq $((3 * 2 * 2 * 8 * 3)) && $M run a.suite --dry-run | diff a.suite -");
    GOOD("$M run --study overhead --preset 27b --kind active --tokens 4096 --dry-run");
    cr_expect_str_eq(out, "--study overhead --width 2560 --tokens 4096 --sequence 4096 --hidden 11008 --heads 32 "
                          "--head-dim 128 --preset 27b --kind active\n");
    GOOD("$M run --study overhead --preset 27b --hidden 512 --tokens 64 --dry-run");
    cr_expect(strstr(out, "--hidden 512 ") && strstr(out, "--sequence 0"), "%s", out);
    GOOD("cd $R && for f in overhead overhead-cpu; do $M run suites/$f.suite --dry-run | grep -c .; done");
}

Test(overhead, refuses_what_cannot_be) {
    expect_refusal("$M run --study overhead --graphs on --backend cpu32", "backend cpu32 has no graphs: --graphs off");
    expect_refusal("$M run --study overhead --overlap on --backend cpu32",
                   "backend cpu32 has one queue only: --overlap off");
    expect_refusal(
        "$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --head-dim 8 --tokens 6 "
        "--graphs on --overlap on --optimizer adamw",
        "two micro-batches share one update");
    expect_refusal("$M run --study overhead --preset 5b", "--preset 5b: one of none|3b|9b|27b|v4-flash|v4-pro");
    expect_refusal("$M run --study overhead --kind active", "--kind active is of a model: needs --preset");
    expect_refusal("$M run --study overhead --block mhc", "--block has no meaning in --study overhead");
    expect_refusal("$M run --study overhead --depth 2 --recompute 3", "--recompute 3 is more than --depth 2");
    expect_refusal("$M run --study overhead --backend ./nowhere.so", "no such library");
    expect_refusal(
        "$M run --study overhead --backend ./fake.so --type f32 --width 256 --depth 2 --tokens 100000 --sequence 100",
        "of memory and 0.0671 GB are free: --tokens ");
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --width 16 --depth 2 --tokens 6 --rounds 3 --out a.h5 "
         "-q");
}

/* Connections of the table beyond the usual ones, where they are asked for; all of them are asked for by name. */
Test(overhead, times_other_connections_on_request) {
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --timed hc+mhc+identity,all,mhc+kromhc --rounds 8 --out a.h5 -q");
    struct record_reader *r = open_record("a.h5");
    for (int v = STEP_OTHERS; v < STEP_VARIANTS; v++) {
        char name[64];
        snprintf(name, sizeof name, "%s_overhead", step_name(v));
        expect_value(r, name, 0, NAN);
        expect_value(r, name, 1, timing(r, "mhc_overhead", 1)); /* as many calls */
    }
    expect_value(r, "hc-unfused_overhead", 2, NAN);
    expect_value(r, "kromhc_overhead", 2, timing(r, "mhc_overhead", 2));
    cr_expect(record_accuracy(r, "kromhc_error_over_tolerance")[1] < 1 &&
              isnan(record_accuracy(r, "kromhc_error_over_tolerance")[0]));
    cr_expect(!strstr(record_texts(r, "reason")[0], "kromhc"));
    record_close(r);
    GOOD("$M show a.h5 --account | grep -c '^ *kromhc  *13.7 '");
    cr_expect_str_eq(out, "2\n");
    GOOD("$M show a.h5 --account | grep -c '^  kromhc.backward '");
    cr_expect_str_eq(out, "2\n");
    GOOD("ln -s $R/plots plots && $M plot a.h5 --out figures && grep KromHC figures/data/overhead_step.gp "
         "figures/data/overhead.gp; test -s figures/overhead.svg");
    cr_expect(!strstr(out, "overhead_step.gp")); /* that of the first case alone */
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --streams 3 --timed mhc+kromhc --rounds 8 --out b.h5 -q; $M show b.h5 --headline");
    cr_expect(strstr(out, "\nkromhc       - mhc.pre: this residual map needs n of 1, 2") &&
                  strstr(out, "\nmhc              13.7 ") && !strstr(out, "identity"),
              "%s", out);
    GOOD("$M plot b.h5 --out figures && grep CAPTION figures/data/overhead.gp");
    cr_expect(strstr(out, "layers; KromHC."), "%s", out);
}

/* A record of a version that had another connection in the place of KromHC: everything else is as it was. */
Test(overhead, a_connection_less_is_no_other_step) {
    GOOD("$M run --study overhead --backend ./fake.so --type f32 --depth 2 --width 16 --hidden 16 --head-dim 8 "
         "--tokens 6 --rounds 8 --out a.h5 -q; cp a.h5 b.h5");
    hid_t file = H5Fopen("b.h5", H5F_ACC_RDWR, H5P_DEFAULT), all = H5Dopen2(file, "/timing/subject", H5P_DEFAULT),
          type = H5Dget_type(all), space = H5Dget_space(all);
    hsize_t count;
    H5Sget_simple_extent_dims(space, &count, NULL);
    size_t size = H5Tget_size(type);
    char *names = calloc(count, size);
    int renamed = 0;
    cr_assert(names && H5Dread(all, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0);
    for (hsize_t k = 0; k < count; k++)
        if (!strncmp(names + k * size, "kromhc", 6)) {
            memcpy(names + k * size, "others", 6);
            renamed++;
        }
    cr_assert(renamed == 1 + OVERHEAD_OWN_PARTS && H5Dwrite(all, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) >= 0);
    H5Dclose(all);
    H5Fclose(file);
    free(names);
    GOOD("for f in a b; do $M show $f.h5 --account | sed -n '/^mhc: /,/^identity: /p' >$f.txt; done; test -s a.txt "
         "&& diff a.txt b.txt");
    sh("$M compare b.h5 a.h5");
    cr_expect(!strstr(out, "of different parts"), "%s%s", out, err);
}

/* Beside other studies in one file, on the CPU, as far as the figures. */
Test(overhead, shares_a_record) {
    write_text("mixed.suite",
               "--study maps --block hc --depth 3 --alpha 0\n"
               "--study kernels --backend cpu32 --operation mhc.post --tokens 4 --width 4 --budget 0.01 --rounds 7\n"
               "--study overhead --backend cpu32 --depth 2 --width 16,32 --head-dim 8 --tokens 8,16 --budget 0.02 "
               "--rounds 4\n");
    GOOD("for i in 0 1; do $M run mixed.suite --shard $i/2 --out $i.h5 -q || exit 1; done; $M merge all.h5 1.h5 0.h5");
    struct record_reader *r = open_record("all.h5");
    cr_assert(record_count(r) == 6);
    for (int64_t i = 0; i < 6; i++) {
        const char *study = record_texts(r, "study")[i];
        bool kernels = !strcmp(study, "kernels"), overhead = !strcmp(study, "overhead");
        struct record_timing t;
        cr_expect(isnan(timing(r, "median", i)) == !kernels && isnan(timing(r, "mhc_overhead", i)) == !overhead);
        cr_expect((record_rounds(r, i) > 0) == (kernels || overhead));
        if (!kernels && !overhead)
            continue;
        cr_assert(record_timing(r, i, &t), "%s", record_error());
        cr_expect((t.batch[KERNEL_OPERATION] > 0) == kernels &&
                  (t.batch[OVERHEAD_VARIANT + STEP_MHC] > 0) == overhead && t.batch[OVERHEAD_COPY] > 0);
        const double *samples = t.seconds + (OVERHEAD_VARIANT + STEP_MHC) * t.rounds;
        for (int64_t k = 0; k < t.rounds && overhead; k++) /* the account may have had more rounds */
            cr_expect(samples[k] > 0 || (k > 0 && isnan(samples[k])), "round %lld: %g", (long long)k, samples[k]);
    }
    record_close(r);
    GOOD("$M show all.h5 --account && ln -s $R/plots plots && $M plot all.h5 --out figures");
    cr_expect(exists("figures/overhead.svg") && exists("figures/overhead_step.png") &&
                  exists("figures/overhead_sweep.png"),
              "%s", out);
    GOOD("test $(grep -vc '^#' figures/data/overhead_sweep.csv) -eq $((1 + 2 * 5 * 2))");
}
