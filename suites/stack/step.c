#include "suites/stack/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/philox.h"

const char *const step_variant_name[STEP_VARIANTS] = {"residual", "hc-unfused", "mhc-unfused",
                                                      "mhc",      "mhc-layers", "identity"};
const char *const step_part_name[STEP_PARTS] = {"gemm.forward",
                                                "gemm.backward_input",
                                                "gemm.backward_weight",
                                                "attention-core.forward",
                                                "attention-core.backward",
                                                "activation.forward",
                                                "activation.backward",
                                                "optimizer",
                                                "norm.forward",
                                                "norm.backward",
                                                "pre",
                                                "post",
                                                "post_backward_y",
                                                "backward",
                                                "optimizer"};

/* ---- arrays ---- */

static int64_t *first_of(struct step_arrays *a, int64_t layer) {
    return &a->first[(layer + 1) % (int64_t)(sizeof a->first / sizeof *a->first)];
}

static int64_t find(struct step_arrays *a, const char *name, int64_t layer) {
    for (int64_t k = *first_of(a, layer); k > 0; k = a->array[k - 1].next)
        if (a->array[k - 1].layer == layer && !strcmp(a->array[k - 1].name, name))
            return k - 1;
    return -1;
}

static int64_t add(struct step_arrays *a, const char *name, int64_t layer, int64_t count, int32_t type) {
    if (a->count == a->room) {
        int64_t room = a->room ? 2 * a->room : 64;
        struct step_array *grown = realloc(a->array, (size_t)room * sizeof *grown);
        if (!grown)
            return -1;
        a->array = grown;
        a->room = room;
    }
    a->array[a->count] = (struct step_array){
        .layer = layer, .count = count, .type = type, .bytes = type < 0 ? count : count * mhc_type_bytes(type)};
    snprintf(a->array[a->count].name, sizeof a->array->name, "%s", name);
    a->array[a->count].next = *first_of(a, layer);
    *first_of(a, layer) = ++a->count;
    return a->count - 1;
}

/* The program's entry of a held array has its place among those in `offset`. */
int64_t step_array(struct step *s, const char *name, int64_t layer, int64_t count, int32_t type, bool held) {
    int64_t at = find(&s->arrays, name, layer), of_all = 0;
    if (at < 0 && held && (of_all = find(&s->all->held, name, layer)) < 0)
        of_all = add(&s->all->held, name, layer, count, type);
    if (at < 0 && of_all >= 0 && (at = add(&s->arrays, name, layer, count, type)) >= 0) {
        s->arrays.array[at].held = held;
        s->arrays.array[at].offset = of_all;
    }
    const struct step_array *array = at < 0 ? NULL
                                     : held ? &s->all->held.array[s->arrays.array[at].offset]
                                            : &s->arrays.array[at];
    if (array && array->count == count && array->type == type)
        return at;
    if (array && !s->missing[0]) /* rows that disagree on a shape: a library of its own kind */
        snprintf(s->missing, sizeof s->missing, "array %s has %lld elements in one operation and %lld in another", name,
                 (long long)array->count, (long long)count);
    s->failed |= !array;
    return -1;
}

static int64_t lay_out(struct step_arrays *a) {
    a->bytes = 0;
    for (int64_t k = 0; k < a->count; k++)
        if (!a->array[k].held) {
            a->array[k].offset = a->bytes;
            a->bytes += backend_aligned(a->array[k].bytes);
        }
    return a->bytes;
}

const char *steps_plan(struct steps *all, const struct step_spec *spec) {
    *all = (struct steps){.spec = *spec};
    for (int v = 0; v < STEP_VARIANTS; v++) {
        struct step *s = &all->step[v];
        s->all = all;
        s->variant = (enum step_variant)v;
        step_compose(s);
        if (s->failed)
            return "out of memory";
        if (!s->missing[0] && lay_out(&s->arrays) > all->lane_bytes)
            all->lane_bytes = s->arrays.bytes;
    }
    all->set_bytes = lay_out(&all->held) + spec->lanes * all->lane_bytes;
    return NULL;
}

void steps_release(struct steps *all) {
    for (int v = 0; v < STEP_VARIANTS; v++) {
        free(all->step[v].arrays.array);
        free(all->step[v].call);
    }
    free(all->held.array);
    if (all->spec.backend)
        backend_release(all->spec.backend, all->slab);
    *all = (struct steps){0};
}

/* ---- memory ---- */

/* NaN in every type. */
static bool poison(const struct backend *b, char *memory, int64_t bytes) {
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE);
    bool good = piece != NULL;
    if (piece)
        memset(piece, 0xFF, PIECE);
    for (int64_t at = 0; at < bytes && good; at += PIECE)
        good = backend_write(b, memory + at, piece, bytes - at < PIECE ? bytes - at : PIECE);
    free(piece);
    return good;
}

bool step_poison(const struct step *s, int64_t array, int64_t set, int lane) {
    return poison(s->all->spec.backend, step_pointer(s, array, set, lane), s->arrays.array[array].bytes);
}

/* Normal numbers of a size that keeps every operation away from saturation. Numbers that bf16 holds, so that every
 * backend gets the same. */
static bool fill(const struct steps *all, const struct step_array *a, uint64_t seed) {
    const uint32_t array = mhc_what(a->name);
    double *values = malloc((size_t)(a->count + 1) * sizeof *values);
    bool good = values != NULL;
    if (good) {
#pragma omp parallel for schedule(static) if (a->count > 4096)
        for (int64_t k = 0; k < a->count; k++)
            values[k] = (k % a->every ? 0 : a->mean) +
                        a->scale * mhc_normal(seed, array, (uint32_t)(a->layer + 1), (uint64_t)k);
    }
    good = good && backend_round(values, a->count, MHC_BF16);
    for (int64_t set = 0; set < all->sets && good; set++)
        good = backend_upload(all->spec.backend, all->slab + set * all->set_bytes + a->offset, values, a->count,
                              a->type);
    free(values);
    return good;
}

