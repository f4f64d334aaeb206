/* One case of one row. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "suites/gate/check.h"

const char *trial_open(const struct checker *k, const struct subject *s, const struct trial *t, struct examination *e) {
    const char *why;
    *e = (struct examination){.backend = &k->backend, .c = t->c, .exact = t->c, .x_scale = t->x_scale};
    e->exact.stream = e->exact.coef = e->exact.param = MHC_F64;
    e->rows = chain_of(s->oracle, false, e->reference);
    if (e->rows > 1 && t->through_post_pre)
        e->row[0] = backend_row(&k->backend, s->kind, "post_pre", &t->c, &why);
    if (e->rows > 1 && !e->row[0])
        e->row[0] = chain_row(&k->backend, s->kind, e->reference[0], &t->c, &why);
    e->row[e->rows - 1] = s->row;
    why = examine_give(e, trial_input, t);
    return why || examine_behind_crossing(e) ? why : examine_reference(e, NULL);
}

/* Every element written, and the same bits whatever memory held. */
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
            snprintf(why, sizeof why, "`%s` differs between two runs of one call", name);
        all &= check(k, same, t, "%s", why);
    }
    return all;
}

static void compare(struct checker *k, const struct trial *t, const struct examination *e, const struct arrays *made) {
    static struct finding list[MHC_MAX_ARGS];
    const char *why = examine_compare(e, made, list);
    if (why)
        check(k, false, t, "%s", why);
    for (const struct finding *f = list; f < list + MHC_MAX_ARGS; f++) {
        double worst = f->error / f->tolerance;
        if (!f->argument)
            continue;
        check(k, f->good, t, "%s", f->text);
        if (worst > fmax(k->worst[0], fmax(k->worst[1], k->worst[2])))
            snprintf(k->worst_text, sizeof k->worst_text, "%s in %s", f->argument->name, t->text);
        k->worst[t->c.stream] = fmax(worst, k->worst[t->c.stream]);
    }
}

/* Every form of post, the crossing too, makes the same bits of x_next from the same coefficients: those of the kind's
 * own row. */
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

void trial_run(struct checker *k, const struct subject *s, const struct trial *t) {
    struct examination e;
    struct outcome run[2] = {0};
    char text[MAX_FAILURE];
    const char *why = trial_open(k, s, t, &e);
    bool good = !why || check(k, false, t, "%s", why);
    for (int r = 0; r < 2 && good; r++) {
        struct poison p = examine_poison[r];
        p.tight = k->tight;
        p.graph = r > 0;
        good = check(k, examine_run(&e, &p, &run[r], text), t, "%s", text);
    }
    if (good && repeats(k, t, &e, run)) {
        why = examine_behind_crossing(&e) ? examine_reference(&e, &run[1].made) : NULL;
        if (why)
            check(k, false, t, "%s", why);
        else
            compare(k, t, &e, &run[1].made);
        if (!strcmp(row_operation(s->row), "post") || crossing_of(s->row))
            compare_forms(k, t, &run[1]);
    }
    examine_close(&e);
    outcome_clear(&run[0]);
    outcome_clear(&run[1]);
}
