/* The deep stack: what it recomputes is what it would have kept, its gradient is the gradient, its memory is what it
 * says. */
#include <criterion/criterion.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_ref/library.h"
#include "cpu_ref/philox.h"
#include "suites/stack/ensemble.h"
#include "suites/stack/execute.h"

/* One stack: what it is made of, and all that comes out of it. */
struct trial {
    struct params p;
    struct backend backend;
    struct program_spec spec;
    double along_x, along_parameters; /* steps of the finite difference */
    double *out, *grad_x0;
    double *gradients; /* of all parameters, in the order they come */
    int64_t gradient_count, gradient_room;
    double derivative; /* <gradients, direction> */
    int layers_forward, layers_backward;
};

enum { WHAT_X = 1, WHAT_DX, WHAT_GRAD };

static double direction(const char *name, int64_t layer, int64_t k) {
    uint32_t what = 17;
    for (; *name; name++)
        what = what * 31 + (unsigned char)*name;
    return mhc_normal(8, what, (uint32_t)layer, (uint64_t)k);
}

static const char *give(void *user, const struct program_array *a, double *values) {
    const struct trial *t = user;
    bool x0 = !strcmp(a->argument, "x0"), grad_out = !strcmp(a->argument, "grad_out");
    if (!x0 && !grad_out)
        ensemble_parameter(&t->p, a->layer, a->argument, a->count, values);
    for (int64_t k = 0; k < a->count; k++)
        if (x0)
            values[k] = mhc_normal(2, WHAT_X, 0, (uint64_t)k) + t->along_x * mhc_normal(2, WHAT_DX, 0, (uint64_t)k);
        else if (grad_out)
            values[k] = mhc_normal(2, WHAT_GRAD, 0, (uint64_t)k);
        else if (t->along_parameters != 0)
            values[k] += t->along_parameters * direction(a->argument, a->layer, k);
    return NULL;
}

static void take_gradient(struct trial *t, int64_t layer, const char *name, int64_t count, const double *values) {
    if (t->gradient_count + count > t->gradient_room) {
        t->gradient_room = 2 * (t->gradient_count + count);
        t->gradients = realloc(t->gradients, (size_t)t->gradient_room * sizeof(double));
    }
    memcpy(t->gradients + t->gradient_count, values, (size_t)count * sizeof(double));
    t->gradient_count += count;
    for (int64_t k = 0; k < count; k++)
        t->derivative += values[k] * direction(name, layer, k);
}

/* Results of a call: out, grad_x0 and gradients of parameters. Layers come in order, forward and back. */
static const char *take(void *user, const struct program *stack, const struct program_call *call) {
    struct trial *t = user;
    if (call->part == STEP_PRE && !call->backward)
        cr_assert(program_argument(stack, call, "x") && call->layer == t->layers_forward++);
    if (call->part == STEP_BACKWARD)
        cr_assert(program_argument(stack, call, "grad_x") && call->layer == t->spec.layers - ++t->layers_backward);
    for (const struct mhc_arg *arg = call->row->args; arg->name; arg++) {
        int64_t count = mhc_elements(&t->spec.c, arg);
        bool out = !strcmp(arg->name, "out"), gradient = arg->role == MHC_PARAM && arg->direction == MHC_OUT && count;
        if (!out && !gradient && strcmp(arg->name, "grad_x0"))
            continue;
        double *own = gradient ? malloc((size_t)count * sizeof *own) : NULL, *to = own   ? own
                                                                                   : out ? t->out
                                                                                         : t->grad_x0;
        bool copied = backend_download(&t->backend, to, program_argument(stack, call, arg->name), count,
                                       mhc_arg_type(&t->spec.c, arg));
        if (copied && gradient)
            take_gradient(t, call->layer, arg->name + strlen("grad_"), count, own);
        free(own);
        if (!copied)
            return "a result cannot be copied from the device";
    }
    return NULL;
}

static void release(struct trial *t) {
    free(t->out);
    free(t->grad_x0);
    free(t->gradients);
    t->out = t->grad_x0 = t->gradients = NULL;
    t->gradient_count = t->gradient_room = t->layers_forward = t->layers_backward = 0;
    t->derivative = 0;
}

/* Runs the trial; NULL or why it failed. */
static const char *run(struct trial *t) {
    static char why[300];
    struct program stack;
    const struct program_owner owner = {t, give, take};
    size_t edge = (size_t)(t->spec.c.T * t->spec.c.C) * sizeof(double);
    release(t);
    t->spec.backend = &t->backend;
    t->out = malloc(edge);
    t->grad_x0 = malloc(edge);
    const char *failure = program_open(&stack, &t->spec, &owner);
    failure = failure ? failure : program_execute(&stack, &owner);
    if (failure)
        snprintf(why, sizeof why, "%s", failure);
    program_close(&stack);
    return failure ? why : NULL;
}

