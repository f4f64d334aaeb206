/* The cases of a run: hands them to workers, writes them as they end, and shows progress. */
#ifndef RUN_CASES_H
#define RUN_CASES_H

#include <signal.h>

#include "suites/study/jobs.h"
#include "suites/study/study.h"

struct case_run {
    const struct suite *suite;
    const struct job *job; /* in the order in which they are handed out */
    int64_t count;
    int at_once;
    bool single;           /* one thread in each worker */
    double bytes, timeout; /* bytes: that those at once may need together; seconds of a case, 0: for ever */
    bool quiet;
    const volatile sig_atomic_t *stopped; /* set when the run shall end */
    /* Writes a case, or the checkpoint of one. false: no further case can be written, one line in record_error(). */
    bool (*write)(void *user, const struct params *, const char *key, const struct study_result *, bool checkpoint);
    bool (*commit)(void *user); /* makes the cases written count in the file; a checkpoint does at once */
    void *user;
    const struct study_keeping *keeping;
    int64_t kept; /* cases of the run that need not run again */
    /* Results. done: in the file, with the failed ones; diverged: cases whose training ended with a loss that is no
     * number. */
    int64_t done, failed, diverged;
};

/* Uses `first`, whether it runs or not, as the one worker of a run with one case at once. false: the end came early
 * because nothing more could be written (reported). */
bool run_cases(struct case_run *, struct worker *first);

#endif
