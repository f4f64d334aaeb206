/* The training step of study overhead: against the reference's own blocks, layer by layer; what its program says of
 * itself against the paper's formulas. */
#include "tests/check.h"

#include <limits.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"
#include "suites/stack/step_check.h"

TestSuite(step, .timeout = 1800);

static const struct backend cpu64 = {.library = &mhc_cpu64}, cpu32 = {.library = &mhc_cpu32};

static struct program_spec spec_of(const struct backend *b, int64_t layers, int64_t recompute) {
    struct program_spec spec = {
        .backend = b, .layers = layers, .recompute = recompute, .attention = true, .backward = true};
    spec.c = (struct mhc_case){.T = 12,
                               .S = 6,
                               .n = 4,
                               .C = 10,
                               .hidden = 14,
                               .heads = 2,
                               .head_dim = 6,
                               .t_max = 7,
                               .map_order = 2,
                               .map_constant = 0.5,
                               .rms_eps = 1e-6,
                               .activation = MHC_SWIGLU};
    backend_types(b, -1, &spec.c);
    return spec;
}

/* An array of a step as float64. */
static double *values_of(const struct program *s, const char *name, int64_t layer, int64_t *count) {
    for (int64_t k = 0; k < s->arrays.count; k++) {
        const struct program_array *a = &s->arrays.array[k];
        if (a->layer != layer || strcmp(a->name, name))
            continue;
        double *values = malloc((size_t)(a->count + 1) * sizeof *values);
        cr_assert(values &&
                  backend_download(s->memory->backend, values, program_pointer(s, k, 0, 0), a->count, a->type));
        *count = a->count;
        return values;
    }
    cr_assert_fail("%s has no array %s of layer %lld", s->spec.name, name, (long long)layer);
    return NULL;
}

static void expect_array(const struct program *s, const char *name, int64_t layer, const double *want, int64_t elements,
                         double tolerance) {
    int64_t count;
    char what[80];
    double *got = values_of(s, name, layer, &count);
    snprintf(what, sizeof what, "%s layer %lld", s->spec.name, (long long)layer);
    cr_assert(want && count == elements, "%s: %s has %lld elements, not %lld", what, name, (long long)count,
              (long long)elements);
    check_close(got, want, count, tolerance * (array_largest(want, count) + 1e-3), what, name);
    free(got);
}

/* Where the step has a weight of a branch, or its gradient: with its neighbours side by side in one matrix. */
static const struct {
    const char *name, *joined;
    int at, matrices;
} joined[] = {{"w_q", "w_qkv", 0, 3},
              {"w_k", "w_qkv", 1, 3},
              {"w_v", "w_qkv", 2, 3},
              {"w_up", "w_in", 0, 2},
              {"w_gate", "w_in", 1, 2}};

/* A parameter of a branch, or its gradient, as an array of its own. */
static double *parameter_of(const struct program *s, const struct mhc_case *c, const struct mhc_arg *arg, int64_t l,
                            const char *family, int64_t *count) {
    const char *grad = strncmp(arg->name, "grad_", 5) ? "" : "grad_", *bare = arg->name + strlen(grad);
    char name[64];
    for (size_t k = 0; k < sizeof joined / sizeof *joined; k++) {
        if (strcmp(bare, joined[k].name))
            continue;
        int64_t matrices = joined[k].matrices == 2 && c->activation == MHC_GELU ? 1 : joined[k].matrices;
        int64_t columns = mhc_extent(c, arg->extents[1]), rows = mhc_elements(c, arg) / columns;
        snprintf(name, sizeof name, "%s%s", grad, joined[k].joined);
        double *all = values_of(s, name, l, count), *own = malloc((size_t)(rows * columns + 1) * sizeof *own);
        cr_assert(own && *count == rows * columns * matrices, "%s has %lld elements", name, (long long)*count);
        for (int64_t r = 0; r < rows; r++)
            memcpy(own + r * columns, all + (r * matrices + joined[k].at) * columns, (size_t)columns * sizeof *own);
        free(all);
        *count = rows * columns;
        return own;
    }
    snprintf(name, sizeof name, "%s%s%s", family, *family ? "." : "", arg->name);
    return values_of(s, name, l, count);
}

