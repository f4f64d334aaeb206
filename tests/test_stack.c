/* The deep stack: what it recomputes is what it would have kept, and its gradient is the gradient. */
#include "tests/stack_trial.h"

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
