/* Options --checkpoints, --checkpoint-every and --maps of run. */
#ifndef RUN_KEEPING_H
#define RUN_KEEPING_H

#include "suites/case/suite.h"
#include "suites/study/study.h"

/* Their values, NULL where not given. */
struct keeping_options {
    const char *checkpoints, *every, *maps;
};

/* Makes the folders unless the run is dry. false: reported. */
bool keeping_read(struct study_keeping *, const struct keeping_options *, bool dry_run);
/* Whether some case has a checkpoint or maps to keep. false: reported. */
bool keeping_serves(const struct study_keeping *, const struct suite *);

#endif
