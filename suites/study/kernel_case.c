#include "suites/study/kernel_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/rows/array_error.h"
#include "suites/stack/ensemble.h"
#include "suites/timing/timing.h"

/* An array that is 0 in exact arithmetic holds rounding of the row's other results: its error is measured against this
 * share of them. */
#define SMALLEST_SCALE 1e-3

static const struct backend cpu64 = {.library = &mhc_cpu64};

/* Whether a row reads what a row before it kept: backward, or one that does its work and more. */
static bool reads_save(const struct mhc_row *row) {
    return !strncmp(strchr(row->name, '.'), ".backward", 9);
}

/* Whether a row may keep something for the backward of its kind; whether it does is a library's own affair. */
static bool may_save(const struct mhc_row *row) {
    const char *operation = strchr(row->name, '.') + 1;
    return row->save_bytes || !strcmp(operation, "pre") || !strcmp(operation, "forward");
}

/* Of the rows of a kind, in the reference's order, those that a row leans on: they write an array it reads, or what it
 * finds in save. Fills chain[], the row itself last. */
static int chain_of(const struct mhc_row *last, const struct mhc_row **chain) {
    size_t kind = strcspn(last->name, ".") + 1;
    const struct mhc_row *const *at = mhc_cpu64.rows;
    while (*at != last)
        at++;
    const struct mhc_row *const *first = mhc_cpu64.rows;
    int count = 1;
    bool saved = !reads_save(last);
    chain[KERNEL_CHAIN - 1] = last;
    while (at > first && count < KERNEL_CHAIN) {
        at--;
        bool wanted = !saved && !strncmp((*at)->name, last->name, kind) && may_save(*at);
        for (const struct mhc_arg *out = (*at)->args; out->name && !wanted; out++)
            for (int k = KERNEL_CHAIN - count; k < KERNEL_CHAIN && out->direction == MHC_OUT; k++)
                wanted |= mhc_arg_find(chain[k], out->name, MHC_IN) != NULL;
        if (!wanted || strncmp((*at)->name, last->name, kind))
            continue;
        saved |= may_save(*at);
        chain[KERNEL_CHAIN - ++count] = *at;
    }
    memmove(chain, chain + KERNEL_CHAIN - count, (size_t)count * sizeof *chain);
    return count;
}

const char *kernel_case_plan(struct kernel_case *k, const struct backend *b, const struct params *p) {
    return kernel_case_plan_as(k, b, p, NULL);
}

const char *kernel_case_plan_as(struct kernel_case *k, const struct backend *b, const struct params *p,
                                const char *form) {
    static _Thread_local char message[200];
    const struct mhc_row *last = mhc_row_find(&mhc_cpu64, p->operation);
    *k = (struct kernel_case){.backend = b, .c = ensemble_case(p)};
    if (!last)
        return "no such operation";
    k->exact = k->c;
    backend_types(&cpu64, MHC_F64, &k->exact);
    backend_types(b, (int)p->type - 1, &k->c);
    k->rows = chain_of(last, k->reference);
    for (int r = 0; r < k->rows; r++) {
        const char *why, *name = k->reference[r]->name, *dot = strchr(name, '.');
        char kind[64];
        snprintf(kind, sizeof kind, "%.*s", (int)(dot - name), name);
        bool supported = k->reference[r]->supports(&k->exact, &why);
        bool needed = r + 1 == k->rows || (reads_save(last) && k->reference[r]->save_bytes);
        if (supported && form)
            k->chain[r] = backend_row(b, form, dot + 1, &k->c, &why);
        if (supported && !k->chain[r] && !(form && r + 1 == k->rows))
            k->chain[r] = backend_row(b, kind, dot + 1, &k->c, &why);
        if (!supported || (!k->chain[r] && needed))
            return snprintf(message, sizeof message, "%s: %s", name, why), message;
        if ((r + 1 == k->rows || reads_save(last)) && row_save_bytes(k->chain[r], &k->c))
            k->save_bytes = row_save_bytes(k->chain[r], &k->c);
    }
    return NULL;
}

void kernel_case_share_inputs(struct kernel_case *k) {
    for (int r = 0; r + 1 < k->rows; r++)
        if (!(reads_save(kernel_case_row(k)) && (k->reference[r]->save_bytes || row_save_bytes(k->chain[r], &k->c))))
            k->chain[r] = NULL;
}

