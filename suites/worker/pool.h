/* Several workers at once: whichever is free gets the next request. One thread serves them all, so that what their user
 * writes has one writer. */
#ifndef POOL_H
#define POOL_H

#include "suites/worker/worker.h"

/* `worker` is the place of the worker among them: what a call belongs to. */
struct pool_user {
    /* The request for a worker that is free. false: there is none, or none as long as the others run. */
    bool (*next)(void *user, int worker, struct message *request);
    /* A partial reply. false: the call ends as by a signal. */
    bool (*partial)(void *user, int worker, struct message *);
    /* The final reply; NULL where there is none, because of `why`. false: the next request goes to a fresh worker. */
    bool (*final)(void *user, int worker, struct message *reply, const char *why);
    /* Asked whenever every worker has got what there was, and twice a second. false: all calls end. */
    bool (*go_on)(void *user);
    void *user;
};

/* Runs until there is no further request and no worker is busy, or until told to end. Each call may take `seconds` (0:
 * for ever). false: out of memory. Workers that are left may be called again or stopped. */
bool pool_run(struct worker *, int count, double seconds, const struct pool_user *);

#endif