struct kind {
    const char *block, *branch;
    int32_t convention, activation;
};
static const struct kind kinds[] = {
    {"resnet", "linear", 0, 0},         {"hc", "linear", 0, 0},           {"hc-static", "linear", 0, 0},
    {"mhc", "linear", MHC_PAPER, 0},    {"mhc", "linear", MHC_V4, 0},     {"identity", "linear", MHC_PAPER, 0},
    {"resnet", "mlp", 0, MHC_GELU},     {"hc", "mlp", 0, MHC_SWIGLU},     {"mhc", "mlp", MHC_PAPER, MHC_GELU},
    {"mhc", "mlp", MHC_V4, MHC_SWIGLU}, {"resnet", "attention", 0, 0},    {"mhc", "attention", MHC_PAPER, 0},
    {"hc-static", "attention", 0, 0},   {"identity", "mlp", 0, MHC_GELU}, {"skip", "linear", 0, 0}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct trial make(const struct kind *kind, const char *backend, int64_t L) {
    char why[300];
    struct trial t = {0};
    params_defaults(&t.p);
    cr_assert(params_set(&t.p, params_find("block"), kind->block, why, sizeof why), "%s", why);
    t.p.streams = connection_has_one_stream(params_connection(&t.p)) ? 1 : 3;
    t.p.width = 8, t.p.tokens = 6, t.p.sequence = 3, t.p.heads = 2, t.p.head_dim = 3, t.p.hidden = 5, t.p.t_max = 4;
    t.p.d = 1, t.p.s = 0.5, t.p.w = 0.3, t.p.alpha = 0.4, t.p.rms_eps = 1e-6, t.p.init = INIT_LATENT;
    t.p.convention = kind->convention, t.p.activation = kind->activation;
    if (params_connection(&t.p)->generator == GENERATOR_MHC)
        t.p.init = INIT_DIAGONAL; /* latent saturates pre and post */
    cr_assert(backend_open(&t.backend, backend, why, sizeof why), "%s", why);
    omp_set_num_threads(1); /* arrays of a few dozen numbers */
    t.spec = (struct program_spec){.c = ensemble_case(&t.p),
                                   .connection = kind->block,
                                   .branch = kind->branch,
                                   .layers = L,
                                   .ends = true,
                                   .backward = true,
                                   .share = true};
    backend_types(&t.backend, -1, &t.spec.c);
    return t;
}

static void describe(const struct trial *t, char *text, size_t size) {
    snprintf(text, size, "%s, %s x %s, convention %d, activation %d, L %lld, L_r %lld, %s", t->backend.library->name,
             t->spec.connection, t->spec.branch, t->spec.c.convention, t->spec.c.activation, (long long)t->spec.layers,
             (long long)t->spec.recompute, t->spec.regenerate ? "regenerate" : "hold");
}

static void expect_same_bits(const struct trial *a, const struct trial *b) {
    char what[300];
    size_t edge = (size_t)(a->spec.c.T * a->spec.c.C) * sizeof(double);
    describe(b, what, sizeof what);
    cr_expect(!memcmp(a->out, b->out, edge), "%s: out differs", what);
    cr_expect(!memcmp(a->grad_x0, b->grad_x0, edge), "%s: grad_x0 differs", what);
    cr_expect(a->gradient_count == b->gradient_count &&
                  !memcmp(a->gradients, b->gradients, (size_t)a->gradient_count * sizeof(double)),
              "%s: parameter gradients differ (%lld and %lld of them)", what, (long long)a->gradient_count,
              (long long)b->gradient_count);
}

static void recompute_equals_keep(const char *backend) {
    enum { L = 7 };
    for (int k = 0; k < KINDS; k++) {
        struct trial keep = make(&kinds[k], backend, L), other = make(&kinds[k], backend, L);
        cr_assert_null(run(&keep), "%s", run(&keep));
        for (int64_t every = 0; every <= L + 1; every++)
            for (int hold = 0; hold < 2; hold++) {
                other.spec.recompute = every;
                other.spec.regenerate = !hold;
                const char *failure = run(&other);
                cr_assert(!failure, "%s", failure);
                expect_same_bits(&keep, &other);
                cr_expect(other.layers_forward == L && other.layers_backward == L);
            }
        other.spec.backward = false; /* forward alone: the same bits again */
        cr_assert_null(run(&other));
        cr_expect(!memcmp(keep.out, other.out, (size_t)(keep.spec.c.T * keep.spec.c.C) * sizeof(double)));
        release(&keep);
        release(&other);
    }
}

Test(stack, recompute_equals_keep_cpu64) {
    recompute_equals_keep("cpu64");
}
Test(stack, recompute_equals_keep_cpu32) {
    recompute_equals_keep("cpu32");
}

static double loss(struct trial *t, double along_x, double along_parameters) {
    double sum = 0;
    t->along_x = along_x;
    t->along_parameters = along_parameters;
    t->spec.backward = false;
    const char *failure = run(t);
    cr_assert(!failure, "%s", failure);
    for (int64_t k = 0; k < t->spec.c.T * t->spec.c.C; k++)
        sum += t->out[k] * mhc_normal(2, WHAT_GRAD, 0, (uint64_t)k);
    return sum;
}

/* Fourth-order central difference of <grad_out, out> along a direction. */
static double difference(struct trial *t, double x, double parameters) {
    const double h = 2e-4;
    return (8 * (loss(t, h * x, h * parameters) - loss(t, -h * x, -h * parameters)) -
            (loss(t, 2 * h * x, 2 * h * parameters) - loss(t, -2 * h * x, -2 * h * parameters))) /
           (12 * h);
}

Test(stack, gradient_is_the_derivative) {
    for (int k = 0; k < KINDS; k++) {
        struct trial t = make(&kinds[k], "cpu64", 5), moved = make(&kinds[k], "cpu64", 5);
        char what[300];
        const char *failure = run(&t);
        cr_assert(!failure, "%s", failure);
        describe(&t, what, sizeof what);
        double along_x = 0, size = 0;
        for (int64_t e = 0; e < t.spec.c.T * t.spec.c.C; e++) {
            double term = t.grad_x0[e] * mhc_normal(2, WHAT_DX, 0, (uint64_t)e);
            along_x += term;
            size += fabs(term);
        }
        double got = difference(&moved, 1, 0);
        cr_expect(!(fabs(got - along_x) > 1e-8 * size), "%s: along x0 %.12g, difference %.12g", what, along_x, got);
        got = difference(&moved, 0, 1);
        size = 0;
        for (int64_t e = 0; e < t.gradient_count; e++)
            size += fabs(t.gradients[e]);
        cr_expect(!(fabs(got - t.derivative) > 1e-8 * size), "%s: along the parameters %.12g, difference %.12g", what,
                  t.derivative, got);
        release(&t);
        release(&moved);
    }
}

Test(stack, one_layer_and_a_thousand) {
    for (int k = 0; k < KINDS; k++) {
        struct trial t = make(&kinds[k], "cpu64", 1);
        cr_assert_null(run(&t));
        cr_expect(t.layers_forward == 1 && t.layers_backward == 1);
        release(&t);
    }
    for (int k = 0; k < 6; k++) {
        struct trial keep = make(&kinds[k], "cpu32", 1000), other = make(&kinds[k], "cpu32", 1000);
        other.spec.recompute = program_recompute_rule(1000, keep.spec.c.n);
        other.spec.regenerate = true;
        cr_assert_null(run(&keep));
        cr_assert_null(run(&other));
        expect_same_bits(&keep, &other);
        release(&keep);
        release(&other);
    }
}

/* An identity: residual maps I, no branch to speak of: x comes out as n x0, the gradient goes back as it came. */
Test(stack, branchless_identity) {
    struct kind kind = {"identity", "linear", MHC_PAPER, 0};
    struct trial t = make(&kind, "cpu64", 50);
    t.p.branch_gain = 0;
    cr_assert_null(run(&t));
    for (int64_t k = 0; k < t.spec.c.T * t.spec.c.C; k++) {
        double x = mhc_normal(2, WHAT_X, 0, (uint64_t)k), g = mhc_normal(2, WHAT_GRAD, 0, (uint64_t)k);
        cr_expect(t.out[k] == 3 * x || fabs(t.out[k] / (3 * x) - 1) < 1e-15, "out[%lld] = %.17g, wanted %.17g",
                  (long long)k, t.out[k], 3 * x);
        cr_expect(fabs(t.grad_x0[k] / (3 * g) - 1) < 1e-15, "grad_x0[%lld] = %.17g, wanted %.17g", (long long)k,
                  t.grad_x0[k], 3 * g);
    }
    release(&t);
}

/* --- a device library that counts: the rows of cpu64, memory of its own --- */

static struct {
    double bytes, most;
    int64_t blocks;
    bool no_transfers;
} device;

static int allocate(void *context, void **pointer, int64_t bytes) {
    (void)context;
    int64_t *block = bytes < (int64_t)1 << 32 ? aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64) : NULL;
    if (!block)
        return 1;
    *block = bytes;
    device.bytes += (double)bytes;
    device.most = fmax(device.most, device.bytes);
    device.blocks++;
    *pointer = block + 8;
    return 0;
}
static void deallocate(void *context, void *pointer) {
    (void)context;
    int64_t *block = (int64_t *)pointer - 8;
    device.bytes -= (double)*block;
    device.blocks--;
    free(block);
}
static int copy(void *context, void *to, const void *from, int64_t bytes) {
    (void)context;
    memcpy(to, from, (size_t)bytes);
    return device.no_transfers;
}
static int64_t plenty(void *context) {
    (void)context;
    return (int64_t)1 << 40;
}
static const struct mhc_memory memory = {allocate, deallocate, copy, copy, plenty};

