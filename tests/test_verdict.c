/* The rules of the gate, number by number: what is not known never passes, and nothing passes for a difference that
 * is none. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/verdict.h"
#include "cpu_ref/philox.h"

static struct mhc_interval change(double low, double high) {
    return (struct mhc_interval){(low + high) / 2, low, high};
}

Test(verdict, speed) {
    static const struct {
        double low, high;
        enum mhc_verdict want;
    } cases[] = {{1.031, 1.05, MHC_SLOWER},      {1.03, 1.05, MHC_AMBIGUOUS},     {1.0, 1.05, MHC_AMBIGUOUS},
                 {0.98, 1.02, MHC_SAME},         {0.971, 1.03, MHC_SAME},         {0.97, 1.0, MHC_AMBIGUOUS},
                 {0.9, 0.95, MHC_FASTER},        {0.9, 1.1, MHC_AMBIGUOUS},       {NAN, NAN, MHC_AMBIGUOUS},
                 {1.1, INFINITY, MHC_AMBIGUOUS}, {-INFINITY, 0.5, MHC_AMBIGUOUS}, {0, 0.5, MHC_AMBIGUOUS},
                 {NAN, 0.5, MHC_AMBIGUOUS},      {1.1, NAN, MHC_AMBIGUOUS},       {1, 1, MHC_SAME}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        cr_expect(mhc_speed_verdict(change(cases[k].low, cases[k].high), 0.03) == cases[k].want, "[%g, %g]",
                  cases[k].low, cases[k].high);
}

Test(verdict, a_difference_is_found_twice) {
#define S MHC_SAME
#define A MHC_AMBIGUOUS
#define L MHC_SLOWER
#define F MHC_FASTER
    static const struct {
        int count;
        enum mhc_verdict measured[3], want;
        bool settled;
    } cases[] = {{1, {S}, S, true},       {1, {L}, A, false},      {1, {A}, A, false},      {2, {L, L}, L, true},
                 {2, {L, S}, A, false},   {2, {A, L}, A, false},   {2, {A, A}, A, false},   {2, {F, F}, F, true},
                 {3, {L, S, S}, S, true}, {3, {L, S, L}, L, true}, {3, {A, L, L}, L, true}, {3, {L, F, A}, A, true},
                 {3, {A, A, A}, A, true}, {3, {L, A, S}, A, true}, {3, {F, L, F}, F, true}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        bool settled;
        enum mhc_verdict got = mhc_repeated_verdict(cases[k].measured, cases[k].count, &settled);
        cr_expect(got == cases[k].want && settled == cases[k].settled, "case %zu: %s, %d", k, mhc_verdict_name[got],
                  settled);
    }
}

Test(verdict, accuracy) {
    static const struct {
        double base, now, tolerance;
        enum mhc_accuracy want;
    } cases[] = {{1e-7, 1e-7, 1e-3, MHC_ACCURATE},
                 {1e-7, 5e-6, 1e-3, MHC_ACCURATE},
                 {1e-7, 5.1e-6, 1e-3, MHC_LESS_ACCURATE},
                 {1e-4, 2e-4, 1e-3, MHC_ACCURATE},
                 {1e-4, 2.1e-4, 1e-3, MHC_LESS_ACCURATE},
                 {9e-4, 1e-3, 1e-3, MHC_ACCURATE},
                 {9e-4, 1.01e-3, 1e-3, MHC_WRONG},
                 {1e-7, NAN, 1e-3, MHC_WRONG},
                 {1e-7, INFINITY, 1e-3, MHC_WRONG},
                 {NAN, 1e-4, 1e-3, MHC_ACCURATE},
                 {NAN, 1e-2, 1e-3, MHC_WRONG},
                 {1e-7, 1e-7, NAN, MHC_WRONG},
                 {0, 0, 1e-9, MHC_ACCURATE},
                 {0, 1e-15, 1e-9, MHC_ACCURATE},
                 {INFINITY, 1e-4, 1e-3, MHC_ACCURATE}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        cr_expect(mhc_accuracy_of(cases[k].base, cases[k].now, cases[k].tolerance) == cases[k].want, "%g -> %g of %g",
                  cases[k].base, cases[k].now, cases[k].tolerance);
}

Test(verdict, values) {
    const enum mhc_metric gain = MHC_composite_forward_sum, rms = MHC_x_rms, smallest = MHC_composite_smallest_singular;
    static const double inf = INFINITY, none = NAN;
    const struct {
        double base, now;
        enum mhc_metric metric;
        enum mhc_difference want;
    } cases[] = {{0.5, 0.5, gain, MHC_EQUAL},
                 {0.5, 0.51, gain, MHC_CLOSE},
                 {0.5, 0.5101, gain, MHC_APART},
                 {300, 300.01, gain, MHC_CLOSE},
                 {300, 299.98, gain, MHC_APART},
                 {1, 1.02, rms, MHC_CLOSE},
                 {1, 1.03, rms, MHC_APART},
                 {1e-30, 1.03e-30, rms, MHC_APART},
                 {0, 1e-30, rms, MHC_APART},
                 {1, -1, rms, MHC_APART},
                 {none, none, gain, MHC_EQUAL},
                 {inf, inf, gain, MHC_EQUAL},
                 {inf, -inf, gain, MHC_NON_FINITE},
                 {none, inf, gain, MHC_NON_FINITE},
                 {0.5, none, gain, MHC_NON_FINITE},
                 {none, 0.5, gain, MHC_NON_FINITE},
                 {inf, 0.5, rms, MHC_NON_FINITE},
                 {0.5, none, smallest, MHC_UNRESOLVED},
                 {none, 0.5, smallest, MHC_UNRESOLVED},
                 {inf, none, smallest, MHC_NON_FINITE},
                 {-15.2, -16.9, MHC_composite_lambda2, MHC_CLOSE},
                 {-5, -5.02, MHC_composite_lambda2, MHC_APART},
                 {1e-16, 2e-7, MHC_single_row_error, MHC_CLOSE},
                 {1e-3, 2e-3, MHC_single_row_error, MHC_APART},
                 {0.5, 0.6, MHC_METRICS, MHC_APART},
                 {0.0, -0.0, rms, MHC_CLOSE}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        cr_expect(mhc_value_difference(cases[k].base, cases[k].now, cases[k].metric) == cases[k].want, "%g -> %g: %d",
                  cases[k].base, cases[k].now, mhc_value_difference(cases[k].base, cases[k].now, cases[k].metric));
    for (int m = 0; m < MHC_METRICS; m++) { /* a name leads to its metric, with a suffix too, and to no shorter one */
        char name[100];
        snprintf(name, sizeof name, "%s_q90", mhc_metric_info[m].name);
        cr_expect(mhc_metric_of(name) == (enum mhc_metric)m &&
                      mhc_metric_of(mhc_metric_info[m].name) == (enum mhc_metric)m,
                  "%s", name);
    }
    cr_expect(mhc_metric_of("composite") == MHC_METRICS && mhc_metric_of("x_rmss") == MHC_METRICS &&
              mhc_metric_of("") == MHC_METRICS);
}

