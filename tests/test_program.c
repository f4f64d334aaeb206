/* A program of any options is the same program: where arrays lie and which side keeps the weights changes no bit of
 * it. */
#include "tests/check.h"

#include <omp.h>

#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"

TestSuite(program, .timeout = 1800);

static const struct backend cpu64 = {.library = &mhc_cpu64};

/* What comes out of a run: out, grad_x0 and every gradient, in the order in which they come. */
struct trail {
    const struct params *p;
    double *values, x0_scale;
    int64_t count, room, asked;
};

static const char *give(void *user, const struct program_array *a, double *values) {
    struct trail *t = user;
    t->asked++;
    if (a->layer >= 0)
        ensemble_parameter(t->p, a->layer, a->argument, a->count, values);
    for (int64_t k = 0; k < a->count && a->layer < 0; k++)
        values[k] = !strncmp(a->name, "adamw.", 6) ? 0.5 /* a norm, and rates and decays that a step can have */
                                                   : t->x0_scale * mhc_normal(3, mhc_what(a->argument), 0, (uint64_t)k);
    return NULL;
}

static const char *take(void *user, const struct program *p, const struct program_call *call) {
    struct trail *t = user;
    for (const struct mhc_arg *arg = call->row->args; arg->name; arg++) {
        int64_t count = mhc_elements(&call->c, arg);
        bool end = !strcmp(arg->name, "out") || !strcmp(arg->name, "grad_x0"), gradient = arg->role == MHC_PARAM;
        if (arg->direction != MHC_OUT || !(end || gradient))
            continue;
        if (t->count + count > t->room)
            t->values = realloc(t->values, (size_t)(t->room = 2 * (t->count + count)) * sizeof *t->values);
        memcpy(t->values + t->count, program_argument(p, call, arg->name), (size_t)count * sizeof *t->values);
        t->count += count;
    }
    return NULL;
}

static struct params small(void) {
    struct params p;
    params_defaults(&p);
    omp_set_num_threads(1); /* arrays of a few dozen numbers */
    p.streams = 4, p.width = 8, p.tokens = 6, p.sequence = 3, p.heads = 2, p.head_dim = 4, p.hidden = 5, p.t_max = 4;
    p.alpha = 0.4, p.init = INIT_DIAGONAL, p.depth = 5, p.rms_eps = 1e-6;
    return p;
}

static struct program_spec spec_of(const struct params *p, const char *connection, enum program_form form,
                                   const char *branch) {
    struct program_spec spec = ensemble_stack(p, &cpu64);
    spec.connection = connection;
    spec.form = form;
    spec.branch = branch;
    spec.attention = true;
    return spec;
}

static struct trail run(const struct params *p, const struct program_spec *spec, double *bytes) {
    struct trail t = {.p = p, .x0_scale = 1};
    struct program program;
    const struct program_owner owner = {&t, give, take};
    const char *why = program_open(&program, spec, &owner);
    why = why ? why : program_execute(&program, &owner);
    cr_assert(!why, "%s, form %d, %s: %s", spec->connection, spec->form, spec->branch ? spec->branch : "parts", why);
    *bytes = program.memory->set_bytes;
    program_close(&program);
    return t;
}

Test(program, memory_and_weights_change_no_bit) {
    static const struct {
        const char *connection;
        enum program_form form;
    } way[] = {{"residual", PROGRAM_FUSED}, {"hc", PROGRAM_FUSED},       {"hc", PROGRAM_ACROSS},
               {"hc", PROGRAM_UNFUSED},     {"mhc", PROGRAM_FUSED},      {"mhc", PROGRAM_ACROSS},
               {"mhc", PROGRAM_UNFUSED},    {"identity", PROGRAM_FUSED}, {"identity", PROGRAM_ACROSS},
               {"hc-static", PROGRAM_FUSED}};
    static const char *const branches[] = {NULL, "linear", "attention"};
    const struct params p = small();
    for (size_t w = 0; w < sizeof way / sizeof *way; w++)
        for (int b = 0; b < (way[w].connection[0] == 'r' ? 1 : 3); b++) {
            struct program_spec spec = spec_of(&p, way[w].connection, way[w].form, branches[b]);
            double apart, bytes;
            spec.share = false;
            spec.adamw = b != 2;
            struct trail want = run(&p, &spec, &apart);
            cr_assert(want.count > 0 && array_largest(want.values, want.count) > 0);
            for (int mode = 1; mode < 16; mode++) {
                spec.share = mode & 1;
                spec.regenerate = mode & 2;
                spec.recompute = mode / 4;
                struct trail got = run(&p, &spec, &bytes);
                cr_expect(got.count == want.count &&
                              !memcmp(got.values, want.values, (size_t)want.count * sizeof(double)),
                          "%s, form %d, %s: share %d, regenerate %d, L_r %lld", spec.connection, spec.form,
                          branches[b] ? branches[b] : "parts", spec.share, spec.regenerate, (long long)spec.recompute);
                cr_expect(spec.share ? bytes < apart : true, "%.0f bytes shared, %.0f apart", bytes, apart);
                cr_expect(spec.regenerate ? got.asked > want.asked : got.asked == want.asked);
                free(got.values);
            }
            free(want.values);
        }
}

/* Forward alone leaves the same `out`, in the memory of a layer or two. */
Test(program, forward_alone_keeps_nothing) {
    struct params p = small();
    double bytes[2], both;
    for (int deep = 0; deep < 2; deep++) {
        p.depth = deep ? 40 : 4;
        struct program_spec spec = spec_of(&p, "mhc", PROGRAM_FUSED, "mlp");
        struct trail want = run(&p, &spec, &both);
        spec.backward = false;
        spec.regenerate = true;
        struct trail got = run(&p, &spec, &bytes[deep]);
        cr_expect(got.count == p.tokens * p.width && !memcmp(got.values, want.values, (size_t)got.count * 8));
        cr_expect(bytes[deep] < both);
        free(want.values);
        free(got.values);
    }
    cr_expect(bytes[0] == bytes[1], "%.0f bytes for 4 layers, %.0f for 40", bytes[0], bytes[1]);
}

/* What is given is asked for again at every run; a second run on other inputs is as a first one on those. */
Test(program, runs_again_on_what_it_is_given) {
    const struct params p = small();
    const struct program_spec spec = spec_of(&p, "mhc", PROGRAM_FUSED, NULL);
    struct trail t = {.p = &p, .x0_scale = 1}, fresh = {.p = &p, .x0_scale = 0.5};
    struct program program, other;
    const struct program_owner owner = {&t, give, take}, owner_of_fresh = {&fresh, give, take};
    cr_assert(!program_open(&program, &spec, &owner) && !program_execute(&program, &owner));
    int64_t first = t.count;
    t.x0_scale = 0.5;
    cr_assert(!program_execute(&program, &owner));
    cr_assert(!program_open(&other, &spec, &owner_of_fresh) && !program_execute(&other, &owner_of_fresh));
    cr_expect(t.count == 2 * first && fresh.count == first);
    cr_expect(!memcmp(t.values + first, fresh.values, (size_t)first * sizeof(double)));
    cr_expect(memcmp(t.values, fresh.values, (size_t)first * sizeof(double)));
    program_close(&program);
    program_close(&other);
    free(t.values);
    free(fresh.values);
}
