/* The timing loop: a group of subjects in one process. Rounds visit every subject once, in a freshly shuffled order, so
 * that a slow spell of the machine hits all alike, and what the loop works towards is the median ratio of each subject
 * to the first, taken round by round. Whether the subjects are right is the caller's to know, before. */
#ifndef TIMING_H
#define TIMING_H

#include "suites/rows/backend.h"

enum { TIMING_SUBJECTS = 32 };

struct timing_subject {
    const char *(*run)(void *user, int64_t set); /* queues one call on buffer set 0..sets-1; NULL, or why it failed */
    void *user;
    int64_t sets; /* >= 1; calls rotate over them, see timing_sets() */
    /* That a call queues at most; 0: unknown, or it waits for the device itself: the queue is never held. */
    int launches;
};

/* Where time comes from. Texts: NULL, or why it failed. */
struct timing_clock {
    void *user;
    const char *(*start)(void *user);
    const char *(*stop)(void *user, double *seconds); /* once every output is final: seconds since start() */
    double (*now)(void *user);                        /* wall time, for budgets */
    int64_t (*preemptions)(void *user);               /* so far; NULL: unknown */
    double (*frequency)(void *user);                  /* of the device in the last sample, Hz; NULL, NaN: unknown */
    const char *(*hold)(void *user);           /* before start(): keeps the device from what follows; NULL: it cannot */
    const char *(*release)(void *user);        /* within the sample: lets it go */
    bool (*held_in_vain)(void *user);          /* hold() did not keep the device from the last sample; NULL: unknown */
    void (*pause)(void *user, double seconds); /* for a device to cool down; NULL: none */
};

/* A device's own events where it has them, else the wall clock around a synchronised queue; what its probe can do.
 * false: no memory or no events, one line in `why`. */
bool timing_clock_open(struct timing_clock *, const struct backend *, char *why, size_t why_size);
void timing_clock_close(struct timing_clock *);

struct timing_rules {
    double sample_seconds;  /* a sample is as many calls as last this long */
    bool even;              /* and as long as the other subjects' samples, see timing_even_batches() */
    double warm_up_seconds; /* of every subject, before the first round */
    double settled;         /* and until its clock varies by less over ten samples, as a share; 0: not waited for */
    /* Wall time, from which on neither that nor three calls that take the same time are waited for. */
    double settle_seconds;
    int64_t least_rounds, most_rounds;
    double least_seconds; /* of every subject, summed over its samples */
    double most_seconds;  /* wall time of the rounds; wins over the minima */
    bool model;           /* times are computed: one sample says all, and there is no interval */
    double half_width;    /* wanted of the 95 % interval of every median ratio, as a share of it */
    uint64_t seed;        /* of the shuffling */
    int alike; /* the first so many subjects get the same batch: what a sample costs beside its calls is alike then */
};

/* Samples of 200 us at least: long beside the steps of any clock, and short beside the turns other work takes on a
 * shared CPU, so that most are undisturbed. 30 rounds and 0.1 s at least, half-width 1 %. */
struct timing_rules timing_rules_for(const struct backend *, int64_t most_rounds, double most_seconds);

enum timing_stop { TIMING_GO_ON, TIMING_PRECISE, TIMING_ROUNDS, TIMING_SECONDS, TIMING_MODEL, TIMING_STOPS };
extern const char *const timing_stop_name[TIMING_STOPS]; /* "", "precise", "rounds", "seconds", "MODEL" */

/* NOT_HELD: though it should have been, so that gaps between launches were timed too. */
enum { TIMING_PREEMPTED = 1, TIMING_THROTTLED = 2, TIMING_NOT_HELD = 4 };
/* Share of so many samples that have a flag; NaN of none. */
double timing_flagged(const int8_t *flags, int64_t samples, int flag);
#define TIMING_SLOW_CLOCK 0.85 /* below this share of the warm-up's clock a sample counts as throttled */

/* A queue is held while so many launches are put into it at most: a device takes no endless number of them, and one
 * that waits for room in a queue that waits for it never comes back. */
enum { TIMING_HELD_LAUNCHES = 30 };
/* After so many throttled samples in a row no pause helps. */
enum { TIMING_MOST_THROTTLED = 20 };

/* Every sample but those of the first round: sample `round` of subject s is at [s * room + round]. */
struct timing {
    int subjects;
    int64_t rounds, room;
    int64_t batch[TIMING_SUBJECTS]; /* calls a sample */
    double *seconds;                /* of one call */
    double *clock;                  /* as a share of the clock in the warm-up; NaN: unknown */
    int8_t *order, *flags;          /* place in the round, from 0; TIMING_ bits */
    int64_t throttled_in_a_row, pauses;
    enum timing_stop stop;
};

/* Times the subjects. NULL, or why it failed; release in either case. */
const char *timing_run(struct timing *, const struct timing_subject *, int subjects, const struct timing_rules *,
                       const struct timing_clock *);
void timing_release(struct timing *);

/* The parts that decide something, for tests. */

/* Calls of the next trial after `batch` calls took `seconds`; the same number: that is the batch. A sample of more than
 * one call lasts from `wanted` to twice that; from trial to trial a batch grows tenfold at most. */
int64_t timing_next_batch(int64_t batch, double seconds, double wanted);

/* Batches of samples that last equally long, given those that each subject needs and the seconds of a call. */
void timing_even_batches(int64_t *batch, const double *call, int subjects);
#define TIMING_ALIKE 0.25 /* calls of two subjects that differ by less, as a share, make up samples of equally many */

/* Calls of a sample that a held queue is given before it is let go; 0: it is not held. */
int64_t timing_held_calls(int64_t batch, int launches);

/* Seconds to wait after so many throttled samples in a row: from 0.05 doubling to 0.5; 0 after none and once there
 * were too many. */
double timing_pause(int64_t throttled_in_a_row);

/* Whether the last ten of `count` clocks lie within `share` of their median; so are clocks that are unknown. */
bool timing_settled(const double *clocks, int64_t count, double share);

/* A permutation of 0..count-1 that depends on seed and round alone. */
void timing_shuffle(int *order, int count, uint64_t seed, int64_t round);

/* Whether to stop, `elapsed` seconds after the first round began. */
enum timing_stop timing_decide(const struct timing *, const struct timing_rules *, double elapsed);

/* Buffer sets of `set_bytes` to rotate over so that a set has left a cache of `cache_bytes` when its turn comes again;
 * fewer, at least 1, where `memory_bytes` hold no more. */
int64_t timing_sets(int64_t set_bytes, int64_t cache_bytes, int64_t memory_bytes);

/* Last-level cache of the machine. For a device it is twice what its probe says, for a set need not leave it in the
 * order of use; where it does not say, more than any has. 0 for the emulator, whose times say nothing of a cache. */
int64_t timing_cache_bytes(const struct backend *);

#endif
