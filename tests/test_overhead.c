/* Study `overhead`: the training step against the reference's own blocks, layer by layer; what a program says of itself against the
 * paper's formulas; then the command, with times from a device whose clock is a counter. */
#include "tests/check.h"

#include "suites/step.h"

TestSuite(overhead, .timeout = 300);

static const struct backend cpu64 = {.library = &mhc_cpu64}, cpu32 = {.library = &mhc_cpu32};

static struct step_spec spec_of(const struct backend *b, int64_t layers, int64_t recompute) {
    struct step_spec spec = {.backend = b, .layers = layers, .recompute = recompute, .attention = true, .lanes = 1};
    spec.c = (struct mhc_case){.T = 12, .S = 6, .n = 4, .C = 10, .hidden = 14, .heads = 2, .head_dim = 6, .t_max = 7,
                               .rms_eps = 1e-6, .activation = MHC_SWIGLU};
    backend_types(b, -1, &spec.c);
    return spec;
}

/* An array of a step as float64. */
static double *values_of(const struct step *s, const char *name, int64_t layer, int64_t *count) {
    for (int64_t k = 0; k < s->arrays.count; k++) {
        const struct step_array *a = &s->arrays.array[k];
        if (a->layer != layer || strcmp(a->name, name))
            continue;
        double *values = malloc((size_t)(a->count + 1) * sizeof *values);
        cr_assert(values && backend_download(s->all->spec.backend, values, step_pointer(s, k, 0, 0), a->count, a->type));
        *count = a->count;
        return values;
    }
    cr_assert_fail("%s has no array %s of layer %lld", step_variant_name[s->variant], name, (long long)layer);
    return NULL;
}

static void expect_array(const struct step *s, const char *name, int64_t layer, const double *want, int64_t elements, double tolerance) {
    int64_t count;
    char what[80];
    double *got = values_of(s, name, layer, &count);
    snprintf(what, sizeof what, "%s layer %lld", step_variant_name[s->variant], (long long)layer);
    cr_assert(want && count == elements, "%s: %s has %lld elements, not %lld", what, name, (long long)count, (long long)elements);
    check_close(got, want, count, tolerance * (largest_of(want, count) + 1e-3), what, name);
    free(got);
}

/* The variants as the reference has them: connection and branch of a layer as one row each. */
static const struct {
    const char *kind, *family;
} kinds[STEP_VARIANTS] = {{"resnet", "residual"}, {"hc", "hc"}, {"mhc", "mhc"}, {"mhc", "mhc"}, {"mhc", "mhc"}, {"identity", "identity"}};

/* Parameters of a layer's rows, from the step. */
static void take_parameters(struct dictionary *d, const struct step *s, const struct mhc_row *row, const struct mhc_case *c, int64_t l,
                            const char *family) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        char name[48];
        int64_t count;
        if (arg->role != MHC_PARAM || arg->direction != MHC_IN || !mhc_elements(c, arg))
            continue;
        snprintf(name, sizeof name, "%s%s%s", family, *family ? "." : "", arg->name);
        double *values = values_of(s, name, l, &count);
        cr_assert(count == mhc_elements(c, arg));
        memcpy(put(d, arg->name, count), values, (size_t)count * sizeof *values);
        free(values);
    }
}

static void move(struct dictionary *to, const char *name, const struct dictionary *from, const char *as, int64_t count) {
    memcpy(put(to, name, count), lookup(from, as), (size_t)count * sizeof(double));
}

static void expect_gradients(const struct dictionary *d, const struct step *s, const struct mhc_row *row, const struct mhc_case *c,
                             int64_t l, const char *family, double tolerance) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        char name[48];
        snprintf(name, sizeof name, "%s%s%s", family, *family ? "." : "", arg->name);
        if (arg->role == MHC_PARAM && arg->direction == MHC_OUT && mhc_elements(c, arg))
            expect_array(s, name, l, lookup(d, arg->name), mhc_elements(c, arg), tolerance);
    }
}

