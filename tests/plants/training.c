/* Honest mistakes in what a stack needs to be trained: tokens, the loss, the optimizer. */
#include "cpu_ref/adamw.h"
#include "tests/plants/plant.h"

void plant_rows(struct mhc_row *rows, int *count) {
    (void)rows, (void)count;
}

static int place_of(const struct call *call, const char *name) {
    int at = 0;
    while (call->row->args[at].name && strcmp(call->row->args[at].name, name))
        at++;
    return at;
}

/* The update with other numbers of the step, and another norm. */
static int adamw(const struct call *call) {
    struct call other = *call;
    void *arg[MHC_MAX_ARGS];
    double hyper[ADAMW_HYPERS], norm;
    memcpy(arg, call->arg, sizeof arg);
    int hypers = place_of(call, "hyper"), norms = place_of(call, "norm");
    memcpy(hyper, arg[hypers], sizeof hyper);
    memcpy(&norm, arg[norms], sizeof norm);
    if (plant_is("no_bias_correction"))
        hyper[ADAMW_STEP] = 1e9;
    if (plant_is("step_counts_from_0"))
        hyper[ADAMW_STEP] = hyper[ADAMW_STEP] > 1 ? hyper[ADAMW_STEP] - 1 : 1;
    if (plant_is("never_clips"))
        hyper[ADAMW_CLIP] = 0;
    if (plant_is("clip_0_clips") && hyper[ADAMW_CLIP] == 0)
        hyper[ADAMW_CLIP] = 1e-6;
    if (plant_is("epsilon_of_1e_8"))
        hyper[ADAMW_EPSILON] = 1e-8;
    if (plant_is("forgets_decay"))
        hyper[ADAMW_DECAY] = 0;
    arg[hypers] = hyper, arg[norms] = &norm;
    other.arg = arg;
    return plant_inner(&other);
}

/* Rows of an output that belong to one token are off by a percent. */
static int spoil_tokens(const struct call *call, const char *indices, const char *name, int32_t which) {
    int64_t count, nothing;
    const int32_t *index = plant_array(call, indices, &nothing);
    void *out = plant_array(call, name, &count);
    int failed = plant_inner(call);
    for (int64_t k = 0; k < count; k++)
        if (index[k / (count / call->c->T)] == which)
            plant_put(call, out, k, 1.01 * plant_get(call, out, k));
    return failed;
}

/* The last of the tokens of a word wins where their gradients should be added. */
static int drops_repeated(const struct call *call) {
    int64_t count, C = call->c->C;
    const int32_t *tokens = plant_array(call, "tokens", &count);
    const void *grad = plant_array(call, "grad_x0", &count);
    void *table = plant_array(call, "grad_table", &count);
    int failed = plant_inner(call);
    for (int64_t t = 0; t < call->c->T; t++)
        for (int64_t k = 0; k < C; k++)
            plant_put(call, table, tokens[t] * C + k, plant_get(call, grad, t * C + k));
    return failed;
}

/* The loss if exponentials were made of the logits as they are. */
static int overflows(const struct call *call) {
    int64_t count;
    const void *logits = plant_array(call, "logits", &count);
    double *loss = plant_array(call, "loss", &count);
    int failed = plant_inner(call);
    for (int64_t k = 0; k < call->c->T * call->c->vocabulary; k++)
        if (isinf(expf((float)plant_get(call, logits, k))))
            *loss = NAN;
    return failed;
}

/* Squares in float. */
static int float_norm(const struct call *call) {
    int64_t count;
    const void *grad = plant_array(call, "grad", &count);
    double *norm = plant_array(call, "norm", &count);
    float sum = 0;
    int failed = plant_inner(call);
    for (int64_t k = 0; k < call->c->weights; k++)
        sum += (float)plant_get(call, grad, k) * (float)plant_get(call, grad, k);
    if (sum == 0 || isinf(sum))
        *norm = sqrt((double)sum);
    return failed;
}

int plant_call(struct call *call) {
    int32_t last = (int32_t)(call->c->vocabulary - 1);
    if (plant_on(call, "adamw.update"))
        return adamw(call);
    if (plant_on(call, "embedding.backward") && plant_is("drops_repeated_tokens"))
        return drops_repeated(call);
    if (plant_on(call, "embedding.forward") && plant_is("token_0_is_padding"))
        return spoil_tokens(call, "tokens", "x0", 0);
    if (plant_on(call, "cross-entropy.forward") && plant_is("last_word_is_wrong"))
        return spoil_tokens(call, "targets", "grad_logits", last);
    if (plant_on(call, "cross-entropy.forward") && plant_is("loss_overflows"))
        return overflows(call);
    if (plant_on(call, "gradient.norm") && plant_is("squares_in_float"))
        return float_norm(call);
    return plant_inner(call);
}