void kernel_case_bytes(const struct kernel_case *k, double *backend, double *host) {
    *backend = (double)(k->save_bytes + row_work_bytes(kernel_case_row(k), &k->c));
    *host = 0;
    for (int r = 0; r < k->rows; r++) {
        *host += (double)row_save_bytes(k->reference[r], &k->exact);
        for (const struct mhc_arg *arg = k->reference[r]->args; arg->name; arg++) {
            bool seen = false;
            for (int before = 0; before < r; before++)
                seen |= mhc_arg_find(k->reference[before], arg->name, MHC_IN) ||
                        mhc_arg_find(k->reference[before], arg->name, MHC_OUT);
            *host += seen ? 0 : 8 * (double)mhc_elements(&k->exact, arg);
            *backend += seen ? 0 : (double)(mhc_arg_bytes(&k->c, arg));
        }
    }
    *backend += 2 * (double)bound_row_bytes(kernel_case_row(k), &k->c, k->save_bytes);
    *host += 0.5 * *host; /* copies on the way to and from the backend */
}

static void draw(const struct mhc_case *c, const struct mhc_arg *arg, uint64_t seed, double *values) {
    uint32_t what = mhc_what(arg->name);
    int64_t count = mhc_elements(c, arg);
#pragma omp parallel for schedule(static) if (count > 4096)
    for (int64_t k = 0; k < count; k++)
        values[k] = mhc_natural(c, arg, k, mhc_normal(seed, what, 0, (uint64_t)k));
}

/* Both sides get these numbers, as the backend's type holds them. */
static const char *share(const struct kernel_case *k, double *answer, void *array, int64_t count, int32_t type) {
    bool good = backend_upload(k->backend, array, answer, count, type) &&
                backend_download(k->backend, answer, array, count, type);
    return good ? NULL : "the device failed";
}

/* An argument in both memories, unless a row before had it; an input is drawn. */
static const char *add_array(struct kernel_case *k, const struct mhc_arg *arg, uint64_t seed) {
    int64_t count = mhc_elements(&k->c, arg);
    int32_t type = mhc_arg_type(&k->c, arg);
    for (int at = 0; at < k->arrays; at++)
        if (!strcmp(k->array[at].name, arg->name))
            return NULL;
    if (k->arrays == KERNEL_ARRAYS)
        return "too many arrays";
    void *array = backend_allocate(k->backend, count * mhc_type_bytes(type));
    double *answer = backend_allocate(&cpu64, 8 * count);
    k->array[k->arrays] = (struct array){arg->name, array};
    k->answer[k->arrays++] = (struct array){arg->name, answer};
    if (!array || !answer)
        return "out of memory";
    if (arg->direction == MHC_OUT)
        return NULL;
    draw(&k->c, arg, seed, answer);
    return share(k, answer, array, count, type);
}

/* What the reference made of a row that the backend lacks. */
static const char *share_outputs(struct kernel_case *k, const struct mhc_row *row) {
    const char *why = NULL;
    for (int at = 0; at < k->arrays && !why; at++) {
        const struct mhc_arg *arg = mhc_arg_find(row, k->array[at].name, MHC_OUT);
        if (arg)
            why = share(k, k->answer[at].pointer, k->array[at].pointer, mhc_elements(&k->c, arg),
                        mhc_arg_type(&k->c, arg));
    }
    return why;
}

/* A row on one side. */
static const char *run_row(const struct backend *b, const struct mhc_row *row, const struct mhc_case *c,
                           const struct array *arrays, int count, void *save) {
    void *work = backend_allocate(b, row_work_bytes(row, c));
    const char *why = work ? backend_run(b, row, c, arrays, count, save, work) : "out of memory";
    backend_release(b, work);
    return why;
}

const char *kernel_case_open(struct kernel_case *k, uint64_t seed) {
    const char *why = NULL;
    int64_t exact_save = 0, save = 0;
    for (int r = 0; r < k->rows; r++) { /* room for each, whether it is needed later or not */
        exact_save += row_save_bytes(k->reference[r], &k->exact);
        save += row_save_bytes(k->chain[r], &k->c);
    }
    k->save = backend_allocate(k->backend, save);
    k->exact_save = backend_allocate(&cpu64, exact_save);
    if (!k->save || !k->exact_save)
        return "out of memory";
    for (int r = 0; r < k->rows && !why; r++) {
        for (const struct mhc_arg *arg = k->reference[r]->args; arg->name && !why; arg++)
            why = add_array(k, arg, seed);
        if (!why)
            why = run_row(&cpu64, k->reference[r], &k->exact, k->answer, k->arrays, k->exact_save);
        if (!why && r + 1 < k->rows)
            why = k->chain[r] ? run_row(k->backend, k->chain[r], &k->c, k->array, k->arrays, k->save)
                              : share_outputs(k, k->reference[r]);
    }
    return why;
}

