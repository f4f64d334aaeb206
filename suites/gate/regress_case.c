/* Is one operation of one library right, and does it keep to its arrays? */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/gate/regress.h"
#include "suites/rows/guarded.h"

static const struct poison poisons[2] = {{.pattern = 0xffff, .shift = 64}, {.pattern = 0x7ff9, .shift = 128}};

/* A row with all its memory, guarded. */
struct run {
    struct buffer arg[MHC_MAX_ARGS], save, work;
};

static const void *array_of(const struct kernel_case *k, const char *name) {
    for (int at = 0; at < k->arrays; at++)
        if (!strcmp(k->array[at].name, name))
            return k->array[at].pointer;
    return NULL;
}

static int64_t bytes_of(const struct kernel_case *k, int argument) {
    const struct mhc_arg *arg = &kernel_case_row(k)->args[argument];
    return mhc_arg_bytes(&k->c, arg);
}

static bool prepare(struct run *r, const struct kernel_case *k, const struct poison *p) {
    const struct backend *b = k->backend;
    const struct mhc_row *row = kernel_case_row(k);
    bool good = buffer_open(b, &r->work, row_work_bytes(row, &k->c), p) && buffer_send(b, &r->work) &&
                buffer_open(b, &r->save, k->save_bytes, p) && (row->save_bytes || buffer_fill(b, &r->save, k->save)) &&
                buffer_send(b, &r->save);
    for (int a = 0; row->args[a].name && good; a++) {
        const void *from = array_of(k, row->args[a].name);
        good = buffer_open(b, &r->arg[a], bytes_of(k, a), p) &&
               (row->args[a].direction == MHC_OUT || buffer_fill(b, &r->arg[a], from)) && buffer_send(b, &r->arg[a]);
    }
    return good;
}

static const char *run_once(struct run *r, const struct kernel_case *k) {
    const struct mhc_row *row = kernel_case_row(k);
    struct array arrays[MHC_MAX_ARGS];
    int count = 0;
    for (; row->args[count].name; count++)
        arrays[count] = (struct array){row->args[count].name, buffer_data(&r->arg[count])};
    return backend_run(k->backend, row, &k->c, arrays, count, buffer_data(&r->save), buffer_data(&r->work));
}

/* Brings everything back, and looks at the bands and at what may only be read. */
static bool inspect(struct run *r, const struct kernel_case *k, char why[MAX_FAILURE]) {
    const struct backend *b = k->backend;
    const struct mhc_row *row = kernel_case_row(k);
    if (!buffer_fetch(b, &r->work) || !buffer_fetch(b, &r->save))
        return snprintf(why, MAX_FAILURE, "its memory cannot be copied back"), false;
    for (int a = 0; row->args[a].name; a++) {
        bool input = row->args[a].direction == MHC_IN;
        if (!buffer_fetch(b, &r->arg[a]))
            return snprintf(why, MAX_FAILURE, "`%s` cannot be copied back", row->args[a].name), false;
        if (!buffer_untouched(&r->arg[a], input, row->args[a].name, input ? "input" : "output", why))
            return false;
    }
    return buffer_untouched(&r->save, !row->save_bytes, "save", "memory", why) &&
           buffer_untouched(&r->work, false, "work", "memory", why);
}

static void release(struct run *r, const struct kernel_case *k) {
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        buffer_close(k->backend, &r->arg[a]);
    buffer_close(k->backend, &r->save);
    buffer_close(k->backend, &r->work);
}

static const unsigned char *seen(const struct run *r, int argument) {
    return r->arg[argument].seen + r->arg[argument].offset;
}

/* What both runs left where they found different patterns. */
static bool all_written(const struct run run[2], const struct kernel_case *k, char why[MAX_FAILURE]) {
    const struct mhc_row *row = kernel_case_row(k);
    for (int a = 0; row->args[a].name; a++) {
        const unsigned char *const bytes[2] = {seen(&run[0], a), seen(&run[1], a)};
        int64_t count = mhc_elements(&k->c, &row->args[a]), first, left;
        if (row->args[a].direction != MHC_OUT || !count)
            continue;
        left = poison_left(bytes, poisons, count, bytes_of(k, a) / count, &first);
        if (left)
            return snprintf(why, MAX_FAILURE, "%lld of %lld elements of `%s` were not written, the first is %lld",
                            (long long)left, (long long)count, row->args[a].name, (long long)first),
                   false;
    }
    return true;
}

static const char *accuracy_of(const struct run *r, const struct kernel_case *k, struct kernel_accuracy *worst) {
    void *outputs[MHC_MAX_ARGS] = {0};
    struct kernel_accuracy a;
    for (int i = 0; kernel_case_row(k)->args[i].name; i++)
        outputs[i] = buffer_data(&r->arg[i]);
    const char *why = kernel_case_compare(k, outputs, &a);
    bool worse = !(a.error <= worst->error);
    *worst = worse ? a : *worst;
    return why;
}