/* Parameters of a layer's rows, from the step. */
static void take_parameters(struct arrays *d, const struct program *s, const struct mhc_row *row,
                            const struct mhc_case *c, int64_t l, const char *family) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        int64_t count;
        if (arg->role != MHC_PARAM || arg->direction != MHC_IN || !mhc_elements(c, arg))
            continue;
        double *values = parameter_of(s, c, arg, l, family, &count);
        cr_assert(count == mhc_elements(c, arg));
        memcpy(put(d, arg->name, count), values, (size_t)count * sizeof *values);
        free(values);
    }
}

static void move(struct arrays *to, const char *name, const struct arrays *from, const char *as, int64_t count) {
    memcpy(put(to, name, count), arrays_get(from, as), (size_t)count * sizeof(double));
}

static void expect_gradients(const struct arrays *d, const struct program *s, const struct mhc_row *row,
                             const struct mhc_case *c, int64_t l, const char *family, double tolerance) {
    for (const struct mhc_arg *arg = row->args; arg->name; arg++) {
        int64_t count;
        char what[80];
        if (arg->role != MHC_PARAM || arg->direction != MHC_OUT || !mhc_elements(c, arg))
            continue;
        double *got = parameter_of(s, c, arg, l, family, &count), *want = arrays_get(d, arg->name);
        snprintf(what, sizeof what, "%s layer %lld", s->spec.name, (long long)l);
        cr_assert(want && count == mhc_elements(c, arg), "%s: %s has %lld elements", what, arg->name, (long long)count);
        check_close(got, want, count, tolerance * (array_largest(want, count) + 1e-3), what, arg->name);
        free(got);
    }
}

/* Runs the step, and the reference's rows, connection and branch of a layer as one row each, on the same numbers; all
 * that a step makes must be the same. */
static void expect_step(const struct program *s, int variant, double tolerance) {
    enum { LAYERS = 8 };
    const struct program_spec *spec = &s->spec;
    const struct connection *connection = step_way(variant).connection;
    const char *kind = connection->rows, *family = variant ? connection->name : "residual",
               *ends = connection_has_one_stream(connection) ? "_residual" : "";
    struct mhc_case c = spec->c;
    struct arrays d[LAYERS + 1] = {{.count = 0}};
    struct save save[LAYERS] = {0}, branch_save[LAYERS] = {0};
    char name[64];
    int64_t L = spec->layers, edge;
    cr_assert(L <= LAYERS && !program_execute(s, NULL));
    c.stream = c.coef = c.param = MHC_F64;
    c.n = connection_has_one_stream(connection) ? 1 : c.n;
    c.map = connection->map;
    snprintf(name, sizeof name, "x0%s", ends);
    double *x0 = values_of(s, name, -1, &edge);
    memcpy(put(&d[0], "x", edge), x0, (size_t)edge * sizeof *x0);
    free(x0);
    for (int64_t l = 0; l < L; l++) {
        const char *branch = l % 2 ? "mlp" : "attention", *const rows[3] = {"pre", "forward", "post"};
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s.%s", k == 1 ? branch : kind, rows[k]);
            take_parameters(&d[l], s, mhc_row_find(&mhc_cpu64, name), &c, l, k == 1 ? "" : family);
            run_named(&mhc_cpu64, name, &c, &d[l], k == 1 ? &branch_save[l] : &save[l]);
        }
        move(&d[l + 1], "x", &d[l], "x_next", edge);
    }
    expect_array(s, "x", L, arrays_get(&d[L], "x"), edge, tolerance);
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
            expect_gradients(&d[l], s, mhc_row_find(&mhc_cpu64, name), &c, l, k == 1 ? "" : family, tolerance);
        }
        free(save[l].bytes);
        free(branch_save[l].bytes);
    }
    expect_array(s, "grad_x", 0, arrays_get(&d[0], "grad_x"), edge, tolerance);
    for (int64_t l = 0; l <= L; l++)
        arrays_clear(&d[l]);
}

Test(step, is_the_stack_of_reference_blocks) {
    for (int64_t recompute = 0; recompute <= 5; recompute++)
        for (int wide = 0; wide < 2; wide++) {
            struct steps all;
            struct program_spec spec = spec_of(wide ? &cpu64 : &cpu32, 5, recompute);
            spec.c.activation = recompute % 2 ? MHC_GELU : MHC_SWIGLU;
            cr_assert(!steps_plan(&all, &spec, STEP_EVERY) && !steps_open(&all, 1, 3));
            for (int v = 0; v < STEP_VARIANTS; v++) {
                cr_expect(v == STEP_MHC_LAYERS || !all.step[v].missing[0], "%s: %s", step_name(v), all.step[v].missing);
                if (!all.step[v].missing[0])
                    expect_step(&all.step[v], v, wide ? 1e-10 : 2e-4);
            }
            steps_release(&all);
        }
}

