#include "suites/report/shows.h"

const struct show shows[STUDIES] = {
    [STUDY_MAPS] = {.tables = show_given},
    [STUDY_KERNELS] = {.tables = show_kernels},
    [STUDY_RECOMPUTE] = {.tables = show_recompute},
    [STUDY_TRAIN] = {.tables = show_train},
    [STUDY_OVERHEAD] = {.tables = show_overhead, .headline = show_overhead_headline},
};
