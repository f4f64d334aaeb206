/* One case of one row. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/gate/check.h"
#include "suites/rows/state.h"

/* The share of the tolerance that counts where inputs are as mild as the contract says. Errors in float32 were below
 * a hundredth of the tolerance there. */
#define MILD_SHARE 0.1

/* One array for all inputs of the row that have the type of the streams and as many elements: a caller may give a row
 * the same one twice. */
static void share_inputs(struct examination *e) {
    const struct mhc_arg *args = examined_row(e)->args;
    for (int a = 1; args[a].name; a++)
        for (int other = 0; other < a && args[a].direction == MHC_IN && args[a].role == MHC_STREAM; other++)
            if (args[other].direction == MHC_IN && args[other].role == MHC_STREAM &&
                mhc_elements(&e->c, &args[a]) == mhc_elements(&e->c, &args[other]) &&
                arrays_get(&e->given, args[a].name) && arrays_get(&e->given, args[other].name)) {
                arrays_alias(&e->given, args[a].name, &e->given, args[other].name);
                break;
            }
}

const char *trial_open(const struct checker *k, const struct subject *s, const struct trial *t, struct examination *e) {
    const char *why;
    *e = (struct examination){.backend = &k->backend,
                              .c = t->c,
                              .exact = t->c,
                              .x_scale = t->x_scale,
                              .share = t->mild ? MILD_SHARE : 0,
                              .trusting = k->trusting};
    e->exact.stream = e->exact.coef = e->exact.param = MHC_F64;
    e->rows = chain_of(s->oracle, false, e->reference);
    if (e->rows > 1 && t->through_post_pre)
        e->row[0] = backend_row(&k->backend, s->kind, "post_pre", &t->c, &why);
    if (e->rows > 1 && !e->row[0])
        e->row[0] = chain_row(&k->backend, s->kind, e->reference[0], &t->c, &why);
    e->row[e->rows - 1] = s->row;
    why = examine_give(e, trial_input, t);
    if (!why && t->shared)
        share_inputs(e);
    if (!why && t->beside)
        state_same_ends(e, t->beside);
    return why || examine_behind_crossing(e) ? why : examine_reference(e, NULL);
}

/* `check` fails such a row. `regress`, which is silent here, asks later whether the old library's bits vary too. */
static bool differs(const struct checker *k, const char *name, char why[MAX_FAILURE]) {
    snprintf(why, MAX_FAILURE, "`%s` differs between two runs of one call", name);
    return k->silent;
}

/* Whether every element was written, with the same bits whatever memory held before. */
static bool repeats(struct checker *k, const struct trial *t, const struct examination *e,
                    const struct outcome run[2]) {
    bool all = true;
    for (int a = 0; k->subject->row->args[a].name; a++) {
        const char *name = k->subject->row->args[a].name;
        char why[MAX_FAILURE];
        if (!run[0].bytes[a])
            continue;
        bool same = outcome_same(e, a, &run[0], &run[1]);
        if (!same && outcome_written(e, a, run, why))
            same = differs(k, name, why);
        all &= check(k, same, t, "%s", why);
    }
    return all;
}

static void compare(struct checker *k, const struct trial *t, const struct examination *e, const struct arrays *made) {
    static struct finding list[MHC_MAX_ARGS];
    const char *why = examine_compare(e, made, list);
    if (why)
        check(k, false, t, "%s", why);
    static const struct mhc_arg stream = {.role = MHC_STREAM};
    double contract = examine_contract(e->reference[e->rows - 1], &t->c, &stream);
    for (const struct finding *f = list; f < list + MHC_MAX_ARGS; f++) {
        double worst = f->error / f->tolerance, own = k->subject->row->tolerance(&t->c);
        if (!f->argument)
            continue;
        if (own > contract)
            k->widest = fmax(k->widest, own);
        k->tolerance[t->c.stream] = fmax(k->tolerance[t->c.stream], f->tolerance);
        check(k, f->good, t, "%s", f->text);
        if (worst > fmax(k->worst[0], fmax(k->worst[1], k->worst[2])))
            snprintf(k->worst_text, sizeof k->worst_text, "%s in %s", f->argument->name, t->text);
        k->worst[t->c.stream] = fmax(worst, k->worst[t->c.stream]);
    }
}

