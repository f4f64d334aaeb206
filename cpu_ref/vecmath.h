/* exp of a vector of reals that are not positive, to 1 ulp, from arithmetic alone: the compiler's own vector exp
 * needs -ffast-math, which this suite cannot use. exp(x) = 2^k exp(r), |r| <= ln2/2, exp(r) by its Taylor series.
 * Results below the smallest normal number are 0. */
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
#define EXP_LOW -708.0
#else
#define EXP_TERMS 7
#define EXP_SHIFT 0x1.8p23f
#define EXP_LN2_HIGH 0x1.62e400p-1f
#define EXP_LN2_LOW 0x1.7f7d1cp-20f
#define EXP_MANTISSA 23
#define EXP_BIAS 127
#define EXP_LOW -87.0f
#endif

static inline vec vec_exp_nonpositive(vec x) {
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
    vec k = shifted - (real)EXP_SHIFT;
    vec r = (x - k * (real)EXP_LN2_HIGH) - k * (real)EXP_LN2_LOW;
    vec value = vec_set(inverse_factorial[EXP_TERMS]);
    for (int term = EXP_TERMS - 1; term >= 0; term--)
        value = value * r + inverse_factorial[term];
    vec_int k_bits = (vec_int)shifted - (vec_int)vec_set((real)EXP_SHIFT);
    value *= (vec)((k_bits + EXP_BIAS) << EXP_MANTISSA);
    return vec_select(x < (real)EXP_LOW, vec_set(0), value);
}

#endif
