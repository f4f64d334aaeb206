/* Every row of the CPU libraries, whatever it is: the loops below know names and shapes from the rows alone. */
#include "tests/check.h"

/* Odd T and C, every size of stream the code specialises and some it does not, both conventions, more than one block of
 * tokens. */
static const struct mhc_case cases[] = {
    {.T = 1, .n = 1, .C = 1, .S = 1, .hidden = 1, .heads = 1, .head_dim = 1, .t_max = 1},
    {.T = 7, .n = 1, .C = 33, .hidden = 5, .heads = 3, .head_dim = 2, .t_max = 20, .rms_eps = 1e-6},
    {.T = 6,
     .n = 2,
     .C = 5,
     .S = 3,
     .hidden = 7,
     .heads = 1,
     .head_dim = 3,
     .t_max = 5,
     .rms_eps = 1e-6,
     .activation = MHC_SWIGLU},
    {.T = 5, .n = 3, .C = 13, .S = 5, .hidden = 4, .heads = 2, .head_dim = 3, .t_max = 2, .rms_eps = 0.5},
    {.T = 9, .n = 4, .C = 8, .S = 9, .hidden = 9, .heads = 2, .head_dim = 1, .t_max = 33, .rms_eps = 1e-20},
    {.T = 140, .n = 4, .C = 3, .S = 70, .hidden = 3, .heads = 1, .head_dim = 2, .t_max = 3, .rms_eps = 1e-6},
    {.T = 3,
     .n = 8,
     .C = 7,
     .S = 1,
     .hidden = 2,
     .heads = 1,
     .head_dim = 5,
     .t_max = 20,
     .rms_eps = 1e-6,
     .activation = MHC_SWIGLU},
    {.T = 67, .n = 16, .C = 3, .S = 67, .hidden = 3, .heads = 1, .head_dim = 1, .t_max = 5, .rms_eps = 1e-6},
    {.T = 5,
     .n = 4,
     .C = 9,
     .S = 5,
     .hidden = 3,
     .heads = 2,
     .head_dim = 2,
     .t_max = 20,
     .rms_eps = 1e-6,
     .sinkhorn_eps = 1e-6,
     .convention = MHC_V4},
    {.T = 4,
     .n = 3,
     .C = 11,
     .S = 2,
     .hidden = 3,
     .heads = 2,
     .head_dim = 2,
     .t_max = 6,
     .sinkhorn_eps = 1e-2,
     .convention = MHC_V4},
    {.T = 3,
     .n = 8,
     .C = 4,
     .S = 3,
     .hidden = 3,
     .heads = 2,
     .head_dim = 2,
     .t_max = 1,
     .sinkhorn_eps = 1e-3,
     .convention = MHC_V4},
    {.T = 3, .n = 2, .C = 6, .S = 3, .hidden = 3, .heads = 2, .head_dim = 2, .t_max = 2, .convention = MHC_V4},
};
enum { CASES = sizeof cases / sizeof *cases };

/* A case in a library's types, with a vocabulary and a flat array of its own. */
static struct mhc_case case_of(int k, const struct mhc_library *library) {
    static const int64_t vocabulary[CASES] = {1, 5, 300, 2, 7, 11, 3, 40, 6, 9, 4, 13},
                         weights[CASES] = {1, 37, 20000, 2, 3, 100, 8193, 5, 64, 7, 1000, 12};
    struct mhc_case c = cases[k];
    c.vocabulary = vocabulary[k];
    c.weights = weights[k];
    set_types(&c, library);
    return c;
}

static const char *describe(const struct mhc_library *library, const struct mhc_row *row, const struct mhc_case *c) {
    static char text[160];
    snprintf(text, sizeof text, "%s %s T=%lld n=%lld C=%lld t_max=%lld %s", library->name, row->name, (long long)c->T,
             (long long)c->n, (long long)c->C, (long long)c->t_max, c->convention == MHC_V4 ? "v4" : "paper");
    return text;
}

static bool same_kind(const char *a, const char *b) {
    size_t length = strcspn(a, ".");
    return length == strcspn(b, ".") && !strncmp(a, b, length);
}

/* --- memory, order, overwriting --- */

/* 0xFF is NaN in every type; the second pattern is an ordinary number, so that anything read before it was written
 * shows. */
static const struct poison poisons[2] = {{.pattern = 0xffff, .shift = 64}, {.pattern = 0x3c3c, .shift = 128}};

