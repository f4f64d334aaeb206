/* A training step on a few tokens, call by call against cpu64. */
#include "suites/stack/step_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/rows/array_error.h"
#include "suites/rows/examine.h"
#include "suites/stack/execute.h"
#include "suites/stack/result.h"

enum { CHECK_TOKENS = 24, CHECK_LAYERS = 3 };

static const struct backend cpu64 = {.library = &mhc_cpu64};

struct program_spec step_check_spec(const struct program_spec *spec) {
    struct program_spec small = *spec;
    int64_t most = spec->recompute ? spec->recompute + 2
                                   : CHECK_LAYERS; /* across the edge of a block that is computed again */
    small.layers = spec->layers < most ? spec->layers : most;
    small.c.T = spec->c.T < CHECK_TOKENS ? spec->c.T : CHECK_TOKENS;
    small.c.S = 0;
    small.micro_batches = 1;
    return small;
}

static struct program_spec exact_spec(const struct program_spec *spec) {
    struct program_spec exact = step_check_spec(spec);
    exact.backend = &cpu64;
    backend_types(&cpu64, MHC_F64, &exact.c);
    return exact;
}

double step_check_bytes(const struct program_spec *spec, int64_t timed) {
    struct steps all;
    if (spec->backend->model)
        return 0;
    struct program_spec exact = exact_spec(spec);
    double bytes = steps_plan(&all, &exact, timed) ? 0
                                                   : 2.5 * all.memory.set_bytes; /* results of both sides beside it */
    steps_release(&all);
    return bytes;
}

/* ---- two programs side by side ---- */

/* The program in question and the reference's, which calls its own rows on arrays of the same names. What a call of
 * the first makes is compared with what the second makes of the same inputs, and then takes its place there: so no
 * rounding is carried from call to call, and every call is held to the tolerance of its own row. */
struct pair {
    const struct program *s, *exact;
    int64_t at;  /* the reference's next call */
    bool *fresh; /* by array of the reference: made, and not yet compared */
    struct step_accuracy *accuracy;
    char message[256];
};

/* -1: an array between the arrows of a library's own; what is made of it is compared. */
static int64_t like(const struct program *exact, const struct program_array *a) {
    int64_t at = program_find(&exact->arrays, a->name, a->layer);
    return at >= 0 && exact->arrays.array[at].count == a->count ? at : -1;
}

static bool all_finite(const double *values, int64_t count) {
    bool all = true;
#pragma omp parallel for reduction(&& : all) schedule(static) if (count > 65536)
    for (int64_t k = 0; k < count; k++)
        all = all && isfinite(values[k]) != 0;
    return all;
}

/* Compares one output of a call; `others` is the largest element of all of them. */
static const char *compare(struct pair *p, const struct program_call *call, int arg, int64_t its, double others) {
    int64_t mine = call->argument[arg];
    const struct program_array *a = &p->s->arrays.array[mine];
    double *want = (double *)program_pointer(p->exact, its, 0, 0), *got = malloc((size_t)(a->count + 1) * sizeof *got);
    const char *why = NULL;
    if (!got || !backend_download(p->s->memory->backend, got, program_pointer(p->s, mine, 0, 0), a->count, a->type))
        why = got ? "an array cannot be copied from the device" : "out of memory";
    if (!why) {
        const struct mhc_arg *which = &call->row->args[arg];
        double allowed = fmin(call->row->tolerance(&call->c), examine_contract(call->row, &call->c, which));
        struct finding f = finding_of(call->row, &call->c, which, got, want, EXAMINE_SMALLEST * others, allowed);
        double error = all_finite(want, a->count) ? f.error : INFINITY,
               tolerance = fmin(f.tolerance, PROGRAM_MOST_TOLERANCE);
        if (!(error / tolerance <= p->accuracy->error / p->accuracy->tolerance))
            *p->accuracy = (struct step_accuracy){error, tolerance};
        if (!(error <= tolerance)) {
            snprintf(p->message, sizeof p->message,
                     "%s is wrong: %s of %s, layer %lld, is %.3g of its largest element off, allowed are %.3g",
                     p->s->spec.name, a->name, call->row->name, (long long)a->layer, error, tolerance);
            why = p->message;
        }
        memcpy(want, got, (size_t)a->count * sizeof *got);
    }
    p->fresh[its] = false;
    free(got);
    return why;
}

