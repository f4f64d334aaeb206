/* A fibre: a stack and a place to go on. Switching costs a few instructions on x86-64 and goes through ucontext
 * elsewhere; the sanitizers are told of every switch. */
#ifndef FIBRE_H
#define FIBRE_H

#include <stddef.h>

struct fibre;

/* A fibre with a stack of its own; NULL when there is no memory. Used again and again until it is destroyed, which
 * nothing running on it may be. */
struct fibre *fibre_create(void);
void fibre_destroy(struct fibre *);
/* Its stack. */
const void *fibre_stack(const struct fibre *, size_t *bytes);

/* Runs body(argument) on the fibre from its start, until it yields or returns; fibre_resume goes on where it yielded.
 * Both are called by the thread's own stack only. */
void fibre_start(struct fibre *, void (*body)(void *), void *argument);
void fibre_resume(struct fibre *);
/* Called on a fibre: goes back to the stack that started or resumed it. */
void fibre_yield(void);

#endif
