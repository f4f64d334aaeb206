#include "tests/plants/plant.h"

#include <dlfcn.h>
#include <stdio.h>

enum { MOST_ROWS = 256 };

struct mhc_library mhc_library; /* filled before the program reads it */
static struct mhc_row row[MOST_ROWS];
static const struct mhc_row *inner_rows[MOST_ROWS], *rows[MOST_ROWS + 1];
static int (*inner_run[MOST_ROWS])(void *, void *, const struct mhc_case *, void *const *, void *, void *);
static long calls[MOST_ROWS];
static void *now_context, *now_queue;

int plant_inner_case(const struct call *call, const struct mhc_case *c) {
    return inner_run[call->index](now_context, now_queue, c, call->arg, call->save, call->work);
}

int plant_inner(const struct call *call) {
    return plant_inner_case(call, call->c);
}

const struct mhc_row *plant_row(const char *name, const struct mhc_case *c) {
    const char *why;
    for (int k = 0; k < MOST_ROWS && inner_rows[k]; k++)
        if (!strcmp(inner_rows[k]->name, name) && inner_rows[k]->supports(c, &why))
            return inner_rows[k];
    abort();
}

bool plant_is(const char *name) {
    static const char *plant;
    plant = plant ? plant : getenv("PLANT") ? getenv("PLANT") : "";
    return !strcmp(plant, name);
}

bool plant_on(const struct call *call, const char *operation) {
    return !strcmp(call->row->name, operation);
}

static const struct mhc_arg *find(const struct call *call, const char *name, int *at) {
    for (*at = 0; call->row->args[*at].name; ++*at)
        if (!strcmp(call->row->args[*at].name, name))
            return &call->row->args[*at];
    return NULL;
}

void *plant_array(const struct call *call, const char *name, int64_t *count) {
    int at;
    const struct mhc_arg *arg = find(call, name, &at);
    *count = arg ? mhc_elements(call->c, arg) : 0;
    return arg ? call->arg[at] : NULL;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double plant_get(const struct call *call, const void *array, int64_t at) {
    if (call->c->stream == MHC_BF16)
        return (double)float_of((uint32_t)((const uint16_t *)array)[at] << 16);
    return call->c->stream == MHC_F64 ? ((const double *)array)[at] : (double)((const float *)array)[at];
}

void plant_put(const struct call *call, void *array, int64_t at, double value) {
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if (call->c->stream == MHC_BF16)
        ((uint16_t *)array)[at] = (uint16_t)(bits >> 16);
    else if (call->c->stream == MHC_F64)
        ((double *)array)[at] = value;
    else
        ((float *)array)[at] = single;
}

void *plant_output(const struct call *call, int64_t *count, int64_t *bytes) {
    int at = 0;
    while (call->row->args[at].direction != MHC_OUT)
        at++;
    *count = mhc_elements(call->c, &call->row->args[at]);
    *bytes = mhc_arg_bytes(call->c, &call->row->args[at]);
    return call->arg[at];
}

static int planted(int which, void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                   void *work) {
    struct call call = {.row = inner_rows[which],
                        .c = c,
                        .arg = arg,
                        .save = save,
                        .work = work,
                        .number = ++calls[which],
                        .index = which};
    now_context = context, now_queue = queue;
    return plant_call(&call);
}

/* clang-format off */
/* A row's run() does not know its row, so each row has a function of its own. */
#define RUN(k)                                                                                          \
    static int run_##k(void *a, void *b, const struct mhc_case *c, void *const d[], void *e, void *f) { \
        return planted(0x##k, a, b, c, d, e, f);                                                        \
    }
#define RUNS(h)                                                                                   \
    RUN(h##0) RUN(h##1) RUN(h##2) RUN(h##3) RUN(h##4) RUN(h##5) RUN(h##6) RUN(h##7)               \
    RUN(h##8) RUN(h##9) RUN(h##a) RUN(h##b) RUN(h##c) RUN(h##d) RUN(h##e) RUN(h##f)
#define NAMES(h)                                                                                    \
    run_##h##0, run_##h##1, run_##h##2, run_##h##3, run_##h##4, run_##h##5, run_##h##6, run_##h##7, \
    run_##h##8, run_##h##9, run_##h##a, run_##h##b, run_##h##c, run_##h##d, run_##h##e, run_##h##f
RUNS(0) RUNS(1) RUNS(2) RUNS(3) RUNS(4) RUNS(5) RUNS(6) RUNS(7)
RUNS(8) RUNS(9) RUNS(a) RUNS(b) RUNS(c) RUNS(d) RUNS(e) RUNS(f)
static int (*const run_of[MOST_ROWS])(void *, void *, const struct mhc_case *, void *const *, void *, void *) = {
    NAMES(0), NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6), NAMES(7),
    NAMES(8), NAMES(9), NAMES(a), NAMES(b), NAMES(c), NAMES(d), NAMES(e), NAMES(f)};
/* clang-format on */

__attribute__((constructor)) static void wrap(void) {
    const char *path = getenv("INNER");
    void *handle = dlopen(path ? path : "", RTLD_NOW | RTLD_LOCAL);
    const struct mhc_library *inner = path && handle ? dlsym(handle, "mhc_library") : NULL;
    int count = 0;
    if (!inner) {
        fprintf(stderr, "plant: %s\n", path ? dlerror() : "INNER names no library");
        abort();
    }
    for (; count < MOST_ROWS && inner->rows[count]; count++) {
        inner_rows[count] = inner->rows[count];
        inner_run[count] = inner->rows[count]->run;
        row[count] = *inner->rows[count];
        row[count].run = run_of[count];
    }
    plant_rows(row, &count);
    for (int k = 0; k < count; k++)
        rows[k] = &row[k];
    mhc_library = *inner;
    mhc_library.rows = rows;
}
