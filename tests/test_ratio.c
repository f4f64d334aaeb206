/* Medians, ratios and their intervals on samples that are made up: what they claim, and how often they are wrong. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "cpu_ref/philox.h"

Test(ratio, ranks_of_the_median) {
    /* count, rank: of textbook tables of the sign test at 5 % */
    static const int64_t known[][2] = {{1, 0},  {5, 0},  {6, 1},   {7, 1},   {8, 1},   {9, 2},   {10, 2},
                                       {20, 6}, {25, 8}, {30, 10}, {40, 14}, {50, 18}, {100, 40}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        cr_expect(mhc_median_rank(known[k][0]) == known[k][1], "rank of %lld is %lld, wanted %lld",
                  (long long)known[k][0], (long long)mhc_median_rank(known[k][0]), (long long)known[k][1]);
    for (int64_t count = 2000; count < 70000; count *= 3) { /* where 2^-count is no double any more */
        double want = (double)count / 2 - 0.98 * sqrt((double)count);
        cr_expect(fabs((double)mhc_median_rank(count) - want) < 2, "%lld", (long long)count);
    }
}

Test(ratio, medians_and_intervals) {
    double few[] = {3, 1, 2}, even[] = {4, 1, 3, 2, 6, 5}, broken[] = {1, NAN, 2};
    struct mhc_interval x = mhc_median_interval(few, 3);
    cr_expect(x.median == 2 && x.low == -INFINITY && x.high == INFINITY);
    x = mhc_median_interval(even, 6);
    cr_expect(x.median == 3.5 && x.low == 1 && x.high == 6);
    x = mhc_median_interval(broken, 3);
    cr_expect(isnan(x.median) && isnan(x.low) && isnan(x.high));
    double subject[] = {2, 8, 6, 20, 5, 1}, baseline[] = {1, 4, 3, 10, 2.5, 0.5}, work[6];
    x = mhc_ratio_interval(subject, baseline, 6, work);
    cr_expect(fabs(x.median - 2) < 1e-15 && fabs(x.low - 2) < 1e-15 && fabs(x.high - 2) < 1e-15,
              "drift that both share cancels: %g [%g, %g]", x.median, x.low, x.high);
}

enum { SAMPLES = 40 };
#define PAIRS(subject, baseline, count)      \
    (struct mhc_pairs) {                     \
        subject, baseline, NULL, NULL, count \
    }

/* Times as machines make them: a skewed spread of some percent, now and then an outlier, and a drift that both share.
 */
static double made_up(uint32_t session, uint32_t who, int64_t k, double factor) {
    double drift = 1 + 0.2 * sin((double)k / 7 + session), noise = 0.03 * mhc_normal(5, who, session, (uint64_t)k);
    double outlier = mhc_uniform_of_bits(mhc_bits(6, who, session, (uint64_t)k)) < 0.05 ? 1.5 : 1;
    return factor * drift * outlier * exp(noise + fabs(noise));
}

/* Of 200 sessions, how many claim a difference; by order statistics and by bootstrap. */
static void count_claims(double factor, int claims[2]) {
    double a[SAMPLES], b[SAMPLES], work[2 * SAMPLES + 2 * MHC_RESAMPLES];
    claims[0] = claims[1] = 0;
    for (uint32_t session = 0; session < 200; session++) {
        for (int64_t k = 0; k < SAMPLES; k++) {
            a[k] = made_up(session, 0, k, 1);
            b[k] = made_up(session, 1, k, factor);
        }
        for (int method = 0; method < 2; method++) {
            struct mhc_interval x = method ? mhc_ratio_bootstrap(&PAIRS(b, a, SAMPLES), work)
                                           : mhc_ratio_interval(b, a, SAMPLES, work);
            cr_assert(x.low <= x.median && x.median <= x.high);
            claims[method] += !(x.low <= 1 && 1 <= x.high);
        }
    }
}

Test(ratio, too_few_rounds_have_no_interval) {
    double a[5] = {1, 2, 3, 4, 5}, b[5] = {2, 4, 6, 8, 10}, work[10 + 2 * MHC_RESAMPLES];
    for (int count = 1; count <= 5; count++) {
        struct mhc_interval x = mhc_ratio_bootstrap(&PAIRS(b, a, count), work);
        cr_expect(fabs(x.median - 2) < 1e-15 && x.low == 0 && x.high == INFINITY, "%d rounds: [%g, %g]", count, x.low,
                  x.high);
    }
}

