/* One case of a vector file on one backend. An op is a list of rows run over named arrays, so nothing here knows an
 * operation: names and shapes come from the rows. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/analysis.h"
#include "cpu_ref/library.h"
#include "suites/rows/array_error.h"
#include "suites/rows/examine.h"
#include "suites/stack/execute.h"
#include "suites/verify/verify.h"

/* Singular values below this share of a token's largest are rounding, and not compared. */
#define SMALLEST_SINGULAR 1e-9

/* Below f64, an array that is 0 in exact arithmetic holds the rounding of sums of ordinary numbers: its error is
 * measured against at least this. */
#define SMALLEST_SCALE 1e-3
#define CANCELLED 1e-4

/* What came of a dataset of `out`. */
struct result {
    double *got; /* NULL: `verdict` and `text` say why */
    struct verify_limits limits;
    enum verdict verdict;
    char text[160];
};

/* A case on its way through a backend. */
struct execution {
    const struct backend *backend;
    const struct vector_case *v;
    struct mhc_case c; /* with element types */
    bool trusting;
    struct result result[VECTOR_ARRAYS];
    struct outcome run; /* of the rows so far */
};

static const struct vector_array *find(const struct vector_array *list, int count, const char *name) {
    return vector_find((struct vector_array *)list, count, name);
}

static struct result *result_of(struct execution *e, const char *name) {
    const struct vector_array *array = find(e->v->out, e->v->outs, name);
    return array ? &e->result[array - e->v->out] : NULL;
}

/* Gives every dataset that has no values yet this reason. */
static void explain(struct execution *e, enum verdict verdict, const char *text) {
    for (int k = 0; k < e->v->outs; k++)
        if (!e->result[k].got && !e->result[k].text[0]) {
            e->result[k].verdict = verdict;
            snprintf(e->result[k].text, sizeof e->result[k].text, "%.159s", text);
        }
}

/* Room for the values of a dataset, NaN until written; what of it counts as right follows from the row and argument
 * that make it. NULL for the row: the analysis does, in f64. */
static double *expect_values(struct execution *e, const char *name, const struct mhc_row *row,
                             const struct mhc_arg *arg) {
    static const struct mhc_case f64 = {.stream = MHC_F64, .coef = MHC_F64, .param = MHC_F64};
    static const struct mhc_row analysis = {.name = "gain"};
    const struct vector_array *array = find(e->v->out, e->v->outs, name);
    struct result *result = result_of(e, name);
    if (!array || !(result->got = malloc((size_t)array->count * sizeof(double))))
        return NULL;
    result->limits.own = row && e->c.stream != MHC_F64 ? row->tolerance(&e->c) : 0;
    result->limits.most = e->trusting ? INFINITY : examine_contract(row ? row : &analysis, row ? &e->c : &f64, arg);
    for (int64_t k = 0; k < array->count; k++)
        result->got[k] = NAN;
    return result->got;
}

/* What a row reads comes from a row before it, from the vector's `in`, or, where the backend has no row that computes
 * it, from what `out` says it should be. */
static const char *supply(struct execution *e, const struct mhc_row *row) {
    static _Thread_local char why[160];
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        int64_t count = mhc_elements(&e->c, arg);
        if (arg->direction == MHC_OUT || !count || arrays_get(&e->run.made, arg->name))
            continue;
        const struct vector_array *source = find(e->v->in, e->v->ins, arg->name);
        source = source ? source : find(e->v->out, e->v->outs, arg->name);
        if (!source || source->count != count)
            return snprintf(why, sizeof why, "it reads `%s`, which the case has not in that shape", arg->name), why;
        arrays_lend(&e->run.made, arg->name, source->values, count);
    }
    return NULL;
}

