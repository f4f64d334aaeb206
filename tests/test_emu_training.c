/* Kernels of training under the host executor, where the random cases of `check` do not reach: rows of logits that
 * shared memory cannot hold, more tokens of a row than a list, numbers at the ends of the range of a float, tokens
 * outside the vocabulary. Against plain loops in float64. */
#include "tests/check.h"

TestSuite(emu_training, .timeout = 1800);

/* A row of emu on arrays of a test. */
struct attempt {
    struct backend backend;
    struct mhc_case c;
    struct outcome o;
};

static void begin(struct attempt *a, int type, struct mhc_case c) {
    const char *build = getenv("BUILD");
    char path[512], why[512];
    snprintf(path, sizeof path, "%s/libmhc_emu.so", build && *build ? build : "./build");
    if (path[0] != '/' && path[0] != '.')
        snprintf(path, sizeof path, "./%s/libmhc_emu.so", build);
    *a = (struct attempt){.c = c};
    cr_assert(backend_open(&a->backend, path, why, sizeof why), "%s", why);
    backend_types(&a->backend, type, &a->c);
}

static void end(struct attempt *a) {
    outcome_clear(&a->o);
    backend_close(&a->backend);
}

/* Runs it twice, to the same bits. */
static void attempt(struct attempt *a, const char *kind, const char *operation) {
    static const struct poison poison[2] = {{.pattern = 0xffff, .shift = 64}, {.pattern = 0x7ff9, .shift = 128}};
    const char *unused = "";
    char why[MAX_FAILURE];
    const struct mhc_row *row = backend_row(&a->backend, kind, operation, &a->c, &unused);
    cr_assert(row, "%s.%s: %s", kind, operation, unused);
    struct outcome first = {0};
    arrays_alias_all(&first.made, &a->o.made);
    cr_assert(run_guarded(&a->backend, row, &a->c, &poison[0], &first, why), "%s: %s", row->name, why);
    cr_assert(run_guarded(&a->backend, row, &a->c, &poison[1], &a->o, why), "%s: %s", row->name, why);
    for (int k = 0; row->args[k].name; k++)
        if (row->args[k].direction == MHC_OUT)
            cr_assert(!memcmp(first.bytes[k], a->o.bytes[k], (size_t)mhc_arg_bytes(&a->c, &row->args[k])),
                      "%s: `%s` differs between two runs", row->name, row->args[k].name);
    outcome_clear(&first);
}

/* Normal numbers as the type of the streams holds them. */
static double *normal(struct attempt *a, const char *name, int64_t count, double size, int32_t type) {
    double *values = put(&a->o.made, name, count);
    for (int64_t k = 0; k < count; k++)
        values[k] = size * mhc_normal(7, mhc_what(name), 0, (uint64_t)k);
    cr_assert(backend_round(values, count, type));
    return values;
}

/* --- cross entropy --- */

/* Of a token: its loss, and its gradient times T. */
static double loss_of(const double *l, int64_t V, int64_t target, double *grad) {
    double largest = l[0], sum = 0, rest = 0;
    for (int64_t v = 1; v < V; v++)
        largest = fmax(largest, l[v]);
    for (int64_t v = 0; v < V; v++) {
        grad[v] = exp(l[v] - largest);
        sum += grad[v];
        rest += v == target ? 0 : grad[v];
    }
    for (int64_t v = 0; v < V; v++)
        grad[v] = v == target ? -rest / sum : grad[v] / sum;
    return l[target] == largest ? log1p(rest) : log(sum) + largest - l[target];
}

/* Rows that start at any element, targets at both ends; a token that is nearly certain, one with an impossible word. */
static void check_loss(int type, int64_t V, double tolerance) {
    enum { T = 5 };
    const int64_t target[T] = {0, V - 1, 3 % V, V / 2, V - 2 > 0 ? V - 2 : 0};
    struct attempt a;
    begin(&a, type, (struct mhc_case){.T = T, .vocabulary = V});
    double *logits = normal(&a, "logits", T * V, 3, type), *targets = put(&a.o.made, "targets", T);
    double *want = malloc((size_t)V * sizeof *want), loss = 0;
    for (int64_t t = 0; t < T; t++)
        targets[t] = (double)target[t];
    logits[2 * V + target[2]] = 32;
    if (V > 1)
        logits[3 * V + (target[3] ? 0 : 1)] = -INFINITY;
    attempt(&a, "cross-entropy", "forward");
    const double *grad = arrays_get(&a.o.made, "grad_logits");
    for (int64_t t = 0; t < T; t++) {
        char what[64];
        snprintf(what, sizeof what, "V=%lld token %lld", (long long)V, (long long)t);
        loss += loss_of(logits + t * V, V, target[t], want) / T;
        double largest = 0;
        for (int64_t v = 0; v < V; v++) {
            want[v] /= T;
            largest = fmax(largest, fabs(want[v]));
        }
        check_close(grad + t * V, want, V, tolerance * largest, what, "grad_logits");
    }
    cr_expect(fabs(*arrays_get(&a.o.made, "loss") - loss) <= 1e-6 * loss, "V=%lld: loss %.17g, wanted %.17g",
              (long long)V, *arrays_get(&a.o.made, "loss"), loss);
    free(want);
    end(&a);
}

/* Shared memory holds 58 000 floats, 116 000 of bf16. */
Test(emu_training, cross_entropy_of_any_row) {
    static const int64_t V[] = {1, 2, 7, 8, 9, 40, 255, 4096, 50257, 70001};
    for (size_t k = 0; k < sizeof V / sizeof *V; k++) {
        check_loss(MHC_F32, V[k], 1e-5);
        check_loss(MHC_BF16, V[k], 0x1p-8);
    }
    check_loss(MHC_BF16, 130008, 0x1p-8);
}

