/* The experiments: what a case computes and sends back. Runs in the worker; the parent sees results only. */
#ifndef STUDY_H
#define STUDY_H

#include "analysis/analysis.h"
#include "suites/case/params.h"
#include "suites/worker/worker.h"

struct study_result {
    char reason[256]; /* empty: good */
    double seconds;
    int64_t L, n;
    struct mhc_curves curves;
    double *panels, panel_log10_scale[6]; /* [6][n][n], or NULL */
    double *qr_spectrum;                  /* [L][n], or NULL */
    struct kernel_result *kernel;         /* of study kernels, which has no layers; or NULL */
    struct overhead_result *overhead;     /* of study overhead; or NULL */
};

/* Computes a case in this process. */
void study_run(const struct params *, struct study_result *);
void study_release(struct study_result *);

/* Bytes a case needs and that are there; false: it cannot run at all, one line in `why`. */
bool study_estimate(const struct params *, double *needed, double *available, char *why, size_t why_size);

/* Floating-point operations of a case, roughly: what `list` makes its estimate of time from; and what it takes beside them. */
double study_flops(const struct params *);
double study_seconds(const struct params *);

/* The same through a worker. */
bool study_request(struct worker *, const struct params *, double seconds, struct study_result *);
bool study_estimate_request(struct worker *, const struct params *, double *needed, double *available, char *why,
                            size_t why_size);
void study_answer(struct message *request, struct message *reply);          /* handler "study" */
void study_estimate_answer(struct message *request, struct message *reply); /* handler "estimate" */

#endif
