#include "suites/study/given.h"

#include <stdio.h>
#include <stdlib.h>

#include "results/maps_file.h"
#include "suites/rows/backend.h"
#include "suites/study/train.h"

/* The file may be another by now. */
static const char *look(const struct params *p, struct maps_shape *shape) {
    if (!maps_file_look(p->from, shape))
        return record_error();
    bool same = shape->L == p->depth && shape->T == p->tokens && shape->n == p->streams && p->seed <= shape->seeds;
    return same ? NULL : "the maps of --from have another shape than when the run began";
}

static const char *measure(const struct study_context *context, const struct maps_shape *shape, double *res,
                           double *pre, double *post, struct study_result *r) {
    const struct params *p = context->p;
    if (!maps_file_read(p->from, shape, p->seed - 1, (enum maps_order)p->order, res, pre, post))
        return record_error();
    return maps_result(context, res, pre, post, r);
}

void given_run(const struct study_context *context, struct study_result *r) {
    struct maps_shape shape;
    const char *why = look(context->p, &shape);
    const size_t vectors = why ? 0 : (size_t)(shape.L * shape.T * shape.n) * sizeof(double);
    double *res = why ? NULL : malloc(vectors * (size_t)shape.n), *pre = !why && shape.pre ? malloc(vectors) : NULL,
           *post = !why && shape.post ? malloc(vectors) : NULL;
    if (!why)
        why = res && (pre || !shape.pre) && (post || !shape.post) ? measure(context, &shape, res, pre, post, r)
                                                                  : "out of memory";
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    free(res);
    free(pre);
    free(post);
}

bool given_estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend cpu;
    if (!backend_open(&cpu, "cpu64", why, why_size))
        return false;
    const double n = (double)p->streams;
    *needed = 8 * (double)p->depth * (double)p->tokens * (n * n + 2 * n) +
              mhc_measure_bytes(p->depth, p->tokens, p->streams);
    *available = (double)backend_available(&cpu);
    backend_close(&cpu);
    return true;
}

double given_flops(const struct params *p) {
    return study_measure_flops(p, p->tokens);
}