/* Elements that a part of the program moves a token and layer, beyond parameters. */
static double elements(const struct program *s, enum step_part part, double parameters) {
    const struct program_spec *spec = &s->spec;
    return (program_bytes(s, part) / 4 / (double)spec->layers - parameters) / (double)spec->c.T;
}

/* Table 2 and section 4.3.1 of the paper, in elements per token and layer; parameters once per call. */
Test(step, traffic_and_calls_are_the_papers) {
    struct steps all;
    struct program_spec spec = spec_of(&cpu32, 6, 0);
    double C = 10, n = 4, K = n * n + 2 * n, phi = n * C * K + K + 3, theta = 2 * C + n * C + K + 3;
    cr_assert(!steps_plan(&all, &spec, STEP_EVERY));
    const struct program *residual = &all.step[STEP_RESIDUAL], *hc = &all.step[STEP_HC_UNFUSED],
                         *unfused = &all.step[STEP_MHC_UNFUSED], *mhc = &all.step[STEP_MHC],
                         *identity = &all.step[STEP_IDENTITY];
    /* residual: 3C for the add; fused with the norm and its r it is 4C + 1, and the last layer's add stands alone */
    cr_expect(fabs(program_bytes(residual, STEP_POST) / 4 / 12 - 3 * C) < 1e-9);
    cr_expect(fabs(program_bytes(residual, STEP_NORM_FORWARD) / 4 - 12 * ((2 * C + 1) + 5 * (4 * C + 1)) - 6 * C) <
              1e-9);
    /* unfused: (5n + 1)C + n^2 + 2n read, (3n + 1)C + n^2 + 2n written: 34C */
    const double all_arrows = (8 * n + 2) * C + 2 * K;
    cr_expect(fabs(elements(hc, STEP_PRE, theta) + elements(hc, STEP_POST, 0) - all_arrows) < 1e-9);
    cr_expect(fabs(elements(unfused, STEP_PRE, phi) + elements(unfused, STEP_POST, 0) - all_arrows) < 1e-9);
    /* fused: x read, u and coefficients written; x, y and coefficients read, x_next written: 14C */
    cr_expect(fabs(elements(mhc, STEP_PRE, phi) - ((n + 1) * C + K)) < 1e-9);
    cr_expect(fabs(elements(mhc, STEP_POST, 0) - ((2 * n + 1) * C + n + n * n)) < 1e-9);
    cr_expect(fabs(elements(identity, STEP_POST, 0) - ((2 * n + 1) * C + n)) < 1e-9);
    cr_expect(fabs(elements(mhc, STEP_POST_BACKWARD_Y, 0) - ((n + 1) * C + n)) < 1e-9);
    /* three layers of each kind: a product before and one behind the core, and the activation */
    for (int v = 0; v < STEP_VARIANTS; v++) {
        const struct program *s = &all.step[v];
        if (s->missing[0])
            continue;
        bool arrows = v == STEP_HC_UNFUSED || v == STEP_MHC_UNFUSED, streams = v != STEP_RESIDUAL;
        cr_expect(program_calls(s, STEP_GEMM_FORWARD) == 12 && program_calls(s, STEP_GEMM_BACKWARD_INPUT) == 12 &&
                  program_calls(s, STEP_GEMM_BACKWARD_WEIGHT) == 12 && program_calls(s, STEP_CORE_FORWARD) == 3 &&
                  program_calls(s, STEP_ACTIVATION_BACKWARD) == 3);
        cr_expect(program_calls(s, STEP_NORM_FORWARD) == 6 && program_calls(s, STEP_NORM_BACKWARD) == 6);
        bool across = v == STEP_MHC_LAYERS; /* one pre, one post_backward_y; the others are in the rows beside them */
        cr_expect(program_calls(s, STEP_PRE) == (arrows   ? 12
                                                 : across ? 1
                                                          : 6 * streams) &&
                  program_calls(s, STEP_POST) == (arrows    ? 18
                                                  : streams ? 6
                                                            : 1) &&
                  program_calls(s, STEP_POST_BACKWARD_Y) == (across ? 1 : 6 * streams) &&
                  program_calls(s, STEP_BACKWARD) == 6 * streams);
        /* across layers: x, y and coefficients read, x_next, u and coefficients written: 10C, 20C bytes in bf16 */
        double crossings = 5 * (12 * ((2 * n + 2) * C + n + n * n + K) + phi),
               last = 12 * ((2 * n + 1) * C + n + n * n);
        cr_expect(!across || fabs(program_bytes(s, STEP_POST) / 4 - crossings - last) < 1e-9);
    }
    steps_release(&all);
}