/* Those outputs of a call that the reference has made by now; `open` counts the others. */
static const char *compare_fresh(struct pair *p, const struct program_call *call, bool *done, int *open) {
    const char *why = NULL;
    int64_t its[MHC_MAX_ARGS];
    double others = 0;
    *open = 0;
    for (int a = 0; call->row->args[a].name; a++) {
        const struct program_array *mine = &p->s->arrays.array[call->argument[a]];
        bool output = call->row->args[a].direction == MHC_OUT && mine->count > 0 && !done[a];
        its[a] = output ? like(p->exact, mine) : -1;
        *open += its[a] >= 0;
        if (its[a] >= 0 && p->fresh[its[a]])
            others = fmax(others, array_largest((double *)program_pointer(p->exact, its[a], 0, 0), mine->count));
    }
    for (int a = 0; call->row->args[a].name && !why; a++)
        if (its[a] >= 0 && p->fresh[its[a]]) {
            why = compare(p, call, a, its[a], others);
            done[a] = true;
            --*open;
        }
    return why;
}

/* What the reference makes is rounded as the other one stores it. */
static const char *advance(struct pair *p) {
    const struct program_call *call = &p->exact->call[p->at++];
    const char *why = program_queue_call(p->exact, call, 0, 0, NULL);
    int32_t stream = p->s->spec.c.stream;
    for (int a = 0; call->row->args[a].name && !why; a++)
        if (call->row->args[a].direction == MHC_OUT) {
            const struct program_array *array = &p->exact->arrays.array[call->argument[a]];
            double *values = (double *)program_pointer(p->exact, call->argument[a], 0, 0);
            bool rounded = call->row->args[a].role != MHC_STREAM || backend_round(values, array->count, stream);
            p->fresh[call->argument[a]] = true;
            why = rounded ? NULL : "out of memory";
        }
    return why;
}

/* After a call of the program in question. */
static const char *check_call(void *user, const struct program *s, const struct program_call *call) {
    struct pair *p = user;
    bool done[MHC_MAX_ARGS] = {false};
    int open = 0;
    const char *why = compare_fresh(p, call, done, &open);
    while (!why && open > 0 && p->at < p->exact->calls) {
        why = advance(p);
        why = why ? why : compare_fresh(p, call, done, &open);
    }
    if (!why && open > 0)
        why = (snprintf(p->message, sizeof p->message, "%s: the reference's step has nothing to compare %s with",
                        s->spec.name, call->row->name),
               p->message);
    return why;
}

/* The same again, without a stop: the same bits. */
static const char *check_whole(struct pair *p) {
    struct program_result before = {0}, after = {0};
    char where[80];
    const char *why = program_result_take(&before, p->s, 0, 0, true) && program_result_spoil(p->s, 0, 0, true)
                          ? NULL
                          : "out of memory";
    why = why ? why : program_execute(p->s, NULL);
    if (!why && !program_result_take(&after, p->s, 0, 0, true))
        why = "out of memory";
    if (!why && !program_result_same(&after, &before, where, sizeof where))
        why = (snprintf(p->message, sizeof p->message, "%s: %s has other bits in a second run", p->s->spec.name, where),
               p->message);
    program_result_release(&before);
    program_result_release(&after);
    return why;
}

static const char *check_variant(const struct program *s, const struct program *exact, struct step_accuracy *accuracy) {
    static _Thread_local char message[256];
    struct pair p = {
        .s = s, .exact = exact, .accuracy = accuracy, .fresh = calloc((size_t)exact->arrays.count + 1, sizeof(bool))};
    const char *why = p.fresh ? NULL : "out of memory";
    *accuracy = (struct step_accuracy){0, 1};
    why = why ? why : program_execute(s, &(struct program_owner){.user = &p, .after = check_call});
    if (!why && p.at < exact->calls)
        why = "the reference's step goes on where this one ends";
    why = why ? why : check_whole(&p);
    free(p.fresh);
    return why ? (snprintf(message, sizeof message, "%s", why), message) : NULL;
}

const char *step_check(const struct program_spec *spec, int64_t timed, uint64_t seed,
                       struct step_accuracy accuracy[STEP_VARIANTS]) {
    struct steps all = {0}, exact = {0};
    struct program_spec small = step_check_spec(spec), its = exact_spec(spec);
    for (int v = 0; v < STEP_VARIANTS; v++)
        accuracy[v] = (struct step_accuracy){NAN, NAN};
    if (spec->backend->model)
        return NULL;
    const char *why = steps_plan(&all, &small, timed);
    why = why ? why : steps_plan(&exact, &its, timed);
    why = why ? why : steps_open(&all, 1, seed);
    why = why ? why : steps_open(&exact, 1, seed);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        enum step_variant alike = v == STEP_MHC_LAYERS ? STEP_MHC : (enum step_variant)v;
        if (!why && !all.step[v].missing[0])
            why = check_variant(&all.step[v], &exact.step[alike], &accuracy[v]);
    }
    steps_release(&all);
    steps_release(&exact);
    return why;
}
