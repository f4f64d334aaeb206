/* Some calls of a sample get other inputs at the same pointers, and outputs that hold numbers but no answer. No
 * library knows beforehand which. After the sample their bits are compared with those of a call that the reference
 * judged; where they differ, the reference judges again. That finds a library that returns at once, returns an
 * earlier answer, or is wrong in one of a thousand calls. */
#ifndef REGRESS_LOOKS_H
#define REGRESS_LOOKS_H

#include "suites/gate/regress.h"

enum { DRAWS = 2 };
struct looks {
    const struct examination *draw[DRAWS];
    char *image[DRAWS];          /* of a set: the inputs of a draw, spoilt outputs */
    char *answer[DRAWS];         /* of a set after a call on that image; NULL: not yet known */
    int64_t start, first, count; /* the sample's first set; the first and the number of its calls that are looked at */
    int64_t calls, last_calls, samples; /* calls of the sample, and of the last one */
    int64_t looked;                     /* calls in all samples */
    int turn;
    bool vary; /* bits differed and were right */
};

/* All return NULL, or what is wrong; looks_close() in either case. */

/* `inputs` and `save` by draw. */
const char *looks_open(struct looks *, const struct bound_row *, const struct regress_case *,
                       const struct regress_case *inputs, const struct save save[DRAWS]);
void looks_close(struct looks *);

/* Spoils sets before a sample. `next`, counted on, is the set of its first call. */
const char *looks_spoil(struct looks *, const struct bound_row *, int64_t next, uint64_t *random);
/* Judges them after it. */
const char *looks_judge(struct looks *, const struct bound_row *);

/* After the last sample: makes and judges further calls, for so many seconds at most, if too few were looked at to
 * find what is wrong in one of a thousand. */
const char *looks_complete(struct looks *, struct bound_row *, double seconds, uint64_t *random);

#endif
