/* cpu_ref/vecmath.h against long double, of the precision that REAL_BITS says: test_vecmath32.c, test_vecmath64.c. */
#include "cpu_ref/vecmath.h"
#include "tests/check.h"

#if REAL_BITS == 64
#define DIGITS 53
#define LEAST_EXPONENT (-1021)
typedef uint64_t bits;
#else
#define DIGITS 24
#define LEAST_EXPONENT (-125)
typedef uint32_t bits;
#endif

static long double exact_sigmoid(long double x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static vec cdf(vec x) {
    vec density;
    return vec_normal_cdf(x, &density);
}
static vec density(vec x) {
    vec density;
    vec_normal_cdf(x, &density);
    return density;
}
/* erfc and exp of x / sqrt 2 and x^2 / 2 as long doubles, and to first order of what rounding takes from those: in the
 * tails it is multiplied by up to 1400, which would be an ulp of a double. */
static long double exact_cdf(long double x) {
    const long double root = 0.70710678118654752440L, root_rest = 1.895e-20L;
    long double z = -x * root, rest = fmal(-x, root, -z) - x * root_rest;
    return (erfcl(z) - (isfinite(rest) ? 1.12837916709551257390L * expl(-z * z) * rest : 0)) / 2;
}
static long double exact_density(long double x) {
    long double square = x * x, rest = fmal(x, x, -square);
    return expl(-square / 2) * (1 - (isfinite(rest) ? rest / 2 : 0)) * 0.39894228040143267794L;
}

static const struct function {
    const char *name;
    vec (*f)(vec);
    long double (*exact)(long double);
    double ulps;              /* the largest error */
    double at_minus_infinity; /* exactly */
} functions[] = {
    {"exp", vec_exp, expl, 1.25, 0}, {"sigmoid", vec_sigmoid, exact_sigmoid, 2, 0}, {"tanh", vec_tanh, tanhl, 2, -1},
    {"cdf", cdf, exact_cdf, 2, 0},   {"density", density, exact_density, 2, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static real value(const struct function *f, real x) {
    return f->f(vec_set(x))[0];
}

/* Units in the last place of the exact result; where that is below the smallest normal number, of the smallest. */
static double ulps(real got, long double exact) {
    int exponent;
    frexpl(exact, &exponent);
    if (exact == 0 || exponent < LEAST_EXPONENT)
        exponent = LEAST_EXPONENT;
    return got == (real)exact ? 0 : (double)(fabsl((long double)got - exact) / ldexpl(1, exponent - DIGITS));
}

static void check_value(const struct function *f, real x) {
    real got = value(f, x);
    if (isnan(x)) {
        cr_assert(isnan(got), "%s lost a NaN", f->name);
        return;
    }
    long double exact = f->exact((long double)x);
    cr_assert(ulps(got, exact) <= f->ulps, "%s(%a) is %a, %.3g ulp from %La", f->name, (double)x, (double)got,
              ulps(got, exact), exact);
}

/* Numbers of every sign and exponent, evenly in their bits; then where the functions bend, and where exp ends. */
Test(vecmath, is_within_its_ulps_everywhere) {
    const bits samples = 400000, step = (bits)-1 / samples | 1;
    for (const struct function *f = functions; f < functions + FUNCTIONS; f++)
        for (bits k = 0; k < samples; k++) {
            bits pattern = k * step;
            real x, edge = (real)(-EXP_LOW * 1.1 * (2.0 * (double)k / (double)samples - 1));
            memcpy(&x, &pattern, sizeof x);
            check_value(f, x);
            check_value(f, edge);
            check_value(f, (real)mhc_normal(1, 2, 3, k));
        }
}

Test(vecmath, keeps_nan_and_infinity_and_signs) {
    for (const struct function *f = functions; f < functions + FUNCTIONS; f++) {
        cr_assert(isnan(value(f, (real)NAN)) && isnan(value(f, -(real)NAN)), "%s", f->name);
        cr_assert_eq(value(f, -(real)INFINITY), (real)f->at_minus_infinity, "%s", f->name);
        cr_assert_eq(value(f, (real)INFINITY), (real)f->exact((long double)INFINITY), "%s", f->name);
    }
    cr_assert(signbit(value(&functions[2], (real)-0.0)) && !signbit(value(&functions[2], 0)));
}

/* The first number from which exp is infinite, and the last at which it is 0, found by halving intervals. */
static real edge_of_exp(real low, real high, real below) {
    for (int step = 0; step < 200; step++) {
        real middle = low + (high - low) / 2;
        if (value(&functions[0], middle) <= below)
            low = middle;
        else
            high = middle;
    }
    return low;
}
Test(vecmath, ends_where_the_type_ends) {
    int digits = REAL_BITS == 64 ? 1024 : 128, least = REAL_BITS == 64 ? 1075 : 150;
    real largest = (real)((ldexpl(1, DIGITS) - 1) * ldexpl(1, digits - DIGITS));
    double last_finite = edge_of_exp(0, -EXP_LOW, largest), last_zero = edge_of_exp(2 * EXP_LOW, 0, 0);
    cr_assert_float_eq(last_finite, digits * log(2), 1e-6 * digits, "%.9g", last_finite);
    cr_assert_float_eq(last_zero, -least * log(2), 1e-6 * least, "%.9g", last_zero);
}

/* A value has the same bits in every lane, beside any neighbour, and as what is left of an array at any place. */
Test(vecmath, has_the_same_bits_in_every_lane_and_tail) {
    enum { COUNT = 61 };
    static const real strange[] = {0, (real)NAN, (real)INFINITY, -(real)INFINITY, 1e30f, -1e30f, 1e-40f, 88, -88};
    real in[COUNT + 8], alone[COUNT], out[COUNT + 16];
    for (int k = 0; k < COUNT; k++)
        in[k] = k % 7 ? (real)(10 * mhc_normal(1, 2, 4, (uint64_t)k)) : strange[k / 7];
    for (const struct function *f = functions; f < functions + FUNCTIONS; f++) {
        for (int k = 0; k < COUNT; k++)
            alone[k] = value(f, in[k]);
        for (int from = 0; from < 9; from++)
            for (int count = 0; count <= COUNT - from; count++) {
                memset(out, 0x77, sizeof out);
                vec_apply(f->f, count, in + from, out + from % 5);
                for (int k = 0; k < count; k++)
                    cr_assert((isnan(alone[from + k]) && isnan(out[from % 5 + k])) ||
                                  !memcmp(&alone[from + k], &out[from % 5 + k], sizeof(real)),
                              "%s of element %d from %d, of %d", f->name, k, from, count);
                bits guard, after;
                memset(&guard, 0x77, sizeof guard);
                memcpy(&after, &out[from % 5 + count], sizeof after);
                cr_assert_eq(after, guard, "%s wrote behind %d", f->name, count);
            }
    }
}
