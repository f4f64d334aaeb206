/* What is measured of a stack while it runs: streams, maps and their logits, gradients. Studies propagate and train. */
#ifndef PROBE_H
#define PROBE_H

#include "suites/stack/execute.h"
#include "suites/study/study.h"

struct probe {
    const struct params *p;
    const struct program_spec *spec; /* of the program that runs */
    struct study_result *result;     /* its curves are filled */
    double *gradient;                /* room for the largest parameter, which between two calls nothing else uses */
    double *x;                       /* [T][n][C] of the layer at hand */
    double *res;                     /* [L][T][n][n], NULL when no map is measured */
    double *pre, *post;              /* [L][T][n], NULL with it */
    void *logits, *work;             /* of row mhc.logits, in the backend's memory */
    double *logits_host;
    const struct mhc_row *logits_row;
    double branch_norm, connection_norm;
};

/* Whether a case measures one of these groups; those that need res. */
bool probe_wants(const struct params *, unsigned groups);
enum { PROBE_OF_MAPS = MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING | MHC_GROUP_REACH };

/* Takes the memory and the curves of the result, from p, spec and result. false: out of memory; close in any case. */
bool probe_open(struct probe *);
void probe_close(struct probe *);

/* What was gathered, for study_measure_maps(). */
struct mhc_depth probe_depth(const struct probe *);

/* Is to be called behind every call of a program whose connections are rows of their own, not fused across layers:
 * `after` of struct program_owner, user is the probe. When the program is done, res has all maps. */
const char *probe_measure(void *user, const struct program *, const struct program_call *);

#endif
