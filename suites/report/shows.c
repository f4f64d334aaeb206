#include "suites/report/shows.h"

const struct show shows[STUDIES] = {
    [STUDY_MAPS] = {show_given, show_maps_headline},
    [STUDY_PROPAGATE] = {.headline = show_propagate_headline},
    [STUDY_KERNELS] = {show_kernels, show_kernels_headline},
    [STUDY_RECOMPUTE] = {show_recompute, show_recompute_headline},
    [STUDY_OVERHEAD] = {show_overhead, show_overhead_headline},
    [STUDY_TRAIN] = {show_train, show_train_headline},
};
