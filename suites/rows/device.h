/* What a backend's device says of itself: for /env of a record, for the eye before a run, and for `doctor`. */
#ifndef DEVICE_FACTS_H
#define DEVICE_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include "suites/case/suite.h"
#include "suites/worker/worker.h"

enum { DEVICE_TEXT = 560 };

/* "name; driver 1.2; ...", empty for a backend on the host. false: it cannot be opened, one line in `text`. */
bool device_describe(const char *backend, char text[DEVICE_TEXT]);

/* Through a worker, of all backends that a suite names: "cuda: NVIDIA ...; ... | ..."; empty where none has a device
 * to speak of. */
void device_facts(const struct suite *, struct worker *, char text[DEVICE_TEXT]);
void device_answer(struct message *request, struct message *reply); /* handler "device" */

/* The part of a description behind its `index`-th "! ": what would spoil a measurement. false: there are not
 * so many. */
bool device_warning(const char *text, int index, char *part, size_t size);

#endif
