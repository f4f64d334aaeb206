/* The experiments: what a case computes and sends back. Runs in the worker; the parent sees results only. */
#ifndef STUDY_H
#define STUDY_H

#include "analysis/analysis.h"
#include "suites/case/params.h"
#include "suites/worker/worker.h"

struct study_result {
    char reason[256];      /* empty: good */
    double seconds, began; /* of computing; on the monotonic clock */
    int64_t L, n;
    struct mhc_curves curves;
    double *panels, panel_log10_scale[6]; /* [6][n][n], or NULL */
    double *qr_spectrum;                  /* [L][n], or NULL */
    struct kernel_result *kernel;         /* of study kernels, which has no layers; or NULL */
    struct overhead_result *overhead;     /* of study overhead; or NULL */
};

/* Computes a case in this process. */
void study_run(const struct params *, struct study_result *);
/* A study may have checkpoints. It calls this wherever what it has so far stands, whatever comes later. A worker sends
 * that to the parent at once, which writes it. `missing` says what is still to come: "account not done". */
void study_checkpoint(const struct study_result *, const char *missing);
void study_release(struct study_result *);

/* Bytes a case needs and that are there; false: it cannot run at all, one line in `why`. */
bool study_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);

/* Floating-point operations of a case, roughly: what `list` makes its estimate of time from; and what it takes beside them. */
double study_flops(const struct params *);
double study_seconds(const struct params *);

/* The same through a worker. The listener hears of every checkpoint, and ends the case by false. A case that fails
 * after a checkpoint, in whatever way, leaves what it had there. Its `reason` then begins with RECORD_UNFINISHED, and
 * says what is missing and why. */
struct study_listener {
    bool (*checkpoint)(void *user, const struct study_result *so_far); /* reason: RECORD_UNFINISHED, what is missing */
    void *user;
};
bool study_request(struct worker *, const struct params *, double seconds, const struct study_listener *,
                   struct study_result *);
bool study_estimate_request(struct worker *, const struct params *, double *needed, double *available, char *why,
                            size_t why_size);
void study_answer(struct message *request, struct message *reply);          /* handler "study" */
void study_estimate_answer(struct message *request, struct message *reply); /* handler "estimate" */

#endif
