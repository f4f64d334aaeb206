/* The contract (cpu_ref/operation.h, operations.def) holds more than today's operations use: tokens, numbers of a
 * step, a vocabulary, earlier outputs, flat arrays of parameters, residual maps. Rows of this file use each of them
 * and are planned, drawn, bound and run like any. */
#define MHC_OPERATIONS "tests/contract.def"
#include "cpu_ref/operations.c"

#include "suites/rows/array_error.h"
#include "suites/rows/bound_row.h"
#include "tests/check.h"

/* --- the rows, in float32 --- */

static bool supports(const struct mhc_case *c, const char **why) {
    if (mhc_map_logits(c) < 0)
        return *why = "the map does not exist for this n", false;
    return true;
}
static double tolerance(const struct mhc_case *c) {
    (void)c;
    return 1e-6;
}

#define RUN(id)                                                                                                      \
    static int id##_body(const struct mhc_case *, const struct id##_args *, void *);                                 \
    static int id(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) { \
        (void)context, (void)queue, (void)work;                                                                      \
        return id##_body(c, (const struct id##_args *)arg, save);                                                    \
    }                                                                                                                \
    static int id##_body(const struct mhc_case *c, const struct id##_args *a, __attribute__((unused)) void *save)

RUN(test_embed) {
    const int32_t *tokens = a->tokens;
    const float *table = a->table;
    float *x0 = a->x0;
    for (int64_t t = 0; t < c->T; t++) {
        if (tokens[t] < 0 || tokens[t] >= c->vocabulary)
            return 1;
        memcpy(x0 + t * c->C, table + tokens[t] * c->C, (size_t)c->C * sizeof(float));
    }
    return 0;
}

RUN(test_update) {
    const float *w = a->w, *grad = a->grad;
    const double *rates = a->rates;
    float *w_next = a->w_next;
    double *square = a->square;
    *square = 0;
    for (int64_t k = 0; k < c->weights; k++) {
        w_next[k] = (float)((1 - rates[1]) * (double)w[k] - rates[0] * (double)grad[k]);
        *square += (double)grad[k] * (double)grad[k];
    }
    return 0;
}

RUN(test_mixer) {
    const float *q = a->q, *k = a->k, *v = a->v, *residual = a->residual;
    float *y = a->y;
    for (int64_t at = 0; at < c->T * c->C; at++)
        y[at] = q[at] * k[at] * v[at] + residual[at];
    return 0;
}

RUN(test_history) {
    const float *sources = a->sources, *mix = a->mix;
    float *u = a->u;
    int64_t count = c->T * c->C;
    for (int64_t at = 0; at < count; at++) {
        double sum = 0;
        for (int64_t r = 0; r < c->sources; r++)
            sum += (double)mix[r] * (double)sources[r * count + at];
        u[at] = (float)sum;
    }
    return 0;
}

/* res = the mean of a token's logits, times map_constant, on every place; the logits are kept. */
RUN(test_map) {
    const float *logits = a->logits;
    float *res = a->res;
    int64_t K = mhc_extent(c, 'K'), cells = c->n * mhc_extent(c, 'N');
    memcpy(save, logits, (size_t)(c->T * K) * sizeof(float));
    for (int64_t t = 0; t < c->T; t++) {
        double sum = 0;
        for (int64_t k = 0; k < K; k++)
            sum += (double)logits[t * K + k];
        for (int64_t k = 0; k < cells; k++)
            res[t * cells + k] = (float)(c->map_constant * sum / (double)K);
    }
    return 0;
}

static int64_t map_save(const struct mhc_case *c) {
    return c->T * mhc_map_logits(c) * (int64_t)sizeof(float);
}

#define ROW(id) \
    { MHC_OPERATION(id), .supports = supports, .tolerance = tolerance, .run = id }
static const struct mhc_row embed = ROW(test_embed), update = ROW(test_update), mixer = ROW(test_mixer),
                            history = ROW(test_history),
                            map = {MHC_OPERATION(test_map), .supports = supports, .save_bytes = map_save,
                                   .tolerance = tolerance, .run = test_map};
static const struct mhc_row *const rows[] = {&embed, &update, &mixer, &history, &map, NULL};
static const struct mhc_library library = {
    .abi = MHC_ABI, .size = sizeof(struct mhc_library), .name = "test", .rows = rows};
