/* One case on its way to a verdict. Internal to regress_judge.c and regress_speed.c. */
#ifndef REGRESS_ENTRY_H
#define REGRESS_ENTRY_H

#include "suites/gate/regress.h"

struct regress_entry {
    struct regress *gate;
    const struct params *p;
    const char *kind; /* a form of the operation's kind, or "" */
    struct regress_question question;
    double seconds; /* time limit of a step */
    struct regress_answer right[2];
    char why[2][MAX_FAILURE + 320];
    double held[2], needed[2];             /* bytes that each library asks its caller for; bytes of the whole case */
    bool has[2], good[2], again, lacks[2]; /* lacks: needs more than there is */
    char memory[300];                      /* which library had no memory, or was killed for it; "": none */
};

void regress_fail(struct gate_row *, enum mhc_verdict);

/* Notes that memory was lacking: neither library is to blame, and nothing is compared. `why` is what the library
 * said or how the worker ended. */
void regress_lack_memory(struct regress_entry *, const char *who, const char *why);
bool regress_was_killed(const char *why);

/* Times a case that both sides do right, as often as it takes, and writes its row. */
void regress_settle_speed(struct regress_entry *, struct gate_row *);

#endif
