/* Raw samples of all subjects of a case, on their way from the timing loop through the pipe into the record. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "suites/worker/worker.h"
#include "analysis/ratio.h"
#include "suites/timing/timing.h"

/* The sample of round k of a subject is at [subject * room + k]; NaN beyond a subject's own rounds. */
struct samples {
    int64_t rounds, room;
    double *seconds, *clock;
    int8_t *order, *flags;
};

/* Room for so many rounds of each subject; none are there yet. false: out of memory. Release in any case. */
bool samples_open(struct samples *, int subjects, int64_t room);
void samples_release(struct samples *);
/* Copies those of a subject of a timed group to its place among all. */
void samples_keep(struct samples *, int subject, const struct timing *, int from);
/* Gives up the room that was not needed, so that room is rounds. */
void samples_close_ranks(struct samples *, int subjects);

/* The first rounds of two subjects as pairs. */
struct mhc_pairs samples_pairs(const struct samples *, int subject, int baseline, int64_t rounds);

void samples_put(struct message *, const struct samples *, int subjects);
bool samples_take(struct message *, struct samples *, int subjects); /* false: out of memory */

#endif
