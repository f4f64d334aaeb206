/* The generator and its normals, and rounding to short formats, against published vectors and independent formulas. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "cpu_ref/philox.h"
#include "suites/stack/rounding.h"

/* --- generator --- */

Test(philox, known_answers) { /* Random123, kat_vectors */
    const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {{{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                 {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                 {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                  {0xa4093822, 0x299f31d0},
                  {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        struct philox counter;
        memcpy(counter.word, known[k].counter, sizeof counter.word);
        struct philox got = philox4x32(counter, known[k].key[0], known[k].key[1]);
        cr_expect(!memcmp(got.word, known[k].want, sizeof got.word), "vector %zu: %08x %08x %08x %08x", k, got.word[0],
                  got.word[1], got.word[2], got.word[3]);
    }
}

/* Phi(x) of either tail without cancellation. */
static long double quantile_by_bisection(double p) {
    long double low = -40, high = 40;
    bool upper = p > 0.5;
    long double tail = upper ? 1.0L - (long double)p : (long double)p; /* exact: p has 53 bits */
    for (int k = 0; k < 80; k++) {
        long double middle = (low + high) / 2, mass = erfcl((upper ? middle : -middle) / sqrtl(2)) / 2;
        bool below = upper ? mass > tail : mass < tail;
        *(below ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

Test(philox, normal_quantile) {
    double worst = 0, at = 0;
    for (int k = 0; k < 4000; k++) {
        double p = k < 2000   ? mhc_uniform_of_bits(mhc_bits(9, 0, 0, (uint64_t)k))
                   : k < 3600 ? ldexp(mhc_uniform_of_bits(mhc_bits(9, 1, 0, (uint64_t)k)), -(k % 53))
                              : 1 - ldexp(mhc_uniform_of_bits(mhc_bits(9, 2, 0, (uint64_t)k)), -(k % 50));
        if (p <= 0x1p-54 || p >= 1 || fabs(p - 0.5) < 1e-12)
            continue;
        long double want = quantile_by_bisection(p);
        double error = (double)fabsl((mhc_normal_quantile(p) - want) / want);
        if (error > worst)
            worst = error, at = p;
    }
    cr_expect(worst <= 2e-15, "relative error %.3g at p = %.17g", worst, at);
    cr_expect(mhc_normal_quantile(0.5) == 0 && mhc_normal_quantile(0.25) == -mhc_normal_quantile(0.75));
    const double ends[2] = {mhc_uniform_of_bits(0), mhc_uniform_of_bits(~(uint64_t)0)};
    cr_expect(ends[0] > 0 && ends[1] < 1 && isfinite(mhc_normal_quantile(ends[0])) &&
              isfinite(mhc_normal_quantile(ends[1])));
}

Test(philox, normals_have_the_right_moments) {
    enum { N = 1 << 20 };
    double sum[4] = {0};
    for (uint64_t k = 0; k < N; k++) {
        double z = mhc_normal(5, 6, 7, k);
        sum[0] += z / N, sum[1] += z * z / N, sum[2] += z * z * z / N, sum[3] += z * z * z * z / N;
    }
    cr_expect(!(fabs(sum[0]) > 5e-3) && !(fabs(sum[1] - 1) > 7e-3) && !(fabs(sum[2]) > 2e-2) &&
                  !(fabs(sum[3] - 3) > 5e-2),
              "moments %g %g %g %g", sum[0], sum[1], sum[2], sum[3]);
}

/* --- short formats --- */

static double bf16_of(uint32_t bits) {
    float value;
    bits <<= 16;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double fp16_of(uint32_t bits) {
    int exponent = (int)(bits >> 10 & 31);
    double mantissa = bits & 1023;
    double value = exponent == 31 ? INFINITY
                   : exponent     ? ldexp(1 + mantissa / 1024, exponent - 15)
                                  : ldexp(mantissa, -24);
    return value;
}

/* Every positive number of a format, the middles between neighbours and what lies next to those. */
static void expect_rounding(enum rounding format, double (*value_of)(uint32_t), uint32_t from, uint32_t infinity) {
    for (uint32_t bits = from; bits < infinity; bits++) {
        double low = value_of(bits), high = bits + 1 < infinity ? value_of(bits + 1) : 2 * low - value_of(bits - 1);
        double middle = low / 2 + high / 2, to_even = bits & 1 ? high : low;
        if (bits + 1 == infinity) /* the next number would be the first that does not exist */
            high = to_even = INFINITY;
        const double pairs[][2] = {
            {low, low}, {middle, to_even}, {nextafter(middle, 0), low}, {nextafter(middle, INFINITY), high}};
        for (int k = 0; k < 4; k++)
            for (int sign = -1; sign <= 1; sign += 2) {
                double got = round_to(format, sign * pairs[k][0]);
                cr_assert(got == sign * pairs[k][1], "format %d: %.17g becomes %.17g, wanted %.17g", (int)format,
                          sign * pairs[k][0], got, sign * pairs[k][1]);
            }
    }
    cr_expect(isnan(round_to(format, NAN)) && round_to(format, INFINITY) == INFINITY &&
              round_to(format, -1e300) == -INFINITY);
    cr_expect(signbit(round_to(format, -0.0)));
}

Test(rounding, every_number_and_every_tie) {
    expect_rounding(ROUND_BF16, bf16_of, 0, 0x7f80);
    expect_rounding(ROUND_FP16, fp16_of, 0, 0x7c00);
    cr_expect(round_to(ROUND_NONE, M_PI) == M_PI);
    cr_expect(round_to(ROUND_FP16, 65519.99) == 65504 && round_to(ROUND_FP16, 65520) == INFINITY);
}

Test(rounding, sinkhorn_in_a_short_format) {
    const double logits[4] = {0, 0, 0, 0}, steep[4] = {20, 0, 0, 20};
    double res[4];
    for (int format = ROUND_BF16; format <= ROUND_FP16; format++) {
        rounded_sinkhorn((enum rounding)format, 2, 20, logits, res);
        for (int k = 0; k < 4; k++)
            cr_expect(res[k] == 0.5, "format %d: %g", format, res[k]);
        rounded_sinkhorn((enum rounding)format, 2, 20, steep, res);
        for (int k = 0; k < 4; k++)
            cr_expect(res[k] == round_to((enum rounding)format, res[k]), "not a number of format %d: %.17g", format,
                      res[k]);
    }
}
