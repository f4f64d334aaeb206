/* exp and its relatives for a vector of reals, from arithmetic alone: the compiler's own vector functions need
 * -ffast-math, which this suite cannot use. Errors in units in the last place, results below the smallest normal number
 * included: exp 1.25, sigmoid 2, tanh 3; in float32 the normal density 2.5 and its cdf 5 (tests/vecmath_ulp.h). NaN
 * stays NaN, and an infinity gives the limit.
 *
 * Lanes do not meet: a value has the same bits in every lane, at any VEC_BYTES, among any neighbours. Loops send what
 * is left of an array through vec_load_part, so that it meets the same arithmetic as the rest.
 *
 * exp(x) = 2^k exp(r), |r| <= ln2/2, exp(r) by its Taylor series. 2^k comes in two halves, because neither 2^-149 nor
 * 2^128 is a normal float. */
#ifndef VECMATH_H
#define VECMATH_H

#include "cpu_ref/real.h"

#if REAL_BITS == 64
#define EXP_TERMS 13
#define EXP_SHIFT 0x1.8p52 /* adding it rounds to an integer and leaves that integer in the low bits */
#define EXP_LN2_HIGH 0x1.62e42fefa0000p-1
#define EXP_LN2_LOW 0x1.cf79abc9e3b39p-40
#define EXP_MANTISSA 52
#define EXP_BIAS 1023
#define EXP_LOW -746.0 /* exp is 0 from here down and infinite from EXP_HIGH up */
#define EXP_HIGH 711.0
#define TANH_HIGH 20.0 /* tanh is 1 from here up */
#else
#define EXP_TERMS 7
#define EXP_SHIFT 0x1.8p23f
#define EXP_LN2_HIGH 0x1.62e400p-1f
#define EXP_LN2_LOW 0x1.7f7d1cp-20f
#define EXP_MANTISSA 23
#define EXP_BIAS 127
#define EXP_LOW -104.0f
#define EXP_HIGH 89.0f
#define TANH_HIGH 10.0f
#endif

/* The lesser and the greater of x and a bound; NaN stays. */
static inline vec vec_at_most(vec x, real bound) {
    return vec_select(x > bound, vec_set(bound), x);
}
static inline vec vec_at_least(vec x, real bound) {
    return vec_select(x < bound, vec_set(bound), x);
}

static inline vec vec_abs(vec x) {
    return (vec)((vec_int)x & ~(vec_int)vec_set((real)-0.0));
}

/* |x| with the sign of `sign`. */
static inline vec vec_with_sign(vec x, vec sign) {
    vec_int bit = (vec_int)vec_set((real)-0.0);
    return (vec)(((vec_int)x & ~bit) | ((vec_int)sign & bit));
}

/* 2^k; k from 1 - EXP_BIAS to EXP_BIAS. */
static inline vec vec_power_of_two(vec_int k) {
    return (vec)((k + EXP_BIAS) << EXP_MANTISSA);
}

/* exp(r) - 1 and k of exp(x + low) = 2^k exp(r); |low| below 0.1. */
static inline vec vec_exp_reduced(vec x, vec low, vec_int *k) {
    static const real inverse_factorial[] = {(real)1.0,
                                             (real)1.0,
                                             (real)(1.0 / 2),
                                             (real)(1.0 / 6),
                                             (real)(1.0 / 24),
                                             (real)(1.0 / 120),
                                             (real)(1.0 / 720),
                                             (real)(1.0 / 5040),
                                             (real)(1.0 / 40320),
                                             (real)(1.0 / 362880),
                                             (real)(1.0 / 3628800),
                                             (real)(1.0 / 39916800),
                                             (real)(1.0 / 479001600),
                                             (real)(1.0 / 6227020800)};
    vec shifted = x * (real)1.4426950408889634 + (real)EXP_SHIFT;
    vec whole = shifted - (real)EXP_SHIFT;
    vec r = (x - whole * (real)EXP_LN2_HIGH) - whole * (real)EXP_LN2_LOW + low;
    vec value = vec_set(inverse_factorial[EXP_TERMS]);
    for (int term = EXP_TERMS - 1; term >= 2; term--)
        value = value * r + inverse_factorial[term];
    *k = (vec_int)shifted - (vec_int)vec_set((real)EXP_SHIFT);
    return value * r * r + r;
}

