/* The answer to a crossing between layers. post_pre goes on from x_next, backward_y from grad_x, as the row itself rounded it; a last bit of that,
 * harmless there, can move what follows by more than the row's tolerance. So the reference of what follows starts from there too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/study/kernel_case.h"

static const struct backend cpu64 = {.library = &mhc_cpu64};

/* Of `operation` the row `second` makes what follows: its `input` is the crossing's own `from`; an input and an output have other names there. */
static const struct crossing {
    const char *operation, *from, *second, *input, *given, *stands_for, *made, *is;
} crossings[] = {
    {"post_pre", "x_next", "pre", "x", "", "", "", ""},
    {"backward_y", "grad_x", "post_backward_y", "grad_x_next", "post", "post_below", "grad_y", "grad_y_below"}};

static const struct crossing *crossing_of(const char *operation) {
    for (size_t k = 0; k < sizeof crossings / sizeof *crossings; k++)
        if (!strcmp(crossings[k].operation, operation))
            return &crossings[k];
    return NULL;
}

/* The reference's row of the kind of `like`. */
static const struct mhc_row *row_of(const struct mhc_row *like, const char *operation) {
    char name[64];
    snprintf(name, sizeof name, "%.*s.%s", (int)strcspn(like->name, "."), like->name, operation);
    return mhc_row_find(&mhc_cpu64, name);
}

/* What the row wrote as `name`, in float64; NULL: it did not, or it cannot be had. */
static double *written(const struct kernel_case *k, void *const *outputs, const char *name) {
    const struct mhc_arg *args = kernel_case_row(k)->args;
    for (int i = 0; args[i].name; i++)
        if (!strcmp(args[i].name, name) && outputs[i]) {
            int64_t count = mhc_elements(&k->c, &args[i]);
            double *values = malloc((size_t)(count ? count : 1) * sizeof *values);
            if (values && backend_download(k->backend, values, outputs[i], count, mhc_arg_type(&k->c, &args[i])))
                return values;
            free(values);
        }
    return NULL;
}

const char *kernel_case_cross(const struct kernel_case *k, void *const *outputs, struct array *made, int *count) {
    const struct mhc_row *last = k->reference[k->rows - 1];
    const struct crossing *x = crossing_of(strchr(last->name, '.') + 1);
    const struct mhc_row *row = x ? row_of(last, x->second) : NULL;
    struct array arrays[MHC_MAX_ARGS];
    int used = 0;
    *count = 0;
    if (!row)
        return NULL;
    double *from = written(k, outputs, x->from);
    const char *why = from ? NULL : "out of memory, or the device failed";
    for (const struct mhc_arg *arg = row->args; arg->name && !why; arg++) {
        bool out = arg->direction == MHC_OUT;
        const char *name = !strcmp(arg->name, x->given)  ? x->stands_for
                           : !strcmp(arg->name, x->made) ? x->is
                                                         : arg->name;
        void *array = out                            ? backend_allocate(&cpu64, 8 * mhc_elements(&k->exact, arg))
                      : !strcmp(arg->name, x->input) ? from
                                                     : kernel_case_find(k->answer, k->arrays, name);
        if (out && array)
            made[(*count)++] = (struct array){name, array};
        arrays[used++] = (struct array){arg->name, array};
        why = array ? NULL : out ? "out of memory" : "an array is missing";
    }
    void *save = backend_allocate(&cpu64, row_save_bytes(row, &k->exact)),
         *work = backend_allocate(&cpu64, row_work_bytes(row, &k->exact));
    if (!why)
        why = save && work ? backend_run(&cpu64, row, &k->exact, arrays, used, save, work) : "out of memory";
    backend_release(&cpu64, save), backend_release(&cpu64, work);
    free(from);
    return why;
}

void kernel_case_uncross(struct array *made, int count) {
    for (int k = 0; k < count; k++)
        backend_release(&cpu64, made[k].pointer);
}
