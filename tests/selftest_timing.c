/* selftest_timing [BACKEND] [RUNS], `make selftest-timing`: does this machine, with this loop, tell A from A? 200 runs,
 * or so many, of two subjects that are the same call on the same memory, as long as a study would time them;
 * alternately a GEMM and a pass over memory, on the GPU where there is one. The 95 % interval of the ratio may exclude
 * 1 in at most 18 of 200 (about one honest selftest in 170 exceeds that), of other numbers as seldom. Half of it must
 * be at most 0.5 % wide in the median on a GPU, 3 % on a CPU that others use too. Every 20 runs a line says how it
 * stands. Exit 1 if it is not good.
 *
 * On a CPU one thread, unless OMP_NUM_THREADS says otherwise: a call of many threads waits for each of them, so that
 * on a machine whose cores others use it is seldom undisturbed. That is a property of such calls, not of the loop. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "analysis/ratio.h"
#include "cpu_ref/blas_core.h"
#include "suites/rows/bound_row.h"
#include "suites/rows/yardstick.h"
#include "suites/timing/timing.h"

enum { RUNS = 200, MOST_RUNS = 10000, EVERY = 20, ROUNDS = 300 };
#define SELDOM (1.0 / 170) /* an honest selftest fails */
#define BUDGET 1.0         /* seconds of a run; both are the defaults of `run` */

/* What the runs came to. */
struct tally {
    double half[MOST_RUNS];
    int64_t rounds[MOST_RUNS];
    int claims, stops[TIMING_STOPS];
};

/* One run; the interval of the ratio of A to A. */
static const char *run(const struct backend *b, struct bound_row *row, int index, double widest, struct tally *tally) {
    static double work[2 * ROUNDS + 2 * MHC_RESAMPLES];
    const struct timing_subject a = {bound_row_run, row, row->sets, BOUND_ROW_LAUNCHES}, subjects[2] = {a, a};
    struct timing_rules rules = timing_rules_for(b, ROUNDS, BUDGET);
    struct timing_clock clock;
    struct timing t = {0};
    static char message[128];
    rules.seed = (uint64_t)index;
    rules.half_width = fmin(rules.half_width, widest);
    if (!timing_clock_open(&clock, b, message, sizeof message))
        return message;
    const char *why = timing_run(&t, subjects, 2, &rules, &clock);
    if (!why) {
        const struct mhc_pairs pairs = {t.seconds + t.room, t.seconds, t.order + t.room, t.order, t.rounds};
        struct mhc_interval ratio = mhc_ratio_bootstrap(&pairs, work);
        tally->claims += !(ratio.low <= 1 && 1 <= ratio.high);
        tally->half[index] = (ratio.high - ratio.low) / 2;
        tally->rounds[index] = t.rounds;
        tally->stops[t.stop]++;
    }
    timing_release(&t);
    timing_clock_close(&clock);
    return why;
}

/* The GEMM and the copy of the backend, large enough for it to be at full speed. */
static const char *bind(const struct backend *b, struct bound_row bound[2]) {
    bool device = b->library->queues != NULL;
    for (int k = 0; k < 2; k++) {
        struct mhc_case c = {.n = 1};
        backend_types(b, device ? MHC_BF16 : MHC_F32, &c);
        c.T = k ? device ? 65536 : 4096 : device ? 4096 : 192;
        c.C = k ? device ? 2048 : 256 : device ? 4096 : 192;
        const struct mhc_row *row = yardstick_row(b, k ? "copy" : "gemm", &c);
        const char *why = row ? bound_row_open(&bound[k], b, row, &c, 2, NULL, NULL)
                              : "the backend has no copy or no GEMM";
        if (why)
            return why;
    }
    return NULL;
}

/* The GPU, or the CPU where there is none. */
static bool choose(struct backend *b, const char *name, char *why, size_t why_size) {
    return name ? backend_open(b, name, why, why_size)
                : backend_open(b, "cuda", why, why_size) || backend_open(b, "cpu32", why, why_size);
}

/* Intervals of 95 % that may miss in so many runs: the least number that honest ones exceed seldom enough. */
static int most_claims(int runs) {
    double term = pow(0.95, runs), above = 1 - term; /* P(Binomial(runs, 0.05) = k), P(> k) */
    int k = 0;
    while (above > SELDOM && k < runs) {
        term *= (double)(runs - k) / (k + 1) * 0.05 / 0.95;
        above -= term;
        k++;
    }
    return k;
}

/* The arguments in either order: a number is that of runs. false: it is none. */
static bool read_arguments(int argc, char **argv, const char **backend, int *runs) {
    for (int k = 1; k < argc; k++) {
        char *end;
        long number = strtol(argv[k], &end, 10);
        if (*end)
            *backend = argv[k];
        else if (number < 2 || number > MOST_RUNS)
            return fprintf(stderr, "selftest-timing: RUNS from 2 to %d\n", MOST_RUNS), false;
        else
            *runs = (int)number;
    }
    return true;
}

int main(int argc, char **argv) {
    const char *name = NULL;
    int runs = RUNS;
    blas_core_mend(argv);
    if (!read_arguments(argc, argv, &name, &runs))
        return 2;
    static struct tally tally;
    struct backend b;
    struct bound_row bound[2] = {0};
    char why_not[256];
    if (!choose(&b, name, why_not, sizeof why_not))
        return fprintf(stderr, "selftest-timing: %s\n", why_not), 2;
    double widest = b.library->queues ? 0.005 : 0.03;
    const char *why = bind(&b, bound);
    for (int k = 0; k < runs && !why; k++) {
        why = run(&b, &bound[k % 2], k, widest, &tally);
        if (!why && (k + 1) % EVERY == 0 && k + 1 < runs) {
            printf("%d of %d runs: in %d the interval excludes 1\n", k + 1, runs, tally.claims);
            fflush(stdout); /* it may be cut off */
        }
    }
    if (why)
        return fprintf(stderr, "selftest-timing: %s\n", why), 2;
    for (int k = 0; k < 2; k++)
        bound_row_close(&bound[k]);
    double width = mhc_quantile(tally.half, runs, 0.5), rounds = 0;
    for (int k = 0; k < runs; k++)
        rounds += (double)tally.rounds[k] / runs;
    int most = most_claims(runs);
    bool good = tally.claims <= most && width <= widest;
    printf(
        "A against A on %s, %d runs of %.0f rounds in the mean (%d precise, %d out of rounds, %d out of time): in %d "
        "the 95 %%\n"
        "interval of the ratio excludes 1 (at most %d); median half-width %.2f %% (at most %.1f %%): %s\n",
        b.library->name, runs, rounds, tally.stops[TIMING_PRECISE], tally.stops[TIMING_ROUNDS],
        tally.stops[TIMING_SECONDS], tally.claims, most, 100 * width, 100 * widest, good ? "good" : "NOT GOOD");
    backend_close(&b);
    return !good;
}
