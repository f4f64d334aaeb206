/* Study `kernels` from the command line to the record. Whatever is said of times here comes from a device whose clock
 * is a counter; real times are only asked to be there. */
#include "tests/command.h"

#include <math.h>

#include "cpu_ref/library.h"
#include "results/record.h"
#include "suites/study/kernels_study.h"
#include "suites/report/table2.h"
#include "tests/fake_device.h"

TestSuite(kernels, .init = enter, .fini = leave, .timeout = 1800);

static struct record_reader *open_record(const char *path) {
    struct record_reader *r = record_open(path);
    cr_assert(r, "%s", record_error());
    return r;
}

Test(kernels, times_what_is_right) {
    write_text("a.suite", "set --study kernels --width 8 --hidden 16 --budget 0.02 --rounds 12\n"
                          "--operation mhc.*,resnet.pre,mlp.* --backend cpu32 --tokens 5,16\n"
                          "--operation mhc.*,resnet.pre,mlp.* --backend cpu64 --tokens 5,16\n");
    GOOD("$M run a.suite --out a.h5 -q");
    struct record_reader *r = open_record("a.h5");
    cr_assert(record_count(r) == 10 * 2 * 2, "%lld cases", (long long)record_count(r));
    cr_expect(record_max_layers(r) == 0 && record_list_count(r, RECORD_LIST_SUMMARIES) == 0 &&
              record_subject_count(r) == 3);
    for (int64_t i = 0; i < record_count(r); i++) {
        struct record_timing t;
        const char *key = record_texts(r, "key")[i], *operation = record_texts(r, "operation")[i];
        double median = record_timing_value(r, "median")[i], share = record_accuracy(r, "error_over_tolerance")[i];
        cr_assert(!strcmp(record_texts(r, "status")[i], "done"), "%s: %s", key, record_texts(r, "reason")[i]);
        cr_expect(record_ints(r, "streams")[i] == (strcmp(operation, "resnet.pre") ? 4 : 1), "%s", key);
        cr_expect(share >= 0 && share <= 1 && record_accuracy(r, "tolerance")[i] > 0, "%s: accuracy %g", key, share);
        cr_expect(median > 0 && isfinite(median) && record_timing_value(r, "bandwidth")[i] > 0, "%s: %g s", key,
                  median);
        cr_assert(record_timing(r, i, &t), "%s", record_error());
        cr_expect(t.rounds >= 1 && t.rounds <= 12 && t.batch[0] > 0 && t.batch[1] > 0 && t.sets[1] > 1, "%s", key);
        for (int64_t k = 0; k < t.rounds; k++)
            cr_expect(t.seconds[k] > 0 && t.seconds[t.rounds + k] > 0 && isnan(t.clock[k]) &&
                          (t.batch[2] > 0) == (t.seconds[2 * t.rounds + k] > 0),
                      "%s round %lld", key, (long long)k);
    }
    record_close(r);
    GOOD("$M show a.h5");
    cr_expect(strstr(out, "\n--study kernels --t-max 20 --hidden 16 --backend cpu32 --type widest --cache cold\n"),
              "%s", out);
    cr_expect(strstr(out, "\nmlp.backward ") && strstr(out, "GFLOP/s"), "%s", out);
    cr_expect(strstr(out, "model; -: none; a GEMM is there"), "a table with - in it says what that is:\n%s", out);
    GOOD("$M export a.h5 | grep -v '^#' | head -n 1 | tr , '\\n' | grep -c '^timing_\\|^accuracy_'");
    cr_expect_str_eq(out, "17\n");
    GOOD("test $($M export a.h5 --what samples | grep -c ',operation,') -ge 32");
}

