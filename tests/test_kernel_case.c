/* An operation, its inputs and its check: what the study of kernels runs before it times anything. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "suites/study/kernel_case.h"

static struct params operation(const char *name, int64_t tokens, int64_t streams, int64_t width) {
    struct params p;
    params_defaults(&p);
    p.study = STUDY_KERNELS;
    p.operation = params_keep(name);
    p.tokens = tokens;
    p.streams = streams;
    p.width = width;
    p.hidden = 5;
    p.heads = p.head_dim = 2;
    return p;
}

/* Opens, runs on every set and checks; then `spoil` what set 1 holds, and has to be told. */
static void check_operation(const struct mhc_library *library, const char *name) {
    struct backend b = {.library = library};
    struct params p = operation(name, 9, connection_operation_has_one_stream(name) ? 1 : 4, 13);
    struct examination e;
    struct bound_row bound;
    struct accuracy a;
    const char *why = kernel_case_plan(&e, &b, &p, NULL);
    why = why ? why : kernel_case_open(&e, 1);
    cr_assert(!why, "%s: %s", name, why);
    why = bound_row_open(&bound, &b, examined_row(&e), &e.c, 3, &e.before.made, &e.before.save);
    cr_assert(!why, "%s: %s", name, why);
    cr_expect(examine_set(&e, &bound, 1, &a), "%s: outputs that were not written are right", name);
    for (int64_t set = 0; set < 3; set++) {
        cr_assert(!bound_row_run(&bound, set));
        why = examine_set(&e, &bound, set, &a);
        cr_expect(!why && a.error <= a.tolerance && a.tolerance > 0, "%s set %lld: %s", name, (long long)set, why);
    }
    for (int i = 0; bound.row->args[i].name; i++)
        if (bound.row->args[i].direction == MHC_OUT && mhc_elements(&e.c, &bound.row->args[i])) {
            int32_t type = mhc_arg_type(&e.c, &bound.row->args[i]);
            char *first = bound_row_argument(&bound, 1, i);
            double kept = 0, off[] = {1e6, NAN, INFINITY};
            backend_download(&b, &kept, first, 1, type);
            for (int n = 0; n < 3; n++) {
                backend_upload(&b, first, &off[n], 1, type);
                cr_expect(examine_set(&e, &bound, 1, &a) && !(a.error <= a.tolerance), "%s: %s[0] = %g passes", name,
                          bound.row->args[i].name, off[n]);
            }
            backend_upload(&b, first, &kept, 1, type);
            cr_expect(!examine_set(&e, &bound, 1, &a));
        }
    bound_row_close(&bound);
    examine_close(&e);
}

Test(kernel_case, every_operation, .timeout = 1800) {
    int tried = 0;
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++, tried++) {
        check_operation(&mhc_cpu64, (*row)->name);
        check_operation(&mhc_cpu32, (*row)->name);
    }
    cr_expect(tried > 30);
}

Test(kernel_case, runs_what_an_operation_leans_on) {
    static const struct {
        const char *name, *chain;
    } want[] = {
        {"mhc.pre", "mhc.pre"},
        {"mhc.post", "mhc.pre mhc.post"},
        {"mhc.backward", "mhc.pre mhc.backward"},
        {"mhc.backward_y", "mhc.pre mhc.backward_y"},
        {"hc.post_pre", "hc.post_pre"},
        {"mlp.backward", "mlp.forward mlp.backward"},
        {"sinkhorn.backward", "sinkhorn.forward sinkhorn.backward"}, /* which a library may let keep something */
        {"stack.exit", "stack.entry stack.exit"}};
    struct backend b = {.library = &mhc_cpu32};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        struct params p = operation(want[k].name, 3, 4, 5);
        struct examination e;
        char got[200] = "";
        cr_assert(!kernel_case_plan(&e, &b, &p, NULL));
        for (int r = 0; r < e.rows; r++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", r ? " " : "", e.row[r]->name);
        cr_expect_str_eq(got, want[k].chain, "%s: got `%s`", want[k].name, got);
    }
    struct params p = operation("mhc.pre", 3, 4, 5);
    struct examination e;
    p.type = 1 + MHC_F64;
    const char *why = kernel_case_plan(&e, &b, &p, NULL);
    cr_expect(why && strstr(why, "mhc.pre: this row works in f32"), "said %s", why);
}

/* An input without given values: element k is a function of k alone, in arrays of any length. */
Test(kernel_case, a_pattern_goes_on) {
    static double x[300 * 4 * 255 + 1];
    const struct backend b = {.library = &mhc_cpu32};
    for (int64_t T = 1; T <= 300; T *= 300) {
        const struct mhc_case c = {.T = T, .n = 4, .C = 255, .stream = MHC_F32, .coef = MHC_F32, .param = MHC_F32};
        struct bound_row bound;
        const char *why;
        const struct mhc_row *row = backend_row(&b, "mhc", "post_backward_y", &c, &why);
        const int64_t count = T * 4 * 255;
        why = bound_row_open(&bound, &b, row, &c, 2, NULL, NULL);
        cr_assert(!why, "%s", why);
        for (int64_t set = 0; set < 2; set++) {
            cr_assert(!strcmp(row->args[0].name, "grad_x_next") &&
                      backend_download(&b, x, bound_row_argument(&bound, set, 0), count, MHC_F32));
            for (int64_t k = 0; k < count; k++)
                cr_assert(x[k] == (double)((k * 2654435761u >> 7) % 33 - 16) / 16, "element %lld is %g", (long long)k,
                          x[k]);
        }
        bound_row_close(&bound);
    }
}
