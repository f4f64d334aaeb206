/* The list of studies. */
#include "suites/study/study.h"

#define STUDY(ID, name, traits, help) extern const struct study study_##name;
#include "suites/case/studies.def"
#undef STUDY

const struct study *const studies[STUDIES] = {
#define STUDY(ID, name, traits, help) [STUDY_##ID] = &study_##name,
#include "suites/case/studies.def"
#undef STUDY
};
