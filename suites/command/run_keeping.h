/* Options --checkpoints and --checkpoint-every of run. */
#ifndef RUN_KEEPING_H
#define RUN_KEEPING_H

#include "suites/case/suite.h"
#include "suites/study/study.h"

/* From the values of the options, NULL where not given; the folder comes into being unless the run is dry. false:
 * reported. */
bool keeping_read(struct study_keeping *, const char *folder, const char *every, bool dry_run);
/* Whether some case keeps checkpoints. */
bool keeping_serves(const struct suite *);

#endif