const char *steps_open(struct steps *all, int64_t sets, uint64_t seed) {
    all->sets = sets;
    all->slab = backend_allocate(all->spec.backend, sets * all->set_bytes);
    bool good = all->slab && poison(all->spec.backend, all->slab, sets * all->set_bytes);
    for (int64_t k = 0; k < all->held.count && good; k++)
        good = fill(all, &all->held.array[k], seed);
    return good ? NULL : all->slab ? "an array cannot be copied" : "out of memory";
}

char *step_pointer(const struct step *s, int64_t array, int64_t set, int lane) {
    const struct steps *all = s->all;
    const struct step_array *a = &s->arrays.array[array];
    char *base = all->slab + set * all->set_bytes;
    return a->held ? base + all->held.array[a->offset].offset
                   : base + all->held.bytes + lane * all->lane_bytes + a->offset;
}

const char *step_run_call(const struct step *s, const struct step_call *call, int64_t set, int lane, void *queue) {
    static _Thread_local char message[160];
    void *argument[MHC_MAX_ARGS] = {0};
    const struct backend *b = s->all->spec.backend;
    for (int a = 0; call->row->args[a].name; a++)
        argument[a] = step_pointer(s, call->argument[a], set, lane);
    void *save = call->save < 0 ? NULL : step_pointer(s, call->save, set, lane);
    if (!call->row->run(b->context, queue, &call->c, argument, save, step_pointer(s, s->work, set, lane)))
        return NULL;
    const char *why = b->library->error ? b->library->error(b->context) : NULL;
    snprintf(message, sizeof message, "%s: %.120s", call->row->name, why && *why ? why : "the device failed");
    return message;
}

const char *step_run(const struct step *s, int64_t set, int lane, void *queue) {
    const char *why = NULL;
    for (int64_t k = 0; k < s->calls && !why; k++)
        why = step_run_call(s, &s->call[k], set, lane, queue);
    return why;
}

/* ---- what a program says of itself ---- */

static double sum_of(const struct step *s, enum step_part part, double (*of)(const struct step_call *)) {
    double sum = 0;
    for (int64_t k = 0; k < s->calls; k++)
        sum += s->call[k].part == part ? of(&s->call[k]) : 0;
    return sum;
}
static double bytes_of(const struct step_call *call) {
    return call->row->traffic(&call->c);
}
static double flops_of(const struct step_call *call) {
    return call->row->flops(&call->c);
}

double step_bytes(const struct step *s, enum step_part part) {
    return sum_of(s, part, bytes_of);
}

double step_flops(const struct step *s, enum step_part part) {
    return sum_of(s, part, flops_of);
}

int64_t step_calls(const struct step *s, enum step_part part) {
    int64_t calls = 0;
    for (int64_t k = 0; k < s->calls; k++)
        calls += s->call[k].part == part;
    return calls;
}

double step_footprint(const struct step *s, enum step_part part) {
    bool *touched = calloc((size_t)s->arrays.count + 1, 1);
    double bytes = touched ? 0 : NAN;
    for (int64_t k = 0; k < s->calls && touched; k++) {
        const struct step_call *call = &s->call[k];
        for (int a = 0; call->part == part && call->row->args[a].name; a++)
            touched[call->argument[a]] = true;
        if (call->part == part && call->save >= 0)
            touched[call->save] = true;
    }
    for (int64_t k = 0; k < s->arrays.count && touched; k++)
        bytes += touched[k] ? (double)s->arrays.array[k].bytes : 0;
    free(touched);
    return bytes;
}

static bool reads_save(const struct step_call *call) {
    return !strncmp(strchr(call->row->name, '.'), ".backward", 9);
}

/* Arrays that the backward half reads and has not written itself. */
static void mark_kept(const struct step *s, bool *kept) {
    bool *written = calloc((size_t)s->arrays.count + 1, 1);
    for (int64_t k = 0; k < s->calls && written; k++) {
        const struct step_call *call = &s->call[k];
        if (!call->backward)
            continue;
        if (call->save >= 0 && reads_save(call))
            kept[call->save] |= !written[call->save];
        for (int a = 0; call->row->args[a].name; a++)
            if (call->row->args[a].direction == MHC_IN)
                kept[call->argument[a]] |= !written[call->argument[a]];
        for (int a = 0; call->row->args[a].name; a++)
            written[call->argument[a]] |= call->row->args[a].direction == MHC_OUT;
        if (call->save >= 0 && !reads_save(call))
            written[call->save] = true;
    }
    free(written);
}

static double bytes_where(const struct step *s, bool wanted) {
    bool *kept = calloc((size_t)s->arrays.count + 1, 1);
    double bytes = 0;
    if (!kept)
        return NAN;
    mark_kept(s, kept);
    for (int64_t k = 0; k < s->arrays.count; k++) {
        const struct step_array *a = &s->arrays.array[k];
        bytes += !a->held && !a->parameter && kept[k] == wanted ? (double)a->bytes : 0;
    }
    free(kept);
    return bytes;
}

double step_activation_bytes(const struct step *s) {
    return bytes_where(s, true);
}

double step_workspace_bytes(const struct step *s) {
    return bytes_where(s, false);
}