static void check_row(const struct mhc_library *library, const struct mhc_row *row, const struct mhc_case *c,
                      struct arrays *d, const struct save *save) {
    const char *what = describe(library, row, c);
    struct arrays run[2] = {copy_of(d), copy_of(d)};
    struct save kept[2];
    for (int k = 0; k < 2; k++) {
        kept[k] = (struct save){malloc((size_t)save->count + 1), save->count};
        memcpy(kept[k].bytes, save->bytes ? save->bytes : kept[k].bytes, (size_t)save->count);
        run_poisoned(row, c, &run[k], 5, &kept[k], &poisons[k]);
    }
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        const double *values = arrays_get(&run[0], arg->name);
        for (int64_t k = 0; k < mhc_elements(c, arg); k++)
            cr_assert(isfinite(values[k]), "%s: %s[%lld] is %g", what, arg->name, (long long)k, values[k]);
        cr_assert(!memcmp(values, arrays_get(&run[1], arg->name), (size_t)mhc_elements(c, arg) * sizeof *values),
                  "%s: %s differs between two runs", what, arg->name);
    }
    cr_assert(kept[0].count == kept[1].count && !memcmp(kept[0].bytes, kept[1].bytes, (size_t)kept[0].count),
              "%s: save differs between two runs", what);
    for (int k = 0; k < 2; k++) {
        free(kept[k].bytes);
        arrays_clear(&run[k]);
    }
}

Test(operations, overwrite_their_outputs_and_nothing_else) {
    for (int l = 0; l < LIBRARIES; l++)
        for (const struct mhc_row *const *row = libraries[l]->rows; *row; row++) {
            int ran = 0;
            const char *why;
            for (int k = 0; k < CASES; k++) {
                struct mhc_case c = case_of(k, libraries[l]);
                if (!(*row)->supports(&c, &why))
                    continue;
                /* The rows of its kind before it make the arrays and the save it reads. */
                struct arrays d = {0};
                struct save save = {0};
                for (const struct mhc_row *const *before = libraries[l]->rows; before != row; before++)
                    if (same_kind((*before)->name, (*row)->name))
                        run_poisoned(*before, &c, &d, 5, &save, &poisons[0]);
                check_row(libraries[l], *row, &c, &d, &save);
                free(save.bytes);
                arrays_clear(&d);
                ran++;
            }
            cr_assert(ran > 0, "%s %s ran on no case", libraries[l]->name, (*row)->name);
        }
}

/* --- float against double --- */

Test(operations, agree_between_float_and_double) {
    const char *why;
    for (int k = 0; k < CASES; k++) {
        struct mhc_case c64 = case_of(k, &mhc_cpu64), c32 = case_of(k, &mhc_cpu32);
        struct arrays d64 = {0}, d32 = {0};
        struct save save64 = {0}, save32 = {0};
        const char *kind = "";
        for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++) {
            const struct mhc_row *other = mhc_row_find(&mhc_cpu32, (*row)->name);
            cr_assert(other, "cpu32 has no %s", (*row)->name);
            if (!(*row)->supports(&c64, &why))
                continue;
            if (!same_kind(kind, (*row)->name)) {
                arrays_clear(&d64);
                arrays_clear(&d32);
            }
            kind = (*row)->name;
            run_row(*row, &c64, &d64, 7, &save64);
            run_row(other, &c32, &d32, 7, &save32);
            for (const struct mhc_arg *arg = (*row)->args; arg->name; arg++) {
                int64_t count = mhc_elements(&c64, arg);
                const double *want = arrays_get(&d64, arg->name);
                /* An array that is exactly 0 (grad_w_q with one token a sequence) has no scale of its own. */
                double tolerance = other->tolerance(&c32) * fmax(array_largest(want, count), 1e-3);
                if (arg->direction == MHC_OUT)
                    check_close(arrays_get(&d32, arg->name), want, count, tolerance, describe(&mhc_cpu32, other, &c32),
                                arg->name);
            }
        }
        arrays_clear(&d64);
        arrays_clear(&d32);
        free(save64.bytes);
        free(save32.bytes);
    }
}

/* --- gradients against finite differences --- */

/* post_pre and backward_y, made of rows that have their loss; what they are made of, mhcbench check knows. */
static bool is_crossing(const char *name) {
    const char *dot = strchr(name, '.');
    return !strcmp(dot, ".post_pre") || !strcmp(dot, ".backward_y");
}

