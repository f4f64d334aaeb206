/* Study `recompute`: what memory a stack takes against what it says and what the paper counts. Times are only asked
 * to be there. */
#include "tests/command.h"

#include <math.h>

#include "results/record.h"
#include "suites/stack/program.h"
#include "suites/study/recompute.h"

TestSuite(recompute, .init = enter, .fini = leave, .timeout = 1800);

Test(recompute, formula_of_the_paper) {
    /* L = 60, n = 4: 75.9 C at the optimum, a real number, against 240 C for all x; worked out by hand */
    cr_expect(recompute_paper_bytes(1, 4, 1, 60, 0, 1) == 240);
    cr_expect(recompute_paper_bytes(1, 4, 1, 60, 6, 1) == 4 * 10 + 6 * 6);
    cr_expect(recompute_paper_bytes(1, 4, 1, 60, 7, 1) == 4 * 9 + 6 * 7, "nine blocks, the last of four layers");
    cr_expect(recompute_paper_bytes(3, 4, 5, 60, 60, 2) == 3 * 5 * 2 * (4 + 6 * 60));
    cr_expect(fabs(recompute_paper_optimum(60, 4) - 6.3246) < 1e-4);
    cr_expect(recompute_paper_bytes((int64_t)1 << 40, 4, (int64_t)1 << 20, 60, 1, 8) > 0x1p63, "does not wrap");
    int64_t best = 1;
    for (int64_t every = 1; every <= 60; every++)
        if (recompute_paper_bytes(1, 4, 1, 60, every, 1) < recompute_paper_bytes(1, 4, 1, 60, best, 1))
            best = every;
    cr_expect(best == 6 && program_recompute_rule(60, 4) == 6);
}

static double value(struct record_reader *r, const char *name, int64_t index) {
    const double *values = record_timing_value(r, name);
    cr_assert(values, "no %s", name);
    return values[index];
}

Test(recompute, peak_is_what_was_said) {
    const int64_t L = 12, T = 6, n = 4, C = 8;
    write_text("a.suite", "set --study recompute --depth 12 --width 8 --tokens 6 --rounds 8 --budget 0.02\n"
                          "--backend cpu32 --recompute 1:12:1,keep,auto\n"
                          "--backend cpu64 --recompute 1:12:1,keep,auto\n");
    GOOD("$M run a.suite --out a.h5 -q");
    struct record_reader *r = record_open("a.h5");
    cr_assert(r, "%s", record_error());
    cr_assert(record_count(r) == 28 && record_subject_count(r) == 5);
    for (int64_t i = 0; i < record_count(r); i++) {
        const char *key = record_texts(r, "key")[i];
        int64_t asked = record_ints(r, "recompute")[i], every = (int64_t)value(r, "every", i);
        int64_t size = strcmp(record_texts(r, "backend")[i], "cpu32") ? 8 : 4;
        double peak = value(r, "memory_peak", i), predicted = value(r, "memory_predicted", i);
        struct record_timing t;
        cr_assert(!strcmp(record_texts(r, "status")[i], "done"), "%s: %s", key, record_texts(r, "reason")[i]);
        cr_expect(every == (asked < 0 ? 3 : asked), "%s: %lld", key, (long long)every);
        cr_expect(value(r, "memory_paper", i) ==
                      (double)(T * C * size) *
                          (every ? (double)(n * ((L + every - 1) / every) + (n + 2) * every) : (double)(n * L)),
                  "%s", key);
        /* blocks are multiples of 64 bytes; a stack of 12 layers has fewer than 300 of them */
        cr_expect(peak >= predicted && peak < predicted + 300 * 64, "%s: said %.0f bytes, %.0f at the peak", key,
                  predicted, peak);
        cr_expect(predicted > value(r, "memory_paper", i));
        cr_assert(record_timing(r, i, &t), "%s", record_error());
        cr_expect(t.rounds >= 1 && t.rounds <= 8 && t.batch[0] == 0 && t.batch[1] == 0 && t.batch[3] > 0 &&
                  t.batch[4] > 0);
        for (int64_t k = 0; k < t.rounds; k++)
            cr_expect(isnan(t.seconds[k]) && t.seconds[3 * t.rounds + k] > 0 && t.seconds[4 * t.rounds + k] > 0);
        cr_expect(value(r, "median", i) > 0 && value(r, "ratio", i) > 0 && isnan(value(r, "bytes", i)));
    }
    cr_expect(value(r, "memory_peak", 2) < value(r, "memory_peak", 0) &&
              value(r, "memory_peak", 2) < value(r, "memory_peak", 11));
    record_close(r);
}

Test(recompute, on_a_device_library) {
    /* any library with the ABI: here the reference's own, from its file */
    GOOD("$M run --study recompute --depth 4 --width 8 --tokens 6 --recompute 2 --backend $R/build/libmhc_cpu.so "
         "--rounds 6 --budget 0.01 --out a.h5 -q");
    GOOD("$M export a.h5 | grep -c ',done,'");
    cr_expect_str_eq(out, "1\n");
}

Test(recompute, shown_and_drawn) {
    write_text("m.suite",
               "--study recompute --depth 6 --width 8 --tokens 6 --recompute 1:6:1,keep --backend cpu32 --rounds 8 "
               "--budget 0.02\n"
               "--study kernels --operation micro.* --tokens 6 --width 8 --budget 0.01 --rounds 7\n"
               "--study maps --block hc --depth 3 --alpha 0\n");
    GOOD("$M run m.suite --out m.h5 -q && ln -s $R/plots plots && $M show m.h5");
    cr_expect(strstr(out, "\nLeast memory at L_r = 2; by the paper's formula at sqrt(n L / (n + 2)) = 2.0.\n"), "%s",
              out);
    GOOD("$M show m.h5 | grep -c '  auto$'; $M show m.h5 | grep '  auto$'");
    cr_expect(!strncmp(out, "1\n     2  ", 10), "the rule for 6 layers and 4 streams is 2: %s", out);
    GOOD("$M show m.h5");
    cr_expect(strstr(out, "\n  keep  ") && strstr(out, " --backend cpu32\n\n   L_r"), "%s", out);
    cr_expect(strstr(out, "\nmicro.merge ") && strstr(out, "\n--study kernels "), "%s", out);
    GOOD("$M plot m.h5 --out f --figure recompute && grep -v '^#' f/data/recompute.csv | cut -d, -f1 | tr '\\n' ' '");
    cr_expect(strstr(out, "every 1 2 3 4 5 6 "), "%s", out);
    cr_expect(exists("f/recompute.svg") && exists("f/recompute.png"));
    GOOD("$M export m.h5 --what samples | grep -c ',step,'");
    cr_expect(atoi(out) >= 7, "%s", out);
    GOOD("$M run m.suite --out n.h5 --shard 0/2 -q && $M run m.suite --out o.h5 --shard 1/2 -q && $M merge p.h5 n.h5 "
         "o.h5");
    expect_refusal("$M plot m.h5 --out f --figure depth", "no figure depth");
}

Test(recompute, refusals) {
    expect_refusal("$M run --study recompute --depth 4 --recompute 5", "--recompute 5 is more than --depth 4");
    expect_refusal("$M run --study recompute --measure gain", "--measure has no meaning in --study recompute");
    expect_refusal("$M run --study recompute --operation mhc.pre", "--operation has no meaning in --study recompute");
    expect_refusal("$M run --study recompute --tokens 10000000 --width 100000 --out big.h5", "of memory");
    expect_refusal("$M run --study recompute --backend ./nowhere.so --out a.h5", "no such library");
}