static const struct backend host = {.library = &library};

static struct mhc_case a_case(void) {
    return (struct mhc_case){.T = 6,
                             .n = 4,
                             .C = 5,
                             .vocabulary = 11,
                             .sources = 3,
                             .weights = 40,
                             .t_max = 3,
                             .map_constant = 0.5,
                             .stream = MHC_F32,
                             .coef = MHC_F32,
                             .param = MHC_F32};
}

/* --- a row, bound to its natural inputs and run --- */

struct bound {
    struct bound_row row;
    double *values[MHC_MAX_ARGS]; /* of inputs as drawn, of outputs as made */
};

/* `given` holds values of inputs that are not to be drawn; NULL: none. */
static struct bound run_bound(const struct mhc_row *row, const struct mhc_case *c, const struct arrays *given) {
    struct bound b = {0};
    struct arrays inputs = {0};
    arrays_alias_all(&inputs, given ? given : &inputs);
    for (const struct mhc_arg *arg = row->args; arg->name; arg++)
        if (arg->direction == MHC_IN && !arrays_get(&inputs, arg->name))
            draw(c, arg, 7, arrays_put(&inputs, arg->name, mhc_elements(c, arg)));
    const char *why = bound_row_open(&b.row, &host, row, c, 1, &inputs, NULL);
    cr_assert(!why, "%s: %s", row->name, why);
    why = bound_row_run(&b.row, 0);
    cr_assert(!why, "%s: %s", row->name, why);
    for (int a = 0; row->args[a].name; a++) {
        b.values[a] = calloc((size_t)mhc_elements(c, &row->args[a]) + 1, sizeof(double));
        cr_assert(backend_download(&host, b.values[a], bound_row_argument(&b.row, 0, a), mhc_elements(c, &row->args[a]),
                                   mhc_arg_type(c, &row->args[a])));
    }
    arrays_clear(&inputs);
    return b;
}

static double *values_of(const struct bound *b, const char *name) {
    for (int a = 0; b->row.row->args[a].name; a++)
        if (!strcmp(b->row.row->args[a].name, name))
            return b->values[a];
    cr_assert(false, "%s has no `%s`", b->row.row->name, name);
    return NULL;
}

static void expect(const struct bound *b, const char *name, const double *want) {
    const struct mhc_row *row = b->row.row;
    const struct mhc_arg *arg = mhc_arg_find(row, name, MHC_OUT);
    double error = array_error(arg, &b->row.c, values_of(b, name), want, 0, NULL);
    cr_assert(error <= row->tolerance(&b->row.c), "%s: %s is off by %g", row->name, name, error);
}

static void close_bound(struct bound *b) {
    for (int a = 0; b->row.row->args[a].name; a++)
        free(b->values[a]);
    bound_row_close(&b->row);
}

/* --- what the rows say --- */

Test(contract, extents_of_every_map) {
    static const struct {
        int64_t map, order, n, K;
    } want[] = {{MHC_SINKHORN, 0, 4, 16},        {MHC_IDENTITY, 0, 4, 0},         {MHC_FREE, 0, 3, 9},
                {MHC_PERMUTATIONS, 0, 4, 24},    {MHC_PERMUTATIONS, 0, 6, -1},    {MHC_KRONECKER, 0, 8, 6},
                {MHC_KRONECKER, 0, 6, -1},       {MHC_KRONECKER, 0, 1, 0},        {MHC_ORTHOSTOCHASTIC, 1, 4, 6},
                {MHC_ORTHOSTOCHASTIC, 2, 4, 28}, {MHC_ORTHOSTOCHASTIC, 0, 4, -1}, {MHC_ORTHOSTOCHASTIC, 3, 4, -1},
                {MHC_TRANSPORT, 0, 4, 9},        {MHC_SPECTRAL, 0, 4, 9},         {MHC_CIRCULANT, 0, 4, 4}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
        struct mhc_case c = a_case();
        const char *why;
        c.map = (int32_t)want[k].map, c.map_order = (int32_t)want[k].order, c.n = want[k].n;
        cr_expect(mhc_extent(&c, 'K') == want[k].K, "map %d, n %d", c.map, (int)c.n);
        cr_expect(map.supports(&c, &why) == (want[k].K >= 0));
        if (want[k].K < 0)
            continue;
        cr_expect(mhc_extent(&c, 'Q') == 2 * c.n + want[k].K && mhc_extent(&c, 'E') == (want[k].K ? 3 : 2));
        cr_expect(mhc_extent(&c, 'N') == (c.map == MHC_IDENTITY ? 0 : c.n));
        cr_expect(map.save_bytes(&c) == 4 * c.T * want[k].K && map.flops(&c) == (double)(c.T * want[k].K));
    }
}