/* Bits of the two runs, and of the first against the other library's; keeps those of the first. */
static bool compare_bits(struct regress_case *me, const struct regress_case *other, const struct run run[2],
                         struct regress_answer *answer) {
    const struct mhc_row *row = kernel_case_row(&me->k);
    answer->compared = other->open;
    for (int a = 0; row->args[a].name; a++) {
        if (row->args[a].direction != MHC_OUT)
            continue;
        int64_t bytes = bytes_of(&me->k, a), count = mhc_elements(&me->k.c, &row->args[a]);
        const unsigned char *mine = seen(&run[0], a), *theirs = NULL;
        answer->unstable |= memcmp(mine, seen(&run[1], a), (size_t)bytes) != 0;
        answer->elements += count;
        const struct mhc_row *its = other->open ? kernel_case_row(&other->k) : NULL;
        const struct mhc_arg *same = its ? mhc_arg_find(its, row->args[a].name, MHC_OUT) : NULL;
        theirs = same ? other->output[same - its->args] : NULL;
        answer->compared &= theirs != NULL;
        for (int64_t e = 0, size = count ? bytes / count : 0; e < count && theirs; e++)
            if (memcmp(mine + e * size, theirs + e * size, (size_t)size) && !answer->different++)
                snprintf(answer->first, sizeof answer->first, "%.40s[%lld]", row->args[a].name, (long long)e);
        free(me->output[a]);
        if (!(me->output[a] = malloc((size_t)bytes + 1)))
            return false;
        memcpy(me->output[a], mine, (size_t)bytes);
    }
    return true;
}

static bool same_outputs(const struct kernel_case *k, const struct run *a, const struct run *b) {
    bool same = true;
    for (int i = 0; kernel_case_row(k)->args[i].name; i++)
        if (kernel_case_row(k)->args[i].direction == MHC_OUT)
            same &= !memcmp(seen(a, i), seen(b, i), (size_t)bytes_of(k, i));
    return same;
}

/* Where two runs differ in bits: is it because of what memory held before? Some more at the second one's alignment, with its own
 * pattern and the other: then those of one pattern agree. A library whose sums are in no fixed order differs among them too. */
static bool depends_on_memory(const struct kernel_case *k, const struct run *second) {
    const struct poison other = {.pattern = poisons[0].pattern, .shift = poisons[1].shift};
    static const bool own[] = {false, true, true, false,
                               false, true, true, false}; /* no pattern that a counter follows */
    enum { RUNS = sizeof own / sizeof *own };
    struct run first = {0};
    char ignored[MAX_FAILURE];
    bool alike = true, differs = false; /* runs of one pattern; runs of the other from the second run */
    for (int r = 0; r < RUNS && alike; r++) {
        struct run run = {0};
        alike = prepare(&run, k, own[r] ? &poisons[1] : &other) && !run_once(&run, k) && inspect(&run, k, ignored) &&
                (r == 0 || same_outputs(k, &run, own[r] ? second : &first));
        differs |= alike && r == 0 && !same_outputs(k, &run, second);
        if (r == 0)
            first = run;
        else
            release(&run, k);
    }
    release(&first, k);
    return alike && differs;
}

const char *regress_case_right(struct regress_case *me, const struct regress_case *other,
                               struct regress_answer *answer) {
    static char why[MAX_FAILURE];
    struct run run[2] = {0};
    const char *failed = NULL;
    double tolerance = kernel_case_row(&me->k)->tolerance(&me->k.c);
    answer->accuracy = (struct kernel_accuracy){-1, tolerance};
    if (!(tolerance > 0 && tolerance <= MHC_MOST_TOLERANCE)) {
        snprintf(why, sizeof why, "it allows itself an error of %g, which proves nothing", tolerance);
        return why;
    }
    for (int k = 0; k < 2 && !failed; k++) {
        failed = prepare(&run[k], &me->k, &poisons[k]) ? run_once(&run[k], &me->k) : "no memory for its arrays";
        if (!failed && !inspect(&run[k], &me->k, why))
            failed = why;
    }
    if (!failed && !all_written(run, &me->k, why))
        failed = why;
    for (int k = 0; k < 2 && !failed; k++)
        failed = accuracy_of(&run[k], &me->k, &answer->accuracy);
    if (!failed && !compare_bits(me, other, run, answer))
        failed = "out of memory";
    if (!failed && answer->unstable && depends_on_memory(&me->k, &run[1]))
        failed = "what it makes depends on what its memory held before";
    for (int k = 0; k < 2; k++)
        release(&run[k], &me->k);
    return failed;
}
