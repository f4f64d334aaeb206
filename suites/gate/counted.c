#include "suites/gate/counted.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "suites/study/kernel_case.h"

const char *const counted_what[MHC_COUNT_KINDS] = {
#define WHAT(id, what) what,
    MHC_COUNTS(WHAT)
#undef WHAT
};

const struct mhc_counters *counted_counters(const struct backend *b, const char **why) {
    const struct mhc_counters *c = b->handle ? dlsym(b->handle, "mhc_counters") : NULL;
    if (!c)
        return *why = "it was not built to count: see `make emu-counts`", NULL;
    if (c->abi != MHC_COUNTERS_ABI || c->size != sizeof *c)
        return *why = "its counters are those of another version", NULL;
    return c;
}

int64_t counted_total(const struct counted *c, enum mhc_count which) {
    int64_t sum = 0;
    for (int k = 0; k < c->kernels; k++)
        sum += c->kernel[k].count[which];
    return sum;
}

/* The which-th row of a name that supports the case; `*number` is its place among all of that name, from 1. */
static const struct mhc_row *find(const struct backend *b, const char *name, const struct mhc_case *c, int which,
                                  int *number) {
    const char *why;
    *number = 0;
    for (const struct mhc_row *const *row = b->library->rows; *row; row++) {
        if (strcmp((*row)->name, name))
            continue;
        ++*number;
        if ((!(*row)->supports || (*row)->supports(c, &why)) && !which--)
            return *row;
    }
    return NULL;
}

static void fill(struct counted *to, const struct mhc_counters *counters, const struct bound_row *b) {
    enum { SECTOR_BYTES = 32 };
    to->contract = b->row->traffic(&b->c);
    to->kernels = counters->kernels(to->kernel, COUNTED_KERNELS);
    for (int a = 0; b->row->args[a].name; a++)
        to->touched += counters->touched(bound_row_argument(b, 0, a), mhc_arg_bytes(&b->c, &b->row->args[a]),
                                         b->row->args[a].direction == MHC_OUT);
    if (to->kernels <= COUNTED_KERNELS)
        to->moved = SECTOR_BYTES * (counted_total(to, MHC_COUNT_dram_read) + counted_total(to, MHC_COUNT_dram_written));
}

static const char *run(struct examination *e, uint64_t seed, const struct mhc_counters *counters, struct counted *to) {
    struct bound_row b = {0};
    const char *why = kernel_case_open(e, seed);
    why = why ? why : bound_row_open(&b, e->backend, examined_row(e), &e->c, 1, &e->before.made, &e->before.save);
    if (!why) {
        counters->start();
        why = bound_row_run(&b, 0);
        fill(to, counters, &b);
        counters->stop();
    }
    if (!why && to->kernels > COUNTED_KERNELS)
        why = "more kernels than there is room for";
    bound_row_close(&b);
    return why;
}

const char *counted_run(const struct backend *b, const struct params *p, const char *form, int which,
                        struct counted *to, bool *none) {
    struct examination e;
    char name[sizeof to->row - 12];
    int number = 0;
    *to = (struct counted){0};
    *none = false;
    const char *why = NULL;
    const struct mhc_counters *counters = counted_counters(b, &why);
    why = why ? why : kernel_case_plan(&e, b, p, form[0] ? form : NULL);
    if (!counters || why)
        return *none = counters != NULL, why;
    kernel_case_share_inputs(&e);
    snprintf(name, sizeof name, "%s", examined_row(&e)->name);
    e.row[e.rows - 1] = find(b, name, &e.c, which, &number);
    *none = !examined_row(&e);
    snprintf(to->row, sizeof to->row, number > 1 ? "%s#%d" : "%s", name, number);
    why = *none ? "no further row of that name" : run(&e, (uint64_t)p->seed, counters, to);
    examine_close(&e);
    return why;
}
