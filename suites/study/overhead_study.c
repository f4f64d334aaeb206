/* Study `overhead`: a training step with each connection, right first, then timed side by side in shuffled rounds;
 * beside it a copy and a GEMM, and under it the account: every part of a step timed by itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/rows/yardstick.h"
#include "suites/study/fits.h"
#include "suites/stack/ensemble.h"
#include "suites/study/overhead_bench.h"
#include "suites/timing/timing.h"

static const struct backend cpu64 = {.library = &mhc_cpu64};

/* ---- what is run ---- */

static struct program_spec spec_of(const struct params *p, const struct backend *b) {
    struct program_spec spec = {.backend = b,
                                .c = ensemble_case(p),
                                .layers = p->depth,
                                .backward = true,
                                .recompute = p->recompute > 0 ? p->recompute : 0,
                                .attention = p->attention,
                                .adamw = p->optimizer,
                                .micro_batches = p->overlap ? 2 : 1};
    backend_types(b, (int)p->type - 1, &spec.c);
    return spec;
}

static double yardstick_bytes(const struct program_spec *spec) {
    return 2.0 * (double)(spec->c.T * spec->c.n * spec->c.C * mhc_type_bytes(spec->c.stream));
}

static double yardstick_flops(const struct program_spec *spec) {
    return 2.0 * (double)spec->c.T * (double)spec->c.C * (double)spec->c.hidden;
}

/* Bytes in the backend's memory: the check comes before the arrays and their yardsticks; on a host it also takes what
 * cpu64 needs. */
static double needed_bytes(const struct steps *all, int64_t timed) {
    const struct program_spec *spec = &all->spec;
    double check = step_check_bytes(spec, timed) * (spec->backend->library->memory ? 0.5 : 1.5);
    double yardsticks = 2 * yardstick_bytes(spec) +
                        2 * yardstick_flops(spec) / (double)spec->c.C * (double)mhc_type_bytes(spec->c.stream);
    return fmax(check, all->memory.set_bytes + yardsticks);
}

static bool possible(const struct params *p, const struct backend *b, char *why, size_t why_size) {
    if (p->overlap && p->optimizer)
        return snprintf(why, why_size,
                        "two micro-batches share one update, which would hide behind neither: --optimizer none"),
               false;
    return program_runner_possible(b, p->graphs, p->overlap, why, why_size);
}

/* Composes the variants. --recompute auto keeps everything where that fits. */
static const char *plan(struct steps *all, const struct params *p, const struct backend *b) {
    struct program_spec spec = spec_of(p, b);
    const char *why = steps_plan(all, &spec, p->timed);
    if (why || p->recompute != RECOMPUTE_AUTO ||
        needed_bytes(all, p->timed) <= MEMORY_SHARE * (double)backend_available(b))
        return why;
    spec.recompute = program_recompute_rule(spec.layers, spec.c.n);
    steps_release(all);
    return steps_plan(all, &spec, p->timed);
}

static int64_t sets_of(const struct backend *b, double set_bytes) {
    int64_t cache = timing_cache_bytes(b);
    return set_bytes >= 2.0 * (double)cache ? 1 : timing_sets((int64_t)set_bytes, cache, backend_available(b) / 4);
}

static const char *bind_yardsticks(struct overhead_bench *w) {
    const struct program_spec *spec = &w->all.spec;
    const struct mhc_case c[2] = {yardstick_copy_case(&spec->c, yardstick_bytes(spec)),
                                  yardstick_gemm_case(&spec->c, yardstick_flops(spec))};
    const char *why = NULL;
    for (int k = 0; k < 2 && !why; k++) {
        const struct mhc_row *row = yardstick_row(w->backend, k ? "gemm" : "copy", &c[k]);
        if (row)
            why = bound_row_open(&w->yardstick[k], w->backend, row, &c[k],
                                 sets_of(w->backend, (double)bound_row_bytes(row, &c[k], 0)), NULL, NULL);
    }
    return why;
}

/* How the row that begins a connection calls itself, where it does. */
static const char *implementation_of(const struct program *s) {
    for (int64_t k = 0; k < s->calls; k++)
        if (s->call[k].part == STEP_PRE && s->call[k].row && s->call[k].row->implementation)
            return s->call[k].row->implementation;
    return "";
}

static void describe(struct overhead_bench *w) {
    char *note = w->out->note;
    size_t used = strlen(note), size = sizeof w->out->note;
    if ((double)w->all.memory.sets * w->all.memory.set_bytes < (double)timing_cache_bytes(w->backend) && used < size)
        used += (size_t)snprintf(note + used, size - used, "%s" OVERHEAD_NOT_COLD, used ? "; " : "");
    for (int v = 0; v < STEP_VARIANTS; v++) {
        const struct program *s = &w->all.step[v];
        const char *text = s->missing[0] ? s->missing : s->note[0] ? s->note : implementation_of(s);
        if (*text && step_is_timed(w->p->timed, v) && used < size)
            used += (size_t)snprintf(note + used, size - used, "%s%s: %s", used ? "; " : "", step_name(v), text);
    }
}

