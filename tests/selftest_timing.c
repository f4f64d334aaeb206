/* `make selftest-timing`: does this machine, with this loop, tell A from A? 200 runs of two subjects that are the same
 * call on the same memory; alternately a GEMM and a pass over memory. The 95 % interval of the ratio may exclude 1 in
 * at most 18 of them (about one honest run in 170 exceeds that), and half of it must be at most 3 % wide in the median.
 * Exit 1 if not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/analysis.h"
#include "analysis/ratio.h"
#include "cpu_ref/library.h"
#include "suites/bound_row.h"
#include "suites/timing.h"

enum { RUNS = 200, MOST_CLAIMS = 18, ROUNDS = 60 };
#define WIDEST 0.03

extern const struct mhc_row bench_copy_f32, bench_gemm_f32; /* cpu_ref/bench.c */

/* One run; the interval of the ratio of A to A. */
static const char *run(const struct backend *b, struct bound_row *row, uint64_t seed, struct mhc_interval *ratio) {
    static double work[2 * ROUNDS + MHC_RESAMPLES];
    const struct timing_subject subjects[2] = {{bound_row_run, row, row->sets}, {bound_row_run, row, row->sets}};
    struct timing_rules rules = timing_rules_for(b, ROUNDS, 0.2);
    struct timing_clock clock;
    struct timing t = {0};
    static char message[128];
    rules.seed = seed;
    if (!timing_clock_open(&clock, b, message, sizeof message))
        return message;
    const char *why = timing_run(&t, subjects, 2, &rules, &clock);
    if (!why)
        *ratio = mhc_ratio_bootstrap(t.seconds + t.room, t.seconds, t.rounds, work);
    timing_release(&t);
    timing_clock_close(&clock);
    return why;
}

int main(void) {
    struct backend b = {.library = &mhc_cpu32};
    const struct mhc_case c[2] = {{.T = 192, .C = 192, .n = 1, .stream = MHC_F32, .coef = MHC_F32, .param = MHC_F32},
                                  {.T = 4096, .C = 256, .n = 4, .stream = MHC_F32, .coef = MHC_F32, .param = MHC_F32}};
    const struct mhc_row *const rows[2] = {&bench_gemm_f32, &bench_copy_f32};
    double half[RUNS];
    int claims = 0;
    void *context;
    char why_not[128];
    b.library->open(&context, why_not, sizeof why_not);
    struct bound_row bound[2];
    for (int k = 0; k < 2; k++) {
        const char *why = bound_row_open(&bound[k], &b, rows[k], &c[k], 2, NULL, 0, NULL, 0);
        if (why)
            return fprintf(stderr, "selftest-timing: %s\n", why), 2;
    }
    for (int k = 0; k < RUNS; k++) {
        struct mhc_interval ratio;
        const char *why = run(&b, &bound[k % 2], (uint64_t)k, &ratio);
        if (why)
            return fprintf(stderr, "selftest-timing: %s\n", why), 2;
        claims += !(ratio.low <= 1 && 1 <= ratio.high);
        half[k] = (ratio.high - ratio.low) / 2;
    }
    for (int k = 0; k < 2; k++)
        bound_row_close(&bound[k]);
    double width = mhc_quantile(half, RUNS, 0.5);
    bool good = claims <= MOST_CLAIMS && width <= WIDEST;
    printf("A against A, %d runs: in %d the 95 %% interval of the ratio excludes 1 (at most %d); median half-width "
           "%.2f %% "
           "(at most %.0f %%): %s\n",
           RUNS, claims, MOST_CLAIMS, 100 * width, 100 * WIDEST, good ? "good" : "NOT GOOD");
    return !good;
}
