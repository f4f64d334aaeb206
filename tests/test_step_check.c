/* The check of a training step: what it finds, and that it holds in stacks of any depth. */
#include "tests/check.h"

#include <limits.h>

#include "suites/stack/execute.h"
#include "suites/stack/result.h"
#include "suites/stack/step_check.h"

TestSuite(step_check, .timeout = 1800);

static const struct backend cpu32 = {.library = &mhc_cpu32};

static struct program_spec spec_of(const struct backend *b, int64_t layers) {
    struct program_spec spec = {.backend = b, .layers = layers, .attention = true, .backward = true};
    spec.c = (struct mhc_case){.T = 6,
                               .S = 3,
                               .n = 4,
                               .C = 10,
                               .hidden = 14,
                               .heads = 2,
                               .head_dim = 6,
                               .t_max = 3,
                               .rms_eps = 1e-6,
                               .activation = MHC_SWIGLU};
    backend_types(b, -1, &spec.c);
    return spec;
}

/* A library with one row that makes one of its arrays a little too large. */
static struct planted {
    struct backend b;
    struct mhc_library library;
    const struct mhc_row *rows[256], *inner;
    struct mhc_row row;
    int output, side;
    double factor;
} planted;

/* Arrays that lie side by side in one argument, and elements of one of them in a row. */
static int64_t sides_of(const struct mhc_case *c, const struct mhc_arg *arg, int64_t *inner) {
    bool beside = strlen(arg->extents) == 3 && mhc_is_beside(arg->extents[1]);
    *inner = beside ? mhc_extent(c, arg->extents[2]) : mhc_elements(c, arg);
    return beside ? mhc_extent(c, arg->extents[1]) : 1;
}

static int run_planted(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save,
                       void *work) {
    int failed = planted.inner->run(context, queue, c, arg, save, work);
    const struct mhc_arg *out = &planted.row.args[planted.output];
    int64_t count = mhc_elements(c, out), inner, sides = sides_of(c, out, &inner);
    double *values = malloc((size_t)(count + 1) * sizeof *values);
    if (!failed && planted.b.library->queues)
        failed = planted.b.library->queues->synchronize(context, queue);
    failed |= !values || !backend_download(&planted.b, values, arg[planted.output], count, mhc_arg_type(c, out));
    for (int64_t k = 0; k < count && !failed; k++)
        values[k] *= k / inner % sides == planted.side ? planted.factor : 1;
    failed |= !backend_upload(&planted.b, arg[planted.output], values, count, mhc_arg_type(c, out));
    free(values);
    return failed;
}

static const struct backend *plant(const struct backend *b, const struct mhc_row *row, int output, int side,
                                   double factor) {
    int count = 0;
    planted = (struct planted){
        .b = *b, .library = *b->library, .inner = row, .row = *row, .output = output, .side = side, .factor = factor};
    planted.row.run = run_planted;
    for (; b->library->rows[count]; count++) {
        cr_assert(count < 255);
        planted.rows[count] = b->library->rows[count] == row ? &planted.row : b->library->rows[count];
    }
    planted.library.rows = planted.rows;
    planted.b.library = &planted.library;
    return &planted.b;
}

/* Every array that a row of a step writes, those that lie side by side one by one, 5 % too large, is found, and the
 * message names it. */
static int expect_plants_found(struct program_spec spec) {
    enum { MOST = 128 };
    const struct backend *b = spec.backend;
    struct step_accuracy a[STEP_VARIANTS];
    struct steps all;
    const struct mhc_row *row[MOST];
    struct mhc_case c[MOST];
    int rows = 0, plants = 0;
    const char *why = step_check(&spec, STEP_EVERY, 2, a);
    cr_assert(!why, "without a plant: %s", why);
    cr_assert(!steps_plan(&all, &spec, STEP_EVERY));
    for (int v = 0; v < STEP_VARIANTS; v++)
        for (int64_t k = 0; k < all.step[v].calls; k++) {
            const struct program_call *call = &all.step[v].call[k];
            int seen = 0;
            while (seen < rows && (row[seen] != call->row || c[seen].map != call->c.map))
                seen++;
            if (seen < rows || all.step[v].missing[0])
                continue;
            cr_assert(rows < MOST);
            c[rows] = call->c;
            row[rows++] = call->row;
        }
    steps_release(&all);
    for (int k = 0; k < rows; k++)
        for (int o = 0; row[k]->args[o].name; o++) {
            if (row[k]->args[o].direction != MHC_OUT || !mhc_elements(&c[k], &row[k]->args[o]))
                continue;
            int64_t inner, sides = sides_of(&c[k], &row[k]->args[o], &inner);
            for (int side = 0; side < sides; side++, plants++) {
                spec.backend = plant(b, row[k], o, side, 1.05);
                why = step_check(&spec, STEP_EVERY, 2, a);
                cr_expect(why && strstr(why, row[k]->name), "5 %% in %s, %d, of %s: %s", row[k]->args[o].name, side,
                          row[k]->name, why);
            }
        }
    return plants;
}

