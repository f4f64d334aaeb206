/* The parts of F as rows of their own make up the branches: a training step that is composed of them computes the
 * same thing. */
#include "tests/check.h"

static const struct mhc_case cases[] = {
    {.T = 6, .n = 1, .C = 5, .S = 3, .hidden = 7, .heads = 2, .head_dim = 3, .rms_eps = 1e-6, .activation = MHC_SWIGLU},
    {.T = 9, .n = 1, .C = 12, .hidden = 4, .heads = 1, .head_dim = 8, .rms_eps = 0.5, .activation = MHC_GELU},
    {.T = 140, .n = 1, .C = 3, .S = 70, .hidden = 16, .heads = 3, .head_dim = 1, .activation = MHC_SWIGLU},
};
enum { CASES = sizeof cases / sizeof *cases };

static void set(struct arrays *d, const char *name, const double *values, int64_t count) {
    memcpy(put(d, name, count), values, (size_t)count * sizeof *values);
}

static void set_from(struct arrays *d, const char *name, const struct arrays *from, const char *its_name) {
    for (int k = 0; k < from->count; k++)
        if (!strcmp(from->entry[k].name, its_name))
            set(d, name, from->entry[k].values, from->entry[k].count);
}

/* result = the row gemm.<operation> of two arrays, for a weight [inner][outer]. */
static void multiply(const char *operation, const struct mhc_case *like, int64_t inner, int64_t outer, struct arrays *d,
                     const char *first, const char *second, const char *result) {
    char name[64];
    struct mhc_case c = *like;
    struct arrays part = {0};
    c.C = inner;
    c.hidden = outer;
    snprintf(name, sizeof name, "gemm.%s", operation);
    const struct mhc_row *row = mhc_row_find(&mhc_cpu64, name);
    set_from(&part, row->args[0].name, d, first);
    set_from(&part, row->args[1].name, d, second);
    run_row(row, &c, &part, 1, NULL);
    set_from(d, result, &part, row->args[2].name);
    arrays_clear(&part);
}

/* joined = matrices [rows][columns] side by side. */
static void join(struct arrays *d, int64_t rows, int64_t columns, const char *const names[], const char *joined) {
    int64_t count = 0;
    while (names[count])
        count++;
    double *out = put(d, joined, rows * columns * count);
    for (int64_t k = 0; k < count; k++)
        for (int64_t r = 0; r < rows; r++)
            memcpy(out + (r * count + k) * columns, arrays_get(d, names[k]) + r * columns,
                   (size_t)columns * sizeof *out);
}

/* One of matrices [rows][columns] that lie side by side. */
static void split(struct arrays *d, const char *joined, int64_t rows, int64_t columns, int64_t count, int64_t at,
                  const char *name) {
    double *out = put(d, name, rows * columns);
    for (int64_t r = 0; r < rows; r++)
        memcpy(out + r * columns, arrays_get(d, joined) + (r * count + at) * columns, (size_t)columns * sizeof *out);
}

static void run_part(const char *name, const struct mhc_case *c, struct arrays *d, struct save *save) {
    for (const struct mhc_arg *arg = mhc_row_find(&mhc_cpu64, name)->args; arg->name; arg++)
        cr_assert(arg->direction == MHC_OUT || mhc_elements(c, arg) == 0 || arrays_get(d, arg->name),
                  "%s: no row made %s", name, arg->name);
    run_named(&mhc_cpu64, name, c, d, save);
}

static void expect_same(const char *what, const struct arrays *whole, const struct arrays *parts,
                        const char *const names[]) {
    for (int k = 0; names[k]; k++) {
        const double *want = arrays_get(whole, names[k]), *got = arrays_get(parts, names[k]);
        int64_t count = 0;
        for (int e = 0; e < whole->count; e++)
            count += whole->entry[e].values == want ? whole->entry[e].count : 0;
        cr_assert(want && got && count, "%s: no %s", what, names[k]);
        check_close(got, want, count, 1e-13 * fmax(array_largest(want, count), 1), what, names[k]);
    }
}

