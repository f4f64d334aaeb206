/* What a case of a study that times something leaves: samples of its subjects, and scalars. */
#ifndef TIMED_H
#define TIMED_H

#include "results/record.h"
#include "suites/timing/samples.h"

/* What a study times, side by side, and the scalars it makes of a case under /timing and /accuracy. A record has
 * those of all studies among its cases, those of one name once. */
struct timed_schema {
    const char *const *subjects;
    const struct record_curve *timings, *errors;
    int subject_count, timing_count, error_count;
};

struct timed_result {
    const struct timed_schema *schema;
    struct samples samples; /* of the schema's subjects; rounds 0: not timed */
    int64_t *batch, *sets;  /* [subjects]; batch 0: not in the group */
    char stop[16];
    char note[400];         /* what a case that is done has to say */
    double *timing, *error; /* [timings], [errors]; NaN: not known */
};

/* What a case says whose times are computed. */
#define TIMED_MODEL "MODEL: its times are computed from bytes and flops, nothing was run, measured or checked"

/* Says why the rounds ended. */
void timed_result_stop(struct timed_result *, enum timing_stop);

/* A result that says nothing yet; NULL: out of memory. */
struct timed_result *timed_result_new(const struct timed_schema *);
void timed_result_release(struct timed_result *);
/* Takes over the samples of a group whose members are `subject[]` among all subjects, with `sets` of each; the others
 * are NaN. false: out of memory. */
bool timed_result_keep(struct timed_result *, const struct timing *, const int *subject, const int64_t *sets);

void timed_result_put(struct message *, const struct timed_result *);
/* NULL: out of memory. */
struct timed_result *timed_result_take(struct message *, const struct timed_schema *);

#endif
