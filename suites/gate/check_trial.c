#include "suites/gate/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/rows/array_error.h"

/* --- the oracle --- */

const struct mhc_row *oracle_row(const char *kind, const char *operation) {
    size_t length = strlen(kind);
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        if (!strncmp((*row)->name, kind, length) && (*row)->name[length] == '.' &&
            !strcmp((*row)->name + length + 1, operation))
            return *row;
    return NULL;
}

void oracle_run(const char *kind, const char *operation, const struct mhc_case *c, struct table *t, void **save) {
    const struct mhc_row *row = oracle_row(kind, operation);
    const struct backend host = {.library = &mhc_cpu64};
    struct mhc_case c64 = *c;
    backend_types(&host, MHC_F64, &c64);
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        arrays[count++] = (struct array){arg->name, arg->direction == MHC_OUT
                                                        ? table_put(t, arg->name, mhc_elements(&c64, arg))
                                                        : table_get(t, arg->name)};
    if (row->save_bytes && !*save)
        *save = backend_allocate(&host, row_save_bytes(row, &c64));
    void *work = backend_allocate(&host, row_work_bytes(row, &c64));
    const char *failed = backend_run(&host, row, &c64, arrays, count, *save, work);
    if (failed) {
        fprintf(stderr, "mhcbench: cpu64: %s\n", failed);
        abort();
    }
    backend_release(&host, work);
}

/* --- comparison --- */

/* A gradient that cancels to nearly nothing (of a saturated softmax, of x / |x| with one element) holds rounding of what cancelled. So a
 * gradient is measured by no less than a share of what came in, in its own unit: a parameter's has that of g x, the input of a branch, which starts
 * with a norm, that of g / u, a parameter of a branch that of a sum of g over tokens. */
static double smallest_scale(const struct trial *t, const struct subject *s, const struct mhc_arg *of,
                             const struct table *want) {
    double incoming = 0, unit = 1;
    if (strncmp(of->name, "grad_", 5))
        return 0;
    for (const struct mhc_arg *arg = s->row->args; arg->name; arg++)
        if (!strncmp(arg->name, "grad_", 5) && arg->direction == MHC_IN)
            incoming = fmax(incoming, array_largest(table_get(want, arg->name), mhc_elements(&t->c, arg)));
    if (oracle_row(s->base, "forward"))
        unit = !strcmp(of->name, "grad_u") ? 1 / t->x_scale : of->role == MHC_PARAM ? sqrt((double)t->c.T) : 1;
    else if (of->role == MHC_PARAM)
        unit = t->x_scale;
    return (t->c.stream == MHC_BF16 ? 0.3 : 0.03) * incoming * unit;
}

static void compare(struct checker *k, const struct trial *t, const struct mhc_arg *arg, const struct table *want,
                    const double *got) {
    const struct subject *s = k->subject;
    const double *wanted = table_get(want, arg->name);
    int64_t count = mhc_elements(&t->c, arg), at;
    double worst = array_error(arg, &t->c, got, wanted, smallest_scale(t, s, arg, want), &at) /
                   s->row->tolerance(&t->c);
    check(k, worst <= 1, t, "`%s` element %lld of %lld is %.9g, wanted %.9g: %.3g times the tolerance", arg->name,
          (long long)at, (long long)count, count ? got[at] : 0, count ? wanted[at] : 0, worst);
    bool worst_of_all = worst > fmax(k->worst[0], fmax(k->worst[1], k->worst[2]));
    k->worst[t->c.stream] = fmax(worst, k->worst[t->c.stream]);
    if (worst_of_all)
        snprintf(k->worst_text, sizeof k->worst_text, "%s in %s", arg->name, t->text);
}