/* As add_array(), from the arrays of a case that is open. */
static const char *join_array(struct kernel_case *k, const struct mhc_arg *arg, const struct kernel_case *first) {
    int64_t count = mhc_elements(&k->c, arg);
    int32_t type = mhc_arg_type(&k->c, arg);
    int at = 0;
    for (int mine = 0; mine < k->arrays; mine++)
        if (!strcmp(k->array[mine].name, arg->name))
            return NULL;
    while (at < first->arrays && strcmp(first->answer[at].name, arg->name))
        at++;
    if (at == first->arrays)
        return "an array is missing";
    void *array = backend_allocate(k->backend, count * mhc_type_bytes(type));
    k->array[k->arrays] = (struct array){arg->name, array};
    k->answer[k->arrays++] = first->answer[at];
    if (!array)
        return "out of memory";
    return arg->direction == MHC_OUT || backend_upload(k->backend, array, first->answer[at].pointer, count, type)
               ? NULL
               : "the device failed";
}

const char *kernel_case_join(struct kernel_case *k, const struct kernel_case *first) {
    const char *why = NULL;
    int64_t save = 0;
    for (int r = 0; r < k->rows; r++)
        save += row_save_bytes(k->chain[r], &k->c);
    k->joined = true;
    k->save = backend_allocate(k->backend, save);
    if (!k->save)
        return "out of memory";
    for (int r = 0; r < k->rows && !why; r++) {
        for (const struct mhc_arg *arg = k->reference[r]->args; arg->name && !why; arg++)
            why = join_array(k, arg, first);
        if (!why && r + 1 < k->rows)
            why = k->chain[r] ? run_row(k->backend, k->chain[r], &k->c, k->array, k->arrays, k->save)
                              : share_outputs(k, k->reference[r]);
    }
    return why;
}

void kernel_case_close(struct kernel_case *k) {
    for (int at = 0; at < k->arrays; at++) {
        backend_release(k->backend, k->array[at].pointer);
        if (!k->joined)
            backend_release(&cpu64, k->answer[at].pointer);
    }
    if (k->backend) {
        backend_release(k->backend, k->save);
        backend_release(&cpu64, k->exact_save);
    }
    *k = (struct kernel_case){0};
}

void *kernel_case_find(const struct array *arrays, int count, const char *name) {
    for (int at = 0; at < count; at++)
        if (!strcmp(arrays[at].name, name))
            return arrays[at].pointer;
    return NULL;
}

static const double *answer_of(const struct kernel_case *k, const char *name) {
    return kernel_case_find(k->answer, k->arrays, name);
}

const char *kernel_case_compare(const struct kernel_case *k, void *const *outputs, struct kernel_accuracy *a) {
    static _Thread_local char message[240];
    const struct mhc_row *row = kernel_case_row(k);
    struct array crossed[MHC_MAX_ARGS];
    int crossings;
    double others = 0;
    const char *why = kernel_case_cross(k, outputs, crossed, &crossings);
    *a = (struct kernel_accuracy){0, row->tolerance(&k->c)};
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == MHC_OUT && answer_of(k, arg->name))
            others = fmax(others, array_largest(answer_of(k, arg->name), mhc_elements(&k->c, arg)));
    for (int i = 0; row->args[i].name && !why; i++) {
        const struct mhc_arg *arg = &row->args[i];
        const double *want = kernel_case_find(crossed, crossings, arg->name);
        int64_t count = mhc_elements(&k->c, arg), element;
        want = want ? want : answer_of(k, arg->name);
        if (arg->direction != MHC_OUT || !want || !count)
            continue;
        double *got = malloc((size_t)count * sizeof *got);
        if (!got || !backend_download(k->backend, got, outputs[i], count, mhc_arg_type(&k->c, arg))) {
            why = got ? "an array cannot be copied from the device" : "out of memory";
        } else {
            double error = array_error(arg, &k->c, got, want, SMALLEST_SCALE * others, &element);
            a->error = fmax(a->error, error);
            if (!(error <= a->tolerance)) {
                snprintf(message, sizeof message, "%s is wrong: %s[%lld] is %.6g, the reference has %.6g", row->name,
                         arg->name, (long long)element, got[element], want[element]);
                why = message;
            }
        }
        free(got);
    }
    kernel_case_uncross(crossed, crossings);
    return why;
}

const char *kernel_case_check(const struct kernel_case *k, const struct bound_row *b, int64_t set,
                              struct kernel_accuracy *a) {
    void *outputs[MHC_MAX_ARGS] = {0};
    for (int i = 0; b->row->args[i].name; i++)
        outputs[i] = bound_row_argument(b, set, i);
    return kernel_case_compare(k, outputs, a);
}

int64_t kernel_case_sets(const struct params *p, const struct backend *b, int64_t set_bytes) {
    return p->cache == CACHE_HOT ? 1 : timing_sets(set_bytes, timing_cache_bytes(b), backend_available(b) / 4);
}
