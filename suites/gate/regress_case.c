/* Is one operation of one library right, and does it keep to its arrays? */
#include <stdio.h>
#include <string.h>

#include "suites/gate/regress.h"
#include "suites/rows/state.h"

/* Counts elements of an output whose bits are not the other library's. false: the other has no such output. */
static bool compare_outputs(const struct examination *e, int argument, const struct outcome *mine,
                            const struct regress_case *other, struct regress_answer *answer) {
    const struct mhc_arg *arg = &examined_row(e)->args[argument], *args = examined_row(&other->e)->args;
    const struct mhc_arg *its = mhc_arg_find(examined_row(&other->e), arg->name, MHC_OUT);
    const unsigned char *theirs = its ? other->made.bytes[its - args] : NULL;
    int64_t count = mhc_elements(&e->c, arg), size = mhc_type_bytes(mhc_arg_type(&e->c, arg));
    for (int64_t k = 0; k < count && theirs; k++)
        if (memcmp(mine->bytes[argument] + k * size, theirs + k * size, (size_t)size) && !answer->different++)
            snprintf(answer->first, sizeof answer->first, "%.40s[%lld]", arg->name, (long long)k);
    return theirs != NULL;
}

/* Compares the bits of the two runs, and those of the first run with the other library's. */
static void compare_bits(const struct examination *e, const struct regress_case *other, const struct outcome run[2],
                         struct regress_answer *answer) {
    answer->compared = other->open;
    for (int a = 0; examined_row(e)->args[a].name; a++) {
        if (!run[0].bytes[a])
            continue;
        answer->unstable |= !outcome_same(e, a, &run[0], &run[1]);
        answer->elements += mhc_elements(&e->c, &examined_row(e)->args[a]);
        answer->compared &= other->open && compare_outputs(e, a, &run[0], other, answer);
    }
}

static bool same_outputs(const struct examination *e, const struct outcome *one, const struct outcome *other) {
    bool same = true;
    for (int a = 0; examined_row(e)->args[a].name; a++)
        same &= !one->bytes[a] || outcome_same(e, a, one, other);
    return same;
}

/* Two runs differ in bits: because of what memory held before? More runs at the second one's alignment, with its own
 * pattern and the other one, tell. If memory is the cause, runs of one pattern agree. A library that sums in no
 * fixed order differs among those too. */
static bool depends_on_memory(const struct examination *e, const struct outcome *second) {
    const struct poison other = {.pattern = examine_poison[0].pattern, .shift = examine_poison[1].shift};
    static const bool own[] = {false, true, true, false,
                               false, true, true, false}; /* no pattern that a counter of calls follows */
    enum { RUNS = sizeof own / sizeof *own };
    struct outcome first = {0}, later = {0};
    char ignored[MAX_FAILURE];
    bool alike = examine_run(e, &other, &first, ignored), differs = alike && !same_outputs(e, &first, second);
    for (int r = 1; r < RUNS && alike && differs; r++)
        alike = examine_run(e, own[r] ? &examine_poison[1] : &other, &later, ignored) &&
                same_outputs(e, &later, own[r] ? second : &first);
    outcome_clear(&first);
    outcome_clear(&later);
    return alike && differs;
}

static const char *accuracy_of(const struct examination *e, const struct outcome *run, struct accuracy *worst) {
    struct accuracy a;
    const char *why = examine_accuracy(e, &run->made, &a);
    if (!(a.error <= worst->error))
        *worst = a;
    return why;
}

/* Runs once more, with inputs that cannot be written to, up to a page that cannot be touched. */
static bool up_to_a_page(const struct examination *e, char why[MAX_FAILURE]) {
    const struct poison paged = {.pattern = examine_poison[0].pattern, .paged = true};
    struct outcome run = {0};
    bool good = e->backend->library->memory || examine_run(e, &paged, &run, why);
    outcome_clear(&run);
    return good;
}

const char *regress_case_right(struct regress_case *me, const struct regress_case *other,
                               struct regress_answer *answer) {
    static char why[MAX_FAILURE];
    const struct examination *e = &me->e;
    struct outcome run[2] = {0};
    bool good = true;
    const char *failed = NULL;
    answer->accuracy = (struct accuracy){-1, NAN};
    for (int k = 0; k < 2 && good; k++)
        good = examine_run(e, &examine_poison[k], &run[k], why);
    for (int a = 0; examined_row(e)->args[a].name && good; a++)
        good = !run[0].bytes[a] || outcome_written(e, a, run, why);
    for (int k = 0; k < 2 && good && !failed; k++)
        failed = accuracy_of(e, &run[k], &answer->accuracy);
    if (good && !failed)
        compare_bits(e, other, run, answer);
    if (answer->unstable && depends_on_memory(e, &run[1]))
        failed = "what it makes depends on what its memory held before";
    if (good && !failed && !(good = up_to_a_page(e, why)))
        failed = why;
    if (good && !failed)
        failed = state_examine(e, &me->twin);
    outcome_clear(&me->made);
    if (good && !failed)
        me->made = run[0];
    else
        outcome_clear(&run[0]);
    outcome_clear(&run[1]);
    return good ? failed : why;
}