static const char *run_row(struct execution *e, const struct mhc_row *row) {
    static _Thread_local char failed[MAX_FAILURE];
    const char *why = supply(e, row);
    if (!why && !run_guarded(e->backend, row, &e->c, &examine_poison[0], &e->run, failed))
        why = failed;
    for (const struct mhc_arg *arg = row->args; arg->name && !why; arg++)
        if (arg->direction == MHC_OUT && find(e->v->out, e->v->outs, arg->name)) {
            double *got = expect_values(e, arg->name, row, arg);
            if (got)
                memcpy(got, arrays_get(&e->run.made, arg->name), (size_t)mhc_elements(&e->c, arg) * sizeof *got);
        }
    return why;
}

/* What a missing row would have computed is skipped and does not fail. */
static void skip_row(struct execution *e, const char *kind, const char *operation, const char *why) {
    for (const struct mhc_arg *arg = vector_row(kind, operation)->args; arg->name; arg++) {
        struct result *result = arg->direction == MHC_OUT ? result_of(e, arg->name) : NULL;
        if (result && !result->got) {
            result->verdict = VERIFY_SKIP;
            snprintf(result->text, sizeof result->text, "%s.%s: %s", kind, operation, why);
        }
    }
}

static void run_rows(struct execution *e) {
    const char *kind = e->v->op->name, *const *operations = e->v->op->operations, *why = NULL, *missing;
    bool kept = false;
    for (int k = 0; operations[k] && !why; k++) {
        const struct mhc_row *row = backend_row(e->backend, kind, operations[k], &e->c, &missing);
        kept |= k == 0 && row;
        if (row && !operations[k + 1] && !kept) {
            row = NULL;
            missing = "it needs what the forward operation keeps";
        }
        if (!row) {
            skip_row(e, kind, operations[k], missing);
            continue;
        }
        why = run_row(e, row);
    }
    if (why)
        explain(e, VERIFY_FAIL, why);
    outcome_clear(&e->run);
}

/* Parameters have a dimension for the layers in front, x0 and grad_out have not. */
static const char *give(void *user, const struct program_array *a, double *values) {
    const struct execution *e = user;
    const struct vector_array *array = find(e->v->in, e->v->ins, a->argument);
    const double *from = array ? array->values + (a->layer < 0 ? 0 : a->layer) * a->count : NULL;
    for (int64_t k = 0; k < a->count; k++)
        values[k] = from ? from[k] : NAN;
    return NULL;
}

/* Collects what a call makes and the case has an answer for: gradients of parameters, out and grad_x0. */
static const char *take(void *user, const struct program *stack, const struct program_call *call) {
    struct execution *e = user;
    for (const struct mhc_arg *arg = call->row->args; arg->name; arg++) {
        bool edge = call->layer < 0, wanted = arg->direction == MHC_OUT && (edge || arg->role == MHC_PARAM);
        struct result *result = wanted ? result_of(e, arg->name) : NULL;
        int64_t count = mhc_elements(&e->c, arg);
        if (result && !backend_download(e->backend, result->got + (edge ? 0 : call->layer) * count,
                                        program_argument(stack, call, arg->name), count, mhc_arg_type(&e->c, arg)))
            return "an array cannot be copied from the device";
    }
    return NULL;
}

static void run_stack(struct execution *e) {
    const struct vector_case *v = e->v;
    const struct program_spec spec = {.backend = e->backend,
                                      .c = e->c,
                                      .connection = v->block,
                                      .branch = "linear",
                                      .layers = v->L,
                                      .ends = true,
                                      .backward = true,
                                      .share = true};
    const struct program_owner owner = {e, give, take};
    struct program stack = {.memory = NULL};
    char why[160] = "";
    if (program_estimate(&spec, why, sizeof why) < 0) {
        explain(e, VERIFY_SKIP, why);
        return;
    }
    const char *unused;
    const struct mhc_row *backward = backend_row(e->backend, v->block, "backward", &e->c, &unused);
    bool room = true;
    for (int k = 0; k < v->outs; k++)
        room = expect_values(e, v->out[k].name, backward, &(struct mhc_arg){.role = v->out[k].role}) && room;
    const char *failed = room ? program_open(&stack, &spec, &owner) : "out of memory";
    failed = failed ? failed : program_execute(&stack, &owner);
    for (int k = 0; k < v->outs && failed; k++) {
        free(e->result[k].got);
        e->result[k].got = NULL;
    }
    if (failed)
        explain(e, VERIFY_FAIL, failed);
    program_close(&stack);
}

