/* A process in two: foreign code runs in the child, and what it must not touch stays in the process it came from. The
 * child goes on with the program and asks; the other answers from memory of its own, and ends as the child ends. */
#ifndef SPLIT_H
#define SPLIT_H

#include "suites/worker/worker.h"

/* Answers in the process that stays clean; `reply` NULL: none is waited for. */
typedef void split_answer(struct message *request, struct message *reply);

/* Forks, before the process has threads. Returns in the child alone; false: there can be no other process, and this one
 * goes on whole. `hidden` is shared memory that the child is to have no part in. */
bool split(split_answer *, void *hidden, size_t hidden_size);
bool split_is(void); /* whether this is such a child */

/* From the child. The other process works at a request without `reply` while the child goes on. false: the other
 * process has ended. */
bool split_ask(const struct message *request, struct message *reply);

#endif