/* Runs the step, and the reference's rows on the same numbers; all that a step makes must be the same. */
static void expect_step(const struct step *s, double tolerance) {
    enum { LAYERS = 8 };
    const struct step_spec *spec = &s->all->spec;
    const char *kind = kinds[s->variant].kind, *family = kinds[s->variant].family, *ends = s->variant ? "" : "_residual";
    struct mhc_case c = spec->c;
    struct dictionary d[LAYERS + 1] = {{.count = 0}};
    void *save[LAYERS] = {NULL}, *branch_save[LAYERS] = {NULL};
    char name[64];
    int64_t L = spec->layers, edge;
    cr_assert(L <= LAYERS && !step_run(s, 0, 0, NULL));
    c.stream = c.coef = c.param = MHC_F64;
    c.n = s->variant == STEP_RESIDUAL ? 1 : c.n;
    snprintf(name, sizeof name, "x0%s", ends);
    double *x0 = values_of(s, name, -1, &edge);
    memcpy(put(&d[0], "x", edge), x0, (size_t)edge * sizeof *x0);
    free(x0);
    for (int64_t l = 0; l < L; l++) {
        const char *branch = l % 2 ? "mlp" : "attention", *const rows[3] = {"pre", "forward", "post"};
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s.%s", k == 1 ? branch : kind, rows[k]);
            take_parameters(&d[l], s, find_row(&mhc_cpu64, name), &c, l, k == 1 ? "" : family);
            run_named(&mhc_cpu64, name, &c, &d[l], k == 1 ? &branch_save[l] : &save[l]);
        }
        move(&d[l + 1], "x", &d[l], "x_next", edge);
    }
    expect_array(s, "x", L, lookup(&d[L], "x"), edge, tolerance);
    snprintf(name, sizeof name, "grad_out%s", ends);
    double *grad_out = values_of(s, name, -1, &edge);
    memcpy(put(&d[L], "grad_x", edge), grad_out, (size_t)edge * sizeof *grad_out);
    free(grad_out);
    for (int64_t l = L; l-- > 0;) {
        const char *branch = l % 2 ? "mlp" : "attention", *const rows[3] = {"post_backward_y", "backward", "backward"};
        move(&d[l], "grad_x_next", &d[l + 1], "grad_x", edge);
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s.%s", k == 1 ? branch : kind, rows[k]);
            run_named(&mhc_cpu64, name, &c, &d[l], k == 1 ? &branch_save[l] : &save[l]);
            expect_gradients(&d[l], s, find_row(&mhc_cpu64, name), &c, l, k == 1 ? "" : family, tolerance);
        }
        free(save[l]);
        free(branch_save[l]);
    }
    expect_array(s, "grad_x", 0, lookup(&d[0], "grad_x"), edge, tolerance);
    for (int64_t l = 0; l <= L; l++)
        forget(&d[l]);
}

Test(overhead, step_is_the_stack_of_reference_blocks) {
    for (int64_t recompute = 0; recompute <= 5; recompute++)
        for (int wide = 0; wide < 2; wide++) {
            struct steps all;
            struct step_spec spec = spec_of(wide ? &cpu64 : &cpu32, 5, recompute);
            spec.c.activation = recompute % 2 ? MHC_GELU : MHC_SWIGLU;
            cr_assert(!steps_plan(&all, &spec) && !steps_open(&all, 1, 3));
            for (int v = 0; v < STEP_VARIANTS; v++) {
                cr_expect(!all.step[v].missing[0] == (v != STEP_MHC_LAYERS), "%s: %s", step_variant_name[v], all.step[v].missing);
                if (!all.step[v].missing[0])
                    expect_step(&all.step[v], wide ? 1e-10 : 2e-4);
            }
            cr_expect_str_eq(all.step[STEP_MHC_LAYERS].missing, "mhc.post_pre: the backend has no such operation");
            steps_release(&all);
        }
}

#include "suites/step_check.h"

Test(overhead, check_against_cpu64) {
    struct step_accuracy a[STEP_VARIANTS];
    struct step_spec spec = spec_of(&cpu32, 6, 2);
    const char *why = step_check(&spec, 1, a);
    cr_expect(!why, "%s", why);
    for (int v = 0; v < STEP_VARIANTS; v++) printf("%s %g %g\n", step_variant_name[v], a[v].error, a[v].tolerance);
    struct backend emu; char w[200];
    cr_assert(backend_open(&emu, "build/libmhc_emu.so", w, sizeof w), "%s", w);
    spec.backend=&emu; spec.attention=false; spec.c.head_dim=64; spec.c.C=128; spec.c.hidden=192; for (int t=MHC_F32;t<=MHC_BF16;t++){
    backend_types(&emu, t, &spec.c);
    why = step_check(&spec, 1, a);
    cr_expect(!why, "%s", why);
    for (int v = 0; v < STEP_VARIANTS; v++) printf("%s %g %g\n", step_variant_name[v], a[v].error, a[v].tolerance);
    }
}