/* exp(x + low); x from 1.5 EXP_LOW to EXP_HIGH, |low| below 0.1. */
static inline vec vec_exp_within(vec x, vec low) {
    vec_int k;
    vec value = vec_exp_reduced(x, low, &k) + 1;
    vec_int half = k >> 1;
    return value * vec_power_of_two(half) * vec_power_of_two(k - half);
}

static inline vec vec_exp(vec x) {
    return vec_exp_within(vec_at_most(vec_at_least(x, EXP_LOW), EXP_HIGH), vec_set(0));
}

/* 1 / (1 + exp(-x)): with e = exp(-|x|), which does not overflow, e / (1 + e) = e - e (e / (1 + e)) is the lesser
 * half, and 1 less that the greater. */
static inline vec vec_sigmoid(vec x) {
    vec e = vec_exp_within(-vec_at_most(vec_abs(x), -EXP_LOW), vec_set(0)), lesser = e - e * (e / (1 + e));
    return vec_select(x < 0, lesser, 1 - lesser);
}

/* With e = exp(-2|x|): near 0, (1 - e) / (1 + e) from 1 - e, which keeps its digits there; else 1 - 2 e / (1 + e). */
static inline vec vec_tanh(vec x) {
    vec_int k;
    vec a = vec_at_most(vec_abs(x), TANH_HIGH), reduced = vec_exp_reduced(-2 * a, vec_set(0), &k),
        scale = vec_power_of_two(k), less_one = scale * reduced + (scale - 1);
    vec_int near = a < (real)0.55;
    vec quotient = vec_select(near, -less_one, 2 + 2 * less_one) / (2 + less_one);
    return vec_with_sign(vec_select(near, quotient, 1 - quotient), x);
}

/* The standard normal distribution, cdf = erfc(-x / sqrt 2) / 2, and its density. */
static inline vec vec_normal_cdf(vec x, vec *density) {
#if REAL_BITS == 64
    vec cdf;
    for (int64_t w = 0; w < LANES; w++) {
        cdf[w] = 0.5 * erfc(-x[w] * 0.70710678118654752);
        (*density)[w] = 0.39894228040143268 * exp(-0.5 * x[w] * x[w]);
    }
    return cdf;
#else
    /* With a = |x|, (1 + 0.8 a) (1 - cdf(a)) / density(a) is nearly constant, and smooth in q = (a - 3.5) / (a + 3.5):
     * a polynomial through its values at ten Chebyshev nodes in q of [0, 14.6] is off by 1.4e-8. */
    static const real tail_factor[] = {1.01295751f,     -0.28976128f,   0.0646729988f,    0.0453974073f,
                                       -0.0511240756f,  0.0200181456f,  -0.000119170828f, -0.00260587638f,
                                       0.000273306513f, 0.000298056492f};
    vec a = vec_at_most(vec_abs(x), 15), q = (a - 3.5f) / (a + 3.5f);
    vec factor = vec_set(tail_factor[9]);
    for (int term = 8; term >= 0; term--)
        factor = factor * q + tail_factor[term];
    /* a^2 in two parts, the first exact: an error of 1e-7 in 100 would be one of 1e-5 in exp. */
    vec high = (vec)((vec_int)a & ~0xfff);
    vec e = vec_exp_within(-0.5f * (high * high), -0.5f * ((a - high) * (a + high)));
    vec tail = e * (factor / (2.50662827f + 2.00530262f * a));
    *density = e * 0.39894228f;
    return vec_select(x < 0, tail, 1 - tail);
#endif
}

/* The first `left` elements at p and 0 behind them, or LANES elements where there are as many. */
static inline vec vec_load_part(const real *p, int64_t left) {
    vec v = {0};
    if (left >= LANES)
        return vec_load(p);
    memcpy(&v, p, (size_t)left * sizeof(real));
    return v;
}

static inline void vec_store_part(real *p, vec v, int64_t left) {
    if (left >= LANES)
        vec_store(p, v);
    else
        memcpy(p, &v, (size_t)left * sizeof(real));
}

/* to[k] = f(from[k]); to may be from. */
SPECIALISED void vec_apply(vec (*f)(vec), int64_t count, const real *from, real *to) {
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES)
        vec_store(to + k, f(vec_load(from + k)));
    if (k < count)
        vec_store_part(to + k, f(vec_load_part(from + k, count - k)), count - k);
}

#endif
