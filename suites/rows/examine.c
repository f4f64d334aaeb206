#include "suites/rows/examine.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/verdict.h"
#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/rows/array_error.h"

static const struct backend cpu64 = {.library = &mhc_cpu64};

const struct examiner *examine_elsewhere;

const struct poison examine_poison[2] = {{.pattern = 0xffff, .shift = 64}, {.pattern = 0x3c3d, .shift = 128}};

/* A backend may be elsewhere, in the process that the judge serves; a model is not. */
static bool computes_nothing(const struct examination *e) {
    return e->backend && e->backend->model;
}

/* --- inputs --- */

void examine_natural(const void *user, const struct mhc_case *c, const struct mhc_arg *arg, double *values) {
    uint32_t what = mhc_what(arg->name);
    uint64_t seed = *(const uint64_t *)user;
    int64_t count = mhc_elements(c, arg);
#pragma omp parallel for schedule(static) if (count > 4096)
    for (int64_t k = 0; k < count; k++)
        values[k] = mhc_natural(c, arg, k, mhc_normal(seed, what, 0, (uint64_t)k));
}

static bool made_before(const struct examination *e, int k, const char *name) {
    for (int before = 0; before < k; before++)
        if (mhc_arg_find(e->reference[before], name, MHC_OUT) ||
            (e->row[before] && mhc_arg_find(e->row[before], name, MHC_OUT)))
            return true;
    return false;
}

const char *examine_give(struct examination *e, examine_draw *draw, const void *user) {
    if (computes_nothing(e))
        return NULL;
    for (int k = 0; k < e->rows; k++)
        for (int side = e->row[k] ? 0 : 1; side < 2; side++) /* the backend's own may have another one */
            for (const struct mhc_arg *arg = (side ? e->reference[k] : e->row[k])->args; arg->name; arg++) {
                if (arg->direction == MHC_OUT || arrays_get(&e->given, arg->name) || made_before(e, k, arg->name))
                    continue;
                int64_t count = mhc_elements(&e->c, arg);
                double *values = arrays_put(&e->given, arg->name, count);
                if (!values)
                    return "out of memory";
                draw(user, &e->c, arg, values);
                if (!backend_round(values, count, mhc_arg_type(&e->c, arg)))
                    return "out of memory";
            }
    return NULL;
}

/* --- the reference --- */

/* Indices, which are no doubles in any backend, in a copy of their own; NULL: out of memory. */
static void *integers_of(const struct mhc_case *c, const struct mhc_arg *arg, const double *values) {
    void *copy = backend_allocate(&cpu64, mhc_arg_bytes(c, arg));
    if (copy && backend_upload(&cpu64, copy, values, mhc_elements(c, arg), MHC_I32))
        return copy;
    backend_release(&cpu64, copy);
    return NULL;
}

/* A row of cpu64 over arrays by name. */
static const char *run_bound(const struct mhc_row *row, const struct mhc_case *c, struct arrays *a, struct save *save,
                             void *integers[MHC_MAX_ARGS]) {
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        double *values = arg->direction == MHC_OUT ? arrays_put(a, arg->name, mhc_elements(c, arg))
                                                   : arrays_get(a, arg->name);
        if (!values)
            return arg->direction == MHC_OUT ? "out of memory" : "an array is missing";
        bool is_index = arg->role == MHC_INDEX;
        if (is_index && !(integers[count] = integers_of(c, arg, values)))
            return "out of memory";
        arrays[count] = (struct array){arg->name, is_index ? integers[count] : values};
        count++;
    }
    if (row->save_bytes) {
        backend_release(&cpu64, save->bytes);
        save->bytes = backend_allocate(&cpu64, row_save_bytes(row, c));
    }
    void *work = backend_allocate(&cpu64, row_work_bytes(row, c));
    const char *why = work && (save->bytes || !row->save_bytes)
                          ? backend_run(&cpu64, row, c, arrays, count, save->bytes, work)
                          : "out of memory";
    backend_release(&cpu64, work);
    return why;
}