/* Rows that belong to one loss: <kind>.*, or a pair X and X_backward. */
static bool same_loss(const char *a, const char *b) {
    static const char suffix[] = "_backward";
    char name[2][64];
    const char *text[2] = {a, b};
    bool paired = false;
    if (strchr(a, '.') && strchr(b, '.') && (is_crossing(a) || is_crossing(b)))
        return false;
    for (int k = 0; k < 2; k++) {
        snprintf(name[k], sizeof name[k], "%s", text[k]);
        char *end = strstr(name[k], suffix);
        if (end && end[sizeof suffix - 1] == 0)
            *end = 0;
        char partner[80];
        snprintf(partner, sizeof partner, "%.64s%s", name[k], suffix);
        paired |= mhc_row_find(&mhc_cpu64, name[k]) && mhc_row_find(&mhc_cpu64, partner);
    }
    return paired ? !strcmp(name[0], name[1]) : same_kind(a, b);
}

/* The arrows of Table 2 and what a machine attains: nothing is trained through them. Crossings: see above. The loss
 * itself brings its gradient along: test_training.c. */
static bool has_no_loss(const struct mhc_row *row) {
    return is_crossing(row->name) || same_kind(row->name, "micro.") || same_kind(row->name, "bench.") ||
           same_kind(row->name, "adamw.") || same_kind(row->name, "cross-entropy.") ||
           same_kind(row->name, "gradient.");
}

static bool is_backward(const struct mhc_row *row) {
    return strstr(row->name, "backward") != NULL;
}

/* What enters the loss: <grad_O, O> for every forward output O whose grad_O a backward row is given. */
static double loss(const char *group, const struct mhc_case *c, const struct arrays *inputs, double *magnitude) {
    struct arrays d = copy_of(inputs);
    struct save save = {0};
    double sum = 0;
    *magnitude = 0;
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++) {
        if (!same_loss((*row)->name, group) || is_backward(*row))
            continue;
        run_row(*row, c, &d, 11, &save);
        for (const struct mhc_arg *arg = (*row)->args; arg->name; arg++) {
            char grad_name[64];
            snprintf(grad_name, sizeof grad_name, "grad_%s", arg->name);
            const double *grad = arg->direction == MHC_OUT ? arrays_get(&d, grad_name) : NULL;
            for (int64_t k = 0; grad && k < mhc_elements(c, arg); k++) {
                sum += grad[k] * arrays_get(&d, arg->name)[k];
                *magnitude += fabs(grad[k] * arrays_get(&d, arg->name)[k]);
            }
        }
    }
    free(save.bytes);
    arrays_clear(&d);
    return sum;
}

/* Draws every input of the group, incoming gradients included, that no forward row computes. */
static void draw_inputs(const char *group, const struct mhc_case *c, struct arrays *d) {
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        for (const struct mhc_arg *arg = (*row)->args; same_loss((*row)->name, group) && arg->name; arg++) {
            bool computed = false;
            for (const struct mhc_row *const *other = mhc_cpu64.rows; *other; other++)
                for (const struct mhc_arg *out = (*other)->args; same_loss((*other)->name, group) && out->name; out++)
                    computed |= out->direction == MHC_OUT && !strcmp(out->name, arg->name);
            if (!computed && !arrays_get(d, arg->name))
                draw(c, arg, 13, put(d, arg->name, mhc_elements(c, arg)));
        }
}

/* The slope of the loss along a random direction of one input, 4th-order central differences, against <grad,
 * direction>. */
static void check_slope(const char *group, const struct mhc_case *c, const struct arrays *inputs,
                        const struct mhc_arg *grad, const double *analytic) {
    const char *name = grad->name + strlen("grad_");
    int64_t count = mhc_elements(c, grad);
    double *input = arrays_get(inputs, name), *kept = malloc((size_t)count * sizeof *kept + 1);
    double value[5], magnitude = 0, slope = 0, size = 0;
    const double h = 2e-4;
    cr_assert(input, "%s: there is no input %s to go with %s", group, name, grad->name);
    memcpy(kept, input, (size_t)count * sizeof *kept);
    for (int step = -2; step <= 2; step++) {
        for (int64_t k = 0; k < count; k++)
            input[k] = kept[k] + step * h * mhc_normal(17, mhc_what(name), 0, (uint64_t)k);
        value[step + 2] = step ? loss(group, c, inputs, &magnitude) : 0;
    }
    memcpy(input, kept, (size_t)count * sizeof *kept);
    for (int64_t k = 0; k < count; k++) {
        double term = analytic[k] * mhc_normal(17, mhc_what(name), 0, (uint64_t)k);
        slope += term;
        size += fabs(term);
    }
    double numeric = (8 * (value[3] - value[1]) - (value[4] - value[0])) / (12 * h);
    double error = fabs(numeric - slope), tolerance = 1e-8 * size + 1e-11 * magnitude;
    cr_assert(error <= tolerance,
              "%s T=%lld n=%lld C=%lld t_max=%lld %s: %s: slope %.15g, differences %.15g, error %.3g > %.3g", group,
              (long long)c->T, (long long)c->n, (long long)c->C, (long long)c->t_max,
              c->convention == MHC_V4 ? "v4" : "paper", grad->name, slope, numeric, error, tolerance);
    free(kept);
}