/* ---- right first ---- */

static const char *finish(const struct overhead_bench *w) {
    const struct backend *b = w->backend;
    return b->library->queues && b->library->queues->synchronize(b->context, b->queue) ? "the device failed" : NULL;
}

/* A step on the way that is timed, into arrays in which nothing old is left. */
static const char *run_again(struct overhead_bench *w, int v, int64_t set) {
    const char *why = NULL;
    for (int batch = 0; batch < w->all.spec.micro_batches && !why; batch++)
        why = program_result_spoil(&w->all.step[v], set, batch, false) ? NULL : "an array cannot be copied";
    why = why ? why : program_runner_run(&w->runner[v], set);
    return why ? why : finish(w);
}

/* Every micro-batch leaves the bits of the plain run: what runs is the same, and a kernel repeats its bits. */
static const char *compare_bits(const struct overhead_bench *w, int v, int64_t set, const char *when) {
    static char message[256];
    const char *why = NULL;
    for (int batch = 0; batch < w->all.spec.micro_batches && !why; batch++) {
        struct program_result got;
        char where[80];
        if (!program_result_take(&got, &w->all.step[v], set, batch, false))
            why = "out of memory";
        else if (!program_result_same(&got, &w->before[v], where, sizeof where))
            why = (snprintf(message, sizeof message, "%s: %s of %s has other bits than in its first run", when, where,
                            step_name(v)),
                   message);
        program_result_release(&got);
    }
    return why;
}

/* The three ways of doing mHC compute the same. */
static const char *compare_alike(const struct overhead_bench *w, int v) {
    static char message[256];
    char where[80];
    int like = overhead_runs(w, STEP_MHC_UNFUSED) ? STEP_MHC_UNFUSED : STEP_MHC;
    if (!(v == STEP_MHC || v == STEP_MHC_LAYERS) || like == v || !overhead_runs(w, like))
        return NULL;
    double error = program_result_error(&w->before[v], &w->before[like], where, sizeof where),
           tolerance = program_tolerance(&w->all.step[v]);
    if (error <= tolerance)
        return NULL;
    snprintf(message, sizeof message,
             "at full size: %s of %s is %.3g of its largest element off that of %s, allowed are %.3g", where,
             step_name(v), error, step_name(like), tolerance);
    return message;
}

static const char *not_finite(int v, const char *where) {
    static char message[160];
    snprintf(message, sizeof message, "at full size: %s of %s is not finite", where, step_name(v));
    return message;
}

/* All of them as graphs or none: what one variant would save in launches is no matter of the connection. */
static const char *open_runners(struct overhead_bench *w) {
    const char *why = NULL;
    w->graphs = w->p->graphs;
    for (int v = 0; v < STEP_VARIANTS && !why; v++)
        if (overhead_runs(w, v)) {
            why = program_runner_open(&w->runner[v], &w->all.step[v], STEP_ALL, w->graphs, w->high);
            if (!why && w->runner[v].uncaptured[0]) {
                snprintf(w->out->note, sizeof w->out->note, OVERHEAD_NO_GRAPHS "%s: %s", step_name(v),
                         w->runner[v].uncaptured);
                w->graphs = false;
            }
        }
    for (int v = 0; v < STEP_VARIANTS && !w->graphs; v++)
        program_runner_without_graphs(&w->runner[v]);
    return why;
}

/* At the size that is timed: finite, the same for the three ways of doing mHC, and the same bits on the way that is
 * timed, in both micro-batches. */
static const char *check_variant(struct overhead_bench *w, int v) {
    const struct program *s = &w->all.step[v];
    char where[80];
    if (w->backend->model) /* there are no numbers to check */
        return NULL;
    const char *why = program_execute(s, NULL);
    if (!why && !program_result_take(&w->before[v], s, 0, 0, false))
        why = "out of memory";
    if (!why && program_result_error(&w->before[v], &w->before[v], where, sizeof where) > 0)
        why = not_finite(v, where);
    why = why ? why : compare_alike(w, v);
    why = why ? why : run_again(w, v, 0);
    return why ? why : compare_bits(w, v, 0, "at full size");
}

static const char *check_again(struct overhead_bench *w) {
    const char *why = NULL;
    for (int v = 0; v < STEP_VARIANTS && !why; v++)
        if (overhead_runs(w, v) && !w->backend->model) {
            int64_t last = w->all.memory.sets - 1;
            why = run_again(w, v, last);
            why = why ? why : compare_bits(w, v, last, "after the timing");
        }
    return why;
}

/* ---- a case ---- */

