#include "suites/study/study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/digest.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void study_path(const struct params *p, const char *folder, char path[STUDY_PATH]) {
    char key[2048], digest[DIGEST_SIZE];
    params_key(p, key, sizeof key);
    digest_bytes(key, strlen(key), digest);
    snprintf(path, STUDY_PATH, "%s/%s-%lld-%.16s.h5", folder, params_connection(p)->name, (long long)p->seed, digest);
}

static struct study_result nothing(const struct params *p) {
    bool layers = params_has(p, STUDY_CURVES);
    return (struct study_result){.L = layers ? p->depth : 0, .n = layers ? p->streams : 0};
}

void study_run(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    *r = nothing(p);
    double start = now();
    worker_at("set-up", 0, 0);
    studies[p->study]->run(context, r);
    r->seconds = now() - start;
}

void study_checkpoint(const struct study_context *context, const struct study_result *so_far, const char *missing) {
    if (context->partial)
        context->partial(context->user, so_far, missing);
}

void study_release(struct study_result *r) {
    mhc_curves_release(&r->curves);
    free(r->panels);
    free(r->qr_spectrum);
    free(r->mixing);
    timed_result_release(r->timed);
    trained_release(r->trained);
    r->timed = NULL;
    r->trained = NULL;
    r->panels = r->qr_spectrum = r->mixing = NULL;
}

bool study_estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    return studies[p->study]->estimate(p, needed, available, why, why_size);
}

double study_flops(const struct params *p) {
    return studies[p->study]->flops(p);
}

/* Whether a case has a depth mixing matrix in a result, and how many numbers that is. */
static int64_t mixing_count(int64_t L) {
    return L ? mhc_depth_rows(L) * mhc_depth_rows(L) : 0;
}

static bool measure_depth(const struct params *p, const struct mhc_depth *d, struct study_result *r) {
    if (!d->pre || !d->post || !(p->measure & MHC_GROUP_REACH))
        return true;
    if (mhc_measure_reach(d, &r->curves))
        return false;
    if (p->record != RECORD_CURVES)
        return true;
    r->mixing = malloc((size_t)mixing_count(d->L) * sizeof *r->mixing);
    if (r->mixing)
        mhc_depth_matrix(d, r->mixing);
    return r->mixing;
}

bool study_measure_maps(const struct params *p, const struct mhc_depth *d, struct study_result *r) {
    const int64_t n = d->n, L = d->L, T = d->T;
    const double *res = d->res;
    int failed = mhc_measure_maps(res, L, T, n, &r->curves) || !measure_depth(p, d, r);
    if (p->record != RECORD_CURVES)
        return !failed;
    r->panels = malloc(6 * (size_t)(n * n) * sizeof *r->panels);
    failed |= !r->panels || mhc_composite_panels(res, L, T, n, r->panels, r->panel_log10_scale);
    if (p->measure & MHC_GROUP_SPECTRUM) {
        r->qr_spectrum = malloc((size_t)(L * n) * sizeof *r->qr_spectrum);
        failed |= !r->qr_spectrum || mhc_qr_spectrum(res, L, T, n, r->qr_spectrum);
    }
    return !failed;
}

double study_measure_flops(const struct params *p, int64_t tokens) {
    double maps = (double)p->depth * (double)(p->streams * p->streams) * (double)tokens;
    double products = (double)p->streams * 6 +
                      (connection_has_sinkhorn(params_connection(p)) ? 8 * (double)p->t_max : 0);
    double spectra = p->measure & (MHC_GROUP_SPECTRUM | MHC_GROUP_MIXING) ? 2000 * (double)p->streams : 0;
    double depth = p->measure & MHC_GROUP_REACH ? 2 * (double)p->depth + 500 : 0;
    return maps * (products + spectra + depth);
}

double study_seconds(const struct params *p) {
    /* A warm-up waits for calls that agree, for a second at most on a CPU, and for a clock that has settled on a
     * device, two: about half of that. */
    const double drawing_pipe_and_file = 4e-3, warm_up_and_arrays = 0.45;
    const struct study *s = studies[p->study];
    return drawing_pipe_and_file + s->budgets * p->budget + s->warm_ups * warm_up_and_arrays;
}

void study_put_texts(struct message *m, const struct params *p) {
    for (int k = 0; k < params_count; k++) {
        const char *text = NULL;
        if (params_table[k].type != PARAM_TEXT)
            continue;
        memcpy(&text, (const char *)p + params_table[k].offset, sizeof text);
        message_put_text(m, text ? text : ""); /* NULL: a question that is of no case */
    }
}

void study_take_texts(struct message *m, struct params *p) {
    for (int k = 0; k < params_count; k++)
        if (params_table[k].type == PARAM_TEXT)
            *(const char **)((char *)p + params_table[k].offset) = params_keep(message_take_text(m));
}

static void put_optional(struct message *m, const double *values, int64_t count) {
    unsigned char present = values != NULL;
    message_put(m, &present, 1);
    if (values)
        message_put(m, values, (size_t)count * sizeof *values);
}

static double *take_optional(struct message *m, int64_t count) {
    unsigned char present;
    message_take(m, &present, 1);
    double *values = present ? malloc((size_t)count * sizeof *values + 1) : NULL;
    if (values) {
        message_take(m, values, (size_t)count * sizeof *values);
    } else if (present) { /* what follows is not where it is looked for */
        m->bad = true;
        m->at = m->size;
    }
    return values;
}

