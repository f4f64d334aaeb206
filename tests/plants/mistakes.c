/* Honest mistakes, as public ports had them. */
#include "tests/plants/plant.h"

void plant_rows(struct mhc_row *rows, int *count) {
    (void)rows, (void)count;
}

/* Multiplies elements first .. end - 1 of an output. */
static int scale(const struct call *call, const char *name, int64_t first, int64_t end, double factor) {
    int64_t count;
    void *out = plant_array(call, name, &count);
    int failed = plant_inner(call);
    for (int64_t k = first; k < end && k < count && out; k++)
        plant_put(call, out, k, plant_get(call, out, k) * factor);
    return failed;
}

static int64_t elements(const struct call *call, const char *name) {
    int64_t count;
    plant_array(call, name, &count);
    return count;
}

/* --- Sinkhorn, with every array transposed: columns are normalised last --- */

static void transpose(const struct call *call, const void *from, void *to) {
    int64_t n = call->c->n;
    for (int64_t t = 0; t < call->c->T; t++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                plant_put(call, to, (t * n + i) * n + j, plant_get(call, from, (t * n + j) * n + i));
}

static int sinkhorn(const struct call *call, const void *logits, void *res) {
    const struct mhc_row *row = plant_row("sinkhorn.forward", call->c);
    void *arg[] = {(void *)logits, res};
    return row->run(NULL, NULL, call->c, arg, NULL, call->work);
}

static void *room(int64_t elements) {
    return aligned_alloc(64, ((size_t)elements * 8 + 64) / 64 * 64);
}

static int exchanged(const struct call *call, const void *logits, void *res) {
    int64_t count = call->c->T * call->c->n * call->c->n;
    void *in = room(count), *out = room(count);
    transpose(call, logits, in);
    int failed = sinkhorn(call, in, out);
    transpose(call, out, res);
    free(in), free(out);
    return failed;
}

/* mhc.pre whose res comes from its logits that way; they are those of mhc.logits. */
static int pre_exchanged(const struct call *call) {
    const struct mhc_row *logits = plant_row("mhc.logits", call->c);
    int64_t count, nothing;
    void *arg[MHC_MAX_ARGS] = {0}, *res = plant_array(call, "res", &count), *values = room(count),
         *work = malloc(logits->work_bytes ? (size_t)logits->work_bytes(call->c) + 1 : 1);
    int failed = plant_inner(call);
    for (int a = 0; logits->args[a].name; a++)
        arg[a] = plant_array(call, logits->args[a].name, &nothing) ? plant_array(call, logits->args[a].name, &nothing)
                                                                   : values;
    failed |= logits->run(NULL, NULL, call->c, arg, NULL, work);
    failed |= exchanged(call, values, res);
    free(values), free(work);
    return failed;
}

/* Spoils the coefficients of tokens that are 0, which have no direction. */
static int spoil_zero_tokens(const struct call *call) {
    int64_t count, n = call->c->n, token = n * call->c->C, nothing;
    const void *x = plant_array(call, "x", &nothing);
    void *post = plant_array(call, "post", &count);
    int failed = plant_inner(call);
    for (int64_t t = 0; t < call->c->T; t++) {
        bool zero = true;
        for (int64_t k = 0; k < token && zero; k++)
            zero = plant_get(call, x, t * token + k) == 0;
        for (int64_t i = 0; i < n && zero; i++)
            plant_put(call, post, t * n + i, 1.01 * plant_get(call, post, t * n + i));
    }
    return failed;
}

/* --- the backward of Sinkhorn if every step had the last matrix --- */

static int assumes_convergence(const struct call *call) {
    int64_t n = call->c->n, count;
    void *logits = plant_array(call, "logits", &count), *grad = plant_array(call, "grad_res", &count),
         *out = plant_array(call, "grad_logits", &count), *res = room(count);
    int failed = sinkhorn(call, logits, res);
    double e[MHC_MAX_STREAMS][MHC_MAX_STREAMS], m[MHC_MAX_STREAMS][MHC_MAX_STREAMS];
    for (int64_t t = 0; t < call->c->T; t++) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                m[i][j] = plant_get(call, res, (t * n + i) * n + j);
                e[i][j] = m[i][j] * plant_get(call, grad, (t * n + i) * n + j);
            }
        for (int64_t step = 0; step < 2 * call->c->t_max; step++)
            for (int64_t line = 0; line < n; line++) {
                double sum = 0;
                for (int64_t k = 0; k < n; k++)
                    sum += step % 2 ? e[k][line] : e[line][k];
                for (int64_t k = 0; k < n; k++)
                    *(step % 2 ? &e[k][line] : &e[line][k]) -= sum * (step % 2 ? m[k][line] : m[line][k]);
            }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                plant_put(call, out, (t * n + i) * n + j, e[i][j]);
    }
    free(res);
    return failed;
}

/* Without its maximum subtracted an exponential overflows. */
static int overflows(const struct call *call) {
    int64_t count, n = call->c->n;
    const void *logits = plant_array(call, "logits", &count);
    void *res = plant_array(call, "res", &count);
    int failed = plant_inner(call);
    for (int64_t k = 0; k < count; k++)
        if (call->c->stream == MHC_F32 && isinf(expf((float)plant_get(call, logits, k))))
            for (int64_t j = 0; j < n; j++)
                plant_put(call, res, k / n * n + j, NAN);
    return failed;
}