/* Bits of two runs that found different patterns in memory: the pattern itself says that an element was never written. */
static bool same_bits(const struct mhc_case *c, const struct mhc_arg *arg, const struct poison p[2],
                      unsigned char *const run[2], char why[MAX_FAILURE]) {
    int64_t size = mhc_type_bytes(mhc_arg_type(c, arg)), count = mhc_elements(c, arg);
    if (!memcmp(run[0], run[1], (size_t)(size * count)))
        return true;
    int64_t at = 0, first, unwritten = poison_left((const unsigned char *const *)run, p, count, size, &first);
    while (!memcmp(run[0] + at * size, run[1] + at * size, (size_t)size))
        at++;
    if (unwritten)
        snprintf(why, MAX_FAILURE, "`%s` has %lld of %lld elements that were not written, the first is %lld", arg->name,
                 (long long)unwritten, (long long)count, (long long)first);
    else
        snprintf(why, MAX_FAILURE, "`%s` differs between two runs of one call, first in element %lld of %lld",
                 arg->name, (long long)at, (long long)count);
    return false;
}

/* --- chains in the library --- */

static bool is_operation(const struct subject *s, const char *operation) {
    return !strcmp(s->operation, operation);
}

static const struct mhc_row *library_row(const struct checker *k, const char *kind, const char *base,
                                         const char *operation, const struct mhc_case *c) {
    const char *why;
    const struct mhc_row *row = backend_row(&k->backend, kind, operation, c, &why);
    return row || !strcmp(kind, base) ? row : backend_row(&k->backend, base, operation, c, &why);
}

const struct mhc_row *trial_row_before(const struct checker *k, const struct trial *t) {
    const struct subject *s = k->subject;
    if (!is_operation(s, "backward") && !is_operation(s, "backward_y"))
        return NULL;
    const struct mhc_row *crossing = t->through_post_pre ? library_row(k, s->kind, s->kind, "post_pre", &t->c) : NULL;
    const struct mhc_row *pre = library_row(k, s->kind, s->base, "pre", &t->c);
    return crossing ? crossing : pre ? pre : library_row(k, s->kind, s->base, "forward", &t->c);
}

static bool makes(const struct mhc_row *row, const char *name) {
    return row && mhc_arg_find(row, name, MHC_OUT);
}

void trial_draw_inputs(const struct trial *t, const struct mhc_row *row, const struct mhc_row *before,
                       struct table *drawn) {
    for (const struct mhc_arg *arg = row ? row->args : NULL; arg && arg->name; arg++)
        if (arg->direction == MHC_IN && !table_get(drawn, arg->name) && !makes(before, arg->name))
            trial_input(t, arg, table_put(drawn, arg->name, mhc_elements(&t->c, arg)));
}

/* `before` and the row, once; everything they made is in `made`, beside what they were given. */
static bool run_chain(struct checker *k, const struct trial *t, const struct mhc_row *before, const struct table *drawn,
                      const struct poison *p, struct table *made, struct outputs *out, char why[MAX_FAILURE]) {
    const struct subject *s = k->subject;
    struct outputs unused = {0};
    struct buffer save;
    table_alias_all(made, drawn);
    if (!buffer_open(&k->backend, &save, row_save_bytes(before ? before : s->row, &t->c), p))
        return snprintf(why, MAX_FAILURE, "no memory for save"), false;
    bool good = !before || run_guarded(&k->backend, before, &t->c, made, &save, true, p, &unused, why);
    if (good && makes(before, "x_next"))
        table_alias(made, "x", made, "x_next"); /* the layer behind the crossing is the row's */
    good = good && run_guarded(&k->backend, s->row, &t->c, made, &save, !before, p, out, why);
    outputs_clear(&unused);
    buffer_close(&k->backend, &save);
    return good;
}

/* --- what the row should have made --- */

static void want_all(const struct trial *t, const struct subject *s, const struct mhc_row *before,
                     const struct table *drawn, const struct table *made, struct table *want) {
    void *save = NULL;
    table_alias_all(want, drawn);
    if (before) {
        if (makes(before, "x_next"))
            table_alias(want, "x", made, "x_next");
        oracle_run(s->base, oracle_row(s->base, "pre") ? "pre" : "forward", &t->c, want, &save);
        for (const struct mhc_arg *arg = s->row->args; arg->name;
             arg++) /* rounding of short coefficients is not this row's */
            if (t->c.coef == MHC_BF16 && arg->role == MHC_COEF && arg->direction == MHC_IN)
                table_alias(want, arg->name, made, arg->name);
    }
    if (composed_known(s))
        composed_run(t, s, want, made, &save);
    else
        oracle_run(s->base, s->operation, &t->c, want, &save);
    free(save);
}