void study_put_result(struct message *m, const struct study_result *r, const char *reason, double seconds) {
    unsigned char timed = r->timed != NULL, trained = r->trained != NULL;
    message_put_text(m, reason);
    message_put(m, &seconds, sizeof seconds);
    for (int metric = 0; metric < MHC_METRICS; metric++)
        for (int statistic = 0; statistic < MHC_STATISTICS; statistic++)
            put_optional(m, r->curves.curve[metric][statistic], r->L);
    put_optional(m, r->panels, 6 * r->n * r->n);
    message_put(m, r->panel_log10_scale, sizeof r->panel_log10_scale);
    put_optional(m, r->qr_spectrum, r->L * r->n);
    put_optional(m, r->mixing, mixing_count(r->L));
    message_put(m, &timed, 1);
    if (timed)
        timed_result_put(m, r->timed);
    message_put(m, &trained, 1);
    if (trained)
        trained_put(m, r->trained);
}

void study_take_result(struct message *m, const struct params *p, struct study_result *r) {
    *r = nothing(p);
    unsigned char timed = 0, trained = 0;
    snprintf(r->reason, sizeof r->reason, "%s", message_take_text(m));
    message_take(m, &r->seconds, sizeof r->seconds);
    r->curves.L = r->L;
    for (int metric = 0; metric < MHC_METRICS; metric++)
        for (int statistic = 0; statistic < MHC_STATISTICS; statistic++)
            r->curves.curve[metric][statistic] = take_optional(m, r->L);
    r->panels = take_optional(m, 6 * r->n * r->n);
    message_take(m, r->panel_log10_scale, sizeof r->panel_log10_scale);
    r->qr_spectrum = take_optional(m, r->L * r->n);
    r->mixing = take_optional(m, mixing_count(r->L));
    message_take(m, &timed, 1);
    r->timed = timed ? timed_result_take(m, studies[p->study]->times()) : NULL;
    message_take(m, &trained, 1);
    r->trained = trained ? trained_take(m, p) : NULL;
    if (m->bad)
        snprintf(r->reason, sizeof r->reason, "the worker's answer is incomplete");
}

/* A checkpoint goes to the parent at once; `user` is when the case began. */
static void send_partial(void *user, const struct study_result *so_far, const char *missing) {
    const double *began = user;
    struct message m = {0};
    char reason[sizeof so_far->reason];
    snprintf(reason, sizeof reason, RECORD_UNFINISHED "%s", missing);
    study_put_result(&m, so_far, reason, now() - *began);
    worker_send_partial(&m);
    message_clear(&m);
}

void study_answer(struct message *request, struct message *reply) {
    struct params p;
    struct study_result r;
    struct study_keeping keeping;
    message_take(request, &p, sizeof p);
    study_take_texts(request, &p);
    message_take(request, &keeping, sizeof keeping);
    double began = now();
    study_run(&(struct study_context){.p = &p, .keeping = &keeping, .partial = send_partial, .user = &began}, &r);
    study_put_result(reply, &r, r.reason, r.seconds);
    study_release(&r);
}

static void put_case(struct message *request, const char *handler, const struct params *p,
                     const struct study_keeping *keeping) {
    static const struct study_keeping nowhere;
    message_put_text(request, handler);
    message_put(request, p, sizeof *p);
    study_put_texts(request, p);
    message_put(request, keeping ? keeping : &nowhere, sizeof nowhere);
}

void study_call_begin(struct study_call *call, const struct params *p, const struct study_keeping *keeping,
                      struct message *request) {
    *call = (struct study_call){.p = p};
    put_case(request, "study", p, keeping);
}

const struct study_result *study_call_checkpoint(struct study_call *call, struct message *partial) {
    struct study_result now_there;
    study_take_result(partial, call->p, &now_there);
    if (partial->bad) {
        study_release(&now_there);
        return NULL;
    }
    study_release(&call->last);
    call->last = now_there;
    call->there = true;
    return &call->last;
}

/* The failed case leaves what it had at its last checkpoint, and why it had no more. */
static void fall_back(struct study_result *r, struct study_call *call) {
    size_t used = strlen(call->last.reason);
    snprintf(call->last.reason + used, sizeof call->last.reason - used, ": %s", r->reason);
    study_release(r);
    *r = call->last;
    call->there = false;
}

void study_call_end(struct study_call *call, struct message *reply, const char *why, struct study_result *r) {
    *r = nothing(call->p);
    if (reply)
        study_take_result(reply, call->p, r);
    else
        snprintf(r->reason, sizeof r->reason, "%s", why);
    if (r->reason[0] && call->there)
        fall_back(r, call);
    if (call->there)
        study_release(&call->last);
    call->there = false;
}

void study_estimate_answer(struct message *request, struct message *reply) {
    struct params p;
    struct study_keeping keeping;
    char why[512] = "";
    double needed = 0, available = 0;
    message_take(request, &p, sizeof p);
    study_take_texts(request, &p);
    message_take(request, &keeping, sizeof keeping);
    bool good = study_estimate(&p, &needed, &available, why, sizeof why);
    if (good && keeping.folder[0] && studies[p.study]->resumes)
        good = studies[p.study]->resumes(&p, &keeping, why, sizeof why);
    if (!good && !why[0])
        snprintf(why, sizeof why, "it cannot run");
    message_put_text(reply, why);
    message_put(reply, &needed, sizeof needed);
    message_put(reply, &available, sizeof available);
}

bool study_estimate_request(struct worker *w, const struct params *p, const struct study_keeping *keeping,
                            double *needed, double *available, char *why, size_t why_size) {
    struct message request = {0}, reply = {0};
    put_case(&request, "estimate", p, keeping);
    bool good = worker_call(w, &request, &reply, 60, why, why_size);
    if (good) {
        snprintf(why, why_size, "%s", message_take_text(&reply));
        message_take(&reply, needed, sizeof *needed);
        message_take(&reply, available, sizeof *available);
        good = !why[0] && !reply.bad;
    }
    message_clear(&request);
    message_clear(&reply);
    return good;
}