static void run_gain(struct execution *e) {
    const struct vector_case *v = e->v;
    static const struct mhc_arg value = {.role = MHC_COEF};
    const double *res = v->in[0].values;
    struct mhc_curves curves = {0};
    bool good = mhc_curves_allocate(&curves, v->L, MHC_GROUP_GAIN | MHC_GROUP_SPECTRUM, false) &&
                !mhc_measure_maps(res, v->L, v->c.T, v->c.n, &curves);
    for (int m = 0; m < MHC_METRICS && good; m++) {
        double *got = curves.curve[m][MHC_MEAN] ? expect_values(e, mhc_metric_info[m].name, NULL, &value) : NULL;
        for (int64_t l = 0; l < v->L && got; l++) {
            double gain = curves.curve[m][MHC_MEAN][l];
            got[l] = gain == log10(DBL_MIN) ? 0 : pow(10, gain); /* how a curve keeps an exact zero */
        }
    }
    double *sigma = good ? expect_values(e, "total_singular_values", NULL, &value) : NULL;
    good = sigma && !mhc_total_singular_values(res, v->L, v->c.T, v->c.n, sigma);
    mhc_curves_release(&curves);
    if (!good)
        explain(e, VERIFY_FAIL, "out of memory");
}

static void run_case(struct execution *e) {
    if (e->v->block[0])
        run_stack(e);
    else if (!e->v->op->operations[0])
        run_gain(e);
    else
        run_rows(e);
    explain(e, VERIFY_FAIL, "out of memory");
}

static void release_results(struct execution *e) {
    for (int k = 0; k < e->v->outs; k++)
        free(e->result[k].got);
}

const char *vector_answer(struct vector_case *v) {
    struct backend cpu64 = {.library = &mhc_cpu64};
    struct execution e = {.backend = &cpu64, .v = v, .c = v->c};
    static _Thread_local char why[200];
    bool good = true;
    backend_types(&cpu64, MHC_F64, &e.c);
    run_case(&e);
    for (int k = 0; k < v->outs; k++)
        if (e.result[k].got)
            memcpy(v->out[k].values, e.result[k].got, (size_t)v->out[k].count * sizeof(double));
        else if (good)
            good = (snprintf(why, sizeof why, "cpu64 has no %s: %s", v->out[k].name, e.result[k].text), false);
    release_results(&e);
    return good ? NULL : why;
}

/* Rounds the inputs as a bf16 case gives them to the backend, and replaces the outputs by what cpu64 makes of them. */
static const char *round_case(struct vector_case *v, const struct mhc_case *types) {
    for (int k = 0; k < v->ins; k++) {
        struct vector_array *array = &v->in[k];
        int32_t type = mhc_arg_type(types, &(struct mhc_arg){.role = array->role});
        if (!backend_round(array->values, array->count, type))
            return "out of memory";
    }
    return vector_answer(v);
}

/* The scale of an element's tolerance; negative: not compared. */
static double scale_of(const struct vector_case *v, const struct vector_array *want, int64_t element, double largest) {
    bool gain = !v->block[0] && !v->op->operations[0];
    if (!gain)
        return largest;
    if (want->extents[0] == 'L')
        return fabs(want->values[element]);
    const double *token = want->values + element / v->c.n * v->c.n;
    double scale = 0;
    for (int64_t k = 0; k < v->c.n; k++)
        scale = fabs(token[k]) > scale && isfinite(token[k]) ? fabs(token[k]) : scale;
    return fabs(want->values[element]) < SMALLEST_SINGULAR * scale ? -1 : scale;
}