static const char *run_reference(const struct mhc_row *row, const struct mhc_case *c, struct arrays *a,
                                 struct save *save) {
    void *integers[MHC_MAX_ARGS] = {0};
    const char *why = run_bound(row, c, a, save, integers);
    for (int k = 0; k < MHC_MAX_ARGS; k++)
        backend_release(&cpu64, integers[k]);
    return why;
}

/* What the reference made of a row that the backend has not: both sides get it, as the backend's type holds it. */
static const char *give_made(struct examination *e, int k) {
    for (const struct mhc_arg *arg = e->reference[k]->args; arg->name && !e->row[k] && k + 1 < e->rows; arg++) {
        if (arg->direction == MHC_IN)
            continue;
        if (!backend_round(arrays_get(&e->want, arg->name), mhc_elements(&e->c, arg), mhc_arg_type(&e->c, arg)))
            return "out of memory";
        arrays_alias(&e->given, arg->name, &e->want, arg->name);
    }
    return NULL;
}

bool examine_behind_crossing(const struct examination *e) {
    return e->rows > 1 && e->row[0] && crossing_of(e->row[0]) && !crossing_of(e->reference[0]);
}

const char *examine_reference(struct examination *e, const struct arrays *made) {
    struct save save = {0};
    const char *why = NULL;
    if (computes_nothing(e))
        return NULL;
    if (examine_elsewhere)
        return examine_elsewhere->reference(e, made);
    arrays_alias_all(&e->want, &e->given);
    if (examine_behind_crossing(e))
        arrays_alias(&e->want, "x", made, "x_next");
    for (int k = 0; k < e->rows && !why; k++) {
        why = run_reference(e->reference[k], &e->exact, &e->want, &save);
        why = why ? why : give_made(e, k);
    }
    backend_release(&cpu64, save.bytes);
    return why;
}

const char *examine_same_answer(struct examination *e, const struct examination *first) {
    const char *why = NULL;
    arrays_alias_all(&e->given, &first->given);
    arrays_alias_all(&e->want, &first->want);
    if (examine_elsewhere)
        return examine_elsewhere->join(e, first);
    for (int k = 0; k < e->rows && !why; k++)
        why = give_made(e, k);
    return why;
}

const char *examine_join(struct examination *e, const struct examination *first) {
    const char *why = examine_same_answer(e, first);
    return why ? why : examine_before(e);
}

/* --- the backend --- */

static bool run_rows(const struct examination *e, int first, int last, const struct poison *p, struct outcome *o,
                     char why[MAX_FAILURE]) {
    bool good = true;
    for (int k = first; k < last && good; k++) {
        good = !e->row[k] || run_guarded(e->backend, e->row[k], &e->c, p, o, why);
        if (good && k == 0 && examine_behind_crossing(e))
            arrays_alias(&o->made, "x", &o->made, "x_next");
    }
    return good;
}

const char *examine_before(struct examination *e) {
    static _Thread_local char why[MAX_FAILURE];
    if (computes_nothing(e))
        return NULL;
    arrays_alias_all(&e->before.made, &e->given);
    return run_rows(e, 0, e->rows - 1, &examine_poison[0], &e->before, why) ? NULL : why;
}

bool examine_run(const struct examination *e, const struct poison *p, struct outcome *o, char why[MAX_FAILURE]) {
    outcome_clear(o);
    arrays_alias_all(&o->made, &e->given);
    return run_rows(e, 0, e->rows, p, o, why);
}

void examine_close(struct examination *e) {
    if (examine_elsewhere)
        examine_elsewhere->close(e);
    outcome_clear(&e->before);
    arrays_clear(&e->given);
    arrays_clear(&e->want);
    *e = (struct examination){0};
}

