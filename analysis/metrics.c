#include "analysis/metrics.h"

const struct mhc_metric_info mhc_metric_info[MHC_METRICS] = {
#define METRIC(id, group, scale, unit, text) {#id, MHC_GROUP_##group, MHC_##scale, unit, text},
    MHC_METRIC_LIST(METRIC)
#undef METRIC
};