Test(contract, costs_are_formulas_of_the_case) {
    struct mhc_case c = a_case();
    cr_expect(embed.traffic(&c) == 4 * 6 + 4 * 30 + 4 * 30);
    cr_expect(update.flops(&c) == 80 && update.traffic(&c) == 4 * 40 * 3 + 8 * 3);
    cr_expect(history.flops(&c) == 2 * 3 * 30 && history.traffic(&c) == 4 * (90 + 3 + 30));
    cr_expect(mixer.traffic(&c) == 4 * 150);
    c.stream = MHC_BF16;
    cr_expect(embed.traffic(&c) == 4 * 6 + 2 * 30 + 4 * 30);
}

Test(contract, rows_and_arguments_are_found) {
    cr_expect(mhc_row_find(&library, "test.map") == &map && !mhc_row_find(&library, "test.maps"));
    cr_expect(mhc_arg_find(&update, "square", MHC_OUT) == &update.args[4]);
    cr_expect(!mhc_arg_find(&update, "square", MHC_IN) && !mhc_arg_find(&update, "square ", MHC_OUT));
}

Test(contract, structs_and_arrays_agree) {
    void *arg[MHC_MAX_ARGS];
    char place[MHC_MAX_ARGS];
    for (int a = 0; a < MHC_MAX_ARGS; a++)
        arg[a] = &place[a];
    const struct test_map_args *a = (const struct test_map_args *)arg;
    cr_expect(a->phi == &place[0] && a->start == &place[3] && a->res == &place[5]);
    cr_expect(sizeof *a == 6 * sizeof(void *) && !map.args[6].name && !strcmp(map.args[3].name, "start"));
}

/* --- natural inputs --- */

Test(contract, natural_inputs) {
    struct mhc_case c = a_case();
    c.T = 4000, c.weights = 4000, c.C = 100, c.vocabulary = 100;
    double *values = calloc(40000, sizeof *values), seen[100] = {0}, sum = 0, squares = 0;
    draw(&c, mhc_arg_find(&embed, "tokens", MHC_IN), 1, values);
    for (int k = 0; k < 4000; k++) {
        cr_assert(values[k] >= 0 && values[k] < 100 && values[k] == floor(values[k]));
        seen[(int)values[k]]++;
    }
    for (int k = 0; k < 100; k++)
        cr_expect(seen[k] > 10 && seen[k] < 80, "token %d comes %g times of 40", k, seen[k]);
    draw(&c, mhc_arg_find(&embed, "table", MHC_IN), 1, values);
    for (int k = 0; k < 10000; k++)
        sum += values[k], squares += values[k] * values[k];
    cr_expect(fabs(sum / 10000) < 0.005 && fabs(squares / 10000 - 0.01) < 0.0005);
    draw(&c, mhc_arg_find(&map, "b_res", MHC_IN), 1, values);
    for (int k = 0; k < 16; k++)
        cr_expect(fabs(values[k] - (k % 5 == 0)) < 0.3 && values[k] != (k % 5 == 0), "b_res[%d] is %g", k, values[k]);
    draw(&c, mhc_arg_find(&update, "rates", MHC_IN), 1, values);
    cr_expect(fabs(values[0] - 0.5) < 0.6 && fabs(values[1] - 0.5) < 0.6 && values[0] != values[1]);
    free(values);
}

Test(contract, integers_pass_every_way) {
    double values[] = {0, 1, -1, 2147483647, -2147483648.0}, back[5];
    int32_t typed[5];
    cr_assert(backend_upload(&host, typed, values, 5, MHC_I32) && typed[3] == INT32_MAX && typed[4] == INT32_MIN);
    cr_assert(backend_download(&host, back, typed, 5, MHC_I32) && !memcmp(back, values, sizeof back));
    cr_assert(backend_round(back, 5, MHC_I32) && !memcmp(back, values, sizeof back));
}