/* Each update has the state and the gradient of one parameter and the program's norm and numbers of the step, each
 * gradient one update, and nothing comes behind them. */
static void expect_updates(const struct program *s) {
    int64_t gradients = 0, updates = 0;
    for (int64_t k = 0; k < s->calls; k++) {
        const struct program_call *call = &s->call[k];
        bool update = !strncmp(call->row->name, "adamw.", 6);
        cr_expect(update || !updates, "%s behind an update", call->row->name);
        updates += update;
        for (int a = 0; call->row->args[a].name; a++) {
            const struct program_array *array = &s->arrays.array[call->argument[a]],
                                       *grad = &s->arrays.array[call->argument[update ? 3 : a]];
            char parameter[48], want[64];
            gradients += !update && array->parameter;
            if (!update || a == 3)
                continue;
            if (a == 4 || a == 5) {
                snprintf(want, sizeof want, "adamw.%s", a == 4 ? "norm" : "hyper");
                cr_expect(!strcmp(array->name, want) && array->layer == -1 && array->held, "%s", array->name);
                continue;
            }
            const char *at = strstr(grad->name, "grad_");
            cr_assert(at && !strcmp(call->row->args[3].name, "grad"));
            snprintf(parameter, sizeof parameter, "%.*s%s", (int)(at - grad->name), grad->name, at + 5);
            snprintf(want, sizeof want, "%s.%s", parameter, call->row->args[a].name);
            cr_expect(!strcmp(array->name, want) && array->layer == grad->layer && array->held == (a < 3) &&
                          array->count == grad->count,
                      "%s of layer %lld is %s of %lld", want, (long long)grad->layer, array->name,
                      (long long)array->layer);
        }
        for (int64_t other = 0; other < k && update; other++)
            cr_expect(strncmp(s->call[other].row->name, "adamw.", 6) ||
                      s->call[other].argument[3] != call->argument[3]);
    }
    cr_expect(gradients == updates && updates > 0, "%lld gradients, %lld updates", (long long)gradients,
              (long long)updates);
}

/* Every parameter is updated once, behind everything else: its gradient read, master and both moments read
 * and written; each call reads the norm and seven numbers of the step. */
Test(step, ends_with_the_optimizer) {
    struct steps all;
    struct program_spec spec = spec_of(&cpu32, 6, 2);
    double C = 10, n = 4, K = n * n + 2 * n, H = 14, A = 12, products = 3 * (4 * C * A + 3 * C * H), gains = 6 * C;
    spec.adamw = true;
    cr_assert(!steps_plan(&all, &spec, STEP_EVERY));
    const struct program *mhc = &all.step[STEP_MHC], *residual = &all.step[STEP_RESIDUAL];
    cr_expect(program_bytes(mhc, STEP_UPDATE) == 28 * (products + gains) + 64.0 * (3 * (2 + 2) + 6));
    cr_expect(program_bytes(mhc, STEP_OWN_UPDATE) == 28 * 6 * (n * C * K + K + 3) + 64.0 * 6 * 3);
    cr_expect(program_calls(residual, STEP_UPDATE) == 3 * (2 + 2) + 6 && program_calls(residual, STEP_OWN_UPDATE) == 0);
    cr_expect(program_bytes(residual, STEP_UPDATE) == program_bytes(mhc, STEP_UPDATE));
    expect_updates(residual);
    expect_updates(mhc);
    steps_release(&all);
}

/* Kept from forward to backward, a token, in elements. */
static double kept(int64_t recompute, enum step_variant variant) {
    struct steps all;
    struct program_spec spec = spec_of(&cpu64, 6, recompute);
    cr_assert(!steps_plan(&all, &spec, STEP_EVERY));
    double bytes = program_activation_bytes(&all.step[variant]);
    steps_release(&all);
    return bytes / 8 / 12;
}

