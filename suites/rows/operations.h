/* `--operation mhc.*` means the operations of that pattern that a case's backend has. An operation that is named in
 * full must be there. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "suites/case/suite.h"
#include "suites/worker/worker.h"

/* Leaves out of a suite the cases that a pattern made and whose backend lacks the operation, and names them in
 * `note` ("": none). If a backend cannot be opened nothing is left out, because its cases then say why. false:
 * nothing is left, or out of memory, one line in `note`. */
bool operations_narrow(struct suite *, struct worker *, char *note, size_t note_size);
void operations_answer(struct message *request, struct message *reply); /* handler "operations" */

#endif