Test(kernels, one_bad_case_is_one_failed_case) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    int code = sh(
        "$M run --study kernels --operation mhc.post_backward_y,mhc.post --backend ./fake.so --tokens 6 --type f32 "
        "--width 6,7,8,9,10,11 --out a.h5 -q");
    cr_assert(code == 1, "exit %d\n%s", code, err);
    struct record_reader *r = open_record("a.h5");
    static const struct {
        int64_t width;
        const char *reason;
        bool timed;
    } want[] = {{6, "", true},
                {7, "mhc.post_backward_y is wrong: grad_y[7] is ", false},
                {8, "the device failed", false},
                {9, "the worker crashed: Aborted", false},
                {10, "after the timing: mhc.post_backward_y is wrong: grad_y[10]", true},
                {11, "", true}};
    cr_assert(record_count(r) == 12);
    for (int64_t i = 0; i < 6; i++) {
        const char *reason = record_texts(r, "reason")[i];
        cr_expect(record_ints(r, "width")[i] == want[i].width && strstr(reason, want[i].reason) &&
                      !*reason == !*want[i].reason,
                  "width %lld: `%s`", (long long)want[i].width, reason);
        cr_expect((record_rounds(r, i) > 0) == want[i].timed, "width %lld: %lld rounds", (long long)want[i].width,
                  (long long)record_rounds(r, i));
        cr_expect(!strcmp(record_texts(r, "reason")[6 + i], "mhc.post: the backend has no such operation"));
    }
    cr_expect(record_accuracy(r, "error_over_tolerance")[1] > 1);
    record_close(r);
}

/* Left out are those that a pattern means and the backend lacks, the same by every command; what is named stays, and
 * fails. */
Test(kernels, a_pattern_means_what_the_backend_has) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    write_text("a.suite",
               "set --study kernels --type f32 --width 6 --tokens 6\n"
               "--operation mhc.post*,mhc.post --backend ./fake.so\n--operation mhc.post* --backend cpu32\n");
    GOOD("$M run a.suite --dry-run");
    cr_expect_str_eq(err, "mhcbench: note: left out, ./fake.so lacks them: mhc.post_pre\n");
    cr_expect_str_eq(
        out, "--study kernels --operation mhc.post --width 6 --tokens 6 --backend ./fake.so --type f32\n"
             "--study kernels --operation mhc.post_backward_y --width 6 --tokens 6 --backend ./fake.so --type f32\n"
             "--study kernels --operation mhc.post --width 6 --tokens 6 --backend cpu32 --type f32\n"
             "--study kernels --operation mhc.post_backward_y --width 6 --tokens 6 --backend cpu32 --type f32\n"
             "--study kernels --operation mhc.post_pre --width 6 --tokens 6 --backend cpu32 --type f32\n");
    GOOD("$M list a.suite");
    cr_expect(strstr(out, " 5 cases "), "%s", out);
    cr_expect(sh("$M run a.suite --budget 0.01 --rounds 3") == 1 &&
                  strstr(err, "mhc.post: the backend has no such operation") && strstr(err, "\n5 of 5 cases"),
              "%s", err);
    GOOD("$M export a.h5 | grep -c ',\\?--study.*done'");
    cr_expect_str_eq(out, "4\n");
    static const char some[] =
        "$M run --study kernels --operation 'mhc.*' --type f32 --width 6,11 --tokens 6 --backend ./fake.so --budget "
        "0.01 --out b.h5";
    GOOD("%s -q && ! test -s .err && mv b.h5 b.h5.part && %s --resume", some, some);
    cr_expect(strstr(err, "\n2 of 2 cases in b.h5\n"), "%s", err);
    expect_refusal("$M run --study kernels --operation 'mlp.*' --backend ./fake.so",
                   "no case to run: left out, ./fake.so lacks them: mlp.forward mlp.backward");
    GOOD("$M run --study kernels --operation all --backend ./fake.so --dry-run");
    cr_expect(strstr(err, "./fake.so lacks them: resnet.pre ") && strstr(err, " more\n") && strlen(err) < 250, "%s",
              err);
    /* what is named stays, wherever a pattern means it too */
    for (int first = 0; first < 2; first++) {
        write_text("b.suite",
                   first ? "set --study kernels --backend ./fake.so\n--operation mhc.post_pre\n--operation mhc.post*\n"
                         : "set --study kernels --backend ./fake.so\n--operation mhc.post*\n--operation "
                           "mhc.post_pre\n");
        GOOD("$M run b.suite --dry-run");
        cr_expect(strstr(out, " mhc.post_pre ") && strstr(err, "lacks them: mhc.post\n"), "%s%s", out, err);
    }
    /* a library that is not there lacks nothing yet */
    GOOD("$M run --study kernels --operation 'mlp.*' --backend ./nowhere.so --dry-run");
    cr_expect(strstr(out, "mlp.backward") && !err[0], "%s%s", out, err);
    expect_refusal("$M run --study kernels --operation 'mlp.*' --backend ./nowhere.so", "no such library");
}