Test(step, activations_are_the_papers) {
    double C = 10, n = 4, H = 14, A = 12, K = n * n + 2 * n;
    /* F's own: q, k, v, o and what the core keeps; up, gate, h. The residual keeps x but the first, v and r. */
    double F = kept(0, STEP_RESIDUAL) - (5 * C + 6 * C + 6);
    cr_expect(F >= 3 * 4 * A + 9 * H && F <= 3 * (4 * A + 2 * 2) + 9 * H, "F keeps %g elements per token", F);
    /* mHC, all kept: x but the first, y, u, v, r, coefficients and what its backward needs: z and r of its own */
    cr_expect(fabs(kept(0, STEP_MHC) - (F + 5 * n * C + 6 * C + 6 * (2 * C + 1 + K + K + 1))) < 1e-9, "%g",
              kept(0, STEP_MHC) - F);
    /* Table 3: x every L_r layers (the first is an input), y of every layer; the rest is computed again */
    for (int64_t every = 1; every <= 6; every++)
        cr_expect(fabs(kept(every, STEP_MHC) - (F + (double)((6 + every - 1) / every - 1) * n * C + 6 * C)) < 1e-9,
                  "L_r %lld: %g", (long long)every, kept(every, STEP_MHC) - F);
    cr_expect(kept(3, STEP_RESIDUAL) == kept(0, STEP_RESIDUAL));
}

Test(step, is_checked_against_cpu64) {
    struct step_accuracy a[STEP_VARIANTS];
    for (int64_t recompute = 0; recompute < 4; recompute++) {
        struct program_spec spec = spec_of(&cpu32, 6, recompute);
        spec.adamw = recompute % 2;
        const char *why = step_check(&spec, STEP_EVERY, 1, a);
        cr_expect(!why, "%s", why);
        for (int v = 0; v < STEP_VARIANTS; v++) /* no rounding is carried on: what is left is one row's */
            cr_expect(a[v].error > 0 && a[v].error < 3e-5 && a[v].tolerance == 1e-3, "%s: %g of %g", step_name(v),
                      a[v].error, a[v].tolerance);
    }
}

/* The kernels, on the CPU: rows that cpu64 has not, of single arrows and across layers, with blocks that are computed
 * again. */
Test(step, of_kernels_is_checked_against_cpu64) {
    struct backend emu;
    struct step_accuracy a[STEP_VARIANTS];
    const char *build = getenv("BUILD");
    char path[PATH_MAX], why_not[200];
    snprintf(path, sizeof path, "%s/libmhc_emu.so", build ? build : "build");
    cr_assert(backend_open(&emu, path, why_not, sizeof why_not), "%s", why_not);
    for (int64_t recompute = 0; recompute < 3; recompute += 2) {
        struct steps all;
        struct program_spec spec = spec_of(&emu, 5, recompute);
        spec.c.C = 128;
        spec.c.head_dim = 64;
        spec.c.hidden = 64;
        spec.adamw = recompute;
        backend_types(&emu, MHC_BF16, &spec.c);
        const char *why = step_check(&spec, STEP_EVERY, 1, a);
        cr_expect(!why, "%s", why);
        cr_assert(!steps_plan(&all, &spec, STEP_EVERY));
        const struct program *fused = &all.step[STEP_MHC], *across = &all.step[STEP_MHC_LAYERS];
        for (int v = 0; v < STEP_VARIANTS; v++)
            cr_expect(v == STEP_MHC_LAYERS || (!all.step[v].missing[0] && !all.step[v].note[0]), "%s: %s%s",
                      step_name(v), all.step[v].missing, all.step[v].note);
        if (spec.adamw) /* weights of products in bf16 besides; a gain is a float */
            cr_expect(program_bytes(fused, STEP_UPDATE) ==
                      30.0 * (3 * 4 * 128 * 64 * (double)spec.c.heads + 2 * 3 * 128 * 64) + 28.0 * 5 * 128 +
                          64.0 * (3 * 2 + 2 * 2 + 5));
        if (!across->missing[0]) { /* one row enters a layer, but for the first of each block; one leaves it */
            int64_t blocks = recompute ? 3 : 1, entered = recompute ? 10 : 5;
            cr_expect(program_calls(across, STEP_PRE) == (recompute ? 1 + blocks : 1) &&
                      program_calls(across, STEP_POST) == entered - program_calls(across, STEP_PRE) + 1 &&
                      program_calls(across, STEP_BACKWARD) == 5 &&
                      program_calls(across, STEP_POST_BACKWARD_Y) == blocks);
            cr_expect(program_bytes(across, STEP_PRE) + program_bytes(across, STEP_POST) <
                      program_bytes(fused, STEP_PRE) + program_bytes(fused, STEP_POST));
        }
        steps_release(&all);
    }
    backend_close(&emu);
}
