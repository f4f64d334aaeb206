/* Curves: one value per layer for every metric and statistic that is wanted. */
#include <math.h>
#include <stdlib.h>

#include "analysis/analysis.h"

const char *const mhc_statistic_suffix[MHC_STATISTICS] = {"", "_q10", "_q50", "_q90"};

bool mhc_curves_allocate(struct mhc_curves *curves, int64_t L, unsigned groups, bool quantiles) {
    *curves = (struct mhc_curves){.L = L};
    for (int metric = 0; metric < MHC_METRICS; metric++) {
        if (!((unsigned)mhc_metric_info[metric].group & groups))
            continue;
        for (int statistic = MHC_MEAN; statistic < (quantiles ? MHC_STATISTICS : MHC_MEAN + 1); statistic++) {
            double *curve = calloc((size_t)L, sizeof *curve);
            if (!curve) {
                mhc_curves_release(curves);
                return false;
            }
            for (int64_t l = 0; l < L; l++)
                curve[l] = NAN;
            curves->curve[metric][statistic] = curve;
        }
    }
    return true;
}

void mhc_curves_release(struct mhc_curves *curves) {
    for (int metric = 0; metric < MHC_METRICS; metric++)
        for (int statistic = 0; statistic < MHC_STATISTICS; statistic++)
            free(curves->curve[metric][statistic]);
    *curves = (struct mhc_curves){0};
}

double mhc_curve_max(const double *curve, int64_t L) {
    double largest = -INFINITY;
    for (int64_t l = 0; l < L; l++) {
        if (isnan(curve[l]))
            return NAN;
        largest = fmax(largest, curve[l]);
    }
    return largest;
}