Test(kernels, device_time_is_the_devices) {
    GOOD("cc -shared -fPIC -I$R $R/tests/fake_device.c $R/cpu_ref/operations.c -o fake.so");
    GOOD("$M run --study kernels --operation mhc.post_backward_y --backend ./fake.so --type f32 --tokens 64 --width 32 "
         "--cache cold,hot --out a.h5 -q");
    struct record_reader *r = open_record("a.h5");
    struct record_timing t;
    const double bytes = 64 * (4 * 32 + 4 + 32) * 4, copied = 2 * ceil(bytes / 2 / 256) * 256;
    for (int64_t i = 0; i < 2; i++) {
        const struct {
            const char *name;
            double want;
        } values[] = {{"median", 3e-4},
                      {"low", 3e-4},
                      {"high", 3e-4},
                      {"ratio", 3},
                      {"ratio_low", 3},
                      {"ratio_high", 3},
                      {"bytes", bytes},
                      {"bandwidth", bytes / 3e-4},
                      {"flop_rate", 2 * 64 * 4 * 32 / 3e-4},
                      {"copy_share", bytes / copied / 3}};
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            double got = record_timing_value(r, values[k].name)[i];
            cr_expect(fabs(got / values[k].want - 1) < 1e-9, "%s is %.12g, wanted %.12g", values[k].name, got,
                      values[k].want);
        }
        cr_expect(isnan(record_timing_value(r, "gemm_share")[i]) && isnan(record_timing_value(r, "preempted")[i]) &&
                  record_timing_value(r, "throttled")[i] == 0);
        cr_assert(record_timing(r, i, &t), "%s", record_error());
        /* 30 rounds would do, but 0.1 s of the copy's 2 calls of 0.1 ms need 300, the most there may be */
        cr_expect(t.batch[0] == 3 && t.batch[1] == 1 && t.rounds == 300 && !strcmp(t.stop, "rounds"),
                  "%lld %lld %lld %s", (long long)t.batch[0], (long long)t.batch[1], (long long)t.rounds, t.stop);
        cr_expect(i ? t.sets[1] == 1 && t.sets[0] == 1
                    : t.sets[1] == 1 + (2 * FAKE_DEVICE_CACHE + (int64_t)bytes - 1) / (int64_t)bytes,
                  "%lld sets", (long long)t.sets[1]);
    }
    record_close(r);
}

/* What our arrows declare is what the paper counts, at every n. */
Test(kernels, table_2) {
    int arrows = 0;
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        for (int64_t n = 1; n <= MHC_MAX_STREAMS && !strncmp((*row)->name, "micro.", 6); n++) {
            const struct mhc_case c = {.T = 3, .n = n, .C = 40, .stream = MHC_F64};
            double read, write, paper_read, paper_write;
            table2_declared(*row, &c, &read, &write);
            cr_assert(table2_paper((*row)->name, n, c.C, &paper_read, &paper_write), "%s", (*row)->name);
            cr_expect(read == paper_read && write == paper_write, "%s, n = %lld: %g and %g, the paper has %g and %g",
                      (*row)->name, (long long)n, read, write, paper_read, paper_write);
            arrows++;
        }
    cr_expect(arrows == 7 * MHC_MAX_STREAMS);
    double total[2] = {0, 0}, read, write;
    const char *const hc[] = {"coefficients_hc", "apply_pre", "apply_post", "apply_res", "merge"};
    for (int k = 0; k < 5; k++) {
        char name[64];
        snprintf(name, sizeof name, "micro.%s", hc[k]);
        cr_assert(table2_paper(name, 4, 100, &read, &write));
        total[0] += read, total[1] += write;
    }
    cr_expect(total[0] == 21 * 100 + 24 && total[1] == 13 * 100 + 24, "21 C + 24 read, 13 C + 24 written at n = 4");
    cr_expect(!table2_paper("mhc.pre", 4, 100, &read, &write));
}

Test(kernels, measured_beside_table_2) {
    GOOD("$M run --study kernels --operation micro.*,mhc.p*,linear.* --backend cpu32 --tokens 4,16 --width 8 --budget "
         "0.01 --rounds 7 --out a.h5 -q && ln -s $R/plots plots && $M show a.h5");
    cr_expect(strstr(out, "--tokens 16 --width 8 --streams 4 --backend cpu32\n"), "%s", out);
    cr_expect(strstr(out, "\nmicro.apply_res                 48        32         48        32  "), "%s", out);
    cr_expect(strstr(out, "\nmicro.residual_merge            16         8         16         8  "), "%s", out);
    GOOD("$M plot a.h5 --out f && ls f");
    cr_expect(strstr(out, "roofline.svg") && strstr(out, "bandwidth.png") && !strstr(out, "recompute.svg"), "%s", out);
    GOOD("for f in roofline bandwidth; do grep -v '^#' f/data/$f.csv | cut -d, -f2,5 | grep -c ',16'; done");
    cr_expect_str_eq(out, "13\n13\n", "the largest shape of each operation, and no other: %s", out);
}

