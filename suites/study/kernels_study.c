#include "suites/study/kernels_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/ratio.h"
#include "suites/rows/yardstick.h"
#include "suites/study/kernel_case.h"
#include "suites/timing/timing.h"

const char *const kernel_subject_name[TIMED_SUBJECTS] = {"copy", "operation", "gemm", "rule", "step"};

const struct record_curve kernel_timing_info[TIMED_VALUES] = {
    [KERNEL_MEDIAN] = {"median", "s", "median time of one call of the operation; of study recompute: of one step"},
    [KERNEL_LOW] = {"low", "s", "lower end of the 95 % interval of the median, by order statistics"},
    [KERNEL_HIGH] = {"high", "s", "upper end of that interval"},
    [KERNEL_RATIO] =
        {"ratio", "1",
         "ratio to the copy of the same round, mean of its medians (of logs) over either order of the two; of study "
         "recompute: to the step with auto's L_r"},
    [KERNEL_RATIO_LOW] = {"ratio_low", "1", "lower end of its 95 % interval, by bootstrap"},
    [KERNEL_RATIO_HIGH] = {"ratio_high", "1", "upper end of that interval"},
    [KERNEL_BYTES] = {"bytes", "byte", "bytes that must move once, by the operation's own model"},
    [KERNEL_FLOPS] = {"flops", "1", "floating-point operations, by the operation's own model"},
    [KERNEL_BANDWIDTH] = {"bandwidth", "byte/s", "bytes over the median time"},
    [KERNEL_FLOP_RATE] = {"flop_rate", "1/s", "operations over the median time"},
    [KERNEL_COPY_SHARE] = {"copy_share", "1", "bandwidth as a share of the copy's in the same rounds"},
    [KERNEL_GEMM_SHARE] = {"gemm_share", "1", "rate of operations as a share of the GEMM's in the same rounds"},
    [KERNEL_PREEMPTED] = {"preempted", "1",
                          "share of the operation's samples that lost a CPU on the way; NaN: unknown"},
    [KERNEL_THROTTLED] = {"throttled", "1", "share of the operation's samples at a low clock; NaN: unknown"},
    [RECOMPUTE_EVERY] = {"every", "1", "L_r, layers between the x that are kept; 0: all is kept"},
    [RECOMPUTE_PREDICTED] = {"memory_predicted", "byte", "what the stack says it needs"},
    [RECOMPUTE_PEAK] = {"memory_peak", "byte", "most that was allocated at once while it ran"},
    [RECOMPUTE_PAPER] = {"memory_paper", "byte", "nC ceil(L / L_r) + (n + 2) C L_r elements per token, mHC Eq. 20"},
};

const struct record_curve kernel_error_info[KERNEL_ERRORS] = {
    [KERNEL_ERROR] = {"error", "1", "largest difference to cpu64, as a share of the array's largest element"},
    [KERNEL_TOLERANCE] = {"tolerance", "1", "what the operation allows itself of that"},
    [KERNEL_ERROR_SHARE] = {"error_over_tolerance", "1", "error over tolerance; above 1 the case has failed"},
};

static const struct timed_schema *times(void) {
    static const struct timed_schema schema = {.subjects = kernel_subject_name,
                                               .subject_count = KERNEL_SUBJECTS,
                                               .timings = kernel_timing_info,
                                               .timing_count = KERNEL_TIMINGS,
                                               .errors = kernel_error_info,
                                               .error_count = KERNEL_ERRORS};
    return &schema;
}

/* The group of a case: the copy, the operation, the GEMM; a yardstick that the backend lacks is not bound. */
struct group {
    struct bound_row row[KERNEL_SUBJECTS];
    double bytes, flops;
};

static const char *bind_yardstick(struct bound_row *bound, const struct params *p, const struct backend *b,
                                  const char *operation, const struct mhc_case *c) {
    const struct mhc_row *row = yardstick_row(b, operation, c);
    return row ? bound_row_open(bound, b, row, c, kernel_case_sets(p, b, bound_row_bytes(row, c, 0)), NULL, NULL)
               : NULL;
}