/* A loss far below the eps of a float is neither 0 nor NaN; logits may be any float. */
Test(emu_training, cross_entropy_keeps_what_is_small_and_large) {
    struct attempt a;
    begin(&a, MHC_F32, (struct mhc_case){.T = 1, .vocabulary = 3});
    double *logits = put(&a.o.made, "logits", 3);
    *put(&a.o.made, "targets", 1) = 1;
    logits[0] = 0x1.cp12, logits[1] = 0x1.cp12 + 50, logits[2] = -0x1.fp127;
    attempt(&a, "cross-entropy", "forward");
    const double *grad = arrays_get(&a.o.made, "grad_logits"), small = exp(-50);
    const double want[] = {small, -small, 0};
    check_close(grad, want, 3, 1e-5 * small, "small", "grad_logits");
    check_close(arrays_get(&a.o.made, "loss"), &small, 1, 1e-5 * small, "small", "loss");
    end(&a);
}

/* What a target outside the vocabulary spoils: its token and the mean, nothing else. */
Test(emu_training, cross_entropy_of_an_unknown_target) {
    enum { T = 4, V = 37 };
    static const double targets[T] = {5, V, 36, -3};
    struct attempt a;
    begin(&a, MHC_F32, (struct mhc_case){.T = T, .vocabulary = V});
    normal(&a, "logits", T * V, 1, MHC_F32);
    memcpy(put(&a.o.made, "targets", T), targets, sizeof targets);
    attempt(&a, "cross-entropy", "forward");
    cr_expect(isnan(*arrays_get(&a.o.made, "loss")));
    for (int64_t k = 0; k < T * V; k++)
        cr_expect(!isnan(arrays_get(&a.o.made, "grad_logits")[k]) == !(k / V % 2), "element %lld", (long long)k);
    end(&a);
}

/* --- embedding --- */

/* Few words and many tokens, the first of them frequent: lists that fill, queues that fill. Some tokens are unknown. */
static void check_embedding(int type, int64_t T, int64_t S, int64_t V, int64_t C, bool unknown) {
    char what[96];
    snprintf(what, sizeof what, "T=%lld S=%lld V=%lld C=%lld", (long long)T, (long long)S, (long long)V, (long long)C);
    struct attempt a;
    begin(&a, type, (struct mhc_case){.T = T, .S = S, .C = C, .vocabulary = V});
    double *tokens = put(&a.o.made, "tokens", T), *g = normal(&a, "grad_x0", T * C, 1, type),
           *table = normal(&a, "table", V * C, 1, MHC_F32), *positions = normal(&a, "positions", S * C, 1, MHC_F32);
    double *grad_table = calloc((size_t)(V * C), sizeof(double)),
           *grad_positions = calloc((size_t)(S * C), sizeof(double)), *x0 = malloc((size_t)(T * C) * sizeof(double));
    for (int64_t t = 0; t < T; t++) {
        int64_t draw = (int64_t)(1e6 * fabs(mhc_normal(3, 1, 0, (uint64_t)t)));
        tokens[t] = draw % 3 ? 0 : (double)(draw % V);
        if (unknown && t % 97 == 13)
            tokens[t] = t % 2 ? (double)V : -1;
        bool known = tokens[t] >= 0 && tokens[t] < (double)V;
        for (int64_t k = 0; k < C; k++) {
            x0[t * C + k] = known ? table[(int64_t)tokens[t] * C + k] + positions[t % S * C + k] : NAN;
            grad_positions[t % S * C + k] += known ? g[t * C + k] : NAN;
            if (known)
                grad_table[(int64_t)tokens[t] * C + k] += g[t * C + k];
        }
    }
    attempt(&a, "embedding", "forward");
    check_close(arrays_get(&a.o.made, "x0"), x0, T * C, type == MHC_BF16 ? 0.04 : 1e-6, what, "x0");
    attempt(&a, "embedding", "backward");
    check_close(arrays_get(&a.o.made, "grad_table"), grad_table, V * C, 1e-3, what, "grad_table");
    check_close(arrays_get(&a.o.made, "grad_positions"), grad_positions, S * C, 1e-4, what, "grad_positions");
    free(grad_table);
    free(grad_positions);
    free(x0);
    end(&a);
}

Test(emu_training, embedding_of_any_tokens) {
    check_embedding(MHC_F32, 5000, 1250, 1, 8, false);
    check_embedding(MHC_F32, 5000, 100, 3, 72, false);
    check_embedding(MHC_BF16, 4097, 4097, 200, 24, true);
    check_embedding(MHC_BF16, 300, 60, 50000, 5, true);
    check_embedding(MHC_F32, 2052, 3, 17, 1, false);
}

/* --- the norm --- */

Test(emu_training, norm_of_any_floats) {
    static const int64_t W[] = {1, 3, 4, 5, 1023, 4096, 5003, 5000011};
    static const double size[] = {1, 1e37, 1e-42};
    for (size_t w = 0; w < sizeof W / sizeof *W; w++)
        for (size_t s = 0; s < sizeof size / sizeof *size; s++) {
            struct attempt a;
            begin(&a, MHC_F32, (struct mhc_case){.weights = W[w]});
            const double *grad = normal(&a, "grad", W[w], size[s], MHC_F32);
            double sum = 0;
            for (int64_t k = 0; k < W[w]; k++)
                sum += grad[k] * grad[k];
            attempt(&a, "gradient", "norm");
            cr_expect(fabs(*arrays_get(&a.o.made, "norm") - sqrt(sum)) <= 1e-12 * sqrt(sum),
                      "W=%lld: %.17g, wanted %.17g", (long long)W[w], *arrays_get(&a.o.made, "norm"), sqrt(sum));
            end(&a);
        }
}