static void write_element(const struct vector_case *v, const char *extents, int64_t element, char *text, size_t size) {
    int64_t index[8];
    int rank = (int)strlen(extents);
    for (int k = rank; k-- > 0; element /= vector_extent(v, extents[k]))
        index[k] = element % vector_extent(v, extents[k]);
    size_t at = 0;
    for (int k = 0; k < rank && at < size; k++)
        at += (size_t)snprintf(text + at, size - at, "[%lld]", (long long)index[k]);
}

/* An array that is zero by cancellation has no scale of its own: a backend below float64 leaves rounding of its
 * summands there, which is measured by the other results of the case. An array that is merely small is held to its
 * own scale. */
static double cancelled_floor(double others, double largest, double rtol) {
    return largest <= CANCELLED * others ? rtol * SMALLEST_SCALE * others : 0;
}

void verify_compare(const struct vector_case *v, const struct vector_array *want, const double *got,
                    struct verify_limits limits, struct verify_line *line) {
    double largest = array_largest(want->values, want->count), worst = -1, others = largest;
    double asked = fmax(v->rtol, limits.own), rtol = fmin(asked, limits.most);
    for (int k = 0; k < v->outs; k++)
        others = fmax(others, array_largest(v->out[k].values, v->out[k].count));
    double atol = isinf(limits.most) ? v->atol : fmin(v->atol, limits.most * others);
    atol = fmax(atol, cancelled_floor(others, largest, fmin(limits.own, limits.most)));
    *line = (struct verify_line){.verdict = VERIFY_PASS, .asked = asked > rtol ? asked : 0};
    if (v->atol > fmax(atol, asked * others))
        line->asked = v->atol / others;
    snprintf(line->dataset, sizeof line->dataset, "%s", want->name);
    for (int64_t k = 0; k < want->count; k++) {
        double a = got[k], b = want->values[k], scale = scale_of(v, want, k, largest);
        bool same = a == b || (isnan(a) && isnan(b));
        double error = same ? 0 : isfinite(a) && isfinite(b) ? fabs(a - b) : NAN;
        double tolerance = fmax(atol, isfinite(scale) ? rtol * scale : 0);
        double badness = error == 0 ? 0 : isnan(error) ? INFINITY : error / tolerance;
        if (scale < 0 || badness <= worst)
            continue;
        worst = badness;
        line->error = error;
        line->tolerance = tolerance;
        line->verdict = error <= tolerance ? VERIFY_PASS : VERIFY_FAIL;
        write_element(v, want->extents, k, line->element, sizeof line->element);
        snprintf(line->text, sizeof line->text, "got %.17g, want %.17g", a, b);
    }
}

int verify_case(const struct backend *backend, int type, bool trusting, struct vector_case *v,
                struct verify_line lines[VERIFY_LINES]) {
    struct execution e = {.backend = backend, .v = v, .c = v->c, .trusting = trusting};
    bool gain = !v->block[0] && !v->op->operations[0];
    backend_types(backend, gain ? MHC_F64 : type, &e.c);
    const char *why = e.c.stream == MHC_BF16 ? round_case(v, &e.c) : NULL;
    if (why)
        explain(&e, VERIFY_FAIL, why);
    else
        run_case(&e);
    int count = 0;
    for (int k = 0; k < v->outs; k++) {
        struct verify_line *line = &lines[count++];
        const struct result *result = &e.result[k];
        if (result->got) {
            verify_compare(v, &v->out[k], result->got, result->limits, line);
            continue;
        }
        *line = (struct verify_line){.verdict = (int32_t)result->verdict};
        snprintf(line->dataset, sizeof line->dataset, "%s", v->out[k].name);
        snprintf(line->text, sizeof line->text, "%s", result->text);
    }
    for (int k = 0; k < v->extras; k++) {
        struct verify_line *line = &lines[count++];
        *line = (struct verify_line){.verdict = VERIFY_SKIP};
        snprintf(line->dataset, sizeof line->dataset, "%s", v->extra[k]);
        snprintf(line->text, sizeof line->text, "%s has no such output", v->op->name);
    }
    for (int k = 0; k < count; k++)
        lines[k].analysis = gain;
    release_results(&e);
    return count;
}
