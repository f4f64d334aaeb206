#include "suites/worker/pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { LISTEN = 500 }; /* milliseconds at most until the user is asked whether to go on */

struct pool {
    struct worker *worker;
    struct pollfd *poll;
    bool *busy;
    int count, last; /* last: the one that was heard last */
    double seconds;
    const struct pool_user *user;
};

static void end_call(struct pool *p, int k, struct message *reply, const char *why) {
    p->busy[k] = false;
    if (!p->user->final(p->user->user, k, reply, why))
        worker_stop(&p->worker[k]);
}

/* Gives every free worker a request, as long as there are some; how many are busy then. */
static int hand_out(struct pool *p) {
    int busy = 0;
    for (int k = 0; k < p->count; k++) {
        struct message request = {0};
        while (!p->busy[k] && p->user->next(p->user->user, k, &request)) {
            char why[256];
            p->busy[k] = true;
            if (!worker_send(&p->worker[k], &request, p->seconds, why, sizeof why))
                end_call(p, k, NULL, why);
            message_clear(&request);
        }
        busy += p->busy[k];
    }
    return busy;
}

/* A worker that has something to say or is late, the busy ones in turn; -1: none, for now. */
static int wait_for_one(struct pool *p) {
    int wait = LISTEN;
    for (int k = 0; k < p->count; k++) {
        int left = p->busy[k] ? worker_left(&p->worker[k]) : -1;
        p->poll[k] = (struct pollfd){.fd = p->busy[k] ? p->worker[k].from : -1, .events = POLLIN};
        wait = left >= 0 && left < wait ? left : wait;
    }
    if (poll(p->poll, (nfds_t)p->count, wait) < 0)
        return -1; /* a signal, of which the user knows what it means */
    for (int i = 1; i <= p->count; i++) {
        int k = (p->last + i) % p->count;
        if (p->busy[k] && (p->poll[k].revents || worker_left(&p->worker[k]) == 0))
            return p->last = k;
    }
    return -1;
}

static void hear(struct pool *p, int k) {
    struct message reply;
    char why[256] = "";
    enum worker_outcome outcome = worker_receive(&p->worker[k], &reply, why, sizeof why);
    if (outcome == WORKER_PARTIAL && !p->user->partial(p->user->user, k, &reply)) {
        worker_stop(&p->worker[k]);
        end_call(p, k, NULL, "interrupted");
    } else if (outcome != WORKER_PARTIAL) {
        end_call(p, k, outcome == WORKER_FINAL ? &reply : NULL, why);
    }
    message_clear(&reply);
}

static void run(struct pool *p) {
    for (;;) {
        int busy = hand_out(p);
        if (!p->user->go_on(p->user->user) || !busy)
            break;
        int k = wait_for_one(p);
        if (k >= 0)
            hear(p, k);
    }
    for (int k = 0; k < p->count; k++)
        if (p->busy[k])
            worker_stop(&p->worker[k]);
}

bool pool_run(struct worker *workers, int count, double seconds, const struct pool_user *user) {
    struct pool p = {.worker = workers, .count = count, .seconds = seconds, .user = user};
    p.poll = calloc((size_t)count, sizeof *p.poll);
    p.busy = calloc((size_t)count, sizeof *p.busy);
    bool good = p.poll && p.busy;
    if (good)
        run(&p);
    free(p.poll);
    free(p.busy);
    return good;
}