void examine_bytes(const struct examination *e, double *backend, double *host) {
    const struct mhc_row *last = examined_row(e);
    int64_t save_bytes = 0;
    *host = *backend = 0;
    for (int k = 0; k < e->rows; k++) {
        *host += (double)row_save_bytes(e->reference[k], &e->exact);
        if (k + 1 == e->rows || row_reads_save(last))
            save_bytes = row_save_bytes(e->row[k], &e->c) ? row_save_bytes(e->row[k], &e->c) : save_bytes;
        for (const struct mhc_arg *arg = e->reference[k]->args; arg->name; arg++) {
            bool seen = made_before(e, k, arg->name);
            for (int before = 0; before < k; before++)
                seen |= mhc_arg_find(e->reference[before], arg->name, MHC_IN) != NULL;
            *host += seen ? 0 : 8 * (double)mhc_elements(&e->exact, arg);
            *backend += seen ? 0 : (double)mhc_arg_bytes(&e->c, arg);
        }
    }
    *backend += (double)(save_bytes + row_work_bytes(last, &e->c)) +
                2 * (double)bound_row_bytes(last, &e->c, save_bytes);
    *host += 0.5 * *host; /* copies on the way to and from the backend */
}

/* --- findings --- */

/* The same arrays as `want`, but behind a crossing those that the reference makes of what the row itself wrote; they
 * belong to `after`. */
static const char *cross(const struct examination *e, const struct arrays *made, struct arrays *after,
                         struct arrays *want) {
    const struct mhc_row *last = e->reference[e->rows - 1];
    const struct crossing *x = crossing_of(last);
    const struct mhc_row *row = x ? reference_row(last->name, x->second) : NULL;
    struct save save = {0};
    arrays_alias_all(want, &e->want);
    if (!row)
        return NULL;
    arrays_alias_all(after, want);
    arrays_alias(after, x->input, made, x->from);
    arrays_alias(after, x->given, want, x->stands_for);
    const char *why = run_reference(row, &e->exact, after, &save);
    backend_release(&cpu64, save.bytes);
    for (const struct mhc_arg *arg = row->args; arg->name && !why; arg++)
        if (arg->direction == MHC_OUT)
            arrays_alias(want, strcmp(arg->name, x->made) ? arg->name : x->is, after, arg->name);
    return why;
}

static double largest_output(const struct examination *e) {
    double largest = 0;
    for (const struct mhc_arg *arg = examined_row(e)->args; arg->name; arg++)
        if (arg->direction == MHC_OUT && arrays_get(&e->want, arg->name))
            largest = fmax(largest, array_largest(arrays_get(&e->want, arg->name), arrays_count(&e->want, arg->name)));
    return largest;
}

/* Nine digits, or as many as show that the numbers differ. */
static void write_finding(struct finding *f, const struct mhc_row *row) {
    char got[40], want[40];
    for (int digits = 9; digits <= 17; digits += 8) {
        snprintf(got, sizeof got, "%.*g", digits, f->got);
        snprintf(want, sizeof want, "%.*g", digits, f->want);
        if (strcmp(got, want))
            break;
    }
    snprintf(f->text, sizeof f->text, "%s is wrong: %s[%lld] is %s, the reference has %s: %.3g times the tolerance",
             row->name, f->argument->name, (long long)f->element, got, want, f->error / f->tolerance);
}

struct finding finding_of(const struct mhc_row *row, const struct mhc_case *c, const struct mhc_arg *arg,
                          const double *got, const double *want, double smallest, double tolerance) {
    struct finding f = {.argument = arg, .tolerance = tolerance};
    const double normal = c->stream == MHC_F64 ? DBL_MIN : FLT_MIN; /* what is less may become 0 on its way */
    f.error = array_error(arg, c, got, want, fmax(smallest, normal), &f.element);
    f.good = f.error <= f.tolerance;
    if (mhc_elements(c, arg))
        f.got = got[f.element], f.want = want[f.element];
    if (!f.good)
        write_finding(&f, row);
    return f;
}