enum { ROWS = 128 };
static struct mhc_row copied[ROWS];
static const struct mhc_row *rows[ROWS + 1];
static struct mhc_library counting;

static int refuse(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
    (void)context, (void)queue, (void)c, (void)arg, (void)save, (void)work;
    return 1;
}

static void open_counting(struct backend *b, const char *fails) {
    int count = 0;
    for (; mhc_cpu64.rows[count]; count++) {
        cr_assert(count < ROWS);
        copied[count] = *mhc_cpu64.rows[count];
        if (fails && !strcmp(copied[count].name, fails))
            copied[count].run = refuse;
        rows[count] = &copied[count];
    }
    rows[count] = NULL;
    counting = mhc_cpu64;
    counting.name = "counting";
    counting.memory = &memory;
    counting.rows = rows;
    memset(&device, 0, sizeof device);
    *b = (struct backend){.library = &counting};
}

Test(stack, memory_is_what_it_says) {
    char why[300];
    for (int k = 0; k < KINDS; k++) {
        struct trial host = make(&kinds[k], "cpu64", 24), t = make(&kinds[k], "cpu64", 24);
        double keep = 0;
        cr_assert_null(run(&host));
        for (int64_t every = 0; every <= 6; every += 6)
            for (int mode = 0; mode < 4; mode++) {
                char what[300];
                open_counting(&t.backend, NULL);
                t.spec.recompute = every;
                t.spec.regenerate = !(mode & 1);
                t.spec.backward = mode & 2;
                describe(&t, what, sizeof what);
                const char *failure = run(&t);
                cr_assert(!failure, "%s: %s", what, failure);
                double said = program_estimate(&t.spec, why, sizeof why);
                cr_expect(said == device.most || (said < device.most && device.most <= said + 64 * 2000),
                          "%s: said %.0f bytes, allocated %.0f", what, said, device.most);
                cr_expect(device.blocks == 0 && device.bytes == 0, "%s: %lld blocks left", what,
                          (long long)device.blocks);
                if (t.spec.backward)
                    expect_same_bits(&host, &t);
                if (mode == 3 && every) /* a ResNet's own backward needs neither x nor y, but computing again needs y */
                    cr_expect(params_connection(&t.p)->generator == GENERATOR_NONE ? said <= keep : said < keep,
                              "%s: %.0f bytes, keeping all %.0f", what, said, keep);
                keep = mode == 3 && !every ? said : keep;
            }
        release(&host);
        release(&t);
    }
}