/* Rows past T read token 0 again, up to a whole tile. */
static int pollutes(const struct call *call) {
    int64_t missing = (16 - call->c->T % 16) % 16, count, nothing;
    void *out = plant_array(call, "grad_b", &count);
    const void *grad = plant_array(call, "grad_x_next", &nothing), *x = plant_array(call, "x", &nothing);
    int failed = plant_inner(call);
    for (int64_t k = 0; k < count; k++)
        plant_put(call, out, k,
                  plant_get(call, out, k) +
                      1e-2 * (double)missing * plant_get(call, grad, k % nothing) * plant_get(call, x, k % nothing));
    return failed;
}

/* The last C mod 8 channels of every stream, which no vector of eight covers. */
static int forgets_tail(const struct call *call) {
    int64_t count, C = call->c->C;
    void *out = plant_array(call, "x_next", &count);
    int failed = plant_inner(call);
    for (int64_t k = 0; k < count && call->c->stream == MHC_BF16; k++)
        if (k % C >= C / 8 * 8)
            plant_put(call, out, k, 0.9 * plant_get(call, out, k));
    return failed;
}

/* An error that shows only where two inputs are one array. */
static int one_array_twice(const struct call *call, const char *one, const char *other, const char *out) {
    int64_t unused;
    bool same = plant_array(call, one, &unused) == plant_array(call, other, &unused);
    return scale(call, out, 0, same ? 1 << 30 : 0, 1.01);
}

static int with_case(const struct call *call) {
    struct mhc_case c = *call->c;
    if (plant_is("ignores_t_max"))
        c.t_max = 20;
    if (plant_is("one_iteration_less"))
        c.t_max -= c.t_max > 1;
    if (plant_is("epsilons_exchanged"))
        c.rms_eps = call->c->sinkhorn_eps, c.sinkhorn_eps = call->c->rms_eps;
    if (plant_is("rms_epsilon_fixed"))
        c.rms_eps = 1e-6;
    if (plant_is("sinkhorn_epsilon_fixed"))
        c.sinkhorn_eps = 1e-6;
    if (plant_is("no_epsilon"))
        c.rms_eps = 0;
    if (plant_is("one_convention"))
        c.convention = MHC_PAPER;
    return plant_inner_case(call, &c);
}

int plant_call(struct call *call) {
    const struct mhc_case *c = call->c;
    int64_t x_next = elements(call, "x_next"), token = c->n * c->C, tile = (c->T - 1) / 16 * 16;
    if (plant_on(call, "mhc.pre") || plant_on(call, "mhc.backward")) {
        if (plant_is("rows_and_columns_exchanged_in_pre") && plant_on(call, "mhc.pre"))
            return pre_exchanged(call);
        if (plant_is("wrong_where_a_token_is_0") && plant_on(call, "mhc.pre"))
            return spoil_zero_tokens(call);
        if (plant_is("padding_pollutes_grad_b") && plant_on(call, "mhc.backward"))
            return pollutes(call);
        if (plant_is("grad_x_wrong_at_even_counts") && plant_on(call, "mhc.backward"))
            return scale(call, "grad_x", 0, c->T * token % 2 ? 0 : 1 << 30, 1.01);
        if (plant_is("grad_alpha_of_zeros") && plant_on(call, "mhc.backward"))
            return scale(call, "grad_alpha", 0, 1 << 30, 0);
        if (plant_is("wrong_where_x_is_its_gradient") && plant_on(call, "mhc.backward"))
            return one_array_twice(call, "grad_x_next", "x", "grad_x");
        return with_case(call);
    }
    if (plant_on(call, "sinkhorn.forward")) {
        if (plant_is("rows_and_columns_exchanged")) {
            int64_t count;
            return exchanged(call, plant_array(call, "logits", &count), plant_array(call, "res", &count));
        }
        if (plant_is("wrong_at_t_max_1"))
            return scale(call, "res", 0, c->t_max == 1 ? 1 << 30 : 0, 1.01);
        return plant_is("maximum_not_subtracted") ? overflows(call) : with_case(call);
    }
    if (plant_on(call, "sinkhorn.backward") && plant_is("assumes_convergence"))
        return assumes_convergence(call);
    if (!plant_on(call, "mhc.post"))
        return plant_inner(call);
    if (plant_is("zero_at_16_streams"))
        return scale(call, "x_next", x_next - c->C, c->n == 16 ? x_next : 0, 0);
    if (plant_is("one_token_of_4096"))
        return scale(call, "x_next", 4000 * token, 4001 * token, 1.001);
    if (plant_is("last_ragged_tile"))
        return scale(call, "x_next", tile * token, c->T > 64 && c->T % 16 ? x_next : 0, 1.01);
    if (plant_is("wrong_at_T_112"))
        return scale(call, "x_next", 0, c->T == 112 ? x_next : 0, 1.01);
    if (plant_is("wrong_at_T_113"))
        return scale(call, "x_next", 0, c->T == 113 ? x_next : 0, 1.01);
    if (plant_is("wrong_where_x_is_y"))
        return one_array_twice(call, "x", "y", "x_next");
    if (plant_is("bf16_tail"))
        return forgets_tail(call);
    if (plant_is("wrong_at_C_7_mod_8_and_3_streams"))
        return scale(call, "x_next", 0, c->C % 8 == 7 && c->n == 3 ? x_next : 0, 1.01);
    if (plant_is("last_of_7_streams"))
        return scale(call, "x_next", x_next - c->C, c->n == 7 ? x_next : 0, 1.01);
    if (plant_is("wrong_at_C_5_mod_8"))
        return scale(call, "x_next", 0, c->C % 8 == 5 && c->C > 8 ? x_next : 0, 1.01);
    if (plant_is("half_a_percent_in_f32"))
        return scale(call, "x_next", 0, c->stream == MHC_F32 ? x_next : 0, 1.005);
    if (plant_is("half_a_percent"))
        return scale(call, "x_next", 0, x_next, 1.005);
    return plant_inner(call);
}