Test(kernels, shards_resume_and_mixed_studies) {
    write_text("mixed.suite", "--study maps --block hc --depth 3 --alpha 0\n"
                              "--study kernels --operation mhc.p* --tokens 4 --width 4 --budget 0.01 --rounds 7\n");
    GOOD("for i in 0 1; do $M run mixed.suite --shard $i/2 --out $i.h5 -q || exit 1; done; $M merge all.h5 1.h5 0.h5");
    struct record_reader *r = open_record("all.h5");
    cr_assert(record_count(r) == 5);
    int timed = 0;
    for (int64_t i = 0; i < 5; i++) {
        bool kernel = !strcmp(record_texts(r, "study")[i], "kernels");
        cr_expect((record_rounds(r, i) > 0) == kernel && record_ints(r, "layers")[i] == (kernel ? 0 : 3));
        cr_expect(isnan(record_timing_value(r, "median")[i]) == !kernel);
        timed += kernel;
    }
    cr_expect(timed == 4);
    record_close(r);
    GOOD("for f in 0 1; do $M export $f.h5 --what samples | grep -v '^#\\|^case' | cut -d, -f2-; done | "
         "sort >parts; $M export all.h5 --what samples | grep -v '^#\\|^case' | cut -d, -f2- | sort | diff parts -");
    GOOD("$M show all.h5 && ln -s $R/plots plots && $M plot all.h5 --out figures");
    GOOD("$M run mixed.suite --out again.h5 -q && cp again.h5 again.h5.part && rm again.h5 && "
         "$M run mixed.suite --out again.h5 --resume -q");
    cr_expect(exists("again.h5") && !exists("again.h5.part"));
    expect_refusal("$M run --study kernels", "--study kernels needs --operation");
    expect_refusal("$M run --study kernels --operation mhc.nothing", "--operation mhc.nothing: no such operation");
    expect_refusal("$M run --study kernels --operation resnet.pre --streams 4",
                   "--operation resnet.pre needs --streams 1");
    expect_refusal("$M run --study kernels --operation mhc.pre --depth 3", "--depth has no meaning in --study kernels");
    expect_refusal("$M run --study maps --operation mhc.pre", "--operation has no meaning in --study maps");
    expect_refusal("$M run --study kernels --operation mhc.pre --tokens 6 --sequence 4", "not a multiple");
    expect_refusal("$M run --study kernels --operation mhc.pre --backend ./nowhere.so", "no such library");
    expect_refusal("$M run --study kernels --operation all --tokens 100000000 --width 100000 --out big.h5",
                   "of memory");
}

/* Twice as long in the 14 rounds where it ran first, half as long in the other 6: neither slower nor faster. */
Test(kernels, the_ratio_of_a_case_knows_who_ran_first) {
    enum { ROUNDS = 20, FIRST = 14 };
    struct timed_result *r = timed_result_new(studies[STUDY_KERNELS]->times());
    cr_assert(r && samples_open(&r->samples, KERNEL_SUBJECTS, ROUNDS));
    r->samples.rounds = ROUNDS;
    r->batch[KERNEL_COPY] = 1;
    for (int k = 0; k < ROUNDS; k++) {
        int64_t copy = KERNEL_COPY * r->samples.room + k, operation = KERNEL_OPERATION * r->samples.room + k;
        r->samples.seconds[copy] = 1;
        r->samples.seconds[operation] = k < FIRST ? 2 : 0.5;
        r->samples.order[copy] = k < FIRST;
        r->samples.order[operation] = !(k < FIRST);
    }
    cr_expect(kernels_summarise(r, KERNEL_OPERATION, KERNEL_COPY));
    cr_expect(fabs(r->timing[KERNEL_RATIO] - 1) < 1e-12, "%g", r->timing[KERNEL_RATIO]);
    cr_expect(r->timing[KERNEL_MEDIAN] == 2);
    timed_result_release(r);
}
