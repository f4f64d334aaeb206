/* `mhcbench regress`: two libraries of operations in one process, case by case. The worker's side knows libraries.
 * It answers one question at a time, so that a crash can be charged to one library. The parent's side knows verdicts
 * and never opens a library. */
#ifndef REGRESS_H
#define REGRESS_H

#include <signal.h>

#include "suites/case/suite.h"
#include "suites/worker/worker.h"
#include "suites/gate/gate_report.h"
#include "suites/study/kernel_case.h"

enum regress_side { REGRESS_BASE, REGRESS_NEW };
extern const char *const regress_side_name[2]; /* "the old library", "the new library" */

enum regress_step {
    REGRESS_LIBRARY, /* what it is */
    REGRESS_SUPPORT, /* whether it has the operation for the case, and the memory */
    REGRESS_SHARP,   /* whether its row is right in the fixed cases of `check`; answered once per row */
    REGRESS_RIGHT,   /* whether it is right, and has the other's bits, if the other was asked before */
    REGRESS_TIME     /* both, side by side */
};

struct regress_question {
    int32_t step, side, measurement;
    bool alone;    /* TIME: the old library against itself */
    bool trusting; /* a row's own tolerance counts, however wide */
    bool copies;   /* libraries are opened from fresh copies of their files, in a fresh worker */
    char kind[64]; /* another form of the operation's kind, "mhc-micro"; "": the kind itself */
    struct params p;
};

enum { REGRESS_KINDS = 16 };
struct regress_answer {
    /* LIBRARY */
    char build[200], name[64], kinds[REGRESS_KINDS][64]; /* kinds of rows that the reference lacks */
    bool device, timed;                                  /* host executors are no device and say nothing of its time */
    /* all others */
    bool opened;    /* both libraries */
    bool no_memory; /* which is no fault of the library */
    /* SUPPORT */
    bool supported;
    double needed, available; /* bytes */
    double held;              /* bytes of these that the operation asks its caller for: save and work */
    /* RIGHT */
    struct accuracy accuracy;
    bool unstable, compared;     /* two runs differ in bits; the other library's bits were known */
    int64_t elements, different; /* elements of its outputs; those that differ from the other library's */
    char first[64];              /* the first that differs */
    /* TIME */
    struct mhc_interval change, together; /* time new / old: of this measurement; of the case so far */
    double copies;                        /* time of the old in copies of as many bytes; NaN: there is none */
    double throttled, not_held;           /* shares of the samples */
    int64_t rounds;                       /* rounds that count */
    bool vary;                            /* the new one's bits varied while it was timed, the old one's did not */
    double too_fast;                      /* how often faster than 1.5 times a copy the new one is; <= 1: it is not */
    bool after;                           /* it was timed, and in a later call it was not right */
    int32_t wrong;                        /* side that failed while it was timed or after; -1: none, or unknown */
};

/* The worker's note of which side runs. If the worker ends while both are timed, it tells which library to charge. */
struct regress_note {
    int32_t running;        /* 1 + side; 0: neither */
    double since, spent[2]; /* s of the monotonic clock; of each side before that */
};
_Static_assert(sizeof(struct regress_note) <= WORKER_NOTE, "a note has no room for it");
void regress_mark(int side); /* from here on that side runs */

void regress_answer(struct message *request, struct message *reply); /* handler "regress" */

/* --- one case of one library, in the worker --- */

struct regress_case {
    struct examination e, twin; /* twin: other inputs with the same ends */
    bool open, joined;          /* joined: inputs and answer are the other's */
    struct outcome made;        /* once it was right */
};

/* Runs the last row twice in guarded memory, poisoned in two ways. NULL: it wrote all it should and nothing else,
 * within its tolerance; else what is wrong. `other` is the case whose bits to compare with, if it has some. */
const char *regress_case_right(struct regress_case *, const struct regress_case *other, struct regress_answer *);
/* Times both libraries and a copy in shuffled rounds, then checks that both are still right. */
const char *regress_case_time(const struct regress_case side[2], const struct regress_question *,
                              struct regress_answer *);

/* --- the parent's side --- */

enum { REGRESS_PATH = 4096 };
struct regress {
    struct gate_options options;
    struct gate_report report;
    struct worker worker;
    const char *given[2];          /* libraries as the user named them; the new one NULL: not at all */
    char path[2][REGRESS_PATH];    /* for backend_open() */
    struct regress_answer what[2]; /* to the question LIBRARY */
    double timeout;                /* seconds per step of a case */
    bool every_map;                /* no map was asked for: further maps count only where both libraries have them */
    int64_t one_sided;             /* cases left out because one library alone has their map */
    bool trusting;                 /* --trust-tolerance */
    const char *reference;         /* a library of the old build with float64 rows; NULL: none is at hand */
    bool counters;                 /* --counters */
    const char *record;            /* --record FILE.h5: where its findings are added; NULL: nowhere */
};
extern volatile sig_atomic_t regress_stopped; /* by a signal */

/* Asks the worker. false: `why` says what the library did, or how the worker ended. */
bool regress_ask(struct regress *, const struct regress_question *, double seconds, struct regress_answer *, char *why,
                 size_t why_size);

/* Compares g->reference with this program's in the operations of a suite; where they differ, the report's first line
 * says so. */
void regress_compare_references(struct regress *, const struct suite *);

enum { REGRESS_TYPES = 4 }; /* words of --type; the first, widest, is no type */

/* Judges a case whose type is given, in a form of the operation's kind ("": the kind itself). Adds its row to the
 * report if either library has it. Returns EXIT_GOOD, EXIT_INTERRUPTED, or EXIT_CANNOT (reported). */
int regress_judge(struct regress *, const struct params *, const char *kind);

/* The same by what both libraries count, for every row of the operation; the other function is the worker's handler
 * "counters". See regress_counters.c. */
int regress_counters(struct regress *, const struct params *, const char *kind);
void regress_counters_answer(struct message *request, struct message *reply);

#endif