Test(verdict, no_row_widens_its_own_tolerance) {
    cr_expect(mhc_common_tolerance(1e-3, 1) == 1e-3 && mhc_common_tolerance(1, 1e-3) == 1e-3 &&
              mhc_common_tolerance(NAN, 1e-3) == 1e-3);
    cr_expect(isnan(mhc_common_tolerance(1e-3, NAN)), "one that is gone is not known");
}

/* --- how often it is wrong, on times as machines make them --- */

enum { SAMPLES = 60, SESSIONS = 200 };

#define PAIRS(subject, baseline, count)      \
    (struct mhc_pairs) {                     \
        subject, baseline, NULL, NULL, count \
    }

static double made_up(uint32_t session, uint32_t who, int64_t k, double factor) {
    double drift = 1 + 0.2 * sin((double)k / 7 + session), noise = 0.02 * mhc_normal(5, who, session, (uint64_t)k);
    double outlier = mhc_uniform_of_bits(mhc_bits(6, who, session, (uint64_t)k)) < 0.05 ? 1.5 : 1;
    return factor * drift * outlier * exp(noise + fabs(noise));
}

static void count(double factor, int paired[MHC_VERDICTS]) {
    static double a[SAMPLES], b[SAMPLES], work[2 * SAMPLES + 2 * MHC_RESAMPLES];
    memset(paired, 0, MHC_VERDICTS * sizeof *paired);
    for (uint32_t session = 0; session < SESSIONS; session++) {
        for (int64_t k = 0; k < SAMPLES; k++) {
            a[k] = made_up(session, 0, k, 1);
            b[k] = made_up(session, 1, k, factor);
        }
        paired[mhc_speed_verdict(mhc_paired_change(&PAIRS(b, a, SAMPLES), work), 0.03)]++;
    }
}

Test(verdict, false_alarms_and_power, .timeout = 1800) {
    int paired[MHC_VERDICTS];
    count(1, paired);
    cr_expect(paired[MHC_SLOWER] + paired[MHC_FASTER] <= 1, "A against A: %d differ",
              paired[MHC_SLOWER] + paired[MHC_FASTER]);
    cr_expect(paired[MHC_SAME] >= 190, "SAME needs evidence, but not more than there is: %d", paired[MHC_SAME]);
    count(1.1, paired);
    cr_expect(paired[MHC_SLOWER] >= 199 && !paired[MHC_SAME], "10 %%: %d", paired[MHC_SLOWER]);
    count(1 / 1.1, paired);
    cr_expect(paired[MHC_FASTER] >= 199, "-10 %%: %d", paired[MHC_FASTER]);
}

