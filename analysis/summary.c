/* From a score per token to what is stored: mean and quantiles. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/maps.h"

static inline int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* 2^k, -1022 <= k <= 1023 */
static inline double power_of_two(int64_t k) {
    int64_t bits = (k + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* Exponent of value * 2^exponent, never too small; far below everything for an exact zero. */
static inline int64_t exponent_of(double value, int64_t exponent) {
    int64_t field = (bits_of(value) >> 52) & 2047;
    return value == 0 ? INT64_MIN / 4 : exponent + field - 1023;
}

/* The terms are scaled by the largest exponent, in two steps because one factor may not be a normal double. */
static struct scaled mean_of_far_apart(const double *value, const int64_t *exponent, int64_t T) {
    int64_t largest = INT64_MIN / 4;
    for (int64_t t = 0; t < T; t++) {
        int64_t e = exponent_of(value[t], exponent ? exponent[t] : 0);
        largest = e > largest ? e : largest;
    }
    double sum = 0;
    for (int64_t t = 0; t < T; t++) {
        int64_t shift = (exponent ? exponent[t] : 0) - largest;
        shift = shift < -2040 ? -2040 : shift > 1023 ? 1023 : shift;
        int64_t half = shift / 2;
        sum += value[t] * power_of_two(half) * power_of_two(shift - half);
    }
    return (struct scaled){sum / (double)T, sum == 0 ? 0 : largest};
}

/* Without exponents a plain sum is good unless it comes out near an end of the range of doubles. The order of summation
 * is fixed by the build, whatever the threads. */
struct scaled scaled_mean(const double *value, const int64_t *exponent, int64_t T) {
    double sum = 0;
    int64_t bits = 0;
    if (exponent) {
#pragma omp simd reduction(| : bits)
        for (int64_t t = 0; t < T; t++)
            bits |= exponent[t];
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < T; t++)
        sum += value[t];
    if (bits == 0 && fabs(sum) > 0x1p-900 && fabs(sum) < 0x1p1000)
        return (struct scaled){sum / (double)T, 0};
    return mean_of_far_apart(value, exponent, T);
}

double scaled_linear(struct scaled x) {
    int64_t e = x.exponent < -5000 ? -5000 : x.exponent > 5000 ? 5000 : x.exponent;
    return ldexp(x.value, (int)e);
}

/* -Infinity for an exact zero, so that zeros sort below everything. */
static double scaled_log10_or_minus_infinity(struct scaled x) {
    double linear = scaled_linear(x);
    if (fabs(linear) >= DBL_MIN && isfinite(linear))
        return log10(linear);
    return log10(x.value) + (double)x.exponent * LOG10_2;
}

double scaled_log10(struct scaled x) {
    return x.value == 0 ? log10(DBL_MIN) : scaled_log10_or_minus_infinity(x);
}

/* Hoare's selection: the k-th smallest is at k, nothing larger before it and nothing smaller behind it. */
static void select_order(double *values, int64_t count, int64_t k) {
    int64_t low = 0, high = count - 1;
    while (low < high) {
        double pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                double swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}

double mhc_quantile(double *values, int64_t count, double q) {
    for (int64_t i = 0; i < count; i++)
        if (isnan(values[i]))
            return NAN;
    double position = q * (double)(count - 1);
    int64_t k = (int64_t)position;
    double weight = position - (double)k;
    select_order(values, count, k);
    double below = values[k];
    if (weight == 0 || k + 1 == count)
        return below;
    double above = values[k + 1];
    for (int64_t i = k + 2; i < count; i++)
        above = fmin(above, values[i]);
    return above == below ? below : (1 - weight) * below + weight * above;
}

int mhc_summarise(struct mhc_curves *curves, enum mhc_metric metric, int64_t layer, const double *score,
                  const int64_t *exponent, int64_t T) {
    static const double q[MHC_STATISTICS] = {[MHC_Q10] = 0.1, [MHC_Q50] = 0.5, [MHC_Q90] = 0.9};
    double *const *curve = curves->curve[metric];
    bool logarithmic = mhc_metric_info[metric].scale == MHC_LOG10;
    if (curve[MHC_MEAN]) {
        struct scaled mean = scaled_mean(score, exponent, T);
        curve[MHC_MEAN][layer] = logarithmic ? scaled_log10(mean) : scaled_linear(mean);
    }
    if (!curve[MHC_Q10] && !curve[MHC_Q50] && !curve[MHC_Q90])
        return 0;
    double *values = malloc((size_t)T * sizeof *values);
    if (!values)
        return -1;
    for (int64_t t = 0; t < T; t++) {
        struct scaled x = {score[t], exponent ? exponent[t] : 0};
        values[t] = logarithmic ? scaled_log10_or_minus_infinity(x) : scaled_linear(x);
    }
    for (int statistic = MHC_Q10; statistic <= MHC_Q90; statistic++) {
        if (!curve[statistic])
            continue;
        double value = mhc_quantile(values, T, q[statistic]);
        curve[statistic][layer] = logarithmic && value == -INFINITY ? log10(DBL_MIN) : value;
    }
    free(values);
    return 0;
}

double mhc_norm(const double *x, int64_t count) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < count; i++)
        squares += x[i] * x[i];
    if (squares > 0x1p-900 && squares < 0x1p1000)
        return sqrt(squares);
    /* The plain sum may have lost something: too small or too large. */
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        if (isnan(x[i]) || fabs(x[i]) > largest)
            largest = fabs(x[i]);
    if (largest == 0 || !isfinite(largest))
        return largest;
    int e = ilogb(largest);
    squares = 0;
    for (int64_t i = 0; i < count; i++) {
        double scaled = ldexp(x[i], -e);
        squares += scaled * scaled;
    }
    return ldexp(sqrt(squares), e);
}