static const char *check_small(struct overhead_bench *w) {
    struct step_accuracy accuracy[STEP_VARIANTS];
    worker_at("check", 0, 0);
    const char *why = step_check(&w->all.spec, w->p->timed, (uint64_t)w->p->seed, accuracy);
    for (int v = 0; v < STEP_VARIANTS; v++)
        w->out->error[v] = accuracy[v].error / accuracy[v].tolerance;
    return why;
}

static const char *prepare(struct overhead_bench *w) {
    static char message[256];
    const char *why = backend_use(w->p->backend, &w->backend);
    if (!why && !possible(w->p, w->backend, message, sizeof message))
        why = message;
    why = why ? why : plan(&w->all, w->p, w->backend);
    if (!why && !overhead_runs(w, STEP_RESIDUAL))
        why = w->all.step[STEP_RESIDUAL].missing;
    why = why ? why : check_small(w);
    why = why ? why : steps_open(&w->all, sets_of(w->backend, w->all.memory.set_bytes), (uint64_t)w->p->seed);
    why = why ? why : bind_yardsticks(w);
    if (!why && w->p->overlap && w->backend->library->queues->create(w->backend->context, &w->high, 1))
        why = "no queue can be created";
    if (!why && !samples_open(&w->out->samples, OVERHEAD_SUBJECTS, w->p->rounds))
        why = "out of memory";
    return why;
}

static const char *run(struct overhead_bench *w) {
    static char message[256];
    const char *why = prepare(w);
    why = why ? why : open_runners(w);
    for (int v = 0; v < STEP_VARIANTS && !why; v++)
        why = overhead_runs(w, v) ? check_variant(w, v) : NULL;
    if (why)
        return snprintf(message, sizeof message, "%s", why), message;
    describe(w);
    why = overhead_time_steps(w);
    int64_t rounds = w->out->samples.rounds;
    worker_at("check again", 0, 0);
    why = why ? why : check_again(w);
    if (!why && !w->high) { /* in overlap there is no account */
        if (overhead_summarise(w, rounds))
            study_checkpoint(w->context, w->whole, "account not done");
        why = overhead_time_account(w);
    }
    if (!why && !overhead_summarise(w, rounds))
        why = "out of memory";
    samples_close_ranks(&w->out->samples, OVERHEAD_SUBJECTS);
    return why ? (snprintf(message, sizeof message, "%s", why), message) : NULL;
}

static void run_case(const struct study_context *context, struct study_result *r) {
    struct overhead_bench w = {
        .p = context->p, .context = context, .out = r->timed = timed_result_new(overhead_times()), .whole = r};
    if (!w.out) {
        snprintf(r->reason, sizeof r->reason, "out of memory");
        return;
    }
    const char *why = run(&w);
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        program_runner_close(&w.runner[v]);
        program_result_release(&w.before[v]);
    }
    for (int k = 0; k < 2; k++)
        bound_row_close(&w.yardstick[k]);
    if (w.high)
        w.backend->library->queues->destroy(w.backend->context, w.high);
    steps_release(&w.all);
}

static bool estimate(const struct params *p, double *needed, double *available, char *why, size_t why_size) {
    const struct backend *b;
    struct steps all = {0};
    const char *no = backend_use(p->backend, &b);
    if (no)
        return snprintf(why, why_size, "%s", no), false;
    if (!possible(p, b, why, why_size))
        return false;
    no = plan(&all, p, b);
    double check = b->library->memory && !no ? step_check_bytes(&all.spec, p->timed) : 0,
           there = (double)backend_available(&cpu64);
    if (check > MEMORY_SHARE * there) {
        steps_release(&all);
        return snprintf(why, why_size, "its check by cpu64 needs %.3g GB on the host and %.3g are free", check * 1e-9,
                        there * 1e-9),
               false;
    }
    *needed = no || all.step[STEP_RESIDUAL].missing[0]
                  ? 0
                  : needed_bytes(&all, p->timed); /* an operation less is one failed case */
    *available = (double)backend_available(b);
    steps_release(&all);
    return !no || (snprintf(why, why_size, "%s", no), false);
}

/* Operations of the check, by both sides; the rounds come on top. */
static double flops(const struct params *p) {
    struct params wide = *p;
    struct steps all;
    wide.type = 0;
    struct program_spec spec = spec_of(&wide, &cpu64), small = step_check_spec(&spec);
    double sum = 0;
    if (!steps_plan(&all, &small, p->timed))
        for (int v = 0; v < STEP_VARIANTS; v++)
            sum += program_flops(&all.step[v], STEP_ALL);
    steps_release(&all);
    return 2 * sum;
}

/* The steps, and seven groups of parts for a quarter of the budget each. */
const struct study study_overhead = {
    .run = run_case, .estimate = estimate, .flops = flops, .budgets = 2.75, .warm_ups = 8, .times = overhead_times};
