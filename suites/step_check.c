#include "suites/step_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"

enum { CHECK_TOKENS = 24, CHECK_LAYERS = 3, PIECE = 1 << 14 };

static const struct backend host = {.library = &(const struct mhc_library){0}}, cpu64 = {.library = &mhc_cpu64};

static bool copy_out(const struct backend *b, void *to, const void *from, int64_t bytes) {
    if (b->library->memory)
        return !b->library->memory->to_host(b->context, to, from, bytes);
    memcpy(to, from, (size_t)bytes);
    return true;
}

static bool is_output(const struct step *s, const struct step_array *a, bool weights) {
    if (a->held)
        return false;
    if (a->parameter)
        return weights || strncmp(a->name, "grad_w_", 7);
    return (!strcmp(a->name, "x") && a->layer == s->all->spec.layers) || (!strcmp(a->name, "grad_x") && a->layer == 0);
}

bool step_result_take(struct step_result *r, const struct step *s, int64_t set, int lane, bool weights) {
    *r = (struct step_result){calloc((size_t)s->arrays.count + 1, sizeof *r->output), 0};
    bool good = r->output != NULL;
    for (int64_t k = 0; k < s->arrays.count && good; k++) {
        const struct step_array *a = &s->arrays.array[k];
        if (!is_output(s, a, weights))
            continue;
        struct step_output *out = &r->output[r->outputs++];
        *out = (struct step_output){
            .layer = a->layer, .count = a->count, .type = a->type, .bytes = malloc((size_t)a->bytes + 1)};
        memcpy(out->name, a->name, sizeof out->name);
        good = out->bytes && copy_out(s->all->spec.backend, out->bytes, step_pointer(s, k, set, lane), a->bytes);
    }
    return good;
}

void step_result_release(struct step_result *r) {
    for (int64_t k = 0; k < r->outputs; k++)
        free(r->output[k].bytes);
    free(r->output);
    *r = (struct step_result){0};
}

static const struct step_output *output_like(const struct step_result *r, const struct step_output *like) {
    for (int64_t k = 0; k < r->outputs; k++)
        if (r->output[k].layer == like->layer && r->output[k].count == like->count &&
            !strcmp(r->output[k].name, like->name))
            return &r->output[k];
    return NULL;
}

/* The largest of |a - b|, of |a| without b. */
static double largest(const struct step_output *a, const struct step_output *b) {
    double x[PIECE], y[PIECE], largest = 0;
    for (int64_t at = 0; at < a->count; at += PIECE) {
        int64_t some = a->count - at < PIECE ? a->count - at : PIECE;
        if (!backend_download(&host, x, (char *)a->bytes + at * mhc_type_bytes(a->type), some, a->type) ||
            (b && !backend_download(&host, y, (char *)b->bytes + at * mhc_type_bytes(b->type), some, b->type)))
            return INFINITY;
        for (int64_t k = 0; k < some; k++) {
            double value = fabs(b ? x[k] - y[k] : x[k]);
            if (!isfinite(value))
                return INFINITY;
            largest = value > largest ? value : largest;
        }
    }
    return largest;
}

double step_result_error(const struct step_result *got, const struct step_result *want, char *where, size_t size) {
    double worst = 0;
    snprintf(where, size, "nothing");
    if (!want->outputs)
        return INFINITY;
    for (int64_t k = 0; k < want->outputs; k++) {
        const struct step_output *w = &want->output[k], *g = output_like(got, w);
        double scale = g ? largest(w, NULL) : NAN, error = g ? largest(g, w) : INFINITY;
        error = error == 0 ? 0 : error / scale; /* nothing but zeros on one side: infinite */
        if (error <= worst)
            continue;
        worst = isfinite(error) ? error : INFINITY;
        snprintf(where, size, "%s of layer %lld", w->name, (long long)w->layer);
    }
    return worst;
}

/* Nothing that is all zeros may pass, however deep. */
#define MOST_STEP_TOLERANCE 0.5

double step_tolerance(const struct step *s) {
    double row = 0;
    for (int64_t k = 0; k < s->calls; k++)
        row = fmax(row, s->call[k].row->tolerance(&s->call[k].c));
    return fmin(2 * (double)s->all->spec.layers * row, MOST_STEP_TOLERANCE);
}

/* ---- against cpu64 ---- */

struct step_spec step_check_spec(const struct step_spec *spec) {
    struct step_spec small = *spec;
    int64_t most =
        spec->recompute ? spec->recompute + 2 : CHECK_LAYERS; /* across the edge of a block that is computed again */
    small.layers = spec->layers < most ? spec->layers : most;
    small.c.T = spec->c.T < CHECK_TOKENS ? spec->c.T : CHECK_TOKENS;
    small.c.S = 0;
    small.lanes = 1;
    return small;
}

static struct step_spec exact_spec(const struct step_spec *spec) {
    struct step_spec exact = step_check_spec(spec);
    exact.backend = &cpu64;
    backend_types(&cpu64, MHC_F64, &exact.c);
    return exact;
}

double step_check_bytes(const struct step_spec *spec) {
    struct steps all;
    struct step_spec exact = exact_spec(spec);
    double bytes = steps_plan(&all, &exact) ? 0 : 2.5 * (double)all.set_bytes; /* results of both sides beside it */
    steps_release(&all);
    return bytes;
}

static const char *wait(const struct backend *b) {
    return b->library->queues && b->library->queues->synchronize(b->context, b->queue) ? "the device failed" : NULL;
}

static const char *check_variant(const struct step *s, const struct step *exact, struct step_accuracy *accuracy) {
    static _Thread_local char message[200];
    struct step_result got = {0}, want = {0};
    char where[80];
    const char *why = step_run(exact, 0, 0, NULL);
    why = why ? why : step_run(s, 0, 0, s->all->spec.backend->queue);
    why = why ? why : wait(s->all->spec.backend);
    if (!why && !(step_result_take(&got, s, 0, 0, true) && step_result_take(&want, exact, 0, 0, true)))
        why = "out of memory";
    if (!why) {
        accuracy->error = step_result_error(&got, &want, where, sizeof where);
        accuracy->tolerance = step_tolerance(s);
        if (!(accuracy->error <= accuracy->tolerance))
            snprintf(message, sizeof message, "%s is wrong: %s is %.3g of its largest element off, allowed are %.3g",
                     step_variant_name[s->variant], where, accuracy->error, accuracy->tolerance);
        why = accuracy->error <= accuracy->tolerance ? NULL : message;
    }
    step_result_release(&got);
    step_result_release(&want);
    return why;
}

const char *step_check(const struct step_spec *spec, uint64_t seed, struct step_accuracy accuracy[STEP_VARIANTS]) {
    struct steps all = {0}, exact = {0};
    struct step_spec small = step_check_spec(spec), its = exact_spec(spec);
    const char *why = steps_plan(&all, &small);
    why = why ? why : steps_plan(&exact, &its);
    why = why ? why : steps_open(&all, 1, seed);
    why = why ? why : steps_open(&exact, 1, seed);
    for (int v = 0; v < STEP_VARIANTS; v++) {
        accuracy[v] = (struct step_accuracy){NAN, NAN};
        enum step_variant like = v == STEP_MHC_LAYERS ? STEP_MHC : (enum step_variant)v;
        if (!why && !all.step[v].missing[0])
            why = check_variant(&all.step[v], &exact.step[like], &accuracy[v]);
    }
    steps_release(&all);
    steps_release(&exact);
    return why;
}