Test(verdict, intervals) {
    double a[SAMPLES], b[SAMPLES], work[2 * SAMPLES + 2 * MHC_RESAMPLES];
    for (int64_t k = 0; k < SAMPLES; k++) {
        a[k] = made_up(1, 0, k, 1);
        b[k] = made_up(1, 1, k, 2);
    }
    struct mhc_interval x = mhc_paired_change(&PAIRS(b, a, SAMPLES), work),
                        y = mhc_paired_change(&PAIRS(b, a, SAMPLES), work);
    struct mhc_interval narrow = mhc_ratio_bootstrap(&PAIRS(b, a, SAMPLES), work);
    cr_expect(!memcmp(&x, &y, sizeof x), "the same samples, the same interval");
    cr_expect(x.low < narrow.low && narrow.high < x.high && x.median == narrow.median, "99 %% is wider than 95 %%");
    cr_expect(isnan(mhc_paired_change(&PAIRS(b, a, 0), work).low));
    b[7] = NAN;
    cr_expect(mhc_speed_verdict(mhc_paired_change(&PAIRS(b, a, SAMPLES), work), 0.03) == MHC_AMBIGUOUS,
              "a sample that is not a number");
    b[7] = 0;
    cr_expect(mhc_speed_verdict(mhc_paired_change(&PAIRS(a, b, SAMPLES), work), 10) != MHC_SLOWER);
}

Test(verdict, memory) {
    cr_expect(!mhc_more_memory(100, 100) && !mhc_more_memory(100, 101) && !mhc_more_memory(100, 50) &&
              !mhc_more_memory(0, 0));
    cr_expect(mhc_more_memory(100, 101.1) && mhc_more_memory(0, 1) && mhc_more_memory(100, INFINITY));
    cr_expect(mhc_more_memory(100, NAN), "what is not known is no proof");
}

static struct mhc_mean mean_of(const double *x, int count) {
    struct mhc_mean m = {0};
    for (int k = 0; k < count; k++)
        mhc_mean_add(&m, x[k]);
    return m;
}

/* Means over seeds: three standard errors of their difference. */
Test(verdict, means_over_seeds) {
    const double x[] = {1, 2, 3, 4, NAN}, same[] = {7, 7, 7}, one[] = {1, INFINITY};
    struct mhc_mean a = mean_of(x, 5), none = mean_of(one, 2), equal = mean_of(same, 3);
    cr_expect(a.count == 4 && mhc_mean_of(&a) == 2.5 && fabs(mhc_mean_error(&a) - sqrt(5.0 / 3 / 4)) < 1e-15);
    cr_expect(mhc_mean_error(&equal) == 0 && isnan(mhc_mean_error(&none)) && isnan(mhc_mean_of(&(struct mhc_mean){0})));
    cr_expect(mhc_errors_apart(&a, &a) == 0 && mhc_errors_apart(&equal, &equal) == 0);
    cr_expect(isnan(mhc_errors_apart(&a, &none)) && isnan(mhc_errors_apart(&none, &none)), "a seed has no error");
    struct mhc_mean b = a;
    b.mean += 2;
    cr_expect(fabs(mhc_errors_apart(&a, &b) - 2 / sqrt(2 * 5.0 / 3 / 4)) < 1e-14);
    b = equal;
    b.mean += 1e-9;
    cr_expect(mhc_errors_apart(&equal, &b) > MHC_MOST_ERRORS, "without an error nothing is close");
}

Test(verdict, ranges_over_seeds) {
    double x[] = {3, 1, NAN, 2};
    struct mhc_range r = mhc_range_of(x, 4);
    cr_expect(r.least == 1 && r.median == 2.5 && r.most == INFINITY, "NaN is above all");
    static const struct {
        struct mhc_range base, now;
        bool want;
    } cases[] = {{{1, 2, 3}, {1, 3, 5}, true},
                 {{1, 2, 3}, {1, 3.02, 5}, false},
                 {{1, 2, 3}, {2.02, 2.5, 3}, false},
                 {{0, 0, 0}, {0.009, 0.009, 0.009}, true},
                 {{0, 0, 0}, {0.02, 0.02, 0.02}, false},
                 {{1, INFINITY, INFINITY}, {1, INFINITY, INFINITY}, true},
                 {{1, 2, 3}, {1, INFINITY, INFINITY}, false}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        cr_expect(mhc_ranges_agree(cases[k].base, cases[k].now) == cases[k].want &&
                      mhc_ranges_agree(cases[k].now, cases[k].base) == cases[k].want,
                  "case %zu", k);
}
