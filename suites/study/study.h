/* The experiments: what a case computes and sends back. Runs in the worker; the parent sees results only.
 *
 * A study is one file, which defines `const struct study study_<name>`, and one line in case/studies.def. How a
 * result goes through the pipe and into the record follows from what it holds; how its tables look is said in
 * report/, from records (shows.h). */
#ifndef STUDY_H
#define STUDY_H

#include "analysis/analysis.h"
#include "suites/case/params.h"
#include "suites/study/timed.h"
#include "suites/study/trained.h"
#include "suites/worker/worker.h"

struct study_result {
    char reason[256]; /* empty: good */
    double seconds;
    int64_t L, n; /* 0 without curves */
    struct mhc_curves curves;
    double *panels, panel_log10_scale[6]; /* [6][n][n], or NULL */
    double *qr_spectrum;                  /* [L][n], or NULL */
    double *mixing;                       /* log10, see mhc_depth_matrix(), or NULL */
    struct timed_result *timed;           /* or NULL */
    struct trained_result *trained;       /* or NULL */
};

/* Where cases keep files beside the record; "": nowhere. */
struct study_keeping {
    char folder[1024]; /* checkpoints, to go on from there */
    int64_t every;     /* steps between them, or EVERY_AUTO */
    int64_t threads;   /* that a case will have; 0: not known yet */
    int64_t anyway;    /* whether to go on from one of another number of threads */
    char maps[1024];   /* maps of study maps */
};
enum { STUDY_PATH = 1200 };
/* The file of a case in such a folder: its connection and seed, for the eye, and the digest of its key. */
void study_path(const struct params *, const char *folder, char path[STUDY_PATH]);

/* What a case is run with. */
struct study_context {
    const struct params *p;
    const struct study_keeping *keeping; /* NULL: nowhere */
    /* Takes the checkpoints, see study_checkpoint(); NULL: only the whole result is wanted. */
    void (*partial)(void *user, const struct study_result *so_far, const char *missing);
    void *user;
};

struct study {
    void (*run)(const struct study_context *, struct study_result *);
    /* Bytes a case needs and that are there; false: it cannot run at all, one line in `why`. */
    bool (*estimate)(const struct params *, double *needed, double *available, char *why, size_t why_size);
    double (*flops)(const struct params *); /* of a case, roughly */
    /* Whether a case can go on from its checkpoint, if there is one; false: one line in `why`. NULL: it keeps none. */
    bool (*resumes)(const struct params *, const struct study_keeping *, char *why, size_t why_size);
    double budgets, warm_ups;                  /* beside them: parts of --budget, and groups that are warmed up */
    const struct timed_schema *(*times)(void); /* NULL: it times nothing */
};
extern const struct study *const studies[STUDIES]; /* studies.c, from studies.def */

/* Computes a case in this process. */
void study_run(const struct study_context *, struct study_result *);
/* A study may have checkpoints. It calls this wherever what it has so far stands, whatever comes later. `missing`
 * says what is still to come: "account not done". A worker sends that to the parent at once, which writes it. */
void study_checkpoint(const struct study_context *, const struct study_result *so_far, const char *missing);
void study_release(struct study_result *);
/* The texts of a case behind its bytes, for another process, and back into the case that came as bytes. */
void study_put_texts(struct message *, const struct params *);
void study_take_texts(struct message *, struct params *);
/* A result as bytes, and back, for this build: what `p` does not say. A message that is too short becomes bad. */
void study_put_result(struct message *, const struct study_result *, const char *reason, double seconds);
void study_take_result(struct message *, const struct params *, struct study_result *);

bool study_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);

/* What `list` makes its estimate of time from: floating-point operations, and seconds beside them. */
double study_flops(const struct params *);
double study_seconds(const struct params *);
/* What can be said of the maps of all layers: curves, and where a record keeps them panels, QR spectrum and depth
 * mixing matrix. pre and post are NULL where they are not known: then nothing of depth mixing. false: out of memory. */
bool study_measure_maps(const struct params *, const struct mhc_depth *, struct study_result *);
/* Operations of that and of the other curves of so many tokens. */
double study_measure_flops(const struct params *, int64_t tokens);

/* A case that a worker computes, in the parent: between its request and its final reply it keeps the last checkpoint. A
 * case that fails after a checkpoint, in whatever way, leaves what it had there. Its `reason` then begins with
 * RECORD_UNFINISHED, and says what is missing and why. */
struct study_call {
    const struct params *p;
    struct study_result last;
    bool there;
};
void study_call_begin(struct study_call *, const struct params *, const struct study_keeping *,
                      struct message *request);
/* What a partial reply has, until the next one; NULL: it cannot be read. */
const struct study_result *study_call_checkpoint(struct study_call *, struct message *partial);
/* The result, from the final reply, or without one (NULL) because of `why`. */
void study_call_end(struct study_call *, struct message *reply, const char *why, struct study_result *);
/* With what is kept, whether it can be gone on from; NULL: nothing is. */
bool study_estimate_request(struct worker *, const struct params *, const struct study_keeping *, double *needed,
                            double *available, char *why, size_t why_size);
void study_answer(struct message *request, struct message *reply);          /* handler "study" */
void study_estimate_answer(struct message *request, struct message *reply); /* handler "estimate" */

#endif
