/* Cases run in a worker: this very program, executed again with `--worker`, which opens the backend, computes and
 * sends plain bytes back through a pipe. A crash, a hang, a poisoned device or no memory is one failed request and a
 * fresh worker. */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORKER_NOTE = 64, WORKER_STAGE = 64, WORKER_RULING = 1024 };
struct worker {
    int pid, to, from;        /* pid 0: not running */
    bool single;              /* one thread each for OpenMP and BLAS, whatever the environment says */
    double seconds, deadline; /* that its call may take, and the clock's time then; 0: for ever */
    void *note; /* of the last one: WORKER_NOTE bytes, zero at first, that can be read when it has died; NULL: none. */
                /* Behind it lie WORKER_STAGE bytes, see worker_stage(). */
    void *ruling; /* the same of WORKER_RULING bytes, for a process that it may leave behind: split.h; NULL: none */
};

/* A growing or a parsed message. Writers append, readers take; a reader that runs past the end sets `bad` and gets
 * zeros. */
struct message {
    unsigned char *data;
    size_t size, at;
    bool bad;
};
void message_put(struct message *, const void *, size_t);
void message_put_text(struct message *, const char *);
void message_take(struct message *, void *, size_t);
const char *message_take_text(struct message *); /* points into the message; "" when bad */
void message_clear(struct message *);

/* Answers one request in the worker: fills `reply`. The first text of a request names its handler. */
struct worker_handler {
    const char *name;
    void (*answer)(struct message *request, struct message *reply);
};

/* Seconds of the monotonic clock, which all processes share. */
double worker_now(void);

/* The file of this program, absolute; where there is no /proc, what it was started as. */
const char *worker_program(void);

/* Sends a request and waits at most `seconds` (0: for ever) for the final reply; partial ones are dropped. false: one
 * line in `why`, and the worker is gone; the next call starts a new one.
 * Interrupted by a signal (SIGINT): the worker is stopped, `why` says interrupted. */
bool worker_call(struct worker *, const struct message *request, struct message *reply, double seconds, char *why,
                 size_t why_size);

/* The same in its parts, for several workers at once (pool.h): a request is sent, and replies are received until one is
 * final, or the worker is gone and `why` says why. Receiving waits at most until the deadline. */
enum worker_outcome { WORKER_FINAL, WORKER_PARTIAL, WORKER_GONE };
bool worker_send(struct worker *, const struct message *request, double seconds, char *why, size_t why_size);
enum worker_outcome worker_receive(struct worker *, struct message *reply, char *why, size_t why_size);
int worker_left(const struct worker *); /* milliseconds to its deadline, 0 when it has passed, -1: there is none */
void worker_stop(struct worker *);

/* What a worker is at in its call, as it last said so by worker_at(); "": it has not. For a line of progress: the text
 * may be half one and half the next. */
void worker_stage(const struct worker *, char text[WORKER_STAGE]);

/* The worker's side. What it is at, "round 12 of 500", a count of 0 left out; no effect where there is no worker. */
void worker_at(const char *stage, int64_t done, int64_t of);
/* Its note; a partial reply while it answers, which goes nowhere in a process that is no worker; serving until its
 * input ends. */
void *worker_note(void);
void *worker_ruling(void); /* once; NULL: there is none */
void worker_send_partial(const struct message *);
int worker_main(const struct worker_handler *handlers);

#endif
