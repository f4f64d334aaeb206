#include "suites/stack/rounding.h"

#include <math.h>
#include <string.h>

double round_to(enum rounding format, double x) {
    if (format == ROUND_NONE || !isfinite(x) || x == 0)
        return x;
    if (format == ROUND_FP16 && fabs(x) < 0x1p-14)
        return nearbyint(x * 0x1p24) * 0x1p-24;
    if (format == ROUND_BF16 && fabs(x) < 0x1p-126)
        return nearbyint(x * 0x1p133) * 0x1p-133;
    int dropped = format == ROUND_BF16 ? 52 - 7 : 52 - 10;
    uint64_t bits, half = (uint64_t)1 << (dropped - 1);
    memcpy(&bits, &x, sizeof bits);
    bits += half - 1 + (bits >> dropped & 1);
    bits &= ~((half << 1) - 1);
    memcpy(&x, &bits, sizeof x);
    return fabs(x) > (format == ROUND_BF16 ? 0x1.fep127 : 65504.0) ? copysign(INFINITY, x) : x;
}

/* One normalisation along rows (step 1 along j) or columns. */
static void normalise(enum rounding format, int64_t n, double *M, bool rows) {
    int64_t line = rows ? n : 1, step = rows ? 1 : n;
    for (int64_t i = 0; i < n; i++) {
        double sum = M[i * line];
        for (int64_t j = 1; j < n; j++)
            sum = round_to(format, sum + M[i * line + j * step]);
        for (int64_t j = 0; j < n; j++)
            M[i * line + j * step] = round_to(format, M[i * line + j * step] / sum);
    }
}

void rounded_sinkhorn(enum rounding format, int64_t n, int64_t t_max, const double *logits, double *res) {
    for (int64_t j = 0; j < n; j++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < n; i++)
            largest = fmax(largest, round_to(format, logits[i * n + j]));
        for (int64_t i = 0; i < n; i++)
            res[i * n + j] = round_to(format, exp(round_to(format, round_to(format, logits[i * n + j]) - largest)));
    }
    for (int64_t t = 0; t < t_max; t++) {
        normalise(format, n, res, false);
        normalise(format, n, res, true);
    }
}