Test(ratio, coverage, .timeout = 1800) {
    int claims[2];
    count_claims(1, claims);
    cr_expect(claims[0] <= 18 && claims[1] <= 18, "A against A: %d and %d of 200 claim a difference", claims[0],
              claims[1]);
    cr_expect(claims[0] + claims[1] > 0, "an interval that is never wrong is too wide");
    count_claims(1.1, claims);
    cr_expect(claims[0] >= 195 && claims[1] >= 195, "a planted 10 %%: found %d and %d times of 200", claims[0],
              claims[1]);
}

Test(ratio, bootstrap_repeats_itself) {
    double a[SAMPLES], b[SAMPLES], work[2 * SAMPLES + 2 * MHC_RESAMPLES];
    for (int64_t k = 0; k < SAMPLES; k++) {
        a[k] = made_up(1, 0, k, 1);
        b[k] = made_up(1, 1, k, 2);
    }
    struct mhc_interval x = mhc_ratio_bootstrap(&PAIRS(b, a, SAMPLES), work),
                        y = mhc_ratio_bootstrap(&PAIRS(b, a, SAMPLES), work);
    struct mhc_interval z = mhc_ratio_interval(b, a, SAMPLES, work);
    cr_expect(!memcmp(&x, &y, sizeof x));
    cr_expect(fabs(x.median - z.median) < 1e-12 && x.low < x.high && fabs(log(x.low / z.low)) < 0.02 &&
                  fabs(log(x.high / z.high)) < 0.02,
              "[%g, %g] and [%g, %g]", x.low, x.high, z.low, z.high);
}

/* The second is 5 % faster, which is twice the spread: A against A, in shuffled orders. The median of all
 * goes by how often chance chose which order; the mean of the medians of both does not. */
Test(ratio, the_order_of_a_round_cancels, .timeout = 1800) {
    enum { SESSIONS = 200, ROUNDS = 60 };
    double a[ROUNDS], b[ROUNDS], work[2 * ROUNDS + 2 * MHC_RESAMPLES], farthest[2] = {0};
    int8_t place_of_a[ROUNDS], place_of_b[ROUNDS];
    int claims = 0;
    for (uint32_t session = 0; session < SESSIONS; session++) {
        for (int64_t k = 0; k < ROUNDS; k++) {
            place_of_a[k] = mhc_bits(7, 0, session, (uint64_t)k) % 2;
            place_of_b[k] = 1 - place_of_a[k];
            a[k] = exp(0.025 * mhc_normal(8, 0, session, (uint64_t)k)) * (place_of_a[k] ? 0.95 : 1);
            b[k] = exp(0.025 * mhc_normal(8, 1, session, (uint64_t)k)) * (place_of_b[k] ? 0.95 : 1);
        }
        struct mhc_pairs pairs = {b, a, place_of_b, place_of_a, ROUNDS};
        struct mhc_interval x = mhc_ratio_bootstrap(&pairs, work),
                            all = mhc_ratio_bootstrap(&PAIRS(b, a, ROUNDS), work);
        cr_assert(x.low <= x.median && x.median <= x.high);
        claims += !(x.low <= 1 && 1 <= x.high);
        farthest[0] = fmax(farthest[0], fabs(log(x.median)));
        farthest[1] = fmax(farthest[1], fabs(log(all.median)));
        pairs.count = 8; /* not six of each order: all together */
        struct mhc_interval few = mhc_ratio_bootstrap(&pairs, work), same = mhc_ratio_bootstrap(&PAIRS(b, a, 8), work);
        cr_expect(!(fabs(few.median - same.median) > 1e-15), "%g and %g", few.median, same.median);
    }
    cr_expect(0 < claims && claims <= 18, "%d of %d claim a difference", claims, SESSIONS);
    cr_expect(farthest[0] < 0.7 * farthest[1], "farthest from 1: %g, of all rounds together %g", farthest[0],
              farthest[1]);
}