static int check_gradients(const char *group, const struct mhc_case *c) {
    struct arrays inputs = {0};
    struct save save = {0};
    int checked = 0;
    draw_inputs(group, c, &inputs);
    struct arrays d = copy_of(&inputs);
    for (int pass = 0; pass < 2; pass++)
        for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
            if (same_loss((*row)->name, group) && is_backward(*row) == pass)
                run_row(*row, c, &d, 11, &save);
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++)
        for (const struct mhc_arg *arg = (*row)->args; same_loss((*row)->name, group) && is_backward(*row) && arg->name;
             arg++)
            if (arg->direction == MHC_OUT && mhc_elements(c, arg)) {
                check_slope(group, c, &inputs, arg, arrays_get(&d, arg->name));
                checked++;
            }
    free(save.bytes);
    arrays_clear(&d);
    arrays_clear(&inputs);
    return checked;
}

Test(operations, gradients_match_finite_differences, .timeout = 1800) {
    const char *why;
    for (const struct mhc_row *const *row = mhc_cpu64.rows; *row; row++) {
        bool seen = false, has_backward = false;
        for (const struct mhc_row *const *other = mhc_cpu64.rows; *other; other++) {
            seen |= other < row && same_loss((*other)->name, (*row)->name);
            has_backward |= same_loss((*other)->name, (*row)->name) && is_backward(*other);
        }
        if (seen || has_no_loss(*row))
            continue;
        cr_assert(has_backward, "%s has no backward", (*row)->name);
        int checked = 0;
        for (int k = 0; k < CASES; k++) {
            struct mhc_case c = case_of(k, &mhc_cpu64);
            if ((*row)->supports(&c, &why) && !(c.T == 1 && c.C == 1))
                checked += check_gradients((*row)->name, &c);
        }
        cr_assert(checked > 0, "%s: no gradient was checked", (*row)->name);
    }
}

/* --- the arrows of Table 2 against the operations they are parts of --- */

static void expect_same(const char *kind, const char *name, const struct arrays *whole, const struct arrays *parts,
                        int64_t count, double tolerance) {
    const double *want = arrays_get(whole, name);
    check_close(arrays_get(parts, name), want, count, tolerance * array_largest(want, count), kind, name);
}

Test(operations, arrows_make_up_the_connections) {
    static const char *const kinds[] = {"mhc", "hc"};
    const char *why;
    for (int k = 0; k < 2 * CASES; k++) {
        struct mhc_case c = case_of(k / 2, &mhc_cpu64);
        const char *kind = kinds[k % 2];
        char name[64];
        struct arrays whole = {0}, parts = {0};
        struct save save = {0};
        snprintf(name, sizeof name, "%s.pre", kind);
        if (!mhc_row_find(&mhc_cpu64, name)->supports(&c, &why))
            continue;
        run_named(&mhc_cpu64, name, &c, &whole, &save);
        snprintf(name, sizeof name, "%s.post", kind);
        run_named(&mhc_cpu64, name, &c, &whole, &save);
        snprintf(name, sizeof name, "micro.coefficients_%s", kind);
        run_named(&mhc_cpu64, name, &c, &parts, &save);
        run_named(&mhc_cpu64, "micro.apply_pre", &c, &parts, &save);
        run_named(&mhc_cpu64, "micro.apply_post", &c, &parts, &save);
        run_named(&mhc_cpu64, "micro.apply_res", &c, &parts, &save);
        run_named(&mhc_cpu64, "micro.merge", &c, &parts, &save);
        for (int a = 0; a < 3; a++)
            expect_same(kind, (const char *const[]){"pre", "post", "res"}[a], &whole, &parts,
                        c.T * c.n * (a < 2 ? 1 : c.n), 0);
        expect_same(kind, "u", &whole, &parts, c.T * c.C, 1e-14);
        expect_same(kind, "x_next", &whole, &parts, c.T * c.n * c.C, 1e-14);
        free(save.bytes);
        arrays_clear(&whole);
        arrays_clear(&parts);
    }
}