Test(parts, make_up_the_mlp) {
    for (int k = 0; k < CASES; k++) {
        struct mhc_case c = cases[k];
        struct arrays whole = {0}, parts = {0};
        struct save save = {0};
        bool gated = c.activation == MHC_SWIGLU;
        int64_t I = mhc_extent(&c, 'M') * c.hidden;
        set_types(&c, &mhc_cpu64);
        run_named(&mhc_cpu64, "mlp.forward", &c, &whole, &save);
        run_named(&mhc_cpu64, "mlp.backward", &c, &whole, &save);
        for (int a = 0; a < 6; a++) {
            const char *name = mhc_row_find(&mhc_cpu64, "mlp.backward")->args[a].name;
            set_from(&parts, name, &whole, name);
        }
        join(&parts, c.C, c.hidden, (const char *const[]){"w_up", gated ? "w_gate" : NULL, NULL}, "w_in");
        run_part("norm.forward", &c, &parts, NULL);
        multiply("forward", &c, c.C, I, &parts, "v", "w_in", "inner");
        run_part("activation.forward", &c, &parts, NULL);
        multiply("forward", &c, c.hidden, c.C, &parts, "h", "w_down", "y");
        multiply("backward_weight", &c, c.hidden, c.C, &parts, "h", "grad_y", "grad_w_down");
        multiply("backward_input", &c, c.hidden, c.C, &parts, "grad_y", "w_down", "grad_h");
        run_part("activation.backward", &c, &parts, NULL);
        multiply("backward_weight", &c, c.C, I, &parts, "v", "grad_inner", "grad_w_in");
        multiply("backward_input", &c, c.C, I, &parts, "grad_inner", "w_in", "grad_v");
        split(&parts, "grad_w_in", c.C, c.hidden, I / c.hidden, 0, "grad_w_up");
        split(&parts, "grad_w_in", c.C, c.hidden, I / c.hidden, I / c.hidden - 1, gated ? "grad_w_gate" : "grad_w_up");
        run_part("norm.backward", &c, &parts, NULL);
        expect_same("mlp", &whole, &parts,
                    (const char *const[]){"y", "grad_u", "grad_gain", "grad_w_up", gated ? "grad_w_gate" : "grad_u",
                                          "grad_w_down", NULL});
        free(save.bytes);
        arrays_clear(&whole);
        arrays_clear(&parts);
    }
}

Test(parts, make_up_attention) {
    for (int k = 0; k < CASES; k++) {
        struct mhc_case c = cases[k];
        struct arrays whole = {0}, parts = {0};
        struct save save = {0}, core_save = {0};
        set_types(&c, &mhc_cpu64);
        int64_t A = c.heads * c.head_dim;
        run_named(&mhc_cpu64, "attention.forward", &c, &whole, &save);
        run_named(&mhc_cpu64, "attention.backward", &c, &whole, &save);
        for (int a = 0; a < 7; a++) {
            const char *name = mhc_row_find(&mhc_cpu64, "attention.backward")->args[a].name;
            set_from(&parts, name, &whole, name);
        }
        join(&parts, c.C, A, (const char *const[]){"w_q", "w_k", "w_v", NULL}, "w_qkv");
        run_part("norm.forward", &c, &parts, NULL);
        multiply("forward", &c, c.C, 3 * A, &parts, "v", "w_qkv", "qkv");
        run_part("attention-core.forward", &c, &parts, &core_save);
        multiply("forward", &c, A, c.C, &parts, "o", "w_o", "y");
        multiply("backward_weight", &c, A, c.C, &parts, "o", "grad_y", "grad_w_o");
        multiply("backward_input", &c, A, c.C, &parts, "grad_y", "w_o", "grad_o");
        run_part("attention-core.backward", &c, &parts, &core_save);
        multiply("backward_weight", &c, c.C, 3 * A, &parts, "v", "grad_qkv", "grad_w_qkv");
        multiply("backward_input", &c, c.C, 3 * A, &parts, "grad_qkv", "w_qkv", "grad_v");
        run_part("norm.backward", &c, &parts, NULL);
        for (int p = 0; p < 3; p++)
            split(&parts, "grad_w_qkv", c.C, A, 3, p, (const char *const[]){"grad_w_q", "grad_w_k", "grad_w_v"}[p]);
        expect_same(
            "attention", &whole, &parts,
            (const char *const[]){"y", "grad_u", "grad_gain", "grad_w_q", "grad_w_k", "grad_w_v", "grad_w_o", NULL});
        free(save.bytes);
        free(core_save.bytes);
        arrays_clear(&whole);
        arrays_clear(&parts);
    }
}

Test(parts, addnorm_is_an_addition_and_a_norm) {
    for (int k = 0; k < CASES; k++) {
        struct mhc_case c = cases[k];
        struct arrays whole = {0}, norm = {0};
        set_types(&c, &mhc_cpu64);
        run_named(&mhc_cpu64, "addnorm.forward", &c, &whole, NULL);
        run_named(&mhc_cpu64, "addnorm.backward", &c, &whole, NULL);
        set_from(&norm, "u", &whole, "x");
        for (int64_t e = 0; e < c.T * c.C; e++)
            arrays_get(&norm, "u")[e] += arrays_get(&whole, "y")[e];
        set_from(&norm, "sum", &norm, "u");
        set_from(&norm, "gain", &whole, "gain");
        set_from(&norm, "grad_v", &whole, "grad_v");
        run_part("norm.forward", &c, &norm, NULL);
        run_part("norm.backward", &c, &norm, NULL);
        for (int64_t e = 0; e < c.T * c.C; e++)
            arrays_get(&norm, "grad_u")[e] += arrays_get(&whole, "grad_sum")[e];
        set_from(&norm, "grad_x", &norm, "grad_u");
        expect_same("addnorm", &whole, &norm, (const char *const[]){"sum", "v", "r", "grad_x", "grad_gain", NULL});
        arrays_clear(&whole);
        arrays_clear(&norm);
    }
}