/* An input without given values is a pattern; tokens are those that a table has. */
Test(contract, patterns_of_tokens_lie_in_the_vocabulary) {
    struct mhc_case c = a_case();
    c.T = 10000;
    struct bound_row b;
    cr_assert(!bound_row_open(&b, &host, &embed, &c, 2, NULL, NULL));
    cr_expect(!bound_row_run(&b, 0) && !bound_row_run(&b, 1));
    bound_row_close(&b);
}

/* --- rows that run --- */

Test(contract, tokens_and_vocabulary) {
    struct mhc_case c = a_case();
    struct bound b = run_bound(&embed, &c, NULL);
    double want[30], *tokens = values_of(&b, "tokens"), *table = values_of(&b, "table");
    for (int k = 0; k < 30; k++)
        want[k] = table[(int)tokens[k / 5] * 5 + k % 5];
    expect(&b, "x0", want);
    close_bound(&b);
}

Test(contract, a_branch_of_several_inputs) {
    struct mhc_case c = a_case();
    struct bound b = run_bound(&mixer, &c, NULL);
    double want[30];
    for (int k = 0; k < 30; k++)
        want[k] = values_of(&b, "q")[k] * values_of(&b, "k")[k] * values_of(&b, "v")[k] + values_of(&b, "residual")[k];
    expect(&b, "y", want);
    close_bound(&b);
}

/* Each call of a program has a case of its own: layer l sees l + 1 earlier outputs. */
Test(contract, an_extent_that_differs_from_call_to_call) {
    struct mhc_case c = a_case();
    for (c.sources = 1; c.sources <= 5; c.sources++) {
        struct bound b = run_bound(&history, &c, NULL);
        double want[30] = {0};
        for (int64_t k = 0; k < 30 * c.sources; k++)
            want[k % 30] += values_of(&b, "mix")[k / 30] * values_of(&b, "sources")[k];
        expect(&b, "u", want);
        close_bound(&b);
    }
}

/* Three parameters lie one behind the other in a flat array: one call updates all, and three calls on slices do the
 * same. */
Test(contract, slices_of_a_flat_array) {
    static const int64_t start[] = {0, 7, 31, 40};
    struct mhc_case c = a_case();
    struct bound all = run_bound(&update, &c, NULL);
    double *rates = values_of(&all, "rates"), *w = values_of(&all, "w"), *grad = values_of(&all, "grad");
    double want[40], square = 0, squares = 0;
    for (int k = 0; k < 40; k++) {
        want[k] = (1 - rates[1]) * w[k] - rates[0] * grad[k];
        square += grad[k] * grad[k];
    }
    expect(&all, "w_next", want);
    expect(&all, "square", &square);
    for (int s = 0; s < 3; s++) {
        c.weights = start[s + 1] - start[s];
        struct arrays slice = {0};
        arrays_lend(&slice, "w", w + start[s], c.weights);
        arrays_lend(&slice, "grad", grad + start[s], c.weights);
        struct bound b = run_bound(&update, &c, &slice);
        expect(&b, "w_next", want + start[s]);
        squares += *values_of(&b, "square");
        arrays_clear(&slice);
        close_bound(&b);
    }
    cr_expect(fabs(squares - square) <= 1e-12 * square);
    close_bound(&all);
}

Test(contract, a_map_of_its_own_in_every_case) {
    for (int32_t m = 0; m < MHC_MAPS; m++) {
        struct mhc_case c = a_case();
        c.map = m, c.map_order = 1, c.map_constant = 0.25 * (m + 1);
        struct bound b = run_bound(&map, &c, NULL);
        int64_t K = mhc_map_logits(&c), cells = c.n * mhc_extent(&c, 'N');
        double want[6 * 16] = {0};
        for (int64_t k = 0; k < c.T * cells; k++) {
            for (int64_t j = 0; j < K; j++)
                want[k] += values_of(&b, "logits")[k / cells * K + j];
            want[k] *= c.map_constant / (double)K;
        }
        expect(&b, "res", want);
        cr_expect(b.row.save_bytes == 4 * c.T * K &&
                  !memcmp(b.row.slab + b.row.save_offset, bound_row_argument(&b.row, 0, 2), (size_t)b.row.save_bytes));
        close_bound(&b);
    }
}