/* --- bits that rows share --- */

/* Every form of post, the crossing too, makes the same bits of x_next from the same coefficients: those of the kind's own row. */
static void compare_forms(struct checker *k, const struct trial *t, const struct table *made, const struct outputs *out,
                          const struct poison *p) {
    const struct subject *s = k->subject;
    const struct mhc_row *plain = library_row(k, s->base, s->base, "post", &t->c);
    char why[MAX_FAILURE];
    if (!plain || plain == s->row || !strcmp(s->base, "resnet"))
        return;
    struct table given = {0};
    struct outputs theirs = {0};
    struct buffer save = {0};
    table_alias_all(&given, made);
    table_alias(&given, "post", made, "post_below");
    table_alias(&given, "res", made, "res_below");
    bool good = buffer_open(&k->backend, &save, 0, p) &&
                run_guarded(&k->backend, plain, &t->c, &given, &save, true, p, &theirs, why);
    const struct mhc_arg *mine = mhc_arg_find(s->row, "x_next", MHC_OUT), *its = mhc_arg_find(plain, "x_next", MHC_OUT);
    if (good && mine && its)
        good = !memcmp(out->bytes[mine - s->row->args], theirs.bytes[its - plain->args],
                       (size_t)mhc_arg_bytes(&t->c, its)) ||
               (snprintf(why, sizeof why, "`x_next` has other bits than that of %s", plain->name), false);
    check(k, good, t, "%s", why);
    buffer_close(&k->backend, &save);
    outputs_clear(&theirs);
    table_clear(&given);
}

/* --- one trial --- */

static const struct poison poisons[2] = {{.pattern = 0xffff, .shift = 64},
                                         {.pattern = 0x7ff9, .shift = 128, .graph = true}};

static bool repeats(struct checker *k, const struct trial *t, struct outputs out[2]) {
    char why[MAX_FAILURE];
    bool all = true;
    for (int a = 0; k->subject->row->args[a].name; a++) {
        const struct mhc_arg *arg = &k->subject->row->args[a];
        unsigned char *const runs[2] = {out[0].bytes[a], out[1].bytes[a]};
        if (arg->direction == MHC_OUT)
            all &= check(k, same_bits(&t->c, arg, poisons, runs, why), t, "%s", why);
    }
    return all;
}

void trial_run(struct checker *k, const struct subject *s, const struct trial *t) {
    struct table drawn = {0}, made[2] = {0}, want = {0};
    struct outputs out[2] = {0};
    struct poison p[2] = {poisons[0], poisons[1]};
    char why[MAX_FAILURE] = "";
    const struct mhc_row *before = trial_row_before(k, t);
    trial_draw_inputs(t, before, NULL, &drawn);
    trial_draw_inputs(t, s->row, before, &drawn);
    bool good = true;
    for (int run = 0; run < 2 && good; run++) {
        p[run].tight = k->tight;
        good = check(k, run_chain(k, t, before, &drawn, &p[run], &made[run], &out[run], why), t, "%s", why);
    }
    if (good && repeats(k, t, out)) {
        want_all(t, s, before, &drawn, &made[1], &want);
        for (const struct mhc_arg *arg = s->row->args; arg->name; arg++)
            if (arg->direction == MHC_OUT)
                compare(k, t, arg, &want, table_get(&made[1], arg->name));
        if (is_operation(s, "post") || is_operation(s, "post_pre"))
            compare_forms(k, t, &made[1], &out[1], &p[1]);
    }
    for (int run = 0; run < 2; run++) {
        outputs_clear(&out[run]);
        table_clear(&made[run]);
    }
    table_clear(&want);
    table_clear(&drawn);
}
