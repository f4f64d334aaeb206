#include "analysis/metrics.h"

#include <math.h>
#include <string.h>

#define NONE 0, -INFINITY, false
#define BY(x) x, -INFINITY, false
#define ABOVE(x) 0, x, false
#define RESOLVED 0, -INFINITY, true
#define METRIC(id, group, scale, subject, direction, slack, unit, text) \
    {#id, MHC_GROUP_##group, MHC_##scale, MHC_OF_##subject, MHC_RUNS_##direction, slack, unit, text},

const struct mhc_metric_info mhc_metric_info[MHC_METRICS] = {MHC_METRIC_LIST(METRIC)};

enum mhc_metric mhc_metric_of(const char *name) {
    int best = MHC_METRICS;
    for (int m = 0; m < MHC_METRICS; m++) {
        size_t length = strlen(mhc_metric_info[m].name);
        if (!strncmp(name, mhc_metric_info[m].name, length) && (!name[length] || name[length] == '_') &&
            (best == MHC_METRICS || length > strlen(mhc_metric_info[best].name)))
            best = m;
    }
    return (enum mhc_metric)best;
}
