/* Some calls of a sample, which no library knows beforehand, get other inputs at the same pointers and outputs that
 * hold numbers but no answer, and are looked at after the sample. Bits are compared with those of a call that was
 * judged by the reference; where they differ, the reference judges again. So a library is found that returns at once,
 * returns what it made before, or is wrong in one of a thousand calls. */
#ifndef REGRESS_LOOKS_H
#define REGRESS_LOOKS_H

#include "suites/gate/regress.h"

enum { DRAWS = 2 };
struct looks {
    const struct examination *draw[DRAWS];
    char *image[DRAWS];                 /* of a set: the inputs of a draw, spoilt outputs */
    char *answer[DRAWS];                /* of a set after a call on that; NULL: not yet known */
    int64_t start, first, count;        /* the sample's first set; of its calls those that are looked at */
    int64_t calls, last_calls, samples; /* calls of the sample, and of the last one */
    int turn;
    bool vary; /* bits differed and were right */
};

/* All return NULL, or what is wrong; looks_close() in either case. */

/* `inputs` and `save` by draw. */
const char *looks_open(struct looks *, const struct bound_row *, const struct regress_case *,
                       const struct regress_case *inputs, const struct save save[DRAWS]);
void looks_close(struct looks *);

/* Before a sample whose next call is on set `next`, counted on. */
const char *looks_spoil(struct looks *, const struct bound_row *, int64_t next, uint64_t *random);
/* After it. */
const char *looks_judge(struct looks *, const struct bound_row *);

#endif
