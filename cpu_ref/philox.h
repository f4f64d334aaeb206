/* Random numbers as a function of position: Philox4x32-10 (Salmon et al., SC 2011).
 *
 * key = (seed, what), counter = (element index, layer), so any element can be drawn anywhere, in any order, on any
 * backend, and every backend draws the same bits: the normal below uses + - x / sqrt and explicit fma only, and no
 * product feeds a sum outside an fma, so no compiler can contract it differently. For host and device. */
#ifndef PHILOX_H
#define PHILOX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define PHILOX_FN static inline __host__ __device__
#else
#define PHILOX_FN static inline
#endif

struct philox {
    uint32_t word[4];
};

PHILOX_FN struct philox philox4x32(struct philox counter, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * counter.word[0];
        uint64_t b = (uint64_t)0xCD9E8D57u * counter.word[2];
        struct philox next = {{(uint32_t)(b >> 32) ^ counter.word[1] ^ key0, (uint32_t)b,
                               (uint32_t)(a >> 32) ^ counter.word[3] ^ key1, (uint32_t)a}};
        counter = next;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

/* `what` of an array: a number made from its name, by FNV-1a. */
PHILOX_FN uint32_t mhc_what(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* 64 random bits for element `index` of array `what` of a layer. */
PHILOX_FN uint64_t mhc_bits(uint64_t seed, uint32_t what, uint32_t layer, uint64_t index) {
    uint64_t pair = index >> 1;
    struct philox counter = {{(uint32_t)pair, (uint32_t)(pair >> 32), layer, (uint32_t)(seed >> 32)}};
    struct philox r = philox4x32(counter, (uint32_t)seed, what);
    return index & 1 ? (uint64_t)r.word[3] << 32 | r.word[2] : (uint64_t)r.word[1] << 32 | r.word[0];
}

/* Uniform in (0, 1): odd multiples of 2^-54. */
PHILOX_FN double mhc_uniform_of_bits(uint64_t bits) {
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

PHILOX_FN double mhc_polynomial(const double *c, int degree, double x) {
    double value = c[degree];
    for (int k = degree - 1; k >= 0; k--)
        value = fma(value, x, c[k]);
    return value;
}

/* ln(x) for normal x > 0: x = 2^k m, m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m-1)/(m+1)). */
PHILOX_FN double mhc_log(double x) {
    const double series[12] = {1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                               1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        k++;
    }
    double s = (m - 1) / (m + 1);
    double square = s * s;
    double tail = mhc_polynomial(series, 11, square);
    double twice = s + s;
    return fma((double)k, 0.69314718055994531, twice * tail);
}

/* Standard normal quantile of p in (0, 1), relative error below 1e-15: algorithm AS 241 (Wichura 1988). */
PHILOX_FN double mhc_normal_quantile(double p) {
    const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                         1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                         3.3430575583588128105e4, 2.5090809287301226727e3};
    const double b[8] = {1.0,
                         4.2313330701600911252e1,
                         6.8718700749205790830e2,
                         5.3941960214247511077e3,
                         2.1213794301586595867e4,
                         3.9307895800092710610e4,
                         2.8729085735721942674e4,
                         5.2264952788528545610e3};
    const double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                         3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                         2.27238449892691845833e-2, 7.74545014278341407640e-4};
    const double d[8] = {1.0,
                         2.05319162663775882187e0,
                         1.67638483018380384940e0,
                         6.89767334985100004550e-1,
                         1.48103976427480074590e-1,
                         1.51986665636164571966e-2,
                         5.47593808499534494600e-4,
                         1.05075007164441684324e-9};
    const double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                         2.71155556874348757815e-5, 2.01033439929228813265e-7};
    const double f[8] = {1.0,
                         5.99832206555887937690e-1,
                         1.36929880922735805310e-1,
                         1.48753612908506148525e-2,
                         7.86869131145613259100e-4,
                         1.84631831751005468180e-5,
                         1.42151175831644588870e-7,
                         2.04426310338993978564e-15};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = fma(-q, q, 0.180625);
        return q * (mhc_polynomial(a, 7, r) / mhc_polynomial(b, 7, r));
    }
    double r = sqrt(-mhc_log(q < 0 ? p : 1 - p));
    double value = r <= 5 ? mhc_polynomial(c, 7, r - 1.6) / mhc_polynomial(d, 7, r - 1.6)
                          : mhc_polynomial(e, 7, r - 5) / mhc_polynomial(f, 7, r - 5);
    return q < 0 ? -value : value;
}

/* N(0, 1) for element `index` of array `what` of a layer. */
PHILOX_FN double mhc_normal(uint64_t seed, uint32_t what, uint32_t layer, uint64_t index) {
    return mhc_normal_quantile(mhc_uniform_of_bits(mhc_bits(seed, what, layer, index)));
}

#endif