/* Every form of post, and the crossing, must make of the same coefficients the bits of x_next that the kind's own
 * row makes. */
static void compare_forms(struct checker *k, const struct trial *t, const struct outcome *run) {
    const struct mhc_row *row = k->subject->row;
    const struct mhc_arg *x_next = mhc_arg_find(row, "x_next", MHC_OUT), *its;
    const char *unused;
    const struct mhc_row *plain = backend_row(&k->backend, k->subject->base, "post", &t->c, &unused);
    char why[MAX_FAILURE];
    struct outcome theirs = {0};
    if (!x_next || !plain || plain == row || !(its = mhc_arg_find(plain, "x_next", MHC_OUT)) ||
        !strcmp(k->subject->base, "resnet"))
        return;
    arrays_alias_all(&theirs.made, &run->made);
    arrays_alias(&theirs.made, "post", &run->made, "post_below");
    arrays_alias(&theirs.made, "res", &run->made, "res_below");
    bool good = run_guarded(&k->backend, plain, &t->c, &examine_poison[1], &theirs, why);
    if (good && memcmp(run->bytes[x_next - row->args], theirs.bytes[its - plain->args],
                       (size_t)(mhc_elements(&t->c, its) * mhc_type_bytes(t->c.stream))))
        good = (snprintf(why, sizeof why, "`x_next` has other bits than that of %s", plain->name), false);
    check(k, good, t, "%s", why);
    outcome_clear(&theirs);
}

/* Runs a case in guarded memory. Random cases run twice, in different memory. Most fixed ones run once, in turn
 * between bands and up to forbidden pages. */
static int run_guards(struct checker *k, const struct trial *t, const struct examination *e, struct outcome run[2]) {
    char text[MAX_FAILURE];
    int runs = t->fixed && k->trial % 8 ? 1 : 2;
    for (int r = 0; r < runs; r++) {
        struct poison p = examine_poison[r];
        p.tight = k->tight;
        p.graph = r > 0;
        p.paged = runs == 1 ? k->trial % 2 : r > 0;
        if (!check(k, examine_run(e, &p, &run[r], text), t, "%s", text))
            return 0;
    }
    return runs == 2 && !repeats(k, t, e, run) ? 0 : runs;
}

/* Runs the case in turn with another one of its shape whose inputs have the same ends. */
static void run_beside_another(struct checker *k, const struct subject *s, const struct trial *t,
                               struct examination *e) {
    struct trial u = *t;
    struct examination other;
    u.seed += 2; /* the same parity, on which the size of inputs depends */
    u.beside = e;
    const char *why = trial_open(k, s, &u, &other);
    why = why ? why : examine_before(e);
    why = why ? why : examine_before(&other);
    why = why ? why : state_examine(e, &other);
    check(k, !why, t, "%s", why ? why : "");
    examine_close(&other);
}

void trial_run(struct checker *k, const struct subject *s, const struct trial *t) {
    struct examination e;
    struct outcome run[2] = {0};
    const char *why = trial_open(k, s, t, &e);
    int runs = check(k, !why, t, "%s", why ? why : "") ? run_guards(k, t, &e, run) : 0;
    if (runs) {
        struct outcome *last = &run[runs - 1];
        why = examine_behind_crossing(&e) ? examine_reference(&e, &last->made) : NULL;
        if (check(k, !why, t, "%s", why ? why : ""))
            compare(k, t, &e, &last->made);
        if (runs == 2 && !k->silent && (!strcmp(row_operation(s->row), "post") || crossing_of(s->row)))
            compare_forms(k, t, last);
    }
    if (runs && t->state && !k->tight)
        run_beside_another(k, s, t, &e);
    examine_close(&e);
    outcome_clear(&run[0]);
    outcome_clear(&run[1]);
}
