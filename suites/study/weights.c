#include "suites/study/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/philox.h"
#include "results/maps_file.h"
#include "suites/case/sites.h"
#include "suites/rows/backend.h"
#include "suites/study/train.h"

/* What one site is computed with: inputs and outputs of mhc.pre. The static map is that of streams that are 0. */
struct work {
    const struct params *p;
    struct sites *sites;
    struct states_shape states;
    struct backend cpu;
    const struct mhc_row *row;
    struct mhc_case c;
    double *x, *fn, *phi, *u, alpha[SITE_SCALES], b[MHC_MAX_STREAMS * (MHC_MAX_STREAMS + 2)];
    double *pre, *post, *res; /* of all sites */
    void *save, *scratch;
};

static int64_t columns(const struct mhc_case *c) {
    return c->n * (c->n + 2);
}

static double *doubles(int64_t count) {
    const size_t bytes = ((size_t)count * sizeof(double) + 64) / 64 * 64;
    double *memory = aligned_alloc(64, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static const char *open_work(struct work *w, const struct params *p) {
    static _Thread_local char why[256];
    const char *reason = NULL;
    *w = (struct work){.p = p};
    w->sites = sites_open(p->from);
    if (!w->sites)
        return record_error();
    const int64_t L = p->depth, T = p->tokens, n = p->streams;
    const bool fixed = params_states(p) == STATES_STATIC;
    if (w->sites->count != L || w->sites->site[0].n != n || (!fixed && !w->sites->dynamic))
        return "the weights of --from have another shape than when the run began";
    if (params_states(p) == STATES_FILE && !states_file_look(p->states, &w->states))
        return record_error();
    const struct states_shape *x = &w->states;
    if (params_states(p) == STATES_FILE && (x->L != L || x->T != T || x->n != n || x->C != w->sites->site[0].C))
        return "the streams of --states have another shape than when the run began";
    if (!backend_open(&w->cpu, "cpu64", why, sizeof why))
        return why;
    w->c = (struct mhc_case){.T = T,
                             .n = n,
                             .C = fixed ? 1 : w->sites->site[0].C,
                             .t_max = p->t_max,
                             .rms_eps = p->rms_eps,
                             .sinkhorn_eps = p->sinkhorn_eps,
                             .map = MHC_SINKHORN,
                             .convention = (int32_t)p->convention};
    backend_types(&w->cpu, -1, &w->c);
    w->row = backend_row(&w->cpu, "mhc", "pre", &w->c, &reason);
    if (!w->row)
        return reason;
    const int64_t D = n * w->c.C;
    w->x = doubles(T * D);
    w->fn = doubles(D * columns(&w->c));
    w->phi = doubles(D * columns(&w->c));
    w->u = doubles(T * w->c.C);
    w->res = doubles(L * T * n * n);
    w->pre = doubles(L * T * n);
    w->post = doubles(L * T * n);
    w->save = doubles(row_save_bytes(w->row, &w->c) / 8 + 1);
    w->scratch = doubles(row_work_bytes(w->row, &w->c) / 8 + 1);
    return w->x && w->fn && w->phi && w->u && w->res && w->pre && w->post && w->save && w->scratch ? NULL
                                                                                                   : "out of memory";
}

static void close_work(struct work *w) {
    double *const own[] = {w->x, w->fn, w->phi, w->u, w->res, w->pre, w->post};
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
        free(own[k]);
    free(w->save);
    free(w->scratch);
    if (w->cpu.library)
        backend_close(&w->cpu);
    sites_close(w->sites);
}

/* Streams in front of a site. Their RMS is about 1; it does not matter, because the norm divides by it. */
static void draw(struct work *w, int64_t layer) {
    const int64_t count = w->c.T * w->c.n * w->c.C;
    for (int64_t k = 0; k < count; k++)
        w->x[k] = mhc_normal((uint64_t)w->p->seed, mhc_what("states"), (uint32_t)layer, (uint64_t)k);
}

static bool read_dynamic(struct work *w, const struct site *site) {
    const int64_t D = w->c.n * w->c.C, K = columns(&w->c);
    for (int k = 0; k < site->scales; k++)
        if (!tensor_read(w->sites->file, site->scale[k], w->alpha + k))
            return false;
    if (!tensor_read(w->sites->file, site->fn, w->fn))
        return false;
    for (int64_t k = 0; k < K; k++)
        for (int64_t d = 0; d < D; d++)
            w->phi[d * K + k] = w->fn[k * D + d];
    return true;
}

static const char *run_site(struct work *w, int64_t layer) {
    const struct site *site = &w->sites->site[layer];
    const int64_t T = w->c.T, n = w->c.n;
    if (!tensor_read(w->sites->file, site->base, w->b))
        return record_error();
    if (params_states(w->p) != STATES_STATIC && !read_dynamic(w, site))
        return record_error();
    if (params_states(w->p) == STATES_RANDOM)
        draw(w, layer);
    if (params_states(w->p) == STATES_FILE && !states_file_read(w->p->states, &w->states, layer, w->x))
        return record_error();
    struct array arrays[] = {{"x", w->x},
                             {"phi", w->phi},
                             {"b", w->b},
                             {"alpha", w->alpha},
                             {"u", w->u},
                             {"pre", w->pre + layer * T * n},
                             {"post", w->post + layer * T * n},
                             {"res", w->res + layer * T * n * n}};
    return backend_run(&w->cpu, w->row, &w->c, arrays, sizeof arrays / sizeof *arrays, w->save, w->scratch);
}

static const char *run(struct work *w, const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    const char *why = open_work(w, p);
    for (int64_t layer = 0; layer < p->depth && !why; layer++)
        why = run_site(w, layer);
    return why ? why : maps_result(context, w->res, w->pre, w->post, r);
}

void weights_run(const struct study_context *context, struct study_result *r) {
    struct work w;
    const char *why = run(&w, context, r);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    close_work(&w);
}

/* nC of the streams that each site is computed with; false: the error line says why there are none. */
static bool stream_size(const struct params *p, double *nC) {
    struct sites *sites = sites_open(p->from);
    *nC = sites ? (double)(p->streams * (params_states(p) == STATES_STATIC ? 1 : sites->site[0].C)) : 0;
    sites_close(sites);
    return sites != NULL;
}

bool weights_estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    struct backend cpu;
    const double n = (double)p->streams, T = (double)p->tokens;
    double D;
    if (!stream_size(p, &D))
        return snprintf(why, why_size, "%s", record_error()), false;
    if (!backend_open(&cpu, "cpu64", why, why_size))
        return false;
    *needed = 8 * ((double)p->depth * T * (n * n + 2 * n) + D * (2 * T + 3 * n * (n + 2)) + 2 * T * n * (n + 2)) +
              mhc_measure_bytes(p->depth, p->tokens, p->streams);
    *available = (double)backend_available(&cpu);
    backend_close(&cpu);
    return true;
}

double weights_flops(const struct params *p) {
    const double n = (double)p->streams;
    double D;
    stream_size(p, &D);
    return 2 * (double)p->depth * (double)p->tokens * D * n * (n + 2) + study_measure_flops(p, p->tokens);
}