Test(step_check, finds_five_percent_anywhere) {
    struct program_spec spec = spec_of(&cpu32, 3);
    spec.adamw = true;
    cr_expect(expect_plants_found(spec) > 70);
}

Test(step_check, finds_five_percent_in_bf16) {
    struct backend emu;
    const char *build = getenv("BUILD");
    char path[PATH_MAX], why_not[200];
    snprintf(path, sizeof path, "%s/libmhc_emu.so", build ? build : "build");
    cr_assert(backend_open(&emu, path, why_not, sizeof why_not), "%s", why_not);
    struct program_spec spec = spec_of(&emu, 2);
    spec.c.T = 3, spec.c.S = 0;
    spec.attention = false; /* its core, slow here, allows itself 4 %; the reference's above has it */
    spec.c.C = 32;
    spec.c.head_dim = 16;
    spec.c.hidden = 32;
    backend_types(&emu, MHC_BF16, &spec.c);
    cr_expect(expect_plants_found(spec) > 60);
    backend_close(&emu);
}

/* ---- deep ---- */

static double largest_in(const struct program_result *r, const char *name) {
    double x[4096], most = 0;
    const struct backend host = {.library = &(const struct mhc_library){0}};
    for (int64_t k = 0; k < r->outputs; k++) {
        const struct program_output *o = &r->output[k];
        if (strcmp(o->name, name))
            continue;
        cr_assert(o->count <= 4096 && backend_download(&host, x, o->bytes, o->count, o->type));
        most = fmax(most, array_largest(x, o->count));
    }
    return most;
}

/* 512 layers: every gradient is finite, streams have grown like a sum and not like a product; two ways of mHC agree,
 * and no longer where one is wrong. */
Test(step_check, steps_stay_bounded_in_512_layers) {
    struct program_spec spec = spec_of(&cpu32, 512);
    spec.c.T = 4, spec.c.S = 0, spec.c.C = spec.c.hidden = 8, spec.c.head_dim = 4;
    const struct mhc_row *post = mhc_row_find(&mhc_cpu32, "mhc.post");
    for (int wrong = 0; wrong < 2; wrong++) {
        struct steps all;
        struct program_result result[STEP_VARIANTS] = {{.outputs = 0}};
        char where[80];
        spec.backend = wrong ? plant(&cpu32, post, 4, 0, 1.05) : &cpu32;
        cr_assert(!strcmp(post->args[4].name, "x_next") && !steps_plan(&all, &spec, STEP_EVERY) &&
                  !steps_open(&all, 1, 1));
        for (int v = wrong ? STEP_MHC_UNFUSED : 0; v < (wrong ? STEP_MHC_LAYERS : STEP_VARIANTS); v++) {
            if (all.step[v].missing[0])
                continue;
            cr_assert(!program_execute(&all.step[v], NULL) &&
                      program_result_take(&result[v], &all.step[v], 0, 0, true));
            cr_expect(program_result_error(&result[v], &result[v], where, sizeof where) == 0, "%s: %s is not finite",
                      step_name(v), where);
            cr_expect(wrong || (largest_in(&result[v], "x") < 1e4 && largest_in(&result[v], "grad_x") < 1e8),
                      "%s: %g, %g", step_name(v), largest_in(&result[v], "x"), largest_in(&result[v], "grad_x"));
        }
        double error = program_result_error(&result[STEP_MHC], &result[STEP_MHC_UNFUSED], where, sizeof where);
        cr_expect((error <= program_tolerance(&all.step[STEP_MHC])) == !wrong, "%s: %g of %g", where, error,
                  program_tolerance(&all.step[STEP_MHC]));
        for (int v = 0; v < STEP_VARIANTS; v++)
            program_result_release(&result[v]);
        steps_release(&all);
    }
}
