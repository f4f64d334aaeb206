/* exp and its relatives for a vector of reals, from arithmetic alone: the compiler's own vector functions need
 * -ffast-math, which this suite cannot use. Errors in units in the last place, results below the smallest normal number
 * included: exp 1.25, all others 2 (tests/vecmath_ulp.h). NaN stays NaN, and an infinity gives the limit.
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

/* exp(r) - 1 and k of exp(x + low) = 2^k exp(r); |low| below 0.1. What rounding takes from r and from the result goes
 * to `rest`, which may be NULL: exp(r) is 1 + result + rest, the largest first. */
static inline vec vec_exp_reduced(vec x, vec low, vec_int *k, vec *rest) {
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
    vec exact = x - whole * (real)EXP_LN2_HIGH, r = exact - whole * (real)EXP_LN2_LOW + low;
    vec value = vec_set(inverse_factorial[EXP_TERMS]);
    for (int term = EXP_TERMS - 1; term >= 2; term--)
        value = value * r + inverse_factorial[term];
    *k = (vec_int)shifted - (vec_int)vec_set((real)EXP_SHIFT);
    vec curved = value * r * r, reduced = curved + r;
    if (rest)
        *rest = ((exact - r) - whole * (real)EXP_LN2_LOW + low) + (curved - (reduced - r));
    return reduced;
}

/* exp(x); x from 1.5 EXP_LOW to EXP_HIGH. */
static inline vec vec_exp_within(vec x) {
    vec_int k;
    vec value = vec_exp_reduced(x, vec_set(0), &k, NULL) + 1;
    vec_int half = k >> 1;
    return value * vec_power_of_two(half) * vec_power_of_two(k - half);
}

static inline vec vec_exp(vec x) {
    return vec_exp_within(vec_at_most(vec_at_least(x, EXP_LOW), EXP_HIGH));
}

/* 1 / (1 + exp(-x)): with e = exp(-|x|), which does not overflow, e / (1 + e) = e - e (e / (1 + e)) is the lesser
 * half, and 1 less that the greater. */
static inline vec vec_sigmoid(vec x) {
    vec e = vec_exp_within(-vec_at_most(vec_abs(x), -EXP_LOW)), lesser = e - e * (e / (1 + e));
    return vec_select(x < 0, lesser, 1 - lesser);
}

/* Below 0.55 an odd polynomial, through tanh at Chebyshev nodes in x^2; above, 1 - 2 e / (1 + e), e = exp(-2|x|). */
static inline vec vec_tanh(vec x) {
#if REAL_BITS == 64
    static const real odd[] = {-0.33333333333333332,    0.13333333333332466,     -0.05396825396714515,
                               0.021869488480722564,    -0.0088632341048022294,  0.0035921065864719788,
                               -0.0014556320709328041,  0.00058879202447558296,  -0.00023421481867115479,
                               0.000084437195671030714, -0.000020141494563083882};
#else
    static const real odd[] = {-0.333333318f, 0.133330823f, -0.0539033477f, 0.0212727483f, -0.00654254198f};
#endif
    vec a = vec_at_most(vec_abs(x), TANH_HIGH), square = a * a;
    vec near = vec_set(odd[sizeof odd / sizeof *odd - 1]);
    for (int term = (int)(sizeof odd / sizeof *odd) - 2; term >= 0; term--)
        near = near * square + odd[term];
    vec_int k;
    vec reduced = vec_exp_reduced(-2 * a, vec_set(0), &k, NULL), scale = vec_power_of_two(k),
        e = scale * reduced + scale, far = 1 - 2 * e / (1 + e);
    return vec_with_sign(vec_select(a < (real)0.55, a * square * near + a, far), x);
}

/* The standard normal distribution, cdf = erfc(-x / sqrt 2) / 2, and its density exp(-x^2 / 2) / sqrt(2 pi).
 *
 * With a = |x|, t = 1 / (a + 4) and q = (a - 4) / (a + 4) = 1 - 8 t, the factor (1 - cdf(a)) / (t exp(-a^2 / 2)) is
 * smooth in q: a polynomial through its values at Chebyshev nodes between a = 0 and where cdf(-a) is 0 is off by 2e-8
 * with 10 nodes, for float32, and by 3e-18 with 25, for float64. */
#if REAL_BITS == 32
/* In double: no rounding on the way is worth a thought. exp(-a^2 / 2) = 2^k 2^r, 2^r by a polynomial that is off by
 * 2e-9. */
typedef double vec_wide __attribute__((vector_size(2 * VEC_BYTES)));
typedef int64_t vec_wide_int __attribute__((vector_size(2 * VEC_BYTES)));