static const char *bind_group(struct group *g, const struct params *p, const struct examination *e) {
    const struct mhc_row *row = examined_row(e);
    g->bytes = row->traffic(&e->c);
    g->flops = row->flops(&e->c);
    struct mhc_case copy = yardstick_copy_case(&e->c, g->bytes), gemm = yardstick_gemm_case(&e->c, g->flops);
    const char *why = kernel_case_bind(&g->row[KERNEL_OPERATION], p, e, &e->before.save);
    why = why ? why : bind_yardstick(&g->row[KERNEL_COPY], p, e->backend, "copy", &copy);
    if (!why && g->flops >= KERNEL_GEMM_INTENSITY * g->bytes)
        why = bind_yardstick(&g->row[KERNEL_GEMM], p, e->backend, "gemm", &gemm);
    return why;
}

/* One call on a set, finished, and its outputs against the reference. They hold no answer before, but numbers: a
 * library may look whether it has been there. */
static const char *check(struct group *g, const struct examination *e, int64_t set, double error[KERNEL_ERRORS]) {
    struct accuracy a = {NAN, NAN};
    const char *why = bound_row_refill(&g->row[KERNEL_OPERATION], set, &e->before.made, &e->before.save,
                                       BOUND_ROW_SPOILT);
    why = why ? why : bound_row_finish(&g->row[KERNEL_OPERATION], set);
    why = why ? why : examine_set(e, &g->row[KERNEL_OPERATION], set, &a);
    error[KERNEL_ERROR] = a.error;
    error[KERNEL_TOLERANCE] = a.tolerance;
    error[KERNEL_ERROR_SHARE] = a.error / a.tolerance;
    return why;
}

bool kernels_summarise(struct timed_result *r, int subject, int baseline) {
    const struct samples *all = &r->samples;
    double *work = malloc((2 * (size_t)all->rounds + 2 * MHC_RESAMPLES) * sizeof *work), *v = r->timing;
    if (!work)
        return false;
    const double *samples = all->seconds + subject * all->room;
    memcpy(work, samples, (size_t)all->rounds * sizeof *work);
    struct mhc_interval time = mhc_median_interval(work, all->rounds), ratio = {NAN, NAN, NAN};
    if (r->batch[baseline]) {
        const struct mhc_pairs pairs = samples_pairs(all, subject, baseline, all->rounds);
        ratio = mhc_ratio_bootstrap(&pairs, work);
    }
    v[KERNEL_MEDIAN] = time.median, v[KERNEL_LOW] = time.low, v[KERNEL_HIGH] = time.high;
    v[KERNEL_RATIO] = ratio.median, v[KERNEL_RATIO_LOW] = ratio.low, v[KERNEL_RATIO_HIGH] = ratio.high;
    free(work);
    return true;
}

static double share_flagged(const struct timed_result *r, int flag) {
    return timing_flagged(r->samples.flags + KERNEL_OPERATION * r->samples.room, r->samples.rounds, flag);
}

/* The operation's rate as a share of a yardstick's, given what each does a call. */
static double share_of(const struct timed_result *r, enum kernel_subject yardstick, double own, double its,
                       double *work) {
    if (!r->batch[yardstick])
        return NAN;
    const struct samples *s = &r->samples;
    const double *operation = s->seconds + KERNEL_OPERATION * s->room;
    return own / its / mhc_ratio_interval(operation, s->seconds + yardstick * s->room, s->rounds, work).median;
}

static bool summarise(struct timed_result *r, const struct group *g, bool switches_known) {
    double *work = malloc((size_t)r->samples.rounds * sizeof *work), *v = r->timing;
    bool good = work && kernels_summarise(r, KERNEL_OPERATION, KERNEL_COPY);
    if (good) {
        v[KERNEL_BYTES] = g->bytes, v[KERNEL_FLOPS] = g->flops;
        v[KERNEL_BANDWIDTH] = g->bytes / v[KERNEL_MEDIAN], v[KERNEL_FLOP_RATE] = g->flops / v[KERNEL_MEDIAN];
        v[KERNEL_COPY_SHARE] = share_of(r, KERNEL_COPY, g->bytes, yardstick_copy_bytes(&g->row[KERNEL_COPY].c), work);
        v[KERNEL_GEMM_SHARE] = share_of(r, KERNEL_GEMM, g->flops, yardstick_gemm_flops(&g->row[KERNEL_GEMM].c), work);
        v[KERNEL_PREEMPTED] = switches_known ? share_flagged(r, TIMING_PREEMPTED) : NAN;
        v[KERNEL_THROTTLED] = isnan(r->samples.clock[KERNEL_OPERATION * r->samples.room])
                                  ? NAN
                                  : share_flagged(r, TIMING_THROTTLED);
    }
    free(work);
    return good;
}

