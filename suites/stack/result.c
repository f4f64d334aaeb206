/* What a program leaves, on the host. */
#include "suites/stack/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 14 };

static const struct backend host = {.library = &(const struct mhc_library){0}};

static bool is_output(const struct program *p, const struct program_array *a, bool weights) {
    if (a->held)
        return false;
    if (a->parameter)
        return weights || strncmp(a->name + (strncmp(a->name, "grad_", 5) ? 0 : 5), "w_", 2);
    return (!strcmp(a->name, "x") && a->layer == p->spec.layers) || (!strcmp(a->name, "grad_x") && a->layer == 0);
}

bool program_result_take(struct program_result *r, const struct program *p, int64_t set, int micro_batch,
                         bool weights) {
    *r = (struct program_result){calloc((size_t)p->arrays.count + 1, sizeof *r->output), 0};
    bool good = r->output != NULL;
    for (int64_t k = 0; k < p->arrays.count && good; k++) {
        const struct program_array *a = &p->arrays.array[k];
        if (!is_output(p, a, weights))
            continue;
        struct program_output *out = &r->output[r->outputs++];
        *out = (struct program_output){
            .layer = a->layer, .count = a->count, .type = a->type, .bytes = malloc((size_t)a->bytes + 1)};
        memcpy(out->name, a->name, sizeof out->name);
        good = out->bytes &&
               backend_read(p->memory->backend, out->bytes, program_pointer(p, k, set, micro_batch), a->bytes);
    }
    return good;
}

bool program_result_spoil(const struct program *p, int64_t set, int micro_batch, bool weights) {
    bool good = true;
    for (int64_t k = 0; k < p->arrays.count && good; k++)
        if (is_output(p, &p->arrays.array[k], weights))
            good = program_poison(p, k, set, micro_batch);
    return good;
}

void program_result_release(struct program_result *r) {
    for (int64_t k = 0; k < r->outputs; k++)
        free(r->output[k].bytes);
    free(r->output);
    *r = (struct program_result){0};
}

static const struct program_output *output_like(const struct program_result *r, const struct program_output *like) {
    for (int64_t k = 0; k < r->outputs; k++)
        if (r->output[k].layer == like->layer && r->output[k].count == like->count &&
            !strcmp(r->output[k].name, like->name))
            return &r->output[k];
    return NULL;
}

/* The largest of |a - b|, of |a| without b. */
static double largest(const struct program_output *a, const struct program_output *b) {
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

/* The largest element of the arrays of a name, over all layers. */
static double largest_of_name(const struct program_result *r, const char *name) {
    double all = 0;
    for (int64_t k = 0; k < r->outputs; k++)
        if (!strcmp(r->output[k].name, name))
            all = fmax(all, largest(&r->output[k], NULL));
    return all;
}

double program_result_error(const struct program_result *got, const struct program_result *want, char *where,
                            size_t size) {
    double worst = 0;
    snprintf(where, size, "nothing");
    if (!want->outputs)
        return INFINITY;
    for (int64_t k = 0; k < want->outputs; k++) {
        const struct program_output *w = &want->output[k], *g = output_like(got, w);
        double error = g ? largest(g, w) : INFINITY;
        error = error == 0 ? 0 : error / largest_of_name(want, w->name); /* nothing but zeros on one side: infinite */
        if (error <= worst)
            continue;
        worst = isfinite(error) ? error : INFINITY;
        snprintf(where, size, "%s of layer %lld", w->name, (long long)w->layer);
    }
    return worst;
}

bool program_result_same(const struct program_result *got, const struct program_result *want, char *where,
                         size_t size) {
    snprintf(where, size, "nothing");
    for (int64_t k = 0; k < want->outputs; k++) {
        const struct program_output *w = &want->output[k], *g = output_like(got, w);
        if (g && g->type == w->type && !memcmp(g->bytes, w->bytes, (size_t)(w->count * mhc_type_bytes(w->type))))
            continue;
        snprintf(where, size, "%s of layer %lld", w->name, (long long)w->layer);
        return false;
    }
    return want->outputs > 0;
}

double program_tolerance(const struct program *p) {
    double row = 0;
    for (int64_t k = 0; k < p->calls; k++)
        if (step_is_connection(p->call[k].part))
            row = fmax(row, p->call[k].row->tolerance(&p->call[k].c));
    return fmin(row, PROGRAM_MOST_TOLERANCE) * fmax(1, sqrt((double)p->spec.layers / 2));
}