/* Inlined always: between functions such wide vectors would go through memory. */
SPECIALISED vec vec_normal_cdf(vec x, vec *density) {
    static const double tail_factor[] = {0.755285138596,   -0.607896594145,   0.38713668307,     -0.186523306758,
                                         0.0604061855143,  -0.00752540241821, -0.00352097282399, 0.00156688168778,
                                         0.00018899651942, -0.000125558385602};
    static const double power[] = {
        1.0, 0.693147206703, 0.240226509223, 0.0555032722667, 0.00961805667852, 0.00134004281776, 0.000154614446986};
    const double shift = 0x1.8p52 + 1023; /* leaves the exponent bits of 2^k at the end of a sum */
    vec at = vec_at_most(vec_abs(x), 15);
    vec_wide a = __builtin_convertvector(at, vec_wide), square = a * a;
    vec_wide t = 1 / (a + 4), q = 1 - 8 * t, factor = tail_factor[9] * q + tail_factor[8];
    vec_wide shifted = square * (-0.5 * 0x1.71547652b82fep0) + shift,
             r = square * (-0.5 * 0x1.71547652b82fep0) - (shifted - shift), exponential = power[6] * r + power[5];
    for (int term = 4; term >= 0; term--)
        exponential = exponential * r + power[term];
    for (int term = 7; term >= 0; term--)
        factor = factor * q + tail_factor[term];
    exponential *= (vec_wide)((vec_wide_int)shifted << 52);
    *density = __builtin_convertvector(exponential, vec) * 0.39894228f;
    vec tail = __builtin_convertvector(exponential * t * factor, vec);
    return vec_select(x < 0, tail, 1 - tail);
}
#else
/* dividend / (divisor + divisor_rest) less its rounded value `quotient`, dividend times inverse = 1 / divisor. */
static inline vec vec_quotient_rest(vec dividend, vec divisor, vec divisor_rest, vec quotient, vec inverse) {
    return ((dividend - quotient * divisor) - quotient * divisor_rest) * inverse;
}

/* What rounding takes from a + 4, the factor and the quotients is carried along, and exp is split into exp - 1 and 1,
 * the last to be added. */
static inline vec vec_normal_cdf(vec x, vec *density) {
    static const real tail_factor[] = {
        0.75528513041575149,         -0.60789664197189209,         0.38713740074221466,
        -0.18652185795965937,        0.060396574890930216,         -0.0075401889666598928,
        -0.0034796923672520808,      0.0016308184566235733,        0.0001333443107426556,
        -0.00023109492751462497,     -0.0000019082467362071697,    0.000035144649514290318,
        0.00000071661365315223444,   -0.0000059200637891099434,    -0.00000062954189374551879,
        0.0000010213461276683074,    0.00000027150648766883063,    -0.0000001547220083448872,
        -0.000000085040534591566548, 0.000000013120878268311951,   0.000000019346558330767473,
        0.0000000019643276806219771, -0.0000000024165480803189246, -7.268553477210609e-10,
        -1.4280763756154861e-11};
    static const real tail_rest[] = {-2.26270928e-17, -5.61367527e-18};
    const real last = 39;
    const real_int low_half = (1 << 27) - 1;
    const real density_at_0 = 0x1.9884533d43651p-2, density_rest = -0x1.cbc0d30ebfd15p-56;
    vec a = vec_at_most(vec_abs(x), last), sum = a + 4, sum_rest = a - (sum - 4);
    vec t = 1 / sum, q = (1 - 8 * t) - 8 * vec_quotient_rest(vec_set(1), sum, sum_rest, t, t);
    vec factor = vec_set(tail_factor[sizeof tail_factor / sizeof *tail_factor - 1]);
    for (int term = (int)(sizeof tail_factor / sizeof *tail_factor) - 2; term > 0; term--)
        factor = factor * q + tail_factor[term];
    vec above_0 = factor * q, factor_rest;
    factor = above_0 + tail_factor[0];
    factor_rest = above_0 - (factor - tail_factor[0]) + (tail_rest[1] * q + tail_rest[0]);
    /* a^2 in two parts, the first exact: an error of 1e-7 in 100 would be one of 1e-5 in exp. */
    vec high = (vec)((vec_int)a & ~low_half);
    vec_int k;
    vec rest, reduced = vec_exp_reduced(-0.5 * (high * high), -0.5 * ((a - high) * (a + high)), &k, &rest);
    vec_int half = k >> 1;
    vec scale = vec_power_of_two(half), scale_rest = vec_power_of_two(k - half);
    vec share = factor * t, share_rest = vec_quotient_rest(factor, sum, sum_rest, share, t) + factor_rest * t;
    share_rest += share_rest * reduced + share * rest;
    vec tail = (share + (share * reduced + share_rest)) * scale * scale_rest;
    *density = (density_at_0 + (density_at_0 * reduced + density_rest)) * scale * scale_rest;
    return vec_select(x < 0, tail, 1 - tail);
}
#endif

/* The first `left` elements at p and 0 behind them, or LANES elements where there are as many. The compiler makes one
 * masked load or store of the loop, which a memcpy() of `left` elements would not become. */
static inline vec vec_load_part(const real *p, int64_t left) {
    if (left >= LANES)
        return vec_load(p);
    real v[LANES];
    for (real_int w = 0; w < (real_int)LANES; w++)
        v[w] = w < (real_int)left ? p[w] : 0;
    return vec_load(v);
}

static inline void vec_store_part(real *restrict p, vec v, int64_t left) {
    if (left >= LANES) {
        vec_store(p, v);
        return;
    }
    for (real_int w = 0; w < (real_int)LANES; w++)
        if (w < (real_int)left)
            p[w] = v[w];
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