Test(stack, failures_are_told) {
    const char *const fails[] = {"stack.entry",         "mhc.pre",
                                 "linear.forward",      "mhc.post",
                                 "stack.exit",          "stack.exit_backward",
                                 "mhc.post_backward_y", "linear.backward",
                                 "mhc.backward",        "stack.entry_backward"};
    struct kind kind = {"mhc", "linear", MHC_PAPER, 0};
    for (size_t k = 0; k < sizeof fails / sizeof *fails; k++)
        for (int64_t every = 0; every < 3; every++) {
            struct trial t = make(&kind, "cpu64", 5);
            open_counting(&t.backend, fails[k]);
            t.spec.recompute = every;
            const char *failure = run(&t);
            cr_expect(failure && strstr(failure, fails[k]), "%s fails, and the stack said `%s`", fails[k],
                      failure ? failure : "");
            cr_expect(device.blocks == 0, "%s: %lld blocks left", fails[k], (long long)device.blocks);
            release(&t);
        }
    struct trial t = make(&kind, "cpu64", 5);
    open_counting(&t.backend, NULL);
    device.no_transfers = true;
    const char *failure = run(&t);
    cr_expect(failure && strstr(failure, "cannot be copied"), "a transfer fails, and the stack said `%s`",
              failure ? failure : "");
    open_counting(&t.backend, NULL);
    t.spec.c.C = 1 << 15; /* a branch weight of 8 GB */
    failure = run(&t);
    cr_expect(failure && strstr(failure, "out of memory"), "no memory, and the stack said `%s`",
              failure ? failure : "");
    cr_expect(device.blocks == 0, "%lld blocks left", (long long)device.blocks);
    t.spec.c.C = 8;
    t.spec.connection = "no-such-block";
    failure = run(&t);
    cr_expect(failure && strstr(failure, "no-such-block.pre"), "no rows, and the stack said `%s`",
              failure ? failure : "");
    release(&t);
}