static const char *time_group(const struct params *p, const struct examination *e, struct group *g,
                              struct timed_result *out) {
    const struct backend *b = e->backend;
    double too_fast = 0;
    static char message[200];
    struct timing_subject subjects[KERNEL_SUBJECTS];
    struct timing_rules rules = timing_rules_for(b, p->rounds, p->budget);
    struct timing_clock clock;
    struct timing t = {0};
    int subject[KERNEL_SUBJECTS], count = 0;
    int64_t sets[KERNEL_SUBJECTS];
    for (int s = 0; s < KERNEL_SUBJECTS; s++)
        if (g->row[s].row) {
            sets[count] = g->row[s].sets;
            subjects[count] = (struct timing_subject){bound_row_run, &g->row[s], g->row[s].sets, BOUND_ROW_LAUNCHES};
            subject[count++] = s;
        }
    rules.seed = (uint64_t)p->seed;
    if (!timing_clock_open(&clock, b, message, sizeof message))
        return message;
    const char *why = timing_run(&t, subjects, count, &rules, &clock);
    if (!why && !(timed_result_keep(out, &t, subject, sets) && summarise(out, g, clock.preemptions != NULL)))
        why = "out of memory";
    if (!why && g->row[KERNEL_COPY].row)
        why = kernel_case_too_fast(e, out->timing[KERNEL_MEDIAN], &g->row[KERNEL_COPY], &clock, &too_fast);
    if (!why && too_fast > 1) {
        snprintf(message, sizeof message, "too fast to be true: %.3g times the rate of a copy",
                 KERNEL_TOO_FAST * too_fast);
        why = message;
    }
    timing_release(&t);
    timing_clock_close(&clock);
    return why;
}

static const char *run(const struct params *p, struct examination *e, struct group *g, struct timed_result *out) {
    static char message[256];
    double again[KERNEL_ERRORS];
    const struct backend *b;
    const char *why = backend_use(p->backend, &b);
    why = why ? why : kernel_case_plan(e, b, p, NULL);
    why = why ? why : kernel_case_open(e, (uint64_t)p->seed);
    why = why ? why : bind_group(g, p, e);
    worker_at("check", 0, 0);
    why = why ? why : check(g, e, 0, out->error);
    why = why ? why : time_group(p, e, g, out);
    if (!why && (why = check(g, e, g->row[KERNEL_OPERATION].sets - 1, again))) {
        snprintf(message, sizeof message, "after the timing: %.200s", why);
        why = message;
        memcpy(out->error, again, sizeof again);
    }
    return why;
}

static void run_case(const struct study_context *context, struct study_result *r) {
    const struct params *p = context->p;
    struct examination e = {0};
    struct group g = {0};
    r->timed = timed_result_new(times());
    if (!r->timed) {
        snprintf(r->reason, sizeof r->reason, "out of memory");
        return;
    }
    const char *why = run(p, &e, &g, r->timed);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    for (int s = 0; s < KERNEL_SUBJECTS; s++)
        bound_row_close(&g.row[s]);
    examine_close(&e);
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    const struct backend *b;
    struct examination e;
    double on_host;
    const char *no_backend = backend_use(p->backend, &b);
    if (no_backend)
        return snprintf(why, why_size, "%s", no_backend), false;
    *needed = 0;
    *available = (double)backend_available(b);
    if (kernel_case_plan(&e, b, p, NULL)) /* a backend need not have every operation: that is one failed case */
        return true;
    examine_bytes(&e, needed, &on_host);
    if (!b->library->memory)
        *needed += on_host;
    return true;
}

double kernels_flops(const struct params *p) {
    struct backend cpu64;
    struct examination e;
    struct params wide = *p;
    char why[128];
    double flops = 0;
    wide.type = 0;
    if (!backend_open(&cpu64, "cpu64", why, sizeof why))
        return 0;
    if (!kernel_case_plan(&e, &cpu64, &wide, NULL))
        for (int r = 0; r < e.rows; r++)
            flops += 2 * e.row[r]->flops(&e.c);
    backend_close(&cpu64);
    return flops;
}

const struct study study_kernels = {
    .run = run_case, .estimate = estimate, .flops = kernels_flops, .budgets = 1, .warm_ups = 1, .times = times};