const char *examine_compare(const struct examination *e, const struct arrays *made, struct finding list[MHC_MAX_ARGS]) {
    const struct mhc_row *row = examined_row(e);
    struct arrays after = {0}, want = {0};
    if (examine_elsewhere)
        return examine_elsewhere->compare(e, made, list);
    const char *why = examine_allows_itself(e);
    why = why ? why : cross(e, made, &after, &want);
    double smallest = e->x_scale ? 0 : EXAMINE_SMALLEST * largest_output(e);
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        list[a] = (struct finding){0};
    for (int a = 0; row->args[a].name && !why; a++) {
        const struct mhc_arg *arg = &row->args[a];
        if (arg->direction == MHC_IN)
            continue;
        if (arrays_count(&want, arg->name) != mhc_elements(&e->c, arg) || !arrays_get(made, arg->name))
            why = "its arguments are not those of cpu64";
        else
            list[a] = finding_of(row, &e->c, arg, arrays_get(made, arg->name), arrays_get(&want, arg->name),
                                 e->x_scale ? examine_smallest(e, arg) : smallest, examine_tolerance(e, arg));
    }
    arrays_clear(&want);
    arrays_clear(&after);
    return why;
}

const char *examine_accuracy(const struct examination *e, const struct arrays *made, struct accuracy *a) {
    static _Thread_local struct finding list[MHC_MAX_ARGS];
    const char *why = examine_compare(e, made, list);
    *a = (struct accuracy){why ? NAN : 0, 0};
    for (const struct mhc_arg *arg = examined_row(e)->args; arg->name; arg++)
        if (arg->direction == MHC_OUT)
            a->tolerance = fmax(a->tolerance, examine_tolerance(e, arg));
    for (int k = 0; k < MHC_MAX_ARGS; k++)
        if (list[k].argument) {
            a->error = fmax(a->error, list[k].error);
            why = why || list[k].good ? why : list[k].text;
        }
    return why;
}

const char *examine_set(const struct examination *e, const struct bound_row *b, int64_t set, struct accuracy *a) {
    struct arrays made = {0};
    bool good = true;
    *a = (struct accuracy){NAN, NAN};
    if (b->backend->model)
        return NULL;
    arrays_alias_all(&made, &e->before.made);
    for (int k = 0; b->row->args[k].name && good; k++) {
        const struct mhc_arg *arg = &b->row->args[k];
        int64_t count = mhc_elements(&b->c, arg);
        if (arg->direction == MHC_OUT) {
            double *values = arrays_put(&made, arg->name, count);
            good = values &&
                   backend_download(b->backend, values, bound_row_argument(b, set, k), count, mhc_arg_type(&b->c, arg));
        }
    }
    const char *why = good ? examine_accuracy(e, &made, a) : "an array cannot be copied from the device";
    arrays_clear(&made);
    return why;
}

static int64_t element_bytes(const struct examination *e, const struct mhc_arg *arg) {
    return mhc_type_bytes(mhc_arg_type(&e->c, arg));
}

bool outcome_written(const struct examination *e, int a, const struct outcome run[2], char why[MAX_FAILURE]) {
    const struct mhc_arg *arg = &examined_row(e)->args[a];
    const unsigned char *const bytes[2] = {run[0].bytes[a], run[1].bytes[a]};
    int64_t count = mhc_elements(&e->c, arg), first,
            left = poison_left(bytes, examine_poison, count, element_bytes(e, arg), &first);
    if (left)
        snprintf(why, MAX_FAILURE, "%lld of %lld elements of `%s` were not written, the first is %lld", (long long)left,
                 (long long)count, arg->name, (long long)first);
    return !left;
}

bool outcome_same(const struct examination *e, int a, const struct outcome *one, const struct outcome *other) {
    const struct mhc_arg *arg = &examined_row(e)->args[a];
    return !memcmp(one->bytes[a], other->bytes[a], (size_t)(mhc_elements(&e->c, arg) * element_bytes(e, arg)));
}
